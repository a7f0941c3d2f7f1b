// Lines above the phone: what stands between a person and a good call, each with the one button that
// helps. Pure.

/** From this long before the token's end it is said. */
const EXPIRY_TOLD_MS = 5 * 60000;

/**
 * @typedef {{key: string, kind: 'info' | 'warn', text: import('./look.js').Text, button?: {text: import('./look.js').Text, does: string}, later?: string}} Notice
 * @param {import('./look.js').Telephone} phone
 * @param {any} ui
 * @param {number} now
 * @returns {Notice[]}
 */
export function notices(phone, ui, now) {
  if (!ui.loggedIn) return [];
  const list = [sound(phone), microphone(phone), expiry(phone, now)].filter((n) => n !== null);
  if (list.length === 0 && ui.notifications === 'default' && !ui.notifyLater && phone.link === 'ready' && phone.calls.length === 0) {
    list.push({ key: 'notify', kind: 'info', text: ['notice.notify'], button: { text: ['do.allowNotify'], does: 'allowNotify' }, later: 'notifyLater' });
  }
  return list;
}

function sound({ audio, link }) {
  switch (audio.sound) {
    case 'unsupported':
      return { key: 'sound', kind: 'warn', text: ['sound.unsupported'] };
    case 'interrupted':
      return { key: 'sound', kind: 'warn', text: ['sound.interrupted'] };
    case 'blocked':
      return { key: 'sound', kind: 'warn', text: ['sound.blocked'], button: { text: ['do.enableSound'], does: 'unlock' } };
    case 'failed':
      // While the gateway is away that is the matter, and the sound comes with it.
      return link === 'reconnecting' ? null : { key: 'sound', kind: 'warn', text: ['sound.failed'], button: { text: ['do.tryAgain'], does: 'unlock' } };
    default:
      return null;
  }
}

function microphone({ audio }) {
  const { mic, permission, secure } = audio;
  const notice = (kind, what, button) => ({ key: 'mic', kind, text: [`mic.${what}`], ...(button ? { button: { text: [button], does: 'askForMic' } } : {}) });
  if (!secure) return notice('warn', 'insecure');
  if (permission === 'denied') return notice('warn', 'denied');
  if (mic === 'denied' && permission !== 'granted') return notice('warn', 'denied', 'do.tryAgain');
  if (['none', 'in-use', 'failed'].includes(mic)) return notice('warn', mic, 'do.tryAgain');
  if (permission === 'prompt' && mic === 'off') return notice('info', 'prompt', 'do.allowMic');
  return null;
}

function expiry({ expiresAt, tokenRefused, link }, now) {
  const over = tokenRefused || (expiresAt !== null && expiresAt <= now);
  if (!over && (expiresAt === null || expiresAt - now > EXPIRY_TOLD_MS)) return null;
  // "You stay connected" is said only where that is so.
  if (link !== 'ready') return null;
  return { key: 'expiry', kind: 'warn', text: over ? ['notice.expired'] : ['notice.expires', { clock: { clock: expiresAt } }] };
}
