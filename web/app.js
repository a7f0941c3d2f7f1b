// The phone page: the telephone, what is open on the screen, and the drawing of both.

import { say, setLanguage, spell, t } from './i18n.js';
import { ringFor } from './sdk/audio/tones.js';
import { announce } from './ui/announce.js';
import { Attention } from './ui/attention.js';
import { nameOf } from './ui/cards.js';
import { deeds, notificationState } from './ui/deeds.js';
import { patch } from './ui/dom.js';
import { faultText } from './ui/faults.js';
import { FocusKeeper } from './ui/focus.js';
import { add, howItWent, lastDialled, load, missedSince, save } from './ui/history.js';
import { listenToKeys } from './ui/keys.js';
import { ENDED_SHOWN_MS, look } from './ui/look.js';
import { Meters } from './ui/meters.js';
import { notices } from './ui/notices.js';
import { loadPrefs, savePrefs } from './ui/prefs.js';
import { judge, keep } from './ui/quality.js';
import { saveToken, savedToken, takeTokenFromAddress } from './ui/session.js';
import { Telephone } from './ui/telephone.js';
import { page } from './ui/views/screen.js';

const TICK_MS = 250;

const storage = (() => {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
})();
const prefs = loadPrefs(storage);

/** What is open on the screen; the telephone itself is not in here. */
const ui = {
  prefs,
  loggedIn: false,
  /** @type {any} */
  loginError: null,
  tab: 'keypad',
  number: '',
  redial: '',
  /** @type {string | null} what is open in the front call's card */
  panel: null,
  target: '',
  targetBad: false,
  tones: '',
  /** @type {string | null} */
  dialog: null,
  /** @type {'mic' | null} */
  testing: null,
  /** @type {import('./ui/history.js').Entry[]} */
  history: [],
  seenAt: Date.now(),
  /** @type {any} the last call that ended, while it is told */
  ended: null,
  /** @type {any} the last command that was refused, while it is told */
  fault: null,
  notifications: notificationState(),
  notifyLater: false,
};

const phone = new Telephone();
const attention = new Attention();
const meters = new Meters(['mic-near', 'mic-level', 'speaker-level', 'test-level']);
const focus = new FocusKeeper();
/** @type {import('./ui/quality.js').Sample[]} of the call in front */
let samples = [];
let sampled = '';

// ---- the screen

const root = /** @type {HTMLElement} */ (document.getElementById('page'));
/** @type {ReturnType<typeof look> | null} */
let shown = null;
let asked = false;
let ticking = 0;
let waking = 0;

function set(change) {
  Object.assign(ui, change);
  if ('history' in change) {
    ui.redial = lastDialled(ui.history);
    if (ui.loggedIn) save(sessionStorage, phone.snapshot().extension, ui.history);
  }
  redraw();
}

/** Soon, and once for all that happens now. */
function redraw() {
  if (asked) return;
  asked = true;
  queueMicrotask(() => {
    asked = false;
    draw();
  });
}

function draw() {
  const now = Date.now();
  const snapshot = phone.snapshot();
  const next = look(snapshot, ui, now);
  const front = next.cards[0];
  if (front?.call.id !== sampled) {
    sampled = front?.call.id ?? '';
    samples = [];
    Object.assign(ui, { panel: null, tones: '', target: '', targetBad: false });
  }
  // A ring comes before whatever was being read.
  if (next.ringing && !shown?.ringing && ui.dialog) act('closeDialog');
  const quality = judge(samples, now, { audioExpected: Boolean(front && !front.call.held && !front.call.heldByFar) });
  const screen = { look: next, phone: snapshot, ui, now, notices: notices(snapshot, ui, now), quality, samples, meters: true, missed: ui.tab === 'history' ? 0 : missedSince(ui.history, ui.seenAt), testing: ui.testing };
  focus.before();
  patch(root, page(screen, act).filter((part) => part !== null));
  openDialog();
  focus.after(next, ui);
  tell(announce(shown, next));
  drawAttention(snapshot, next);
  shown = next;
  clearTimeout(waking);
  if (next.line) waking = setTimeout(redraw, next.line.until - now);
  if (next.ticks && !ticking) ticking = setInterval(redraw, TICK_MS);
  if (!next.ticks && ticking) {
    clearInterval(ticking);
    ticking = 0;
  }
}

function openDialog() {
  const dialog = root.querySelector('dialog');
  if (dialog && !dialog.open) dialog.showModal();
}

