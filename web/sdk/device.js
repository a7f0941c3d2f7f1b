// The phone of a page: registers at the gateway, takes and makes calls.

import { AudioEngine } from './audio/engine.js';
import { AudioHelper } from './audio-helper.js';
import { Call } from './call.js';
import { Emitter } from './emitter.js';
import { PhoneError, tokenError } from './errors.js';
import { Resume } from './resume.js';
import { Sound } from './sound.js';
import { Station } from './station.js';
import { canShareTabs, Tabs } from './tabs.js';

/** Answers of the gateway. */
const SIGNALING_TIMEOUT_MS = 10000;
/** Calls that are over and may still be told what became of their transfer. */
const MAX_PASSED = 8;
/** News that come again and again in a call, and change nothing but figures. */
const MEASURED = new Set(['volume', 'sample', 'rtt']);
/** As the gateway's own first word of it. */
const TOKEN_REFRESH_MS = 300000;

/**
 * @typedef {string | (() => string | Promise<string>)} TokenSource
 *   A function is asked for a token whenever one is needed: at the start, and before the last one ends.
 * @typedef {{
 *   url?: string, urls?: string[], allowIncomingWhileBusy?: boolean, closeProtection?: boolean | string,
 *   deviceName?: string, maxCallSignalingTimeoutMs?: number, tokenRefreshMs?: number, ringtone?: string,
 *   sounds?: {incoming?: string}, disableAudioContextSounds?: boolean, singleTab?: boolean | string, audio?: AudioEngine,
 * }} DeviceOptions
 *   `url`, `urls`: `wss://host/phone`; the first is preferred. Without them the server that this module came from.
 *   `allowIncomingWhileBusy`: a second call is offered (call waiting). `closeProtection`: leaving the page in a call
 *   is asked about. `ringtone`: 'bell', or a country's: 'jp', 'us', 'uk', 'eu' …; `sounds.incoming`: the address of
 *   a sound file instead. `audio`: an engine that the page has made. `tokenRefreshMs`: how long before its end a token is replaced. `singleTab`: all tabs of this
 *   origin (that give the same name) are one phone. `disableAudioContextSounds`: the page rings by itself.
 * @typedef {'destroyed' | 'unregistered' | 'registering' | 'registered'} DeviceState
 * @typedef {import('./station.js').View} View
 * @typedef {import('./station.js').News} News
 */

/**
 * Events:
 * - `registering()`, `registered()`, `unregistered()`, `destroyed()`
 * - `incoming(call)`; `outgoing(call)`: a call of ours has begun, wherever it was made
 * - `error(error, call?)`
 * - `tokenWillExpire(device)`: again every minute until `updateToken`
 * - `reconnecting(error)`, `reconnected(resumedCalls)`: the latter also when a reload came back
 * - `replaced()`: the extension has logged in elsewhere
 * - `presence(presence)`, `devices(devices)`, `audioBlocked(blocked)`, `drain({reason, retryAfterMs})`
 * - `change(device)`: something of the device or of a call is not what it was: draw again
 * @extends {Emitter<{
 *   registering: [], registered: [], unregistered: [], destroyed: [], incoming: [call: Call], outgoing: [call: Call],
 *   error: [error: PhoneError, call?: Call], tokenWillExpire: [device: Device], reconnecting: [error: PhoneError], reconnected: [calls: Call[]],
 *   replaced: [], presence: [presence: import('./station.js').Presence], audioBlocked: [blocked: boolean],
 *   devices: [devices: import('./station.js').DeviceInfo[]],
 *   drain: [{reason: string, retryAfterMs: number}], change: [device: Device],
 * }>}
 */
export class Device extends Emitter {
  static get version() {
    return '0.1.0';
  }
  static get packageName() {
    return '@goastgateway/phone';
  }
  /** Whether this browser has what it takes. */
  static get isSupported() {
    return Boolean(globalThis.WebSocket && globalThis.AudioWorkletNode && globalThis.navigator?.mediaDevices && globalThis.isSecureContext);
  }

  /** @type {TokenSource} */
  #source;
  #token = '';
  #options;
  /** @type {Station | Tabs} */
  #station;
  /** @type {View} */
  #view;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {Map<string, Call>} Calls that were passed on. */
  #passed = new Map();
  /** @type {Set<string>} Calls that the page was told of. */
  #announced = new Set();
  #destroyed = false;
  #unprotect = new AbortController();
  #engine;
  #audio;
  /** @type {import('./call.js').Desk} */
  #desk;

