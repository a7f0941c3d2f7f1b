// What a CRM wants of a telephone: numbers in a page that can be clicked, and the caller's record opened
// when it rings.

/** @typedef {import('./device.js').Device} Device */
/** @typedef {import('./call.js').Call} Call */

/**
 * Fills a template for an address: `{from}`, `{name}`, `{to}`, `{group}`, `{callId}`, `{var.X}` are replaced by the
 * call's, encoded; what is not known is empty.
 * @param {string} template as `https://crm.example/search?phone={from}&ticket={var.TICKET}`
 * @param {Call} call
 * @param {string} [base] what the address is relative to
 * @returns {URL | null} null where the result is no address of http or https
 */
export function callAddress(template, call, base = globalThis.location?.href) {
  /** @type {Record<string, string | null>} */
  const values = { from: call.from.number, name: call.from.name, to: call.to, group: call.group, callId: call.id };
  const variables = call.customParameters;
  const text = template.replace(/\{(\w+)(?:\.([\w-]+))?\}/g, (_, name, variable) =>
    encodeURIComponent((name === 'var' ? variables.get(variable) : Object.hasOwn(values, name) ? values[name] : '') ?? ''));
  try {
    const url = new URL(text, base);
    // Only what a browser opens as a page.
    return /^https?:$/.test(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/**
 * Opens the caller's record when a call comes, or when it is answered.
 * @param {Device} device
 * @param {string} template see `callAddress`
 * @param {{on?: 'incoming' | 'accept', open?: (url: URL, call: Call) => void, target?: string}} [options]
 *   `open`: instead of `window.open`, which needs the page's permission for pop-ups. `target`: of that window
 * @returns {() => void} ends it
 */
export function screenPop(device, template, { on = 'incoming', open, target = 'goastgateway-crm' } = {}) {
  const show = open ?? ((url) => void window.open(url, target, 'noreferrer'));
  return device.on('incoming', (call) => {
    const pop = () => {
      const url = callAddress(template, call);
      if (url) show(url, call);
    };
    if (on === 'incoming') pop();
    else call.once('accept', pop);
  });
}

/**
 * Elements with `data-tel` (and links with `tel:`) dial when they are clicked or get Enter.
 * @param {Device} device
 * @param {{root?: Document | Element, links?: boolean, dialled?: (call: Call, element: Element) => void, failed?: (error: any, element: Element) => void}} [options]
 *   `links`: `tel:` links, too (default true)
 * @returns {() => void} ends it
 */
export function clickToDial(device, { root = document, links = true, dialled, failed } = {}) {
  const selector = links ? '[data-tel], a[href^="tel:"]' : '[data-tel]';
  /** @param {Event} event */
  const listener = (event) => {
    const key = event instanceof KeyboardEvent && event.key;
    if (key && key !== 'Enter') return;
    const element = event.target instanceof Element ? event.target.closest(selector) : null;
    // Enter on a link or button is a click, too.
    if (!element || (key && element.matches('a, button'))) return;
    const to = element.getAttribute('data-tel') || decodeURIComponent(element.getAttribute('href')?.slice(4) ?? '');
    if (!to) return;
    event.preventDefault();
    device.connect({ to }).then(
      (call) => dialled?.(call, element),
      (error) => (failed ? failed(error, element) : device.emit('error', error)),
    );
  };
  const give = new AbortController();
  for (const name of ['click', 'keydown']) root.addEventListener(name, listener, { signal: give.signal });
  return () => give.abort();
}
