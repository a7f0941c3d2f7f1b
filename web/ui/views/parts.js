// Small pieces that several views use.

import { say } from '../../i18n.js';
import { h } from '../dom.js';

/** A sign from index.html's symbols; words stand beside it or on the button. @param {string} name */
export function icon(name) {
  return h('svg.icon', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, h('use', { href: `#icon-${name}` }));
}

/**
 * A round button with its word beneath and its key in the corner.
 * @param {import('../cards.js').Action} action
 * @param {(does: string, arg?: any) => void} act
 * @param {any} arg of the deed
 */
export function round(action, act, arg) {
  const { does, text, style, pressed, disabled, why, keys } = action;
  return h('button.round', {
    key: does,
    id: `do-${does}`,
    type: 'button',
    class: style,
    onclick: () => (disabled ? act('whyNot', why) : act(does, arg)),
    'aria-pressed': pressed === undefined ? null : String(pressed),
    'aria-disabled': disabled ? 'true' : null,
    'aria-keyshortcuts': keys ? keys.replace('↵', 'Enter').replace('Esc', 'Escape') : null,
    title: disabled && why ? say(why) : null,
  }, h('span.face', null, icon(action.icon), action.meter ? h('span.track', { key: 'meter' }, h('span.fill', { id: action.meter })) : null), h('span.word', null, say(text)), keys && !disabled ? h('kbd', { 'aria-hidden': 'true' }, keys) : null);
}

/** A button with words. @param {string} word @param {Record<string, any>} props */
export function button(word, { class: style = 'plain', ...props }) {
  return h('button', { type: 'button', class: style, ...props }, word);
}
