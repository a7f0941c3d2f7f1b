// The microphone and the speaker of a page in a call, with the wall's clock on them.

import { Resampler } from '../../web/sdk/audio/resampler.js';
import { RATE } from './ears.mjs';

/**
 * Known moments are marked, on a track of their own: among the microphone's samples a mark that falls between
 * two of them, and is taken out of one, leaves a click in what everything is compared with.
 */
const MARK = 1;
/** One mark every so many seconds: a busy machine may lose a piece. */
const MARK_EVERY_S = 1;
/** Each of so many is louder than the one before: on a busy machine a recording begins a second late. */
const MARKS = 4;
/** Microphone, speaker, marks. */
const TRACKS = 3;

/**
 * @param {import('playwright-core').Page} page in a call
 * @param {number} seconds
 * @returns {Promise<{microphone: import('./ears.mjs').Track, speaker: import('./ears.mjs').Track}>}
 *   `from`: when the first sample was rendered; the speaker's later by the device's own buffer
 */
export async function record(page, seconds) {
  const told = await page.evaluate(inPage, [seconds, MARK, MARK_EVERY_S, MARKS, TRACKS]);
  const bytes = Buffer.from(told.base64, 'base64');
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const [microphone, speaker, marks] = Array.from({ length: TRACKS }, (_, i) => all.subarray((i * all.length) / TRACKS, ((i + 1) * all.length) / TRACKS));
  const first = marks.findIndex((x) => x > (0.45 * MARK) / MARKS);
  if (first < 0) throw new Error('the recording has no mark');
  // Which of the marks is it? The one of this loudness that agrees with when the recording began, about.
  const loud = marks.subarray(Math.max(0, first - 1), first + 3).reduce((sum, x) => sum + x, 0);
  const which = Math.round((loud / MARK) * MARKS) - 1;
  const about = (told.begun + first / told.rate - told.markAt) / MARK_EVERY_S;
  const nth = which + MARKS * Math.round((about - which) / MARKS);
  // `late` is the wall's clock less the context's.
  const from = told.late + 1000 * (told.markAt + nth * MARK_EVERY_S - first / told.rate);
  return {
    microphone: { from, samples: narrow(microphone, told.rate) },
    speaker: { from: from + told.bufferMs, samples: narrow(speaker, told.rate) },
  };
}

/** Runs in the page, whose policy lets no worklet of ours in: the sound is taken as a track. */
async function inPage([seconds, mark, every, count, tracks]) {
  const { engine } = window.goastgateway;
  const { context } = engine;
  const all = new ChannelMergerNode(context, { numberOfInputs: tracks });
  window.microphoneNode.connect(all, 0, 0);
  engine.outputNode.connect(all, 0, 1);
  const target = new MediaStreamAudioDestinationNode(context, { channelCount: tracks, channelInterpretation: 'discrete' });
  all.connect(target);
  const impulse = context.createBuffer(1, count * every * context.sampleRate, context.sampleRate);
  for (let i = 0; i < count; i++) impulse.getChannelData(0)[i * every * context.sampleRate] = (mark * (i + 1)) / count;
  const source = new AudioBufferSourceNode(context, { buffer: impulse, loop: true });
  source.connect(all, 0, 2);
  const markAt = Math.ceil((context.currentTime + 0.5) * 375) / 375; // whole samples at 48 kHz
  source.start(markAt);
  const [track] = target.stream.getAudioTracks();
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 3000 }).readable.getReader();
  // The context's clock goes on in leaps, a device buffer at a time; right after one it is most ahead.
  let late = Infinity;
  const watch = setInterval(() => {
    late = Math.min(late, performance.timeOrigin + performance.now() - 1000 * context.currentTime);
  }, 3);
  const wanted = Math.round(seconds * context.sampleRate);
  const samples = new Float32Array(tracks * wanted);
  let fill = 0;
  const begun = context.currentTime;
  while (fill < wanted) {
    const { value: block, done } = await reader.read();
    if (done) throw new Error('the track ended');
    const part = new Float32Array(block.numberOfFrames);
    const take = Math.min(part.length, wanted - fill);
    for (let channel = 0; channel < tracks; channel++) {
      block.copyTo(part, { planeIndex: channel, format: 'f32-planar' });
      samples.set(part.subarray(0, take), channel * wanted + fill);
    }
    block.close();
    fill += take;
  }
  clearInterval(watch);
  reader.cancel();
  track.stop();
  source.stop();
  window.microphoneNode.disconnect(all);
  engine.outputNode.disconnect(all);
  const bytes = new Uint8Array(samples.buffer);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return { rate: context.sampleRate, begun, markAt, late, bufferMs: 1000 * context.baseLatency, base64: btoa(text) };
}

function narrow(wide, rate) {
  const resampler = new Resampler(rate, RATE);
  const out = new Float32Array(Math.ceil((wide.length * RATE) / rate) + 16);
  let given = 0;
  for (let i = 0; i < wide.length; i += 4096) {
    resampler.write(wide.subarray(i, i + 4096));
    given += resampler.read(out, given, out.length - given);
  }
  return out.subarray(0, given);
}
