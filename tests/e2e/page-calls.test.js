// The real Asterisk, the gateway, the real page: what a person does with calls by clicking, and what
// both far ends hear of it. The far ends are in tests/rig/extensions.conf, [far].

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { launch, tapOutput, waitForState, waitForStats } from '../browser/page.mjs';
import { shareOfTone, writeWav } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { RATE, readWav } from './sound.mjs';

const OTHERS = [440, 620, 1000, 1700, 2500];
const CALLER = '0312345678';

let house;
let browser;
let page;
let folder;

before(async () => {
  house = await build({
    ami: true,
    config: { dial: { context: 'from-phones', connection: 'ws-ext-endpoint', allow: '[26]\\d+' } },
  });
  folder = mkdtempSync(join(tmpdir(), 'gateway-silence-'));
  // Whatever a far end hears is not the microphone.
  writeWav(join(folder, 'silence.wav'), new Float32Array(48000), 48000);
  browser = await launch({ wav: join(folder, 'silence.wav'), context: { locale: 'en-US' } });
});
after(async () => {
  await browser?.close();
  await house?.tearDown();
  if (folder) rmSync(folder, { recursive: true, force: true });
});
// Whatever became of a test, its phones and calls are not the next one's.
afterEach(async () => {
  for (const each of browser.browser.pages()) await each.close();
  await house.cli('channel request hangup all');
});

async function logIn(ext = '2001') {
  const one = await browser.openPhone(house.link(ext));
  await waitForState(one, 'ready');
  await one.waitForSelector('#do-dial:not([aria-disabled])');
  return one;
}

/** A caller rings and is answered by a click. Gives the call's name in Asterisk. */
async function answer(app, caller = CALLER) {
  const call = await house.call('2001', '--app', app, '--caller', caller);
  await page.click('[data-role=incoming] #do-answer');
  await heading('In call');
  return call;
}

const heading = (word, one = page) => one.waitForFunction((w) => document.getElementById('state').textContent === w, word);
const front = (who) => page.waitForFunction((w) => document.getElementById('caller')?.textContent === w, who);
const says = (words) => page.waitForFunction((w) => document.getElementById('just-now')?.textContent.includes(w), words);

async function hears(hz, one = page) {
  // From here on: what was on its way is through.
  const { framesDown } = await one.evaluate(() => window.goastgateway.phone.stats);
  await waitForStats(one, (stats) => stats.framesDown > framesDown + 25);
  const share = shareOfTone(await tapOutput(one, 1), [hz, ...OTHERS.filter((other) => other !== hz)], RATE);
  assert.ok(share > 0.6, `${hz} Hz is heard ${share} of the time`);
}

async function transfer(to, how) {
  await page.click('#do-transfer');
  await page.fill('#target', to);
  await page.click(`[data-panel=transfer] [data-does=${how}]`);
}

test('on hold the caller hears music, and back from it the voices', async () => {
  page = await logIn();
  const call = await answer('duplex');
  await page.click('#do-hold');
  await heading('On hold');
  await page.waitForTimeout(3000); // this long the caller waits
  await page.click('#do-hold');
  await heading('In call');
  await page.waitForTimeout(1000); // and hears silence again, which is what the microphone has
  await page.click('#do-hangup');
  await waitForState(page, 'ready');
  await house.ended(call);
  const { samples } = readWav(house.record(call));
  const loud = [];
  for (let at = 0; at + RATE / 5 <= samples.length; at += RATE / 5) {
    const part = samples.subarray(at, at + RATE / 5);
    loud.push(Math.sqrt(part.reduce((sum, x) => sum + x * x, 0) / part.length) > 0.003);
  }
  const [first, last] = [loud.indexOf(true), loud.lastIndexOf(true)];
  const seconds = (last - first + 1) / 5;
  assert.ok(seconds > 2 && seconds < 4, `music for ${seconds} s: ${loud.map(Number).join('')}`);
  assert.equal(loud.at(-1), false, 'none of it after the hold');
});

test('digits that are clicked arrive as keys', async () => {
  page = await logIn();
  await page.fill('#number', '619');
  await page.click('#do-dial');
  await heading('In call');
  await page.click('#do-keypad');
  for (const key of ['1', '2', '0', '9', '*', '5', '#']) await page.click(`[data-panel=keypad] [data-digit="${key}"]`);
  assert.equal((await page.textContent('[data-panel=keypad] output')).trim(), '1209*5#');
  for (let tries = 0; house.read('keys.log') === '' && tries < 200; tries += 1) await page.waitForTimeout(50);
  assert.equal(house.read('keys.log').trim(), '1209*5');
});

test('a call is passed on at once, and the page says who has taken it', async () => {
  page = await logIn();
  await answer('tone1000');
  await transfer('617', 'blind');
  await waitForState(page, 'ready');
  await says(`617 has taken the call from Rig`);
  assert.match(await house.cli('core show channels concise'), /!Echo!/, 'the caller is there');
});

test('one that is passed on to somebody who is busy, or does not answer, is told as that', async () => {
  page = await logIn();
  for (const [to, words] of [['612', 'was busy for the call'], ['613', 'did not answer the call'], ['616', 'declined the call']]) {
    await answer('tone1000');
    await transfer(to, 'blind');
    await says(`${to} ${words} from Rig`);
  }
});

test('a number that is not there is refused, and one is still in the call', async () => {
  page = await logIn();
  await answer('tone1000');
  await transfer('699', 'blind');
  await says('not a number that can be dialled');
  await hears(1000);
});

test('one speaks first, then joins both: the caller goes to whom one has spoken to', async () => {
  page = await logIn();
  const colleague = await logIn('2002');
  await answer('tone1000');
  await transfer('2002', 'attended');
  await colleague.click('[data-role=incoming] #do-answer');
  await heading('In call', colleague);
  await front('2002');
  await heading('In call');
  await page.click('#do-complete');
  await waitForState(page, 'ready');
  await says('2002 has taken the call from Rig');
  await hears(1000, colleague);
});

test('one speaks first and goes back: the second call ends, the caller is there again', async () => {
  page = await logIn();
  await answer('tone1000');
  await transfer('611', 'attended');
  await front('611');
  await heading('In call');
  await hears(440);
  await page.click('#do-cancel');
  await front('Rig');
  await heading('In call');
  await hears(1000);
  assert.equal(await page.locator('article').count(), 1, 'the other call is gone');
});

test('a second call waits, is answered, and one goes to and fro between the two', async () => {
  page = await logIn();
  await page.click('#settings');
  await page.click('label[for=set-callWaiting]');
  await page.keyboard.press('Escape');
  // The gateway learns it by another login.
  await page.waitForFunction(() => window.goastgateway.phone.state === 'ready' && window.goastgateway.ui.prefs.callWaiting);
  await page.waitForSelector('#do-dial:not([aria-disabled])');
  await answer('tone1000');
  await house.call('2001', '--app', 'tone440', '--caller', '0698765432');
  await page.click('[data-role=waiting] [data-does=answer]');
  await page.waitForFunction(() => document.querySelector('[data-role=held]'));
  await hears(440);
  await page.click('#do-swap');
  await hears(1000);
  await page.click('[data-role=held] [data-does=swap]');
  await hears(440);
  await page.click('#do-hangup');
  await page.waitForFunction(() => document.querySelectorAll('article').length === 1);
  await heading('On hold');
  await page.click('#do-hold');
  await hears(1000);
});