  /**
   * @param {TokenSource} token
   * @param {DeviceOptions} [options]
   */
  constructor(token, options = {}) {
    super();
    this.#source = token;
    if (typeof token === 'string') this.#token = token;
    this.#options = options;
    const engine = options.audio ?? new AudioEngine();
    this.#engine = engine;
    const urls = options.urls ?? [options.url ?? ownAddress()];
    this.#audio = new AudioHelper(engine);
    const sound = new Sound(engine, () => {
      const { ringtone = 'bell', sounds, disableAudioContextSounds: mute } = this.#options;
      return {
        tone: ringtone, url: sounds?.incoming,
        incoming: !mute && this.#audio.incoming(), outgoing: !mute && this.#audio.outgoing(), keys: !mute && this.#audio.disconnect(),
      };
    });
    const station = new Station({
      urls,
      tokens: { get: (refused) => this.#getToken(refused), current: () => this.#token },
      resume: new Resume(urls[0]),
      sound,
      device: options.deviceName ?? deviceName(),
      callWaiting: options.allowIncomingWhileBusy === true,
      timeoutMs: options.maxCallSignalingTimeoutMs ?? SIGNALING_TIMEOUT_MS,
      tokenRefreshMs: options.tokenRefreshMs ?? TOKEN_REFRESH_MS,
    });
    const { singleTab = false } = options;
    this.#station = singleTab && canShareTabs() ? new Tabs(typeof singleTab === 'string' ? singleTab : urls[0], station) : station;
    this.#view = this.#station.view;
    this.#desk = {
      command: (name, args) => this.#station.command(name, args),
      here: () => this.#view.here,
      find: (id) => this.#calls.get(id),
      streams: () => ({ local: engine.micStream, remote: this.#farVoice() }),
      failed: (error, call) => this.emit('error', error, call),
    };
    sound.on('blocked', (blocked) => {
      for (const call of this.#calls.values()) call._blocked(blocked);
      this.emit('audioBlocked', blocked);
    });
    sound.on('failed', (code, why) => this.emit('error', new PhoneError(code, `the sound: ${why}`), this.activeCall ?? undefined));
    this.#station.on('news', (view, news) => this.#take(view, news));
    this.#protect();
  }

  // ---- how it stands

  /** @returns {DeviceState} */
  get state() {
    if (this.#destroyed) return 'destroyed';
    const { phase } = this.#view;
    if (phase === 'ready') return 'registered';
    return phase === 'off' || phase === 'stopped' ? 'unregistered' : 'registering';
  }
  /** The extension, once it is known. */
  get identity() {
    return this.#view.identity;
  }
  get token() {
    return this.#token;
  }
  /** When the token ends; null where it doesn't, or it is not known. */
  get tokenExpires() {
    return dateOf(this.#view.expiresAt);
  }
  /** Whether the telephone is in this tab; false only with `singleTab`. */
  get isLeader() {
    return !(this.#station instanceof Tabs) || this.#station.isLeader;
  }
  /** Calls that ring or are up. @returns {Call[]} */
  get calls() {
    return [...this.#calls.values()];
  }
  /** The one that is neither held nor ringing. @returns {Call | null} */
  get activeCall() {
    return this.calls.find((call) => call.status() === 'open') ?? null;
  }
  /** Whether a call is up. */
  get isBusy() {
    return this.calls.some((call) => call.status() !== 'pending');
  }
  /** Whether a call would ring here: as the gateway has found, not as the socket looks. */
  get reachable() {
    return this.state === 'registered' && this.#view.presence?.reachable !== false;
  }
  /** Round trip to the gateway, ms. */
  get rttMs() {
    return this.#view.rttMs;
  }
  get resumeId() {
    return this.#view.resumeId;
  }
  /** `{state, until, reason, reachable}`, or null before the login. */
  get presence() {
    return this.#view.presence;
  }
  /** How long the gateway keeps a lost phone's calls, ms. */
  get resumeMs() {
    return this.#view.resumeMs;
  }
  /** Where this extension is logged in, oldest first: `{name, since, isThis}`; after `in_use`, who holds it. */
  get devices() {
    return this.#view.devices;
  }
  /** What can work at this moment: `{hold, dial, dtmf, transfer}`. */
  get features() {
    return this.#view.features;
  }
  /**
   * Why there is no connection, for people: `closed`, `unreachable`, `server`, `limited`, `forbidden`, `upgrade`,
   * `no_token`; when it is not tried again: `token`, `expired`, `in_use`, `replaced`. null when there is one.
   */
  get reason() {
    return this.#view.reason;
  }
  /** When the next try is, or null. */
  get retryAt() {
    return dateOf(this.#view.retryAt);
  }
  /** Microphone, speaker, ringer, what may be heard. */
  get audio() {
    return this.#audio;
  }

  // ---- what it does

  /**
   * Logs in, and stays logged in until `unregister()` or until the gateway refuses for good. A network that is
   * away is waited for.
   * @returns {Promise<void>}
   */
  register() {
    if (this.#destroyed) return Promise.reject(new PhoneError(31105, 'the device is destroyed'));
    if (this.state === 'registered') return Promise.resolve();
    return new Promise((done, fail) => {
      const off = this.#station.on('news', (view, news) => {
        const stopped = news.find((n) => n.event === 'stopped');
        if (view.phase === 'ready') done();
        else if (stopped) fail(stopped.args[1]);
        else if (view.phase === 'off') fail(new PhoneError(31005, 'not registered any more'));
        else return;
        off();
      });
      if (this.state === 'unregistered') this.#station.open().catch(fail);
    });
  }

  /** Ends all calls and the login; with `singleTab` for all tabs. @returns {Promise<void>} */
  async unregister() {
    this.#station.close();
  }

  /**
   * Calls somebody. Registers first, if need be.
   * @param {{to?: string, params?: Record<string, string>}} options `to`: a number or an extension; `params`: channel
   *   variables, as far as the gateway's configuration allows them. (`params.To` is taken for `to`, as with Twilio.)
   * @returns {Promise<Call>}
   */
  async connect({ to, params = {} } = {}) {
    const { To, ...variables } = params;
    const number = to ?? To;
    if (!number) throw new PhoneError(31400, 'connect() needs `to`');
    // Within the click: a browser asks for one before it lets sound out.
    this.#engine.unlock();
    // A call that begins minutes later, when the network is back, is nobody's wish.
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new PhoneError(31005)), this.#options.maxCallSignalingTimeoutMs ?? SIGNALING_TIMEOUT_MS);
    });
    await Promise.race([this.register(), late]).finally(() => clearTimeout(timer));
    const id = await this.#station.command('dial', { to: String(number), variables });
    const call = this.#calls.get(id);
    if (!call) throw new PhoneError(31404);
    return call;
  }

  /** Hangs up all calls. */
  disconnectAll() {
    for (const call of this.calls) call.disconnect();
  }

  /**
   * Another token, for the same extension. Calls and sound go on.
   * @param {string} token
   * @returns {Promise<void>}
   */
  async updateToken(token) {
    this.#token = token;
    await this.#station.command('token', { token });
  }

  /** Those that can change in passing. @param {Pick<DeviceOptions, 'ringtone' | 'sounds' | 'closeProtection' | 'disableAudioContextSounds'>} options */
  updateOptions(options) {
    this.#options = { ...this.#options, ...options };
  }

  /**
   * @param {'ready' | 'away' | 'dnd' | 'wrapup'} state
   * @param {{reason?: string, seconds?: number}} [options] `seconds`: of `wrapup`, 1 to 3600; 0: until a person says so
   * @returns {Promise<void>}
   */
  async setPresence(state, options = {}) {
    await this.#station.command('presence', { state, ...options });
  }

  /** Tries at once: while a wait is on, or after the gateway refused for good. */
  retry() {
    this.#station.command('retry').catch((error) => this.emit('error', error));
  }

  /** This device is used no more; with `singleTab` another tab goes on with the calls. */
  destroy() {
    if (this.#destroyed) return;
    this.#station.destroy();
    this.#audio._close();
    this.#unprotect.abort();
    this.#destroyed = true;
    this.emit('destroyed');
    this.removeAllListeners();
  }

  // ---- tokens

  /** @param {boolean} refused */
  async #getToken(refused) {
    if (this.#token && !refused) return { token: this.#token, fresh: false };
    if (typeof this.#source !== 'function') return null;
    this.#token = String(await this.#source());
    return { token: this.#token, fresh: true };
  }

  async #renewToken() {
    this.emit('tokenWillExpire', this);
    if (typeof this.#source !== 'function') return;
    try {
      await this.updateToken(String(await this.#source()));
    } catch (error) {
      this.emit('error', tokenError(error));
    }
  }

  // ---- news

  /** @param {View} view @param {News[]} news */
  #take(view, news) {
    const before = this.state;
    this.#view = view;
    for (const info of view.calls) {
      const call = this.#calls.get(info.id);
      if (call) call._show(info);
      else this.#calls.set(info.id, new Call(this.#desk, info));
    }
    const state = this.state;
    if (state !== before && state === 'registering' && before === 'unregistered') this.emit('registering');
    for (const item of news) this.#tell(item);
    if (state !== before && state === 'unregistered') this.emit('unregistered');
    if (!news.some(({ event }) => MEASURED.has(event))) this.emit('change', this);
  }

  /** @param {News} item */
  #tell({ call: id, event, args, info }) {
    if (id !== undefined) {
      const call = this.#calls.get(id) ?? this.#passed.get(id);
      if (!call) return;
      if (event === 'transfer') this.#passed.delete(id);
      if (info) {
        call._show(info);
        this.#calls.delete(id);
        if (info.ending?.reason === 'transferred') this.#remember(call);
        this.#announced.delete(id);
      }
      if (event === 'incoming' || event === 'begun') {
        if (this.#announced.has(id)) return;
        this.#announced.add(id);
        this.emit(event === 'incoming' ? 'incoming' : 'outgoing', call);
      } else call._tell(event, args);
      return;
    }
    switch (event) {
      case 'reconnected':
        return this.emit('reconnected', args[0].map((/** @type {string} */ one) => this.#calls.get(one)).filter(Boolean));
      case 'lost':
        return this.emit('reconnecting', new PhoneError(args[1] ? 53001 : 31005));
      case 'stopped':
        if (args[0] === 'replaced') this.emit('replaced');
        return this.emit('error', args[1]);
      case 'tokenWillExpire':
        return void this.#renewToken();
      // For calls alone: one that nobody has says nothing.
      case 'sample':
      // In the view.
      case 'rtt':
        return;
      default:
        return /** @type {Emitter<string>} */ (/** @type {unknown} */ (this)).emit(event, ...args);
    }
  }

  /** @param {Call} call */
  #remember(call) {
    this.#passed.set(call.id, call);
    for (const id of this.#passed.keys()) if (this.#passed.size > MAX_PASSED) this.#passed.delete(id);
  }

  /** @type {{node: AudioNode, stream: MediaStream} | null} */
  #remote = null;
  #farVoice() {
    const { context, outputNode } = this.#engine;
    if (!context || !outputNode) return null;
    if (this.#remote?.node !== outputNode) {
      const target = context.createMediaStreamDestination();
      outputNode.connect(target);
      this.#remote = { node: outputNode, stream: target.stream };
    }
    return this.#remote.stream;
  }

  #protect() {
    globalThis.window?.addEventListener?.('beforeunload', (event) => {
      const { closeProtection } = this.#options;
      if (!closeProtection || !this.isBusy || this.#destroyed) return;
      event.preventDefault();
      event.returnValue = typeof closeProtection === 'string' ? closeProtection : 'A call is up.';
    }, { signal: this.#unprotect.signal });
  }
}

/** @param {number | null} ms since 1970 */
const dateOf = (ms) => (ms === null ? null : new Date(ms));

/** `/phone` of the server that this module came from, beside the folder `sdk`. */
function ownAddress() {
  const url = new URL('../phone', import.meta.url);
  if (!/^https?:$/.test(url.protocol)) throw new PhoneError(31400, 'Device needs `url`: wss://HOST/phone');
  url.protocol = url.protocol.replace('http', 'ws');
  url.search = url.hash = '';
  return url.href;
}

/** What a browser calls itself, the more particular first: each names those behind it, too. */
const BROWSERS = { Edg: 'Edge', OPR: 'Opera', Firefox: 'Firefox', FxiOS: 'Firefox', CriOS: 'Chrome', Chrome: 'Chrome', Safari: 'Safari' };

/** A name for people: the browser and what it runs on. */
export function deviceName(agent = globalThis.navigator?.userAgent ?? '') {
  const browser = Object.entries(BROWSERS).find(([sign]) => agent.includes(sign))?.[1] ?? 'SDK';
  const system = /Android|iP(hone|ad)/.exec(agent) ?? /Windows|CrOS|Mac|Linux/.exec(agent);
  return system ? `${browser}, ${system[0]}` : browser;
}
