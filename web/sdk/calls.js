// The calls of one phone as a value: what the gateway and a person say goes in, the next state and
// what is to be done come out.
//
// Pure: no socket, no sound, no clock. Promises, each with a test:
// - A call begins once and ends once, with one reason; after that nothing is told of it but, of one that was
//   passed on, what became of it, once.
// - Ringing and its end come in pairs, and so do the sound's start and stop.
// - Sound goes to one call at most: the one that is neither held nor being ended.
// - Whatever the gateway sends, whenever it sends it, there is a state that makes sense.

/**
 * @typedef {{number: string | null, name: string | null}} Party
 * @typedef {{reason: string, side: string, by: string | null, cause: number | null, talkMs: number}} Ending
 *   `side`: whose doing it was: caller, asterisk, phone, gateway, operator.
 * @typedef {'ringing' | 'dialling' | 'alerting' | 'open' | 'ended'} CallState
 * @typedef {{
 *   id: string, direction: 'INCOMING' | 'OUTGOING', state: CallState,
 *   from: Party, to: string | null, group: string | null, variables: Record<string, string>,
 *   held: boolean, heldByFar: boolean, muted: boolean, since: number, answered: number | null,
 *   consultsFor: string | null, waiting: boolean, media: boolean,
 *   asked: null | 'answer' | 'reject' | 'hangup', ignored: boolean, ending: Ending | null,
 * }} CallInfo
 *   `asked`: what a person has asked for and the gateway has not yet done. `media`: sound flows, or would
 *   if it were not held. `since`, `answered`: ms since 1970.
 * @typedef {{calls: CallInfo[], here: boolean, passed: string[]}} CallsState `here`: the gateway is connected; `passed`: ids of
 *   calls that were passed on, of which it is not known what became
 * @typedef {{type: string, [key: string]: any}} Message
 * @typedef {{do: 'tell', call: string, event: string, args: any[]} | {do: 'over', call: CallInfo}
 *   | {do: 'send', message: Message} | {do: 'ring', how: RingHow}
 *   | {do: 'sound', on: boolean} | {do: 'talk', call: string | null, muted: boolean}} CallsEffect
 *   `over` comes once for each call, before the last `tell` of it. `sound`: the microphone and the speaker are
 *   needed. `talk`: who hears us.
 * @typedef {'ring' | 'waiting' | 'ringback' | null} RingHow
 */

/** @returns {CallsState} */
export function noCalls() {
  return { calls: [], here: false, passed: [] };
}

/** Callers who were passed on and still ring somewhere; one remembers no more either. */
const MAX_PASSED = 8;

/** What a call that was lost in the dark is said to have ended of. */
const LOST = { reason: 'phone_lost', side: 'phone', by: null, cause: null, talk_ms: 0 };

/** @param {any} value @returns {string | null} */
export const textOrNull = (value) => (typeof value === 'string' ? value : null);

/** @param {any} from @returns {Party} */
const party = (from) => ({ number: textOrNull(from?.number), name: textOrNull(from?.name) });

/**
 * A call object of the gateway's, over what was known of it.
 * @param {Message} o
 * @param {CallInfo} [known]
 * @returns {CallInfo}
 */
function readCall(o, known) {
  const state = ['ringing', 'dialling', 'alerting', 'open'].includes(o.state) ? o.state : known?.state ?? 'ringing';
  return {
    id: o.call,
    direction: o.direction === 'outgoing' ? 'OUTGOING' : 'INCOMING',
    state,
    from: party(o.from),
    to: textOrNull(o.to),
    group: textOrNull(o.group),
    variables: o.variables && typeof o.variables === 'object' ? { ...o.variables } : {},
    held: o.held === true,
    heldByFar: o.held_by_far === true,
    // Whether we are muted is decided here: nothing that was said before the mute is heard after it.
    muted: known?.muted ?? o.muted === true,
    since: Number(o.since) || 0,
    answered: Number(o.answered) || null,
    consultsFor: textOrNull(o.consults_for),
    waiting: o.waiting === true || (known?.waiting ?? false),
    media: state === 'open' || (known?.media ?? false),
    asked: state === 'open' && known?.asked === 'answer' ? null : known?.asked ?? null,
    ignored: known?.ignored ?? false,
    ending: null,
  };
}

/** Somebody calls, and is not answered. @param {CallInfo} c */
export const rings = (c) => c.direction === 'INCOMING' && c.state === 'ringing';

