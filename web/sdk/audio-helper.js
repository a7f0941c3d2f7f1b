// `device.audio`: the devices of the sound by Twilio's names, over the engine.

import { playTest } from './audio/ring.js';
import { Emitter } from './emitter.js';

/**
 * @typedef {import('./audio/engine.js').AudioEngine} AudioEngine
 * @typedef {{deviceId: string, label: string, groupId: string, kind: 'audioinput' | 'audiooutput'}} DeviceInfo
 */

/** The loudspeaker of a purpose; one at a time. */
class OutputDevices {
  #engine;
  #where;

  /** @param {AudioEngine} engine @param {'speaker' | 'ringer'} where */
  constructor(engine, where) {
    this.#engine = engine;
    this.#where = where;
  }

  /** The chosen one's id; empty where the system chooses. @returns {Set<string>} */
  get() {
    return new Set([this.#engine.devices.chosen[this.#where]]);
  }

  /** @param {string | string[]} id `''` or `'default'`: the system's choice @returns {Promise<void>} */
  async set(id) {
    const one = String(Array.isArray(id) ? id[0] ?? '' : id);
    const chosen = one === 'default' ? '' : one;
    const there = this.#where === 'speaker' ? await this.#engine.setSpeaker(chosen) : await this.#engine.setRinger(chosen);
    if (!there) throw new Error('this output cannot be used');
  }

  /** @param {string} id @returns {Promise<boolean>} whether it worked, as `set` */
  delete(id) {
    return this.get().has(id) ? this.set('').then(() => true, () => false) : Promise.resolve(false);
  }

  /** One round of the bell. @returns {Promise<void>} */
  async test() {
    await playTest(this.#engine, this.#where);
  }
}

/**
 * Events: `deviceChange(lostActiveDevices)`; `inputVolume(level)`, 0 to 1, about 20 times a second in a call;
 * `state(state)`; `microphone(state)`; `permission(state)`.
 * @extends {Emitter<{deviceChange: [lost: DeviceInfo[]], inputVolume: [level: number], state: [state: string], microphone: [state: string], permission: [state: string]}>}
 */
export class AudioHelper extends Emitter {
  #engine;
  /** @type {(() => void)[]} */
  #off;
  #sounds = { incoming: true, outgoing: true, disconnect: true };

  /** @param {AudioEngine} engine */
  constructor(engine) {
    super();
    this.#engine = engine;
    this.speakerDevices = new OutputDevices(engine, 'speaker');
    this.ringtoneDevices = new OutputDevices(engine, 'ringer');
    this.#off = [
      engine.on('deviceChange', (/** @type {any[]} */ lost) => this.emit('deviceChange', lost.map((d) => info(d, 'audioinput')))),
      engine.on('stats', (stats) => this.emit('inputVolume', stats.micLevel)),
      engine.on('sound', (state) => this.emit('state', state)),
      engine.on('mic', (state) => this.emit('microphone', state)),
      engine.on('permission', (state) => this.emit('permission', state)),
    ];
  }

  /** @internal An engine outlives a device that was given it. */
  _close() {
    for (const off of this.#off) off();
  }

  /** What is below, for whoever needs more: the AudioContext and its nodes, meters. */
  get engine() {
    return this.#engine;
  }
  /** `closed`, `suspended`, `running`, `blocked` (a click is needed), `interrupted`, `unsupported`, `failed`. */
  get state() {
    return this.#engine.sound;
  }
  /** `off`, `opening`, `on`, or what is wrong: `denied`, `none`, `in-use`, `insecure`, `failed`. */
  get microphone() {
    return this.#engine.mic;
  }
  /** `granted`, `prompt`, `denied`; `unknown` where the browser does not tell. */
  get permission() {
    return this.#engine.permission;
  }
  /** ms from here to the loudspeaker, as the browser knows it. */
  get outputLatency() {
    return this.#engine.outputLatency;
  }
  get isOutputSelectionSupported() {
    return this.#engine.devices.canChooseSpeaker;
  }
  get isVolumeSupported() {
    return true;
  }
  /** By id. Empty before `refreshDevices()`, and without names before the microphone was allowed. @returns {Map<string, DeviceInfo>} */
  get availableInputDevices() {
    return new Map(this.#engine.devices.inputs.map((d) => [d.id, info(d, 'audioinput')]));
  }
  /** @returns {Map<string, DeviceInfo>} */
  get availableOutputDevices() {
    return new Map(this.#engine.devices.outputs.map((d) => [d.id, info(d, 'audiooutput')]));
  }
  /** The chosen microphone, or null where the system chooses. */
  get inputDevice() {
    return this.availableInputDevices.get(this.#engine.devices.chosen.microphone) ?? null;
  }

  /** Reads the lists. Not in a call without need: it can make sound stumble. */
  refreshDevices() {
    return this.#engine.refreshDevices();
  }
  /** Call it from a click: then sound may be heard. @returns {Promise<boolean>} whether it may */
  unlock() {
    return this.#engine.unlock();
  }
  /** Asks for the microphone, so that the first answer need not. @returns {Promise<boolean>} */
  askForMicrophone() {
    return this.#engine.openMic();
  }
  /** A level meter outside of a call. */
  monitorMicrophone() {
    return this.#engine.monitorMic();
  }

  /** In a call, too. @param {string} id @returns {Promise<void>} */
  async setInputDevice(id) {
    if (!(await this.#engine.setMicrophone(id === 'default' ? '' : id))) throw new Error('this microphone cannot be used');
  }
  /** The system chooses. @returns {Promise<void>} */
  unsetInputDevice() {
    return this.setInputDevice('');
  }
  /** @param {{echoCancellation?: boolean, noiseSuppression?: boolean, autoGainControl?: boolean}} switches @returns {Promise<void>} */
  async setAudioConstraints(switches) {
    await this.#engine.setProcessing(switches);
  }
  /** @returns {Promise<void>} */
  unsetAudioConstraints() {
    return this.setAudioConstraints({ echoCancellation: true, noiseSuppression: true, autoGainControl: true });
  }

  /** Whether it rings here. @param {boolean} [on] @returns {boolean} */
  incoming(on) {
    return this.#sound('incoming', on);
  }
  /** Whether a ringing far end is heard as ringing. @param {boolean} [on] @returns {boolean} */
  outgoing(on) {
    return this.#sound('outgoing', on);
  }
  /** Whether keys are heard here. @param {boolean} [on] @returns {boolean} */
  disconnect(on) {
    return this.#sound('disconnect', on);
  }

  /** @param {'incoming' | 'outgoing' | 'disconnect'} name @param {boolean} [on] */
  #sound(name, on) {
    if (on !== undefined) this.#sounds[name] = on;
    return this.#sounds[name];
  }
}

/** @param {{id: string, label: string, group: string}} d @param {DeviceInfo['kind']} kind @returns {DeviceInfo} */
const info = (d, kind) => ({ deviceId: d.id, label: d.label, groupId: d.group, kind });
