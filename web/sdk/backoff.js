// How long to wait before the next try: full jitter, so that a thousand phones that lost the
// same gateway do not come back in the same instant.

/** The first wait is at most this. */
const FIRST_MS = 1000;
/** No wait is longer. */
const LONGEST_MS = 20000;
/** No wait is shorter: a gateway that closes at once is not hammered. */
const SHORTEST_MS = 250;

/**
 * @param {number} failures in a row, from 1
 * @param {() => number} random in [0, 1)
 * @returns {number} ms
 */
export function backoff(failures, random = Math.random) {
  const top = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, Math.min(failures, 20) - 1));
  return Math.round(SHORTEST_MS + random() * (top - SHORTEST_MS));
}
