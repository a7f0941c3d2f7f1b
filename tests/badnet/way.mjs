// The way between Asterisk and the gateway, listened to: which audio went each way, and when. And
// the network between the gateway and the page (`emulator.py`), as something that a test can hold.

import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Milliseconds on the wall's clock, finer than Date.now(). */
export const wall = () => performance.timeOrigin + performance.now();

/**
 * Stands between Asterisk (which connects) and the gateway.
 * @param {number} target the gateway's port
 * @returns {Promise<{port: number, calls: Call[], close: () => void}>}
 * @typedef {{spoken: Piece[], arrived: Piece[]}} Call  `spoken` by Asterisk's side, `arrived` there
 * @typedef {{at: number, pcm?: Int16Array, flush?: boolean}} Piece
 */
export async function listenedWay(target) {
  const calls = [];
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const call = { spoken: [], arrived: [] };
    calls.push(call);
    const [spoken, arrived] = [new Frames(call.spoken), new Frames(call.arrived)];
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.on('data', (data) => (spoken.take(data), far.write(data)));
    far.on('data', (data) => (arrived.take(data), near.write(data)));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: server.address().port,
    calls,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** WebSocket messages out of a stream of bytes, after the HTTP head. */
class Frames {
  #rest = Buffer.alloc(0);
  #head = true;
  #pieces;
  constructor(pieces) {
    this.#pieces = pieces;
  }
  take(data) {
    const at = wall();
    this.#rest = Buffer.concat([this.#rest, data]);
    if (this.#head) {
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#head = false;
      this.#rest = this.#rest.subarray(end + 4);
    }
    while (this.#message(at));
  }
  #message(at) {
    const bytes = this.#rest;
    if (bytes.length < 2) return false;
    const masked = bytes[1] & 0x80 ? 4 : 0;
    let [length, head] = [bytes[1] & 0x7f, 2];
    if (length === 126) [length, head] = [bytes.length < 4 ? Infinity : bytes.readUInt16BE(2), 4];
    else if (length === 127) throw new Error('a message of more than 64 KiB');
    if (bytes.length < head + masked + length) return false;
    const body = Buffer.from(bytes.subarray(head + masked, head + masked + length));
    if (masked) for (let i = 0; i < length; i++) body[i] ^= bytes[head + (i & 3)];
    this.#rest = bytes.subarray(head + masked + length);
    const kind = bytes[0] & 0x0f;
    if (kind === 2) this.#pieces.push({ at, pcm: new Int16Array(body.buffer.slice(body.byteOffset, body.byteOffset + (length & ~1))) });
    else if (kind === 1 && body.includes('FLUSH_MEDIA')) this.#pieces.push({ at, flush: true });
    return true;
  }
}

/**
 * Starts the emulator; see its --help for the settings.
 * @param {string[]} settings
 */
export async function badNetwork(settings) {
  const space = `badnet-${process.pid}`;
  const near = `10.213.${process.pid % 250}.1`;
  const child = spawn('python3', [join(here, 'emulator.py'), space, near, ...settings], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise((done) => child.once('exit', done));
  await Promise.race([
    new Promise((done) => child.stdout.once('data', done)),
    gone.then((code) => Promise.reject(new Error(`the emulator ended with ${code}`))),
  ]);
  return {
    /** This machine's address on it, and the page's. */
    near,
    far: near.replace(/1$/, '2'),
    /** A command is run at the far end by putting this before it. */
    inside: ['ip', 'netns', 'exec', space],
    set: (setting) => child.stdin.write(`${setting}\n`),
    async close() {
      child.stdin.end();
      await gone;
    },
  };
}

/** Runs at the far end: takes connections there, and hands them over by a file, which both ends see. */
const FAR_DOOR = `
  const { connect, createServer } = require('net');
  const [host, port, file] = process.argv.slice(1);
  createServer((near) => {
    const far = connect(file);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('error', () => {}).on('close', () => to.destroy()).on('data', (data) => to.write(data));
    }
    near.setNoDelay(true);
  }).listen(port, host, () => console.log('open'));
`;

/**
 * A port of this machine is at the far end, too, under the same number: for a browser that can't be put there.
 * @param {Awaited<ReturnType<typeof badNetwork>>} network
 * @param {number} port
 * @param {string} file that isn't there yet
 */
export async function farDoor(network, port, file) {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    far.setNoDelay(true);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('error', () => {}).on('close', () => to.destroy()).on('data', (data) => to.write(data));
    }
  });
  await new Promise((done) => server.listen(file, done));
  const [command, ...rest] = network.inside;
  const child = spawn(command, [...rest, process.execPath, '-e', FAR_DOOR, network.far, port, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise((done) => child.once('exit', done));
  await Promise.race([new Promise((done) => child.stdout.once('data', done)), gone.then((code) => Promise.reject(new Error(`the far door ended with ${code}`)))]);
  return {
    async close() {
      child.kill();
      await gone;
      server.close();
    },
  };
}
