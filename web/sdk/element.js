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

import { whenOver } from './call.js';
import { callAddress, clickToDial, screenPop } from './crm.js';
import { Device } from './device.js';

const CSS = `
:host{display:inline-block;font:14px/1.4 system-ui,sans-serif;color-scheme:light dark;color:CanvasText;min-width:15em}
[part=phone]{border:1px solid GrayText;border-radius:10px;padding:.8em;background:Canvas;display:grid;gap:.6em}
[part=caller]{font-size:1.2em;font-weight:600;overflow-wrap:anywhere}[part=caller]:empty{display:none}
[part=status]::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;background:#b3261e;margin-right:.5em}
[part=phone][data-state=registered] [part=status]::before{background:#1a7f37}
[part=dial],[part=buttons]{display:flex;gap:.4em;flex-wrap:wrap}[part=number]{flex:1;min-width:7em;font:inherit;padding:.4em}
[part=keypad]{display:grid;grid-template-columns:repeat(3,1fr);gap:.3em}
button{font:inherit;padding:.45em .9em;border-radius:6px;border:1px solid GrayText;background:ButtonFace;color:ButtonText;cursor:pointer}
button[part~=answer]{background:#1a7f37;color:#fff}button[part~=hangup]{background:#b3261e;color:#fff}
button[aria-pressed=true],:focus-visible{outline:2px solid Highlight}[hidden]{display:none!important}`;

/** In English and Japanese. @type {Record<string, [string, string]>} */
const WORDS = {
  unregistered: ['Offline', 'オフライン'], registering: ['Connecting', '接続中'], registered: ['Ready', '待機中'],
  pending: ['Incoming call', '着信中'], connecting: ['Calling', '発信中'], ringing: ['Ringing', '呼出中'], open: ['In call', '通話中'], held: ['On hold', '保留中'],
  reconnecting: ['Reconnecting', '再接続中'],
  answer: ['Answer', '応答'], decline: ['Decline', '拒否'], hangup: ['Hang up', '切断'], hold: ['Hold', '保留'], mute: ['Mute', 'ミュート'],
  sound: ['Let sound out', '音を出す'], keypad: ['Keypad', 'キーパッド'], dial: ['Call', '発信'], number: ['Number', '電話番号'], unknown: ['Unknown caller', '番号不明'],
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
    return this.#device?.connect({ to }).catch((error) => this.#tell('error', error));
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
    this.#stopClock();
    if (this.#own) this.#device?.destroy();
    this.#own = false;
    this.#device = null;
  }

  /** @param {import('./call.js').Call} call */
  #watch(call) {
    call.on('accept', () => this.#tell('accept', call));
    whenOver(call, () => this.#tell('ended', call));
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
    const language = (this.getAttribute('lang') ?? document.documentElement.lang).startsWith('ja') ? 1 : 0;
    const word = (/** @type {string} */ key) => (WORDS[key] ?? WORDS.unregistered)[language];
    const state = this.#device?.state ?? 'unregistered';
    const call = this.#ringing ?? this.#call;
    const up = call === this.#call ? call : null;
    const answered = Boolean(up?.answerTime);
    p.phone.dataset.state = state;
    p.status.textContent = word(call?.status() ?? state);
    const who = call && (call.direction === 'INCOMING' ? [call.from.name, call.from.number].filter(Boolean).join(' · ') || word('unknown') : call.to);
    p.caller.textContent = who ?? '';
    /** @type {[string, string, boolean][]} */
    const shown = [
      ['answer', 'answer', call !== null && !up], ['hangup', up ? 'hangup' : 'decline', call !== null],
      ['hold', 'hold', answered], ['mute', 'mute', answered],
      ['sound', 'sound', this.#device?.audio.state === 'blocked'],
    ];
    for (const [name, key, visible] of shown) {
      p[name].textContent = word(key);
      p[name].hidden = !visible;
    }
    p.hold.ariaPressed = String(up?.isHeld() ?? false);
    p.mute.ariaPressed = String(up?.isMuted() ?? false);
    p.keypad.hidden = p.timer.hidden = !answered;
    p.keypad.ariaLabel = word('keypad');
    p.dial.hidden = call !== null || !this.#device?.features?.dial;
    p.number.ariaLabel = p.number.placeholder = word('number');
    p.call.textContent = word('dial');
    this.#time();
    if (!answered) this.#stopClock();
    else this.#tick ??= setInterval(() => this.#time(), TICK_MS);
  }

  #stopClock() {
    clearInterval(this.#tick);
    this.#tick = undefined;
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
