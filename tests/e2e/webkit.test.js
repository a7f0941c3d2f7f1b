// The same page in WebKit, Safari's engine: a call of the real Asterisk, sound both ways, and a reload in it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasWebKit, launchWebKit } from '../browser/webkit.mjs';
import { amplitudeAt } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { speaker } from './sound.mjs';

const skip = hasWebKit ? false : 'there is no WebKit to drive (apt-get install webkit2gtk-driver xvfb)';

let house;
let page;

before(async () => {
  if (skip) return;
  house = await build({ ami: true, config: { dial: { context: 'from-phones', connection: 'ws-ext-endpoint', allow: '[26]\\d+' } } });
  page = await launchWebKit();
});

after(async () => {
  await page?.close();
  await house?.tearDown();
});

const state = (word) => page.waitFor((w) => document.getElementById('state')?.textContent === w, word);

/** How loud a tone is in what the speaker plays now, and another one beside it. */
async function listen(hz, beside) {
  const { rate, samples } = await page.evaluate(speaker);
  return { rate, tone: amplitudeAt(samples, hz, rate), other: amplitudeAt(samples, beside, rate) };
}

/** Until the tone is heard: what the machine lets through of it at a moment is not the question. */
async function hears(hz, beside) {
  for (let tries = 0; ; tries++) {
    const { rate, tone, other } = await listen(hz, beside);
    if (tone > 0.05 && tone > 10 * other) return rate;
    assert.ok(tries < 100, `${hz} Hz at ${tone}, beside it ${other}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

test('WebKit: a call is answered, heard, held, reloaded into and hung up; another one is dialled', { skip }, async (t) => {
  await page.open(house.link('2001'));
  await state('Ready');
  const call = await house.call('2001', '--app', 'tone1000', '--caller', '0312345678');
  await page.waitFor(() => document.querySelector('[data-role=incoming] .number')?.textContent.includes('0312345678'));
  await page.click('[data-role=incoming] #do-answer');
  await state('In call');
  const frames = (count) => page.waitFor((n) => window.goastgateway.phone.stats.framesDown > n && window.goastgateway.phone.stats.framesUp > n, count);
  await frames(50);
  const rate = await hears(1000, 1700);
  // Where a worker takes too long to start, on a busy machine, the page loads the socket's code itself.
  const inPage = await page.evaluate(() => performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/wire-socket.js')));
  t.diagnostic(`context at ${rate} Hz, the socket in ${inPage ? 'the page' : 'its worker'}`);

  await page.click('#do-hold');
  await state('On hold');
  await page.click('#do-hold');
  await state('In call');

  await page.reload();
  await state('In call');
  // A page that was loaded by itself may let no sound out before a click.
  await page.click('#do-mute');
  await page.waitFor(() => document.querySelector('.chips')?.textContent.includes('You are muted'));
  await page.click('#do-mute');
  await page.waitFor(() => window.goastgateway.phone.stats.framesDown > 25);
  await hears(1000, 1700);
  await page.click('#do-hangup');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');

  await state('Ready');
  await page.click('#number');
  await page.evaluate(() => {
    const field = document.getElementById('number');
    field.value = '611';
    field.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await page.click('#do-dial');
  await state('In call');
  await hears(440, 1700);
  await page.click('#do-hangup');
  await state('Ready');
});
