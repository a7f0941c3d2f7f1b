// What a screen reader is told, from what changed. Pure. What rings interrupts; all else waits its turn.

import { nameOf } from './cards.js';

/**
 * @param {ReturnType<import('./look.js').look> | null} before
 * @param {ReturnType<import('./look.js').look>} after
 * @returns {{now: import('./look.js').Text | null, then: import('./look.js').Text[]}}
 */
export function announce(before, after) {
  const rang = new Set((before?.cards ?? []).filter(rings).map((c) => c.call.id));
  const fresh = after.cards.find((c) => rings(c) && !rang.has(c.call.id));
  const then = [];
  if (fresh) {
    const { from, group } = fresh.call;
    const key = fresh.role === 'waiting' ? 'say.waiting' : group ? 'say.incomingFor' : 'say.incoming';
    return { now: [key, { who: nameOf(from), group: group ?? '' }], then };
  }
  if (!before || !same(before.status.title, after.status.title)) {
    const front = after.cards[0];
    then.push(after.status.title);
    if (front && !before?.cards.some((c) => c.call.id === front.call.id)) then.push(['say.with', { who: nameOf(front.call.from) }]);
    if (front === undefined) then.push(...after.status.detail.filter(([key]) => !/nextTry|trying|rtt/.test(key)));
  }
  const known = new Set((before?.cards ?? []).flatMap((c) => c.chips.map((chip) => c.call.id + chip.text[0])));
  for (const card of after.cards) {
    for (const chip of card.chips) if (!known.has(card.call.id + chip.text[0])) then.push(chip.text);
  }
  if (after.line && !same(before?.line?.text, after.line.text)) then.push(after.line.text);
  return { now: null, then };
}

const rings = (card) => card.role === 'incoming' || card.role === 'waiting';
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
