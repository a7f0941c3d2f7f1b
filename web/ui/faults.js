// What is said when the telephone system would not do something. Pure.

/** Numbers of docs/phone-protocol.md, Requests and answers. */
const NAMES = {
  31003: 'timeout', 31105: 'wrong_state', 31206: 'rate_limited', 31403: 'forbidden', 31404: 'no_such_call',
  31480: 'unavailable', 31484: 'bad_number', 31486: 'busy', 31500: 'failed', 31503: 'draining',
};

/**
 * @param {any} error
 * @returns {import('./look.js').Text}
 */
export function faultText(error) {
  return [`fault.${NAMES[error?.code] ?? 'failed'}`];
}
