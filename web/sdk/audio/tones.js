// What telephones sound like, country by country, as values: which frequencies, when, how long.
// Pure; `ring.js` plays them. Cadences after ITU-T E.180 (ringing tone).

/**
 * @typedef {{hz: number[], wobble?: number, on: number[]}} Tone
 *   `hz`: sounding together. `wobble`: swells and fades that often a second.
 *   `on`: seconds of sound, pause, sound, pause …, then anew.
 */

/** @type {Record<string, Tone>} */
export const RINGS = {
  jp: { hz: [400], wobble: 16, on: [1, 2] },
  us: { hz: [440, 480], on: [2, 4] },
  uk: { hz: [400, 450], on: [0.4, 0.2, 0.4, 2] },
  de: { hz: [425], on: [1, 4] },
  fr: { hz: [440], on: [1.5, 3.5] },
  es: { hz: [425], on: [1.5, 3] },
  cn: { hz: [450], on: [1, 4] },
  kr: { hz: [440, 480], on: [1, 2] },
  // The rest of Europe, and whoever follows it.
  eu: { hz: [425], on: [1, 4] },
  // No country's: somebody else is calling while you talk.
  waiting: { hz: [440], on: [0.3, 9.7] },
};

/** Regions that ring like another one. */
const LIKE = {
  gb: 'uk', ie: 'uk', au: 'uk', nz: 'uk', hk: 'uk', sg: 'uk', my: 'uk', in: 'uk', za: 'uk',
  ca: 'us', mx: 'us', pr: 'us', tw: 'us', ph: 'us',
};

/** Languages whose telephones are mostly in one country, for a locale that names no region. */
const HOME = { ja: 'jp', ko: 'kr', zh: 'cn', en: 'us' };

/**
 * @param {string} locale as of `navigator.language`: "ja", "en-GB"
 * @returns {string} a key of RINGS
 */
export function ringFor(locale) {
  const [language, ...rest] = String(locale).toLowerCase().split('-');
  const region = rest.find((part) => part.length === 2) ?? own(HOME, language) ?? language;
  const name = own(LIKE, region) ?? region;
  return Object.hasOwn(RINGS, name) ? name : 'eu';
}

/** @template T @param {Record<string, T>} table @param {string} key @returns {T | undefined} */
function own(table, key) {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** @type {Record<string, [number, number]>} */
const KEYS = Object.fromEntries(['123a', '456b', '789c', '*0#d'].flatMap((row, r) =>
  [...row].map((key, c) => [key, [[697, 770, 852, 941][r], [1209, 1336, 1477, 1633][c]]])));

/** The two frequencies of a key. @param {string} key @returns {[number, number] | undefined} */
export function keyTone(key) {
  return own(KEYS, String(key).toLowerCase());
}

/** So long sounds a key, in seconds. */
export const KEY_SECONDS = 0.16;
/** Edges of a tone, in seconds: without them it clicks. */
const EDGE = 0.01;

/** @param {number} t @param {number} end */
const edge = (t, end) => Math.max(0, Math.min(1, t / EDGE, (end - t) / EDGE));

/**
 * One round of a ring, of 1 at most.
 * @param {Tone} tone @param {number} rate @returns {Float32Array}
 */
export function renderRing(tone, rate) {
  const seconds = tone.on.reduce((a, b) => a + b, 0);
  return render(seconds, rate, (t) => {
    let start = 0;
    for (let i = 0; i < tone.on.length; start += tone.on[i++]) {
      if (i % 2 === 1 || t < start || t >= start + tone.on[i]) continue;
      const swell = tone.wobble ? 0.5 * (1 + Math.sin(2 * Math.PI * tone.wobble * (t - start) - Math.PI / 2)) : 1;
      return swell * edge(t - start, tone.on[i]) * together(tone.hz, t);
    }
    return 0;
  });
}

/** Two soft bell notes, twice, then a pause. @param {number} rate */
export function renderBell(rate) {
  return render(3.2, rate, (t) => {
    let sum = 0;
    for (const [start, hz] of [[0, 784], [0.16, 659], [0.44, 784], [0.6, 659]]) {
      const at = t - start;
      if (at < 0 || at > 1.2) continue;
      const swell = Math.min(1, at / 0.008) * Math.exp(-at * 5.5);
      sum += swell * (Math.sin(2 * Math.PI * hz * at) + 0.25 * Math.sin(4 * Math.PI * hz * at));
    }
    return 0.55 * sum;
  });
}

/** @param {[number, number]} hz @param {number} rate */
export function renderKey(hz, rate) {
  return render(KEY_SECONDS, rate, (t) => edge(t, KEY_SECONDS) * together(hz, t));
}

/** @param {number} seconds @param {number} rate @param {(t: number) => number} sample */
function render(seconds, rate, sample) {
  return Float32Array.from({ length: Math.round(seconds * rate) }, (_, i) => sample(i / rate));
}

/** @param {number[]} hz @param {number} t */
function together(hz, t) {
  let sum = 0;
  for (const f of hz) sum += Math.sin(2 * Math.PI * f * t);
  return sum / hz.length;
}
