// What can go wrong, with Twilio's numbers where it is the same thing.

/** Where the errors are explained, in the project's tree; `#e31205` and so on are its anchors. */
const DOCS = 'docs/sdk.md';

/** @typedef {[name: string, explanation: string, causes: string[], solutions: string[]]} Row */

/** @type {Record<number, Row>} */
export const ERRORS = {
  20101: ['AccessTokenInvalid', 'The gateway does not accept the token.', ['another secret signed it', 'no claim `ext`, or an unknown one'], ['make it as docs/tokens.md says']],
  20104: ['AccessTokenExpired', 'The token has expired.', ['`tokenWillExpire` was not followed by `updateToken`'], ['give Device a function that fetches a token']],
  31003: ['ConnectionTimeout', 'No answer came in time: whether it was done is not known.', ['the network is slow or gone', 'Asterisk is busy'], ['look at the call, then try again']],
  31005: ['ConnectionError', 'There is no connection to the gateway.', ['the network or the gateway is away', 'a proxy lets no WebSocket through'], ['wait: it is tried again']],
  31009: ['TransportError', 'The socket cannot be opened.', ['a wrong address', 'no https, or a certificate that the browser does not trust'], ['open the address in a tab: it says why']],
  31100: ['MalformedRequest', 'The gateway does not understand the request.', ['a wrong argument', 'an older gateway'], ['see the message']],
  31105: ['InvalidState', 'The call is not in a state for that.', ['it has ended, or is not answered yet'], ['ask `call.status()` first']],
  31201: ['AuthorizationError', 'The new token is for another extension.', ['somebody else has logged in'], ['`unregister()` first']],
  31205: ['TokenFailed', 'No token could be had.', ['the function that fetches it has failed'], ['see `cause`']],
  31206: ['RateLimited', 'Too many requests, logins or calls.', ['a loop', 'limits of the configuration'], ['wait']],
  31400: ['BadRequest', 'An argument is wrong.', [], ['see the message']],
  31401: ['PermissionDenied', 'The microphone may not be used.', ['a person or a policy has said no'], ['allow it at the address bar']],
  31402: ['AcquisitionFailed', 'The microphone cannot be opened.', ['there is none', 'another program uses it', 'no https'], ['plug one in, close the other program']],
  31403: ['Forbidden', 'This address may not connect, or this number may not be dialled.', ['`allowed_browser_ips`, `allowed_origins`, `dial.allow`'], ['ask whoever runs the gateway']],
  31404: ['NotFound', 'There is no such call any more.', ['it has ended'], ['listen to `disconnect`']],
  31409: ['ExtensionInUse', 'The extension is in use elsewhere.', ['another device or tab is logged in'], ['log out there, or let `register()` try again']],
  31480: ['Unavailable', 'The gateway cannot do that now.', ["Asterisk's manager is not configured, or away"], ['set `ami` in the configuration']],
  31484: ['BadNumber', 'This number cannot be dialled.', ['letters or signs in it'], ['dial digits, `*`, `#`, a leading `+`, or an extension']],
  31486: ['Busy', 'The phone has as many calls as it may.', ['two calls are up'], ['end one first']],
  31500: ['Failed', 'Asterisk refused.', [], ['see the message']],
  31503: ['Draining', 'The gateway is about to stop.', ['a restart'], ['try again in a moment']],
  53000: ['SignalingConnectionError', 'The gateway has closed the connection.', [], ['register again']],
  53001: ['SignalingConnectionDisconnected', 'The connection was lost; it is tried again.', ['the network'], ['wait for `reconnected`']],
  53405: ['MediaConnectionError', 'The sound has failed.', ['the worklet could not be loaded', 'no AudioWorklet in this browser'], ['load the page again']],
};

/**
 * An error as Twilio's look, with the same numbers.
 */
export class PhoneError extends Error {
  /**
   * @param {number} code of the table above
   * @param {string} [message] more exact than the explanation
   * @param {unknown} [cause]
   */
  constructor(code, message, cause) {
    const [name, explanation, causes, solutions] = ERRORS[code] ?? ['UnknownError', 'Something went wrong.', [], []];
    super(message || explanation, cause === undefined ? undefined : { cause });
    this.name = name;
    this.code = code;
    this.explanation = explanation;
    this.causes = causes;
    this.solutions = solutions;
    /** Where to read on. */
    this.docs = `${DOCS}#e${code}`;
  }

  /** Twilio's name for the explanation. */
  get description() {
    return this.explanation;
  }
}

/**
 * What a function that fetches a token has failed with, as an error.
 * @param {unknown} why
 */
export function tokenError(why) {
  return why instanceof PhoneError ? why : new PhoneError(31205, String(why), why);
}

/**
 * What another tab or the gateway said, as an error.
 * @param {{[key: string]: any}} said with `code` and `message`
 */
export function errorOf(said) {
  return new PhoneError(Number(said.code) || 31100, said.message);
}
