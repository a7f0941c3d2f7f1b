// What happens when a person presses something. Each deed is a method named as in the views; it tells the
// telephone, or changes what is open on the screen.

import { getLanguage } from '../i18n.js';
import { findToken } from '../sdk/token.js';
import { faultText } from './faults.js';
import { forget } from './history.js';
import { toDialable, toNumber, toTones } from './number.js';
import { saveToken } from './session.js';

/** Digits that were sent in a call, as many as are shown. */
const TONES_SHOWN = 24;

/**
 * @param {{phone: import('./telephone.js').Telephone, ui: any, set: (patch: object) => void, loggedIn: (token: string, byClick: boolean) => boolean,
 *   prefer: (name: string, value: any) => void}} house
 */
export function deeds({ phone, ui, set, loggedIn, prefer }) {
  /** Runs a command of the telephone's; what it refuses is told. */
  const ask = (promise) => Promise.resolve(promise).then(() => true, (error) => {
    set({ fault: { text: faultText(error), at: Date.now() } });
    return false;
  });
  const fault = (key) => set({ fault: { text: [key], at: Date.now() } });
  const togglePanel = (name) => set({ panel: ui.panel === name ? null : name, target: '', targetBad: false });
  const feature = (name) => phone.snapshot().features[name];

  /** @param {string} to already dialable */
  const dial = async (to) => {
    if (!feature('dial')) return fault('fault.unavailable');
    phone.unlock();
    if (await ask(phone.dial(to))) set({ number: '', target: '', panel: null });
  };
  const withTarget = (call, text, command) => {
    const to = toDialable(text);
    if (!to) return set({ target: text, targetBad: true });
    set({ targetBad: false });
    return ask(command(call.id, to)).then((done) => done && set({ panel: null, target: '' }));
  };

  return {
    // ---- logging in and out
    login(text) {
      const token = findToken(text);
      if (!token || !loggedIn(token, true)) set({ loginError: ['login.bad'] });
    },
    logout() {
      phone.logout();
      saveToken(null);
      forget(sessionStorage);
      set({ loggedIn: false, loginError: null, history: [], ended: null, fault: null, panel: null, number: '', tab: 'keypad' });
    },
    retry: () => phone.retry(),

    // ---- calls
    answer(call) {
      phone.unlock();
      set({ panel: null });
      ask(phone.answer(call.id));
    },
    reject: (call) => ask(phone.reject(call.id)),
    hangup: (call) => ask(phone.hangup(call.id)),
    mute: (call) => ask(phone.mute(call.id, !call.muted)),
    hold: (call) => ask(phone.hold(call.id, !call.held)),
    swap() {
      const held = phone.snapshot().calls.find((c) => c.held && !c.consultsFor) ?? phone.snapshot().calls.find((c) => c.held);
      if (held) ask(phone.hold(held.id, false));
    },
    tone({ call, key }) {
      const digits = toTones(key);
      if (!digits) return;
      set({ tones: (ui.tones + digits).slice(-TONES_SHOWN), panel: 'keypad' });
      ask(phone.tone(call.id, digits));
    },
    blind: ({ call, to }) => withTarget(call, to, (id, number) => phone.transfer(id, number, 'blind')),
    attended: ({ call, to }) => withTarget(call, to, (id, number) => phone.transfer(id, number, 'attended')),
    /** On the consultation's card; the telephone wants the call that is passed on. */
    complete: (call) => ask(phone.completeTransfer(call.consultsFor)),
    cancel: (call) => ask(phone.cancelTransfer(call.consultsFor)),
    dialSecond({ to }) {
      const number = toDialable(to);
      if (!number) return set({ target: to, targetBad: true });
      return dial(number);
    },
    callBack: (number) => dial(number),

    /** What can't be pressed says why. */
    whyNot: (text) => set({ fault: { text, at: Date.now() } }),

    // ---- panels
    keypad: () => togglePanel('keypad'),
    transfer: () => togglePanel('transfer'),
    add: () => togglePanel('add'),
    quality: () => togglePanel('quality'),
    closePanel: () => set({ panel: null }),
    target: (text) => set({ target: text, targetBad: false }),

    // ---- the dial pad
    number: (text) => set({ number: text }),
    type: (key) => set({ number: ui.number + key }),
    erase: () => set({ number: [...ui.number].slice(0, -1).join('') }),
    clear: () => set({ number: '' }),
    pasteNumber(text) {
      set({ number: ui.number + (toNumber(text) || text.trim().slice(0, 200)) });
    },
    dial() {
      // The first Enter brings the last number back, the second calls it.
      if (!ui.number) return ui.redial && set({ number: ui.redial });
      const to = toDialable(ui.number);
      if (!to) return fault('pad.bad');
      return dial(to);
    },
    redial: () => ui.redial && dial(ui.redial),

    // ---- the rest
    presence: (state) => ask(phone.presence(state, state === 'wrapup' ? ui.prefs.wrapupSeconds : undefined)),
    tab: (tab) => set({ tab, seenAt: Date.now() }),
    clearHistory: () => set({ history: [], ended: null }),
    dismiss: () => set({ ended: null, fault: null }),
    help: () => set({ dialog: 'help' }),
    settings() {
      set({ dialog: 'settings' });
      phone.listDevices();
    },
    closeDialog() {
      // Closed by itself first, so that the browser gives the focus back to where it was.
      document.querySelector('dialog[open]')?.close();
      phone.testMic(false);
      set({ dialog: null, testing: null });
    },
    language: () => prefer('language', getLanguage() === 'ja' ? 'en' : 'ja'),
    set: ([name, value]) => prefer(name, value),
    unlock: () => phone.unlock(),
    askForMic: () => phone.askForMic(),
    async testMic() {
      const on = ui.testing !== 'mic';
      set({ testing: on ? 'mic' : null });
      await phone.testMic(on);
    },
    testSpeaker: () => phone.testSpeaker(),
    testRing: () => phone.testRing(),
    notifyLater: () => set({ notifyLater: true }),
    async allowNotify() {
      await globalThis.Notification?.requestPermission();
      set({ notifications: notificationState() });
    },
  };
}

/** @returns {'granted' | 'denied' | 'default' | 'unsupported'} */
export function notificationState() {
  return globalThis.Notification?.permission ?? 'unsupported';
}
