// The SDK in a page, the real gateway and the real Asterisk: a call, and a call that outlives its page.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { launch, tapOutput } from '../browser/page.mjs';
import { amplitudeAt, shareOfTone, sine, writeWav } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { RATE, readWav } from './sound.mjs';

const VOICE_HZ = 620;

const PAGE = '<!doctype html><meta charset=utf-8><title>SDK</title><link rel=icon href=/favicon.svg><script type=module src=/test.js></script>';
const SCRIPT = `
import { Device } from '/sdk/index.js';
const device = new Device(new URLSearchParams(location.hash.slice(1)).get('token'));
window.device = device;
window.ends = [];
const follow = (call) => {
  window.call = call;
  call.on('cancel', (reason) => ends.push(reason));
  call.on('disconnect', (_, reason) => ends.push(reason));
};
device.on('incoming', follow);
device.on('outgoing', follow);
window.goastgateway = { engine: device.audio.engine };
window.heardAt = 0;
device.audio.engine.on('stats', (stats) => { if (!window.heardAt && stats.speakerLevel > 0.02) window.heardAt = performance.now(); });
await device.register();
`;

let house;
let browser;
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gateway-sdk-'));
  writeWav(join(folder, 'voice.wav'), sine(VOICE_HZ, 48000, 10, 0.5), 48000);
  house = await build();
  browser = await launch({ wav: join(folder, 'voice.wav') });
  await browser.browser.route('**/test.html', (route) => route.fulfill({ contentType: 'text/html', body: PAGE }));
  await browser.browser.route('**/test.js', (route) => route.fulfill({ contentType: 'text/javascript', body: SCRIPT }));
});
after(async () => {
  await browser?.close();
  await house?.tearDown();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const page of browser.browser.pages()) await page.close();
});

async function phone(ext) {
  const page = await browser.openPhone(house.link(ext).replace('/#', '/test.html#'));
  await page.waitForFunction(() => window.device.state === 'registered');
  return page;
}

const status = (page, wanted) => page.waitForFunction((is) => window.call?.status() === is, wanted, { polling: 10 });

async function assertTone(page) {
  const share = shareOfTone(await tapOutput(page, 1), [1000, 440, VOICE_HZ, 1700, 2500], RATE);
  assert.ok(share > 0.7, `the tone is heard ${share} of the time`);
}

test('before the first call the way to the gateway is measured, with the sound of a call on it', async (t) => {
  const page = await browser.openPhone(house.link('2002'));
  const report = await page.evaluate((token) => import('/sdk/preflight.js').then(({ runPreflight }) => new Promise((done) => {
    const preflight = runPreflight(token, { seconds: 3 });
    preflight.on('completed', done);
    preflight.on('failed', ({ message }) => done({ message }));
  })), house.token('2001'));
  assert.ok(report.stats, JSON.stringify(report));
  t.diagnostic(`rtt ${report.stats?.rtt.average.toFixed(1)} ms, jitter ${report.stats?.jitter.average.toFixed(1)} ms, score ${report.stats?.mos.average.toFixed(2)}`);
  assert.deepEqual([report.identity, report.totals.unanswered, report.microphone.state], ['2001', 0, 'granted']);
  assert.ok(report.samples.length >= 4 && report.stats.rtt.average < 400, JSON.stringify(report));
});

test('a call of Asterisk rings the SDK, is answered, held, taken up again, hung up', async () => {
  const page = await phone('2001');
  const call = await house.call('2001', '--app', 'tone1000');
  await status(page, 'pending');
  await page.evaluate(() => window.call.accept());
  await status(page, 'open');
  await page.waitForFunction(() => window.heardAt > 0);
  await assertTone(page);
  await page.evaluate(() => window.call.hold());
  await status(page, 'held');
  await page.evaluate(() => window.call.hold(false));
  await status(page, 'open');
  await assertTone(page);
  assert.ok((await page.evaluate(() => window.device.rttMs)) < 200);
  await page.evaluate(() => window.call.disconnect());
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
  await page.waitForFunction(() => window.ends.length === 1);
  assert.deepEqual(await page.evaluate(() => window.ends), ['phone_hung_up']);
  assert.deepEqual(page.faults, []);
});

test('a caller who gives up, and a call that is declined', async () => {
  const page = await phone('2001');
  const declined = house.call('2001', '--wait');
  await status(page, 'pending');
  await page.evaluate(() => window.call.reject());
  await declined;
  await page.waitForFunction(() => window.device.calls.length === 0);
});

/** What a machine that has nothing else to do keeps to; on one that is busy the figure is told, and only that it comes back counts. */
const limit = (ms) => (loadavg()[0] < cpus().length ? ms : 15000);

test('a reload in the middle of a call comes back into it, heard at both ends', async (t) => {
  const page = await phone('2001');
  const call = await house.call('2001', '--app', 'duplex');
  await status(page, 'pending');
  await page.evaluate(() => window.call.accept());
  await status(page, 'open');
  await page.waitForFunction(() => window.device.audio.engine.stats.framesUp > 150);
  await page.reload();
  await status(page, 'open');
  await page.waitForFunction(() => window.heardAt > 0);
  const { heardAt, answered } = await page.evaluate(() => ({ heardAt: window.heardAt, answered: window.call.answerTime !== null }));
  assert.ok(answered, 'it is the same call');
  await page.waitForFunction(() => window.device.audio.engine.stats.framesUp > 150);
  await page.evaluate(() => window.call.disconnect());
  await house.ended(call);

  // The far end's recording: how long was the voice away?
  const { samples } = readWav(house.record(call));
  const piece = RATE / 50;
  let [gap, longest, begun] = [0, 0, false];
  for (let at = 0; at + piece <= samples.length; at += piece) {
    const there = amplitudeAt(samples.subarray(at, at + piece), VOICE_HZ, RATE) > 0.02;
    begun ||= there;
    gap = there || !begun ? 0 : gap + 20;
    if (there) longest = Math.max(longest, 0);
    if (at + piece < samples.length - RATE / 2) longest = Math.max(longest, gap);
  }
  t.diagnostic(`the page hears again ${Math.round(heardAt)} ms after it began to load; the far end missed the voice for ${longest} ms`);
  assert.ok(heardAt < limit(1500), `${heardAt} ms`);
  assert.ok(longest < limit(3000), `${longest} ms`);
});
