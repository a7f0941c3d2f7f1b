// The playout buffer on networks of every temper, simulated: time is an argument.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitterBuffer } from '../../web/sdk/audio/jitter-buffer.js';
import { Resampler } from '../../web/sdk/audio/resampler.js';
import { rms, toPcm } from './signal.mjs';

const HZ = 440;
const AMPLITUDE = 0.5;
/** The largest step between two samples of the tone at 16 kHz. */
const STEP = AMPLITUDE * 2 * Math.sin((Math.PI * HZ) / 16000);
const QUANTUM = 128 / 48; // ms
/** What may wait at most. */
const MOST_MS = 180;

function random(seed) {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}

/**
 * Plays `seconds` through the buffer and the resampler's pull, in quanta of 128 at 48 kHz.
 * @param {{seconds: number, arrival: (n: number) => number, clock?: number, source?: (i: number) => number}} o
 *   arrival: ms at which frame n comes (Infinity: never); never out of order (TCP)
 */
function play({ seconds, arrival, source = (i) => AMPLITUDE * Math.sin((2 * Math.PI * HZ * i) / 16000) }) {
  const buffer = new JitterBuffer();
  const resampler = new Resampler(16000, 48000);
  const scratch = new Float32Array(512);
  const block = new Float32Array(128);
  const out = new Float32Array(Math.ceil(seconds * 48000) + 128);
  const trace = [];
  let frame = 0;
  let previous = 0;
  let worst = 0;
  let made = 0;
  for (let now = 0; now < seconds * 1000; now += QUANTUM) {
    for (;;) {
      const at = Math.max(previous, arrival(frame));
      if (at > now) break;
      previous = at;
      const pcm = toPcm(Float32Array.from({ length: 320 }, (_, k) => source(frame * 320 + k)));
      buffer.push(pcm, now);
      worst = Math.max(worst, buffer.bufferedMs);
      frame++;
    }
    resampler.speed = buffer.speed;
    const n = resampler.needed(128);
    buffer.pull(scratch, 0, n);
    resampler.write(scratch, n);
    resampler.read(block, 0, 128);
    out.set(block, made);
    made += 128;
    trace.push({ now, buffered: buffer.bufferedMs, delay: buffer.delayMs, target: buffer.targetMs });
  }
  return { out: out.subarray(0, made), trace, worst, stats: buffer.stats, buffer };
}

const at = (trace, ms) => trace.find((t) => t.now >= ms);
const mean = (trace, from, to) => {
  const part = trace.filter((t) => t.now >= from && t.now < to);
  return part.reduce((sum, t) => sum + t.buffered, 0) / part.length;
};
/** The largest step between neighbours, in steps of the pure tone at this rate. */
function largestStep(samples) {
  let step = 0;
  for (let i = 1; i < samples.length; i++) step = Math.max(step, Math.abs(samples[i] - samples[i - 1]));
  return (step * 3) / STEP;
}

test('a calm network: little delay, no gap, no click', () => {
  const { out, trace, worst, stats } = play({ seconds: 20, arrival: (n) => n * 20 });
  assert.equal(stats.underruns, 0);
  assert.ok(worst <= 60, `at most ${worst} ms waited`);
  assert.ok(mean(trace, 10000, 20000) < 40, `${mean(trace, 10000, 20000)} ms`);
  assert.ok(largestStep(out) < 1.3, `step ${largestStep(out)}`);
});

test('a freeze of 3 s that thaws into a burst of 150 frames is back at its target at once', () => {
  const frozen = (n) => (n * 20 >= 5000 && n * 20 < 8000 ? 8000 : n * 20);
  const { out, trace, worst, stats } = play({ seconds: 15, arrival: frozen });
  assert.ok(worst <= MOST_MS, `${worst} ms waited`);
  const before = mean(trace, 3000, 5000);
  assert.ok(at(trace, 8010).buffered <= at(trace, 8010).target + 5, JSON.stringify(at(trace, 8010)));
  assert.ok(Math.abs(mean(trace, 8500, 10500) - before) < 20, `${before} -> ${mean(trace, 8500, 10500)}`);
  assert.ok(Math.abs(mean(trace, 11000, 15000) - before) < 10, `${before} -> ${mean(trace, 11000, 15000)}`);
  assert.ok(Math.abs(at(trace, 8010).target - at(trace, 4990).target) < 1);
  assert.equal(stats.underruns, 1);
  assert.ok(largestStep(out) < 2, `step ${largestStep(out)}`);
});

