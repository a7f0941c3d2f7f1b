// Why did a handshake fail? A browser does not say; a plain request to the same address may.
//
// The gateway counts a request with a bad token as a failed login, so this asks once a minute at
// most. It never rejects.

/** A request that takes longer has no answer. */
const ANSWER_MS = 8000;
/** Not asked more often than this. */
const ASK_EVERY_MS = 60000;

/**
 * @typedef {'unreachable' | 'token' | 'forbidden' | 'limited' | 'server' | 'upgrade'} Why
 *   `unreachable`: no answer at all. `upgrade`: the server answers, WebSocket did not pass; that may
 *   last (a proxy, a foreign origin) or be over already (the gateway has just come back).
 */

/** @param {number} status @returns {Why} */
function whyOf(status) {
  switch (status) {
    case 401:
      return 'token';
    case 403:
      return 'forbidden';
    case 429:
      return 'limited';
    default:
      return status >= 500 ? 'server' : 'upgrade';
  }
}

export class Asker {
  #fetch;
  #now;
  #askedMs = -Infinity;
  /** @type {AbortController | null} */
  #asking = null;
  /** The last answer. @type {Why} */
  known = 'unreachable';

  /** @param {typeof fetch} fetch @param {() => number} now */
  constructor(fetch, now) {
    this.#fetch = fetch;
    this.#now = now;
  }

  /** What was known is about another login. */
  forget() {
    this.cancel();
    this.#askedMs = -Infinity;
    this.known = 'unreachable';
  }

  /**
   * @param {string} address of the WebSocket
   * @returns {Promise<Why | null>} null: not asked this time, or cancelled
   */
  async ask(address) {
    if (this.#asking || this.#now() - this.#askedMs < ASK_EVERY_MS) return null;
    this.#askedMs = this.#now();
    const asking = new AbortController();
    this.#asking = asking;
    const deadline = setTimeout(() => asking.abort(), ANSWER_MS);
    /** @type {Why} */
    let why = 'unreachable';
    try {
      const answer = await this.#fetch(address.replace(/^ws/, 'http'), {
        cache: 'no-store', credentials: 'omit', redirect: 'manual', signal: asking.signal,
      });
      why = whyOf(answer.status);
    } catch {
      // No answer.
    }
    clearTimeout(deadline);
    if (this.#asking !== asking) return null;
    this.#asking = null;
    this.known = why;
    return why;
  }

  /** The answer is not awaited any more; a question without an answer does not count. */
  cancel() {
    if (!this.#asking) return;
    this.#asking.abort();
    this.#asking = null;
    this.#askedMs = -Infinity;
  }
}

/**
 * The same for a login whose token does not stand in the address: a file of the gateway's own is asked for,
 * which passes the same doors up to the origin, costs nobody a failed login, and may be asked from anywhere.
 * @param {string} url of the WebSocket
 * @returns {Promise<'unreachable' | 'forbidden' | 'limited' | 'server' | 'upgrade'>}
 */
export async function findWhy(url) {
  try {
    const address = new URL('sdk/package.json', url.replace(/^ws/, 'http'));
    const { status } = await fetch(address, { method: 'HEAD', cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(ANSWER_MS) });
    const why = whyOf(status);
    return why === 'token' ? 'upgrade' : why;
  } catch {
    return 'unreachable';
  }
}
