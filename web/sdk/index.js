// What the SDK gives to a page.

export { Device } from './device.js';
export { Call } from './call.js';
export { AudioHelper } from './audio-helper.js';
export { ERRORS, PhoneError } from './errors.js';
export { AudioEngine } from './audio/engine.js';
export { playKey, playTest, RingTone } from './audio/ring.js';
export { ringFor } from './audio/tones.js';
export { findToken, readToken } from './token.js';
