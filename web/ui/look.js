// What the page shows: the telephone as it is and what the person has opened → what stands where.
// Pure, and without words: texts are `[key, values]`, for i18n.js to say.

import { cards } from './cards.js';

/**
 * @typedef {[string, Record<string, any>?]} Text
 * @typedef {{number: string | null, name: string | null}} Party
 *
 * @typedef {object} Call  as the telephone knows it
 * @property {string} id
 * @property {'incoming' | 'outgoing'} direction
 * @property {'ringing' | 'answering' | 'dialling' | 'alerting' | 'open'} state
 * @property {Party} from  the far end, whoever called
 * @property {string | null} group  the group that was called
 * @property {boolean} held  by us
 * @property {boolean} heldByFar
 * @property {boolean} muted
 * @property {number} since  ms since 1970
 * @property {number | null} answered
 * @property {string | null} consultsFor  the call that this one prepares the transfer of
 * @property {boolean} transferring  a transfer was taken, its end is not known yet
 *
 * @typedef {object} Telephone
 * @property {'offline' | 'connecting' | 'ready' | 'reconnecting' | 'stopped'} link
 * @property {string | null} why  for `reconnecting`: unreachable closed limited upgrade server forbidden restart
 *   no_token fault; for `stopped`: in_use replaced token expired fault
 * @property {number | null} lostAt  since when the connection is away
 * @property {number | null} retryAt
 * @property {boolean} trying
 * @property {number} resumeMs  how long the gateway keeps a call for us
 * @property {{name: string | null, since: Date, isThis: boolean}[]} devices  where the extension is logged in
 * @property {string} extension
 * @property {{hold: boolean, dial: boolean, dtmf: boolean, transfer: boolean}} features
 * @property {{state: 'ready' | 'away' | 'dnd' | 'wrapup', until: number | null}} presence
 * @property {boolean | null} reachable  as the gateway sees it; null: not known
 * @property {number | null} rttMs
 * @property {number | null} expiresAt  of the token
 * @property {boolean} tokenRefused
 * @property {Call[]} calls
 * @property {{sound: string, mic: string, permission: string, secure: boolean, canChooseOutput: boolean,
 *   inputs: {id: string, label: string}[], outputs: {id: string, label: string}[]}} audio
 */

/** After a call the line about it stays so long. */
export const ENDED_SHOWN_MS = 8000;
/** A missed call is worth reading later. */
export const MISSED_SHOWN_MS = 3600000;
/** A command that was refused is told so long. */
export const FAULT_SHOWN_MS = 8000;

/**
 * @param {Telephone} phone
 * @param {any} ui what store.js holds
 * @param {number} now ms since 1970
 */
export function look(phone, ui, now) {
  const shown = cards(phone, ui, now);
  const view = ui.loggedIn ? 'phone' : 'login';
  const status = statusOf(phone, shown, ui, now);
  return {
    view,
    status,
    cards: shown,
    /** What fills the middle. */
    stage: view === 'login' ? 'login' : shown.length > 0 ? 'calls' : phone.link === 'ready' ? 'keypad' : 'status',
    presence: view === 'phone' && phone.link === 'ready' ? presenceOf(phone, now) : null,
    line: view === 'phone' ? lineOf(phone, ui, shown, now) : null,
    ringing: shown.some((card) => card.role === 'incoming' || card.role === 'waiting'),
    /** Something on the screen counts seconds. */
    ticks: phone.retryAt !== null || shown.length > 0 || phone.presence.until !== null,
  };
}

/** The heading: one word for how it is, and what to do when it isn't well. */
function statusOf(phone, shown, ui, now) {
  if (!ui.loggedIn) return { tone: 'off', title: ['state.offline'], detail: [], button: null };
  switch (phone.link) {
    case 'offline':
    case 'connecting':
      return { tone: 'work', title: ['state.connecting'], detail: [['detail.connecting']], button: null };
    case 'stopped':
      return stopped(phone);
    case 'reconnecting':
      return {
        tone: 'warn',
        title: [phone.why === 'restart' ? 'state.restarting' : 'state.reconnecting'],
        detail: [[`lost.${phone.why ?? 'closed'}`], nextTry(phone, now)],
        button: phone.trying ? null : { text: ['do.tryNow'], does: 'retry' },
      };
    default:
      return shown.length > 0 ? inCall(shown[0]) : idle(phone);
  }
}

