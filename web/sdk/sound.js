// What the calls want of the sound, done: the engine started and stopped, its frames led past the
// page, ring tones, key tones, and a sample of the quality each second.

import { playKey, RingTone } from './audio/ring.js';
import { Emitter } from './emitter.js';
import { opinionScore } from './quality.js';

/** A sample each second. */
const SAMPLE_MS = 1000;
/** Levels go to a page this often. */
const VOLUME_MS = 50;
/** One frame waits until it is whole. */
const FRAME_MS = 20;
/** A key sounds and pauses as long as Asterisk sends it; a `w` waits. */
const KEY_MS = 230;
const WAIT_MS = 500;
/** What one unsent byte weighs: 640 bytes are 20 ms. */
const MS_PER_BYTE = 20 / 640;

/**
 * @typedef {import('./audio/engine.js').AudioEngine} AudioEngine
 * @typedef {import('./wire.js').Wire} Wire
 * @typedef {import('./wire.js').WireCounts} WireCounts
 * @typedef {import('./quality.js').Sample} Sample
 * @typedef {{tone: string, url?: string, incoming: boolean, outgoing: boolean, keys: boolean}} RingOptions
 *   `tone`: 'bell' or a country's, see audio/tones.js. `url`: a sound file instead. The rest: whether it sounds at all.
 */

/**
 * @extends {Emitter<{sample: [sample: Sample], volume: [input: number, output: number], blocked: [blocked: boolean], failed: [code: number, why: string], second: []}>}
 */
export class Sound extends Emitter {
  #engine;
  #options;
  #ringer;
  /** Ringback and call waiting are for the ear, not for the ringer. */
  #earpiece;
  /** @type {Wire | null} */
  #wire = null;
  #on = false;
  #silenced = false;
  #volumeAt = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #dueAt = 0;
  /** @type {WireCounts} */
  #counts = { bytesIn: 0, bytesOut: 0, framesIn: 0, dropped: 0, queued: 0 };
  #from = this.#counts;
  #concealedBefore = 0;
  /** @type {{gateway: Record<string, number>, rttMs: number | null}} what others have said for the next sample */
  told = { gateway: {}, rttMs: null };
  #off;

