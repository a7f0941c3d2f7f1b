// <ast-phone>: a telephone in any page by one tag.
//
//   <script type="module" src="https://gateway.example:8766/sdk/element.js"></script>
//   <ast-phone token-url="/my/token" screen-pop="https://crm.example/?phone={from}"></ast-phone>
//
// Attributes: `token`, or `token-url` (asked by POST with the page's cookies; answers with the token as text);
// `url` of the gateway; `lang` (en, ja); `ringtone`; `single-tab`; `call-waiting`; `screen-pop`; `click-to-dial`.
// Or give it a device of your own: `element.device = device`.
// CSS parts: phone, status, caller, timer, dial, number, buttons, button, answer, hangup, hold, mute, keypad, key.
// Events, as of Device and Call: `registered`, `incoming`, `accept`, `ended`, `error`, with what they are about in `detail`.

import { callAddress, clickToDial, screenPop } from './crm.js';
import { Device } from './device.js';

const CSS = `
:host{display:inline-block;font:14px/1.4 system-ui,sans-serif;color-scheme:light dark;color:CanvasText;min-width:15em}
[part=phone]{border:1px solid color-mix(in srgb,CanvasText 25%,Canvas);border-radius:10px;padding:.8em;background:Canvas;display:grid;gap:.6em}
[part=caller]{font-size:1.2em;font-weight:600;overflow-wrap:anywhere}[part=caller]:empty{display:none}
[part=status]::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;background:#b3261e;margin-right:.5em}
[part=phone][data-state=registered] [part=status]::before{background:#1a7f37}
[part=dial],[part=buttons]{display:flex;gap:.4em;flex-wrap:wrap}[part=number]{flex:1;min-width:7em;font:inherit;padding:.4em}
[part=keypad]{display:grid;grid-template-columns:repeat(3,1fr);gap:.3em}
button{font:inherit;padding:.45em .9em;border-radius:6px;border:1px solid color-mix(in srgb,CanvasText 30%,Canvas);background:ButtonFace;color:ButtonText;cursor:pointer}
button[part~=answer]{background:#1a7f37;color:#fff}button[part~=hangup]{background:#b3261e;color:#fff}
button[aria-pressed=true]{outline:2px solid Highlight}[hidden]{display:none!important}:focus-visible{outline:2px solid Highlight}`;

/** @type {Record<string, Record<string, string>>} */
const WORDS = {
  en: {
    unregistered: 'Offline', registering: 'Connecting', registered: 'Ready', destroyed: 'Offline', pending: 'Incoming call', connecting: 'Calling',
    ringing: 'Ringing', open: 'In call', held: 'On hold', reconnecting: 'Reconnecting', closed: 'Ended', answer: 'Answer', decline: 'Decline', hangup: 'Hang up',
    hold: 'Hold', mute: 'Mute', dial: 'Call', number: 'Number', unknown: 'Unknown caller', sound: 'Let sound out', keypad: 'Keypad',
  },
  ja: {
    unregistered: 'オフライン', registering: '接続中', registered: '待機中', destroyed: 'オフライン', pending: '着信中', connecting: '発信中',
    ringing: '呼出中', open: '通話中', held: '保留中', reconnecting: '再接続中', closed: '終了', answer: '応答', decline: '拒否', hangup: '切断',
    hold: '保留', mute: 'ミュート', dial: '発信', number: '電話番号', unknown: '番号不明', sound: '音を出す', keypad: 'キーパッド',
  },
};
const TICK_MS = 1000;

/** @param {string} tag @param {string} part @param {Record<string, any>} [more] */
const make = (tag, part, more = {}) => {
  const node = /** @type {any} */ (document.createElement(tag));
  node.setAttribute('part', part);
  return Object.assign(node, more);
};

