// The same page in Firefox: a call of the real Asterisk, heard on both sides.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasFirefox, launchFirefox } from '../browser/firefox.mjs';
import { amplitudeAt } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { RATE, readWav, speaker } from './sound.mjs';

/** What Firefox's own fake microphone plays. */
const FAKE_HZ = 700;
const skip = hasFirefox ? false : 'there is no Firefox or no PulseAudio (apt-get install firefox-esr pulseaudio)';

let house;
let firefox;

before(async () => {
  if (skip) return;
  house = await build({ ami: true });
  firefox = await launchFirefox({ 'media.navigator.audio.fake_frequency': FAKE_HZ });
});

after(async () => {
  await firefox?.close();
  await house?.tearDown();
});

test('Firefox: a person logs in, sees who calls, answers, talks, hangs up, and finds the call in the list', { skip }, async () => {
  const page = await firefox.openPage(`${house.origin}/`);
  await page.click('#token');
  await page.type(house.token('2001'));
  await page.click('#do-login');
  await page.waitFor(() => document.getElementById('state')?.textContent === 'Ready');
  assert.equal(await page.evaluate(() => document.getElementById('identity').textContent), 'Extension 2001');
  const call = await house.call('2001', '--app', 'tone1000', '--caller', '0312345678');
  await page.waitFor(() => document.querySelector('[data-role=incoming] .number')?.textContent.includes('0312345678'));
  await page.click('[data-role=incoming] #do-answer');
  await page.waitFor(() => document.getElementById('state').textContent === 'In call');
  await page.waitFor(() => window.goastgateway.phone.stats.framesDown > 50);
  await page.click('#do-mute');
  await page.waitFor(() => document.querySelector('.chips')?.textContent.includes('You are muted'));
  await page.click('#do-hangup');
  await page.waitFor(() => document.getElementById('just-now')?.textContent.includes('Call ended'));
  await page.waitFor(() => document.querySelector('aside')?.textContent.includes('0312345678'));
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
  await page.click('#logout');
  await page.waitFor(() => document.getElementById('state').textContent === 'Not logged in');
  await page.close();
});

test('Firefox: the page answers a call, and both sides hear each other', { skip }, async (t) => {
  const page = await firefox.openPage(house.link('2001'));
  await page.waitFor(() => window.goastgateway?.phone.state === 'ready');
  const heard = await house.call('2001', '--app', 'tone1000');
  await page.waitFor(() => window.goastgateway.phone.state === 'ringing');
  await page.press('Enter');
  await page.waitFor(() => window.goastgateway.phone.stats.framesDown > 100);
  await page.evaluate(speaker);
  await page.waitFor(() => window.goastgateway.phone.stats.framesDown > 150);
  const { rate, samples } = await page.evaluate(speaker);
  const [tone, other] = [1000, 1700].map((hz) => amplitudeAt(samples, hz, rate));
  assert.ok(tone > 0.05 && tone > 10 * other, `1 kHz at ${tone}, beside it ${other}`);
  const stats = await page.evaluate(() => window.goastgateway.phone.stats);
  t.diagnostic(`context at ${rate} Hz; ${JSON.stringify(stats)}`);
  // The microphone opens after the loudspeaker.
  await page.waitFor(() => window.goastgateway.phone.stats.framesUp > 100);
  await page.press('Escape');
  assert.equal((await house.ended(heard)).dialstatus, 'ANSWER');

  await page.waitFor(() => window.goastgateway.phone.state === 'ready');
  const said = await house.call('2001', '--app', 'duplex');
  await page.waitFor(() => window.goastgateway.phone.state === 'ringing');
  await page.press('Enter');
  await page.waitFor(() => window.goastgateway.phone.stats.framesUp > 200);
  await page.press('Escape');
  await house.ended(said);
  const record = readWav(house.record(said)).samples;
  const part = record.subarray(RATE, 3 * RATE);
  const [fake, beside] = [FAKE_HZ, 2 * FAKE_HZ + 130].map((hz) => amplitudeAt(part, hz, RATE));
  t.diagnostic(`in Asterisk: ${FAKE_HZ} Hz at ${fake.toFixed(3)}, beside it ${beside.toFixed(3)}`);
  assert.ok(fake > 0.01 && fake > 5 * beside, `${fake} against ${beside}`);
  await page.close();
});
