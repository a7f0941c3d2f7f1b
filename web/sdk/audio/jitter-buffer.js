// The playout buffer: frames come in when the network pleases, samples go out one after the
// other. It keeps the delay as small as the network allows and never lets it grow.
//
// Four promises, each with a test:
// - What waits is never more than 120 ms. After a freeze that thaws into a burst the oldest
//   goes at once, and the delay is what it was before.
// - When the network calms down, the delay shrinks again within seconds: whole pitch periods are
//   left out where neighbours match, and quiet parts are shortened.
// - A gap is bridged with the last pitch period, faded out; every join is a cross-fade. No clicks.
// - A far clock that runs fast or slow is followed by `speed`, which the resampler behind obeys.
//
// How it knows: the plain protocol has no sequence numbers, but TCP loses nothing, so the n-th
// sample should come n/16 ms after the first. How much later than the quickest of the last few
// seconds a frame comes is its lateness. What waited when it came, plus its lateness, is the
// *cushion*: it does not move with jitter, only with drift and with what we do ourselves.
// The cushion is steered to cover nearly all lateness seen in the window.
//
// Pure: no clock, no audio API; time is an argument. Nothing is allocated after construction.

import { FRAME_SAMPLES, RATE } from './pcm.js';

const PER_MS = RATE / 1000;
/** Nothing more than this ever waits: the highest target, and the burst of a frame that comes on time. */
const CEILING_MS = 180;
/** The delay aimed at never leaves this range; a frame's own 20 ms are in it. */
const LOWEST_TARGET_MS = 32;
const HIGHEST_TARGET_MS = 140;
/** Before anything is known of the network. */
const FIRST_LATENESS_MS = 8;
/**
 * What the cushion holds beyond the lateness: one callback of a usual audio device, and a busy page.
 * Where lateness is long it was measured with those in it, and less is enough.
 */
const MARGIN_MS = 12;
const LEAST_MARGIN_MS = 4;
const MARGIN_SHRINKS = 1 / 8;
/** One frame, which a full-size arrival adds on top of the cushion. */
const FRAME_MS = FRAME_SAMPLES / PER_MS;
/** Frames in the window of lateness: 4 s. After that long, a bad moment is forgotten. */
const WINDOW = 400;
/** Frames to have seen before the lateness is believed: 1 s. */
const WINDOW_MIN = 50;
/** The share of frames that the cushion covers; the rest is bridged. Two of the window may be late. */
const COVERED = 0.98;
/** A frame that is later than the one before by this much begins a stall. */
const STALL_MS = 15;
/** Quickest frames of past windows, one each 4 s, by which the far clock is judged: a minute. */
const DRIFT_WINDOWS = 15;
/** Before so many are there, nothing is said about the far clock. */
const DRIFT_WINDOWS_MIN = 4;
/** Later than this is a blackout, not jitter, and teaches nothing about jitter. */
const BLACKOUT_MS = 400;
/** After oldest audio was thrown away, everything above the target goes, for this long. */
const SETTLE_MS = 200;
/**
 * The same after a blackout: what lay in between comes in a burst, and only then, by and by, what is
 * spoken now. How quick that burst was says nothing about the network.
 */
const SETTLE_BLACKOUT_MS = 500;
/** A join is faded over this many samples: 6 ms. */
const FADE = 96;
/** Pitch periods looked for: 2.5 to 20 ms. */
const PITCH_MIN = 40;
const PITCH_MAX = 320;
/** A bridged gap keeps its loudness for 10 ms, and is silent after 40 ms. */
const CONCEAL = 640;
const CONCEAL_FULL = 160;
/** Root mean square under which a part is quiet (about -50 dBFS). */
const QUIET = 0.003;
/** How far off the cushion may be before samples are left out or repeated. */
const SLOPPY_MS = 8;
/** Speed is bent by this much for each ms that the cushion is off, and never by more than MAX_BEND. */
const BEND_PER_MS = 0.0003;
const MAX_BEND = 0.005;
/** Ring: about a second, a power of two. */
const CAPACITY = 16384;
const MASK = CAPACITY - 1;