  /** @param {AudioEngine} engine @param {() => RingOptions} options asked each time */
  constructor(engine, options) {
    super();
    this.#engine = engine;
    this.#options = options;
    this.#ringer = new RingTone(engine);
    this.#earpiece = new RingTone(/** @type {any} */ ({
      hold: () => engine.hold(),
      prepare: () => engine.prepare(),
      get context() {
        return engine.context;
      },
      get ringNode() {
        return engine.speakerNode;
      },
    }));
    this.#off = [
      engine.on('frame', (bytes) => this.#wire?.send({ do: 'audio', bytes }, [bytes])),
      engine.on('stats', (stats) => {
        const now = performance.now();
        if (now - this.#volumeAt < VOLUME_MS * 0.9) return;
        this.#volumeAt = now;
        this.emit('volume', stats.micLevel, stats.speakerLevel);
      }),
      engine.on('sound', (state) => {
        this.emit('blocked', state === 'blocked');
        if (state === 'failed' || state === 'unsupported') this.emit('failed', 53405, state);
      }),
      engine.on('mic', (state) => {
        if (state === 'denied') this.emit('failed', 31401, state);
        else if (!['off', 'opening', 'on'].includes(state)) this.emit('failed', 31402, state);
      }),
    ];
  }

  /** @param {Wire | null} wire */
  set wire(wire) {
    this.#wire = wire;
    if (this.#on) this.#lead();
  }

  /** Frames from the gateway that came through the page. @param {ArrayBuffer} bytes */
  play(bytes) {
    this.#engine.play(bytes);
  }

  /** @param {WireCounts} counts */
  count(counts) {
    this.#counts = counts;
  }

  /** While calls are up. @param {boolean} on */
  run(on) {
    if (on === this.#on) return;
    this.#on = on;
    clearInterval(this.#timer);
    if (!on) return this.#engine.stop();
    this.#from = { ...this.#counts };
    this.#concealedBefore = 0;
    this.told = { gateway: {}, rttMs: this.told.rttMs };
    this.#lead();
    this.#engine.start();
    this.#engine.setMuted(this.#silenced);
    this.#dueAt = performance.now() + SAMPLE_MS;
    this.#timer = setInterval(() => this.#second(), SAMPLE_MS);
  }

  /** @param {boolean} heard whether somebody hears us @param {boolean} muted */
  talk(heard, muted) {
    this.#wire?.send({ do: 'talk', on: heard });
    this.#silenced = muted || !heard;
    this.#engine.setMuted(this.#silenced);
  }

  /** Before an answer: what it needs is loaded. */
  prepare() {
    this.#engine.prepare().catch(() => {});
  }

  /** @param {import('./calls.js').RingHow} how */
  ring(how) {
    const { tone, url, incoming, outgoing } = this.#options();
    this.#ringer.stop();
    this.#earpiece.stop();
    if (how === 'ring' && incoming) this.#ringer.start(tone, { url });
    if (how === 'waiting' && incoming) this.#earpiece.start('waiting');
    if (how === 'ringback' && outgoing) this.#earpiece.start(tone === 'bell' ? 'eu' : tone);
  }

  /** For the ear of who presses them. @param {string} digits */
  digits(digits) {
    if (!this.#options().keys) return;
    let at = 0;
    for (const digit of digits) {
      if (digit !== 'w') setTimeout(() => playKey(this.#engine, digit), at);
      at += digit === 'w' ? WAIT_MS : KEY_MS;
    }
  }

  /** A port from the worklet to the wire's worker, so that a busy page delays no sound. */
  #lead() {
    if (!this.#wire?.inWorker) return;
    const { port1, port2 } = new MessageChannel();
    this.#engine.setPort(port1);
    this.#wire.send({ do: 'port', port: port2 }, [port2]);
  }

  #second() {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#dueAt);
    this.#dueAt = now + SAMPLE_MS;
    this.#wire?.send({ do: 'count' });
    this.emit('second');
    this.emit('sample', this.#sample(lateMs));
  }

  /** @param {number} lateMs @returns {Sample} */
  #sample(lateMs) {
    const stats = this.#engine.stats;
    const { gateway, rttMs } = this.told;
    const counts = this.#counts;
    const concealed = Math.max(0, stats.concealedMs - this.#concealedBefore);
    this.#concealedBefore = stats.concealedMs;
    const concealedShare = Math.min(1, concealed / (SAMPLE_MS + lateMs));
    const uplinkQueueMs = Math.round(counts.queued * MS_PER_BYTE);
    const downlinkQueueMs = gateway.to_phone_queue_ms ?? 0;
    const asteriskQueueMs = gateway.asterisk_queue_ms ?? 0;
    const oneWay = (rttMs ?? 0) / 2;
    const e2eMs = Math.round(Math.max(
      FRAME_MS + downlinkQueueMs + oneWay + stats.delayMs,
      FRAME_MS + uplinkQueueMs + oneWay + asteriskQueueMs,
    ));
    return {
      at: Date.now(), rttMs, playoutMs: Math.round(stats.delayMs), jitterMs: Math.round(stats.jitterMs), e2eMs,
      uplinkQueueMs, downlinkQueueMs, asteriskQueueMs,
      underruns: stats.underruns, concealedMs: Math.round(stats.concealedMs), concealedShare, droppedMs: Math.round(stats.shedMs),
      droppedUp: counts.dropped - this.#from.dropped,
      driftPpm: Math.round(stats.driftPpm),
      bytesIn: counts.bytesIn - this.#from.bytesIn, bytesOut: counts.bytesOut - this.#from.bytesOut,
      inLevel: stats.micLevel, outLevel: stats.speakerLevel,
      mos: Math.round(opinionScore(e2eMs, concealedShare) * 100) / 100, lateMs: Math.round(lateMs),
    };
  }

  close() {
    this.run(false);
    this.#ringer.stop();
    this.#earpiece.stop();
    for (const off of this.#off) off();
  }
}
