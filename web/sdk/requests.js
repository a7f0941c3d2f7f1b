// Requests with their answers: each has an id that is never used twice, so that the gateway carries
// it out once, however often a network makes us ask.
//
// - What is unanswered when the connection breaks is asked again, with the same id, once it is resumed.
// - Every request ends: with its result, with the gateway's refusal, or with a timeout.

import { Asked } from './asked.js';
import { errorOf, PhoneError } from './errors.js';

export class Requests {
  /** Taken is what was sent. */
  #asked = new Asked();
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
    const question = { ...message, id: `${this.#prefix}-${this.#next++}` };
    const answer = this.#asked.ask(question.id, question, timeoutMs, this.#up);
    if (this.#up) this.#send(question);
    return answer;
  }

  /** @param {import('./calls.js').Message} m `ok` or `error` @returns {boolean} whether it answers one of ours */
  answer(m) {
    return this.#asked.answer(String(m.id), m.type === 'ok' ? null : errorOf(m), m);
  }

  /**
   * Logged in: what waits is asked, in order. What was asked before is asked again where the gateway
   * knows its id; where it doesn't, it might be done twice, so nobody knows whether it was done.
   * @param {boolean} resumed
   */
  up(resumed) {
    this.#up = true;
    for (const open of this.#asked.all) {
      if (open.taken && !resumed) this.#asked.answer(open.id, new PhoneError(31003));
      else {
        open.taken = true;
        this.#send(open.question);
      }
    }
  }

  down() {
    this.#up = false;
  }

  /** There is nobody to ask any more. @param {PhoneError} error */
  failAll(error) {
    this.#up = false;
    for (const { id } of this.#asked.all) this.#asked.answer(id, error);
  }
}
