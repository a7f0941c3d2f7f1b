// Two recordings with times on them: how late is the one, how long silent, and what to compare.

import { correlationPeak } from '../e2e/likeness.mjs';

export const RATE = 16000;
const PER_MS = RATE / 1000;
/** Delay is measured in pieces of this. */
const PIECE_MS = 500;
/** What is quieter than this (root mean square) has no delay. */
const QUIET = 0.01;
/** Later than this nobody calls it a conversation. */
const LATEST_MS = 6500;
/** Less alike than this is no finding. */
const ALIKE = 0.5;

/** @typedef {{from: number, samples: Float32Array}} Track  `from`: the wall's clock at the first sample, in ms */

/** What a speaker said, who sends a frame every 20 ms by his own clock. @returns {Track} */
export function spokenTrack(pieces) {
  const frames = pieces.filter((p) => p.pcm);
  const samples = joined(frames.map((p) => p.pcm));
  // The frames that were least held up tell when he spoke.
  let from = Infinity;
  let count = 0;
  for (const { at, pcm } of frames) {
    from = Math.min(from, at - count / PER_MS);
    count += pcm.length;
  }
  return { from, samples };
}

/**
 * What is heard by one who plays a frame every 20 ms, begins `buffer` ms after the first has come,
 * hears silence where there is none, and never catches up: Asterisk.
 * @returns {Track}
 */
export function heardTrack(pieces, buffer) {
  const from = pieces.find((p) => p.pcm).at + buffer;
  const end = pieces.at(-1).at;
  const queue = [];
  const out = [];
  let next = 0;
  for (let now = from; now < end; now += 20) {
    for (; next < pieces.length && pieces[next].at <= now; next++) {
      if (pieces[next].flush) queue.length = 0;
      else queue.push(pieces[next].pcm);
    }
    out.push(queue.shift() ?? new Int16Array(320));
  }
  return { from, samples: joined(out) };
}

function joined(parts) {
  const samples = new Float32Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) for (const x of part) samples[at++] = x / 32768;
  return samples;
}

/** A part of a track by the clock; silence where it has none. */
export function cut({ from, samples }, start, ms) {
  const out = new Float32Array(Math.round(ms * PER_MS));
  const first = Math.round((start - from) * PER_MS);
  for (let i = 0; i < out.length; i++) out[i] = samples[first + i] ?? 0;
  return out;
}

const rms = (samples) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);

/**
 * The delay of each piece of half a second, where there is speech and it is found again.
 * @param {Track} said @param {Track} heard @param {number} start @param {number} end by the clock
 * @returns {{at: number, ms: number, likeness: number}[]}
 */
export function delays(said, heard, start, end, latest = LATEST_MS) {
  const found = [];
  for (let at = start; at + PIECE_MS <= end; at += PIECE_MS / 2) {
    const piece = cut(said, at, PIECE_MS);
    if (rms(piece) < QUIET) continue;
    const reach = Math.min(latest, heard.from + heard.samples.length / PER_MS - at - PIECE_MS);
    if (reach < 50) continue;
    const { lag, likeness } = correlationPeak(piece, cut(heard, at, PIECE_MS + reach));
    if (likeness > ALIKE) found.push({ at: at - start, ms: lag / PER_MS, likeness });
  }
  return found;
}

export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;
}

/** The longest stretch in which nothing is heard though something was said, in ms. */
export function longestSilence({ samples }) {
  const step = 10 * PER_MS;
  let [now, longest] = [0, 0];
  for (let at = 0; at + step <= samples.length; at += step) {
    now = rms(samples.subarray(at, at + step)) < 0.001 ? now + 10 : 0;
    longest = Math.max(longest, now);
  }
  return longest;
}
