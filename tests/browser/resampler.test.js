// The resampler: what goes in comes out, at any rate, however it is cut, and nothing folds back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Resampler } from '../../web/sdk/audio/resampler.js';
import { amplitudeAt, rms, sine } from './signal.mjs';

function convert(input, from, to, block = 128) {
  const resampler = new Resampler(from, to);
  const out = new Float32Array(Math.ceil((input.length * to) / from) + 16);
  let given = 0;
  for (let i = 0; i < input.length; i += block) {
    resampler.write(input.subarray(i, i + block));
    given += resampler.read(out, given, out.length - given);
  }
  return out.subarray(0, given);
}

for (const rate of [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]) {
  test(`a 1 kHz tone survives ${rate} Hz to 16 kHz and back`, () => {
    const down = convert(sine(1000, rate, 1, 0.5), rate, 16000);
    assert.ok(Math.abs(down.length - 16000) < 100, `${down.length} samples for one second`);
    assert.ok(Math.abs(amplitudeAt(down.subarray(2000, 14000), 1000, 16000) - 0.5) < 0.003);
    const up = convert(sine(1000, 16000, 1, 0.5), 16000, rate);
    const middle = up.subarray(Math.round(rate * 0.1), Math.round(rate * 0.9));
    assert.ok(Math.abs(amplitudeAt(middle, 1000, rate) - 0.5) < 0.003);
    // Nothing but the tone: what is left lies 70 dB under it.
    assert.ok(Math.abs(rms(middle) - 0.5 / Math.SQRT2) < 0.002);
  });
}

test('what is above 8 kHz does not fold back into the voice', () => {
  const out = convert(sine(9500, 48000, 1, 0.9), 48000, 16000);
  assert.ok(rms(out.subarray(1000)) < 0.9 * 10 ** (-70 / 20));
});

test('no image of the voice appears above 8 kHz', () => {
  const out = convert(sine(3000, 16000, 1, 0.9), 16000, 48000);
  assert.ok(amplitudeAt(out.subarray(4800, 43200), 13000, 48000) < 0.9 * 10 ** (-70 / 20));
});

test('the cut into blocks changes nothing', () => {
  const input = sine(700, 44100, 0.5, 0.5);
  const a = convert(input, 44100, 16000, 128);
  const b = convert(input, 44100, 16000, 1);
  const c = convert(input, 44100, 16000, 4096);
  assert.deepEqual(a, b);
  assert.deepEqual(a, c);
});

test('needed() tells exactly enough, at every speed', () => {
  for (const rate of [16000, 44100, 48000, 96000]) {
    const resampler = new Resampler(16000, rate);
    const zeros = new Float32Array(512);
    const out = new Float32Array(128);
    for (let i = 0; i < 5000; i++) {
      resampler.speed = 1 + 0.005 * Math.sin(i / 100);
      const n = resampler.needed(128);
      assert.ok(n <= 256);
      resampler.write(zeros, n);
      assert.equal(resampler.read(out, 0, 128), 128);
    }
  }
});

test('speed consumes more or less input', () => {
  const resampler = new Resampler(16000, 48000);
  resampler.speed = 1.005;
  const zeros = new Float32Array(512);
  const out = new Float32Array(128);
  let taken = 0;
  for (let i = 0; i < 3750; i++) {
    const n = resampler.needed(128);
    taken += n;
    resampler.write(zeros, n);
    resampler.read(out, 0, 128);
  }
  assert.ok(Math.abs(taken / 160000 - 1.005) < 0.0005);
});

test('a rate that no device has is refused', () => {
  assert.throws(() => new Resampler(4000, 16000), RangeError);
  assert.throws(() => new Resampler(NaN, 16000), RangeError);
});
