// One phone's socket to the gateway: opens it, says honestly how it stands, and brings it back.
//
// - A socket that fails is tried again with full jitter, up to 20 s between tries. `online`,
//   `visibilitychange` and `pageshow` try at once.
// - A socket that was refused for good (BUSY, KICKED, bad token, not allowed) is not tried again:
//   the reason is told, and a person decides.
// - A browser cannot see a WebSocket ping, so a socket that looks open may be dead. When there is
//   reason to doubt (we were offline, the machine slept) and no call is up, a second login asks the
//   gateway: if it says BUSY, the first one lives; if it lets us in, the second takes over.
//
// Browser globals are taken as options, so that tests run without a browser.

import { backoff } from './backoff.js';
import { Emitter } from './emitter.js';

/** A handshake that takes longer has failed. */
const CONNECT_TIMEOUT_MS = 8000;
/**
 * The gateway tells a second login BUSY only after the first one had a second to prove that it
 * lives. Until that has passed "ready" would be a guess.
 */
const CONFIRM_MS = 1300;
/** A connection that stood this long has earned a fresh row of quick tries. */
const STABLE_MS = 10000;
/** An idle socket is not doubted more often than this when a person merely changes tabs. */
const CHECK_EVERY_MS = 60000;
/** More than this unsent means that the network does not take our audio: what is new is dropped. */
const UPLINK_MAX_BYTES = 4 * 640;
/** Sound that does not move for this long, while it should, is a dead socket. */
const STUCK_MS = 6000;

/**
 * Events: `connecting(retry)`, `ready()`, `lost(reason, retryAt)`, `stopped(reason)`,
 * `text(text)`, `audio(bytes)`.
 *
 * Reasons of `lost`: `unreachable` (no answer at all), `closed` (it was up), `limited` (429),
 * `upgrade` (the server answers, WebSocket does not pass), `server` (5xx).
 * @extends {Emitter<'connecting' | 'ready' | 'lost' | 'stopped' | 'text' | 'audio'>}
 */
export class Connection extends Emitter {
  #url;
  #token = '';
  #options;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {WebSocket | null} A second login that asks whether the first is alive. */
  #second = null;
  #wanted = false;
  #ready = false;
  #failures = 0;
  #retryTimer = 0;
  #confirmTimer = 0;
  #stableTimer = 0;
  #lastSignMs = 0;
  #stuckSinceMs = 0;
  #removeListeners = () => {};

  /** Set while a call is up or rings: a socket with a call on it is not doubted by a second login. */
  inCall = false;
  /** Frames not sent because the network did not take those before. */
  dropped = 0;

