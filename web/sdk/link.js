// The connection as a value: what happens to it goes in, the next state and what is to be done come out.
//
// Pure: no socket, no clock, no chance; the time and a random number are arguments. Promises:
// - While the phone is wanted there is always a socket, a wait, or a reason why a person must decide.
// - What was refused for good (replaced, in use elsewhere, bad token) is not tried again by itself.
// - Waits grow and are random over their whole length. In a call they stay short: the gateway keeps
//   the call for a few seconds only. What the gateway asks for is obeyed.
// - A socket is given up for silence only after a question of ours stayed without an answer.
// - When the sound stops in a call, a spare socket is tried beside the silent one: TCP waits ever longer
//   before it tries again, and a new connection need not. Whichever speaks first goes on with the call: a spare
//   that has not logged in yet is dropped without harm, one that has is waited for.

import { backoff } from './backoff.js';

/** A handshake and a login may take this long, each. */
export const CONNECT_MS = 5000;
/** A connection that stood this long has earned a fresh row of quick tries. */
const STABLE_MS = 10000;
/** While calls are kept for us no wait is longer, and the first ones are shorter. */
const IN_CALL_WAIT_MS = 1000;
const IN_CALL_FIRST_WAIT_MS = 250;
/** A handshake then: a packet that was lost in the dark is sent again only after a second. */
const IN_CALL_CONNECT_MS = 700;
/** A question that a silent socket has not answered by then, and two round trips, is a reason for a spare. */
const ASK_MS = 100;
/** A spare has its handshake's four round trips and room for a busy machine, no less than this; then the next is tried. */
const SPARE_MS = 250;
const HANDSHAKE_RTTS = 5;
const SPARE_EXTRA_MS = 120;
/**
 * Nor has it less than the silence so far divided by this: where a handshake takes longer than it should (a busy machine,
 * Firefox with what was tried before), none would ever come to its end.
 */
const SPARE_PARTS = 6;
/** Before a round trip was measured. */
const FIRST_RTT_MS = 100;
/** What a gateway may ask for at most. */
const LONGEST_HINT_MS = 60000;
/** Where this address is not allowed, tries are this far apart, or up to a sixth more. */
const FORBIDDEN_WAIT_MS = 60000;
/** Rounds of the gateway's pings that may be missed before we ask. */
const SILENT_ROUNDS = 2.25;
/** Before the gateway has said how often it pings. */
const FIRST_PING_MS = 20000;
/** In a call we ask every second, so that silence is noticed sooner. */
const SILENT_IN_CALL_MS = 3000;
/** An answer to our question takes no longer; timers of a hidden page are late, so it is generous. */
const PROBE_MS = 10000;
/** The same where something has just happened: the network has changed, the page has come back. */
const QUICK_PROBE_MS = 1500;
/** After `online` up to this passes: a whole LAN comes back in one instant, its phones should not. */
const ONLINE_JITTER_MS = 300;
/** What has shown life this short ago is not doubted. */
const FRESH_MS = 500;
/** The next address of the list is tried after at most this. */
const NEXT_URL_MS = 300;

/** Close codes that it is tried again after, and what they are called. @type {Record<number, LostReason>} */
const LOST_BY = { 1012: 'server', 4400: 'fault', 4403: 'forbidden', 4429: 'limited' };

