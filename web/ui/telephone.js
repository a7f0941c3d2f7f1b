// The SDK's Device, as the page needs it: one plain value to draw from (look.js says what is in it), a few
// words for what happens, and commands by a call's id. Nothing else of the page knows the SDK.

import { AudioEngine, Device, readToken } from '../sdk/index.js';
import { playTest } from '../sdk/audio/ring.js';
import { Calls } from './telephone-calls.js';

/** How long a gateway keeps a lost phone's calls, before it has said so. */
const RESUME_MS = 20000;
/** Nothing works before the gateway has said so. */
const NO_FEATURES = { hold: false, dial: false, dtmf: false, transfer: false };
/** A level meter moves this often. */
const LEVEL_EVERY_MS = 50;
/** The ring tone is made to be right at this place of the slider. */
const USUAL_VOLUME = 0.7;

/**
 * Events: `change()`; `ended({call, reason, talkMs})`; `passed({call, to, done, reason})`, behind that: what became of a transfer; `sample(callId, sample)`, each second of a call;
 * `levels(microphone, speaker)`, peaks of 0 to 1; `fault(error)`: a command that nobody waits for was refused.
 */
export class Telephone {
  /** @type {Record<string, Function[]>} */
  #listeners = {};
  /** Where the sound is: outlives logins. */
  engine = new AudioEngine();
  /** @type {Device | null} */
  #device = null;
  #token = '';
  /** @type {number | null} */
  #lostAt = null;
  #restarting = false;
  /** @type {Record<string, any>} */
  #prefs = {};
  #calls = new Calls((name, ...args) => this.#emit(name, ...args));
  /** @type {Promise<{level: () => number, stop: () => void}> | null} */
  #meter = null;
  #meterTimer = 0;

