// The playout buffer alone, with recorded speech, over a model of TCP on a bad network: the same figures
// as `run.mjs` for the way down, in simulated time, so a busy machine doesn't matter. See script/badnet.
//
//   node model.mjs SPEECH.sln16 [PYTHON]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JitterBuffer } from '../../web/sdk/audio/jitter-buffer.js';
import { Resampler } from '../../web/sdk/audio/resampler.js';
import { writeWav } from '../browser/signal.mjs';
import { cut, delays, median, RATE } from './ears.mjs';

const SECONDS = 40;
const SENTENCE_MS = 8000;
const CALLS = 3;
/** The device takes 10 ms at once. */
const DEVICE_SAMPLES = 480;

const CONDITIONS = {
  '60 ms round trip': {},
  '1 % loss': { loss: 0.01 },
  '2 % loss': { loss: 0.02 },
  '5 % loss': { loss: 0.05 },
  'jitter ±30 ms': { jitter: 30 },
};

/**
 * When each frame is there. A lost packet is sent again once a later one has been acknowledged and a
 * quarter of the round trip has passed (RACK, RFC 8985); whatever is behind it waits.
 */
function arrivals(frames, { rtt = 60, loss = 0, jitter = 0, seed }) {
  let state = seed >>> 0;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  for (let i = 0; i < 10; i++) random();
  const packets = Array.from({ length: frames }, (_, n) => {
    const lost = random() < loss;
    const vary = (2 * random() - 1) * jitter;
    return { sent: n * 20, lost, at: n * 20 + rtt / 2 + vary };
  });
  for (const [i, packet] of packets.entries()) {
    if (!packet.lost) continue;
    let { sent } = packet;
    for (let wait = rtt / 4; ; wait = 0) {
      const later = packets.slice(i + 1, i + 80).find((p) => p.sent > sent && !p.lost);
      sent = later ? later.sent + rtt + wait : sent + 400;
      if (random() >= loss) break;
    }
    packet.at = sent + rtt / 2;
  }
  let last = 0;
  return packets.map(({ at }) => (last = Math.max(last, at)));
}

/** What is heard, at 16 kHz. */
function play(speech, arrive) {
  const buffer = new JitterBuffer();
  const up = new Resampler(16000, 48000);
  const down = new Resampler(48000, 16000);
  const [pulled, block] = [new Float32Array(512), new Float32Array(128)];
  const heard = new Float32Array(SECONDS * RATE);
  let [made, given, frame] = [0, 0, 0];
  for (let now = 0; given < heard.length; now += 10) {
    for (; made < (now / 10 + 1) * DEVICE_SAMPLES; made += 128) {
      // A millisecond from the socket to the audio thread.
      for (; frame < arrive.length && arrive[frame] + 1 <= now; frame++) {
        buffer.push(speech.slice((frame * 320) % (speech.length - 320), ((frame * 320) % (speech.length - 320)) + 320), made / 48);
      }
      up.speed = buffer.speed;
      const needed = up.needed(128);
      buffer.pull(pulled, 0, needed);
      up.write(pulled, needed);
      up.read(block, 0, 128);
      down.write(block, 128);
      given += down.read(heard, given, heard.length - given);
    }
  }
  return { heard, stats: buffer.stats };
}

const [, , file, python] = process.argv;
const bytes = readFileSync(file);
const speech = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)));
const said = { from: 0, samples: Float32Array.from({ length: SECONDS * RATE }, (_, i) => speech[i % (speech.length - 320)] / 32768) };
const folder = mkdtempSync(join(tmpdir(), 'badnet-model-'));
for (const [name, condition] of Object.entries(CONDITIONS)) {
  const told = [];
  for (let seed = 1; seed <= CALLS; seed++) {
    const { heard, stats } = play(speech, arrivals(SECONDS * 50, { ...condition, seed }));
    const track = { from: 0, samples: heard };
    const found = delays(said, track, 1000, SECONDS * 1000 - 1000, 400);
    const pairs = [];
    for (let at = 4000; at + SENTENCE_MS < SECONDS * 1000; at += SENTENCE_MS / 2) {
      const there = found.filter((d) => d.at + 1000 >= at && d.at + 1000 < at + SENTENCE_MS - 500).map((d) => d.ms);
      if (there.length < 4) continue;
      const [a, b] = ['said', 'heard'].map((side) => join(folder, `${seed}-${at}-${side}.wav`));
      writeWav(a, cut(said, at, SENTENCE_MS), RATE);
      writeWav(b, cut(track, at + median(there), SENTENCE_MS), RATE);
      pairs.push(`${a} ${b}`);
    }
    const scores = python
      ? execFileSync(python, [join(dirname(fileURLToPath(import.meta.url)), 'pesq-scores.py')], { input: pairs.join('\n') }).toString().trim().split('\n').map(Number)
      : [NaN];
    const pesq = scores.reduce((sum, x) => sum + x, 0) / scores.length;
    told.push(`PESQ ${pesq.toFixed(2)}, ${median(found.map((d) => d.ms)).toFixed(0)} ms, ${stats.underruns} gaps`);
  }
  console.log(`${name} | ${told.join(' | ')}`);
}
rmSync(folder, { recursive: true, force: true });