const FADE_IN = Float32Array.from({ length: FADE }, (_, k) => 0.5 - 0.5 * Math.cos((Math.PI * (k + 1)) / (FADE + 1)));
const FADE_OUT = Float32Array.from({ length: CONCEAL }, (_, k) =>
  0.5 + 0.5 * Math.cos((Math.PI * Math.max(0, k + 1 - CONCEAL_FULL)) / (CONCEAL - CONCEAL_FULL)));

export class JitterBuffer {
  #ring = new Float32Array(CAPACITY);
  #read = 0;
  #write = 0;
  #playing = false;

  // What a join fades away from.
  #ghost = new Float32Array(FADE);
  #spare = new Float32Array(FADE);
  #fadeAt = FADE;
  #align = false;

  // The bridge over a gap.
  #bridgeEnd = 0;
  #bridgePeriod = PITCH_MIN;
  #bridgeAt = CONCEAL;

  // What is known of the network.
  #transit = new Float64Array(WINDOW);
  #seen = 0;
  #mediaMs = 0;
  #lastPushMs = -Infinity;
  #quickest = 0;
  #lateness = FIRST_LATENESS_MS;
  #bins = new Uint16Array(BLACKOUT_MS / 4 + 1);
  #floors = new Float64Array(DRIFT_WINDOWS);
  #floorsSeen = 0;

  // Steering.
  #cushion = 0;
  #cushionSeen = 0;
  #nowMs = 0;
  #settleUntil = -Infinity;
  #nextJumpMs = 0;
  #wantedSince = Infinity;
  #dryMs = Infinity;
  #meanMs = 0;

  /** Counters, all since the last reset. */
  stats = { underruns: 0, concealedMs: 0, shedMs: 0, compressedMs: 0, stretchedMs: 0, frames: 0 };

  /** A new call. */
  reset() {
    this.#ring.fill(0);
    this.#read = this.#write = 0;
    this.#playing = false;
    this.#fadeAt = FADE;
    this.#align = false;
    this.#bridgeAt = CONCEAL;
    this.#seen = 0;
    this.#mediaMs = 0;
    this.#lastPushMs = -Infinity;
    this.#lateness = FIRST_LATENESS_MS;
    this.#floorsSeen = 0;
    this.#cushion = this.#cushionSeen = 0;
    this.#nowMs = 0;
    this.#settleUntil = -Infinity;
    this.#nextJumpMs = 0;
    this.#wantedSince = Infinity;
    this.#dryMs = Infinity;
    this.#meanMs = 0;
    Object.assign(this.stats, { underruns: 0, concealedMs: 0, shedMs: 0, compressedMs: 0, stretchedMs: 0, frames: 0 });
  }

