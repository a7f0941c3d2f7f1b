// Every state of the page: axe finds nothing, nothing sticks out sideways, the page itself makes no error.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { launchBrowser, openContext, openPage } from './fake-page.mjs';
import { STATES } from './states.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** What WCAG 2.2 AA asks for, and what axe's makers recommend beyond it. */
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** Both pairs of colours, both languages, a telephone's width and a usual window's. */
const LOOKS = {
  'light, English, 480 wide': { locale: 'en-US', colorScheme: 'light' },
  // Whatever has colours or a shape that no other state has.
  'dark, Japanese, 320 wide': { locale: 'ja-JP', colorScheme: 'dark', viewport: { width: 320, height: 640 }, states: /^(02|04|07|09|10|11|16|20|21|24|27|28|29|32|35|39|42|43|44|46)/ },
};

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

for (const [name, { states = /./, ...look }] of Object.entries(LOOKS)) {
  const chosen = STATES.filter((state) => states.test(state.name));
  test(`${chosen.length} states: ${name}`, async () => {
    const context = await openContext(browser, { reducedMotion: 'reduce', ...look });
    for (const state of chosen) {
      const page = await openPage(context, state);
      await state.put?.(page);
      // Through the debugger's door: the page's policy lets no foreign script in.
      await page.evaluate(AXE);
      const found = await page.evaluate(async (tags) => {
        const { violations } = await window.axe.run(document, { runOnly: tags, resultTypes: ['violations'] });
        return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(' ')}: ${n.failureSummary.split('\n')[1]}`));
      }, TAGS);
      assert.deepEqual(found, [], state.name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${state.name} is ${wide} px too wide`);
      assert.deepEqual(page.faults, [], state.name);
      await page.close();
    }
    await context.close();
  });
}
