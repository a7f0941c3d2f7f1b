// The calls of this session; a click calls again.

import { clock, duration, t } from '../../i18n.js';
import { h } from '../dom.js';
import { icon } from './parts.js';

export function history({ ui, phone }, act) {
  const canCall = phone.features.dial && phone.link === 'ready';
  return h('section.history', { key: 'history', id: 'history', 'aria-labelledby': 'history-title' },
    h('header', { key: 'head' },
      h('h2', { id: 'history-title' }, t('history.title')),
      ui.history.length > 0 ? h('button.link', { key: 'clear', id: 'clear-history', type: 'button', onclick: () => act('clearHistory') }, t('do.clearHistory')) : null),
    ui.history.length === 0 ? h('p.help', { key: 'empty' }, t('history.empty')) : h('ul', { key: 'list' }, ui.history.map((entry) => line(entry, canCall, act))),
    h('p.help', { key: 'help' }, t('history.help')));
}

function line(entry, canCall, act) {
  const { id, direction, number, name, group, how, at, talkMs } = entry;
  const who = name || number || t('call.unknown');
  const went = t(how === 'answered' ? `how.answered.${direction}` : `how.${how}`);
  return h('li', { key: id, 'data-how': how },
    h('span.way', { key: 'way', title: went }, icon(direction === 'incoming' ? (how === 'missed' ? 'missed' : 'in') : 'out')),
    h('div', { key: 'who' },
      h('p.name', null, who),
      h('p.rest', null, [went, name && number ? number : null, group ? t('call.forGroup', { group }) : null].filter(Boolean).join(' · '))),
    h('div.when', { key: 'when' },
      h('time', { datetime: new Date(at).toISOString() }, clock(at)),
      talkMs > 0 ? h('span', { key: 'talk' }, duration(talkMs)) : null),
    number && canCall ? h('button.tool', { key: 'call', type: 'button', title: t('do.callNumber', { who }), 'aria-label': t('do.callNumber', { who }), onclick: () => act('callBack', number) }, icon('handset')) : h('span.tool', { key: 'none' }));
}

/** Where the window is small: the pad or the list. */
export function tabs({ ui, missed }, act) {
  const tab = (name, sign, word, extra) => h('button', { key: name, id: `tab-${name}`, type: 'button', 'aria-pressed': String(ui.tab === name), onclick: () => act('tab', name) }, icon(sign), h('span', null, word), extra);
  return h('div.tabs', { key: 'tabs' },
    tab('keypad', 'keypad', t('tab.keypad'), null),
    tab('history', 'clock', t('tab.history'), missed > 0 ? h('span.badge', { key: 'badge' }, String(missed), h('span.quietly', null, t('tab.missed', { count: missed }))) : null));
}
