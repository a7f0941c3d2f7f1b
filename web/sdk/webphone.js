// The class `WebPhone` of the Go gateway's sample page over this SDK: a page that was written for it changes
// the address of its import and no more.

import { whenOver } from './call.js';
import { Device } from './device.js';
import { Emitter } from './emitter.js';

/** What its `onHangup` was told. @param {string} [reason] */
const hangupWord = (reason) => (reason === 'busy' || reason === 'away' ? 'BUSY' : 'HANGUP');

/**
 * `onConnect()`, `onDisconnect()`, `onRing(call)`, `onHangup(reason)` with HANGUP, BUSY or KICKED, `onError(error)`: by
 * `on(name, listener)`, or as properties. A second call while one is up is declined, as there.
 */
export class WebPhone {
  /** @type {Device | null} */
  #device = null;
  #token;
  #options;
  #events = new Emitter();
  #connected = false;
  /** @type {import('./call.js').Call | null} */
  #call = null;

  /**
   * @param {{wsUrl?: string, token?: string | (() => string | Promise<string>), [key: string]: any}} options
   *   `wsUrl`: `wss://host:8766/phone`, with `?token=` or without. The rest is for `Device`.
   */
  constructor({ wsUrl, token, ...options } = {}) {
    this.#options = options;
    if (wsUrl) {
      const url = new URL(wsUrl, globalThis.location?.href);
      token ??= url.searchParams.get('token') ?? undefined;
      url.searchParams.delete('token');
      this.#options.url = url.href;
    }
    this.#token = token ?? '';
  }

  /** The new engine below, for whoever wants more. */
  get device() {
    return this.#device;
  }
  get call() {
    return this.#call;
  }

  /** @param {string} name @param {(...args: any[]) => void} listener */
  on(name, listener) {
    this.#events.on(name, listener);
    return this;
  }

  /** @returns {Promise<void>} resolves when logged in */
  async connect() {
    this.disconnect();
    const device = new Device(this.#token, this.#options);
    this.#device = device;
    device.on('registered', () => this.#is(true));
    device.on('reconnecting', () => this.#is(false));
    device.on('unregistered', () => this.#is(false));
    device.on('replaced', () => this.#tell('onHangup', 'KICKED'));
    device.on('error', (error) => this.#tell('onError', error));
    device.on('incoming', (call) => {
      if (this.#call) return call.reject();
      this.#take(call);
      this.#tell('onRing', call);
    });
    device.on('outgoing', (call) => !this.#call && this.#take(call));
    device.audio.unlock();
    try {
      await device.register();
    } catch (error) {
      if (/** @type {any} */ (error).code === 31409) this.#tell('onHangup', 'BUSY');
    }
  }

  answer() {
    this.#call?.accept();
  }
  hangup() {
    this.#call?.disconnect();
  }
  disconnect() {
    this.#device?.destroy();
    this.#device = null;
    this.#call = null;
    this.#is(false);
  }

  /** @param {import('./call.js').Call} call */
  #take(call) {
    this.#call = call;
    whenOver(call, () => {
      this.#call = null;
      this.#tell('onHangup', hangupWord(call.ending?.reason));
    });
  }

  /** @param {boolean} connected */
  #is(connected) {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#tell(connected ? 'onConnect' : 'onDisconnect');
  }

  /** @param {string} name @param {...any} args */
  #tell(name, ...args) {
    this.#events.emit(name, ...args);
    /** @type {any} */ (this)[name]?.(...args);
  }
}
