// Pictures of every state of the page: node screenshots.mjs [--only WORD] [FOLDER]
// The one of the README:               node screenshots.mjs --readme FILE
//
// Into FOLDER, or .screenshots here, which git ignores. Each state light in English, dark in Japanese, and both
// languages at a telephone's width; some in a wide window.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchBrowser, openContext, openPage } from './fake-page.mjs';
import { STATES } from './states.mjs';

const LOOKS = [
  { name: 'light-en', locale: 'en-US', colorScheme: 'light' },
  { name: 'dark-ja', locale: 'ja-JP', colorScheme: 'dark' },
  { name: 'narrow-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 320, height: 640 } },
  { name: 'narrow-ja', locale: 'ja-JP', colorScheme: 'light', viewport: { width: 320, height: 640 } },
  { name: 'wide-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 1100, height: 760 }, states: /04|11|15|28/ },
];
/** Three phones beside each other. */
const README = [{ state: '05', colorScheme: 'light' }, { state: '11', colorScheme: 'light' }, { state: '24', colorScheme: 'dark' }];

const args = process.argv.slice(2);
const option = (name) => {
  const at = args.indexOf(name);
  return at < 0 ? null : args.splice(at, 2)[1];
};
const readme = option('--readme');
const only = option('--only') ?? '';
const browser = await launchBrowser();
await (readme ? forReadme(readme) : everything(args[0] ?? fileURLToPath(new URL('.screenshots', import.meta.url))));
await browser.close();

/** A picture of one state. @returns {Promise<Buffer>} */
async function shoot(context, state) {
  const page = await openPage(context, state);
  await state.put?.(page);
  // What was put is drawn, and fonts are there.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const picture = await page.screenshot();
  if (page.faults.length > 0) console.error(`${state.name}: ${page.faults.join('\n')}`);
  await page.close();
  return picture;
}

async function everything(folder) {
  mkdirSync(folder, { recursive: true });
  for (const { name, states = /./, ...look } of LOOKS) {
    const context = await openContext(browser, { reducedMotion: 'reduce', ...look });
    for (const state of STATES) {
      const file = `${name}-${state.name}.png`;
      if (states.test(state.name) && file.includes(only)) writeFileSync(join(folder, file), await shoot(context, state));
    }
    await context.close();
  }
}

async function forReadme(file) {
  const images = [];
  for (const { state, ...look } of README) {
    const context = await openContext(browser, { ...look, permissions: ['notifications'], viewport: { width: 448, height: 760 }, reducedMotion: 'reduce' });
    images.push(await shoot(context, STATES.find(({ name }) => name.startsWith(state))));
    await context.close();
  }
  const page = await browser.newPage({ viewport: { width: 448 * images.length, height: 760 } });
  await page.setContent(`<style>body { margin: 0; display: flex; }</style>${images.map((i) => `<img src="data:image/png;base64,${i.toString('base64')}">`).join('')}`);
  await page.screenshot({ path: file });
}
