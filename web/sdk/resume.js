// The resume id of the last login, kept so that a reload of the page comes back into its call.
//
// It is in sessionStorage, which lives as long as the tab and is read by this origin alone: it is worth
// nothing without a token, which is never stored, and a few seconds after the tab is gone nothing
// at all. Duplicating a tab copies it; a lock says which of the two is the one.

import { holdLock } from './lock.js';

const KEY = 'goastgateway.resume';
/** A page may find the lock of the one that it follows in its tab held for a moment. */
const LOCK_WAIT_MS = 1000;

export class Resume {
  #key;
  #storage;
  #id = '';
  #release = () => {};

  /** @param {string} name of the phone: more than one may be in a page */
  constructor(name) {
    this.#key = `${KEY}:${name}`;
    try {
      this.#storage = globalThis.sessionStorage;
    } catch {
      // A page that may store nothing: then a reload is a new login of the same extension.
    }
  }

  get id() {
    return this.#id;
  }

  /** What an earlier page in this tab has left, unless another tab is that page. @returns {Promise<string>} */
  async recall() {
    const id = this.#read();
    if (this.#id || !id) return this.#id;
    const claimed = this.#claim(id);
    // A reload is no copy: it need not wait until its former self is quite gone.
    if (isReload() || (await claimed)) this.#id = id;
    else this.#write('');
    return this.#id;
  }

  /** @param {string} id */
  keep(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.#release();
    if (id) this.#claim(id);
    this.#write(id);
  }

  /** @param {string} id */
  #write(id) {
    try {
      if (id) this.#storage?.setItem(this.#key, id);
      else this.#storage?.removeItem(this.#key);
    } catch {
      // Full or forbidden.
    }
  }

  #read() {
    try {
      return this.#storage?.getItem(this.#key) ?? '';
    } catch {
      return '';
    }
  }

  /** @param {string} id @returns {Promise<boolean>} whether no other tab has it */
  #claim(id) {
    this.#release();
    return new Promise((claimed) => {
      let release = () => {};
      const timer = setTimeout(() => {
        release();
        claimed(false);
      }, LOCK_WAIT_MS);
      this.#release = release = holdLock(`${KEY}:${id}`, () => {
        clearTimeout(timer);
        claimed(true);
      });
    });
  }
}

function isReload() {
  const [entry] = globalThis.performance?.getEntriesByType?.('navigation') ?? [];
  return /** @type {any} */ (entry)?.type === 'reload';
}

/**
 * A Web Lock as long as the phone is registered: a browser does not freeze a page that holds one to
 * save energy.
 * @returns {() => void} gives it back
 */
export function stayAwake() {
  return holdLock(`goastgateway-phone-${Math.random().toString(36).slice(2)}`);
}
