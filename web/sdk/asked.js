// What has been asked of another side that may go away: the gateway, another tab, the frame or the page
// around it.
//
// - Every question ends once: with a value, with an error, or with a timeout.
// - Whether a question that the other side had *taken* when it went was carried out, nobody knows; what becomes of
//   such a one whoever uses this decides.

import { PhoneError } from './errors.js';

/**
 * @typedef {{id: string, question: any, taken: boolean, done: (value: any) => void, fail: (error: PhoneError) => void,
 *   timer: ReturnType<typeof setTimeout>}} Open
 */

export class Asked {
  /** @type {Map<string, Open>} in the order of asking */
  #open = new Map();

  /** Those without an answer. */
  get all() {
    return [...this.#open.values()];
  }

  /**
   * @param {string} id that is never used twice
   * @param {any} question
   * @param {number} timeoutMs
   * @param {boolean} [taken]
   * @returns {Promise<any>} the value
   */
  ask(id, question, timeoutMs, taken = false) {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => this.answer(id, new PhoneError(31003)), timeoutMs);
      this.#open.set(id, { id, question, taken, done, fail, timer });
    });
  }

  /** The other side has it. @param {string} id */
  take(id) {
    const open = this.#open.get(id);
    if (open) open.taken = true;
  }

  /**
   * @param {string} id
   * @param {PhoneError | null} error
   * @param {any} [value] a promise, too
   * @returns {boolean} whether it was waited for
   */
  answer(id, error, value) {
    const open = this.#open.get(id);
    if (!open) return false;
    clearTimeout(open.timer);
    this.#open.delete(id);
    if (error) open.fail(error);
    else open.done(value);
    return true;
  }
}

/**
 * Does what was asked, and gives what can be said of it by a message.
 * @param {() => any} work
 * @returns {Promise<{value: any} | {error: {code: number, message: string}}>}
 */
export async function outcome(work) {
  try {
    return { value: await work() };
  } catch (error) {
    const { code = 31100, message = String(error) } = /** @type {any} */ (error);
    return { error: { code, message } };
  }
}
