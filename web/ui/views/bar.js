// The top: who this phone is, how it is, and the way to everything else.

import { getLanguage, say, t } from '../../i18n.js';
import { h } from '../dom.js';
import { icon } from './parts.js';

/** @param {any} screen @param {(does: string, arg?: any) => void} act */
export function bar({ phone, ui }, act) {
  const tool = (does, name, word) => h('button.tool', { key: does, id: does, type: 'button', title: word, 'aria-label': word, onclick: () => act(does) }, icon(name));
  return h('header.bar', { key: 'bar' },
    h('span.brand', null, icon('handset'), h('span', { id: 'identity' }, ui.loggedIn && phone.extension ? t('extension', { ext: phone.extension }) : t('product'))),
    h('span.tools', null,
      h('button.tool.words', { key: 'language', id: 'language', type: 'button', lang: getLanguage() === 'ja' ? 'en' : 'ja', onclick: () => act('language') }, t('otherLanguage')),
      tool('help', 'help', t('do.help')),
      tool('settings', 'gear', t('do.settings')),
      // Logging out ends calls: first they are hung up.
      ui.loggedIn && phone.calls.length === 0 ? tool('logout', 'leave', t('do.logout')) : null));
}

/** Lines above the phone, each with the button that helps. */
export function noticeLines(list, act) {
  return h('div.notices', { key: 'notices', id: 'notices' }, list.map((notice) => h('div.notice', { key: notice.key, 'data-key': notice.key, class: notice.kind },
    h('p', null, say(notice.text)),
    notice.button ? h('button', { key: notice.button.does, type: 'button', onclick: () => act(notice.button.does) }, say(notice.button.text)) : null,
    notice.later ? h('button.tool', { key: 'later', type: 'button', title: t('do.notNow'), 'aria-label': t('do.notNow'), onclick: () => act(notice.later) }, icon('close')) : null)));
}
