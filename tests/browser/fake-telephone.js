// A telephone for the page's own tests: served in the place of web/ui/telephone.js, so that a test can
// put the page into any state and see what it asks for. `window.fake` is its handle.

export const PHONE = {
  link: 'offline', why: null, lostAt: null, retryAt: null, trying: false, resumeMs: 20000, devices: [],
  extension: '2001',
  features: { hold: true, dial: true, dtmf: true, transfer: true },
  presence: { state: 'ready', until: null },
  reachable: true, rttMs: 12, expiresAt: null, tokenRefused: false,
  calls: [],
  audio: {
    sound: 'suspended', mic: 'off', permission: 'granted', secure: true, canChooseOutput: true,
    inputs: [{ id: 'm1', label: 'Headset Pro (microphone)' }, { id: 'm2', label: 'Built-in microphone' }],
    outputs: [{ id: 's1', label: 'Headset Pro (earphones)' }, { id: 's2', label: 'Built-in speaker' }],
  },
};

export function makeCall(change = {}) {
  const state = change.state ?? 'open';
  return {
    id: 'c1', direction: 'incoming', state, from: { number: '0312345678', name: 'Alice Example' }, group: null,
    held: false, heldByFar: false, muted: false, audio: true, since: Date.now(), answered: state === 'open' ? Date.now() : null,
    consultsFor: null, transferring: false, ...change,
  };
}

export class Telephone {
  #listeners = {};
  state = structuredClone(PHONE);
  /** Everything that the page has asked for: `[name, ...args]`. */
  asked = [];
  /** The next command is refused with this. */
  refuse = null;

  constructor() {
    window.fake = this;
    window.makeCall = makeCall;
    const note = (name) => (...args) => {
      this.asked.push([name, ...args]);
      if (!this.refuse || ['unlock', 'prefer'].includes(name)) return Promise.resolve();
      const error = this.refuse;
      this.refuse = null;
      return Promise.reject(error);
    };
    for (const name of ['retry', 'answer', 'reject', 'hangup', 'mute', 'hold', 'tone', 'dial', 'transfer', 'completeTransfer', 'cancelTransfer',
      'presence', 'listDevices', 'unlock', 'askForMic', 'prefer', 'testMic', 'testSpeaker', 'testRing']) this[name] = note(name);
  }

  on(name, listener) {
    (this.#listeners[name] ??= []).push(listener);
  }
  emit(name, ...args) {
    for (const listener of this.#listeners[name] ?? []) listener(...args);
  }
  snapshot() {
    return this.state;
  }
  login(token) {
    this.asked.push(['login', token]);
    this.put({ link: 'ready' });
    return true;
  }
  logout() {
    this.asked.push(['logout']);
    this.put({ link: 'offline', calls: [] });
  }

  // ---- for tests

  put(change) {
    this.state = { ...this.state, ...change };
    this.emit('change');
  }
  audio(change) {
    this.put({ audio: { ...this.state.audio, ...change } });
  }
  ring(change) {
    this.put({ calls: [...this.state.calls, makeCall({ state: 'ringing', ...change })] });
  }
  end(id, reason, talkMs = 0) {
    const call = this.state.calls.find((c) => c.id === id);
    this.put({ calls: this.state.calls.filter((c) => c !== call) });
    this.emit('ended', { call, reason, talkMs });
  }
  sample(call, change = {}, count = 1) {
    for (let i = 0; i < count; i++) {
      const wave = 20 * Math.sin(i / 3) + 12 * Math.sin(i * 1.7);
      this.emit('sample', call, {
        at: Date.now(), rttMs: 14, jitterMs: 6, delayMs: 110 + wave, concealedMs: 0, lostUp: 0, toPhoneQueueMs: 10, lostDown: 0, filled: 0,
        serverQueueMs: 20, lostServer: 0, framesDown: 50, ...change,
      });
    }
  }
}
