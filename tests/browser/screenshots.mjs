// Pictures of every state of the page: node screenshots.mjs [--only WORD] [FOLDER]
//
// Into FOLDER, or .screenshots here, which git ignores. Three looks of each: light in English, dark in
// Japanese, and a telephone's width; and some of a wide window.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchBrowser, openContext, openPage } from './fake-page.mjs';
import { STATES } from './states.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--only');
const only = at < 0 ? '' : args.splice(at, 2)[1];
const folder = args[0] ?? fileURLToPath(new URL('.screenshots', import.meta.url));
mkdirSync(folder, { recursive: true });

const LOOKS = [
  { name: 'light-en', locale: 'en-US', colorScheme: 'light' },
  { name: 'dark-ja', locale: 'ja-JP', colorScheme: 'dark' },
  { name: 'narrow-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 320, height: 640 } },
  { name: 'narrow-ja', locale: 'ja-JP', colorScheme: 'light', viewport: { width: 320, height: 640 } },
  { name: 'wide-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 1100, height: 760 }, states: /04|11|15|28/ },
];

const browser = await launchBrowser();
for (const { name, states = /./, ...look } of LOOKS) {
  const context = await openContext(browser, { reducedMotion: 'reduce', ...look });
  for (const state of STATES) {
    if (!states.test(state.name) || !`${name}-${state.name}`.includes(only)) continue;
    const page = await openPage(context, state);
    await state.put?.(page);
    await page.waitForTimeout(60);
    await page.screenshot({ path: join(folder, `${name}-${state.name}.png`) });
    if (page.faults.length > 0) console.error(`${name}-${state.name}: ${page.faults.join('\n')}`);
    await page.close();
  }
  await context.close();
}
await browser.close();
