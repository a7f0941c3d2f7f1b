// What people type, paste and click as a telephone number → what is dialled.

/** As the protocol has it: a number of at most this many characters. */
const MAX_NUMBER = 64;
/** What people put between digits, Japanese keyboards included. */
const BETWEEN = /[\s().\-/‐‑‒–—−ー_・]/g;
const NUMBER = /^\+?[0-9*#]+$/;
/** An extension may have a name. */
const NAME = /^[A-Za-z0-9_.+*#@-]+$/;

/**
 * @param {string} text `(03) 1234-5678`, `０３ー１２３４`, `tel:+81-3-1234-5678;ext=1`, `alice`
 * @returns {string} '' when this is nothing that can be dialled
 */
export function toDialable(text) {
  const number = toNumber(text);
  if (number) return number;
  const name = String(text).normalize('NFKC').trim();
  return NAME.test(name) && name.length <= MAX_NUMBER ? name : '';
}

/**
 * The same, but a number alone: for text that was not meant for us.
 * @param {string} text
 */
export function toNumber(text) {
  const plain = String(text).slice(0, 200).normalize('NFKC').trim().replace(/^(tel|callto|sip):/i, '').split(';')[0];
  // "+44 (0)20 …": the zero is for callers at home.
  const number = plain.replace(/^(\+\d+\s*)\(0\)/, '$1').replace(BETWEEN, '');
  return NUMBER.test(number) && number.length <= MAX_NUMBER ? number : '';
}

/** What of this may be typed in a call. @param {string} text */
export function toTones(text) {
  return String(text).normalize('NFKC').toUpperCase().replace(/[^0-9*#A-D]/g, '').slice(0, MAX_NUMBER);
}
