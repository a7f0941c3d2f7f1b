// What a person has chosen, kept on the computer: no number, no token. Whatever is not understood
// there is taken as not chosen.

const KEY = 'goastgateway.preferences';

/** As the SDK names them; 'bell' is no country's. */
export const RING_COUNTRIES = ['jp', 'us', 'uk', 'de', 'fr', 'es', 'cn', 'kr', 'eu', 'bell'];
export const THEMES = ['system', 'light', 'dark'];
/** Seconds; 0: until the person says so. */
export const WRAPUP_SECONDS = [15, 30, 60, 120, 300, 0];

export const DEFAULTS = Object.freeze({
  theme: 'system',
  language: '',
  microphone: '',
  speaker: '',
  ringer: '',
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  ringCountry: '',
  ringVolume: 0.7,
  // What the other devices of the extension call this one; '': as the browser is called.
  deviceName: '',
  // Who answers for a queue is not to be rung in a call.
  callWaiting: false,
  wrapupSeconds: 30,
  autoWrapup: false,
  shortcuts: true,
  notifyAnswers: false,
});

/** As much as the protocol takes. */
export const DEVICE_NAME_LENGTH = 64;
const ALLOWED = { theme: THEMES, language: ['', 'en', 'ja'], ringCountry: ['', ...RING_COUNTRIES], wrapupSeconds: WRAPUP_SECONDS };

/** @param {Storage | undefined} storage @returns {typeof DEFAULTS} */
export function loadPrefs(storage) {
  let saved = {};
  try {
    saved = JSON.parse(storage?.getItem(KEY) ?? '{}') ?? {};
  } catch {
    // Storage that can't be read is as good as none.
  }
  return clean(saved);
}

/** @param {any} saved @returns {typeof DEFAULTS} */
export function clean(saved) {
  const prefs = { ...DEFAULTS };
  for (const [key, normal] of Object.entries(DEFAULTS)) {
    const value = saved?.[key];
    if (typeof value !== typeof normal) continue;
    if (ALLOWED[key] && !ALLOWED[key].includes(value)) continue;
    if (key === 'ringVolume' && !(value >= 0 && value <= 1)) continue;
    prefs[key] = key === 'deviceName' ? value.trim().slice(0, DEVICE_NAME_LENGTH) : value;
  }
  return prefs;
}

/** @param {Storage | undefined} storage @param {typeof DEFAULTS} prefs */
export function savePrefs(storage, prefs) {
  try {
    storage?.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // Then they hold until the page is closed.
  }
}
