// Logging in with a link or a token.

import { say, t } from '../../i18n.js';
import { h } from '../dom.js';

export function login({ ui }, act) {
  return h('form.login', {
    key: 'login',
    id: 'login',
    autocomplete: 'off',
    onsubmit: (event) => {
      event.preventDefault();
      act('login', event.target.elements.token.value);
    },
  },
  h('label', { for: 'token' }, t('login.label')),
  h('input', {
    id: 'token', name: 'token', type: 'text', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', 'data-own': '',
    'aria-required': 'true', 'aria-describedby': 'login-help login-error', 'aria-invalid': ui.loginError ? 'true' : null,
  }),
  h('p.error', { id: 'login-error', role: 'alert' }, ui.loginError ? say(ui.loginError) : ''),
  h('button.primary', { key: 'login', id: 'do-login', type: 'submit' }, t('do.login')),
  h('p.help', { id: 'login-help' }, t('login.help')));
}
