// AudioFork by events of a real Asterisk: by its dialplan (tests/rig/extensions.conf, [forked]) and by a
// program that is logged in to its manager.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { build } from './house.mjs';
import { Phone, shareOf } from './phone.mjs';

const { WebSocketServer } = createRequire(new URL('../browser/package.json', import.meta.url))('ws');

let house;
let consumer;
let manager;
let phone;
/** What came, by path. */
const forks = new Map();

/** Another program at the manager: says actions, and waits for events. */
class Manager {
  #text = '';
  #waiting = [];

  static async open(port, secret) {
    const manager = new Manager();
    manager.socket = connect(port, '127.0.0.1');
    manager.socket.setEncoding('utf8');
    manager.socket.on('data', (text) => {
      manager.#text += text;
      manager.#waiting = manager.#waiting.filter((check) => !check());
    });
    manager.say({ Action: 'Login', Username: 'rig', Secret: secret });
    await manager.hears((packet) => packet.Message === 'Authentication accepted');
    return manager;
  }

  say(action) {
    const lines = Object.entries(action).map(([key, value]) => `${key}: ${value}\r\n`);
    this.socket.write(`${lines.join('')}\r\n`);
  }

  #packets() {
    return this.#text.split('\r\n\r\n').slice(0, -1).map((packet) => Object.fromEntries(
      packet.split('\r\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    ));
  }

  hears(test, timeout = 8000) {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`no such packet in:\n${this.#text.slice(-4000)}`)), timeout);
      const check = () => {
        const found = this.#packets().find(test);
        if (!found) return false;
        clearTimeout(timer);
        done(found);
        return true;
      };
      if (!check()) this.#waiting.push(check);
    });
  }

  /** Sends an event, and gives what the gateway answers. */
  ask(name, id, fields) {
    this.say({ Action: 'UserEvent', UserEvent: name, ActionID: id, ...fields });
    return this.hears((packet) => packet.UserEvent === 'AudioForkResult' && packet.RequestID === id);
  }
}

before(async () => {
  consumer = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  consumer.on('connection', (socket, request) => {
    const fork = { frames: [], closed: undefined };
    forks.set(request.url, fork);
    socket.on('message', (frame) => fork.frames.push(frame));
    socket.on('close', (code) => { fork.closed = code; });
  });
  await new Promise((done) => consumer.once('listening', done));
  house = await build({ ami: true, config: { audiofork: { servers: ['127.0.0.1'] } } });
  const rig = Object.fromEntries(house.read('rig.env').trim().split('\n').map((line) => line.split(/=(.*)/s)));
  manager = await Manager.open(Number(rig.AMI_PORT), rig.AMI_SECRET);
  phone = await Phone.open(house, '2001');
});

after(async () => {
  phone?.close();
  manager?.socket.destroy();
  consumer?.close();
  await house?.tearDown();
});

test('a call is forked by the dialplan and by the manager, muted, and let alone again', async () => {
  const url = `ws://127.0.0.1:${consumer.address().port}`;
  await house.cli(`dialplan set global FORK_TO ${url}/in`);
  await house.cli('channel originate Local/82001@phones extension tone1000@apps');
  await phone.answers();

  // By the dialplan: what the phone says, which is silence.
  const started = await manager.hears((packet) => packet.UserEvent === 'AudioForkResult');
  assert.equal(started.Result, 'Success', JSON.stringify(started));
  const channel = started.Channel;
  assert.match(channel, /^WebSocket\//);
  const variables = await house.until('the variable is set', async () => {
    const text = await house.cli(`core show channel ${channel}`);
    return text.includes('FORK_ID=') && text;
  });
  assert.ok(variables.includes(`FORK_ID=${started.AudioForkID}`), variables);

  // By the manager: what the phone is sent, a tone.
  const out = await manager.ask('AudioFork', 'out-1', { Channel: channel, WsServer: `${url}/out`, Options: 'D(out)' });
  assert.equal(out.Result, 'Success', JSON.stringify(out));
  await house.until('both have a second', () => ['/in', '/out'].every((path) => forks.get(path)?.frames.length > 50));
  for (const { frames } of forks.values()) assert.ok(frames.every((frame) => frame.length === 320));
  const newest = (path) => Buffer.concat(forks.get(path).frames.slice(-25));
  assert.ok(shareOf(1000, newest('/out'), 8000) > 0.9, 'no tone in what the phone is sent');
  assert.ok(newest('/in').every((byte) => byte === 0), 'something in what the phone says');

  // Silence in one of the two; the call goes on.
  const mute = { Channel: channel, Direction: 'write', State: '1', AudioForkID: out.AudioForkID };
  assert.equal((await manager.ask('AudioForkMute', 'mute-1', mute)).Result, 'Success');
  await house.until('it is silent', () => newest('/out').every((byte) => byte === 0));
  await phone.hearsTone(1000);
  assert.equal((await manager.ask('AudioForkMute', 'mute-0', { ...mute, State: '0' })).Result, 'Success');
  await house.until('it is heard again', () => shareOf(1000, newest('/out'), 8000) > 0.9);

  // One is stopped, then all; the call goes on.
  const one = { Channel: channel, AudioForkID: out.AudioForkID };
  assert.equal((await manager.ask('StopAudioFork', 'stop-1', one)).Result, 'Success');
  await house.until('one is closed in order', () => forks.get('/out').closed === 1000);
  assert.equal(forks.get('/in').closed, undefined);
  assert.equal((await manager.ask('StopAudioFork', 'stop-2', { Channel: channel })).Result, 'Success');
  await house.until('the other is closed in order', () => forks.get('/in').closed === 1000);
  await phone.hearsTone(1000);

  // Nobody else is sent audio.
  const evil = { Channel: channel, WsServer: 'ws://169.254.169.254/', Options: '' };
  const refused = await manager.ask('AudioFork', 'evil-1', evil);
  assert.equal(refused.Result, 'Error');
  assert.match(refused.Message, /not in audiofork's "servers"/);
  await house.cli('channel request hangup all');
});

test('with b nothing is sent while the channel is in no bridge', async () => {
  const url = `ws://127.0.0.1:${consumer.address().port}/bridged`;
  await house.cli('channel originate Local/2001@phones extension tone1000@apps');
  await phone.answers();
  await phone.hearsTone(1000);
  const [channel] = (await house.cli('core show channels concise')).split('\n')
    .map((line) => line.split('!')[0]).filter((name) => name.startsWith('WebSocket/'));
  const ask = { Channel: channel, WsServer: url, Options: 'D(out)b' };
  const started = await manager.ask('AudioFork', 'b-1', ask);
  assert.equal(started.Result, 'Success', JSON.stringify(started));
  // It is in one: it has the tone.
  await house.until('it has half a second', () => forks.get('/bridged')?.frames.length > 25);

  // It goes on alone in the dialplan, and hears another tone there.
  await house.cli(`channel redirect ${channel} apps,tone440,1`);
  await phone.hearsTone(440);
  const frames = forks.get('/bridged').frames.length;
  for (let n = 0; n < 4; n += 1) await phone.hearsTone(440);
  assert.ok(forks.get('/bridged').frames.length <= frames + 2, 'something was sent outside a bridge');
  assert.equal(forks.get('/bridged').closed, undefined);
  assert.ok(shareOf(440, Buffer.concat(forks.get('/bridged').frames), 8000) < 0.2);
  await house.cli('channel request hangup all');
  await house.until('it is closed in order', () => forks.get('/bridged').closed === 1000);
});
