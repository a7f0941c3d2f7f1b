// The phone in an iframe, worked from the page around it by messages.
//
// In the frame:  new Bridge(device, { origins: ['https://crm.example'] })
// Around it:     const phone = new PhoneFrame(iframe, 'https://phone.example'); await phone.dial('123')
//
// - A message counts only from the window that frames us (or that we frame), and only from an origin that
//   is named, letter by letter; there are no wildcards. Messages go to that one origin alone.
// - No token passes here, and nothing that is not in the list of commands.

import { Emitter } from './emitter.js';
import { errorOf, PhoneError } from './errors.js';

/** Marks our messages, with their version. */
const MARK = 'goastgateway.1';
/** What is asked has an answer by then. */
const ANSWER_MS = 60000;

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./call.js').Call} Call */

/** A call as a value. @param {Call} call */
const shown = (call) => ({
  id: call.id, direction: call.direction, status: call.status(), from: call.from, to: call.to, group: call.group,
  variables: Object.fromEntries(call.customParameters), muted: call.isMuted(), held: call.isHeld(), ending: call.ending,
});

/** In the frame. */
export class Bridge {
  #device;
  #origins;
  /** @type {{window: any, origin: string} | null} who listens */
  #peer = null;
  #off;

  /**
   * @param {Device} device
   * @param {{origins: string[], window?: any}} options `origins`: as in `https://crm.example`, no path, no wildcard
   */
  constructor(device, { origins, window = globalThis.window }) {
    for (const origin of origins) {
      if (new URL(origin).origin !== origin) throw new PhoneError(31400, `«${origin}» is not an origin`);
    }
    this.#device = device;
    this.#origins = new Set(origins);
    /** @param {MessageEvent} event */
    const hear = (event) => {
      if (event.source !== window.parent || !this.#origins.has(event.origin) || event.data?.mark !== MARK) return;
      this.#peer = { window: event.source, origin: event.origin };
      this.#answer(event.data);
    };
    window.addEventListener('message', hear);
    const off = [
      device.on('change', () => this.#tell('change', this.#state())),
      device.on('incoming', (call) => {
        this.#watch(call);
        this.#tell('incoming', shown(call));
      }),
      device.on('outgoing', (call) => this.#watch(call)),
      device.on('error', (error) => this.#tell('error', { code: error.code, message: error.message })),
    ];
    this.#off = () => {
      window.removeEventListener('message', hear);
      for (const end of off) end();
    };
  }

  close() {
    this.#off();
  }

  /** @param {Call} call */
  #watch(call) {
    call.on('accept', () => this.#tell('accept', shown(call)));
    for (const end of /** @type {const} */ (['cancel', 'reject', 'disconnect'])) call.on(end, () => this.#tell('ended', shown(call)));
  }

  #state() {
    const { state, identity, reachable, presence, calls } = this.#device;
    return { state, identity, reachable, presence, calls: calls.map(shown) };
  }

  /** @param {string} event @param {any} value */
  #tell(event, value) {
    this.#peer?.window.postMessage({ mark: MARK, event, value }, this.#peer.origin);
  }

  /** @param {{id: number, name: string, args?: Record<string, any>}} asked */
  async #answer({ id, name, args = {} }) {
    const peer = this.#peer;
    /** @type {any} */
    let answer;
    try {
      answer = { value: await this.#do(name, args) };
    } catch (error) {
      const { code = 31100, message = String(error) } = /** @type {any} */ (error);
      answer = { error: { code, message } };
    }
    peer?.window.postMessage({ mark: MARK, id, ...answer }, peer.origin);
  }

  /** @param {string} name @param {Record<string, any>} a */
  async #do(name, a) {
    const device = this.#device;
    if (name === 'state') return this.#state();
    if (name === 'dial') return shown(await device.connect({ to: String(a.to), params: a.params }));
    if (name === 'presence') return device.setPresence(a.state, a.options);
    const call = device.calls.find((c) => c.id === a.call);
    if (!call) throw new PhoneError(31404);
    switch (name) {
      case 'accept':
      case 'reject':
      case 'ignore':
      case 'disconnect':
        return call[name]();
      case 'mute':
      case 'hold':
        return call[name](a.on !== false);
      case 'digits':
        return call.sendDigits(String(a.digits));
      case 'transfer':
        return call.transfer(String(a.to)).then(() => undefined);
      default:
        throw new PhoneError(31100, `no command «${name}»`);
    }
  }
}

/**
 * Around the frame. Events: `change(state)`, `incoming(call)`, `accept(call)`, `ended(call)`, `error({code, message})`;
 * calls are values here.
 * @extends {Emitter<'change' | 'incoming' | 'accept' | 'ended' | 'error'>}
 */
export class PhoneFrame extends Emitter {
  #frame;
  #origin;
  #next = 1;
  /** @type {Map<number, {done: (value: any) => void, fail: (error: PhoneError) => void, timer: ReturnType<typeof setTimeout>}>} */
  #asked = new Map();
  /** @param {MessageEvent} event */
  #hear = (event) => {
    const { origin, source, data } = event;
    if (origin !== this.#origin || source !== this.#frame.contentWindow || data?.mark !== MARK) return;
    if (data.event) return this.emit(data.event, data.value);
    const asked = this.#asked.get(data.id);
    if (!asked) return;
    this.#asked.delete(data.id);
    clearTimeout(asked.timer);
    if (data.error) asked.fail(errorOf(data.error));
    else asked.done(data.value);
  };

  /** @param {HTMLIFrameElement} frame with `allow="microphone; autoplay"` @param {string} origin the frame's */
  constructor(frame, origin) {
    super();
    this.#frame = frame;
    this.#origin = origin;
    globalThis.addEventListener('message', this.#hear);
  }

  /** @param {string} name @param {Record<string, any>} [args] @returns {Promise<any>} */
  ask(name, args = {}) {
    const id = this.#next++;
    return new Promise((done, fail) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        fail(new PhoneError(31003));
      }, ANSWER_MS);
      this.#asked.set(id, { done, fail, timer });
      this.#frame.contentWindow?.postMessage({ mark: MARK, id, name, args }, this.#origin);
    });
  }

  /** How the phone stands; the first one also tells the frame whom to tell of events. */
  state() {
    return this.ask('state');
  }
  /** @param {string} to @param {Record<string, string>} [params] */
  dial(to, params) {
    return this.ask('dial', { to, params });
  }
  /** @param {string} call */
  accept(call) {
    return this.ask('accept', { call });
  }
  /** @param {string} call */
  disconnect(call) {
    return this.ask('disconnect', { call });
  }

  close() {
    globalThis.removeEventListener('message', this.#hear);
  }
}
