// Signed 16-bit little-endian samples, as they go over the wire, and the frame they go in.

/** The wire's sample rate. */
export const RATE = 16000;
/** Samples in one frame of 20 ms. */
export const FRAME_SAMPLES = 320;
/** Bytes in one frame. */
export const FRAME_BYTES = 640;

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * The samples of one binary message. An odd last byte is left out.
 * @param {ArrayBuffer} bytes
 * @returns {Int16Array}
 */
export function fromWire(bytes) {
  const samples = new Int16Array(bytes, 0, bytes.byteLength >> 1);
  return LITTLE_ENDIAN ? samples : swapped(samples);
}

/**
 * @param {Int16Array} samples
 * @returns {ArrayBuffer} ready to be sent; on most machines the samples' own memory
 */
export function toWire(samples) {
  return /** @type {ArrayBuffer} */ ((LITTLE_ENDIAN ? samples : swapped(samples)).buffer);
}

function swapped(samples) {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  for (let i = 0; i < samples.length; i++) view.setInt16(i * 2, samples[i], !LITTLE_ENDIAN);
  return new Int16Array(view.buffer);
}

/**
 * Cuts a stream of floats into whole frames.
 */
export class Framer {
  #frame = new Int16Array(FRAME_SAMPLES);
  #fill = 0;
  #emit;

  /** @param {(frame: Int16Array) => void} emit owns the frame it is given */
  constructor(emit) {
    this.#emit = emit;
  }

  reset() {
    this.#fill = 0;
  }

  /**
   * @param {Float32Array} samples
   * @param {number} count
   */
  write(samples, count) {
    for (let i = 0; i < count; i++) {
      const v = samples[i] * 32768;
      this.#frame[this.#fill++] = v >= 32767 ? 32767 : v <= -32768 ? -32768 : Math.round(v);
      if (this.#fill === FRAME_SAMPLES) {
        const whole = this.#frame;
        this.#frame = new Int16Array(FRAME_SAMPLES);
        this.#fill = 0;
        this.#emit(whole);
      }
    }
  }
}
