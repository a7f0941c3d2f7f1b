// The phone as a value: events in, the next state and what is to be done out.
//
// Pure: no socket, no audio, no clock; time is an argument. The promises, each with a test:
// - A call is answered at most once and ended exactly once, with one reason.
// - RINGING and ring stop come in pairs, audio start and audio stop too.
// - Whatever the gateway sends, whenever it sends it, there is a state that makes sense.

/**
 * @typedef {'offline' | 'connecting' | 'waiting' | 'ready' | 'stopped'} Link
 *   `waiting`: not connected, the next try is set. `stopped`: not connected, and a person decides.
 * @typedef {'none' | 'ringing' | 'open'} CallState
 * @typedef {'busy' | 'kicked' | 'token' | 'expired'} StopReason
 * @typedef {'caller' | 'hangup' | 'declined' | 'missed' | 'late' | 'lost' | 'logout'} EndReason
 *   `caller`: the other side hung up. `missed`: it stopped ringing before we answered.
 *   `late`: we answered, but somebody else was first or the caller had gone. `lost`: our connection.
 * @typedef {{
 *   link: Link, call: CallState, wasReady: boolean,
 *   reason: string | null, retryAt: number | null,
 *   ringingSince: number | null, answeredAt: number | null, heard: boolean, muted: boolean,
 *   ended: {reason: EndReason, at: number, durationMs: number} | null,
 * }} PhoneState
 * @typedef {{type: 'connecting', retry?: boolean} | {type: 'ready'} | {type: 'lost', reason: string, retryAt: number}
 *   | {type: 'stopped', reason: StopReason} | {type: 'logout'} | {type: 'text', text: string} | {type: 'audio'}
 *   | {type: 'answer'} | {type: 'hangup'} | {type: 'mute', muted: boolean}} PhoneEvent
 * @typedef {{do: 'send', text: 'ANSWER' | 'HANGUP'} | {do: 'ring'} | {do: 'stopRing'}
 *   | {do: 'startAudio'} | {do: 'stopAudio'} | {do: 'mute', muted: boolean} | {do: 'ended', reason: EndReason}} Effect
 */

/**
 * The gateway tells an answer that came too late at once. A call that ends later than this was one,
 * even if nothing was heard of it.
 */
const LATE_MS = 2000;

/** @returns {PhoneState} */
export function initialState() {
  return {
    link: 'offline', call: 'none', wasReady: false,
    reason: null, retryAt: null,
    ringingSince: null, answeredAt: null, heard: false, muted: false,
    ended: null,
  };
}

/**
 * @param {PhoneState} state is not changed
 * @param {PhoneEvent} event
 * @param {number} now ms
 * @returns {{state: PhoneState, effects: Effect[]}}
 */
export function step(state, event, now) {
  const next = { ...state };
  /** @type {Effect[]} */
  const effects = [];

  /** @param {EndReason} reason */
  const end = (reason) => {
    if (next.call === 'none') return;
    effects.push(next.call === 'ringing' ? { do: 'stopRing' } : { do: 'stopAudio' });
    const durationMs = next.answeredAt === null ? 0 : Math.max(0, now - next.answeredAt);
    next.ended = { reason, at: now, durationMs };
    next.call = 'none';
    next.ringingSince = next.answeredAt = null;
    next.heard = false;
    if (next.muted) {
      next.muted = false;
      effects.push({ do: 'mute', muted: false });
    }
    effects.push({ do: 'ended', reason });
  };

  switch (event.type) {
    case 'connecting':
      end('lost');
      next.link = 'connecting';
      next.retryAt = null;
      if (!event.retry) {
        next.wasReady = false;
        next.reason = null;
      }
      break;

    case 'ready':
      next.link = 'ready';
      next.wasReady = true;
      next.reason = next.retryAt = null;
      break;

    case 'lost':
      end('lost');
      next.link = 'waiting';
      next.reason = event.reason;
      next.retryAt = event.retryAt;
      break;

    case 'stopped':
      end('lost');
      next.link = 'stopped';
      next.reason = event.reason;
      next.retryAt = null;
      break;

    case 'logout':
      if (next.call !== 'none') effects.push({ do: 'send', text: 'HANGUP' });
      end('logout');
      next.link = 'offline';
      next.wasReady = false;
      next.reason = next.retryAt = next.ended = null;
      break;

    case 'text':
      // BUSY and KICKED are about the connection; it reports them as `stopped`.
      if (event.text === 'RINGING' && next.call === 'none' && next.link !== 'offline') {
        next.link = 'ready';
        next.wasReady = true;
        next.reason = next.retryAt = next.ended = null;
        next.call = 'ringing';
        next.ringingSince = now;
        effects.push({ do: 'ring' });
      } else if (event.text === 'HANGUP') {
        if (next.call === 'ringing') end('missed');
        else if (next.call === 'open') end(!next.heard && now - next.answeredAt <= LATE_MS ? 'late' : 'caller');
      }
      break;

    case 'audio':
      if (next.call === 'open') next.heard = true;
      break;

    case 'answer':
      if (next.call !== 'ringing') break;
      next.call = 'open';
      next.answeredAt = now;
      next.ringingSince = null;
      effects.push({ do: 'stopRing' }, { do: 'send', text: 'ANSWER' }, { do: 'startAudio' });
      break;

    case 'hangup':
      if (next.call === 'none') break;
      effects.push({ do: 'send', text: 'HANGUP' });
      end(next.call === 'ringing' ? 'declined' : 'hangup');
      break;

    case 'mute':
      if (next.call !== 'open' || next.muted === event.muted) break;
      next.muted = event.muted;
      effects.push({ do: 'mute', muted: event.muted });
      break;
  }
  return { state: next, effects };
}

/**
 * One word for what a person should see.
 * @param {PhoneState} state
 * @returns {'offline' | 'connecting' | 'ready' | 'ringing' | 'in-call' | 'reconnecting' | 'busy' | 'replaced' | 'refused'}
 */
export function shownState(state) {
  if (state.call === 'ringing') return 'ringing';
  if (state.call === 'open') return 'in-call';
  switch (state.link) {
    case 'ready':
      return 'ready';
    case 'connecting':
    case 'waiting':
      // Tried again now and then, but nothing that the phone does will help.
      if (state.reason === 'forbidden') return 'refused';
      return state.link === 'connecting' && state.reason === null ? 'connecting' : 'reconnecting';
    case 'stopped':
      return state.reason === 'busy' ? 'busy' : state.reason === 'kicked' ? 'replaced' : 'refused';
    default:
      return 'offline';
  }
}