function drawAttention({ extension }, { status, cards, view }) {
  const front = cards[0];
  const state = say(status.title);
  attention.rest(view === 'login' ? t('product') : front
    ? t('title.call', { state, who: nameOf(front.call.from) })
    : t('title.idle', { state, ext: t('extension', { ext: extension }) }));
  const ringing = cards.find((card) => card.role === 'incoming' || card.role === 'waiting');
  if (!ringing) return attention.stop();
  const who = spell(nameOf(ringing.call.from));
  attention.start({
    call: ringing.call.id,
    title: t('title.call', { state: t('state.incoming'), who }),
    body: t('notify.body', { who, ext: extension }),
    onclick: () => ui.prefs.notifyAnswers && act('answer', ringing.call),
  });
}

/** What a screen reader says. An empty line between makes the same words be said again. */
function tell({ now, then }) {
  const put = (id, text) => {
    const line = document.getElementById(id);
    line.textContent = '';
    line.textContent = text;
  };
  if (now) put('say-now', say(now));
  if (then.length > 0) put('say-then', then.map(say).join('. '));
}

// ---- what a person chooses

function prefer(name, value) {
  ui.prefs = { ...ui.prefs, [name]: value };
  savePrefs(storage, ui.prefs);
  applyPrefs();
  redraw();
}

function applyPrefs() {
  const { theme, language, ...rest } = ui.prefs;
  setLanguage(language);
  const html = document.documentElement;
  html.lang = language || (navigator.language?.toLowerCase().startsWith('ja') ? 'ja' : 'en');
  if (theme === 'system') delete html.dataset.theme;
  else html.dataset.theme = theme;
  phone.prefer({ ...rest, ringCountry: rest.ringCountry || ringFor(language || navigator.language) });
}

// ---- logging in

/** @param {string} token @param {boolean} byClick a person has just clicked */
function logIn(token, byClick) {
  if (!phone.login(token)) return false;
  saveToken(token);
  const { extension } = phone.snapshot();
  const history = load(sessionStorage, extension);
  set({ loggedIn: true, loginError: null, history });
  // Finds out whether sound may be heard before the first call comes.
  phone.unlock();
  if (byClick) phone.askForMic();
  return true;
}

// ---- what happens

const does = deeds({ phone, ui, set, loggedIn: logIn, prefer });

/** @param {string} name @param {any} [arg] */
function act(name, arg) {
  does[name](arg);
}

phone.on('change', redraw);
phone.on('ended', ({ call, reason, talkMs }) => {
  const how = howItWent(call, reason);
  const entry = {
    id: call.id, direction: call.direction, number: call.from.number ?? '', name: call.from.name ?? '', group: call.group ?? '',
    at: call.since, talkMs, how, reason,
  };
  // Of two calls that are joined the second may end after it is known what became of it all.
  const told = reason === 'transferred' && Date.now() - (ui.ended?.passedAt ?? -Infinity) < ENDED_SHOWN_MS;
  set({ history: add(ui.history, entry), ended: told ? ui.ended : { ...entry, at: how === 'missed' ? call.since : Date.now() } });
  const { presence, calls } = phone.snapshot();
  if (ui.prefs.autoWrapup && how === 'answered' && presence.state === 'ready' && calls.length === 0) act('presence', 'wrapup');
});
phone.on('passed', ({ call, to, done, reason }) => {
  set({ ended: { name: call.from.name ?? '', number: call.from.number ?? '', to, how: done ? 'passed' : 'notPassed', reason, talkMs: 0, at: Date.now(), passedAt: Date.now() } });
});
phone.on('sample', (call, sample) => {
  if (call !== sampled) return;
  samples = keep(samples, sample);
  redraw();
});
phone.on('levels', (mic, speaker) => meters.set(mic, mic, speaker, mic));
phone.on('fault', (error) => set({ fault: { text: faultText(error), at: Date.now() } }));

listenToKeys(
  () => ({ stage: shown?.stage ?? 'login', cards: shown?.cards ?? [], panel: ui.panel, dialog: ui.dialog, number: ui.number, shortcuts: ui.prefs.shortcuts }),
  ({ does: name, call, key }) => act(name, name === 'tone' ? { call, key } : call ?? key),
  (text) => act('pasteNumber', text),
);

// Any click or key in the page is enough for a browser to let sound out.
for (const name of ['pointerdown', 'keydown']) {
  document.addEventListener(name, () => phone.snapshot().audio.sound === 'blocked' && phone.unlock(), { capture: true });
}

// A link opened in a tab that already shows the phone.
window.addEventListener('hashchange', () => {
  const token = takeTokenFromAddress();
  if (token) logIn(token, false);
});

applyPrefs();
const token = takeTokenFromAddress() ?? savedToken();
if (!token || !logIn(token, false)) {
  saveToken(null);
  redraw();
}

/** For tests and for whoever looks into a running page. */
window.goastgateway = { phone, ui, engine: phone.engine };
