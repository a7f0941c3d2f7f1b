// Any channel of a real Asterisk, listened to through ARI: two channels talk, no browser is near.
// What each ending leaves in Asterisk is looked at past the gateway.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { rms, shareOfTone } from '../browser/signal.mjs';
import { build } from './house.mjs';
import { delayBetween, readWav } from './sound.mjs';

const { WebSocketServer } = createRequire(new URL('../browser/package.json', import.meta.url))('ws');
const MARK = 'goastgateway-tap-';

let house;
let folder;
let consumer;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gateway-channels-'));
  house = await build({
    ari: true,
    ami: true,
    config: { audiofork: { servers: ['127.0.0.1'] }, recording: { when: 'asked', spool: join(folder, 'spool'), directory: join(folder, 'kept'), min_free_mib: 1 } },
  });
  consumer = await Consumer.open();
});
after(async () => {
  consumer?.close();
  await house?.tearDown();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await house.cli('channel request hangup all');
  await house.until('nothing is left', async () => (await left()).length === 0);
});

/** Takes streams, and keeps what each connection brought. */
class Consumer {
  connections = new Map();
  sockets = new Set();
  static async open() {
    const one = new Consumer();
    one.server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await new Promise((done) => one.server.once('listening', done));
    one.server.on('connection', (socket, request) => {
      const got = { chunks: [], bytes: 0, closed: false };
      one.connections.set(request.url, got);
      one.sockets.add(socket);
      socket.on('message', (data) => (got.chunks.push(data), (got.bytes += data.length)));
      socket.on('close', () => (one.sockets.delete(socket), (got.closed = true)));
    });
    return one;
  }
  close() {
    this.server.close();
    this.sockets.forEach((socket) => socket.terminate());
  }
  url(path) {
    return `ws://127.0.0.1:${this.server.address().port}${path}`;
  }
  /** What came over the connection of this path, as samples. */
  heard(path) {
    const bytes = Buffer.concat(this.connections.get(path)?.chunks ?? []);
    return Float32Array.from({ length: bytes.length >> 1 }, (_, n) => bytes.readInt16LE(2 * n) / 32768);
  }
  seconds = (path, seconds) => house.until(`${seconds} s at ${path}`, () => (this.connections.get(path)?.bytes ?? 0) >= seconds * 32000);
  closed = (path) => house.until(`${path} is closed`, () => this.connections.get(path)?.closed);
}

/** What there is of ours in Asterisk, and every bridge. */
async function left() {
  const [channels, bridges] = await Promise.all([house.ari('/channels'), house.ari('/bridges')]);
  return [...channels, ...bridges].map((one) => one.id).filter((id) => id.startsWith(MARK));
}

/** Two channels talk over SIP: says 440 Hz and hears 1000 Hz. Gives the channel, and its bridge. */
async function talking(from = 'tone1000@apps') {
  await house.cli(`channel originate Local/621@from-phones/n extension ${from}`);
  let channel;
  await house.until('they talk', async () => {
    const channels = await house.ari('/channels');
    channel = channels.find((one) => one.name.startsWith('PJSIP/loop') && one.dialplan.app_name === 'AppDial' && one.state === 'Up');
    return channel && (await house.ari('/bridges')).some((bridge) => bridge.channels.includes(channel.id));
  });
  const bridge = (await house.ari('/bridges')).find((one) => one.channels.includes(channel.id));
  return { ...channel, bridge };
}

let names = 0;
/** Starts a stream of what a channel says and hears. */
async function listen(channel) {
  names += 1;
  const path = (side) => `/${names}/${side}`;
  const stream = { format: 'raw', rate: 16000, attempts: 0, left: consumer.url(path('left')), right: consumer.url(path('right')) };
  const { status, body } = await house.api('POST', '/streams', { channel, stream });
  assert.equal(status, 201, JSON.stringify(body));
  return { id: body.id, left: path('left'), right: path('right') };
}

test('what a channel says is left, what it hears is right, in a stream and in a recording', async () => {
  const channel = await talking();
  const stream = await listen(channel.name);
  assert.equal((await house.api('POST', '/recordings', { channel: channel.id })).status < 300, true);
  const parts = await left();
  assert.equal(parts.length, 6, parts.join());
  await consumer.seconds(stream.left, 3);
  const [call] = (await house.api('GET', '/streams')).body;
  assert.equal(call.channel, channel.name);
  assert.equal((await house.api('POST', '/recordings/stop', { channel: channel.id })).status, 204);
  assert.equal((await house.api('DELETE', `/streams/${stream.id}`)).status, 204);
  await consumer.closed(stream.left);
  await house.until('nothing is left', async () => (await left()).length === 0);
  const share = (samples, tones) => shareOfTone(samples.subarray(8000), tones, 16000);
  assert.ok(share(consumer.heard(stream.left), [440, 1000]) > 0.9);
  assert.ok(share(consumer.heard(stream.right), [1000, 440]) > 0.9);
  // The recording, the same.
  let file;
  await house.until('the recording is stored', async () => {
    const { status, body } = await house.api('GET', `/recordings/${call.call_id}`);
    if (status === 200) file = Buffer.from(body);
    return status === 200 && file.length > 32000 * 2;
  });
  const side = (n) => Float32Array.from({ length: (file.length - 44) >> 2 }, (_, i) => file.readInt16LE(44 + 4 * i + 2 * n) / 32768);
  assert.ok(share(side(0), [440, 1000]) > 0.9);
  assert.ok(share(side(1), [1000, 440]) > 0.9);
  // The call itself goes on, where it was.
  const bridge = (await house.ari('/bridges')).find((one) => one.channels.includes(channel.id));
  assert.deepEqual([bridge.id, bridge.channels.sort()], [channel.bridge.id, channel.bridge.channels.sort()]);
});

