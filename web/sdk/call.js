// One call, as a page sees it.

import { statusOf } from './calls.js';
import { Emitter } from './emitter.js';
import { PhoneError } from './errors.js';
import { Warnings } from './quality.js';

/** What may be sent. */
const DIGITS = /^[0-9A-D*#w]{1,64}$/;

/**
 * @typedef {import('./calls.js').CallInfo} CallInfo
 * @typedef {import('./quality.js').Sample} Sample
 * @typedef {'audio-latency' | 'choppy-audio' | 'dropped-call' | 'echo' | 'noisy-call' | 'one-way-audio'} FeedbackIssue
 * @typedef {'pending' | 'connecting' | 'ringing' | 'open' | 'held' | 'reconnecting' | 'closed'} CallStatus
 * @typedef {{
 *   command: (name: string, args: Record<string, any>) => Promise<any>, here: () => boolean,
 *   find: (id: string) => Call | undefined, streams: () => {local: MediaStream | null, remote: MediaStream | null},
 *   failed: (error: PhoneError, call: Call) => void, mos?: () => number,
 * }} Desk what a call needs of its device
 */

/**
 * A call that rings, is up, or was. You never make one yourself: `device.connect()` and `incoming` give it.
 *
 * Events, in the order in which they may come:
 * - `ringing(hasEarlyMedia)`: outgoing; the far end rings
 * - `accept(call)`: answered, whoever did it
 * - `mute(isMuted, call)`, `hold(isHeld, call)`, `digit(digit)`, `update(call)`
 * - `volume(input, output)`: peaks of 0 to 1, about 20 times a second
 * - `sample(sample)`: each second
 * - `warning(name, data)`, `warning-cleared(name)`
 * - `reconnecting(error)`, `reconnected()`
 * - `error(error)`
 * - the last one: `cancel(reason)`: it rang and was not answered here; `reject()`: declined here;
 *   `disconnect(call, reason)`: it is over. `call.ending` says more.
 * - and for one that was passed on, behind that, up to five minutes later: `transfer(state, reason)`: `completed`, or
 *   `failed` and why nobody took the caller. It does not come where the gateway doesn't know.
 * @extends {Emitter<{
 *   ringing: [hasEarlyMedia: boolean], accept: [call: Call], mute: [isMuted: boolean, call: Call], hold: [isHeld: boolean, call: Call],
 *   digit: [digit: string], transfer: [state: string, reason: string | null], update: [call: Call], volume: [input: number, output: number],
 *   sample: [sample: Sample], warning: [name: string, data: Record<string, any>], 'warning-cleared': [name: string],
 *   reconnecting: [error: PhoneError], reconnected: [], error: [error: PhoneError],
 *   cancel: [reason: string], reject: [], disconnect: [call: Call, reason: string],
 * }>}
 */
export class Call extends Emitter {
  /** @type {CallInfo} */
  #info;
  #desk;
  #warnings = new Warnings();
  /** @type {Sample | null} */
  #sample = null;

  /** @param {Desk} desk @param {CallInfo} info */
  constructor(desk, info) {
    super();
    this.#desk = desk;
    this.#info = info;
  }

  /** The same in logs, records and webhooks: a UUID. */
  get id() {
    return this.#info.id;
  }
  get direction() {
    return this.#info.direction;
  }
  /** Who calls; `null`s where that is not known. For outgoing calls this is the phone itself. */
  get from() {
    return this.#info.from;
  }
  /** What was dialled. */
  get to() {
    return this.#info.to;
  }
  /** The group that was called, or null. */
  get group() {
    return this.#info.group;
  }
  /** Channel variables that the gateway's configuration lets through. @returns {Map<string, string>} */
  get customParameters() {
    return new Map(Object.entries(this.#info.variables));
  }
  /** The same by Twilio's names. @returns {Record<string, string>} */
  get parameters() {
    const { id, from, to } = this.#info;
    return { CallSid: id, From: from.number ?? '', CallerName: from.name ?? '', To: to ?? '' };
  }
  get codec() {
    return 'slin16';
  }
  /** When it began. */
  get startTime() {
    return new Date(this.#info.since);
  }
  /** When it was answered, or null. */
  get answerTime() {
    return this.#info.answered === null ? null : new Date(this.#info.answered);
  }
  /** True for a second call that came while another was up. */
  get isWaiting() {
    return this.#info.waiting;
  }
  /** The call whose transfer this one prepares. @returns {Call | null} */
  get consultsFor() {
    return this.#info.consultsFor === null ? null : this.#desk.find(this.#info.consultsFor) ?? null;
  }
  /** How it ended: `{reason, side, by, cause, talkMs}`; null while it is up. */
  get ending() {
    return this.#info.ending;
  }
  /** Names of the warnings that stand. */
  get warnings() {
    return this.#warnings.standing;
  }

  /** @returns {CallStatus} */
  status() {
    return statusOf(this.#info, this.#desk.here());
  }
  isMuted() {
    return this.#info.muted;
  }
  /** Held by us. */
  isHeld() {
    return this.#info.held;
  }
  /** Held by the far end. */
  isHeldByFar() {
    return this.#info.heldByFar;
  }

  // ---- what a person does; what goes wrong is told by `error`

  /** Answers. An active call is held. */
  accept() {
    this.#do('answer');
  }
  /** Declines: the caller's side learns *busy*. */
  reject() {
    this.#do('reject');
  }
  /** Stops ringing here, and says nothing to the caller. */
  ignore() {
    this.#do('ignore');
  }
  /** Hangs up, in any state. */
  disconnect() {
    this.#do('hangup');
  }
  /** @param {boolean} [on] */
  mute(on = true) {
    this.#do('mute', { on });
  }
  /**
   * `0-9 * # A-D`, `w` waits half a second; at most 64. They are heard here, too.
   * @param {string} digits
   */
  sendDigits(digits) {
    if (!DIGITS.test(digits)) throw new PhoneError(31400, `«${digits}» are no digits that can be sent`);
    this.#do('digits', { digits });
  }

  // ---- what has an answer

  /**
   * The far end hears music. `hold(false)` makes this the active call and holds the other: so one swaps.
   * @param {boolean} [on]
   * @returns {Promise<void>}
   */
  hold(on = true) {
    return this.#ask('hold', { on });
  }

  /**
   * Passes the call on. Blind: at once. Attended: this call is held and the other party called; then
   * `completeTransfer()` or `cancelTransfer()`.
   * @param {string} to
   * @param {{kind?: 'blind' | 'attended'}} [options]
   * @returns {Promise<Call | null>} the call to the other party, if attended
   */
  async transfer(to, { kind = 'blind' } = {}) {
    const id = await this.#ask('transfer', { to, mode: kind });
    return typeof id === 'string' ? this.#desk.find(id) ?? null : null;
  }
  /** Joins the two far ends. @returns {Promise<void>} */
  async completeTransfer() {
    await this.#ask('transfer', { mode: 'complete' });
  }
  /** Ends the second call; this one goes on. @returns {Promise<void>} */
  async cancelTransfer() {
    await this.#ask('transfer', { mode: 'cancel' });
  }

  /**
   * What a person thought of it; within a minute after its end, too.
   * @param {1 | 2 | 3 | 4 | 5} score
   * @param {FeedbackIssue} [issue]
   * @returns {Promise<void>}
   */
  async postFeedback(score, issue) {
    await this.#ask('feedback', { score, ...(issue ? { issue } : {}) });
  }

  /** The latest sample, or null before the first. @returns {Promise<Sample | null>} */
  async getStats() {
    return this.#sample;
  }
  /** The microphone, while it is open. */
  getLocalStream() {
    return this.#desk.streams().local;
  }
  /** The far voice. */
  getRemoteStream() {
    return this.#desk.streams().remote;
  }

  /** @param {string} name @param {Record<string, any>} [args] */
  #ask(name, args = {}) {
    return this.#desk.command(name, { call: this.id, ...args });
  }

  /** @param {string} name @param {Record<string, any>} [args] */
  #do(name, args) {
    this.#ask(name, args).catch((error) => this.#fail(error));
  }

  /** @param {PhoneError} error */
  #fail(error) {
    this.emit('error', error);
    this.#desk.failed(error, this);
  }

  // ---- by the device

  /** @internal @param {CallInfo} info */
  _show(info) {
    this.#info = info;
  }

  /** @internal @param {string} event @param {any[]} args */
  _tell(event, args) {
    switch (event) {
      case 'mute':
      case 'hold':
        return this.emit(event, args[0], this);
      case 'accept':
      case 'update':
        return this.emit(event, this);
      case 'disconnect':
        return this.emit('disconnect', this, args[0]);
      case 'reconnecting':
        return this.emit('reconnecting', new PhoneError(53001));
      case 'sample':
        return this.#judge(args[0]);
      default:
        return /** @type {Emitter<string>} */ (/** @type {unknown} */ (this)).emit(event, ...args);
    }
  }

  /** @internal The browser lets no sound out, or does so again. @param {boolean} blocked */
  _blocked(blocked) {
    if (!this.#warnings.set('audio-blocked', blocked, Date.now())) return;
    if (blocked) this.emit('warning', 'audio-blocked', {});
    else this.emit('warning-cleared', 'audio-blocked');
  }

  /** @param {Sample} sample */
  #judge(sample) {
    this.#sample = sample;
    this.emit('sample', sample);
    const { muted, held, heldByFar, state } = this.#info;
    const { raised, cleared } = this.#warnings.take(sample, { muted, silent: held || heldByFar || state !== 'open' });
    for (const [name, data] of raised) this.emit('warning', name, data);
    for (const name of cleared) this.emit('warning-cleared', name);
  }
}

/** Whichever event is the last of a call. @param {Call} call @param {() => void} listener */
export function whenOver(call, listener) {
  for (const end of /** @type {const} */ (['cancel', 'reject', 'disconnect'])) call.on(end, listener);
}
