// Band-limited sample-rate conversion, any rate to any rate, as a stream.
//
// A windowed sinc cut into phases, with straight lines between the phases. State is kept
// between blocks, so that a stream cut anywhere gives the same samples, and nothing is
// allocated once the object stands. `speed` bends the ratio by a little while it runs: that is
// how the playout follows a far clock that runs faster or slower than ours.
//
// Pure: no clock, no audio API. Runs in an AudioWorklet, in a page and in a test.

/** Zero crossings of the sinc on each side of its centre: about 1.5 ms of delay at 16 kHz. */
const ZERO_CROSSINGS = 24;
/** Phases in the table; with lines between them the error lies under -90 dB. */
const PHASES = 256;
/** Where the filter begins to fall, as a share of the lower Nyquist frequency. */
const ROLLOFF = 0.91;
/** Kaiser window: about 80 dB of stop band. */
const KAISER_BETA = 8;
/** Input that may wait inside, beyond the filter's own length. */
const SLACK = 8192;

/** Modified Bessel function of the first kind, order 0. */
function besselI0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; k < 50; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
    if (term < 1e-12 * sum) break;
  }
  return sum;
}

/**
 * @param {number} half taps on each side
 * @param {number} cutoff share of the input's Nyquist frequency
 */
function makeTable(half, cutoff) {
  const taps = 2 * half;
  const table = new Float32Array((PHASES + 1) * taps);
  const norm = besselI0(KAISER_BETA);
  for (let p = 0; p <= PHASES; p++) {
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const d = k - half + 1 - p / PHASES;
      const x = d / half;
      const window = Math.abs(x) >= 1 ? 0 : besselI0(KAISER_BETA * Math.sqrt(1 - x * x)) / norm;
      const angle = Math.PI * cutoff * d;
      const value = window * (Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle);
      table[p * taps + k] = value;
      sum += value;
    }
    // Every phase passes a constant unchanged, so that silence and hum get no ripple.
    for (let k = 0; k < taps; k++) table[p * taps + k] /= sum;
  }
  return table;
}

export class Resampler {
  #table;
  #half;
  #taps;
  #step;
  #speed = 1;
  #buffer;
  #fill;
  #position;

  /**
   * @param {number} inputRate 8000 to 192000
   * @param {number} outputRate 8000 to 192000
   */
  constructor(inputRate, outputRate) {
    for (const rate of [inputRate, outputRate]) {
      if (!(rate >= 8000 && rate <= 192000)) throw new RangeError(`sample rate ${rate} is not between 8000 and 192000`);
    }
    const narrow = Math.min(1, outputRate / inputRate);
    this.#half = Math.ceil(ZERO_CROSSINGS / narrow);
    this.#taps = 2 * this.#half;
    this.#table = makeTable(this.#half, narrow * ROLLOFF);
    this.#step = inputRate / outputRate;
    this.#buffer = new Float32Array(this.#taps + SLACK);
    this.reset();
  }

  /** Input samples consumed for each output sample, times this. 1 is nominal. */
  set speed(value) {
    this.#speed = Math.min(1.05, Math.max(0.95, value));
  }
  get speed() {
    return this.#speed;
  }

  /** Delay in input samples. */
  get latency() {
    return this.#half;
  }

  /** Forgets the past: the next sample follows silence. */
  reset() {
    this.#buffer.fill(0);
    this.#fill = this.#half;
    this.#position = this.#half;
  }

  /**
   * How many more input samples `read(_, _, count)` needs to give all `count` samples.
   * @param {number} count
   */
  needed(count) {
    if (count <= 0) return 0;
    const last = Math.floor(this.#position + (count - 1) * this.#step * this.#speed);
    // One sample of margin against rounding in the running sum.
    return Math.max(0, last + this.#half + 2 - this.#fill);
  }

  /**
   * Takes input. What does not fit is refused: read first.
   * @param {Float32Array} source
   * @param {number} [count]
   * @returns {number} samples taken
   */
  write(source, count = source.length) {
    if (this.#fill + count > this.#buffer.length) this.#compact();
    const n = Math.min(count, this.#buffer.length - this.#fill);
    for (let i = 0; i < n; i++) this.#buffer[this.#fill + i] = source[i];
    this.#fill += n;
    return n;
  }

  /**
   * Gives as many samples as the input allows, at most `count`.
   * @param {Float32Array} target
   * @param {number} offset
   * @param {number} count
   * @returns {number} samples given
   */
  read(target, offset, count) {
    const half = this.#half;
    const taps = this.#taps;
    const table = this.#table;
    const buffer = this.#buffer;
    const step = this.#step * this.#speed;
    let position = this.#position;
    let given = 0;
    while (given < count) {
      const whole = Math.floor(position);
      if (whole + half >= this.#fill) break;
      const phase = (position - whole) * PHASES;
      const row = Math.floor(phase);
      const blend = phase - row;
      const first = whole - half + 1;
      const a = row * taps;
      let sum = 0;
      if (blend < 1e-6) {
        for (let k = 0; k < taps; k++) sum += buffer[first + k] * table[a + k];
      } else {
        const b = a + taps;
        let next = 0;
        for (let k = 0; k < taps; k++) {
          const x = buffer[first + k];
          sum += x * table[a + k];
          next += x * table[b + k];
        }
        sum += (next - sum) * blend;
      }
      target[offset + given] = sum;
      given++;
      position += step;
    }
    this.#position = position;
    return given;
  }

  #compact() {
    const keepFrom = Math.floor(this.#position) - this.#half + 1;
    if (keepFrom <= 0) return;
    this.#buffer.copyWithin(0, keepFrom, this.#fill);
    this.#fill -= keepFrom;
    this.#position -= keepFrom;
  }
}
