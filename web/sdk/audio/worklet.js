// The sound of the phone, in the audio thread: microphone to 20 ms frames, frames to speaker.
//
// The context runs at the device's own rate; both directions are resampled here. While no call is
// up the processor gives silence and costs next to nothing. Where there is no microphone (muted,
// not yet allowed, unplugged) frames of silence go out all the same, so that the timing stays.
//
// In:  {do: 'start'} {do: 'stop'} {do: 'mute', muted} {do: 'port', port}, or an ArrayBuffer with one
//      frame to play.
// Out: an ArrayBuffer with one frame to send, or {stats}.
// Frames go over the port that was given, where one was, and over the node's own otherwise.

import { Framer, fromWire, RATE, toWire } from './pcm.js';
import { JitterBuffer } from './jitter-buffer.js';
import { Resampler } from './resampler.js';

/** Levels and figures are told this often. */
const REPORT_MS = 50;
/** One render quantum; a context may have a larger one some day, so it is only the usual size. */
const QUANTUM = 128;

class PhoneProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.active = false;
    this.muted = false;
    this.up = new Resampler(sampleRate, RATE);
    this.down = new Resampler(RATE, sampleRate);
    this.buffer = new JitterBuffer();
    this.framer = new Framer((frame) => {
      this.framesUp++;
      const bytes = toWire(frame);
      this.frames.postMessage(bytes, [bytes]);
    });
    this.frames = this.port;
    this.makeRoom(QUANTUM);
    this.clear();
    this.port.onmessage = ({ data }) => this.take(data);
  }

  makeRoom(quantum) {
    this.quantum = quantum;
    this.silence = new Float32Array(quantum);
    this.narrow = new Float32Array(quantum * 3 + 64);
    this.pulled = new Float32Array(quantum * 3 + 256);
  }

  clear() {
    this.up.reset();
    this.down.reset();
    this.buffer.reset();
    this.framer.reset();
    this.framesUp = 0;
    this.micPeak = this.speakerPeak = 0;
    this.reportAt = 0;
  }

  take(data) {
    if (data instanceof ArrayBuffer) {
      if (this.active) this.buffer.push(fromWire(data), currentTime * 1000);
      return;
    }
    if (data.do === 'start') {
      this.clear();
      this.muted = false;
      this.active = true;
    } else if (data.do === 'stop') {
      this.active = false;
    } else if (data.do === 'mute') {
      this.muted = data.muted;
    } else if (data.do === 'port') {
      if (this.frames !== this.port) this.frames.close();
      this.frames = data.port ?? this.port;
      if (data.port) data.port.onmessage = (message) => message.data instanceof ArrayBuffer && this.take(message.data);
    }
  }

  process(inputs, outputs) {
    const speaker = outputs[0];
    if (!this.active) return true;
    const quantum = speaker[0].length;
    if (quantum !== this.quantum) this.makeRoom(quantum);

    const microphone = this.muted ? undefined : inputs[0][0];
    const heard = microphone ?? this.silence;
    this.micPeak = peak(heard, quantum, this.micPeak);
    this.up.write(heard, quantum);
    this.framer.write(this.narrow, this.up.read(this.narrow, 0, this.narrow.length));

    this.down.speed = this.buffer.speed;
    const needed = this.down.needed(quantum);
    this.buffer.pull(this.pulled, 0, needed);
    this.down.write(this.pulled, needed);
    this.down.read(speaker[0], 0, quantum);
    for (let channel = 1; channel < speaker.length; channel++) speaker[channel].set(speaker[0]);
    this.speakerPeak = peak(speaker[0], quantum, this.speakerPeak);

    this.report();
    return true;
  }

  report() {
    const now = currentTime * 1000;
    if (now < this.reportAt) return;
    this.reportAt = now + REPORT_MS;
    const { bufferedMs, delayMs, stats } = this.buffer;
    this.port.postMessage({
      stats: {
        inLevel: this.micPeak,
        outLevel: this.speakerPeak,
        micLevel: this.micPeak,
        speakerLevel: this.speakerPeak,
        bufferedMs,
        playoutMs: delayMs,
        delayMs,
        targetMs: this.buffer.targetMs,
        jitterMs: this.buffer.jitterMs,
        speed: this.buffer.speed,
        framesUp: this.framesUp,
        driftPpm: this.buffer.driftPpm,
        framesDown: stats.frames,
        underruns: stats.underruns,
        concealedMs: stats.concealedMs,
        droppedMs: stats.shedMs,
        shedMs: stats.shedMs,
        compressedMs: stats.compressedMs,
        stretchedMs: stats.stretchedMs,
      },
    });
    this.micPeak = this.speakerPeak = 0;
  }
}

function peak(samples, count, top) {
  for (let i = 0; i < count; i++) {
    const x = Math.abs(samples[i]);
    if (x > top) top = x;
  }
  return top;
}

registerProcessor('goastgateway-phone', PhoneProcessor);
