// The calls of this session, newest first. Kept in the page and, for a reload, in the tab's own
// sessionStorage: it goes with the tab, and no number stays on the computer.

/** As many as a person scrolls through. */
export const MAX_ENTRIES = 50;
const KEY = 'goastgateway.calls';

/**
 * @typedef {'answered' | 'missed' | 'declined' | 'elsewhere' | 'unanswered' | 'failed'} How
 * @typedef {{id: string, direction: 'incoming' | 'outgoing', number: string, name: string, group: string,
 *   at: number, talkMs: number, how: How, reason: string}} Entry
 *   `at` ms since 1970; `how` is how it went for the person at this phone
 */

/**
 * @param {Entry[]} list
 * @param {Entry} entry the same id again replaces what was known
 * @returns {Entry[]}
 */
export function add(list, entry) {
  return [entry, ...list.filter((old) => old.id !== entry.id)].slice(0, MAX_ENTRIES);
}

/**
 * How a call went, from its end.
 * @param {{direction: string, answered: number | null}} call
 * @param {string} reason as the gateway names it
 * @returns {How}
 */
export function howItWent(call, reason) {
  if (call.answered !== null) return 'answered';
  if (reason === 'answered_elsewhere') return 'elsewhere';
  if (call.direction === 'incoming') return reason === 'declined' ? 'declined' : 'missed';
  return ['phone_hung_up', 'no_answer', 'busy', 'declined', 'away'].includes(reason) ? 'unanswered' : 'failed';
}

/** The number to call again. @param {Entry[]} list */
export function lastDialled(list) {
  return list.find((entry) => entry.direction === 'outgoing' && entry.number)?.number ?? '';
}

/** Calls missed since a person last looked. @param {Entry[]} list @param {number} seenAt */
export function missedSince(list, seenAt) {
  return list.filter((entry) => entry.how === 'missed' && entry.at > seenAt).length;
}

/** @param {Storage} storage @param {string} extension whose calls */
export function load(storage, extension) {
  try {
    const saved = JSON.parse(storage.getItem(KEY) ?? 'null');
    if (saved?.extension !== extension || !Array.isArray(saved.calls)) return [];
    return saved.calls.filter(isEntry).slice(0, MAX_ENTRIES);
  } catch {
    return [];
  }
}

/** @param {Storage} storage @param {string} extension @param {Entry[]} list */
export function save(storage, extension, list) {
  try {
    storage.setItem(KEY, JSON.stringify({ extension, calls: list }));
  } catch {
    // Without storage the list lives as long as the page.
  }
}

/** @param {Storage} storage */
export function forget(storage) {
  try {
    storage.removeItem(KEY);
  } catch {
    // Nothing was kept there.
  }
}

function isEntry(entry) {
  const texts = ['id', 'direction', 'number', 'name', 'group', 'how', 'reason'];
  return entry && texts.every((k) => typeof entry[k] === 'string') && Number.isFinite(entry.at) && Number.isFinite(entry.talkMs);
}
