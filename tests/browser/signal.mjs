// Signals for the tests: tones, WAV files, and how much of a tone is in a recording.

import { readFileSync, writeFileSync } from 'node:fs';

/** @returns {Float32Array} */
export function sine(hz, rate, seconds, amplitude = 0.5, phase = 0) {
  return Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) => amplitude * Math.sin(phase + (2 * Math.PI * hz * i) / rate));
}

export function rms(samples) {
  let sum = 0;
  for (const x of samples) sum += x * x;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

/** Amplitude of one frequency, by a Hann-windowed correlation. */
export function amplitudeAt(samples, hz, rate) {
  let re = 0;
  let im = 0;
  let weight = 0;
  for (let i = 0; i < samples.length; i++) {
    const w = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (samples.length - 1));
    re += w * samples[i] * Math.cos((2 * Math.PI * hz * i) / rate);
    im += w * samples[i] * Math.sin((2 * Math.PI * hz * i) / rate);
    weight += w;
  }
  return (2 * Math.hypot(re, im)) / weight;
}

/**
 * Is this the tone, and no other? The share of tenths of a second in which the first of these is by
 * far the loudest. (A playout buffer bends time by a hair, which moves the phase over a longer
 * stretch; a busy machine costs a tenth here and there; another sound would have none.)
 */
export function shareOfTone(samples, [hz, ...others], rate) {
  const length = Math.round(rate / 10);
  let [found, all] = [0, 0];
  for (let at = 0; at + length <= samples.length; at += length) {
    const part = samples.subarray(at, at + length);
    const loudest = Math.max(...others.map((other) => amplitudeAt(part, other, rate)));
    const level = amplitudeAt(part, hz, rate);
    all++;
    if (level > 0.01 && level > 4 * loudest) found++;
  }
  return found / all;
}

/** @param {Float32Array} samples @returns {Int16Array} */
export function toPcm(samples) {
  return Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
}

/** @param {Int16Array} pcm @returns {Float32Array} */
export function fromPcm(pcm) {
  return Float32Array.from(pcm, (x) => x / 32768);
}

/** Writes a mono 16-bit WAV file. */
export function writeWav(path, samples, rate) {
  const pcm = samples instanceof Int16Array ? samples : toPcm(samples);
  const out = Buffer.alloc(44 + pcm.length * 2);
  out.write('RIFF', 0);
  out.writeUInt32LE(36 + pcm.length * 2, 4);
  out.write('WAVEfmt ', 8);
  out.writeUInt32LE(16, 16);
  out.writeUInt16LE(1, 20);
  out.writeUInt16LE(1, 22);
  out.writeUInt32LE(rate, 24);
  out.writeUInt32LE(rate * 2, 28);
  out.writeUInt16LE(2, 32);
  out.writeUInt16LE(16, 34);
  out.write('data', 36);
  out.writeUInt32LE(pcm.length * 2, 40);
  for (let i = 0; i < pcm.length; i++) out.writeInt16LE(pcm[i], 44 + i * 2);
  writeFileSync(path, out);
}

/** Reads a mono 16-bit WAV file as written above. */
export function readWav(path) {
  const bytes = readFileSync(path);
  const count = (bytes.length - 44) >> 1;
  const pcm = new Int16Array(count);
  for (let i = 0; i < count; i++) pcm[i] = bytes.readInt16LE(44 + i * 2);
  return { rate: bytes.readUInt32LE(24), samples: fromPcm(pcm) };
}
