// The keyboard. `keyDoes` is pure: a key and what is on the screen → what is done.
//
// Letters and digits can be switched off (WCAG 2.1.4); Enter and Escape always work. Keys in a field
// belong to the field, but for Enter and Escape in our own, and keys of a dialog to the dialog.

const TONE = /^[0-9*#]$/;

/** What letters do while calls are up; each only where its button can be pressed. */
const LETTERS = { m: 'mute', h: 'hold', k: 'keypad', t: 'transfer', n: 'add', s: 'swap', q: 'quality' };

/**
 * @param {{key: string, field: 'none' | 'own' | 'other', onButton: boolean, onPad: boolean}} press
 *   `field`: where the key was pressed; `onPad`: on a digit of the keypad
 * @param {{stage: string, cards: any[], panel: string | null, dialog: string | null, number: string, shortcuts: boolean}} screen
 * @returns {{does: string, call?: any, key?: string} | null} null: the key is not ours
 */
export function keyDoes({ key, field, onButton, onPad }, screen) {
  if (screen.dialog || field === 'other' || screen.stage === 'login') return null;
  const ringing = screen.cards.find((c) => c.role === 'incoming' || c.role === 'waiting');
  const front = screen.cards[0];
  if (key === 'Enter') {
    // On a button it means that button, but a digit's button doesn't matter while it rings.
    if (onButton && !(onPad && ringing)) return null;
    if (ringing) return { does: 'answer', call: ringing.call };
    if (field === 'own') return null;
    if (front?.actions.some((a) => a.does === 'complete')) return { does: 'complete', call: front.call };
    return screen.stage === 'keypad' ? { does: 'dial' } : null;
  }
  if (key === 'Escape') {
    if (screen.panel) return { does: 'closePanel' };
    if (ringing) return { does: 'reject', call: ringing.call };
    const end = front?.actions.find((a) => a.does === 'hangup' || a.does === 'cancel');
    if (end) return { does: end.does, call: front.call };
    return screen.number ? { does: 'clear' } : null;
  }
  if (field !== 'none' || !screen.shortcuts) return null;
  if (key === '?') return { does: 'help' };
  const letter = key.toLowerCase();
  if (ringing && letter === 'a') return { does: 'answer', call: ringing.call };
  if (screen.stage === 'keypad') {
    if (TONE.test(key) || key === '+') return { does: 'type', key };
    if (key === 'Backspace') return { does: 'erase' };
    if (letter === 'r') return { does: 'redial' };
    return null;
  }
  if (TONE.test(key) && can(front, 'keypad')) return { does: 'tone', call: front.call, key };
  const does = LETTERS[letter];
  if (!does) return null;
  const card = screen.cards.find((c) => can(c, does));
  return card ? { does, call: card.call } : null;
}

function can(card, does) {
  return card?.actions.some((a) => a.does === does && !a.disabled);
}

/** The list of the help. */
export const KEYS = [
  { keys: ['0', '…', '9', '*', '#'], text: ['keys.digits'] },
  { keys: ['Enter'], text: ['keys.enter'] },
  { keys: ['Esc'], text: ['keys.escape'] },
  { keys: ['A'], text: ['do.answer'] },
  { keys: ['M'], text: ['keys.mute'] },
  { keys: ['H'], text: ['keys.hold'] },
  { keys: ['K'], text: ['do.keypad'] },
  { keys: ['T'], text: ['do.transfer'] },
  { keys: ['N'], text: ['do.add'] },
  { keys: ['S'], text: ['do.swap'] },
  { keys: ['Q'], text: ['do.quality'] },
  { keys: ['R'], text: ['do.redial'] },
  { keys: ['Ctrl', 'V'], text: ['keys.paste'] },
  { keys: ['?'], text: ['keys.help'] },
];

/**
 * @param {() => Parameters<typeof keyDoes>[1]} screen
 * @param {(deed: {does: string, call?: any, key?: string}) => void} act
 * @param {(number: string) => void} pasted text that was pasted outside of any field
 */
export function listenToKeys(screen, act, pasted) {
  const fieldOf = (target) => {
    const field = target.closest?.('input, textarea, select, [contenteditable]');
    if (!field || ['checkbox', 'radio', 'range'].includes(field.type)) return field ? 'other' : 'none';
    return field.dataset.own === undefined ? 'other' : 'own';
  };
  document.addEventListener('keydown', (event) => {
    if (event.repeat && event.key !== 'Backspace') return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const button = target.closest?.('button, a, summary');
    const press = { key: event.key, field: fieldOf(target), onButton: Boolean(button), onPad: Boolean(button?.closest('.pad')) };
    const deed = keyDoes(/** @type {any} */ (press), screen());
    if (!deed) return;
    event.preventDefault();
    act(deed);
  });
  document.addEventListener('paste', (event) => {
    const { stage, dialog } = screen();
    if (fieldOf(event.target) !== 'none' || dialog || stage !== 'keypad') return;
    const text = event.clipboardData?.getData('text') ?? '';
    if (!text) return;
    event.preventDefault();
    pasted(text);
  });
}
