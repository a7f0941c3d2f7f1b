// A telephone: the connection, the machine and the sound, put together.
//
// The machine decides, this file carries out. A page listens to `change` and reads `snapshot()`;
// it never touches the socket or the audio graph.

import { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { initialState, shownState, step } from './machine.js';
import { readToken } from './token.js';

/** How long before the token ends the phone begins to say so. */
const EXPIRY_WARNING_MS = 5 * 60 * 1000;
/** How often it says so until a new one is there. */
const EXPIRY_REPEAT_MS = 60 * 1000;

/**
 * Events: `change(snapshot)`; `ring()`, `stopRing()`; `ended(reason)`; `tokenWillExpire(msLeft)`,
 * again every minute until `updateToken`, and with 0 when the gateway refuses the token while the
 * phone is connected.
 * @extends {Emitter<'change' | 'ring' | 'stopRing' | 'ended' | 'tokenWillExpire'>}
 */
export class Phone extends Emitter {
  #connection;
  #engine;
  #machine = initialState();
  #token = '';
  #extension = '';
  /** @type {number | null} */
  #expiresAt = null;
  #expiryTimer = 0;
  #tokenRefused = false;
  #dropped = 0;
  #now;
  #releaseLock = () => {};

  /**
   * @param {{url: string, engine: import('./audio/engine.js').AudioEngine, now?: () => number, connection?: object}} options
   *   `connection`: passed on to Connection
   */
  constructor({ url, engine, now = () => Date.now(), connection = {} }) {
    super();
    this.#now = now;
    this.#engine = engine;
    this.#connection = new Connection(url, { now, ...connection });
    const c = this.#connection;
    c.on('connecting', (retry) => this.#feed({ type: 'connecting', retry }));
    c.on('ready', () => {
      this.#feed({ type: 'ready' });
      // The gateway that had not given us the sound is back.
      if (engine.sound === 'failed') engine.unlock();
    });
    c.on('lost', (reason, retryAt) => this.#feed({ type: 'lost', reason, retryAt }));
    c.on('stopped', (reason) => this.#feed({ type: 'stopped', reason }));
    c.on('tokenRefused', () => {
      this.#tokenRefused = true;
      this.emit('tokenWillExpire', 0);
      this.emit('change', this.snapshot());
    });
    c.on('text', (text) => this.#feed({ type: 'text', text }));
    c.on('audio', (bytes) => {
      if (this.#machine.call !== 'open') return;
      if (!this.#machine.heard) this.#feed({ type: 'audio' });
      this.#engine.play(bytes);
    });
    engine.on('frame', (bytes) => c.sendAudio(bytes));
  }

  /** 'offline' 'connecting' 'ready' 'ringing' 'in-call' 'reconnecting' 'busy' 'replaced' 'refused' */
  get state() {
    return shownState(this.#machine);
  }
  get extension() {
    return this.#extension;
  }
  get isMuted() {
    return this.#machine.muted;
  }
  /** Figures of the call that is up: the engine's, and frames that the network did not take. */
  get stats() {
    return { ...this.#engine.stats, droppedUp: this.#connection.dropped - this.#dropped };
  }

  snapshot() {
    const m = this.#machine;
    return {
      state: this.state,
      extension: this.#extension,
      expiresAt: this.#expiresAt,
      tokenRefused: this.#tokenRefused,
      reason: m.reason,
      retryAt: m.retryAt,
      trying: m.link === 'connecting',
      ringingSince: m.ringingSince,
      answeredAt: m.answeredAt,
      muted: m.muted,
      ended: m.ended,
    };
  }

  /**
   * Logs in, and stays logged in until `unregister` or until the gateway refuses for good.
   * @param {string} token
   * @returns {boolean} false when this is no token at all
   */
  register(token) {
    const claims = readToken(token);
    if (!claims) return false;
    this.unregister();
    this.updateToken(token);
    this.#takeLock();
    this.#connection.open(token);
    return true;
  }

  /** A fresh token for the next login; connection and call go on. @param {string} token */
  updateToken(token) {
    const claims = readToken(token);
    if (!claims) return false;
    this.#token = token;
    this.#extension = claims.extension;
    this.#expiresAt = claims.expiresAt;
    this.#tokenRefused = false;
    this.#connection.updateToken(token);
    this.#watchExpiry();
    return true;
  }

  unregister() {
    clearTimeout(this.#expiryTimer);
    this.#feed({ type: 'logout' });
    this.#connection.close();
    this.#releaseLock();
  }

  /** Try now: while a wait is on, or after the gateway refused for good. */
  retry() {
    if (this.#machine.link === 'stopped') {
      this.#takeLock();
      this.#connection.open(this.#token);
    } else this.#connection.retryNow();
  }

  answer() {
    this.#feed({ type: 'answer' });
  }
  /** Declines while it rings, hangs up in a call. */
  hangup() {
    this.#feed({ type: 'hangup' });
  }
  /** @param {boolean} muted */
  mute(muted) {
    this.#feed({ type: 'mute', muted });
  }

  #feed(event) {
    const { state, effects } = step(this.#machine, event, this.#now());
    const changed = shallowDiffers(this.#machine, state);
    this.#machine = state;
    this.#connection.inCall = state.call !== 'none';
    for (const effect of effects) this.#carryOut(effect);
    if (state.link === 'stopped') this.#releaseLock();
    if (changed) this.emit('change', this.snapshot());
  }

  #carryOut(effect) {
    switch (effect.do) {
      case 'send':
        return this.#connection.sendText(effect.text);
      case 'ring':
        // Loads what an answer needs while there is time.
        this.#engine.prepare().catch(() => {});
        return this.emit('ring');
      case 'stopRing':
        return this.emit('stopRing');
      case 'startAudio':
        this.#dropped = this.#connection.dropped;
        return void this.#engine.start();
      case 'stopAudio':
        return this.#engine.stop();
      case 'mute':
        return this.#engine.setMuted(effect.muted);
      case 'ended':
        return this.emit('ended', effect.reason);
    }
  }

  /** While a Web Lock is held, a browser does not freeze the page to save energy. */
  #takeLock() {
    this.#releaseLock();
    if (!globalThis.navigator?.locks) return;
    const give = new AbortController();
    let release = () => give.abort();
    navigator.locks
      .request(`goastgateway-phone-${Math.random().toString(36).slice(2)}`, { signal: give.signal }, () => new Promise((done) => {
        release = () => done(undefined);
      }))
      .catch(() => {});
    this.#releaseLock = () => {
      release();
      this.#releaseLock = () => {};
    };
  }

  #watchExpiry() {
    clearTimeout(this.#expiryTimer);
    if (this.#expiresAt === null) return;
    const left = this.#expiresAt - this.#now();
    if (left <= EXPIRY_WARNING_MS) this.emit('tokenWillExpire', Math.max(0, left));
    // setTimeout cannot wait longer than 24 days.
    const wait = left > EXPIRY_WARNING_MS ? Math.min(left - EXPIRY_WARNING_MS, 2 ** 31 - 1) : EXPIRY_REPEAT_MS;
    this.#expiryTimer = setTimeout(() => this.#watchExpiry(), wait);
  }
}

function shallowDiffers(a, b) {
  return Object.keys(b).some((key) => a[key] !== b[key]);
}
