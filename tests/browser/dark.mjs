// A way to a server that can go dark, as a network does: what is on it waits, and nobody is told.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * @param {number} target a port of this machine
 * @returns {Promise<{port: number, dark: () => void, light: (forAll: boolean) => void, close: () => void}>}
 *   `light`: connections that are made from now on pass; those from before sleep on, as TCP does that waits ever
 *   longer before it tries again, or go on, too
 */
export async function darkWay(target) {
  let isDark = false;
  const pairs = new Set();
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const pair = [near, far];
    pairs.add(pair);
    for (const [socket, other] of [pair, [far, near]]) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('data', (data) => other.write(data));
      socket.on('close', () => {
        pairs.delete(pair);
        // What has been said is still delivered: the last of a file comes with the end of its connection.
        other.destroySoon();
      });
    }
    if (isDark) for (const socket of pair) socket.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const all = (what) => {
    for (const pair of pairs) for (const socket of pair) socket[what]();
  };
  return {
    port: server.address().port,
    dark() {
      isDark = true;
      all('pause');
    },
    light(forAll) {
      isDark = false;
      if (forAll) all('resume');
    },
    close() {
      all('destroy');
      server.close();
    },
  };
}
