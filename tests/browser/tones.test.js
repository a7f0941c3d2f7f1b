// Ring tones and key tones: what they are made of, and when they sound.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyTone, renderBell, renderKey, renderRing, ringFor, RINGS } from '../../web/sdk/audio/tones.js';
import { amplitudeAt, rms } from './signal.mjs';

const RATE = 16000;

for (const [name, tone] of Object.entries(RINGS)) {
  test(`the ring of ${name} has its frequencies, sounds and pauses when it should, and does not click`, () => {
    const samples = renderRing(tone, RATE);
    let start = 0;
    for (const [i, seconds] of tone.on.entries()) {
      const part = samples.subarray(Math.round(start * RATE), Math.round((start + seconds) * RATE));
      if (i % 2 === 1) assert.equal(rms(part), 0, 'a pause is silent');
      else for (const hz of tone.hz) assert.ok(amplitudeAt(part, hz, RATE) > 0.3 / tone.hz.length, `${hz} Hz`);
      start += seconds;
    }
    assert.equal(samples.length, Math.round(start * RATE));
    assert.ok(samples.every((x) => Math.abs(x) <= 1));
    // It is looped: the end meets the begin.
    assert.ok(Math.abs(samples[0] - samples.at(-1)) < 0.01);
  });
}

test('a locale rings as its country does', () => {
  const wanted = {
    ja: 'jp', 'ja-JP': 'jp', 'en-US': 'us', en: 'us', 'en-GB': 'uk', 'en-AU': 'uk', 'en-CA': 'us', 'de-DE': 'de', de: 'de',
    'fr-FR': 'fr', 'it-IT': 'eu', 'zh-Hans-CN': 'cn', ko: 'kr', 'x': 'eu', '': 'eu', 'constructor': 'eu',
  };
  for (const [locale, name] of Object.entries(wanted)) assert.equal(ringFor(locale), name, locale);
});

test('each key has its two frequencies, and others have none', () => {
  assert.deepEqual([...keyTone('1')], [697, 1209]);
  assert.deepEqual([...keyTone('0')], [941, 1336]);
  assert.deepEqual([...keyTone('#')], [941, 1477]);
  assert.deepEqual([...keyTone('A')], [697, 1633]);
  for (const key of ['', 'x', 'w', '12', 'constructor']) assert.equal(keyTone(key), undefined, key);
  const samples = renderKey(keyTone('5'), RATE);
  assert.ok(amplitudeAt(samples, 770, RATE) > 0.4 && amplitudeAt(samples, 1336, RATE) > 0.4);
  assert.ok(amplitudeAt(samples, 852, RATE) < 0.05);
});

test('the bell stays within bounds', () => {
  assert.ok(renderBell(RATE).every((x) => Math.abs(x) <= 1));
});
