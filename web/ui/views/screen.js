// The whole page from one value.

import { h } from '../dom.js';
import { bar, noticeLines } from './bar.js';
import { calls } from './calls.js';
import { help } from './help.js';
import { history, tabs } from './history.js';
import { keypad } from './keypad.js';
import { login } from './login.js';
import { settings } from './settings.js';
import { heading, justNow, presence } from './status.js';

/**
 * @param {any} screen `{look, phone, ui, now, notices, quality, samples, meters, missed, testing}`
 * @param {(does: string, arg?: any) => void} act
 */
export function page(screen, act) {
  const { look, ui } = screen;
  const { stage } = look;
  return [
    h('main.card', { key: 'phone', 'data-stage': stage, 'data-tab': ui.tab, 'aria-labelledby': 'state' },
      bar(screen, act),
      noticeLines(screen.notices, act),
      heading(screen, act),
      presence(screen, act),
      justNow(screen, act),
      stage === 'login' ? login(screen, act) : null,
      stage === 'calls' ? calls(screen, act) : null,
      stage === 'keypad' ? keypad(screen, act) : null,
      look.view === 'phone' && stage !== 'calls' && stage !== 'status' ? tabs(screen, act) : null),
    look.view === 'phone' ? h('aside.card.side', { key: 'side', 'data-tab': ui.tab, 'data-stage': stage }, history(screen, act)) : null,
    ui.dialog === 'settings' ? settings(screen, act) : null,
    ui.dialog === 'help' ? help(screen, act) : null,
  ];
}
