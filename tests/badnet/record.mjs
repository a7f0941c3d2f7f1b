// The microphone and the speaker of a page in a call, with the wall's clock on them.

import { Resampler } from '../../web/sdk/audio/resampler.js';
import { RATE } from './ears.mjs';

/** A sample that speech never is: it marks known moments in the recording. */
const MARK = 1;
/** The microphone is recorded softer than it is, so that no voice reaches the mark. */
const SOFTER = 0.4;
/** One mark every so many seconds: a busy machine may lose a piece. */
const MARK_EVERY_S = 1;

/**
 * @param {import('playwright-core').Page} page in a call
 * @param {number} seconds
 * @returns {Promise<{microphone: import('./ears.mjs').Track, speaker: import('./ears.mjs').Track}>}
 *   `from`: when the first sample was rendered; the speaker's later by the device's own buffer
 */
export async function record(page, seconds) {
  const told = await page.evaluate(inPage, [seconds, MARK, MARK_EVERY_S, SOFTER]);
  const bytes = Buffer.from(told.base64, 'base64');
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const [microphone, speaker] = [all.slice(0, all.length / 2), all.slice(all.length / 2)];
  const marks = [];
  for (const [i, x] of microphone.entries()) if (x > 0.55 * MARK) marks.push(i);
  if (marks.length === 0) throw new Error('the recording has no mark');
  for (const mark of marks) microphone[mark] = microphone[mark - 1] ?? 0;
  for (let i = 0; i < microphone.length; i++) microphone[i] /= SOFTER;
  // Which of the marks is it? The one that agrees with when the recording began, about.
  const [first] = marks;
  const nth = Math.round((told.begun + first / told.rate - told.markAt) / MARK_EVERY_S);
  // `late` is the wall's clock less the context's.
  const from = told.late + 1000 * (told.markAt + nth * MARK_EVERY_S - first / told.rate);
  return {
    microphone: { from, samples: narrow(microphone, told.rate) },
    speaker: { from: from + told.bufferMs, samples: narrow(speaker, told.rate) },
  };
}

/** Runs in the page, whose policy lets no worklet of ours in: the sound is taken as a track. */
async function inPage([seconds, mark, every, softer]) {
  const { engine } = window.goastgateway;
  const { context } = engine;
  const both = new ChannelMergerNode(context, { numberOfInputs: 2 });
  const soft = new GainNode(context, { gain: softer });
  window.microphoneNode.connect(soft).connect(both, 0, 0);
  engine.outputNode.connect(both, 0, 1);
  const target = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
  both.connect(target);
  const impulse = context.createBuffer(1, every * context.sampleRate, context.sampleRate);
  impulse.getChannelData(0)[0] = mark;
  const source = new AudioBufferSourceNode(context, { buffer: impulse, loop: true });
  source.connect(both, 0, 0);
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
  const samples = new Float32Array(2 * wanted);
  let fill = 0;
  const begun = context.currentTime;
  while (fill < wanted) {
    const { value: block, done } = await reader.read();
    if (done) throw new Error('the track ended');
    const part = new Float32Array(block.numberOfFrames);
    const take = Math.min(part.length, wanted - fill);
    for (const channel of [0, 1]) {
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
  window.microphoneNode.disconnect(soft);
  engine.outputNode.disconnect(both);
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
