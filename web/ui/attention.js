// Draws a person's eye while it rings: the title flashes, and a notification where it is allowed.

const FLASH_MS = 1000;

export class Attention {
  #timer = 0;
  /** @type {Notification | null} */
  #notification = null;
  #title = '';
  #call = '';

  /** @param {string} title what the title is at rest */
  rest(title) {
    this.#title = title;
    if (!this.#timer && document.title !== title) document.title = title;
  }

  /**
   * @param {{call: string, title: string, body: string, onclick: () => void}} ring
   *   `call`: the same call again is not a new ring
   */
  start({ call, title, body, onclick }) {
    if (this.#call === call) return;
    this.stop();
    this.#call = call;
    let on = true;
    const flash = () => {
      document.title = on ? `☎ ${title}` : this.#title;
      on = !on;
    };
    flash();
    this.#timer = setInterval(flash, FLASH_MS);
    if (globalThis.Notification?.permission === 'granted' && document.visibilityState !== 'visible') this.#notify(title, body, onclick);
    navigator.vibrate?.([400, 200, 400]);
  }

  #notify(title, body, onclick) {
    try {
      this.#notification = new Notification(title, { body, icon: 'favicon.svg', tag: 'goastgateway', requireInteraction: true });
      this.#notification.onclick = () => {
        window.focus();
        this.#notification?.close();
        onclick();
      };
    } catch {
      // Some mobile browsers only let a service worker notify.
    }
  }

  stop() {
    if (!this.#call) return;
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#call = '';
    document.title = this.#title;
    this.#notification?.close();
    this.#notification = null;
  }
}
