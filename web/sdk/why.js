// Why did a handshake fail? A browser does not say; a plain request to the same server may.

/** A request that takes longer has no answer. */
const ANSWER_MS = 8000;

/**
 * @typedef {'unreachable' | 'forbidden' | 'limited' | 'server' | 'upgrade'} Why
 *   `unreachable`: no answer at all. `upgrade`: the server answers, WebSocket did not pass; that may
 *   last (a proxy, a foreign origin) or be over already (the gateway has just come back).
 */

/** @param {number} status @returns {Why} */
function whyOf(status) {
  if (status === 403) return 'forbidden';
  if (status === 429) return 'limited';
  return status >= 500 ? 'server' : 'upgrade';
}

/**
 * A file of the gateway's own is asked for: it passes the same doors up to the origin, costs nobody a failed
 * login, and may be asked for from anywhere. It never rejects.
 * @param {string} url of the WebSocket
 * @returns {Promise<Why>}
 */
export async function findWhy(url) {
  try {
    const address = new URL('sdk/package.json', url.replace(/^ws/, 'http'));
    const { status } = await fetch(address, { method: 'HEAD', cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(ANSWER_MS) });
    return whyOf(status);
  } catch {
    return 'unreachable';
  }
}