/**
 * @typedef {'off' | 'token' | 'connecting' | 'login' | 'ready' | 'waiting' | 'asleep' | 'stopped'} Phase
 *   `token`: one is being fetched. `asleep`: the page is in the browser's cache of pages left.
 *   `stopped`: a person decides.
 * @typedef {'closed' | 'unreachable' | 'server' | 'limited' | 'forbidden' | 'upgrade' | 'no_token' | 'fault'} LostReason
 * @typedef {'token' | 'expired' | 'in_use' | 'replaced' | 'fault' | 'logged_out'} StopReason
 * @typedef {{
 *   phase: Phase, url: number, urls: number, failures: number, wasReady: boolean, inCall: boolean,
 *   reason: string | null, retryAt: number | null, deadline: number | null, readyAt: number,
 *   heardAt: number, probing: boolean, pingEveryMs: number, hintMs: number | null, freshToken: boolean,
 *   rttMs: number, spare: 'asked' | 'opening' | 'login' | null, spareAt: number | null,
 * }} LinkState
 *   `deadline`, `spareAt`: when `{type: 'time'}` is wanted; a `time` that comes early does no harm. `spare`: how far
 *   the socket beside the silent one is.
 * @typedef {{type: 'open', urls: number} | {type: 'close'} | {type: 'token', fresh: boolean} | {type: 'noToken', final?: boolean}
 *   | {type: 'opened', spare?: boolean} | {type: 'welcome', pingEveryMs?: number, spare?: boolean} | {type: 'heard'}
 *   | {type: 'quiet', on: boolean} | {type: 'rtt', ms: number}
 *   | {type: 'closed', code: number, hintMs?: number, spare?: boolean} | {type: 'why', reason: LostReason}
 *   | {type: 'refused', code: number, hintMs?: number} | {type: 'bye', hintMs: number}
 *   | {type: 'time'} | {type: 'online'} | {type: 'visible'} | {type: 'hidden'} | {type: 'shown'} | {type: 'retry'}
 *   | {type: 'inCall', inCall: boolean}} LinkEvent
 * @typedef {{do: 'fetchToken', refused: boolean} | {do: 'connect', url: number} | {do: 'drop'} | {do: 'login', spare?: boolean}
 *   | {do: 'spare', url: number} | {do: 'dropSpare'} | {do: 'swap'}
 *   | {do: 'probe'} | {do: 'askWhy'} | {do: 'tell', what: 'lost' | 'stopped'}} LinkEffect
 */

/** @returns {LinkState} */
export function newLink() {
  return {
    phase: 'off', url: 0, urls: 1, failures: 0, wasReady: false, inCall: false,
    reason: null, retryAt: null, deadline: null, readyAt: 0,
    heardAt: 0, probing: false, pingEveryMs: FIRST_PING_MS, hintMs: null, freshToken: false,
    rttMs: FIRST_RTT_MS, spare: null, spareAt: null,
  };
}

/** When `time` is wanted next. @param {LinkState} state @returns {number | null} */
export function nextTime({ deadline, spareAt }) {
  return deadline !== null && spareAt !== null ? Math.min(deadline, spareAt) : deadline ?? spareAt;
}

/** @param {LinkState} state whether there is a socket, in whatever state */
const hasSocket = ({ phase }) => phase === 'connecting' || phase === 'login' || phase === 'ready';

/**
 * @param {LinkState} before is not changed
 * @param {LinkEvent} event
 * @param {number} now ms
 * @param {() => number} random in [0, 1)
 * @returns {{state: LinkState, effects: LinkEffect[]}}
 */