test('AudioFork asked for as an event, of a channel that no phone has to do with', async () => {
  const channel = await talking();
  const ask = (event, fields) => house.manager(
    { Action: 'UserEvent', UserEvent: event, Channel: channel.name, ActionID: '7', ...fields },
    (packet) => packet.UserEvent === 'AudioForkResult',
  );
  const started = await ask('AudioFork', { WsServer: consumer.url('/fork/in'), Options: 'D(in)r(1)' });
  assert.equal(started.Result, 'Success', JSON.stringify(started));
  await consumer.seconds('/fork/in', 1);
  assert.equal((await ask('StopAudioFork', { AudioForkID: started.AudioForkID })).Result, 'Success');
  await consumer.closed('/fork/in');
  // Raw is 8 kHz unless somebody asks for more.
  assert.ok(shareOfTone(consumer.heard('/fork/in').subarray(4000), [440, 1000], 8000) > 0.8);
});

test('both sides are aligned', async () => {
  // Whoever runs Echo() says at once what it hears: the prompt that the other end plays.
  await house.cli('channel originate Local/617@far/n extension speech@apps');
  let echo;
  await house.until('it echoes', async () => {
    echo = (await house.ari('/channels')).find((one) => one.dialplan.app_name === 'Echo');
    return echo;
  });
  // Where the machine is busy with something else, Asterisk's timers lose ticks: then once more.
  const tried = [];
  const aligned = async () => {
    const stream = await listen(echo.id);
    await consumer.seconds(stream.left, 6);
    const [said, heard] = [consumer.heard(stream.left), consumer.heard(stream.right)].map((all) => all.subarray(16000, 16000 * 5));
    assert.ok(rms(said) > 0.005, 'speech is heard');
    // Piece by piece, either way round: a busy machine costs a piece here and there.
    const apart = [];
    for (let at = 0; at + 16000 <= said.length; at += 8000) {
      const piece = (all, from, to) => all.subarray(at + from, at + to);
      if (rms(piece(said, 4000, 12000)) < 0.005) continue;
      const later = delayBetween(piece(said, 4000, 12000), piece(heard, 4000, 16000), 16000, 250);
      const sooner = delayBetween(piece(heard, 4000, 12000), piece(said, 4000, 16000), 16000, 250);
      apart.push(later.likeness >= sooner.likeness ? later : { ...sooner, ms: -sooner.ms });
    }
    const told = apart.map(({ ms, likeness }) => `${ms.toFixed(1)} ms (${likeness.toFixed(2)})`).join(', ');
    // Each side comes by a timer of its own in Asterisk, which loses ticks on a machine that is too busy.
    const good = apart.filter(({ ms, likeness }) => likeness > 0.75 && Math.abs(ms) <= 40);
    tried.push(told);
    await house.api('DELETE', `/streams/${stream.id}`);
    await house.until('nothing is left', async () => (await left()).length === 0);
    return apart.length >= 3 && good.length >= 0.7 * apart.length;
  };
  for (let tries = 0; tries < 4; tries += 1) {
    if (await aligned()) return;
  }
  assert.fail(tried.join('\n'));
});

test('a call that is listened to sounds as it did', async () => {
  const before = new Set(house.list('records'));
  const channel = await talking('record@apps');
  for (let n = 0; n < 3; n += 1) {
    const stream = await listen(channel.id);
    await consumer.seconds(stream.left, 1);
    await house.api('DELETE', `/streams/${stream.id}`);
    await house.until('nothing is left', async () => (await left()).length === 0);
  }
  await house.cli('channel request hangup all');
  let file;
  await house.until('the far end has kept what it heard', async () => {
    file = house.list('records').find((name) => !before.has(name) && name.endsWith('wav16'));
    return file && (await house.ari('/channels')).length === 0;
  });
  const { samples, rate } = readWav(file);
  const middle = samples.subarray(rate, samples.length - rate);
  assert.ok(middle.length > 2 * rate);
  assert.ok(shareOfTone(middle, [440, 1000], rate) > 0.97, 'a tone without a hole');
});

