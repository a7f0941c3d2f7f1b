// What the SDK gives to a page.

export { Phone } from './phone.js';
export { AudioEngine } from './audio/engine.js';
export { RingTone } from './audio/ring.js';
export { findToken, readToken } from './token.js';
