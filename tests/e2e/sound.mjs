// What was said and what was heard: delay between two recordings, and a voice that can be told
// from any other.

import { fromPcm } from '../browser/signal.mjs';
import { readFileSync } from 'node:fs';
import { correlate } from './likeness.mjs';

export const RATE = 16000;

/** A voice for a test: chirps with pauses, never the same twice, so that a delay has one answer. */
export function chirps(seconds, rate = RATE, seed = 1) {
  const samples = new Float32Array(Math.round(seconds * rate));
  let random = seed >>> 0;
  const next = () => ((random = (Math.imul(random, 1664525) + 1013904223) >>> 0) / 2 ** 32);
  for (let at = 0.1; at < seconds - 0.3; at += 0.25 + 0.2 * next()) {
    const [from, to, length] = [400 + 1200 * next(), 600 + 2400 * next(), 0.08 + 0.08 * next()];
    for (let i = 0; i < length * rate; i++) {
      const t = i / rate;
      const phase = 2 * Math.PI * (from * t + ((to - from) * t * t) / (2 * length));
      const place = Math.round(at * rate) + i;
      if (place < samples.length) samples[place] = 0.5 * Math.sin(phase) * Math.sin((Math.PI * i) / (length * rate));
    }
  }
  return samples;
}

/**
 * How much later `heard` says what `said` says.
 * @returns {{ms: number, likeness: number}} likeness is the correlation there, 1 for a copy
 */
export function delayBetween(said, heard, rate, maxMs = 4000) {
  const maxLag = Math.round((maxMs * rate) / 1000);
  let best = { lag: 0, value: -Infinity };
  const correlation = correlate(said, heard);
  for (let lag = 0; lag <= maxLag; lag++) {
    if (correlation[lag] > best.value) best = { lag, value: correlation[lag] };
  }
  let [a, b] = [0, 0];
  for (let i = 0; i + best.lag < heard.length && i < said.length; i++) {
    a += said[i] ** 2;
    b += heard[i + best.lag] ** 2;
  }
  return { ms: (best.lag * 1000) / rate, likeness: best.value / Math.sqrt(a * b || 1) };
}

/**
 * How much of a recording is found again in what was said: the share of its pieces of 0.4 s in
 * which something sounds that are somewhere in `said`, each nearly whole. A busy machine costs a
 * piece here and there; another voice would have none.
 */
export function shareFound(said, heard, fullRate) {
  // Half the rate holds the voice and takes a quarter of the time.
  [said, heard] = [halve(said), halve(heard)];
  const rate = fullRate / 2;
  const piece = Math.round(0.4 * rate);
  let [found, all] = [0, 0];
  for (let at = 0; at + piece <= heard.length; at += piece) {
    const part = heard.subarray(at, at + piece);
    let power = 0;
    for (const x of part) power += x * x;
    if (Math.sqrt(power / piece) < 0.02) continue;
    all++;
    const { likeness } = delayBetween(part, said, rate, (said.length / rate) * 1000);
    if (likeness > 0.7) found++;
  }
  return all === 0 ? 0 : found / all;
}

function halve(samples) {
  return Float32Array.from({ length: samples.length >> 1 }, (_, i) => (samples[2 * i] + samples[2 * i + 1]) / 2);
}

/** Samples of a mono 16-bit WAV file of any maker. */
export function readWav(file) {
  const bytes = readFileSync(file);
  let at = 12;
  let rate = 0;
  while (at + 8 <= bytes.length) {
    const [id, size] = [bytes.toString('latin1', at, at + 4), bytes.readUInt32LE(at + 4)];
    if (id === 'fmt ') rate = bytes.readUInt32LE(at + 12);
    if (id === 'data') {
      const end = Math.min(bytes.length, at + 8 + size);
      const pcm = new Int16Array((end - at - 8) >> 1);
      for (let i = 0; i < pcm.length; i++) pcm[i] = bytes.readInt16LE(at + 8 + i * 2);
      return { rate, samples: fromPcm(pcm) };
    }
    at += 8 + size + (size & 1);
  }
  throw new Error(`${file} is no WAV file`);
}

/**
 * The microphone and the speaker of a page in a call, for `seconds`, sample for sample beside each
 * other, at the context's rate.
 * @returns {Promise<{rate: number, microphone: Float32Array, speaker: Float32Array}>}
 */
export async function tapBoth(page, seconds) {
  const { rate, base64 } = await page.evaluate(async (length) => {
    const { engine } = window.goastgateway;
    const { context } = engine;
    const microphone = window.microphoneNode; // the very one of the call: page.mjs keeps it
    const both = new ChannelMergerNode(context, { numberOfInputs: 2 });
    microphone.connect(both, 0, 0);
    engine.outputNode.connect(both, 0, 1);
    const target = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    both.connect(target);
    const [track] = target.stream.getAudioTracks();
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
    const wanted = Math.round(length * context.sampleRate);
    const samples = new Float32Array(wanted * 2);
    let fill = 0;
    while (fill < wanted) {
      const { value: block, done } = await reader.read();
      if (done) throw new Error('the track ended');
      const take = Math.min(block.numberOfFrames, wanted - fill);
      for (let channel = 0; channel < 2; channel++) {
        const part = new Float32Array(block.numberOfFrames);
        block.copyTo(part, { planeIndex: Math.min(channel, block.numberOfChannels - 1), format: 'f32-planar' });
        samples.set(part.subarray(0, take), channel * wanted + fill);
      }
      block.close();
      fill += take;
    }
    reader.cancel();
    track.stop();
    microphone.disconnect(both);
    engine.outputNode.disconnect(both);
    const bytes = new Uint8Array(samples.buffer);
    let text = '';
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return { rate: context.sampleRate, base64: btoa(text) };
  }, seconds);
  const bytes = Buffer.from(base64, 'base64');
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const half = all.length / 2;
  return { rate, microphone: all.subarray(0, half), speaker: all.subarray(half) };
}

/**
 * The whole way round, from the microphone to the speaker, over an echo at the far end: the median
 * over pieces of half a second. (A playout buffer that follows the far clock bends time by a hair;
 * over seconds that hides the likeness, over a piece it doesn't.)
 */
export async function roundTrip(page, seconds = 4, maxMs = 1500) {
  const { rate, microphone, speaker } = await tapBoth(page, seconds);
  const step = Math.round(rate / 8000);
  const thin = (samples) => Float32Array.from({ length: Math.floor(samples.length / step) }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < step; k++) sum += samples[i * step + k];
    return sum / step;
  });
  const [said, heard] = [thin(microphone), thin(speaker)];
  const piece = Math.round((0.5 * rate) / step);
  const reach = Math.round((maxMs * rate) / step / 1000);
  const found = [];
  for (let at = 0; at + piece + reach <= heard.length; at += piece) {
    found.push(delayBetween(said.subarray(at, at + piece), heard.subarray(at, at + piece + reach), rate / step, maxMs));
  }
  const median = (key) => found.map((f) => f[key]).sort((a, b) => a - b)[found.length >> 1];
  return { ms: median('ms'), likeness: median('likeness'), pieces: found.length };
}

/** Runs in the page: what its speaker plays now, at the context's rate. For browsers whose driver has no tap. */
export function speaker() {
  const { engine } = window.goastgateway;
  window.ear ??= new AnalyserNode(engine.context, { fftSize: 16384 });
  engine.outputNode.connect(window.ear);
  const samples = new Float32Array(window.ear.fftSize);
  window.ear.getFloatTimeDomainData(samples);
  return { rate: engine.context.sampleRate, samples: Array.from(samples, (x) => Math.round(x * 1e4) / 1e4) };
}
