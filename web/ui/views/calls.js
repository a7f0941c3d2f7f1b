// The cards of the calls: the one in front whole, the others in a line.

import { duration, say, spell, t } from '../../i18n.js';
import { nameOf } from '../cards.js';
import { h } from '../dom.js';
import { panel } from './panels.js';
import { icon, round } from './parts.js';
import { sign } from './quality.js';

export function calls(screen, act) {
  const [front, ...behind] = screen.look.cards;
  // A second call that rings wants an answer: it stands above.
  const above = behind.filter((card) => card.role === 'waiting');
  const below = behind.filter((card) => card.role !== 'waiting');
  return h('section.calls', { key: 'calls', 'aria-label': t('call.list') },
    above.map((card) => small(screen, card, act)),
    large(screen, front, act),
    below.map((card) => small(screen, card, act)));
}

function large(screen, card, act) {
  const { call, role, actions } = card;
  const ends = actions.filter((a) => a.style === 'stop' || a.style === 'go');
  const others = actions.filter((a) => !ends.includes(a));
  const button = (action) => round(action, act, call);
  return h('article.card-large', { key: call.id, 'data-call': call.id, 'data-role': role, 'aria-label': say(screen.look.status.title) },
    h('div.who', { key: 'who' },
      h('span.face', { key: 'face', 'aria-hidden': 'true' }, role === 'incoming' ? [h('span.wave', { key: 'w1' }), h('span.wave', { key: 'w2' })] : null, initials(call.from)),
      h('h2', { key: 'name', id: 'caller' }, spell(nameOf(call.from))),
      h('p.number', { key: 'number' }, [call.from.name ? call.from.number : null, call.group ? t('call.forGroup', { group: call.group }) : null].filter(Boolean).join(' · ')),
      time(screen, card)),
    chips(card),
    role === 'active' && !call.held && screen.phone.link === 'ready' ? sign(screen, act) : null,
    others.length > 0 ? h('div.actions', { key: 'actions' }, others.map(button)) : null,
    card.panel ? panel(screen, card, act) : null,
    h('div.ends', { key: 'ends' }, ends.map(button)));
}

function small(screen, card, act) {
  const { call, role, actions } = card;
  const states = { waiting: 'state.incoming', held: 'state.held' };
  return h('article.card-small', { key: call.id, 'data-call': call.id, 'data-role': role, 'aria-label': t(states[role]) },
    h('div.who', { key: 'who' },
      h('h2', { key: 'name' }, spell(nameOf(call.from))),
      h('p', { key: 'line' }, [call.from.name ? call.from.number : null, call.group ? t('call.forGroup', { group: call.group }) : null, t(states[role])].filter(Boolean).join(' · '))),
    time(screen, card),
    chips({ ...card, chips: card.chips.filter((c) => c.text[0] !== 'chip.held') }),
    h('div.small-actions', { key: 'actions' }, actions.map((action) => h('button', {
      key: action.does, type: 'button', class: action.style ?? 'plain', 'data-does': action.does, 'aria-disabled': action.disabled ? 'true' : null,
      onclick: () => (action.disabled ? act('whyNot', action.why) : act(action.does, call)),
    }, icon(action.icon), h('span', null, say(action.text)), action.keys ? h('kbd', { 'aria-hidden': 'true' }, action.keys) : null))));
}

/** How long it rings, or how long one has talked. */
function time({ now }, { call, since }) {
  const from = since ?? call.since;
  return h('p.time', { key: 'time', role: 'timer', 'aria-live': 'off', class: since === null ? 'soft' : '' }, duration(now - from));
}

function chips(card) {
  if (card.chips.length === 0) return null;
  return h('ul.chips', { key: 'chips' }, card.chips.map((chip) => h('li', { key: chip.text[0], class: chip.tone }, say(chip.text))));
}

/** Up to two letters of a name; a sign for a number alone. */
function initials({ name }) {
  const words = String(name ?? '').trim().split(/\s+/).filter(Boolean);
  if (words.length === 0 || !/\p{L}/u.test(words[0])) return icon('person');
  const first = [...words[0]][0];
  // Where names aren't spelled with letters that have cases, one sign says it.
  const last = words.length > 1 && /\p{Lu}/u.test(first) ? [...words.at(-1)][0] : '';
  return h('span.letters', { key: 'letters' }, (first + last).toUpperCase());
}
