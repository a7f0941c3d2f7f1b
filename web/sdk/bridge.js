// The phone in an iframe, worked from the page around it by messages.
//
// In the frame:  new Bridge(device, { origins: ['https://crm.example'] })
// Around it:     const phone = new PhoneFrame(iframe, 'https://phone.example', { token }); await phone.dial('123')
//
// - A message counts only from the window that frames us (or that we frame), and only from an origin that
//   is named, letter by letter; there are no wildcards. Messages go to that one origin alone.
// - Nothing passes that is not in the list of commands. Tokens pass inwards alone.
// - Either side may be loaded first, or again: each greets the other, and what nobody has taken is sent again. What a frame
//   had taken that is gone now fails as *unknown*: nothing is done twice.

import { Asked, outcome } from './asked.js';
import { Emitter } from './emitter.js';
import { errorOf, PhoneError } from './errors.js';

/** Marks our messages, with their version. */
const MARK = 'goastgateway.1';
/** What is asked has an answer by then. */
const ANSWER_MS = 60000;
/** Questions that are known again; more are never under way. */
const MAX_KNOWN = 64;

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
  #window;
  /** Another page in this place has another one. */
  #born = crypto.randomUUID();
  /** @type {{window: any, origin: string} | null} who listens */
  #peer = null;
  /** @type {Set<string>} what was asked already */
  #known = new Set();
  /** @type {((token: string) => void)[]} who waits for a token */
  #wanting = [];
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
    this.#window = window;
    /** @param {MessageEvent} event */
    const hear = (event) => {
      const { source, origin, data } = event;
      if (source !== window.parent || !this.#origins.has(origin) || data?.mark !== MARK) return;
      this.#peer = { window: source, origin };
      if (data.id) return void this.#hear(data);
      this.#tell('ready', this.#state());
      if (this.#wanting.length > 0) this.#tell('token', null);
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
    this.#tell('ready', this.#state());
    this.#off = () => {
      window.removeEventListener('message', hear);
      for (const end of off) end();
    };
  }

  close() {
    this.#off();
  }

  /** A token from the page around, for a Device that is made with this as its function. @returns {Promise<string>} */
  askToken() {
    return new Promise((done) => {
      this.#wanting.push(done);
      this.#tell('token', null);
    });
  }

  /** @param {Call} call */
  #watch(call) {
    call.on('accept', () => this.#tell('accept', shown(call)));
    for (const end of /** @type {const} */ (['cancel', 'reject', 'disconnect'])) call.on(end, () => this.#tell('ended', shown(call)));
    call.on('transfer', (state, reason) => this.#tell('transfer', { call: call.id, state, reason }));
  }

  #state() {
    const { state, identity, reachable, presence, reason, calls } = this.#device;
    return { state, identity, reachable, presence, reason, calls: calls.map(shown) };
  }

  /** @param {string} event @param {any} value */
  #tell(event, value) {
    const message = { mark: MARK, event, value, born: this.#born };
    if (this.#peer) return this.#peer.window.postMessage(message, this.#peer.origin);
    // Nobody has spoken yet. What a page may know that only frames us: that we are there, and want a token.
    if (event !== 'ready' && event !== 'token') return;
    for (const origin of this.#origins) this.#window.parent?.postMessage({ ...message, value: null }, origin);
  }

  /** @param {{id: string, name: string, args?: Record<string, any>}} asked */
  async #hear({ id, name, args = {} }) {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    for (const old of this.#known) if (this.#known.size > MAX_KNOWN) this.#known.delete(old);
    const peer = this.#peer;
    peer?.window.postMessage({ mark: MARK, taken: id }, peer.origin);
    const answer = await outcome(() => this.#do(name, args));
    peer?.window.postMessage({ mark: MARK, id, ...answer }, peer.origin);
  }

  /** @param {string} token */
  async #takeToken(token) {
    const wanting = this.#wanting.splice(0);
    for (const done of wanting) done(token);
    // Unasked: the page around has another one.
    if (wanting.length === 0) await this.#device.updateToken(token);
  }

  /** @param {string} name @param {Record<string, any>} a */
  async #do(name, a) {
    const device = this.#device;
    if (name === 'state') return this.#state();
    if (name === 'token') return this.#takeToken(String(a.token));
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
        return call.transfer(String(a.to), { kind: a.kind === 'attended' ? 'attended' : 'blind' }).then((second) => second && shown(second));
      case 'completeTransfer':
      case 'cancelTransfer':
        return call[name]();
      default:
        throw new PhoneError(31100, `no command «${name}»`);
    }
  }
}

/**
 * Around the frame. Events: `ready()`: the frame is there, or there again; `change(state)`, `incoming(call)`, `accept(call)`,
 * `ended(call)`, `transfer({call, state, reason})`, `error({code, message})`; calls are values here.
 * @extends {Emitter<'ready' | 'change' | 'incoming' | 'accept' | 'ended' | 'transfer' | 'error'>}
 */
export class PhoneFrame extends Emitter {
  #frame;
  #origin;
  #token;
  #giving = false;
  #born = '';
  #asked = new Asked();
  /** @param {MessageEvent} event */
  #hear = (event) => {
    const { origin, source, data } = event;
    if (origin !== this.#origin || source !== this.#frame.contentWindow || data?.mark !== MARK) return;
    if (data.event === 'token') return void this.#giveToken();
    if (data.event === 'ready') this.#greeted(data.born);
    if (data.event) return this.emit(data.event, data.value);
    if (data.taken) this.#asked.take(data.taken);
    else this.#asked.answer(data.id, data.error && errorOf(data.error), data.value);
  };

  /**
   * @param {HTMLIFrameElement} frame with `allow="microphone; autoplay"`
   * @param {string} origin the frame's
   * @param {{token?: () => string | Promise<string>}} [options] `token`: is asked whenever the frame needs one
   */
  constructor(frame, origin, { token } = {}) {
    super();
    this.#frame = frame;
    this.#origin = origin;
    this.#token = token;
    globalThis.addEventListener('message', this.#hear);
    this.#post({ mark: MARK });
  }

  /** @param {object} message */
  #post(message) {
    this.#frame.contentWindow?.postMessage(message, this.#origin);
  }

  /** @param {string} born */
  #greeted(born) {
    for (const { id, question, taken } of this.#asked.all) {
      if (!taken) this.#post(question);
      else if (born !== this.#born) this.#asked.answer(id, new PhoneError(31003, 'the frame was loaded again'));
    }
    this.#born = born;
  }

  async #giveToken() {
    // It may be asked for twice while we greet each other; one answer serves.
    if (this.#giving) return;
    this.#giving = true;
    try {
      if (this.#token) await this.ask('token', { token: String(await this.#token()) });
    } catch (error) {
      this.emit('error', { code: 31205, message: String(error) });
    } finally {
      this.#giving = false;
    }
  }

  /** Any command of the list: docs/sdk.md, In a frame. @param {string} name @param {Record<string, any>} [args] @returns {Promise<any>} */
  ask(name, args = {}) {
    // Another page in this place must not be taken for this one.
    const question = { mark: MARK, id: crypto.randomUUID(), name, args };
    const answer = this.#asked.ask(question.id, question, ANSWER_MS);
    this.#post(question);
    return answer;
  }

  /** How the phone stands. */
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