  /**
   * @param {string} url `wss://host/phone`
   * @param {Partial<{WebSocket: any, fetch: any, random: () => number, now: () => number,
   *   window: any, document: any, navigator: any, confirmMs: number}>} [options]
   */
  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = {
      WebSocket: globalThis.WebSocket,
      fetch: globalThis.fetch?.bind(globalThis),
      random: Math.random,
      now: () => Date.now(),
      window: globalThis.window,
      document: globalThis.document,
      navigator: globalThis.navigator,
      confirmMs: CONFIRM_MS,
      ...options,
    };
  }

  get isOpen() {
    return this.#socket !== null && this.#socket.readyState === 1;
  }

  /** @param {string} token */
  open(token) {
    this.close();
    this.#token = token;
    this.#wanted = true;
    this.#failures = 0;
    this.#listen();
    this.#connect(false);
  }

  /** Used for the next login; the one that stands is not touched. @param {string} token */
  updateToken(token) {
    this.#token = token;
  }

  close() {
    this.#wanted = false;
    this.#removeListeners();
    this.#clearTimers();
    this.#dropSecond();
    this.#dropSocket();
  }

  /** Tries at once when a wait is on. */
  retryNow() {
    if (!this.#wanted || this.#socket) return;
    this.#clearTimers();
    this.#connect(true);
  }

  /** @param {string} text */
  sendText(text) {
    if (this.isOpen) this.#socket.send(text);
  }

  /**
   * @param {ArrayBuffer} frame
   * @returns {boolean} false when the frame was dropped
   */
  sendAudio(frame) {
    if (!this.isOpen) return false;
    const now = this.#options.now();
    if (this.#socket.bufferedAmount > UPLINK_MAX_BYTES) {
      this.dropped++;
      if (this.#stuckSinceMs === 0) this.#stuckSinceMs = now;
      else if (now - this.#stuckSinceMs > STUCK_MS && now - this.#lastSignMs > STUCK_MS) this.#lose('closed');
      return false;
    }
    this.#stuckSinceMs = 0;
    this.#socket.send(frame);
    return true;
  }

  /**
   * There is reason to look whether the connection stands.
   * @param {boolean} doubt the network itself has changed
   */
  check(doubt) {
    if (!this.#wanted) return;
    if (!this.#socket) return this.retryNow();
    if (this.inCall || this.#second || !this.isOpen || !this.#ready) return;
    const quiet = this.#options.now() - this.#lastSignMs;
    if (quiet > (doubt ? 2000 : CHECK_EVERY_MS)) this.#askBySecondLogin();
  }

  // ---- one socket

  #address() {
    return `${this.#url}?token=${encodeURIComponent(this.#token)}`;
  }

  #connect(retry) {
    this.emit('connecting', retry);
    const socket = new this.#options.WebSocket(this.#address());
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    let opened = false;
    const deadline = setTimeout(() => {
      if (!opened && this.#socket === socket) this.#lose('unreachable');
    }, CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      opened = true;
      clearTimeout(deadline);
      if (this.#socket !== socket) return;
      this.#lastSignMs = this.#options.now();
      this.#confirmTimer = setTimeout(() => this.#confirm(), this.#options.confirmMs);
    };
    socket.onclose = () => {
      clearTimeout(deadline);
      if (this.#socket !== socket) return;
      if (opened) this.#lose('closed');
      else this.#explainFailure(socket);
    };
    this.#hear(socket);
  }

  #hear(socket) {
    socket.onmessage = (event) => {
      if (this.#socket !== socket) return;
      this.#lastSignMs = this.#options.now();
      if (typeof event.data !== 'string') {
        this.emit('audio', event.data);
        return;
      }
      const text = event.data.trim();
      if (text === 'BUSY') return this.#stop('busy');
      if (text === 'KICKED') {
        // Our own second login took the place of the first.
        if (this.#second) return this.#adoptSecond();
        return this.#stop('kicked');
      }
      this.#dropSecond();
      this.#confirm();
      this.emit('text', text);
    };
  }

  #confirm() {
    clearTimeout(this.#confirmTimer);
    if (this.#ready || !this.isOpen) return;
    this.#ready = true;
    this.#stableTimer = setTimeout(() => (this.#failures = 0), STABLE_MS);
    this.emit('ready');
  }

  /** A browser does not say why a handshake failed; a plain request to the same address may. */
  async #explainFailure(socket) {
    let reason = 'unreachable';
    try {
      const address = this.#address().replace(/^ws/, 'http');
      const signal = AbortSignal.timeout?.(CONNECT_TIMEOUT_MS);
      const answer = await this.#options.fetch(address, { cache: 'no-store', credentials: 'omit', redirect: 'manual', signal });
      reason = { 401: 'token', 403: 'forbidden', 429: 'limited' }[answer.status] ?? (answer.status >= 500 ? 'server' : 'upgrade');
    } catch {
      // No answer: unreachable it is.
    }
    if (this.#socket !== socket) return;
    if (reason === 'token' || reason === 'forbidden') this.#stop(reason);
    else this.#lose(reason);
  }

  #lose(reason) {
    this.#dropSocket();
    this.#dropSecond();
    this.#clearTimers();
    if (!this.#wanted) return;
    this.#failures++;
    // Too many tries are not cured by a quick one.
    const wait = backoff(reason === 'limited' ? this.#failures + 4 : this.#failures, this.#options.random);
    this.#retryTimer = setTimeout(() => this.retryNow(), wait);
    this.emit('lost', reason, this.#options.now() + wait);
  }

  #stop(reason) {
    this.close();
    this.emit('stopped', reason);
  }

  // ---- a second login, to learn whether the first is alive

  #askBySecondLogin() {
    const second = new this.#options.WebSocket(this.#address());
    second.binaryType = 'arraybuffer';
    this.#second = second;
    const deadline = setTimeout(() => this.#second === second && this.#lose('unreachable'), CONNECT_TIMEOUT_MS);
    second.onopen = () => {
      clearTimeout(deadline);
      setTimeout(() => this.#second === second && this.#adoptSecond(), this.#options.confirmMs);
    };
    second.onmessage = (event) => {
      if (this.#second !== second) return;
      if (event.data === 'BUSY') {
        this.#lastSignMs = this.#options.now();
        this.#dropSecond();
      } else {
        this.#adoptSecond();
        second.onmessage(event);
      }
    };
    second.onclose = () => {
      clearTimeout(deadline);
      // Not even a refusal: then the first is in doubt as well, and a fresh start finds out.
      if (this.#second === second) this.#lose('unreachable');
    };
  }

  #adoptSecond() {
    const second = this.#second;
    this.#second = null;
    this.#dropSocket();
    if (second.readyState !== 1) return this.#lose('closed');
    this.#socket = second;
    this.#ready = true;
    this.#lastSignMs = this.#options.now();
    second.onclose = () => this.#socket === second && this.#lose('closed');
    this.#hear(second);
  }

  // ---- upkeep

  #listen() {
    const { window, document } = this.#options;
    if (!window?.addEventListener) return;
    const online = () => this.check(true);
    const shown = (event) => this.check(event.persisted === true);
    const visible = () => document.visibilityState === 'visible' && this.check(false);
    window.addEventListener('online', online);
    window.addEventListener('pageshow', shown);
    document?.addEventListener('visibilitychange', visible);
    this.#removeListeners = () => {
      window.removeEventListener('online', online);
      window.removeEventListener('pageshow', shown);
      document?.removeEventListener('visibilitychange', visible);
      this.#removeListeners = () => {};
    };
  }

  #clearTimers() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#confirmTimer);
    clearTimeout(this.#stableTimer);
  }

  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#stuckSinceMs = 0;
    silence(socket);
  }

  #dropSecond() {
    const second = this.#second;
    this.#second = null;
    silence(second);
  }
}

/** @param {WebSocket | null} socket */
function silence(socket) {
  if (!socket) return;
  socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
  if (socket.readyState < 2) socket.close();
}