test('a thaw that is spread over half a second settles as well', () => {
  const arrival = (n) => (n * 20 >= 5000 && n * 20 < 8500 ? Math.max(8000, 8000 + ((n * 20 - 5000) / 3500) * 500) : n * 20);
  const { trace, worst } = play({ seconds: 13, arrival });
  assert.ok(worst <= MOST_MS);
  assert.ok(Math.abs(mean(trace, 10500, 13000) - mean(trace, 3000, 5000)) < 20);
});

test('a blackout whose frames were thrown away by the sender is forgotten', () => {
  const { trace, worst, stats } = play({ seconds: 15, arrival: (n) => (n < 250 ? n * 20 : n * 20 + 3000) });
  assert.ok(worst <= MOST_MS);
  assert.equal(stats.underruns, 1);
  assert.ok(Math.abs(mean(trace, 10000, 15000) - mean(trace, 3000, 5000)) < 10);
});

test('the burst behind a blackout does not teach that the network is slow', () => {
  // Dark from 5 to 9 s. Thirteen frames were on their way and come at once; the next ones are new.
  const arrival = (n) => (n < 250 ? n * 20 : n < 263 ? 9000 : 9230 + (n - 263) * 20);
  const { trace } = play({ seconds: 20, arrival });
  for (const ms of [10000, 11000, 13000, 16000]) assert.ok(at(trace, ms).target - at(trace, 4900).target < 10, `${ms}: ${at(trace, ms).target} ms`);
  assert.ok(Math.abs(mean(trace, 11000, 13000) - mean(trace, 3000, 5000)) < 10);
});

test('jitter of 30 ms either way is covered, and without clicks', () => {
  const r = random(7);
  const jitter = Array.from({ length: 2000 }, () => 30 + (r() * 2 - 1) * 30);
  const { out, trace, worst, stats } = play({ seconds: 30, arrival: (n) => n * 20 + jitter[n] });
  assert.ok(worst <= MOST_MS, `${worst} ms waited`);
  assert.ok(mean(trace, 10000, 30000) < 90, `${mean(trace, 10000, 30000)} ms`);
  assert.ok(stats.underruns < 15, `${stats.underruns} gaps`);
  assert.ok(stats.concealedMs < 1200, `${stats.concealedMs} ms bridged`);
  assert.ok(largestStep(out) < 2, `step ${largestStep(out)}`);
});

test('when the network calms down the delay shrinks within seconds', () => {
  const r = random(3);
  const jitter = Array.from({ length: 2000 }, (_, n) => (n * 20 < 10000 ? r() * 80 : 0));
  for (const source of [undefined, (i) => 0.2 * (Math.sin(i * 0.07) + Math.sin(i * 0.191)) * (i % 16000 < 11000 ? 1 : 0.001)]) {
    const { out, trace } = play({ seconds: 23, arrival: (n) => n * 20 + jitter[n], source });
    const restless = mean(trace, 8000, 10000);
    assert.ok(restless > 42, `${restless} ms while it was restless`);
    assert.ok(mean(trace, 20000, 22000) < 30, `${mean(trace, 20000, 22000)} ms after ten calm seconds`);
    if (!source) assert.ok(largestStep(out) < 2, `step ${largestStep(out)}`);
  }
});

for (const ppm of [200, -200]) {
  test(`ten minutes with the far clock ${ppm} ppm off: the delay stays, nothing is heard`, () => {
    const r = random(11);
    const jitter = Array.from({ length: 31000 }, () => r() * 6);
    const { out, trace, worst, stats, buffer } = play({ seconds: 600, arrival: (n) => n * 20 * (1 - ppm / 1e6) + jitter[n] });
    assert.equal(stats.underruns, 0);
    assert.ok(worst < 80, `${worst} ms waited`);
    assert.ok(Math.abs(mean(trace, 590000, 600000) - mean(trace, 10000, 20000)) < 5);
    assert.ok(stats.shedMs === 0 && stats.compressedMs + stats.stretchedMs < 100, JSON.stringify(stats));
    assert.ok(largestStep(out) < 1.3, `step ${largestStep(out)}`);
    assert.ok(Math.abs(buffer.driftPpm - ppm) < 25, `told as ${buffer.driftPpm} ppm`);
  });
}

