// What keys do, and what the signs mean.

import { say, t } from '../../i18n.js';
import { h } from '../dom.js';
import { KEYS } from '../keys.js';
import { bars } from './quality.js';
import { dialog } from './settings.js';

export function help({ ui }, act) {
  return dialog('help-dialog', t('do.help'), act,
    h('section.group', { key: 'keys' }, h('h3', null, t('help.keys')),
      ui.prefs.shortcuts ? null : h('p.help', { key: 'off' }, t('help.off')),
      h('dl.keys', { key: 'list' }, KEYS.map(({ keys, text }) => h('div', { key: text[0] },
        h('dt', null, keys.map((key) => h('kbd', { key }, key))), h('dd', null, say(text)))))),
    h('section.group', { key: 'signs' }, h('h3', null, t('help.signs')),
      h('ul.signs', { key: 'list' },
        ['go', 'warn', 'stop'].map((tone) => h('li', { key: tone, 'data-tone': tone }, h('span.dot', { 'aria-hidden': 'true' }), h('span', null, t(`sign.${tone}`)))),
        h('li', { key: 'quality' }, h('span.sample', { 'data-level': 'fair' }, bars('fair')), h('span', null, t('sign.quality'))))));
}
