// Where the login comes from, and that a reload keeps it.
//
// A token that came in the address leaves it at once: addresses are shown, copied, and kept in histories.
// The tab keeps it, so that a reload comes back, into a call if one was up; it goes with the tab.

import { findToken } from '../sdk/token.js';

const KEY = 'goastgateway.token';

/** The token of a login link, `#token=` or, as the Go gateway's page took it, `?token=`. */
export function takeTokenFromAddress() {
  const { hash, search, pathname } = location;
  const inHash = /[#&]token=/.test(hash);
  const query = new URLSearchParams(search);
  if (!inHash && !query.has('token')) return null;
  const token = findToken(inHash ? hash : `?token=${encodeURIComponent(query.get('token') ?? '')}`);
  query.delete('token');
  const rest = query.toString();
  history.replaceState(history.state, '', pathname + (rest ? `?${rest}` : '') + (inHash ? '' : hash));
  return token;
}

export function savedToken() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string | null} token */
export function saveToken(token) {
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Then a reload asks for the link again.
  }
}
