// The page's playout buffer and the gateway's pacer alone, with recorded speech, over a model of TCP on a bad
// network: the same figures as `run.mjs`, in simulated time, so a busy machine doesn't matter. See script/badnet.
//
//   node model.mjs SPEECH.sln16 [--python PYTHON] [--pacer PROGRAM] [--calls 3] [--only "2 %"] [--way up] [--tcp]
//
// With --tcp the kernel's own TCP says when frames come, over the emulated network (`tcp.py`): in real time, no two
// runs alike, and with its sending window, which the model leaves out.
// PROGRAM is `pacer.rs` built; without it there is only the way down. The delay up lacks what microphone and
// browser add, about 30 ms.

import { execFileSync, spawnSync } from 'node:child_process';
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
        buffer.push(speech.subarray((frame * 320) % whole, ((frame * 320) % whole) + 320), made / 48);
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

/** What an ear behind Asterisk hears, at 16 kHz. */
function playUp(program, file, arrive) {
  const { stdout, stderr, status } = spawnSync(program, [file], { input: arrive.map((at) => at.toFixed(3)).join('\n'), maxBuffer: 1e8 });
  if (status !== 0) throw new Error(String(stderr));
  const pcm = new Int16Array(stdout.buffer.slice(stdout.byteOffset, stdout.byteOffset + (stdout.length & ~1)));
  return { heard: Float32Array.from(pcm, (x) => x / 32768), said: String(stderr).trim() };
}

const [, , file] = process.argv;
const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const [python, pacer, way, wanted] = [option('python'), option('pacer'), option('way', 'down,up'), option('only', '').split(',').filter(Boolean)];
const calls = Number(option('calls', 3));
const bytes = readFileSync(file);
const speech = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)));
// Whole frames, over and over, as both ways play them.
const whole = speech.length - (speech.length % 320);
const said = { from: 0, samples: Float32Array.from({ length: SECONDS * RATE }, (_, i) => speech[i % whole] / 32768) };
const folder = mkdtempSync(join(tmpdir(), 'badnet-model-'));
const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;

/** @returns {{pesq: number, ms: number}} */
function judge(heard) {
  const track = { from: 0, samples: heard };
  const found = delays(said, track, 1000, SECONDS * 1000 - 1000, 400);
  const pairs = [];
  for (let at = 4000; at + SENTENCE_MS < SECONDS * 1000; at += SENTENCE_MS / 2) {
    const there = found.filter((d) => d.at + 1000 >= at && d.at + 1000 < at + SENTENCE_MS - 500).map((d) => d.ms);
    if (there.length < 4) continue;
    const [a, b] = ['said', 'heard'].map((side) => join(folder, `${at}-${side}.wav`));
    writeWav(a, cut(said, at, SENTENCE_MS), RATE);
    writeWav(b, cut(track, at + median(there), SENTENCE_MS), RATE);
    pairs.push(`${a} ${b}`);
  }
  const scores = python
    ? execFileSync(python, [join(dirname(fileURLToPath(import.meta.url)), 'pesq-scores.py')], { input: pairs.join('\n') }).toString().trim().split('\n').map(Number)
    : [NaN];
  return { pesq: mean(scores), ms: median(found.map((d) => d.ms)) };
}

const range = (list, digits) => {
  const [low, high] = [Math.min(...list), Math.max(...list)].map((x) => x.toFixed(digits));
  return low === high ? low : `${low} to ${high}`;
};

/** The same from the kernel: for each way a list of calls. */
function kernelArrivals({ loss = 0, jitter = 0 }) {
  const settings = ['delay=30', `loss=${100 * loss}`, `jitter=${jitter}`];
  const told = execFileSync('python3', [join(dirname(fileURLToPath(import.meta.url)), 'tcp.py'), String(SECONDS), String(calls), ...settings], { maxBuffer: 1e8 });
  return JSON.parse(told);
}

for (const [name, condition] of Object.entries(CONDITIONS)) {
  if (wanted.length > 0 && !wanted.some((w) => name.includes(w))) continue;
  const ways = { down: [], up: [] };
  const kernel = process.argv.includes('--tcp') ? kernelArrivals(condition) : null;
  for (let seed = 1; seed <= calls; seed++) {
    const modelled = kernel ? null : arrivals(SECONDS * 50, { ...condition, seed });
    if (way.includes('down')) {
      const { heard, stats } = play(speech, modelled ?? kernel.down[seed - 1]);
      ways.down.push({ ...judge(heard), gaps: stats.underruns });
      if (process.env.BADNET_VERBOSE) console.log(`  ${seed} down ${JSON.stringify(ways.down.at(-1))} ${JSON.stringify(stats)}`);
    }
    if (!pacer || !way.includes('up')) continue;
    const up = playUp(pacer, file, modelled ?? kernel.up[seed - 1]);
    ways.up.push(judge(up.heard));
    if (process.env.BADNET_VERBOSE) console.log(`  ${seed} up ${JSON.stringify(ways.up.at(-1))} ${up.said}`);
  }
  const told = Object.entries(ways).filter(([, list]) => list.length > 0).map(([way, list]) =>
    `${way}: PESQ ${range(list.map((x) => x.pesq), 2)} (mean ${mean(list.map((x) => x.pesq)).toFixed(2)}), ${range(list.map((x) => x.ms), 0)} ms`);
  console.log(`${name} | ${told.join(' | ')}`);
}
rmSync(folder, { recursive: true, force: true });
