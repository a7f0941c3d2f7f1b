// Draws the phone's snapshot. Holds no state of its own but what is on the screen.

import { clock, duration, getLanguage, t } from '../i18n.js';

const $ = (id) => document.getElementById(id);

/** How long the line about the last call stays. */
const ENDED_SHOWN_MS = 8000;
/** A missed call is worth reading later. */
const MISSED_SHOWN_MS = 3600000;

export const elements = {
  answer: $('answer'), hangup: $('hangup'), mute: $('mute'), retry: $('retry'),
  logout: $('logout'), language: $('language'), login: $('login'), token: $('token'),
};

/** Words that do not depend on the state. */
export function drawWords() {
  document.documentElement.lang = getLanguage();
  for (const node of document.querySelectorAll('[data-i18n]')) node.textContent = t(node.dataset.i18n);
  elements.language.textContent = t('otherLanguage');
  elements.language.lang = getLanguage() === 'ja' ? 'en' : 'ja';
}

/** @param {string} message */
export function drawLoginError(message) {
  $('login-error').textContent = message;
  elements.token.setAttribute('aria-invalid', String(message !== ''));
}

/**
 * @param {ReturnType<import('../sdk/phone.js').Phone['snapshot']>} phone
 * @param {boolean} loggedIn
 */
export function draw(phone, loggedIn) {
  const { state } = phone;
  const body = document.body.dataset;
  body.state = state;
  body.view = loggedIn ? 'phone' : 'login';
  body.muted = String(phone.muted);

  text('identity', loggedIn && phone.extension ? t('extension', { ext: phone.extension }) : t('product'));
  text('state', t(state));
  drawTime(phone);

  const ringing = state === 'ringing';
  const talking = state === 'in-call';
  show(elements.answer, ringing);
  show(elements.hangup, ringing || talking);
  show(elements.mute, talking);
  text('hangup-label', t(ringing ? 'decline' : 'hangup'));
  text('mute-label', t(phone.muted ? 'unmute' : 'mute'));
  elements.mute.setAttribute('aria-pressed', String(phone.muted));

  const retry = retryWord(phone);
  show(elements.retry, loggedIn && retry !== null);
  if (retry) text('retry', t(retry));
}

function retryWord({ state, trying }) {
  if (state === 'reconnecting') return trying ? null : 'tryNow';
  if (state === 'busy') return 'tryAgain';
  if (state === 'replaced') return 'useHere';
  if (state === 'refused') return 'newLogin';
  return null;
}

/** What changes by itself as time goes by. */
export function drawTime(phone) {
  const now = Date.now();
  const timer = $('timer');
  show(timer, phone.state === 'in-call');
  if (phone.answeredAt !== null) text('timer', duration(now - phone.answeredAt));
  text('detail', detail(phone, now));
}

function detail(phone, now) {
  const { state, reason, ended } = phone;
  switch (state) {
    case 'connecting':
      return t('connectingDetail');
    case 'ringing':
      return t('ringingDetail');
    case 'in-call':
      return phone.muted ? t('muted') : '';
    case 'reconnecting': {
      const cut = ended?.reason === 'lost' && now - ended.at < ENDED_SHOWN_MS;
      const why = cut ? t('ended.lost', { time: duration(ended.durationMs) }) : t(`lost.${reason}`);
      return `${why}\n${nextTry(phone, now)}`;
    }
    case 'busy':
    case 'replaced':
      return t(`stopped.${reason}`);
    case 'refused':
      return reason === 'forbidden' ? `${t('lost.forbidden')}\n${nextTry(phone, now)}` : t(`stopped.${reason}`);
    case 'ready': {
      const shown = ended?.reason === 'missed' ? MISSED_SHOWN_MS : ENDED_SHOWN_MS;
      if (ended && now - ended.at < shown) {
        return t(`ended.${ended.reason}`, { time: duration(ended.durationMs), clock: clock(ended.at) });
      }
      return t('readyDetail');
    }
    default:
      return '';
  }
}

function nextTry({ trying, retryAt }, now) {
  return trying ? t('tryingNow') : t('nextTry', { seconds: Math.max(1, Math.ceil((retryAt - now) / 1000)) });
}

/** @param {{delayMs: number, droppedUp: number, shedMs: number}} stats */
export function drawStats(stats) {
  const dropped = stats.droppedUp + Math.round(stats.shedMs / 20);
  text('stats', t('stats', { delay: Math.round(stats.delayMs), dropped }));
}

export function clearStats() {
  text('stats', '');
}

/**
 * Lines above the phone, each with a button or without.
 * @param {{key: string, text: string, action?: string, kind: 'info' | 'warn', run?: () => void}[]} notices
 */
export function drawNotices(notices) {
  const box = $('notices');
  const wanted = JSON.stringify(notices);
  if (box.dataset.shown === wanted) return;
  box.dataset.shown = wanted;
  box.replaceChildren(...notices.map((notice) => {
    const line = document.createElement('div');
    line.className = `notice ${notice.kind}`;
    line.dataset.key = notice.key;
    const words = document.createElement('p');
    words.textContent = notice.text;
    line.append(words);
    if (notice.run) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = notice.action;
      button.addEventListener('click', notice.run);
      line.append(button);
    }
    return line;
  }));
}

function text(id, words) {
  const node = $(id);
  if (node.textContent !== words) node.textContent = words;
}

/** @param {HTMLElement} node @param {boolean} visible */
function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}
