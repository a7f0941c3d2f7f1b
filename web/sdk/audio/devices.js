// Which microphones and speakers there are, and what happens when one is pulled out.
//
// `enumerateDevices` can make sound stumble while a call is up, so it is asked only when somebody
// wants the list or the browser says that it has changed. Without the permission for the microphone
// browsers give no names, and some give no speakers at all.

import { Emitter } from '../emitter.js';

/** Plugging one headset in fires a handful of events; the list is read once they have settled. */
const SETTLE_MS = 150;

/** @typedef {{id: string, label: string, group: string}} Device  `id` '' is never in a list: it is the system's choice */

/** Events: `change(lost)` with the devices that are gone. @extends {Emitter<'change'>} */
export class Devices extends Emitter {
  /** @type {Device[]} */
  inputs = [];
  /** @type {Device[]} */
  outputs = [];
  /** What the system's own choice is now, by name: changes when a headset becomes the default. */
  defaults = { input: '', output: '' };
  #media;
  #timer = 0;
  #watching = false;
  #asked = false;

  /** @param {MediaDevices | undefined} media */
  constructor(media) {
    super();
    this.#media = media;
  }

  /** From now on changes are told. May be called often. */
  watch() {
    if (this.#watching || !this.#media?.addEventListener) return;
    this.#watching = true;
    this.#media.addEventListener('devicechange', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.refresh(), SETTLE_MS);
    });
  }

  /** Reads the list anew. @returns {Promise<void>} */
  async refresh() {
    if (!this.#media?.enumerateDevices) return;
    const all = await this.#media.enumerateDevices().catch(() => []);
    const before = [...this.inputs, ...this.outputs];
    /** @param {MediaDeviceKind} kind */
    const of = (kind) => all
      .filter((d) => d.kind === kind && d.deviceId && d.deviceId !== 'default' && d.deviceId !== 'communications')
      .map((d) => ({ id: d.deviceId, label: d.label, group: d.groupId }));
    /** @param {MediaDeviceKind} kind */
    const first = (kind) => all.find((d) => d.kind === kind && (d.deviceId === 'default' || d.deviceId === ''))?.label ?? '';
    const [inputs, outputs] = [of('audioinput'), of('audiooutput')];
    const defaults = { input: first('audioinput'), output: first('audiooutput') };
    const now = [...inputs, ...outputs];
    const lost = before.filter((d) => !now.some((n) => n.id === d.id));
    const changed = !this.#asked || lost.length > 0 || now.length !== before.length
      || now.some((n) => !before.some((d) => d.id === n.id && d.label === n.label))
      || defaults.input !== this.defaults.input || defaults.output !== this.defaults.output;
    this.#asked = true;
    Object.assign(this, { inputs, outputs, defaults });
    if (changed) this.emit('change', lost);
  }

  /** Is it there? What was never listed may be. @param {string} id @param {'inputs' | 'outputs'} side */
  has(id, side) {
    return id === '' || !this.#asked || this[side].some((d) => d.id === id);
  }
}