function stopped({ why, devices }) {
  const button = { in_use: 'do.tryAgain', replaced: 'do.useHere' }[why];
  return {
    tone: 'stop',
    title: [{ in_use: 'state.inUse', replaced: 'state.replaced' }[why] ?? 'state.refused'],
    detail: [why === 'in_use' && devices.length > 0 ? ['stopped.in_use_at', { devices: namesOf(devices) }] : [`stopped.${why}`]],
    button: button ? { text: [button], does: 'retry' } : { text: ['do.newLogin'], does: 'logout' },
  };
}

function nextTry({ trying, retryAt }, now) {
  if (trying || retryAt === null) return ['lost.trying'];
  return ['lost.nextTry', { seconds: Math.max(1, Math.ceil((retryAt - now) / 1000)) }];
}

function inCall({ role, call }) {
  if (role === 'incoming') return { tone: 'ring', title: ['state.incoming'], detail: [], button: null };
  if (role === 'outgoing') return { tone: 'work', title: [{ alerting: 'state.alerting', answering: 'state.answering' }[call.state] ?? 'state.dialling'], detail: [], button: null };
  if (call.held) return { tone: 'warn', title: ['state.held'], detail: [], button: null };
  return { tone: 'call', title: ['state.inCall'], detail: [], button: null };
}

/** @param {import('./look.js').Telephone['devices']} devices */
const namesOf = (devices) => devices.map(({ name }) => name ?? '?').join('; ');

function idle({ presence, reachable, rttMs, devices }) {
  if (reachable === false) return { tone: 'stop', title: ['state.unreachable'], detail: [['detail.unreachable']], button: null };
  const tone = { ready: 'go', away: 'warn', dnd: 'stop', wrapup: 'warn' }[presence.state];
  const detail = [[`detail.${presence.state}`]];
  if (presence.state === 'ready' && rttMs !== null) detail.push(['detail.rtt', { ms: Math.round(rttMs) }]);
  const others = devices.filter((device) => !device.isThis);
  if (others.length > 0) detail.push(['detail.alsoAt', { devices: namesOf(others) }]);
  return { tone, title: [`state.${presence.state}`], detail, button: null };
}

function presenceOf({ presence }, now) {
  const leftMs = presence.until === null ? null : Math.max(0, presence.until - now);
  return { state: presence.state, leftMs: presence.state === 'wrapup' ? leftMs : null };
}

/** One line for what has just happened: a refused command, or how the last call ended. */
function lineOf(phone, ui, shown, now) {
  if (ui.fault && now - ui.fault.at < FAULT_SHOWN_MS) return { tone: 'stop', text: ui.fault.text, until: ui.fault.at + FAULT_SHOWN_MS };
  const { ended } = ui;
  if (!ended || shown.some((card) => card.role !== 'held')) return null;
  // Somebody waits for a call: that is worth reading later, too.
  const stays = ended.how === 'missed' || ended.how === 'notPassed';
  const until = ended.at + (stays ? MISSED_SHOWN_MS : ENDED_SHOWN_MS);
  if (now >= until) return null;
  // Who was not reached wants to be called back.
  const callBack = stays && ended.number && phone.features.dial && phone.link === 'ready' ? ended.number : null;
  return { tone: stays || ended.how === 'failed' ? 'warn' : 'calm', text: endedText(ended), until, callBack, who: ended.name || ended.number };
}

/** Reasons that have a text of their own, by how the call went. */
const SAID = {
  answered: ['caller_hung_up', 'phone_hung_up', 'transferred', 'phone_lost', 'asterisk_lost', 'draining'],
  unanswered: ['phone_hung_up', 'no_answer', 'busy', 'declined', 'away'],
  failed: ['number_unknown', 'congested', 'forbidden', 'unavailable'],
  notPassed: ['no_answer', 'busy', 'declined', 'away', 'number_unknown', 'caller_gave_up'],
};

/** @param {any} ended an entry of the history, or what became of a transfer (`to`) @returns {Text} */
export function endedText({ how, reason, talkMs, at, name, number, to = '' }) {
  const key = SAID[how]?.includes(reason) ? `ended.${how}.${reason}` : `ended.${how}`;
  return [key, { time: { duration: talkMs }, clock: { clock: at }, who: name || number || { text: ['call.unknown'] }, to }];
}
