// What can go wrong, with Twilio's numbers where it is the same thing.

/** Where the errors are explained, in the project's tree; `#e31205` and so on are its anchors. */
const DOCS = 'docs/sdk.md';

/** @typedef {[name: string, explanation: string, causes: string[], solutions: string[]]} Row */

/** @type {Record<number, Row>} */
export const ERRORS = {
  20101: ['AccessTokenInvalid', 'The gateway does not accept this token.', ['it was signed with another secret', 'it has no claim `ext`, or one that the gateway does not know'], ['make it as docs/tokens.md says']],
  20104: ['AccessTokenExpired', 'The token has expired.', ['`tokenWillExpire` was not followed by `updateToken`'], ['give Device a function that fetches a token']],
  31003: ['ConnectionTimeout', 'No answer came in time; whether the thing was done is not known.', ['the network is slow or gone', 'Asterisk is busy'], ['look at the state of the call, then try again']],
  31005: ['ConnectionError', 'There is no connection to the gateway.', ['the network or the gateway is away', 'a proxy does not let WebSockets through'], ['wait: the connection is tried again by itself']],
  31009: ['TransportError', 'The socket cannot be opened.', ['a wrong address', 'a page of http:// or a certificate that the browser does not trust'], ['open the address in a tab of its own, and see what the browser says']],
  31100: ['MalformedRequest', 'The gateway does not understand the request.', ['a wrong argument', 'a gateway older than this SDK'], ['see the message']],
  31105: ['InvalidState', 'The call is not in a state for that.', ['it has ended, or is not answered yet'], ['ask `call.status()` first']],
  31201: ['AuthorizationError', 'The new token is for another extension.', ['somebody else has logged in to the page'], ['`unregister()` first']],
  31205: ['TokenFailed', 'No token could be had.', ['the function that fetches it failed'], ['see `cause`']],
  31206: ['RateLimited', 'Too many requests, logins, or calls in this hour.', ['a loop', 'the limits of the configuration'], ['wait']],
  31400: ['BadRequest', 'An argument is not what it should be.', ['see the message'], ['see the message']],
  31401: ['PermissionDenied', 'The microphone may not be used.', ['a person or a policy has said no'], ['allow it in the browser, at the address bar']],
  31402: ['AcquisitionFailed', 'The microphone cannot be opened.', ['there is none', 'another program uses it', 'the page is not https'], ['plug one in, close the other program']],
  31403: ['Forbidden', 'This address may not connect, or this number may not be dialled.', ['allowed_browser_ips, allowed_origins or dial.allow of the configuration'], ['ask whoever runs the gateway']],
  31404: ['NotFound', 'There is no such call any more.', ['it has ended'], ['listen to `disconnect`']],
  31409: ['ExtensionInUse', 'The extension is in use elsewhere.', ['it is logged in on another device or tab'], ['log out there, or let `register()` try again']],
  31480: ['Unavailable', 'The gateway cannot do that at the moment.', ["Asterisk's manager is not configured, or away"], ['set `ami` in the configuration']],
  31484: ['BadNumber', 'This is not a number that can be dialled.', ['letters or signs in it'], ['dial digits, `*`, `#`, a leading `+`, or an extension']],
  31486: ['Busy', 'The phone has as many calls as it may.', ['two calls are up'], ['end one first']],
  31500: ['Failed', 'Asterisk refused.', ['see the message'], ['see the message']],
  31503: ['Draining', 'The gateway is about to stop.', ['a restart'], ['try again in a moment']],
  53000: ['SignalingConnectionError', 'The gateway has closed the connection for good.', ['see the message'], ['register again']],
  53001: ['SignalingConnectionDisconnected', 'The connection was lost; it is tried again.', ['the network'], ['wait for `reconnected`']],
  53405: ['MediaConnectionError', 'The sound has failed.', ['the audio module could not be loaded', 'no AudioWorklet in this browser'], ['see docs/sdk.md, Sound']],
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
 * What another tab or the gateway said, as an error.
 * @param {{[key: string]: any}} said with `code` and `message`
 */
export function errorOf(said) {
  return new PhoneError(Number(said.code) || 31100, said.message);
}
