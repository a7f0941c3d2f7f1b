// The state in one word, what it means, and the one button that helps; and the presence switch.

import { duration, say, t } from '../../i18n.js';
import { h } from '../dom.js';
import { icon } from './parts.js';

const SIGNS = { off: 'handset', work: 'link', warn: 'link', stop: 'stop' };

/** The heading. Big and alone where nothing else can be done, a line elsewhere. */
export function heading({ look }, act) {
  const { status, stage } = look;
  const big = stage === 'status' || stage === 'login';
  return h('section.status', { key: 'status', class: big ? 'big' : 'small', 'data-tone': status.tone },
    big ? h('span.disc', { key: 'disc', 'aria-hidden': 'true' }, icon(SIGNS[status.tone] ?? 'handset')) : h('span.dot', { key: 'dot', 'aria-hidden': 'true' }),
    h('h1', { key: 'h1', id: 'state', tabindex: -1 }, say(status.title)),
    status.detail.length === 0 ? null : h('p.detail', { key: 'detail', id: 'detail' }, status.detail.map((line, i) => h('span', { key: `line-${i}` }, say(line)))),
    status.button ? h('button.primary', { key: 'retry', id: 'retry', type: 'button', onclick: () => act(status.button.does) }, say(status.button.text)) : null);
}

const STATES = ['ready', 'away', 'dnd', 'wrapup'];

/** Four switches of which one is on. */
export function presence({ look }, act) {
  const { presence: now } = look;
  if (!now) return null;
  return h('div.presence', { key: 'presence', role: 'group', 'aria-label': t('presence.label') }, STATES.map((state) => {
    const on = state === now.state;
    const word = t(state === 'dnd' ? 'presence.short.dnd' : `presence.${state}`);
    return h('button', { key: state, id: `presence-${state}`, type: 'button', 'data-state': state, 'aria-pressed': String(on), onclick: () => act('presence', state) },
      h('span', null, word), on && now.leftMs !== null ? h('span.left', { key: 'left', role: 'timer', 'aria-live': 'off' }, duration(now.leftMs)) : null);
  }));
}

function callBack({ callBack: number, who }, act) {
  const word = t('do.callNumber', { who });
  return h('button.tool', { key: 'call-back', id: 'call-back', type: 'button', title: word, 'aria-label': word, onclick: () => act('callBack', number) }, icon('handset'));
}

/** What has just happened, until it is old. */
export function justNow({ look }, act) {
  if (!look.line) return null;
  return h('div.just-now', { key: 'just-now', id: 'just-now', class: look.line.tone },
    h('p', null, say(look.line.text)),
    look.line.callBack ? callBack(look.line, act) : null,
    h('button.tool', { key: 'dismiss', id: 'dismiss', type: 'button', title: t('do.dismiss'), 'aria-label': t('do.dismiss'), onclick: () => act('dismiss') }, icon('close')));
}
