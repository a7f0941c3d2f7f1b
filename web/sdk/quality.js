// How good a call is: a sample each second, an opinion score, and warnings that don't flicker.
// Pure.

/** A warning is raised when this many of the last samples are beyond its threshold … */
const RAISE = 3;
/** … of so many. */
const OF = 5;
/** A warning stays at least this long. */
const STAY_MS = 5000;
/** Level under which a microphone or speaker counts as dead still, if it does not move either. */
const STILL = 1e-4;
/** Samples in a row of dead stillness before it is said: an echo canceller makes pauses still, too. */
const STILL_SAMPLES = 10;

/**
 * @typedef {{
 *   at: number, rttMs: number | null, playoutMs: number, jitterMs: number, e2eMs: number,
 *   uplinkQueueMs: number, downlinkQueueMs: number, asteriskQueueMs: number,
 *   underruns: number, concealedMs: number, concealedShare: number, droppedMs: number, droppedUp: number,
 *   driftPpm: number, bytesIn: number, bytesOut: number, inLevel: number, outLevel: number, mos: number, lateMs: number,
 * }} Sample
 *   Counts are since the call began, the share is of the last second. `e2eMs`: the longer of the two ways between
 *   the microphone or speaker here and Asterisk, as far as it is known. `lateMs`: how late the timer of this page was.
 */

/**
 * `beyond`, where it is something else than a value above the threshold.
 * @type {[name: string, value: (s: Sample) => number, threshold: number, beyond?: (s: Sample, before?: Sample) => boolean][]}
 */
const RULES = [
  ['high-rtt', (s) => s.rttMs ?? 0, 400],
  ['high-jitter', (s) => s.jitterMs, 30],
  ['low-mos', (s) => s.mos, 3, (s) => s.mos < 3],
  ['high-packet-loss', (s) => s.concealedShare, 0.03],
  ['high-latency', (s) => s.e2eMs, 400],
  ['clock-drift', (s) => s.driftPpm, 500, (s) => Math.abs(s.driftPpm) > 500],
  ['low-bytes-received', (s) => s.bytesIn, 0, (s, before) => s.bytesIn === before?.bytesIn],
  ['low-bytes-sent', (s) => s.bytesOut, 0, (s, before) => s.bytesOut === before?.bytesOut],
  ['tab-throttled', (s) => s.lateMs, 1000],
];

/**
 * The E-model in short: delay and what had to be made up take away from 93.2.
 * @param {number} delayMs one way
 * @param {number} share of the time that was made up, 0 to 1
 */
export function opinionScore(delayMs, share) {
  const late = 0.024 * delayMs + (delayMs > 177.3 ? 0.11 * (delayMs - 177.3) : 0);
  const percent = 100 * Math.min(1, Math.max(0, share));
  // 25.1 is how robust G.711 with concealment is (ITU-T G.113).
  const r = Math.min(100, Math.max(0, 93.2 - late - (95 * percent) / (percent + 25.1)));
  return Math.min(4.5, Math.max(1, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6));
}

/**
 * Warnings of one call.
 */
export class Warnings {
  /** @type {Sample[]} */
  #samples = [];
  /** @type {Map<string, number>} since when each stands */
  #raised = new Map();
  #still = { in: 0, out: 0 };

  /** Names of those that stand. */
  get standing() {
    return [...this.#raised.keys()];
  }

  /**
   * @param {Sample} sample
   * @param {{muted: boolean, silent?: boolean}} call `silent`: nothing is expected to flow, as when it is held
   * @returns {{raised: [name: string, data: {value: number, threshold: number, samples: Sample[]}][], cleared: string[]}}
   */
  take(sample, { muted, silent = false }) {
    const before = this.#samples.at(-1);
    this.#samples.push(sample);
    if (this.#samples.length > OF + 1) this.#samples.shift();
    const pairs = this.#samples.map((s, i) => /** @type {const} */ ([s, this.#samples[i - 1]])).slice(-OF);
    /** @type {[string, {value: number, threshold: number, samples: Sample[]}][]} */
    const raised = [];
    /** @type {string[]} */
    const cleared = [];
    /** @param {string} name @param {boolean} raise @param {boolean} clear @param {number} value @param {number} threshold */
    const judge = (name, raise, clear, value, threshold) => {
      const since = this.#raised.get(name);
      if (since === undefined && raise) {
        this.#raised.set(name, sample.at);
        raised.push([name, { value, threshold, samples: this.#samples.slice(-OF) }]);
      } else if (since !== undefined && clear && sample.at - since >= STAY_MS) {
        this.#raised.delete(name);
        cleared.push(name);
      }
    };
    for (const [name, value, threshold, beyond = (/** @type {Sample} */ s) => value(s) > threshold] of RULES) {
      const quiet = silent && name.startsWith('low-bytes');
      const count = quiet ? 0 : pairs.filter(([s, b]) => beyond(s, b)).length;
      judge(name, count >= RAISE, count === 0, value(sample), threshold);
    }
    // A level that does not move is a microphone that is off, or a far end that is.
    for (const way of /** @type {const} */ (['in', 'out'])) {
      const level = sample[`${way}Level`];
      const dead = !silent && !(muted && way === 'in') && still(level, before?.[`${way}Level`]);
      const count = (this.#still[way] = dead ? this.#still[way] + 1 : 0);
      judge(`constant-audio-${way}put-level`, count >= STILL_SAMPLES, count === 0, level, STILL);
    }
    return { raised, cleared };
  }

  /** Raised and cleared by something else than samples. @param {string} name @param {boolean} on @param {number} now @returns {boolean} whether that is new */
  set(name, on, now) {
    if (this.#raised.has(name) === on) return false;
    if (on) this.#raised.set(name, now);
    else this.#raised.delete(name);
    return true;
  }
}

/** @param {number} level @param {number | undefined} before */
const still = (level, before) => before !== undefined && Math.abs(level - before) < STILL && level < 0.99;
