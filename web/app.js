// The phone page: puts the SDK and the screen together.

import { clock, getLanguage, setLanguage, t } from './i18n.js';
import { AudioEngine, findToken, Phone, RingTone } from './sdk/index.js';
import { Attention } from './ui/attention.js';
import { listenToKeys } from './ui/keys.js';
import { Meters } from './ui/meters.js';
import { saveToken, savedToken, takeTokenFromAddress } from './ui/session.js';
import { clearStats, draw, drawLoginError, drawNotices, drawStats, drawTime, drawWords, elements } from './ui/view.js';

/** Figures on the screen change this often. */
const STATS_EVERY_MS = 500;
const CLOCK_TICK_MS = 250;

const engine = new AudioEngine();
const phone = new Phone({ url: phoneAddress(), engine });
const ring = new RingTone(engine);
const attention = new Attention();
const meters = new Meters([document.getElementById('mic-level'), document.getElementById('speaker-level')]);

let loggedIn = false;
/** @type {'prompt' | 'granted' | 'denied' | 'unknown'} */
let micPermission = 'unknown';
let expiryTold = false;
let statsDrawnAt = 0;

/** `/phone` beside this page, so that a reverse proxy may serve both under a folder. */
function phoneAddress() {
  const url = new URL('phone', location.href);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  url.search = url.hash = '';
  return url.href;
}

// ---- logging in and out

/** @param {string} token @param {boolean} byClick a person has just clicked */
function logIn(token, byClick) {
  expiryTold = false;
  if (!phone.register(token)) return false;
  loggedIn = true;
  saveToken(token);
  elements.token.value = '';
  drawLoginError('');
  // Finds out whether sound may be heard before the first call comes.
  engine.unlock();
  if (byClick) askForMic();
  redraw();
  return true;
}

function logOut() {
  phone.unregister();
  loggedIn = false;
  expiryTold = false;
  saveToken(null);
  redraw();
  elements.token.focus();
}

elements.login.addEventListener('submit', (event) => {
  event.preventDefault();
  const token = findToken(elements.token.value);
  if (!token || !logIn(token, true)) {
    drawLoginError(t('notAToken'));
    elements.token.focus();
  }
});
elements.logout.addEventListener('click', logOut);
elements.language.addEventListener('click', () => {
  setLanguage(getLanguage() === 'ja' ? 'en' : 'ja');
  drawWords();
  redraw();
});

// A link opened in a tab that already shows the phone.
window.addEventListener('hashchange', () => {
  const token = takeTokenFromAddress();
  if (token) logIn(token, false);
});

// ---- a call

const answer = () => {
  engine.unlock();
  phone.answer();
};
const hangup = () => phone.hangup();
const mute = () => phone.mute(!phone.isMuted);

elements.answer.addEventListener('click', answer);
elements.hangup.addEventListener('click', hangup);
elements.mute.addEventListener('click', mute);
elements.retry.addEventListener('click', () => {
  // What was refused once is refused again: another login is what helps.
  if (phone.state === 'refused') logOut();
  else phone.retry();
});
listenToKeys({ answer, hangup, mute });

phone.on('ring', () => {
  ring.start(getLanguage() === 'ja' ? 'jp' : 'bell');
  attention.start();
});
phone.on('stopRing', () => {
  ring.stop();
  attention.stop();
});
phone.on('tokenWillExpire', () => {
  expiryTold = true;
  redraw();
});
phone.on('change', redraw);

engine.on('sound', redraw);
engine.on('mic', redraw);
engine.on('stats', (stats) => {
  meters.set(stats.micLevel, stats.speakerLevel);
  const now = performance.now();
  if (now - statsDrawnAt < STATS_EVERY_MS) return;
  statsDrawnAt = now;
  drawStats(phone.stats);
});

// ---- the microphone and the sound, before they are needed

async function askForMic() {
  await engine.openMic();
  redraw();
}

async function watchMicPermission() {
  try {
    const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ ('microphone') });
    const take = () => {
      micPermission = status.state;
      redraw();
    };
    status.addEventListener('change', take);
    take();
  } catch {
    // Not every browser tells; then the first answer asks.
  }
}

// Any click or key in the page is enough for a browser to let sound out.
for (const name of ['pointerdown', 'keydown']) {
  document.addEventListener(name, () => engine.sound === 'blocked' && engine.unlock(), { capture: true });
}

function notices() {
  if (!loggedIn) return [];
  const list = [];
  if (engine.sound === 'unsupported') {
    list.push({ key: 'sound', kind: 'warn', text: t('soundUnsupported') });
  } else if (engine.sound === 'blocked') {
    list.push({ key: 'sound', kind: 'warn', text: t('soundBlocked'), action: t('enableSound'), run: () => engine.unlock() });
  }
  if (engine.sound === 'failed' && phone.state !== 'reconnecting') {
    list.push({ key: 'sound', kind: 'warn', text: t('soundFailed'), action: t('again'), run: () => engine.unlock() });
  }
  const mic = micNotice();
  if (mic) list.push(mic);
  const { expiresAt, tokenRefused } = phone.snapshot();
  const ended = tokenRefused || (expiresAt !== null && expiresAt <= Date.now());
  // "You stay connected" is said only where that is so.
  if (expiryTold && !(ended && ['refused', 'reconnecting'].includes(phone.state))) {
    list.push({ key: 'expiry', kind: 'warn', text: ended ? t('expired') : t('expires', { clock: clock(expiresAt) }) });
  }
  if (list.length === 0 && globalThis.Notification?.permission === 'default' && phone.state === 'ready') {
    list.push({ key: 'notify', kind: 'info', text: t('notify'), action: t('allowNotify'), run: () => Notification.requestPermission().then(redraw) });
  }
  return list;
}

function micNotice() {
  const { mic } = engine;
  if (!['off', 'opening', 'on'].includes(mic) && !(mic === 'denied' && micPermission === 'granted')) {
    const hopeless = mic === 'insecure' || mic === 'denied';
    return { key: 'mic', kind: 'warn', text: t(`mic.${mic}`), ...(hopeless ? {} : { action: t('again'), run: askForMic }) };
  }
  if (!window.isSecureContext) return { key: 'mic', kind: 'warn', text: t('mic.insecure') };
  if (micPermission === 'denied') return { key: 'mic', kind: 'warn', text: t('mic.denied') };
  if (micPermission === 'prompt' && mic === 'off') return { key: 'mic', kind: 'info', text: t('mic.prompt'), action: t('allowMic'), run: askForMic };
  return null;
}

// ---- the screen

let ticking = 0;

function redraw() {
  const now = phone.snapshot();
  draw(now, loggedIn);
  drawNotices(notices());
  attention.rest(loggedIn ? `${t(now.state)} · ${t('extension', { ext: now.extension })}` : t('product'));
  if (now.state === 'in-call') meters.start();
  else {
    meters.stop();
    clearStats();
  }
  const needsClock = now.state === 'in-call' || now.state === 'reconnecting' || now.retryAt !== null || (now.state === 'ready' && now.ended !== null);
  if (needsClock && !ticking) ticking = setInterval(() => drawTime(phone.snapshot()), CLOCK_TICK_MS);
  if (!needsClock && ticking) {
    clearInterval(ticking);
    ticking = 0;
  }
}

drawWords();
redraw();
watchMicPermission();
const token = takeTokenFromAddress() ?? savedToken();
if (!token || !logIn(token, false)) saveToken(null);

/** For tests and for whoever looks into a running page. */
window.goastgateway = { phone, engine };
