// The keyboard: Enter or A answers, Escape or H hangs up, M mutes.

/**
 * @param {{answer: () => void, hangup: () => void, mute: () => void}} actions
 */
export function listenToKeys(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    // Enter on a button means that button.
    if (event.key === 'Enter' && target.closest('button, a')) return;
    const action = { enter: 'answer', a: 'answer', escape: 'hangup', h: 'hangup', m: 'mute' }[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    actions[action]();
  });
}
