// From values to the document: `h` makes a description of an element, `patch` makes the document so.
//
// Elements that stay keep their identity, so focus, selection and running transitions survive every
// redraw. Children that come and go carry a `key`. Nothing here parses HTML: text stays text.

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'use', 'path', 'line', 'rect', 'polyline', 'circle', 'g', 'text']);

/**
 * @typedef {{tag: string, key?: string, props: Record<string, any>, children: (Node_ | string)[]}} Node_
 * @typedef {Node_ | string | number | false | null | undefined} Child
 */

/**
 * @param {string} tag as in CSS: `button.round.go`
 * @param {Record<string, any> | null} [props] `onclick` and the like are listeners; `value`, `checked` and
 *   `disabled` are set as properties; true and false add and remove an attribute; `key` names the child
 * @param {...(Child | Child[])} children
 * @returns {Node_}
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  const { key, class: extra, ...rest } = props ?? {};
  const list = [...classes, ...(extra ? [extra] : [])].join(' ');
  if (list) rest.class = list;
  const flat = children.flat(3).filter((c) => c !== null && c !== undefined && c !== false && c !== '');
  return { tag: name, key, props: rest, children: flat.map((c) => (typeof c === 'object' ? c : String(c))) };
}

/** What an element was made from; the next patch compares with it. */
const made = new WeakMap();

/**
 * Makes the children of `parent` what `children` say.
 * @param {Element} parent
 * @param {(Node_ | string)[]} children
 */
export function patch(parent, children) {
  const old = [...parent.childNodes];
  const keyed = new Map(old.filter((n) => made.get(n)?.key !== undefined).map((n) => [made.get(n).key, n]));
  const taken = new Set();
  let next = 0;
  /** The first child of the same kind without a key that is not in use yet. */
  const similar = (child) => {
    for (let i = next; i < old.length; i++) {
      const from = made.get(old[i]);
      const same = typeof child === 'string' ? old[i].nodeType === 3 : from && from.key === undefined && from.tag === child.tag;
      if (same && !taken.has(old[i])) {
        next = i + 1;
        return old[i];
      }
    }
    return null;
  };
  let at = parent.firstChild;
  for (const child of children) {
    let node = child.key !== undefined ? keyed.get(child.key) : similar(child);
    if (node && child.key !== undefined && made.get(node).tag !== child.tag) node = null;
    if (!node) node = create(child);
    taken.add(node);
    update(node, child);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of old) if (!taken.has(node)) node.remove();
}

function create(child) {
  if (typeof child === 'string') return document.createTextNode(child);
  return SVG_TAGS.has(child.tag) ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
}

function update(node, child) {
  if (typeof child === 'string') {
    if (node.data !== child) node.data = child;
    return;
  }
  const before = made.get(node)?.props ?? {};
  made.set(node, child);
  for (const name of Object.keys(before)) if (!(name in child.props)) setProp(node, name, null);
  for (const [name, value] of Object.entries(child.props)) {
    // What a person types or ticks changes without us, so these are compared with what is there.
    if (name === 'value' || name === 'checked') continue;
    if (before[name] !== value) setProp(node, name, value);
  }
  patch(node, child.children);
  // After the children: a <select> takes a value only when it has the option.
  for (const name of ['value', 'checked']) {
    if (name in child.props && node[name] !== child.props[name]) node[name] = child.props[name];
  }
}

function setProp(node, name, value) {
  if (name.startsWith('on')) {
    node[name] = value ?? null;
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : String(value));
  }
}
