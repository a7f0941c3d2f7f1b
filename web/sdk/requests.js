// Requests with their answers: each has an id that is never used twice, so that the gateway carries
// it out once, however often a network makes us ask.
//
// - What is unanswered when the connection breaks is asked again, with the same id, once it is resumed.
// - Every request ends: with its result, with the gateway's refusal, or with a timeout.

import { errorOf, PhoneError } from './errors.js';

/**
 * @typedef {{message: import('./calls.js').Message, done: (result: any) => void, fail: (error: PhoneError) => void,
 *   timer: ReturnType<typeof setTimeout>, sent: boolean}} Open
 */

export class Requests {
  /** @type {Map<string, Open>} in the order of asking */
  #open = new Map();
  #next = 1;
  // Ids count across a reload of the page, so each page has its own.
  #prefix = Math.random().toString(36).slice(2, 10);
  #send;
  #up = false;

  /** @param {(message: import('./calls.js').Message) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /**
   * @param {import('./calls.js').Message} message without an id
   * @param {{timeoutMs: number, wait?: boolean}} options `wait`: while there is no connection it waits for one
   * @returns {Promise<any>} what came with `ok`
   */
  ask(message, { timeoutMs, wait = true }) {
    if (!this.#up && !wait) return Promise.reject(new PhoneError(31005));
    const id = `${this.#prefix}-${this.#next++}`;
    return new Promise((done, fail) => {
      const timer = setTimeout(() => this.#close(id)?.fail(new PhoneError(31003)), timeoutMs);
      this.#open.set(id, { message: { ...message, id }, done, fail, timer, sent: this.#up });
      if (this.#up) this.#send({ ...message, id });
    });
  }

  /** @param {import('./calls.js').Message} m `ok` or `error` @returns {boolean} whether it answers one of ours */
  answer(m) {
    const open = this.#close(String(m.id));
    if (!open) return false;
    if (m.type === 'ok') open.done(m);
    else open.fail(errorOf(m));
    return true;
  }

  /**
   * Logged in: what waits is asked, in order. What was asked before is asked again where the gateway
   * knows its id; where it doesn't, it might be done twice, so nobody knows whether it was done.
   * @param {boolean} resumed
   */
  up(resumed) {
    this.#up = true;
    for (const [id, open] of [...this.#open]) {
      if (open.sent && !resumed) this.#close(id)?.fail(new PhoneError(31003));
      else {
        open.sent = true;
        this.#send(open.message);
      }
    }
  }

  down() {
    this.#up = false;
  }

  /** There is nobody to ask any more. @param {PhoneError} error */
  failAll(error) {
    this.#up = false;
    for (const id of [...this.#open.keys()]) this.#close(id)?.fail(error);
  }

  /** @param {string} id */
  #close(id) {
    const open = this.#open.get(id);
    if (open) clearTimeout(open.timer);
    this.#open.delete(id);
    return open;
  }
}