test('when the channel hangs up its consumer is told and nothing is left', async () => {
  const channel = await talking();
  const stream = await listen(channel.name);
  await consumer.seconds(stream.left, 0.5);
  await house.ari(`/channels/${channel.id}`, 'DELETE');
  await consumer.closed(stream.left);
  await house.until('nothing is left', async () => (await left()).length === 0);
  const { status, body } = await house.api('POST', '/recordings', { channel: channel.name });
  assert.deepEqual([status, body.detail], [404, 'Asterisk has no such channel']);
});

test('when the consumer goes nothing is left, and the call goes on', async () => {
  const channel = await talking();
  const stream = await listen(channel.id);
  await consumer.seconds(stream.left, 0.5);
  consumer.close();
  await house.until('nothing is left', async () => (await left()).length === 0);
  assert.ok((await house.ari('/channels')).some((one) => one.id === channel.id));
  consumer = await Consumer.open();
});

test('when the way to ARI breaks it goes on, and what ended meanwhile is found', async () => {
  const channel = await talking();
  const stream = await listen(channel.id);
  await consumer.seconds(stream.left, 0.5);
  house.ariWay.cut();
  await house.until('ARI is lost', async () => /goastgateway_ari_up 0/.test(await house.metrics()));
  await house.until('ARI is back', async () => /goastgateway_ari_up 1/.test(await house.metrics()));
  const before = consumer.connections.get(stream.left).bytes;
  await house.until('audio goes on', () => consumer.connections.get(stream.left).bytes > before + 32000);
  house.ariWay.freeze();
  await house.ari(`/channels/${channel.id}`, 'DELETE');
  house.ariWay.cut();
  house.ariWay.thaw();
  await consumer.closed(stream.left);
  await house.until('nothing is left', async () => (await left()).length === 0);
});

test('when the gateway stops nothing is left, and when it dies the next one sweeps', async () => {
  const channel = await talking();
  const stream = await listen(channel.id);
  await consumer.seconds(stream.left, 0.5);
  const stopping = house.restart('SIGTERM');
  await consumer.closed(stream.left);
  await stopping;
  assert.deepEqual(await left(), []);
  await house.log.wait((line) => line.includes("logged in to Asterisk's ARI"), 'logged in to ARI');
  const second = await listen(channel.id);
  await consumer.seconds(second.left, 0.5);
  // Somebody else's, which looks almost like ours.
  await house.ari('/bridges?type=mixing&bridgeId=goastgateway-tap-x', 'POST');
  await house.restart('SIGKILL');
  assert.ok((await left()).length > 1, 'something was left');
  await house.until('it is swept', async () => (await left()).join() === 'goastgateway-tap-x');
  await house.ari('/bridges/goastgateway-tap-x', 'DELETE');
  assert.ok((await house.ari('/channels')).some((one) => one.id === channel.id), 'the call goes on');
  await house.log.wait((line) => line.includes("logged in to Asterisk's ARI"), 'logged in to ARI');
});

test('ten channels at once, and all of them let go', async () => {
  await house.cli('channel originate Local/617@far/n extension speech@apps');
  for (let n = 0; n < 4; n += 1) await house.cli('channel originate Local/617@far/n extension speech@apps');
  let channels;
  await house.until('they talk', async () => {
    channels = (await house.ari('/channels')).filter((one) => one.name.startsWith('Local/617'));
    return channels.length === 10 && channels.every((one) => one.state === 'Up');
  });
  const streams = await Promise.all(channels.map((one) => listen(one.name)));
  assert.equal((await left()).length, 60);
  await Promise.all(streams.map((stream) => consumer.seconds(stream.right, 1)));
  await house.cli('channel request hangup all');
  await Promise.all(streams.map((stream) => consumer.closed(stream.right)));
  await house.until('nothing is left', async () => (await house.ari('/channels')).length === 0 && (await left()).length === 0);
});

test('the doctor sees ARI', async () => {
  const { checks } = await house.doctor();
  const ari = checks.filter((one) => one.check === 'ari');
  assert.ok(ari.length >= 4 && ari.every((one) => one.state === 'ok'), JSON.stringify(ari));
});

test('when Asterisk restarts it is let go of, and the next one can be heard', async () => {
  const channel = await talking();
  const stream = await listen(channel.id);
  await consumer.seconds(stream.left, 0.5);
  await house.restartAsterisk();
  await consumer.closed(stream.left);
  await house.until('ARI is back', async () => /goastgateway_ari_up 1/.test(await house.metrics()));
  await house.until('Asterisk is', async () => house.ari('/asterisk/ping').then((pong) => pong.ping === 'pong', () => false));
  assert.deepEqual(await left(), []);
  const next = await listen((await talking()).id);
  await consumer.seconds(next.left, 0.5);
});