export function stepLink(before, event, now, random) {
  const s = { ...before };
  /** @type {LinkEffect[]} */
  const effects = [];

  const silence = () => {
    s.deadline = s.heardAt + (s.inCall ? SILENT_IN_CALL_MS : SILENT_ROUNDS * s.pingEveryMs);
    s.probing = false;
  };

  /** All sockets. */
  const drop = () => {
    if (hasSocket(s)) effects.push({ do: 'drop' });
    s.spare = s.spareAt = null;
  };

  /** The silent socket speaks again. What has logged in goes on: the gateway may have moved the call already. */
  const keep = () => {
    if (s.spare === 'login') return;
    if (s.spare === 'opening') effects.push({ do: 'dropSpare' });
    s.spare = s.spareAt = null;
  };

  const trySpare = () => {
    s.spare = 'opening';
    s.spareAt = now + Math.round(Math.max(SPARE_MS, HANDSHAKE_RTTS * s.rttMs + SPARE_EXTRA_MS, (now - s.heardAt) / SPARE_PARTS) * (1 + random() / 10));
    effects.push({ do: 'spare', url: s.url });
  };

  /** The spare is the socket now. */
  const swap = () => {
    s.spare = s.spareAt = null;
    effects.push({ do: 'swap' });
  };

  /** The token first: it may have to be fetched, and a fresh one is asked for after a refusal. */
  const begin = (refused = false) => {
    drop();
    s.phase = 'token';
    s.retryAt = s.deadline = null;
    s.probing = false;
    effects.push({ do: 'fetchToken', refused });
  };

  /** @param {string} reason */
  const lose = (reason) => {
    const wasUp = s.phase === 'ready';
    drop();
    if (wasUp) {
      if (now - s.readyAt >= STABLE_MS) s.failures = 0;
      // In a call the gateway that keeps it comes first, otherwise the one that is preferred.
      if (!s.inCall) s.url = 0;
    } else if (reason !== 'no_token') {
      s.url = (s.url + 1) % s.urls;
    }
    s.failures++;
    s.phase = 'waiting';
    s.reason = reason;
    s.probing = false;
    s.deadline = s.retryAt = now + pause(reason, wasUp);
    s.hintMs = null;
    effects.push({ do: 'tell', what: 'lost' });
  };

  const unreached = () => {
    lose('unreachable');
    effects.push({ do: 'askWhy' });
  };

  /** @param {string} reason @param {boolean} wasUp */
  const pause = (reason, wasUp) => {
    if (s.hintMs !== null) return Math.round(Math.min(s.hintMs, LONGEST_HINT_MS) * (1 + random() / 4));
    if (reason === 'forbidden') return Math.round(FORBIDDEN_WAIT_MS * (1 + random() / 6));
    if (!wasUp && s.url !== 0 && reason !== 'no_token') return Math.round(random() * NEXT_URL_MS);
    const rounds = Math.ceil(s.failures / s.urls);
    const wait = backoff(reason === 'limited' || reason === 'fault' ? rounds + 4 : rounds, random);
    const most = Math.min(IN_CALL_WAIT_MS, IN_CALL_FIRST_WAIT_MS * Math.max(1, s.failures / 4));
    return s.inCall ? Math.min(wait, Math.round(most * Math.max(0.25, random()))) : wait;
  };

  /** @param {string} reason */
  const stop = (reason) => {
    drop();
    s.phase = 'stopped';
    s.reason = reason;
    s.retryAt = s.deadline = null;
    s.probing = false;
    effects.push({ do: 'tell', what: 'stopped' });
  };

  /** A token that is not good: another one is fetched, once. @param {'token' | 'expired'} reason */
  const badToken = (reason) => {
    if (s.freshToken) return stop(reason);
    s.reason = reason;
    begin(true);
  };

  /** @param {number} ms */
  const probe = (ms) => {
    if (now - s.heardAt < FRESH_MS) return;
    if (!s.probing) effects.push({ do: 'probe' });
    s.deadline = s.probing && s.deadline !== null ? Math.min(s.deadline, now + ms) : now + ms;
    s.probing = true;
  };

  /** Something says that it is worth looking now. */
  const look = () => {
    if (s.phase === 'waiting' && s.reason !== 'forbidden') begin();
    else if (s.phase === 'asleep') begin();
    else if (s.phase === 'ready') probe(QUICK_PROBE_MS);
  };

  switch (event.type) {
    case 'open':
      Object.assign(s, newLink(), { urls: Math.max(1, event.urls), inCall: s.inCall });
      if (hasSocket(before)) effects.push({ do: 'drop' });
      begin();
      break;

    case 'close':
      if (hasSocket(s)) effects.push({ do: 'drop' });
      Object.assign(s, newLink());
      break;

    case 'token':
      s.freshToken = event.fresh;
      if (s.phase !== 'token') break;
      s.phase = 'connecting';
      s.deadline = now + (s.inCall ? Math.min(CONNECT_MS, Math.max(IN_CALL_CONNECT_MS, 5 * s.rttMs) + 100 * s.failures) : CONNECT_MS);
      effects.push({ do: 'connect', url: s.url });
      break;

    case 'noToken':
      if (s.phase !== 'token') break;
      if (event.final) stop(s.reason === 'expired' ? 'expired' : 'token');
      else lose('no_token');
      break;

    case 'opened':
      if (event.spare) {
        if (s.spare !== 'opening') break;
        s.spare = 'login';
        s.spareAt = now + CONNECT_MS;
        effects.push({ do: 'login', spare: true });
        break;
      }
      if (s.phase !== 'connecting') break;
      s.phase = 'login';
      s.deadline = now + CONNECT_MS;
      effects.push({ do: 'login' });
      break;

    case 'welcome':
      if (s.phase === 'ready' && s.spare === 'login' && event.spare) swap();
      else if (s.phase !== 'login') break;
      s.phase = 'ready';
      s.wasReady = true;
      s.freshToken = false;
      s.reason = s.retryAt = null;
      s.readyAt = s.heardAt = now;
      s.pingEveryMs = event.pingEveryMs || FIRST_PING_MS;
      silence();
      break;

    case 'heard':
      s.heardAt = now;
      if (s.phase === 'ready') silence();
      keep();
      break;

    case 'rtt':
      // Followed down at once and up slowly: what waits for a lost packet is no round trip.
      s.rttMs = Math.min(event.ms, s.rttMs + (event.ms - s.rttMs) / 8);
      break;

    case 'quiet':
      if (!event.on) keep();
      else if (s.phase === 'ready' && s.inCall && s.spare === null) {
        s.spare = 'asked';
        s.spareAt = now + Math.round(ASK_MS + 2 * s.rttMs);
        effects.push({ do: 'probe' });
      }
      break;

    case 'refused':
      // The close code behind it decides; what it adds is for how long.
      if (event.hintMs !== undefined) s.hintMs = event.hintMs;
      if (s.phase !== 'login') break;
      if (event.code === 20101) badToken('token');
      else if (event.code === 20104) badToken('expired');
      break;

    case 'bye':
      s.hintMs = event.hintMs;
      break;

    case 'closed':
      if (!hasSocket(s)) break;
      if (event.spare && s.phase === 'ready') {
        if (s.spare === null || s.spare === 'asked') break;
        // A network that is gone is tried again in its time; where the gateway said no there is no use.
        if (event.code === 1006) s.spare = 'opening';
        else s.spare = s.spareAt = null;
        break;
      }
      if (s.spare === 'login') {
        // Because the spare is in: its welcome is on its way.
        swap();
        s.phase = 'login';
        s.deadline = now + CONNECT_MS;
        break;
      }
      if (event.hintMs !== undefined) s.hintMs = event.hintMs;
      if (event.code === 4401) badToken('token');
      else if (event.code === 4409) stop('in_use');
      else if (event.code === 4410) stop('replaced');
      else if (event.code in LOST_BY) lose(LOST_BY[event.code]);
      else if (s.phase === 'connecting') unreached();
      else lose('closed');
      break;

    case 'why':
      if (s.phase !== 'waiting' || s.reason !== 'unreachable' || event.reason === 'unreachable') break;
      s.reason = event.reason;
      if (event.reason === 'forbidden' || event.reason === 'limited') s.deadline = s.retryAt = now + pause(event.reason, true);
      effects.push({ do: 'tell', what: 'lost' });
      break;

    case 'time':
      if (s.deadline === null || now < s.deadline) {
        if (s.spareAt !== null && now >= s.spareAt) trySpare();
        break;
      }
      if (s.phase === 'waiting') begin();
      else if (s.phase === 'connecting') unreached();
      else if (s.phase === 'login') lose('unreachable');
      else if (s.phase === 'ready' && s.probing) {
        // A spare that is under way has its time first.
        if ((s.spareAt ?? 0) > now) s.deadline = s.spareAt;
        else lose('closed');
      } else if (s.phase === 'ready') {
        s.probing = true;
        s.deadline = now + (s.inCall ? QUICK_PROBE_MS : PROBE_MS);
        effects.push({ do: 'probe' });
      }
      break;

    case 'online':
      if (s.phase === 'waiting' && s.reason !== 'forbidden') s.deadline = s.retryAt = Math.min(s.retryAt ?? Infinity, now + Math.round(random() * ONLINE_JITTER_MS));
      // What was begun on the old network is not waited for.
      else if (s.phase === 'connecting' || s.phase === 'login') begin();
      else look();
      break;

    case 'hidden':
      if (s.phase === 'off' || s.phase === 'stopped') break;
      drop();
      s.phase = 'asleep';
      s.deadline = s.retryAt = null;
      effects.push({ do: 'tell', what: 'lost' });
      break;

    case 'visible':
    case 'shown':
      look();
      break;

    case 'retry':
      if (s.phase === 'stopped') {
        s.failures = 0;
        s.freshToken = false;
      }
      if (s.phase === 'waiting' || s.phase === 'stopped' || s.phase === 'asleep') begin();
      break;

    case 'inCall':
      s.inCall = event.inCall;
      if (!s.inCall) keep();
      if (s.phase === 'ready' && !s.probing) silence();
      break;
  }
  return { state: s, effects };
}
