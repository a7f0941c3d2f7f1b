// The telephone of this tab: the connection, the calls and the sound put together. The pure modules
// decide, this file carries out.
//
// It tells what it does as values (a `View`, and what has happened), and takes commands as values, so
// that a tab that is not the one with the telephone works by the same words (tabs.js).

import { noCalls, stepCalls, textOrNull } from './calls.js';
import { Emitter } from './emitter.js';
import { PhoneError, tokenError } from './errors.js';
import { newLink, nextTime, stepLink } from './link.js';
import { Requests } from './requests.js';
import { stayAwake } from './resume.js';
import { openWire } from './wire.js';
import { findWhy } from './why.js';

/** The subprotocol. */
const PROTOCOL = 'goastgateway.v1';
/** A function that fetches a token has this long. */
const TOKEN_MS = 15000;
/** A token that ends within this is replaced before it is used. */
const TOKEN_SPARE_MS = 10000;
/** `tokenWillExpire` comes again this often until there is a new one. */
const TOKEN_REPEAT_MS = 60000;
/** The gateway's own word for it comes at the same times: one of the two is enough. */
const TOKEN_ECHO_MS = 5000;
/** A reason that is asked for costs the gateway a request. */
const WHY_EVERY_MS = 60000;
/** Asterisk may take this long for a transfer or a call; others are quicker. */
const SLOW_MS = 45000;
/** setTimeout cannot wait longer than 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * @typedef {import('./calls.js').CallInfo} CallInfo
 * @typedef {import('./calls.js').Message} Message
 * @typedef {import('./calls.js').CallsEffect} CallsEffect
 * @typedef {{state: string, until: number | null, reason: string | null, reachable: boolean | null}} Presence
 * @typedef {{hold: boolean, dial: boolean, dtmf: boolean, transfer: boolean}} Features
 * @typedef {{name: string | null, since: Date, isThis: boolean}} DeviceInfo a login of this extension
 * @typedef {{
 *   identity: string, resumeId: string, resumeMs: number, expiresAt: number | null, rttMs: number | null, presence: Presence | null,
 *   features: Features | null, limits: {calls: number, digits: number, message_bytes: number} | null, devices: DeviceInfo[],
 * }} Told
 * @typedef {Told & {
 *   phase: import('./link.js').Phase, reason: string | null, retryAt: number | null, here: boolean, calls: CallInfo[],
 * }} View
 *   `expiresAt`: the token's, ms since 1970.
 * @typedef {{call?: string, event: string, args: any[], info?: CallInfo}} News
 *   What has happened; `info` is the last of a call that is over.
 * @typedef {{get: (refused: boolean) => Promise<{token: string, fresh: boolean} | null>, current: () => string}} Tokens
 *   null: there is no other one.
 * @typedef {{urls: string[], tokens: Tokens, resume: import('./resume.js').Resume, sound: import('./sound.js').Sound | null,
 *   device: string, callWaiting: boolean, timeoutMs: number, tokenRefreshMs: number,
 *   openWire?: typeof openWire, now?: () => number, random?: () => number, page?: any}} StationOptions
 */

/**
 * @extends {Emitter<{news: [view: View, news: News[]]}>}
 */
