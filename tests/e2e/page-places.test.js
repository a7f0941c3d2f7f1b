// The real Asterisk, the gateway, the real page: where a call rings, and where it doesn't. Several devices of one
// extension, who is away, a page that stands still, a page that is loaded again while it rings, and the limit of an hour.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch, waitForState } from '../browser/page.mjs';
import { build } from './house.mjs';

let house;
let browser;

before(async () => {
  house = await build({
    ami: true,
    groups: { G01: { strategy: 'sequential', members: ['2001', '2002'], timeout: 60 } },
    config: { duplicate_login: 'ring_all', dial: { context: 'from-phones', connection: 'ws-ext-endpoint', allow: '6\\d+', per_hour: 1 } },
  });
  browser = await launch({ context: { locale: 'en-US' } });
});
after(async () => {
  await browser?.close();
  await house?.tearDown();
});
afterEach(async () => {
  for (const each of browser.browser.pages()) await each.close();
  await house.cli('channel request hangup all');
});

async function logIn(ext) {
  const page = await browser.openPhone(house.link(ext));
  await waitForState(page, 'ready');
  return page;
}

const heading = (page, word) => page.waitForFunction((w) => document.getElementById('state')?.textContent === w, word);
const INCOMING = '[data-role=incoming]';

test('two devices of an extension ring together, the first answer wins, and the other stops', async () => {
  const [first, second] = [await logIn('2001'), await logIn('2001')];
  const call = await house.call('2001', '--caller', '0312345678');
  await Promise.all([first, second].map((page) => page.waitForSelector(`${INCOMING} #do-answer`)));
  await second.click(`${INCOMING} #do-answer`);
  await heading(second, 'In call');
  await heading(first, 'Ready');
  await first.waitForFunction(() => document.getElementById('just-now')?.textContent.includes('Answered by somebody else'));
  await second.click('#do-hangup');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
});

test('who is away or wants no disturbance is not rung, and the caller learns which', async () => {
  const page = await logIn('2001');
  for (const [presence, dialstatus] of [['away', 'CHANUNAVAIL'], ['dnd', 'BUSY'], ['wrapup', 'CHANUNAVAIL']]) {
    await page.click(`#presence-${presence}`);
    await page.waitForSelector(`#presence-${presence}[aria-pressed=true]`);
    const call = await house.call('2001');
    assert.equal((await house.ended(call)).dialstatus, dialstatus, presence);
  }
  await page.click('#presence-ready');
  await page.waitForSelector('#presence-ready[aria-pressed=true]');
  await house.call('2001');
  await page.waitForSelector(INCOMING);
});

test('a page that stands still is passed over while it rings, and rings again once it goes on', async () => {
  const [still, other] = [await logIn('2001'), await logIn('2002')];
  // As a tab that the browser has frozen: the socket lives, the page does not. Nothing goes on behind an alert.
  const opened = new Promise((done) => still.once('dialog', done));
  await still.evaluate(() => void setTimeout(() => window.alert('lunch')));
  const dialog = await opened;
  const call = await house.call('G01');
  await other.click(`${INCOMING} #do-answer`);
  await heading(other, 'In call');
  await dialog.dismiss();
  await other.click('#do-hangup');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
  await heading(still, 'Ready');
  await house.call('2001');
  await still.waitForSelector(INCOMING);
});

test('a page that is loaded again while it rings, rings again and is answered', async () => {
  const page = await logIn('2001');
  const call = await house.call('2001', '--caller', '0312345678');
  await page.waitForSelector(INCOMING);
  await page.reload();
  await page.waitForFunction(() => document.querySelector('[data-role=incoming] .number')?.textContent.includes('0312345678'));
  await page.click(`${INCOMING} #do-answer`);
  await heading(page, 'In call');
  await page.click('#do-hangup');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
});

test('the calls that an extension may open in an hour are counted, and the next one is refused with words', async () => {
  const page = await logIn('2001');
  await page.waitForSelector('#do-dial:not([aria-disabled])');
  const dial = async () => {
    await page.fill('#number', '611');
    await page.click('#do-dial');
  };
  await dial();
  await heading(page, 'In call');
  await page.click('#do-hangup');
  await heading(page, 'Ready');
  await dial();
  await page.waitForFunction(() => document.body.textContent.includes('Too many calls in this hour'));
});
