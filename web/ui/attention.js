// Draws a person's eye while it rings: the title flashes, and a notification where it is allowed.

import { t } from '../i18n.js';

const FLASH_MS = 1000;

export class Attention {
  #timer = 0;
  /** @type {Notification | null} */
  #notification = null;
  #title = '';

  /** @param {string} title what the title is at rest */
  rest(title) {
    this.#title = title;
    if (!this.#timer) document.title = title;
  }

  start() {
    this.stop();
    let on = true;
    const flash = () => {
      document.title = on ? `☎ ${t('ringing')}` : this.#title;
      on = !on;
    };
    flash();
    this.#timer = setInterval(flash, FLASH_MS);
    if (globalThis.Notification?.permission === 'granted' && document.visibilityState !== 'visible') this.#notify();
    navigator.vibrate?.([400, 200, 400]);
  }

  #notify() {
    try {
      this.#notification = new Notification(t('ringing'), { body: this.#title, icon: 'favicon.svg', tag: 'goastgateway', requireInteraction: true });
      this.#notification.onclick = () => {
        window.focus();
        this.#notification?.close();
      };
    } catch {
      // Some mobile browsers only let a service worker notify.
    }
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    document.title = this.#title;
    this.#notification?.close();
    this.#notification = null;
  }
}
