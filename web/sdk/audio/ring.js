// Ring tones and key tones, computed once and played by the browser, so that a busy page cannot
// make them stumble.

import { keyTone, renderBell, renderKey, renderRing, RINGS } from './tones.js';

/** How loud a ring tone is, of 1. */
const RING_VOLUME = 0.3;
/** How loud a key is to the one who presses it. */
const KEY_VOLUME = 0.12;

/**
 * Where it sounds: what of an engine is needed.
 * @typedef {Pick<import('./engine.js').AudioEngine, 'hold' | 'prepare' | 'context' | 'ringNode'>} Place
 */

/** The bell of the phone. It sounds on the engine's ringer. */
export class RingTone {
  #engine;
  /** @type {AudioBufferSourceNode | null} */
  #source = null;
  #release = () => {};
  #round = 0;

  /** @param {Place} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /**
   * Rings until `stop`.
   * @param {string} [name] 'bell', or a key of RINGS: 'jp', 'us', 'uk', 'de', 'fr' …
   * @param {{url?: string}} [own] `url`: a sound file instead; when it can't be had, the tone sounds
   */
  async start(name = 'bell', { url } = {}) {
    this.stop();
    const round = ++this.#round;
    this.#release = this.#engine.hold();
    try {
      await this.#engine.prepare();
    } catch {
      return;
    }
    const { context, ringNode } = this.#engine;
    if (!context || !ringNode) return;
    const own = url ? await load(context, url) : null;
    if (round !== this.#round) return;
    const buffer = own ?? inBuffer(context, Object.hasOwn(RINGS, name) ? renderRing(RINGS[name], context.sampleRate) : renderBell(context.sampleRate), RING_VOLUME);
    this.#source = new AudioBufferSourceNode(context, { buffer, loop: true });
    this.#source.connect(ringNode);
    this.#source.start();
  }

  stop() {
    this.#round++;
    this.#source?.stop();
    this.#source?.disconnect();
    this.#source = null;
    this.#release();
    this.#release = () => {};
  }
}

/**
 * The tone of a key, to the one who presses it only (the far end gets it by the protocol).
 * @param {import('./engine.js').AudioEngine} engine
 * @param {string} key 0-9 * # a-d; anything else is silent
 */
export async function playKey(engine, key) {
  const hz = keyTone(key);
  if (hz) await playOnce(engine, 'speaker', (rate) => renderKey(hz, rate), KEY_VOLUME);
}

/**
 * Lets a device be heard: one round of the bell.
 * @param {import('./engine.js').AudioEngine} engine
 * @param {'speaker' | 'ringer'} where
 */
export function playTest(engine, where) {
  return playOnce(engine, where, renderBell, RING_VOLUME);
}

/**
 * @param {import('./engine.js').AudioEngine} engine
 * @param {'speaker' | 'ringer'} where
 * @param {(rate: number) => Float32Array} render
 * @param {number} volume
 */
async function playOnce(engine, where, render, volume) {
  const release = engine.hold();
  try {
    await engine.prepare();
  } catch {
    return release();
  }
  const { context } = engine;
  const node = where === 'ringer' ? engine.ringNode : engine.speakerNode;
  if (!context || !node) return release();
  const source = new AudioBufferSourceNode(context, { buffer: inBuffer(context, render(context.sampleRate), volume) });
  source.connect(node);
  source.onended = () => {
    source.disconnect();
    release();
  };
  source.start();
}

/** @param {AudioContext} context @param {Float32Array} samples @param {number} volume */
function inBuffer(context, samples, volume) {
  const buffer = context.createBuffer(1, samples.length, context.sampleRate);
  buffer.copyToChannel(samples.map((x) => x * volume), 0);
  return buffer;
}

/** @param {AudioContext} context @param {string} url @returns {Promise<AudioBuffer | null>} */
async function load(context, url) {
  try {
    const answer = await fetch(url);
    return answer.ok ? await context.decodeAudioData(await answer.arrayBuffer()) : null;
  } catch {
    return null;
  }
}
