// What a page may read of its own token. Nothing is verified here: that is the gateway's part.

/**
 * The token in what a person pasted: the token itself, or a link with `#token=` or `?token=`.
 * @param {string} text
 * @returns {string | null}
 */
export function findToken(text) {
  const trimmed = String(text).trim();
  const inLink = /[#?&]token=([^&#\s]+)/.exec(trimmed);
  let token = trimmed;
  if (inLink) {
    try {
      token = decodeURIComponent(inLink[1]);
    } catch {
      return null;
    }
  }
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token) ? token : null;
}

/**
 * The claims that are shown.
 * @param {string} token
 * @returns {{extension: string, expiresAt: number | null} | null} `expiresAt` in ms since 1970
 */
export function readToken(token) {
  try {
    const part = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    const expiresAt = Number.isFinite(claims.exp) ? claims.exp * 1000 : null;
    return { extension: String(claims.ext ?? ''), expiresAt };
  } catch {
    return null;
  }
}
