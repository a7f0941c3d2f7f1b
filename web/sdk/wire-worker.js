// The socket in a worker. See wire-socket.js.

import { Socket } from './wire-socket.js';

/** @type {{postMessage: (news: any, transfer?: Transferable[]) => void, onmessage: ((event: MessageEvent) => void) | null}} */
const page = /** @type {any} */ (globalThis);

const socket = new Socket((news, transfer = []) => page.postMessage(news, transfer));
page.onmessage = ({ data }) => socket.take(data);
page.postMessage({ is: 'running' });