export class Station extends Emitter {
  #o;
  #now;
  #random;
  #link = newLink();
  #calls = noCalls();
  #requests = new Requests((message) => this.#send(message));
  /** @type {import('./wire.js').Wire | null} */
  #wire = null;
  #open = false;
  /** What of the view is ours, and not the link's or the calls'. @type {Told} */
  #told = {
    identity: '', resumeId: '', resumeMs: 20000, expiresAt: null, rttMs: null, presence: null, features: null, limits: null, devices: [],
  };
  #serverSkewMs = 0;
  #login = 0;
  #ping = { n: 0, at: 0 };
  #whyAt = -Infinity;
  #expiryToldAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #expiryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #goneTimer;
  #letSleep = () => {};
  #unlisten = () => {};
  /** @type {News[]} */
  #pending = [];

  /** @param {StationOptions} options */
  constructor(options) {
    super();
    this.#o = options;
    this.#now = options.now ?? (() => Date.now());
    this.#random = options.random ?? Math.random;
    const { sound } = options;
    sound?.on('second', () => this.#second());
    sound?.on('sample', (sample) => {
      const active = this.#talking;
      if (active && this.#link.phase === 'ready') this.#send(statsOf(active.id, sample));
      this.#news([{ event: 'sample', args: [sample], ...(active ? { call: active.id } : {}) }]);
    });
    sound?.on('volume', (input, output) => {
      const active = this.#talking;
      if (active) this.#news([{ call: active.id, event: 'volume', args: [input, output] }]);
    });
  }

  /** @returns {View} */
  get view() {
    const { phase, retryAt } = this.#link;
    return { ...this.#told, phase, retryAt, reason: this.#reason, here: this.#calls.here, calls: this.#calls.calls };
  }

  get #talking() {
    return this.#calls.calls.find((c) => c.media && !c.held);
  }

  /** A token that has ended while the line was down was never refused: the clock says it. */
  get #reason() {
    const { reason } = this.#link;
    const over = this.#told.expiresAt !== null && this.#told.expiresAt - this.#serverSkewMs <= this.#now();
    return reason === 'token' && over ? 'expired' : reason;
  }

  // ---- registering

  async open() {
    this.#open = true;
    this.#letSleep();
    this.#letSleep = stayAwake();
    this.#listen();
    this.#told.resumeId = (await this.#o.resume.recall()) || this.#told.resumeId;
    if (!this.#wire) {
      const wire = await (this.#o.openWire ?? openWire)((news) => this.#hear(news));
      if (!this.#open || this.#wire) return wire.close();
      this.#wire = wire;
      if (this.#o.sound) this.#o.sound.wire = wire;
    }
    if (this.#open) this.#feedLink({ type: 'open', urls: this.#o.urls.length });
  }

  /** Ends calls and login, for good. @param {boolean} [keepCalls] another tab goes on with them */
  close(keepCalls = false) {
    if (!this.#open) return;
    this.#open = false;
    if (!keepCalls) {
      if (this.#link.phase === 'ready') this.#send({ type: 'logout' });
      this.#setResume('');
    } else this.#o.resume.keep('');
    this.#endLogin({ reason: 'logged_out' });
    this.#feedLink({ type: 'close' });
  }

  destroy() {
    this.close();
    this.#wire?.close();
    this.#wire = null;
    this.#o.sound?.close();
    this.removeAllListeners();
  }

  /** @param {Partial<Message>} ending */
  #endLogin(ending) {
    this.#letSleep();
    this.#unlisten();
    clearTimeout(this.#expiryTimer);
    clearTimeout(this.#goneTimer);
    this.#requests.failAll(new PhoneError(31005, 'not registered any more'));
    this.#feedCalls({ type: 'gone', ending });
    Object.assign(this.#told, { presence: null, features: null, rttMs: null });
  }

  /** Goes on where another tab was: with its calls, by its resume id. @param {View} view */
  adopt({ resumeId, identity, expiresAt, presence, calls }) {
    Object.assign(this.#told, { resumeId, identity, expiresAt, presence });
    // Sound flowed there; here it begins when the gateway has let us in.
    this.#calls = { ...noCalls(), calls: calls.map((call) => ({ ...call, media: false })) };
  }

  // ---- commands, as values

  /**
   * @param {string} name
   * @param {Record<string, any>} [a]
   * @returns {Promise<any>}
   */
  async command(name, a = {}) {
    const { timeoutMs, sound } = this.#o;
    const ask = (type = name) => this.#requests.ask({ type, ...a }, { timeoutMs });
    // Asterisk's part in it takes time; and nobody wants it done minutes later, when the network is back.
    const askAsterisk = (type = name) => this.#requests.ask({ type, ...a }, { timeoutMs: Math.max(timeoutMs, SLOW_MS), wait: false });
    switch (name) {
      case 'answer':
      case 'reject':
      case 'hangup':
        sound?.prepare();
        this.#feedCalls({ type: `do.${name}`, ...a });
        return ask().catch((error) => {
          this.#feedCalls({ type: 'refused', ...a });
          // What has ended is hung up.
          if (error.code !== 31404 || name === 'answer') throw error;
        });
      case 'ignore':
        return this.#feedCalls({ type: 'do.ignore', ...a });
      case 'mute':
        this.#feedCalls({ type: 'do.mute', ...a });
        return ask();
      case 'hold':
      case 'presence':
      case 'feedback':
        return ask();
      case 'digits':
        sound?.digits(a.digits);
        return askAsterisk('dtmf');
      case 'transfer': {
        const { call = null } = await askAsterisk();
        if (a.mode === 'attended' && call) this.#feedCalls({ type: 'do.dialled', call, to: a.to, consults_for: a.call });
        return call;
      }
      case 'dial': {
        sound?.prepare();
        const { call } = await askAsterisk();
        this.#feedCalls({ type: 'do.dialled', ...a, call });
        return call;
      }
      case 'token':
        return this.#newToken(a.token);
      case 'retry':
        return this.#open ? this.#feedLink({ type: 'retry' }) : this.open();
      default:
        throw new PhoneError(31100, `no command «${name}»`);
    }
  }

  /** A token that a person or the page has brought. @param {string} token */
  async #newToken(token) {
    this.#expiryToldAt = -Infinity;
    if (this.#link.phase === 'ready') {
      const ok = await this.#requests.ask({ type: 'token', token }, { timeoutMs: this.#o.timeoutMs });
      this.#told.expiresAt = Number(ok.expires) || null;
      this.#watchExpiry();
      this.#news([]);
    } else if (this.#link.phase === 'stopped' && (this.#link.reason === 'token' || this.#link.reason === 'expired')) {
      await this.open();
    }
  }

  // ---- the connection

  /** @param {import('./link.js').LinkEvent} event */
  #feedLink(event) {
    const { state, effects } = stepLink(this.#link, event, this.#now(), this.#random);
    const next = nextTime(state);
    if (next !== nextTime(this.#link)) this.#wire?.send({ do: 'timer', ms: next === null ? null : Math.max(0, next - this.#now()) });
    const changed = state.phase !== this.#link.phase || state.reason !== this.#link.reason || state.retryAt !== this.#link.retryAt;
    this.#link = state;
    for (const effect of effects) this.#carryOutLink(effect);
    if (changed) this.#news([]);
  }

  /** @param {import('./link.js').LinkEffect} effect */
  #carryOutLink(effect) {
    switch (effect.do) {
      case 'fetchToken':
        return void this.#fetchToken(effect.refused);
      case 'connect':
      case 'spare':
        return this.#wire?.send({ do: effect.do === 'spare' ? 'spare' : 'open', url: this.#o.urls[effect.url], protocols: [PROTOCOL] });
      case 'drop':
      case 'dropSpare':
      case 'swap':
        return this.#wire?.send({ do: effect.do });
      case 'login':
        return this.#send({
          type: 'login', token: this.#o.tokens.current(), device: this.#o.device, call_waiting: this.#o.callWaiting,
          ...(this.#told.resumeId ? { resume: this.#told.resumeId } : {}),
        }, effect.spare);
      case 'probe':
        return this.#askPong();
      case 'askWhy':
        return void this.#askWhy();
      case 'tell':
        return this.#linkTold(effect.what);
    }
  }

  /** @param {'lost' | 'stopped'} what */
  #linkTold(what) {
    const reason = this.#reason;
    if (what === 'stopped') {
      this.#setResume('');
      const replaced = reason === 'replaced';
      const error = new PhoneError(STOPPED_BY[String(reason)] ?? 53000, replaced ? REPLACED : '');
      this.#endLogin({ reason: replaced ? 'replaced' : 'phone_lost' });
      this.#open = false;
      this.#news([{ event: 'stopped', args: [reason, error] }]);
      return;
    }
    const wasHere = this.#calls.here;
    this.#requests.down();
    this.#feedCalls({ type: 'lost' });
    if (wasHere && this.#calls.calls.length > 0) {
      // Longer than this the gateway does not keep them.
      clearTimeout(this.#goneTimer);
      this.#goneTimer = setTimeout(() => this.#feedCalls({ type: 'gone', ending: { reason: 'phone_lost' } }), this.#told.resumeMs + this.#o.timeoutMs);
    }
    if (wasHere || !this.#link.wasReady) this.#news([{ event: 'lost', args: [reason, wasHere] }]);
  }

  /** @param {boolean} refused */
  async #fetchToken(refused) {
    const timeout = new Promise((_, fail) => setTimeout(() => fail(new PhoneError(31205, 'no token came in time')), TOKEN_MS));
    try {
      const spare = this.#told.expiresAt === null ? Infinity : this.#told.expiresAt - this.#now();
      const got = await Promise.race([this.#o.tokens.get(refused || spare < TOKEN_SPARE_MS), timeout]);
      if (!got) return this.#feedLink({ type: 'noToken', final: true });
      this.#feedLink({ type: 'token', fresh: refused && got.fresh });
    } catch (error) {
      this.#news([{ event: 'error', args: [tokenError(error)] }]);
      this.#feedLink({ type: 'noToken' });
    }
  }

  async #askWhy() {
    if (this.#now() - this.#whyAt < WHY_EVERY_MS) return;
    this.#whyAt = this.#now();
    const reason = await findWhy(this.#o.urls[this.#link.url]);
    this.#feedLink({ type: 'why', reason });
  }

  /** @param {import('./wire.js').WireNews} news */
  #hear(news) {
    switch (news.is) {
      case 'opened':
      case 'closed':
      case 'quiet':
      case 'time':
        // The wire's words are the link's.
        return this.#feedLink(/** @type {any} */ ({ ...news, type: news.is }));
      case 'audio':
        return this.#o.sound?.play(news.bytes);
      case 'counts':
        return this.#o.sound?.count(news.counts);
      case 'text':
        return this.#take(news.text, news.spare);
    }
  }

  /** @param {Message} message @param {boolean} [spare] over the socket beside */
  #send(message, spare = false) {
    this.#wire?.send({ do: 'text', text: JSON.stringify(message), spare });
  }

  // ---- what the gateway says

  /** @param {string} text @param {boolean} spare it came over the socket beside */
  #take(text, spare) {
    /** @type {Message} */
    let m;
    try {
      m = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof m?.type !== 'string') return;
    // At once, and from here: that this page runs is what the gateway asks.
    if (m.type === 'ping') this.#send({ type: 'pong', n: m.n });
    if (m.type === 'welcome') return this.#welcome(m, spare);
    if (spare && this.#link.spare !== null) return; // why it is closed: its code says enough
    this.#feedLink({ type: 'heard' });
    switch (m.type) {
      case 'pong':
        if (m.n !== this.#ping.n) return;
        return this.#tookRoundTrip(Math.round(performance.now() - this.#ping.at));
      case 'ok':
        return void this.#requests.answer(m);
      case 'error':
        if (m.id !== undefined && m.id !== null) return void this.#requests.answer(m);
        if (this.#link.phase === 'login') {
          this.#told.devices = this.#devicesOf(m);
          return this.#feedLink({ type: 'refused', code: m.code, hintMs: m.retry_after_ms });
        }
        return this.#news([{ event: 'error', args: [new PhoneError(m.code, m.message)] }]);
      case 'token_expiring':
        return this.#tellExpiry();
      case 'features':
        this.#told.features = featuresOf(m);
        return this.#news([]);
      case 'devices':
        this.#told.devices = this.#devicesOf(m);
        return this.#news([{ event: 'devices', args: [this.#told.devices] }]);
      case 'presence':
        this.#told.presence = presenceOf(m);
        return this.#news([{ event: 'presence', args: [this.#told.presence] }]);
      case 'quality':
        if (this.#o.sound) this.#o.sound.told.gateway = /** @type {any} */ (m);
        return;
      case 'bye': {
        const hintMs = Number(m.retry_after_ms) || 0;
        this.#feedLink({ type: 'bye', hintMs });
        return this.#news([{ event: 'drain', args: [{ reason: m.reason, retryAfterMs: hintMs }] }]);
      }
      default:
        return this.#feedCalls(m);
    }
  }

  /** @param {Message} m @param {boolean} spare */
  #welcome(m, spare) {
    // Another socket took over before this one was given up: nobody has to be told.
    const seamless = this.#link.phase === 'ready';
    if (seamless && !(spare && this.#link.spare === 'login')) return;
    const again = this.#link.wasReady;
    this.#login = m.login;
    this.#serverSkewMs = Number(m.server?.time) ? Number(m.server.time) - this.#now() : 0;
    Object.assign(this.#told, {
      identity: String(m.extension ?? ''), expiresAt: Number(m.token_expires) || null, resumeMs: Number(m.resume_ms) || this.#told.resumeMs,
      limits: m.limits ?? null, devices: this.#devicesOf(m), features: featuresOf(m.features ?? {}), presence: presenceOf(m.presence ?? {}),
    });
    this.#setResume(String(m.resume ?? ''));
    clearTimeout(this.#goneTimer);
    this.#feedLink({ type: 'welcome', pingEveryMs: Number(m.ping_every_ms), spare });
    if (!seamless) this.#pending.push({ event: 'registered', args: [] });
    this.#feedCalls(m);
    this.#requests.up(m.resumed === true);
    this.#askPong();
    this.#watchExpiry();
    if (!seamless && (again || m.resumed === true)) this.#news([{ event: 'reconnected', args: [this.#calls.calls.map((c) => c.id)] }]);
  }

  /** @param {Message} m @returns {DeviceInfo[]} */
  #devicesOf(m) {
    /** @type {any[]} */
    const list = Array.isArray(m.devices) ? m.devices : [];
    return list.map((d) => ({ name: textOrNull(d.device), since: new Date(Number(d.since)), isThis: d.login === this.#login }));
  }

  /** @param {string} id */
  #setResume(id) {
    this.#told.resumeId = id;
    this.#o.resume.keep(id);
  }

  // ---- the calls

  /** @param {Message} message */
  #feedCalls(message) {
    const { state, effects } = stepCalls(this.#calls, message, this.#now());
    this.#calls = state;
    /** @type {News[]} */
    const news = this.#pending.splice(0);
    /** @type {CallInfo | undefined} */
    let over;
    for (const effect of effects) {
      if (effect.do === 'over') over = effect.call;
      else if (effect.do === 'tell') news.push({ call: effect.call, event: effect.event, args: effect.args, ...(over?.id === effect.call ? { info: over } : {}) });
      else this.#carryOutCalls(effect);
    }
    const inCall = state.calls.length > 0;
    if (inCall !== this.#link.inCall) this.#feedLink({ type: 'inCall', inCall });
    this.#news(news);
  }

  /** @param {CallsEffect} effect */
  #carryOutCalls(effect) {
    const { sound } = this.#o;
    switch (effect.do) {
      case 'send':
        return this.#send(effect.message);
      case 'ring':
        if (effect.how) sound?.prepare();
        return sound?.ring(effect.how);
      case 'sound':
        return sound?.run(effect.on);
      case 'talk':
        return sound?.talk(effect.call !== null, effect.muted);
    }
  }

  /** Each second of a call. */
  #second() {
    if (this.#link.phase === 'ready') this.#askPong();
  }

  #askPong() {
    this.#ping = { n: this.#ping.n + 1, at: performance.now() };
    this.#send({ type: 'ping', n: this.#ping.n });
  }

  /** @param {number} ms */
  #tookRoundTrip(ms) {
    const changed = ms !== this.#told.rttMs;
    this.#told.rttMs = ms;
    if (this.#o.sound) this.#o.sound.told.rttMs = ms;
    this.#feedLink({ type: 'rtt', ms });
    if (changed) this.#news([{ event: 'rtt', args: [] }]);
  }

  // ---- the token's end

  #watchExpiry() {
    clearTimeout(this.#expiryTimer);
    if (this.#told.expiresAt === null) return;
    const left = this.#told.expiresAt - this.#now() - this.#serverSkewMs;
    if (left <= this.#o.tokenRefreshMs) this.#tellExpiry();
    const wait = left > this.#o.tokenRefreshMs ? Math.min(left - this.#o.tokenRefreshMs, LONGEST_TIMER_MS) : TOKEN_REPEAT_MS;
    this.#expiryTimer = setTimeout(() => this.#watchExpiry(), wait);
  }

  #tellExpiry() {
    if (this.#now() - this.#expiryToldAt < TOKEN_ECHO_MS) return;
    this.#expiryToldAt = this.#now();
    this.#news([{ event: 'tokenWillExpire', args: [] }]);
  }

  // ---- the page

  #listen() {
    const page = this.#o.page ?? globalThis.window;
    if (!page?.addEventListener) return;
    const on = {
      online: () => this.#feedLink({ type: 'online' }),
      visibilitychange: () => page.document?.visibilityState === 'visible' && this.#feedLink({ type: 'visible' }),
      // Not `unload`: with it a page is never kept, and a kept page comes back by `pageshow`.
      pagehide: () => this.#feedLink({ type: 'hidden' }),
      pageshow: () => this.#feedLink({ type: 'shown' }),
    };
    this.#unlisten();
    const give = new AbortController();
    for (const [name, listener] of Object.entries(on)) {
      (name === 'visibilitychange' ? page.document : page)?.addEventListener(name, listener, { signal: give.signal });
    }
    this.#unlisten = () => give.abort();
  }

  /** @param {News[]} news */
  #news(news) {
    this.emit('news', this.view, news);
  }
}

/** @param {Message} m @returns {Features} */
const featuresOf = (m) => ({ hold: m.hold === true, dial: m.dial === true, dtmf: m.dtmf === true, transfer: m.transfer === true });

/** @param {any} m @returns {Presence} */
const presenceOf = (m) => ({
  state: String(m.state ?? 'ready'), until: Number(m.until) || null,
  reason: textOrNull(m.reason),
  reachable: typeof m.reachable === 'boolean' ? m.reachable : null,
});

/** Why it is not tried again, by error codes. @type {Record<string, number>} */
const STOPPED_BY = { expired: 20104, token: 20101, in_use: 31409 };
const REPLACED = 'the extension has logged in on another device or tab';

/** @param {string} call @param {import('./quality.js').Sample} s @returns {Message} */
const statsOf = (call, s) => ({
  type: 'stats', call, e2e_ms: s.e2eMs, playout_ms: s.playoutMs, underruns: s.underruns, concealed_ms: s.concealedMs,
  dropped_up: s.droppedUp, drift_ppm: s.driftPpm, rtt_ms: s.rttMs ?? 0,
});
