// The emulated network of script/badnet: it delays, goes dark, and leaves nothing behind. And what a call in Firefox
// does when it goes dark; script/badnet says that of Chromium.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { badNetwork, farDoor } from '../badnet/way.mjs';
import { hasFirefox, launchFirefox } from '../browser/firefox.mjs';
import { build } from './house.mjs';

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

test('Firefox: after three seconds of darkness a call is heard again over another socket, and once more', {
  skip: whyNot() || (hasFirefox ? false : 'there is no Firefox or no PulseAudio'), timeout: 180_000,
}, async (t) => {
  const network = await badNetwork(['delay=30']);
  let [house, door, firefox] = [];
  try {
    house = await build({ config: { allowed_origins: [] } });
    door = await farDoor(network, Number(new URL(house.phoneUrl).port), join(house.folder, 'door'));
    firefox = await launchFirefox();
    const page = await firefox.openPage(house.link('2001').replace('127.0.0.1', network.far));
    await page.waitFor(() => window.goastgateway?.phone.state === 'ready');
    const call = await house.call('2001', '--app', 'tone1000');
    await page.waitFor(() => window.goastgateway.phone.state === 'ringing');
    await page.press('Enter');
    await page.waitFor(() => window.goastgateway.phone.stats.framesDown > 150);
    const frames = () => page.evaluate(() => window.goastgateway.phone.stats.framesDown);
    // Twice: of what it tried in the first darkness Firefox has something left in the second.
    for (let dark = 1; dark <= 2; dark++) {
      network.set('blackout=3');
      const back = performance.now() + 3000;
      await new Promise((done) => setTimeout(done, 2500)); // within the darkness
      const before = await frames();
      await page.waitFor((n) => window.goastgateway.phone.stats.framesDown > n + 50, before);
      t.diagnostic(`a second of sound ${Math.round(performance.now() - back)} ms after the network is back`);
      assert.equal(await page.evaluate(() => window.goastgateway.phone.state), 'in-call');
    }
    const log = house.log.text.split('\n');
    assert.ok(log.some((line) => line.includes('phone is back')), 'over another socket');
    await page.press('Escape');
    assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
  } finally {
    await firefox?.close();
    await door?.close();
    await house?.tearDown();
    await network.close();
  }
});
