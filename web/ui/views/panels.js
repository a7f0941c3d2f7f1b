// What opens within a call's card: tones, transfer, a second call, quality.

import { spell, t } from '../../i18n.js';
import { nameOf } from '../cards.js';
import { h } from '../dom.js';
import { pad } from './keypad.js';
import { icon } from './parts.js';
import { details } from './quality.js';

export function panel(screen, card, act) {
  switch (card.panel) {
    case 'keypad':
      return h('div.panel', { key: 'panel-keypad', 'data-panel': 'keypad' },
        h('output.tones', { key: 'tones', 'aria-label': t('pad.tones') }, screen.ui.tones || ' '),
        pad((key) => act('tone', { call: card.call, key })));
    case 'transfer':
      return target(screen, act, {
        name: 'transfer',
        label: t('transfer.to'),
        help: t('transfer.title', { who: spell(nameOf(card.call.from)) }),
        // Enter means what can be taken back.
        buttons: [
          { does: 'attended', word: t('transfer.attended'), icon: 'handset', submit: true, style: 'primary' },
          { does: 'blind', word: t('transfer.blind'), icon: 'transfer', style: 'plain' },
        ],
        call: card.call,
      });
    case 'add':
      return target(screen, act, {
        name: 'add', label: t('add.to'), help: t('add.help'),
        buttons: [{ does: 'dialSecond', word: t('do.call'), icon: 'handset', submit: true, style: 'primary' }],
        call: card.call,
      });
    case 'quality':
      return h('div.panel', { key: 'panel-quality', 'data-panel': 'quality' }, details(screen));
    default:
      return null;
  }
}

/** A number to which something is done. */
function target({ ui }, act, { name, label, help, buttons, call }) {
  const first = buttons.find((b) => b.submit);
  return h('form.panel.target', {
    key: `panel-${name}`,
    'data-panel': name,
    autocomplete: 'off',
    onsubmit: (event) => {
      event.preventDefault();
      act(first.does, { call, to: event.target.elements.to.value });
    },
  },
  h('p.help', { key: 'help' }, help),
  h('label', { key: 'label', for: 'target' }, label),
  h('input', {
    key: 'to', id: 'target', name: 'to', type: 'text', inputmode: 'tel', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', 'data-own': '', value: ui.target, maxlength: 200,
    'aria-invalid': ui.targetBad ? 'true' : null, 'aria-describedby': 'target-error',
    oninput: (event) => act('target', event.target.value),
  }),
  h('p.error', { key: 'error', id: 'target-error', role: 'alert' }, ui.targetBad ? t('pad.bad') : ''),
  h('div.row', { key: 'row' }, buttons.map((b) => h('button', {
    key: b.does, type: b.submit ? 'submit' : 'button', class: b.style, 'data-does': b.does,
    onclick: b.submit ? null : (event) => act(b.does, { call, to: event.currentTarget.form.elements.to.value }),
  }, icon(b.icon), h('span', null, b.word)))));
}
