// One phone's socket to the gateway: opens it, says honestly how it stands, and brings it back.
//
// - A socket that fails is tried again with full jitter, up to 20 s between tries. `online`,
//   `visibilitychange` and `pageshow` try at once. An address that is not allowed is tried once a
//   minute: an administrator may be putting it right.
// - A socket that was refused for good (BUSY, KICKED, bad token) is not tried again: the reason is
//   told, and a person decides.
// - A browser cannot see a WebSocket ping, so a socket that looks open may be dead. An idle phone
//   sends a text now and then that the gateway ignores, so that TCP has something to fail at.
// - When the network itself has changed and no call is up, a second login asks the gateway, which
//   is faster: if it says BUSY, the first one lives; if it lets us in, the second takes over; any
//   other refusal says nothing about the first, which stays.
//
// Browser globals are taken as options, so that tests run without a browser.

import { backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { isPlainlyExpired } from './token.js';
import { Asker } from './why.js';

/** A handshake that takes longer has failed. */
const CONNECT_TIMEOUT_MS = 8000;
/**
 * The gateway tells a second login BUSY only after the first one had a second to prove that it
 * lives. Until that has passed "ready" would be a guess.
 */
const CONFIRM_MS = 1300;
/** A connection that stood this long has earned a fresh row of quick tries. */
const STABLE_MS = 10000;
/** An idle phone doubts its connection after this, or up to half as much more. */
const DOUBT_AFTER_MS = 120000;
/** A few bytes that have not left the browser by then never will. */
const DRAIN_MS = 10000;
/** After `online` up to this passes: a whole LAN comes back in one instant, its phones should not. */
const ONLINE_JITTER_MS = 500;
/** What has shown life, or was begun, this short ago is not doubted because of `online`. */
const FRESH_MS = 2000;
/** How long the gateway may take our own earlier socket for alive: two rounds of its pings, and a bit. */
const GHOST_MS = 35000;
/** A KICKED that comes this soon after our own second login was given up is its doing. */
const OWN_KICK_MS = 3000;
/** Where this address is not allowed, tries are this far apart, or up to a sixth more. */
const FORBIDDEN_WAIT_MS = 60000;
/** More than this unsent means that the network does not take our audio: what is new is dropped. */
const UPLINK_MAX_BYTES = 4 * 640;
/** Sound that does not move for this long, while it should, is a dead socket. */
const STUCK_MS = 6000;

/**
 * Events: `connecting(retry)`, `ready()`, `lost(reason, retryAt)`, `stopped(reason)`,
 * `text(text)`, `audio(bytes)`; `tokenRefused()`: this connection stands, but its token would not
 * get in again.
 *
 * Reasons of `lost`: `closed` (it was up), or what `why.js` found out, except `token`.
 * Reasons of `stopped`: `busy`, `kicked`, `token` (refused), `expired` (by its own date).
 * @extends {Emitter<'connecting' | 'ready' | 'lost' | 'stopped' | 'text' | 'audio' | 'tokenRefused'>}
 */
export class Connection extends Emitter {
  #url;
  #token = '';
  #options;
  #asker;
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
  #doubtTimer = 0;
  #pingTimer = 0;
  #onlineTimer = 0;
  #begunMs = 0;
  #lastSignMs = 0;
  #stuckSinceMs = 0;
  /** Until then BUSY may mean a socket of our own that the gateway has not yet given up. */
  #ghostUntilMs = 0;
  #gaveUpSecondMs = -Infinity;
  #removeListeners = () => {};

  /** Set while a call is up or rings: a socket with a call on it is not doubted. */
  inCall = false;
  /** Frames not sent because the network did not take those before. */
  dropped = 0;

  /**
   * @param {string} url `wss://host/phone`
   * @param {Partial<{WebSocket: any, fetch: any, random: () => number, now: () => number,
   *   window: any, document: any, confirmMs: number}>} [options]
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
      confirmMs: CONFIRM_MS,
      ...options,
    };
    this.#asker = new Asker(this.#options.fetch, this.#options.now);
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
    this.#ghostUntilMs = 0;
    this.#gaveUpSecondMs = -Infinity;
    this.#asker.forget();
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
    clearTimeout(this.#onlineTimer);
    this.#dropAll();
  }

  /** Tries at once when a wait is on, or while it is being found out why the last try failed. */
  retryNow() {
    if (!this.#wanted || (this.#socket && this.#socket.readyState < 2)) return;
    this.#dropAll();
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

  /** Somebody looks at the page: ends a wait, or looks whether the connection stands. */
  check() {
    if (!this.#wanted) return;
    if (this.#ready) this.#ping();
    else this.retryNow();
  }

  // ---- one socket

  #address() {
    return `${this.#url}?token=${encodeURIComponent(this.#token)}`;
  }

  #connect(retry) {
    this.emit('connecting', retry);
    const socket = new this.#options.WebSocket(this.#address());
    this.#socket = socket;
    this.#begunMs = this.#options.now();
    socket.binaryType = 'arraybuffer';
    let opened = false;
    const deadline = setTimeout(() => {
      if (!opened && this.#socket === socket) this.#giveUp('unreachable');
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
      const now = this.#options.now();
      this.#lastSignMs = now;
      if (typeof event.data !== 'string') {
        this.emit('audio', event.data);
        return;
      }
      const text = event.data.trim();
      if (text === 'BUSY') return now < this.#ghostUntilMs ? this.#lose('closed') : this.#stop('busy');
      if (text === 'KICKED') return this.#kicked(now);
      if (this.#second) {
        this.#gaveUpSecondMs = now;
        this.#dropSecond();
      }
      this.#confirm();
      this.emit('text', text);
    };
  }

  #kicked(now) {
    // Our own second login took the place of the first …
    if (this.#second?.readyState === 1) return this.#adoptSecond();
    // … or does so while it is still on its way: it is closed, or it would keep us out.
    if (this.#second || now - this.#gaveUpSecondMs < OWN_KICK_MS) return this.#lose('closed');
    this.#stop('kicked');
  }

  #confirm() {
    clearTimeout(this.#confirmTimer);
    if (this.#ready || !this.isOpen) return;
    this.#ready = true;
    this.#stableTimer = setTimeout(() => (this.#failures = 0), STABLE_MS);
    this.#doubtLater();
    this.emit('ready');
  }

  async #explainFailure(socket) {
    const token = this.#token;
    if (isPlainlyExpired(token, this.#options.now())) return this.#stop('expired');
    const reason = (await this.#asker.ask(this.#address())) ?? this.#asker.known;
    if (this.#socket !== socket) return;
    // The answer is about a token that has been replaced meanwhile.
    if (token !== this.#token) return this.retryNow();
    this.#giveUp(reason);
  }

  /** A try has failed: another one, or the end. */
  #giveUp(reason) {
    if (isPlainlyExpired(this.#token, this.#options.now())) this.#stop('expired');
    else if (reason === 'token') this.#stop('token');
    else this.#lose(reason);
  }

  #lose(reason) {
    const { now, random } = this.#options;
    if (this.#ready) this.#ghostUntilMs = now() + GHOST_MS;
    this.#dropAll();
    if (!this.#wanted) return;
    this.#failures++;
    const wait = this.#wait(reason, random);
    this.#retryTimer = setTimeout(() => this.retryNow(), wait);
    this.emit('lost', reason, now() + wait);
  }

  #wait(reason, random) {
    if (reason === 'forbidden') return Math.round(FORBIDDEN_WAIT_MS * (1 + random() / 6));
    // Too many tries are not cured by a quick one.
    return backoff(reason === 'limited' ? this.#failures + 4 : this.#failures, random);
  }

  #stop(reason) {
    this.close();
    this.emit('stopped', reason);
  }

  // ---- is it alive?

  #doubtLater() {
    clearTimeout(this.#doubtTimer);
    this.#doubtTimer = setTimeout(() => {
      this.#ping();
      this.#doubtLater();
    }, DOUBT_AFTER_MS * (1 + this.#options.random() / 2));
  }

  /**
   * Sends a text that the gateway ignores. On a path that is dead TCP fails at it, by and by, and
   * the browser closes the socket; where it does not even leave the browser, we need not wait.
   */
  #ping() {
    if (this.#pingTimer || this.inCall || !this.isOpen) return;
    const { now } = this.#options;
    const socket = this.#socket;
    const sentMs = now();
    const look = (again) => {
      this.#pingTimer = setTimeout(() => {
        this.#pingTimer = 0;
        if (this.#socket !== socket || this.inCall || this.#lastSignMs > sentMs || socket.bufferedAmount === 0) return;
        // A timer that is late has slept with the page, and the network with it.
        if (again && now() - sentMs > 1.5 * DRAIN_MS) look(false);
        else this.#lose('closed');
      }, DRAIN_MS);
    };
    socket.send('PING');
    look(true);
  }

  /** `online`: what was begun on the old network is not waited for. */
  #networkChanged() {
    if (!this.#wanted) return;
    const now = this.#options.now();
    if (!this.isOpen) {
      if (this.#socket?.readyState === 0) {
        if (now - this.#begunMs <= FRESH_MS) return;
        this.#dropSocket();
      }
      return this.retryNow();
    }
    if (!this.#ready || this.inCall || this.#second || now - this.#lastSignMs <= FRESH_MS) return;
    if (isPlainlyExpired(this.#token, now)) this.#ping();
    else this.#askBySecondLogin();
  }

  #askBySecondLogin() {
    const second = new this.#options.WebSocket(this.#address());
    second.binaryType = 'arraybuffer';
    this.#second = second;
    let opened = false;
    const deadline = setTimeout(() => {
      if (!opened && this.#second === second) this.#lose('unreachable');
    }, CONNECT_TIMEOUT_MS);
    second.onopen = () => {
      opened = true;
      clearTimeout(deadline);
      setTimeout(() => {
        if (this.#second === second && second.readyState === 1) this.#adoptSecond();
      }, this.#options.confirmMs);
    };
    second.onmessage = (event) => {
      if (this.#second !== second) return;
      if (typeof event.data === 'string' && event.data.trim() === 'BUSY') {
        this.#lastSignMs = this.#options.now();
        this.#dropSecond();
      } else {
        this.#adoptSecond();
        second.onmessage(event);
      }
    };
    second.onclose = () => {
      clearTimeout(deadline);
      if (this.#second !== second) return;
      if (opened) this.#keepFirst();
      else this.#explainRefusal(second);
    };
  }

  /** A refusal is about the token, the address or the gateway, not about the socket that stands. */
  async #explainRefusal(second) {
    const token = this.#token;
    const reason = await this.#asker.ask(this.#address());
    if (this.#second !== second) return;
    // Nothing answers at all: then the first is in doubt as well, and a fresh start finds out.
    if (reason === 'unreachable') return this.#lose(reason);
    this.#keepFirst();
    if (reason === 'token' && token === this.#token) this.emit('tokenRefused');
  }

  #keepFirst() {
    this.#dropSecond();
    this.#ping();
  }

  #adoptSecond() {
    const second = this.#second;
    this.#second = null;
    this.#dropSocket();
    this.#socket = second;
    this.#ready = true;
    this.#lastSignMs = this.#options.now();
    // The BUSY that tells us of the first may be late.
    this.#ghostUntilMs = this.#lastSignMs + GHOST_MS;
    second.onclose = () => this.#socket === second && this.#lose('closed');
    this.#hear(second);
  }

  // ---- upkeep

  #listen() {
    const { window, document, random } = this.#options;
    if (!window?.addEventListener) return;
    const online = () => {
      clearTimeout(this.#onlineTimer);
      this.#onlineTimer = setTimeout(() => this.#networkChanged(), random() * ONLINE_JITTER_MS);
    };
    const shown = () => this.check();
    const visible = () => document.visibilityState === 'visible' && this.check();
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

  #dropAll() {
    for (const timer of [this.#retryTimer, this.#confirmTimer, this.#stableTimer, this.#doubtTimer]) clearTimeout(timer);
    this.#asker.cancel();
    this.#dropSecond();
    this.#dropSocket();
  }

  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#stuckSinceMs = 0;
    clearTimeout(this.#pingTimer);
    this.#pingTimer = 0;
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
