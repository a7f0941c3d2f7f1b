// The cards of the calls: which is in front, what stands on each, what can be done. Pure.

/** From then on the far end hears music instead of silence (docs/phone-protocol.md, Coming back). */
export const MUSIC_AFTER_MS = 2000;

/**
 * @typedef {'incoming' | 'waiting' | 'outgoing' | 'active' | 'held'} Role
 *   incoming: rings, and nothing else is up. waiting: rings while another call is up.
 *   held: behind another call. A held call that is alone stays in front as `active`.
 * @typedef {{does: string, text: import('./look.js').Text, icon: string, style?: 'go' | 'stop' | 'plain', pressed?: boolean,
 *   disabled?: boolean, why?: import('./look.js').Text, keys?: string, meter?: string}} Action
 *   `meter`: the name of a level meter on the button: one sees that one is heard
 */

/**
 * @param {import('./look.js').Telephone} phone
 * @param {any} ui
 * @param {number} now
 * @returns {{call: any, role: Role, chips: {tone: string, text: any[]}[], actions: Action[], panel: string | null, since: number | null}[]}
 *   the one in front first
 */
export function cards(phone, ui, now) {
  const ringing = phone.calls.filter((c) => c.direction === 'incoming' && c.state === 'ringing');
  const up = phone.calls.filter((c) => !ringing.includes(c));
  const front = up.find((c) => !c.held) ?? up.at(-1) ?? ringing[0];
  if (!front) return [];
  const behind = phone.calls.filter((c) => c !== front);
  const lost = phone.link !== 'ready';
  const card = (call, role) => ({
    call,
    role,
    chips: chips(call, role, phone, now),
    actions: lost ? actionsInTheDark(call, role) : actions(call, role, phone, ui, ringing.length > 0),
    panel: role === 'active' || role === 'outgoing' ? ui.panel : null,
    since: call.answered ?? (call.state === 'open' ? call.since : null),
  });
  const roleOf = (call) => {
    if (ringing.includes(call)) return call === front ? 'incoming' : 'waiting';
    if (call !== front) return 'held';
    return call.state === 'open' ? 'active' : 'outgoing';
  };
  // What rings stands above what is parked.
  const order = (call) => (ringing.includes(call) ? 0 : 1);
  return [front, ...behind.sort((a, b) => order(a) - order(b))].map((call) => card(call, roleOf(call)));
}

function chips(call, role, phone, now) {
  const list = [];
  if (phone.link !== 'ready' && phone.link !== 'stopped') list.push(...inTheDark(call, phone, now));
  if (call.held) list.push({ tone: 'warn', text: ['chip.held'] });
  if (call.heldByFar) list.push({ tone: 'warn', text: ['chip.heldByFar'] });
  if (call.muted && !call.held) list.push({ tone: 'stop', text: ['chip.muted'] });
  if (call.transferring) list.push({ tone: 'work', text: ['chip.transferring'] });
  if (call.consultsFor && role !== 'held') {
    const first = phone.calls.find((c) => c.id === call.consultsFor);
    list.push({ tone: 'work', text: ['chip.consult', { who: nameOf(first?.from) }] });
  }
  return list;
}

/** What the far end hears while we are away, and for how long the call is kept. */
function inTheDark(call, { lostAt, resumeMs }, now) {
  if (lostAt === null) return [];
  const away = now - lostAt;
  const left = Math.ceil((resumeMs - away) / 1000);
  if (left <= 0) return [{ tone: 'stop', text: ['chip.givenUp'] }];
  if (call.state !== 'open') return [{ tone: 'warn', text: ['chip.awayRinging', { seconds: left }] }];
  return [{ tone: 'warn', text: [away < MUSIC_AFTER_MS ? 'chip.awaySilence' : 'chip.awayMusic', { seconds: left }] }];
}

/** @param {import('./look.js').Party | undefined} party */
export function nameOf(party) {
  return party?.name || party?.number || { text: ['call.unknown'] };
}

/** Without a connection one can still hang up; it is said as soon as the gateway is there again. */
function actionsInTheDark(call, role) {
  return role === 'incoming' || role === 'waiting' ? [] : [hangup];
}

const hangup = { does: 'hangup', text: ['do.hangup'], icon: 'hangup', style: 'stop', keys: 'Esc' };

/** @returns {Action[]} what can be done; `waits`: another call rings, and Escape is meant for that one */
function actions(call, role, phone, ui, waits) {
  const { features } = phone;
  const without = (feature) => (features[feature] ? {} : { disabled: true, why: ['why.noManager'] });
  switch (role) {
    case 'incoming':
      return [
        { does: 'reject', text: ['do.decline'], icon: 'hangup', style: 'stop', keys: 'Esc' },
        { does: 'answer', text: ['do.answer'], icon: 'handset', style: 'go', keys: '↵' },
      ];
    case 'waiting':
      return [
        { does: 'reject', text: ['do.decline'], icon: 'hangup', style: 'stop', keys: 'Esc' },
        { does: 'answer', text: ['do.holdAndAnswer'], icon: 'handset', style: 'go', keys: '↵' },
      ];
    case 'held': {
      const consulted = phone.calls.some((c) => c.consultsFor === call.id);
      // While a transfer is prepared, complete and cancel stand on the other card.
      return consulted ? [] : [
        { does: 'swap', text: ['do.swap'], icon: 'swap', keys: 'S' },
        { does: 'hangup', text: ['do.hangup'], icon: 'hangup' },
      ];
    }
    case 'outgoing':
      if (call.state === 'answering') return [hangup];
      return [
        mute(call),
        { does: 'keypad', text: ['do.keypad'], icon: 'keypad', pressed: ui.panel === 'keypad', keys: 'K', ...without('dtmf') },
        ...(call.consultsFor ? [cancel] : [hangup]),
      ];
    default:
      break;
  }
  const panel = (name, key, icon, keys, feature) => ({
    does: name, text: [key], icon, pressed: ui.panel === name, keys, ...without(feature),
  });
  const list = [
    mute(call),
    { does: 'hold', text: [call.held ? 'do.resume' : 'do.hold'], icon: 'hold', pressed: call.held, keys: 'H', ...without('hold') },
    panel('keypad', 'do.keypad', 'keypad', 'K', 'dtmf'),
  ];
  if (call.consultsFor) {
    list.push({ does: 'complete', text: ['do.complete'], icon: 'transfer', style: 'go', keys: '↵' }, cancel);
    return list;
  }
  list.push(panel('transfer', 'do.transfer', 'transfer', 'T', 'transfer'));
  if (phone.calls.some((c) => c !== call && c.held)) list.push({ does: 'swap', text: ['do.swap'], icon: 'swap', keys: 'S', ...without('hold') });
  else list.push(waits ? { ...panel('add', 'do.add', 'add', 'N', 'dial'), disabled: true, why: ['fault.busy'] } : panel('add', 'do.add', 'add', 'N', 'dial'));
  list.push({ does: 'quality', text: ['do.quality'], icon: 'signal', pressed: ui.panel === 'quality', keys: 'Q' });
  list.push(waits ? { ...hangup, keys: undefined } : hangup);
  return list;
}

const cancel = { does: 'cancel', text: ['do.cancelTransfer'], icon: 'back', style: 'stop', keys: 'Esc' };

const mute = (call) => ({ does: 'mute', text: [call.muted ? 'do.unmute' : 'do.mute'], icon: call.muted ? 'mic-off' : 'mic', pressed: call.muted, keys: 'M', meter: 'mic-near' });
