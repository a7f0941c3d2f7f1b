// The emulated network of script/badnet: it delays, goes dark, and leaves nothing behind.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { badNetwork } from '../badnet/way.mjs';

const run = promisify(execFile);

function whyNot() {
  try {
    accessSync('/dev/net/tun', constants.W_OK);
    if (process.getuid() !== 0) return 'the emulator needs root';
    execFileSync('ip', ['netns']);
    return false;
  } catch (error) {
    return `no network can be emulated here: ${error.message}`;
  }
}

/** Connects, says something, and tells how long each answer took, in ms. Runs inside. */
const CLIENT = `
  const [host, port, count] = process.argv.slice(1);
  const socket = require('net').connect(port, host);
  socket.setNoDelay(true);
  const took = [];
  let sent;
  const say = () => { sent = performance.now(); socket.write('x'); };
  socket.on('connect', say);
  socket.on('data', () => {
    took.push(performance.now() - sent);
    if (took.length < count) say(); else { console.log(JSON.stringify(took)); socket.end(); }
  });
  socket.on('error', (error) => { console.error(error.message); process.exit(1); });
`;

test('a bad network delays each way, waits out a hold, and takes itself away', { skip: whyNot() }, async () => {
  const network = await badNetwork(['delay=40']);
  const echo = createServer((socket) => socket.pipe(socket));
  try {
    await new Promise((done) => echo.listen(0, network.near, done));
    const { port } = echo.address();
    const ask = async (count) => {
      const [command, ...rest] = network.inside;
      const { stdout } = await run(command, [...rest, process.execPath, '-e', CLIENT, network.near, port, count]);
      return JSON.parse(stdout);
    };
    const calm = await ask(5);
    assert.ok(Math.min(...calm) >= 79, `${calm}`);
    network.set('delay=0');
    network.set('hold=1');
    await ask(1); // its handshake waits, and comes through
    const quick = await ask(5);
    assert.ok(Math.min(...quick) < 40, `${quick}`);
  } finally {
    echo.close();
    await network.close();
  }
  assert.doesNotMatch(execFileSync('ip', ['netns']).toString(), new RegExp(network.inside[3]));
});