export class AstPhone extends HTMLElement {
  /** @type {Device | null} */
  #device = null;
  #own = false;
  /** @type {(() => void)[]} */
  #off = [];
  /** @type {Record<string, any>} */
  #parts = {};
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #tick;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    // Not a <style>: a page's policy may forbid those, and does not forbid this.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    const p = this.#parts;
    const button = (/** @type {string} */ name, /** @type {() => void} */ onclick) => (p[name] = make('button', `button ${name}`, { type: 'button', onclick }));
    p.phone = make('section', 'phone');
    p.status = make('div', 'status', { role: 'status' });
    p.caller = make('div', 'caller');
    p.timer = make('div', 'timer', { role: 'timer' });
    p.dial = make('form', 'dial');
    p.number = make('input', 'number', { type: 'tel', autocomplete: 'off' });
    p.buttons = make('div', 'buttons');
    p.keypad = make('div', 'keypad', { role: 'group' });
    p.dial.append(p.number, (p.call = make('button', 'button answer', { type: 'submit' })));
    p.dial.onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.dial(p.number.value);
    };
    for (const key of '123456789*0#') {
      p.keypad.append(make('button', 'button key', { type: 'button', textContent: key, onclick: () => this.#call?.sendDigits(key) }));
    }
    p.buttons.append(
      button('answer', () => this.#ringing?.accept()),
      button('hold', () => this.#call?.hold(!this.#call.isHeld()).catch((error) => this.#tell('error', error))),
      button('mute', () => this.#call?.mute(!this.#call.isMuted())),
      button('hangup', () => (this.#ringing ?? this.#call)?.disconnect()),
      button('sound', () => this.#device?.audio.unlock()),
    );
    p.phone.append(p.status, p.caller, p.timer, p.buttons, p.keypad, p.dial);
    root.append(p.phone);
  }

  connectedCallback() {
    if (!this.#device) {
      const token = this.getAttribute('token');
      const source = this.getAttribute('token-url');
      if (token || source) {
        const url = this.getAttribute('url');
        this.#own = true;
        const device = new Device(token ?? (() => fetchToken(String(source))), {
          ...(url ? { url } : {}), singleTab: this.hasAttribute('single-tab'), allowIncomingWhileBusy: this.hasAttribute('call-waiting'),
          ringtone: this.getAttribute('ringtone') ?? 'bell',
        });
        this.#use(device);
        // What goes wrong is an `error`, too.
        device.register().catch(() => {});
      }
    }
    this.#draw();
  }

  disconnectedCallback() {
    // Moved in the page, it is connected again before this runs.
    queueMicrotask(() => !this.isConnected && this.#leave());
  }

  get device() {
    return this.#device;
  }
  /** A device of the page's own; it stays the page's to destroy. */
  set device(device) {
    this.#leave();
    if (device) this.#use(device);
    this.#draw();
  }

  /** @param {string} to */
  async dial(to) {
    try {
      return await this.#device?.connect({ to });
    } catch (error) {
      this.#tell('error', error);
    }
  }

  /** @param {Device} device */
  #use(device) {
    this.#device = device;
    this.#off = [
      device.on('change', () => this.#draw()),
      device.on('audioBlocked', () => this.#draw()),
      device.on('registered', () => this.#tell('registered', device)),
      device.on('error', (error) => this.#tell('error', error)),
      device.on('incoming', (call) => {
        this.#watch(call);
        this.#tell('incoming', call);
      }),
      device.on('outgoing', (call) => this.#watch(call)),
    ];
    const pop = this.getAttribute('screen-pop');
    if (pop) this.#off.push(screenPop(device, pop));
    if (this.hasAttribute('click-to-dial')) this.#off.push(clickToDial(device));
  }

  #leave() {
    for (const off of this.#off) off();
    clearInterval(this.#tick);
    this.#tick = undefined;
    if (this.#own) this.#device?.destroy();
    this.#own = false;
    this.#device = null;
  }

  /** @param {import('./call.js').Call} call */
  #watch(call) {
    call.on('accept', () => this.#tell('accept', call));
    for (const end of /** @type {const} */ (['cancel', 'reject', 'disconnect'])) call.on(end, () => this.#tell('ended', call));
  }

  /** @param {string} name @param {any} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  get #ringing() {
    return this.#device?.calls.find((call) => call.status() === 'pending') ?? null;
  }
  get #call() {
    const calls = this.#device?.calls.filter((call) => call.status() !== 'pending') ?? [];
    return calls.find((call) => call.status() !== 'held') ?? calls[0] ?? null;
  }

  #draw() {
    const p = this.#parts;
    const t = WORDS[(this.getAttribute('lang') ?? document.documentElement.lang).slice(0, 2)] ?? WORDS.en;
    const state = this.#device?.state ?? 'unregistered';
    const call = this.#ringing ?? this.#call;
    const up = call === this.#call ? call : null;
    p.phone.dataset.state = state;
    p.status.textContent = t[call?.status() ?? state];
    const who = call && (call.direction === 'INCOMING' ? [call.from.name, call.from.number].filter(Boolean).join(' · ') || t.unknown : call.to);
    p.caller.textContent = who ?? '';
    /** @type {[string, string, boolean][]} */
    const shown = [
      ['answer', t.answer, call !== null && !up], ['hangup', up ? t.hangup : t.decline, call !== null],
      ['hold', t.hold, Boolean(up?.answerTime)], ['mute', t.mute, Boolean(up?.answerTime)],
      ['sound', t.sound, this.#device?.audio.state === 'blocked'],
    ];
    for (const [name, word, visible] of shown) {
      p[name].textContent = word;
      p[name].hidden = !visible;
    }
    p.hold.setAttribute('aria-pressed', String(up?.isHeld() ?? false));
    p.mute.setAttribute('aria-pressed', String(up?.isMuted() ?? false));
    p.keypad.hidden = !up?.answerTime;
    p.keypad.setAttribute('aria-label', t.keypad);
    p.dial.hidden = call !== null || !this.#device?.features?.dial;
    p.number.placeholder = t.number;
    p.number.setAttribute('aria-label', t.number);
    p.call.textContent = t.dial;
    p.timer.hidden = !up?.answerTime;
    this.#time();
    if (up?.answerTime && !this.#tick) this.#tick = setInterval(() => this.#time(), TICK_MS);
    if (!up?.answerTime) {
      clearInterval(this.#tick);
      this.#tick = undefined;
    }
  }

  #time() {
    const since = this.#call?.answerTime?.getTime();
    if (since === undefined) return;
    const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
    this.#parts.timer.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  }
}

/** @param {string} url @returns {Promise<string>} */
async function fetchToken(url) {
  const answer = await fetch(url, { method: 'POST', credentials: 'same-origin' });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return (await answer.text()).trim();
}

if (!customElements.get('ast-phone')) customElements.define('ast-phone', AstPhone);

export { callAddress, clickToDial, screenPop, Device };
