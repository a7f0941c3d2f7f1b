// Where the keyboard's focus goes when what had it is gone.

export class FocusKeeper {
  /** @type {Element | null} */
  #had = null;
  #panel = '';

  /** Before a redraw. */
  before() {
    this.#had = document.activeElement;
  }

  /**
   * After it.
   * @param {ReturnType<import('./look.js').look>} shown
   * @param {{panel: string | null, dialog: string | null}} ui
   */
  after(shown, ui) {
    if (ui.dialog) return;
    const opened = ui.panel !== this.#panel ? ui.panel : null;
    this.#panel = ui.panel ?? '';
    if (opened) {
      const field = document.getElementById('target');
      if (field) return field.focus();
    }
    const lost = this.#had && this.#had !== document.body && !this.#had.isConnected;
    const nowhere = document.activeElement === document.body || document.activeElement === null;
    if (!nowhere) return;
    if (shown.cards[0]?.role === 'incoming') return this.#to('do-answer');
    // A closed panel gives the focus back to its button.
    if (lost) this.#to(shown.stage === 'calls' ? 'do-mute' : 'state');
  }

  #to(id) {
    const node = document.getElementById(id) ?? document.getElementById('state');
    node?.focus({ preventScroll: true });
  }
}
