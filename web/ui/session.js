// Where the login comes from, and that a reload keeps it.

import { findToken } from '../sdk/token.js';

const KEY = 'goastgateway.token';

/** The token of a login link, which is then taken out of the address bar and the history. */
export function takeTokenFromAddress() {
  if (!/[#&]token=/.test(location.hash)) return null;
  const token = findToken(location.hash);
  history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}

export function savedToken() {
  return sessionStorage.getItem(KEY);
}

/** @param {string | null} token */
export function saveToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}
