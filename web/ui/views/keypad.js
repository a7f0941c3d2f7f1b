// The dial pad: a number field, twelve keys, call and redial.

import { t } from '../../i18n.js';
import { h } from '../dom.js';
import { icon } from './parts.js';

const KEYS = [
  ['1', ''], ['2', 'ABC'], ['3', 'DEF'], ['4', 'GHI'], ['5', 'JKL'], ['6', 'MNO'],
  ['7', 'PQRS'], ['8', 'TUV'], ['9', 'WXYZ'], ['*', ''], ['0', '+'], ['#', ''],
];

/** Twelve keys. A pointer leaves the focus where it is, so that one can go on typing. */
export function pad(press) {
  return h('div.pad', { key: 'pad', role: 'group', 'aria-label': t('pad.keys') }, KEYS.map(([key, letters]) => h('button', {
    key,
    type: 'button',
    'data-digit': key,
    'aria-label': { '*': `* ${t('pad.star')}`, '#': `# ${t('pad.hash')}` }[key],
    onpointerdown: (event) => event.preventDefault(),
    onclick: () => press(key),
  }, h('span.digit', null, key), letters ? h('span.letters', { 'aria-hidden': 'true' }, letters) : null)));
}

export function keypad({ phone, ui }, act) {
  const canDial = phone.features.dial;
  return h('form.keypad', {
    key: 'keypad',
    id: 'keypad',
    autocomplete: 'off',
    onsubmit: (event) => {
      event.preventDefault();
      act('dial');
    },
  },
  h('div.number', { key: 'number' },
    h('label.quietly', { for: 'number' }, t('pad.number')),
    h('input', {
      id: 'number', name: 'number', type: 'text', inputmode: 'tel', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', 'data-own': '',
      placeholder: t('pad.number'), value: ui.number, maxlength: 200,
      oninput: (event) => act('number', event.target.value),
      onpaste: (event) => {
        event.preventDefault();
        act('pasteNumber', event.clipboardData?.getData('text') ?? '');
      },
    }),
    ui.number ? h('button.tool', { key: 'erase', id: 'erase', type: 'button', title: t('do.erase'), 'aria-label': t('do.erase'), onpointerdown: (e) => e.preventDefault(), onclick: () => act('erase') }, icon('erase')) : null),
  pad((key) => act('type', key)),
  h('div.call-row', { key: 'row' },
    h('button.call', { key: 'call', id: 'do-dial', type: 'submit', 'aria-disabled': canDial ? null : 'true', 'aria-describedby': canDial ? null : 'no-dial' }, icon('handset'), h('span', null, t('do.call'))),
    ui.redial ? h('button.plain', { key: 'redial', id: 'redial', type: 'button', title: ui.redial, 'aria-disabled': canDial ? null : 'true', onclick: () => act('redial') }, icon('redial'), h('span', null, t('do.redial'))) : null),
  canDial ? null : h('p.help', { key: 'no-dial', id: 'no-dial' }, t('pad.noDial')));
}