/** The call that hears us. @param {CallsState} state @returns {CallInfo | undefined} */
export function activeCall(state) {
  return state.calls.find((c) => c.media && !c.held && c.asked !== 'hangup');
}

/** @param {CallsState} state @returns {RingHow} */
function ringOf({ calls }) {
  if (calls.some((c) => rings(c) && !c.asked && !c.ignored)) return calls.some((c) => c.media) ? 'waiting' : 'ring';
  // The far end's own ringback is better, where it comes.
  return calls.some((c) => c.direction === 'OUTGOING' && c.state === 'alerting' && !c.media && !c.asked) ? 'ringback' : null;
}

/**
 * How a call stands, in Twilio's words and `held`.
 * @param {CallInfo} call
 * @param {boolean} here
 * @returns {'pending' | 'connecting' | 'ringing' | 'open' | 'held' | 'reconnecting' | 'closed'}
 */
export function statusOf(call, here) {
  if (call.state === 'ended') return 'closed';
  if (!here) return 'reconnecting';
  if (call.state === 'open') return call.held ? 'held' : 'open';
  if (call.direction === 'INCOMING') return call.asked === 'answer' ? 'connecting' : 'pending';
  return call.state === 'alerting' ? 'ringing' : 'connecting';
}

/**
 * Takes a message of the gateway, or `lost` (it may come back), `gone` (it won't; with `ending`), or what a
 * person does: `do.answer`, `do.reject`, `do.hangup`, `do.ignore`, `do.mute` (with `on`), each with `call`;
 * `do.dialled` with `call`, `to` and `variables` when a call has just been made; `refused` when the
 * gateway would not do what was `asked`.
 * @param {CallsState} before is not changed
 * @param {Message} m
 * @param {number} now ms since 1970
 * @returns {{state: CallsState, effects: CallsEffect[]}}
 */
