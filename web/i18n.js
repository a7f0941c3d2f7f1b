// Says the page's texts in the language that is chosen.

import en from './ui/words/en.js';
import ja from './ui/words/ja.js';

export const WORDS = { en, ja };

/** @typedef {'en' | 'ja'} Language */

/** @type {Language} */
let language = fromBrowser();

/** @returns {Language} */
function fromBrowser() {
  return globalThis.navigator?.language?.toLowerCase().startsWith('ja') ? 'ja' : 'en';
}

export function getLanguage() {
  return language;
}

/** @param {Language | ''} wanted '': what the browser says */
export function setLanguage(wanted) {
  language = wanted || fromBrowser();
}

/**
 * @param {string} key
 * @param {Record<string, any>} [values] for the `{names}` in the text: texts and numbers as they are,
 *   `{duration: ms}`, `{clock: ms}` and `{text: [key, values]}` as they are said
 */
export function t(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? spell(values[name]) : whole));
}

/** @param {[string, Record<string, any>?]} text */
export function say([key, values]) {
  return t(key, values);
}

/** A value in a text, or a name that may be a text itself. @param {any} value */
export function spell(value) {
  if (typeof value !== 'object' || value === null) return String(value ?? '');
  if ('duration' in value) return duration(value.duration);
  if ('clock' in value) return clock(value.clock);
  return say(value.text);
}

/** @param {number} ms since 1970 */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
}

/** mm:ss, or h:mm:ss from an hour on. @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