/** TCP with one packet lost now and then: it comes `late`, and those behind it with it. */
const lossy = (every, late) => (n) => n * 20 + Math.max(0, late - (n % every) * 20);

test('a lost packet every second costs two gaps, and then nothing: the cushion covers it', () => {
  const { stats, trace, out } = play({ seconds: 30, arrival: (n) => (n < 100 ? n * 20 : lossy(50, 95)(n)) });
  assert.ok(stats.underruns <= 3, `${stats.underruns} gaps`);
  assert.ok(stats.concealedMs < 350, `${stats.concealedMs} ms bridged`);
  // A frame that comes on time finds the lateness and a bit more; seen over all, 110 ms wait.
  assert.ok(at(trace, 25000).target < 130, `${at(trace, 25000).target} ms`);
  assert.ok(largestStep(out) < 2, `step ${largestStep(out)}`);
});

test('one stall in ten seconds is bridged, and does not lengthen the delay for long', () => {
  const { stats, trace } = play({ seconds: 20, arrival: (n) => n * 20 + (n >= 300 && n < 308 ? 150 - (n - 300) * 20 : 0) });
  assert.ok(stats.underruns <= 1);
  const before = mean(trace, 4000, 6000);
  assert.ok(mean(trace, 17000, 20000) - before < 10, `${before} -> ${mean(trace, 17000, 20000)}`);
});

test('what was bridged is not said again: a gap leaves the delay as it was', () => {
  const arrival = (n) => n * 20 + (n >= 700 && n < 710 ? Math.max(0, 190 - (n - 700) * 20) : Math.max(0, 95 - (n % 50) * 20));
  const { trace } = play({ seconds: 16, arrival });
  assert.ok(Math.abs(mean(trace, 14300, 14900) - mean(trace, 13300, 13900)) < 12, `${mean(trace, 13300, 13900)} -> ${mean(trace, 14300, 14900)}`);
});

test('a feed that stops ends in silence by a fade, and begins again by one', () => {
  const { out, stats } = play({ seconds: 4, arrival: (n) => (n < 50 ? n * 20 : n < 100 ? n * 20 + 1000 : Infinity) });
  assert.equal(stats.underruns, 2);
  assert.ok(rms(out.subarray(48000 * 2.2, 48000 * 2.8)) > 0.3, 'the second part is heard');
  assert.ok(rms(out.subarray(out.length - 9600)) === 0);
  assert.ok(largestStep(out) < 1.5, `step ${largestStep(out)}`);
});

test('TCP stalls of 200 ms, one a second: never over the ceiling, no clicks', () => {
  const stall = (n) => (n % 50 < 10 ? (Math.floor(n / 50) * 50 + 10) * 20 : n * 20);
  const { out, trace, worst } = play({ seconds: 20, arrival: stall });
  assert.ok(worst <= MOST_MS);
  assert.ok(mean(trace, 10000, 20000) < 150);
  assert.ok(largestStep(out) < 2.5, `step ${largestStep(out)}`);
});

test('frames of any length are taken, one longer than the ceiling is cut', () => {
  const buffer = new JitterBuffer();
  buffer.push(new Int16Array(16000), 0);
  assert.ok(buffer.bufferedMs <= MOST_MS);
  buffer.push(new Int16Array(0), 1);
  buffer.push(new Int16Array(7), 2);
  const out = new Float32Array(64);
  buffer.pull(out, 0, 64);
  assert.ok(out.every(Number.isFinite));
});

test('a reset forgets the call before', () => {
  const buffer = new JitterBuffer();
  for (let i = 0; i < 5; i++) buffer.push(new Int16Array(320).fill(9999), i * 20);
  buffer.reset();
  const out = new Float32Array(640);
  buffer.pull(out, 0, 640);
  assert.ok(out.every((x) => x === 0));
  assert.equal(buffer.bufferedMs, 0);
});