export function stepCalls(before, m, now) {
  /** @type {CallsState} */
  const s = { here: before.here, calls: before.calls.map((c) => ({ ...c })), passed: [...before.passed] };
  /** @type {CallsEffect[]} */
  const effects = [];
  const call = s.calls.find((c) => c.id === m.call);

  /** @param {CallInfo} c @param {string} event @param {...any} args */
  const tell = (c, event, ...args) => effects.push({ do: 'tell', call: c.id, event, args });

  /** @param {CallInfo} c @param {Record<string, any>} why */
  const end = (c, why) => {
    const talkMs = Number(why.talk_ms) || (c.answered === null ? 0 : Math.max(0, now - c.answered));
    /** @type {Ending} */
    const ending = { reason: String(why.reason ?? 'unknown'), side: String(why.side ?? ''), by: textOrNull(why.by), cause: Number.isFinite(why.cause) ? why.cause : null, talkMs };
    const unanswered = rings(c);
    const rejected = c.asked === 'reject';
    c.state = 'ended';
    c.ending = ending;
    s.calls = s.calls.filter((other) => other !== c);
    // Of one that asked before a transfer, the first call's outcome tells.
    if (ending.reason === 'transferred' && !c.consultsFor) s.passed = [...s.passed, c.id].slice(-MAX_PASSED);
    effects.push({ do: 'over', call: c });
    if (unanswered && rejected) tell(c, 'reject');
    else if (unanswered) tell(c, 'cancel', ending.reason);
    else tell(c, 'disconnect', ending.reason);
  };

  /** @param {CallInfo} c @param {boolean} on @param {'held' | 'heldByFar'} which */
  const hold = (c, on, which) => {
    if (c[which] === on) return;
    c[which] = on;
    tell(c, 'hold', c.held || c.heldByFar);
  };

  /** Only one call is not held: this one. @param {CallInfo} c */
  const makeActive = (c) => {
    for (const other of s.calls) if (other !== c && other.media) hold(other, true, 'held');
    hold(c, false, 'held');
  };

  /** @param {Message} o @returns {CallInfo} */
  const take = (o) => {
    const known = s.calls.find((c) => c.id === o.call);
    const read = readCall(o, known);
    if (!known) {
      s.calls.push(read);
      tell(read, rings(read) ? 'incoming' : 'begun');
      return read;
    }
    const was = { ...known };
    Object.assign(known, read);
    if (was.state !== 'open' && known.state === 'open') tell(known, 'accept');
    else if (was.state !== 'alerting' && known.state === 'alerting') tell(known, 'ringing', known.media);
    if ((was.held || was.heldByFar) !== (known.held || known.heldByFar)) tell(known, 'hold', known.held || known.heldByFar);
    tell(known, 'update');
    return known;
  };

  /** The page can show it: without this the gateway rings somebody else. @param {CallInfo} c */
  const confirm = (c) => {
    if (rings(c)) effects.push({ do: 'send', message: { type: 'ringing', call: c.id } });
  };

  switch (m.type) {
    case 'welcome': {
      const back = !s.here && before.calls.length > 0;
      s.here = true;
      /** @type {Message[]} */
      const listed = Array.isArray(m.calls) ? m.calls.filter((c) => typeof c?.call === 'string') : [];
      for (const c of [...s.calls]) if (!listed.some((o) => o.call === c.id)) end(c, LOST);
      for (const o of listed) {
        const known = s.calls.some((c) => c.id === o.call);
        const c = take(o);
        if (known && back) tell(c, 'reconnected');
        if (c.muted !== (o.muted === true)) effects.push({ do: 'send', message: { type: 'mute', call: c.id, on: c.muted } });
        confirm(c);
      }
      break;
    }

    case 'lost':
      if (!s.here) break;
      s.here = false;
      for (const c of s.calls) tell(c, 'reconnecting');
      break;

    case 'gone':
      s.here = false;
      for (const c of [...s.calls]) end(c, { ...LOST, ...m.ending });
      break;

    case 'incoming':
      if (typeof m.call === 'string') confirm(take({ ...m, state: 'ringing', direction: 'incoming' }));
      break;

    case 'outgoing':
      if (typeof m.call === 'string') take({ ...m, direction: 'outgoing' });
      break;

    case 'do.dialled':
      if (!call) take({ ...m, direction: 'outgoing', state: 'dialling', since: now });
      break;

    case 'update':
      if (call) take(m);
      break;

    case 'progress':
      if (!call || call.state === 'open') break;
      if (m.audio === true && !call.media) {
        call.media = true;
        makeActive(call);
      }
      if (m.state === 'alerting' && call.state !== 'alerting') {
        call.state = 'alerting';
        tell(call, 'ringing', m.audio === true);
      }
      break;

    case 'connected':
      if (!call || call.state === 'open') break;
      call.state = 'open';
      call.answered = Number(m.answered) || now;
      call.media = true;
      if (call.asked === 'answer') call.asked = null;
      makeActive(call);
      tell(call, 'accept');
      break;

    case 'ended':
      if (call) end(call, m);
      break;

    case 'held':
      if (!call) break;
      if (m.by === 'far') hold(call, m.on === true, 'heldByFar');
      else if (m.on === true) hold(call, true, 'held');
      else makeActive(call);
      break;

    case 'dtmf':
      if (call) tell(call, 'digit', String(m.digit));
      break;

    case 'transfer':
      if (!call && !s.passed.includes(m.call)) break;
      s.passed = s.passed.filter((id) => id !== m.call);
      effects.push({ do: 'tell', call: m.call, event: 'transfer', args: [String(m.state), textOrNull(m.reason)] });
      break;

    case 'refused':
      if (call) call.asked = null;
      break;

    case 'do.answer':
    case 'do.reject':
      if (call && rings(call) && !call.asked) call.asked = m.type === 'do.answer' ? 'answer' : 'reject';
      break;

    case 'do.hangup':
      if (call) call.asked = rings(call) && call.asked !== 'answer' ? 'reject' : 'hangup';
      break;

    case 'do.ignore':
      if (call) call.ignored = true;
      break;

    case 'do.mute':
      if (!call || call.muted === (m.on === true)) break;
      call.muted = m.on === true;
      tell(call, 'mute', call.muted);
      break;
  }

  // What follows from the state is told once, when it changes.
  const ring = ringOf(s);
  if (ring !== ringOf(before)) effects.push({ do: 'ring', how: ring });
  const sound = s.calls.some((c) => c.media);
  if (sound !== before.calls.some((c) => c.media)) effects.push({ do: 'sound', on: sound });
  const [was, is] = [before, s].map((state) => {
    const active = activeCall(state);
    return { call: active && state.here ? active.id : null, muted: active?.muted ?? false };
  });
  if (was.call !== is.call || was.muted !== is.muted) effects.push({ do: 'talk', ...is });
  return { state: s, effects };
}
