// The real Asterisk, the gateway, the real page: what a person does with calls all day.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch, tapOutput, waitForState, waitForStats } from '../browser/page.mjs';
import { shareOfTone } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { RATE } from './sound.mjs';

const OTHERS = [440, 620, 1000, 1700, 2500];

let house;
let browser;
let page;

before(async () => {
  house = await build({
    ami: true,
    config: {
      exten_search_pattern: 'ws-ext-(\\d+|G\\d+)',
      dial: { context: 'from-phones', connection: 'ws-ext-endpoint', allow: '[26]\\d+' },
    },
  });
  browser = await launch({ context: { locale: 'en-US' } });
});
after(async () => {
  await browser?.close();
  await house?.tearDown();
});
// Whatever became of a test, its phones are not the next one's.
afterEach(async () => {
  for (const each of browser.browser.pages()) await each.close();
});

async function logIn() {
  page = await browser.openPhone(house.link('2001'));
  await waitForState(page, 'ready');
}

async function answer(app) {
  const call = await house.call('2001', '--app', app, '--caller', '0312345678');
  await waitForState(page, 'ringing');
  await page.waitForFunction(() => document.querySelector('article')?.textContent.includes('0312345678'));
  await page.keyboard.press('Enter');
  await waitForState(page, 'in-call');
  await waitForStats(page, (stats) => stats.framesDown > 50);
  return call;
}

async function assertHears(hz) {
  const share = shareOfTone(await tapOutput(page, 1), [hz, ...OTHERS.filter((other) => other !== hz)], RATE);
  assert.ok(share > 0.6, `${hz} Hz is heard ${share} of the time`);
}

const heading = (word) => page.waitForFunction((w) => document.getElementById('state').textContent === w, word);

test('the page shows who calls, and a reload in mid-call returns into the call', async (t) => {
  await logIn();
  const call = await answer('tone1000');
  const begun = performance.now();
  await page.reload();
  await waitForState(page, 'in-call');
  await waitForStats(page, (stats) => stats.framesDown > 0);
  t.diagnostic(`sound again ${Math.round(performance.now() - begun)} ms after the reload was asked for`);
  await assertHears(1000);
  assert.match(await page.textContent('article'), /0312345678/);
  await page.keyboard.press('Escape');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
});

test('hold is music there and silence here, and resuming brings the voice back', async () => {
  await logIn();
  await answer('tone1000');
  await page.keyboard.press('h');
  await heading('On hold');
  await page.keyboard.press('h');
  await heading('In call');
  await waitForStats(page, (stats) => stats.framesDown > 50);
  await assertHears(1000);
  await page.keyboard.press('Escape');
  await waitForState(page, 'ready');
});

test('a number that is typed is called, rings, and answers', async () => {
  await logIn();
  await page.waitForSelector('#do-dial:not([aria-disabled])');
  await page.keyboard.type('611');
  await page.keyboard.press('Enter');
  await heading('In call');
  await waitForStats(page, (stats) => stats.framesDown > 50);
  await assertHears(440);
  await page.keyboard.press('Escape');
  await waitForState(page, 'ready');
});

test('a number that is busy, and one that is not allowed, are told as that', async () => {
  await logIn();
  await page.keyboard.type('612');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /612 is busy/.test(document.getElementById('just-now')?.textContent ?? ''));
  await page.keyboard.type('0990');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /may not be dialled/.test(document.getElementById('just-now')?.textContent ?? ''));
});