  /** What waits now, in ms. */
  get bufferedMs() {
    return (this.#write - this.#read) / PER_MS;
  }

  /** What waits on average over the last second: the delay that the listener has from us. */
  get delayMs() {
    return this.#meanMs;
  }

  /** The delay aimed at just after a frame has come. */
  get targetMs() {
    const late = this.jitterMs;
    const margin = Math.max(LEAST_MARGIN_MS, MARGIN_MS - late * MARGIN_SHRINKS);
    return Math.min(HIGHEST_TARGET_MS, Math.max(LOWEST_TARGET_MS, late + margin + FRAME_MS));
  }

  /** Jitter seen: the lateness that all but a few frames stay under, and all but one stall. */
  get jitterMs() {
    return this.#lateness;
  }

  /** How many millionths the far clock runs faster than ours; 0 before anything is known. */
  get driftPpm() {
    const n = Math.min(this.#floorsSeen, DRIFT_WINDOWS);
    if (n < DRIFT_WINDOWS_MIN) return 0;
    // The line through the quickest frame of each window.
    let [slope, weight] = [0, 0];
    for (let i = 0; i < n; i++) {
      const x = i - (n - 1) / 2;
      slope += x * this.#floors[(this.#floorsSeen - n + i) % DRIFT_WINDOWS];
      weight += x * x;
    }
    return Math.round((-slope / weight / (WINDOW * FRAME_MS)) * 1e6) || 0;
  }

  /** How fast the far audio should be consumed: 1 is nominal. */
  get speed() {
    if (!this.#playing || this.#cushionSeen < 10) return 1;
    const bend = this.#cushionError() * BEND_PER_MS;
    return 1 + Math.min(MAX_BEND, Math.max(-MAX_BEND, bend));
  }

  /**
   * A frame has come.
   * @param {Int16Array} samples of any length
   * @param {number} nowMs on the clock that drives `pull`
   */
  push(samples, nowMs) {
    let from = 0;
    const most = CEILING_MS * PER_MS;
    if (samples.length > most) {
      from = samples.length - most;
      this.stats.shedMs += from / PER_MS;
    }
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    this.#observe(samples.length / PER_MS, nowMs);
    for (let i = from; i < samples.length; i++) {
      this.#ring[this.#write & MASK] = samples[i] / 32768;
      this.#write++;
    }
    this.stats.frames++;
    if (this.#write - this.#read > most) {
      this.#settleUntil = Math.max(this.#settleUntil, nowMs + SETTLE_MS);
      this.#shed();
    }
  }

  /**
   * The next samples, always `count` of them.
   * @param {Float32Array} target
   * @param {number} offset
   * @param {number} count
   */
  pull(target, offset, count) {
    this.#nowMs += count / PER_MS;
    if (!this.#playing) this.#maybeStart(count);
    if (this.#playing) this.#steer();
    for (let k = 0; k < count; k++) {
      if (this.#playing && this.#read === this.#write) this.#runDry();
      let value = this.#playing ? this.#ring[this.#read++ & MASK] : this.#bridge();
      if (this.#fadeAt < FADE) {
        const g = FADE_IN[this.#fadeAt];
        value = value * g + this.#ghost[this.#fadeAt] * (1 - g);
        this.#fadeAt++;
      }
      target[offset + k] = value;
    }
    const weight = Math.min(1, count / RATE);
    this.#meanMs += (this.bufferedMs - this.#meanMs) * weight;
  }

  // ---- what is known of the network

  #observe(durationMs, nowMs) {
    if (this.#lastPushMs > -Infinity && nowMs - this.#lastPushMs > BLACKOUT_MS) this.#settleUntil = nowMs + SETTLE_BLACKOUT_MS;
    const fresh = this.#lastPushMs === -Infinity || nowMs < this.#settleUntil;
    this.#lastPushMs = nowMs;
    if (fresh) {
      // A new count begins; what was learned of the jitter stays.
      this.#seen = 0;
      this.#mediaMs = 0;
      this.#quickest = nowMs;
      this.#cushionSeen = 0;
      this.#floorsSeen = 0;
    }
    const transit = nowMs - this.#mediaMs;
    this.#mediaMs += durationMs;
    this.#transit[this.#seen % WINDOW] = transit;
    this.#seen++;
    if (transit < this.#quickest) this.#quickest = transit;
    if (this.#seen % 10 === 0) this.#learn();
    if (this.#seen % WINDOW === 0) this.#floors[this.#floorsSeen++ % DRIFT_WINDOWS] = this.#quickest;

    const late = transit - this.#quickest;
    if (this.#playing) {
      const cushion = this.bufferedMs + Math.min(BLACKOUT_MS, late);
      this.#cushionSeen++;
      this.#cushion += (cushion - this.#cushion) / Math.min(25, this.#cushionSeen);
    }
  }

  #learn() {
    const n = Math.min(WINDOW, this.#seen);
    let quickest = Infinity;
    for (let i = 0; i < n; i++) if (this.#transit[i] < quickest) quickest = this.#transit[i];
    // A slow rise of the quickest (drift, a longer route) is taken over as the window slides.
    this.#quickest = quickest;
    if (n < WINDOW_MIN) return;
    const bins = this.#bins;
    bins.fill(0);
    let counted = 0;
    // A lost packet makes one frame late and those behind it a little less each: one stall, told by its
    // first. A single one in the window is not prepared for, two are.
    let [longest, second, before] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const late = this.#transit[(this.#seen - n + i) % WINDOW] - quickest;
      if (late < BLACKOUT_MS && late > before + STALL_MS) {
        if (late > longest) [longest, second] = [late, longest];
        else if (late > second) second = late;
      }
      before = late;
      if (late < BLACKOUT_MS) {
        bins[Math.floor(late / 4)]++;
        counted++;
      }
    }
    let left = counted * COVERED;
    let bin = 0;
    while (bin < bins.length && (left -= bins[bin]) > 0) bin++;
    this.#lateness = Math.max(bin * 4, second);
  }

  #cushionError() {
    return this.#cushion - (this.targetMs - FRAME_MS);
  }

  // ---- starting and running dry

  #maybeStart(count) {
    this.#dryMs += count / PER_MS;
    const waits = this.bufferedMs;
    // After a short gap the talk goes on soon; after a long one, or at first, with a full cushion.
    const enough = this.#dryMs < BLACKOUT_MS ? Math.min(this.targetMs, FRAME_MS + MARGIN_MS) : this.targetMs;
    const leftAlone = waits > 0 && this.#nowMs - this.#lastPushMs > 2 * FRAME_MS;
    if (waits < enough && !leftAlone) return;
    // What was bridged has been heard in a way: where the cushion allows, its place is left out, so
    // that the delay is what it was.
    const over = Math.min(waits - this.targetMs, this.#dryMs);
    if (over > 0 && this.#dryMs < BLACKOUT_MS) {
      this.#read += Math.round(over * PER_MS);
      this.stats.shedMs += over;
    }
    if (this.#bridgeAt < CONCEAL && waits > this.targetMs) this.#align = true;
    for (let k = 0; k < FADE; k++) this.#spare[k] = this.#bridge();
    [this.#ghost, this.#spare] = [this.#spare, this.#ghost];
    this.#fadeAt = 0;
    this.#playing = true;
    this.#cushionSeen = 0;
    this.#wantedSince = Infinity;
    this.#meanMs = waits;
  }

  #runDry() {
    this.#playing = false;
    this.#dryMs = 0;
    this.stats.underruns++;
    this.#bridgeEnd = this.#write;
    this.#bridgePeriod = this.#bestLag(this.#write - FADE, -PITCH_MAX, -PITCH_MIN).lag * -1;
    this.#bridgeAt = 0;
  }

  /** One sample of what stands in for audio that is not there. */
  #bridge() {
    this.stats.concealedMs += 1 / PER_MS;
    if (this.#bridgeAt >= CONCEAL) return 0;
    const at = this.#bridgeEnd - this.#bridgePeriod + (this.#bridgeAt % this.#bridgePeriod);
    return this.#ring[at & MASK] * FADE_OUT[this.#bridgeAt++];
  }

  // ---- steering

  #steer() {
    if (this.#nowMs < this.#settleUntil && this.bufferedMs > this.targetMs + 4) this.#shed();
    if (this.#align) {
      // Land where the wave continues; a little later rather than a little earlier.
      this.#align = false;
      const room = Math.min(PITCH_MAX, this.#write - this.#read - FADE);
      if (room > 0) this.#read += this.#bestLagOf(this.#ghost, this.#read, 0, room).lag;
      return;
    }
    if (this.#cushionSeen < 10 || this.#fadeAt < FADE || this.#nowMs < this.#nextJumpMs) return;
    const off = this.#cushionError();
    if (Math.abs(off) <= SLOPPY_MS) {
      this.#wantedSince = Infinity;
      return;
    }
    if (this.#wantedSince === Infinity) this.#wantedSince = this.#nowMs;
    const waits = this.#write - this.#read;
    const most = Math.min(PITCH_MAX, Math.floor(Math.abs(off) * PER_MS));
    let found;
    if (off > 0) {
      const room = Math.min(most, waits - 2 * FADE);
      if (room < PITCH_MIN) return;
      found = this.#bestLag(this.#read, PITCH_MIN, room);
    } else {
      if (waits < FADE || this.#read < PITCH_MAX) return;
      found = this.#bestLag(this.#read, -most, -PITCH_MIN);
    }
    // Patience: a good match at once, a poor one only when none came for a second.
    const wanted = 0.8 - 0.5 * Math.min(1, (this.#nowMs - this.#wantedSince) / 1000);
    if (!found.quiet && found.match < wanted) {
      this.#nextJumpMs = this.#nowMs + 10;
      return;
    }
    this.#remember();
    this.#read += found.lag;
    this.#cushion -= found.lag / PER_MS;
    this.#nextJumpMs = this.#nowMs + (found.quiet ? 20 : 60);
    this.#wantedSince = this.#nowMs;
    if (found.lag > 0) this.stats.compressedMs += found.lag / PER_MS;
    else this.stats.stretchedMs -= found.lag / PER_MS;
  }

  /** Throws away the oldest, down to the target. */
  #shed() {
    const keep = Math.round(this.targetMs * PER_MS);
    const drop = this.#write - this.#read - keep;
    if (drop <= 0) return;
    if (this.#playing) {
      this.#remember();
      this.#align = true;
    }
    this.#read += drop;
    this.#cushionSeen = 0;
    this.stats.shedMs += drop / PER_MS;
  }

  /** Keeps what would have been heard next, to fade away from it. */
  #remember() {
    if (this.#fadeAt === 0) return; // nothing was heard since the last join
    for (let k = 0; k < FADE; k++) {
      let value = this.#read + k < this.#write ? this.#ring[(this.#read + k) & MASK] : 0;
      if (this.#fadeAt + k < FADE) {
        const g = FADE_IN[this.#fadeAt + k];
        value = value * g + this.#ghost[this.#fadeAt + k] * (1 - g);
      }
      this.#spare[k] = value;
    }
    [this.#ghost, this.#spare] = [this.#spare, this.#ghost];
    this.#fadeAt = 0;
  }

  #pattern = new Float32Array(FADE);
  #found = { lag: 0, match: 0, quiet: false };

  /** Where, `from + lag`, the wave looks most like it does at `from`. */
  #bestLag(from, low, high) {
    for (let k = 0; k < FADE; k++) this.#pattern[k] = this.#ring[(from + k) & MASK];
    return this.#bestLagOf(this.#pattern, from, low, high);
  }

  #bestLagOf(pattern, from, low, high) {
    const found = this.#found;
    let own = 0;
    for (let k = 0; k < FADE; k++) own += pattern[k] * pattern[k];
    found.lag = low;
    found.match = -1;
    let loudest = own;
    // Every second lag first, then the neighbours of the best.
    for (let lag = low; lag <= high; lag += 2) loudest = Math.max(loudest, this.#try(pattern, own, from, lag));
    const best = found.lag;
    if (best - 1 >= low) this.#try(pattern, own, from, best - 1);
    if (best + 1 <= high) this.#try(pattern, own, from, best + 1);
    found.quiet = loudest < QUIET * QUIET * FADE;
    return found;
  }

  #try(pattern, own, from, lag) {
    const ring = this.#ring;
    let cross = 0;
    let energy = 0;
    for (let k = 0; k < FADE; k++) {
      const x = ring[(from + lag + k) & MASK];
      cross += pattern[k] * x;
      energy += x * x;
    }
    const match = cross / Math.sqrt(own * energy + 1e-12);
    if (match > this.#found.match) {
      this.#found.match = match;
      this.#found.lag = lag;
    }
    return energy;
  }
}
