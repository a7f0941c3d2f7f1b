// The tabs of one browser as one phone: one of them, the leader, has the telephone; the others show what
// it shows and pass on what a person does there.
//
// - A Web Lock says who leads; when that tab goes, the next one has the lock at once, and goes on with
//   the calls by the resume id.
// - A command is carried out by the leader; its result or error comes back to the tab that gave it.
// - `close` logs the phone out, for all tabs; `destroy` only takes this tab away.
//
// It looks like a Station to whoever uses it.

import { Asked, outcome } from './asked.js';
import { rings } from './calls.js';
import { Emitter } from './emitter.js';
import { errorOf, PhoneError } from './errors.js';
import { holdLock } from './lock.js';

/** A leader that does not answer by then has just gone; the next one is asked by whoever cares. */
const ANSWER_MS = 60000;
/** Not worth telling other tabs, or not theirs to act on. */
const OWN = new Set(['volume', 'tokenWillExpire']);

/**
 * @typedef {import('./station.js').Station} Station
 * @typedef {import('./station.js').View} View
 * @typedef {import('./station.js').News} News
 */

/** Whether this browser can do it. */
export function canShareTabs() {
  return Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel);
}

/**
 * @extends {Emitter<{news: [view: View, news: News[]]}>}
 */
export class Tabs extends Emitter {
  #name;
  #station;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  #leads = false;
  /** @type {View | null} what the leader last showed */
  #shown = null;
  #asked = new Asked();
  #leave = () => {};

  /** @param {string} name the same in all tabs of the phone @param {Station} station */
  constructor(name, station) {
    super();
    this.#name = `goastgateway.leader:${name}`;
    this.#station = station;
    station.on('news', (view, news) => {
      if (!this.#leads) return;
      this.#post({ view, news: news.filter((n) => !OWN.has(n.event)).map(pack) });
      this.emit('news', view, news);
    });
  }

  get isLeader() {
    return this.#leads;
  }
  get view() {
    return this.#leads || !this.#shown ? this.#station.view : this.#shown;
  }

  async open() {
    if (this.#channel) return this.command('retry');
    const channel = new BroadcastChannel(this.#name);
    this.#channel = channel;
    channel.onmessage = ({ data }) => this.#hear(data);
    this.#post({ hello: true });
    this.#leave = holdLock(this.#name, () => this.#lead());
  }

  #lead() {
    this.#leads = true;
    const before = this.#shown;
    this.#shown = null;
    if (before) this.#station.adopt(before);
    this.#post({ leads: true });
    this.#askAgain();
    // All tabs were logged out: then this one does not log in by itself.
    if (before?.phase !== 'off' && before?.phase !== 'stopped') this.#station.open();
  }

  /** Another leader: what the one before has not taken is done now, what it had taken, nobody knows. */
  #askAgain() {
    for (const { id, question, taken } of this.#asked.all) {
      if (taken) this.#asked.answer(id, new PhoneError(31003, 'the tab with the telephone has gone'));
      else if (this.#leads) this.#asked.answer(id, null, this.#carryOut(question));
      else this.#post(question);
    }
  }

  /** @param {{name: string, args: Record<string, any>}} question */
  async #carryOut({ name, args }) {
    return name === 'close' ? this.#station.close() : this.#station.command(name, args);
  }

  close() {
    if (this.#leads) this.#station.close();
    else this.command('close').catch(() => {});
  }

  destroy() {
    if (this.#leads || !this.#channel) {
      const alone = !this.#channel;
      if (!alone) this.#station.close(true);
      this.#leads = false;
    }
    this.#station.destroy();
    this.#leave();
    this.#channel?.close();
    this.#channel = null;
    this.removeAllListeners();
  }

  /** @param {string} name @param {Record<string, any>} [args] @returns {Promise<any>} */
  command(name, args = {}) {
    if (this.#leads || !this.#channel) return this.#station.command(name, args);
    const question = { ask: crypto.randomUUID(), name, args };
    const answer = this.#asked.ask(question.ask, question, ANSWER_MS);
    this.#post(question);
    return answer;
  }

  /** @param {any} m */
  async #hear(m) {
    if (this.#leads) {
      if (m.hello) this.#post({ view: this.#station.view, news: [] });
      if (!m.ask) return;
      this.#post({ taken: m.ask });
      this.#post({ answer: m.ask, ...(await outcome(() => this.#carryOut(m))) });
      return;
    }
    if (m.leads) this.#askAgain();
    if (m.taken) this.#asked.take(m.taken);
    if (m.answer) {
      this.#asked.answer(m.answer, m.error && errorOf(m.error), m.value);
    } else if (m.view) {
      const first = !this.#shown;
      this.#shown = m.view;
      /** @type {News[]} */
      const news = m.news.map(unpack);
      // A tab that comes later learns what is already there.
      if (first && m.view.phase === 'ready' && !news.some((n) => n.event === 'registered')) news.unshift({ event: 'registered', args: [] });
      if (first) {
        for (const call of m.view.calls) {
          news.push({ call: call.id, event: rings(call) ? 'incoming' : 'begun', args: [] });
        }
      }
      this.emit('news', m.view, news);
    }
  }

  /** @param {any} message */
  #post(message) {
    this.#channel?.postMessage(message);
  }
}

/** Errors of a class do not pass between tabs as what they are. @param {News} item */
const pack = (item) => ({ ...item, args: item.args.map((arg) => (arg instanceof PhoneError ? { isError: true, code: arg.code, message: arg.message } : arg)) });
/** @param {News} item @returns {News} */
const unpack = (item) => ({ ...item, args: item.args.map((arg) => (arg?.isError ? errorOf(arg) : arg)) });
