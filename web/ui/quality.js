// How good a call is, and if it isn't: whose doing it is. Pure: samples in, a judgement out.
//
// One sample a second. A judgement gets worse when three of the last five samples say so, and better
// when none of them does, so that the sign doesn't flicker.

/** Samples that count for a judgement. */
const WINDOW = 5;
/** So many of them make it so. */
const ENOUGH = 3;
/** What the plot shows: a minute. */
export const KEPT = 60;
/** Nothing has come from anywhere for so long: the network is away. */
const STALE_MS = 3000;

/** Milliseconds and counts of one second: from `fair` on it is noticed, from `poor` on it disturbs. */
const LIMITS = {
  rttMs: { fair: 200, poor: 400 },
  jitterMs: { fair: 30, poor: 80 },
  delayMs: { fair: 300, poor: 500 },
  queueMs: { fair: 120, poor: 300 },
  concealedMs: { fair: 20, poor: 100 },
  lost: { fair: 2, poor: 6 },
};

/**
 * @typedef {{at: number, rttMs: number, jitterMs: number, delayMs: number, concealedMs: number, lostUp: number,
 *   toPhoneQueueMs: number, lostDown: number, filled: number, serverQueueMs: number, lostServer: number,
 *   framesDown: number, throttled?: boolean}} Sample
 *   of one second. `delayMs` mouth to ear as far as it is known; `lostUp`, `lostDown` frames that the network
 *   between page and gateway didn't take in time; `filled` frames of silence that the gateway had to make
 *   because the page sent none; `serverQueueMs`, `lostServer` between gateway and Asterisk; `framesDown`
 *   frames that came from the far end
 * @typedef {'network' | 'computer' | 'server' | 'far'} Culprit
 * @typedef {{level: 'good' | 'fair' | 'poor' | 'unknown', culprit: Culprit | null, delayMs: number | null}} Judgement
 */

/**
 * @param {Sample[]} samples
 * @param {Sample} sample
 */
export function keep(samples, sample) {
  return [...samples, sample].slice(-KEPT);
}

/**
 * @param {Sample[]} samples oldest first
 * @param {number} now
 * @param {{audioExpected?: boolean}} [call] whether the far end should be sending (not while it is held)
 * @returns {Judgement}
 */
export function judge(samples, now, { audioExpected = true } = {}) {
  const last = samples.at(-1);
  if (!last) return { level: 'unknown', culprit: null, delayMs: null };
  const delayMs = Math.round(last.delayMs);
  if (now - last.at > STALE_MS) return { level: 'poor', culprit: 'network', delayMs: null };
  const recent = samples.slice(-WINDOW).map((s) => blame(s, audioExpected));
  for (const level of /** @type {const} */ (['poor', 'fair'])) {
    const bad = recent.filter((b) => b.level === level || b.level === 'poor');
    if (bad.length >= Math.min(ENOUGH, samples.length)) return { level, culprit: mostNamed(bad), delayMs };
  }
  return { level: 'good', culprit: null, delayMs };
}

/** The worst of one second, and who made it. */
function blame(s, audioExpected) {
  const grades = [
    ['computer', s.throttled ? 'poor' : 'good'],
    ['server', grade(s.serverQueueMs, LIMITS.queueMs)],
    ['server', grade(s.lostServer, LIMITS.lost)],
    ['network', grade(s.rttMs, LIMITS.rttMs)],
    ['network', grade(s.toPhoneQueueMs, LIMITS.queueMs)],
    ['network', grade(s.lostUp + s.lostDown, LIMITS.lost)],
    ['network', grade(s.filled, LIMITS.lost)],
    ['far', audioExpected && s.framesDown === 0 ? 'poor' : 'good'],
    // What is heard here is last: the network and the server explain it where they can.
    ['network', s.framesDown > 0 ? worse(grade(s.jitterMs, LIMITS.jitterMs), grade(s.concealedMs, LIMITS.concealedMs)) : 'good'],
    ['network', grade(s.delayMs, LIMITS.delayMs)],
  ];
  for (const level of ['poor', 'fair']) {
    const found = grades.find(([, g]) => g === level);
    if (found) return { level, culprit: found[0] };
  }
  return { level: 'good', culprit: null };
}

function grade(value, { fair, poor }) {
  if (!(value >= fair)) return 'good';
  return value >= poor ? 'poor' : 'fair';
}

function worse(a, b) {
  return a === 'poor' || b === 'good' ? a : b;
}

function mostNamed(bad) {
  const counts = new Map();
  for (const { culprit } of bad) counts.set(culprit, (counts.get(culprit) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}