  constructor() {
    for (const name of ['sound', 'mic', 'permission', 'deviceChange']) this.engine.on(name, () => this.#emit('change'));
    this.engine.on('sound', () => this.#setVolume());
    // While there is a network, it isn't the network.
    for (const name of ['online', 'offline']) globalThis.addEventListener?.(name, () => this.#emit('change'));
  }

  /** @param {string} name @param {(...args: any[]) => void} listener */
  on(name, listener) {
    (this.#listeners[name] ??= []).push(listener);
  }

  #emit(name, ...args) {
    for (const listener of this.#listeners[name] ?? []) listener(...args);
  }

  // ---- how it stands

  /** @returns {import('./look.js').Telephone} */
  snapshot() {
    const device = this.#device;
    const claims = readToken(this.#token);
    const presence = device?.presence;
    return {
      ...this.#link(),
      lostAt: this.#lostAt,
      resumeMs: device?.resumeMs ?? RESUME_MS,
      devices: device?.devices ?? [],
      extension: device?.identity || claims?.extension || '',
      features: device?.features ?? NO_FEATURES,
      presence: { state: /** @type {any} */ (presence?.state ?? 'ready'), until: presence?.until ?? null },
      reachable: presence?.reachable ?? null,
      rttMs: device?.rttMs ?? null,
      expiresAt: device?.tokenExpires?.getTime() ?? claims?.expiresAt ?? null,
      tokenRefused: false,
      calls: device ? this.#calls.list(device.calls) : [],
      audio: this.#audio(),
    };
  }

  /** @returns {Pick<import('./look.js').Telephone, 'link' | 'why' | 'retryAt' | 'trying'>} */
  #link() {
    const device = this.#device;
    const why = device?.reason ?? null;
    const retryAt = device?.retryAt?.getTime() ?? null;
    if (!device || device.state === 'destroyed') return { link: 'offline', why: null, retryAt: null, trying: false };
    if (device.state === 'registered') return { link: 'ready', why: null, retryAt: null, trying: false };
    if (device.state === 'unregistered') {
      return { link: why ? 'stopped' : 'connecting', why, retryAt: null, trying: false };
    }
    if (why === null && this.#lostAt === null) return { link: 'connecting', why: null, retryAt: null, trying: true };
    // Browsers take a machine without the internet for offline: only where nothing answers is it the reason.
    const offline = globalThis.navigator?.onLine === false && (why ?? 'unreachable') === 'unreachable';
    const seen = offline ? 'network' : this.#restarting ? 'restart' : why ?? 'closed';
    return { link: 'reconnecting', why: seen, retryAt, trying: retryAt === null };
  }

  #audio() {
    const { inputs, outputs, canChooseSpeaker } = this.engine.devices;
    return {
      sound: this.engine.sound, mic: this.engine.mic, permission: this.engine.permission, secure: globalThis.isSecureContext !== false,
      inputs, outputs, canChooseOutput: canChooseSpeaker,
    };
  }

  /** One word: offline, connecting, ready, ringing, in-call, reconnecting, busy, replaced, refused. */
  get state() {
    const { link, why, calls } = this.snapshot();
    if (link === 'stopped') return { in_use: 'busy', replaced: 'replaced' }[why ?? ''] ?? 'refused';
    if (link !== 'ready') return link;
    if (calls.some((call) => call.state !== 'ringing')) return 'in-call';
    return calls.length > 0 ? 'ringing' : 'ready';
  }

  /** Figures of the sound. */
  get stats() {
    return { ...this.engine.stats, droppedUp: this.#calls.droppedUp };
  }

  // ---- logging in and out

  /** Where this extension is logged in, the token is replaced and calls go on. @param {string} token @returns {boolean} false: this is no token */
  login(token) {
    const claims = readToken(token);
    if (!claims) return false;
    if (this.#device?.state === 'registered' && this.#device.identity === claims.extension && token !== this.#token) {
      this.#token = token;
      this.#device.updateToken(token).catch((error) => this.#emit('fault', error));
      return true;
    }
    this.#leave();
    this.#token = token;
    this.#lostAt = null;
    this.#restarting = false;
    const device = new Device(token, { audio: this.engine, allowIncomingWhileBusy: this.#prefs.callWaiting === true, ringtone: this.#prefs.ringCountry, deviceName: this.#prefs.deviceName || undefined });
    this.#device = device;
    device.on('change', () => this.#changed());
    for (const name of /** @type {const} */ (['incoming', 'outgoing'])) device.on(name, (call) => this.#calls.follow(call));
    device.on('reconnecting', () => {
      this.#lostAt ??= Date.now();
      this.#emit('change');
    });
    device.on('drain', () => {
      this.#restarting = true;
    });
    device.on('error', (error, call) => call && this.#emit('fault', error));
    // What goes wrong is in `reason`, and drawn from there.
    device.register().catch(() => {});
    this.#emit('change');
    return true;
  }

  #changed() {
    for (const call of this.#device?.calls ?? []) this.#calls.follow(call);
    if (this.#device?.state === 'registered') {
      this.#lostAt = null;
      this.#restarting = false;
    }
    this.#emit('change');
  }

  /** Ends all calls, too. */
  logout() {
    this.#leave();
    this.#token = '';
    this.#emit('change');
  }

  #leave() {
    this.#device?.destroy();
    this.#device = null;
  }

  retry() {
    this.#device?.retry();
  }

  // ---- commands; what returns a promise is refused by it, all else by `fault`

  #call(id) {
    return this.#device?.calls.find((call) => call.id === id);
  }

  answer(id) {
    this.#call(id)?.accept();
  }
  reject(id) {
    this.#call(id)?.reject();
  }
  hangup(id) {
    this.#call(id)?.disconnect();
  }
  mute(id, on) {
    this.#call(id)?.mute(on);
  }
  hold(id, on) {
    return this.#call(id)?.hold(on);
  }
  tone(id, digits) {
    this.#call(id)?.sendDigits(digits);
  }
  /** @param {string} to */
  async dial(to) {
    await this.#device?.connect({ to });
  }
  /** @param {string} id @param {string} to @param {'blind' | 'attended'} kind */
  async transfer(id, to, kind) {
    this.#calls.targets.set(id, { to, blind: kind === 'blind' });
    try {
      await this.#call(id)?.transfer(to, { kind });
    } catch (error) {
      this.#calls.targets.delete(id);
      throw error;
    }
  }
  async completeTransfer(id) {
    await this.#call(id)?.completeTransfer();
  }
  async cancelTransfer(id) {
    await this.#call(id)?.cancelTransfer();
  }
  /** @param {'ready' | 'away' | 'dnd' | 'wrapup'} state @param {number} [seconds] */
  async presence(state, seconds) {
    await this.#device?.setPresence(state, seconds === undefined ? {} : { seconds });
  }

  // ---- the sound

  /** From a click: then the browser lets sound out. */
  unlock() {
    return this.engine.unlock();
  }

  async askForMic() {
    await this.engine.openMic();
    await this.engine.refreshDevices();
    this.#emit('change');
  }

  /** The lists are read when somebody wants to see them, not in a call without need. */
  listDevices() {
    this.engine.refreshDevices().then(() => this.#emit('change'));
  }

  /** A level meter outside of a call. @param {boolean} on */
  async testMic(on) {
    clearInterval(this.#meterTimer);
    const before = this.#meter;
    this.#meter = null;
    if (on) {
      const meter = this.engine.monitorMic();
      this.#meter = meter;
      const { level } = await meter;
      if (this.#meter === meter) this.#meterTimer = setInterval(() => this.#emit('levels', level(), 0), LEVEL_EVERY_MS);
    } else {
      this.#emit('levels', 0, 0);
    }
    (await before)?.stop();
  }

  testSpeaker() {
    playTest(this.engine, 'speaker');
  }
  testRing() {
    playTest(this.engine, 'ringer');
  }

  /** What a person has chosen; only what changed is done. @param {Record<string, any>} prefs */
  prefer(prefs) {
    const before = this.#prefs;
    this.#prefs = prefs;
    const changed = (...names) => names.some((name) => before[name] !== prefs[name]);
    const { engine } = this;
    if (changed('microphone')) engine.setMicrophone(prefs.microphone);
    if (changed('speaker')) engine.setSpeaker(prefs.speaker);
    if (changed('ringer')) engine.setRinger(prefs.ringer);
    if (changed('echoCancellation', 'noiseSuppression', 'autoGainControl')) {
      const { echoCancellation, noiseSuppression, autoGainControl } = prefs;
      engine.setProcessing({ echoCancellation, noiseSuppression, autoGainControl });
    }
    if (changed('ringCountry')) this.#device?.updateOptions({ ringtone: prefs.ringCountry });
    this.#setVolume();
    // The gateway learns this at the login: another one, while nothing is up.
    if (before.callWaiting !== undefined && changed('callWaiting', 'deviceName') && this.#device && this.#device.calls.length === 0 && this.#token) this.login(this.#token);
  }

  #setVolume() {
    const { ringNode } = this.engine;
    if (ringNode && this.#prefs.ringVolume !== undefined) ringNode.gain.value = this.#prefs.ringVolume / USUAL_VOLUME;
  }
}
