// The connection with a fake network and a fake clock: what it does about every kind of refusal,
// and that it neither loops, nor lies, nor locks its owner out.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Connection } from '../../web/sdk/connection.js';
import { makeToken } from './mock-gateway.mjs';

const MINUTE = 60000;

class FakeSocket {
  /** @type {FakeSocket[]} */
  static all = [];
  static get last() {
    return FakeSocket.all.at(-1);
  }
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  constructor(url) {
    this.url = url;
    FakeSocket.all.push(this);
  }
  send(message) {
    this.sent.push(message);
  }
  close() {
    this.readyState = 2;
  }
  // What the network does:
  opens() {
    this.readyState = 1;
    this.onopen?.();
  }
  says(data) {
    this.onmessage?.({ data });
  }
  ends() {
    this.readyState = 3;
    this.onclose?.();
  }
}

class FakePage extends EventTarget {
  visibilityState = 'visible';
  happens(name) {
    this.dispatchEvent(new Event(name));
  }
}

let connection;
let events;
let page;
/** How a plain GET is answered: a status, 'nobody', or 'silence'. */
let answer;
let asked;
let random;

function fakeFetch(url, { signal }) {
  asked.push(url);
  if (answer === 'nobody') return Promise.reject(new TypeError('Failed to fetch'));
  if (answer !== 'silence') return Promise.resolve({ status: answer });
  return new Promise((_, fail) => signal.addEventListener('abort', () => fail(new Error('aborted'))));
}

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
  FakeSocket.all = [];
  events = [];
  asked = [];
  answer = 'nobody';
  random = 0;
  page = new FakePage();
  connection = new Connection('wss://host/phone', { WebSocket: FakeSocket, fetch: fakeFetch, random: () => random, window: page, document: page });
  for (const name of ['connecting', 'ready', 'lost', 'stopped', 'text', 'tokenRefused']) {
    connection.on(name, (...args) => events.push([name, ...args]));
  }
});
afterEach(() => {
  connection.close();
  mock.timers.reset();
});

const names = () => events.map(([name]) => name);
const last = (name) => events.findLast((event) => event[0] === name);
const count = (name) => names().filter((n) => n === name).length;
const settle = () => new Promise((done) => setImmediate(done));
const pass = (ms) => mock.timers.tick(ms);
const pings = (socket) => socket.sent.filter((m) => m === 'PING').length;

function open(ttl = 3600) {
  connection.open(makeToken('2001', { ttl }));
  return FakeSocket.last;
}
function ready(ttl) {
  const socket = open(ttl);
  socket.opens();
  pass(1300);
  assert.equal(last('ready')?.[0], 'ready');
  return socket;
}
async function refused(status, socket = FakeSocket.last) {
  answer = status;
  socket.ends();
  await settle();
}
/** Ready, and `online` has led to a second login. */
function asking(ttl) {
  const first = ready(ttl);
  pass(3000);
  page.happens('online');
  pass(0);
  const second = FakeSocket.last;
  assert.notEqual(second, first);
  return { first, second };
}

// ---- a handshake that failed

test('401 stops: only another token helps', async () => {
  open();
  await refused(401);
  assert.deepEqual(last('stopped'), ['stopped', 'token']);
  pass(10 * MINUTE);
  assert.equal(FakeSocket.all.length, 1);
});

for (const [status, reason] of [[426, 'upgrade'], [500, 'server'], [502, 'server'], [503, 'server'], ['nobody', 'unreachable'], [429, 'limited'], [404, 'upgrade'], [0, 'upgrade']]) {
  test(`a failed handshake whose question is answered by ${status} is tried again, for ever`, async () => {
    open();
    for (let i = 0; i < 30; i++) {
      const before = FakeSocket.all.length;
      await refused(status);
      assert.equal(last('lost')[1], reason);
      pass(20000);
      assert.equal(FakeSocket.all.length, before + 1);
    }
    assert.equal(count('stopped'), 0);
  });
}

test('403 is told, and is tried again once a minute', async () => {
  open();
  await refused(403);
  assert.equal(last('lost')[1], 'forbidden');
  pass(MINUTE - 1);
  assert.equal(FakeSocket.all.length, 1);
  pass(1);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.opens();
  pass(1300);
  assert.equal(count('ready'), 1);
});

test('the reason is asked for once a minute at most', async () => {
  open();
  for (let ms = 0; ms < 10 * MINUTE; ms += 20000) {
    await refused(429);
    assert.equal(last('lost')[1], 'limited', 'what is known still holds');
    pass(20000);
  }
  assert.ok(asked.length >= 9 && asked.length <= 10, `asked ${asked.length} times`);
});

test('a token that has plainly expired is told as that, and nobody is asked', async () => {
  open(-3600);
  await refused(401);
  assert.deepEqual(last('stopped'), ['stopped', 'expired']);
  assert.equal(asked.length, 0);
});

test('a token that expires while the phone is up ends at the first login that fails', async () => {
  const socket = ready(60);
  pass(10 * MINUTE);
  assert.equal(count('stopped'), 0);
  socket.ends();
  pass(1000);
  await refused(401);
  assert.deepEqual(last('stopped'), ['stopped', 'expired']);
  assert.equal(asked.length, 0);
});

test('a token that was replaced while the old one was asked about is tried', async () => {
  open();
  answer = 401;
  FakeSocket.last.ends();
  connection.updateToken(makeToken('2002'));
  await settle();
  assert.equal(count('stopped'), 0);
  assert.equal(FakeSocket.all.length, 2);
});

test('a handshake without an answer is given up after 8 s', () => {
  open();
  pass(8000);
  assert.equal(last('lost')[1], 'unreachable');
});

// ---- online

test('online while the reason is asked for ends the question and tries at once', async () => {
  open();
  await refused('silence');
  assert.equal(FakeSocket.all.length, 1);
  page.happens('online');
  pass(0);
  assert.equal(FakeSocket.all.length, 2);
  await settle();
  assert.equal(count('lost') + count('stopped'), 0, 'the question that was ended says nothing');
  await refused(401);
  assert.deepEqual(last('stopped'), ['stopped', 'token'], 'and the next one is asked');
});

test('online while a handshake hangs begins a new one, a fresh one is left alone', () => {
  const socket = open();
  page.happens('online');
  pass(0);
  assert.equal(FakeSocket.all.length, 1);
  pass(3000);
  page.happens('online');
  pass(0);
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(socket.readyState, 2);
  assert.equal(socket.onclose, null);
});

test('online is obeyed after up to half a second of jitter', async () => {
  random = 0.8;
  open();
  await refused('nobody');
  page.happens('online');
  pass(399);
  assert.equal(FakeSocket.all.length, 1);
  pass(1);
  assert.equal(FakeSocket.all.length, 2);
});

test('online never begins a second login while it rings or talks', () => {
  const socket = ready();
  connection.inCall = true;
  pass(3000);
  page.happens('online');
  pass(500);
  assert.equal(FakeSocket.all.length, 1);
  assert.equal(pings(socket), 0);
});

// ---- the second login

for (const status of [429, 503, 502, 403, 426]) {
  test(`a second login that is refused (${status}) leaves the first alone`, async () => {
    const { first, second } = asking();
    await refused(status, second);
    assert.equal(first.readyState, 1);
    assert.equal(count('lost') + count('stopped') + count('tokenRefused'), 0);
    first.says('RINGING');
    assert.deepEqual(last('text'), ['text', 'RINGING']);
  });
}

test('a second login that is refused with 401 leaves the first alone and warns of the token', async () => {
  const { first, second } = asking();
  await refused(401, second);
  assert.equal(count('tokenRefused'), 1);
  assert.equal(count('lost') + count('stopped'), 0);
  first.says('RINGING');
  assert.equal(count('text'), 1);
});

test('a second login that lets nobody answer brings the first in doubt as well', async () => {
  const { first, second } = asking();
  await refused('nobody', second);
  assert.equal(last('lost')[1], 'unreachable');
  assert.equal(first.readyState, 2);
});

test('a second login that cannot be asked about leaves the first alone', async () => {
  const { first, second } = asking();
  await refused(503, second);
  pass(3000);
  page.happens('online');
  pass(0);
  answer = 'nobody';
  assert.equal(FakeSocket.all.length, 3);
  await refused('nobody');
  assert.equal(asked.length, 1);
  assert.equal(first.readyState, 1);
  assert.equal(count('lost'), 0);
});

test('a second login that is let in and closed at once leaves the first alone', () => {
  const { first, second } = asking();
  second.opens();
  second.ends();
  assert.equal(first.readyState, 1);
  assert.equal(count('lost'), 0);
});

test('a second login that gets BUSY proves that the first lives', () => {
  const { first, second } = asking();
  second.opens();
  second.says('BUSY');
  pass(5000);
  assert.equal(first.readyState, 1);
  assert.equal(second.readyState, 2);
  assert.equal(count('lost') + count('stopped'), 0);
});

test('a second login that is in takes over, without a word to anybody', () => {
  const { first, second } = asking();
  second.opens();
  pass(1300);
  assert.equal(first.readyState, 2);
  second.says('RINGING');
  assert.equal(count('text'), 1);
  assert.equal(count('lost') + count('stopped'), 0);
});

test('BUSY that comes after the second took over is about our own first socket', () => {
  const { second } = asking();
  second.opens();
  pass(1300);
  second.says('BUSY');
  assert.equal(count('stopped'), 0);
  assert.equal(count('lost'), 1);
});

test('under replace, KICKED on the first means that the second is in', () => {
  const { first, second } = asking();
  second.opens();
  first.says('KICKED');
  second.says('RINGING');
  assert.equal(count('text'), 1);
  assert.equal(count('lost') + count('stopped'), 0);
});

test('KICKED while the second is on its way closes the second before anything else', () => {
  const { first, second } = asking();
  first.says('KICKED');
  assert.equal(second.readyState, 2, 'closed');
  assert.equal(second.onopen, null, 'silenced');
  assert.equal(second.onclose, null);
  assert.equal(last('lost')[1], 'closed');
  assert.equal(count('stopped'), 0, 'it was our own doing');
  pass(1000);
  assert.equal(FakeSocket.all.length, 3);
  FakeSocket.last.opens();
  pass(1300);
  assert.equal(count('ready'), 2);
});

test('KICKED with no second login of ours stops', () => {
  ready().says('KICKED');
  assert.deepEqual(last('stopped'), ['stopped', 'kicked']);
});

test('a call that comes while the second is on its way closes the second', () => {
  const { first, second } = asking();
  first.says('RINGING');
  assert.equal(second.readyState, 2);
  assert.equal(count('lost'), 0);
});

test('no second login is begun with a token that has expired', () => {
  const first = ready(30);
  pass(3 * MINUTE);
  page.happens('online');
  pass(0);
  assert.equal(FakeSocket.all.length, 1);
  assert.ok(pings(first) > 0);
  assert.equal(count('lost'), 0);
});

// ---- BUSY

test('BUSY stops a phone that was not here before', () => {
  const socket = open();
  socket.opens();
  socket.says('BUSY');
  assert.deepEqual(last('stopped'), ['stopped', 'busy']);
});

test('BUSY right after a loss may be our own ghost: it is tried again, but not for ever', () => {
  ready().ends();
  for (let i = 0; i < 20 && count('stopped') === 0; i++) {
    pass(5000);
    FakeSocket.last.opens();
    FakeSocket.last.says('BUSY');
  }
  assert.ok(count('lost') > 3);
  assert.deepEqual(last('stopped'), ['stopped', 'busy']);
});

// ---- an idle phone doubts its connection

test('an idle phone sends a word every two to three minutes, and nothing else happens', () => {
  random = 0.5;
  const socket = ready();
  for (let i = 0; i < 360; i++) pass(10000);
  assert.equal(pings(socket), 24);
  assert.equal(FakeSocket.all.length, 1, 'no second login');
  assert.equal(count('lost'), 0);
});

test('a word that does not leave the browser within 10 s is a dead connection', () => {
  const socket = ready();
  socket.bufferedAmount = 4;
  pass(2 * MINUTE);
  assert.equal(pings(socket), 1);
  pass(9999);
  assert.equal(count('lost'), 0);
  pass(1);
  assert.equal(last('lost')[1], 'closed');
  assert.equal(socket.readyState, 2);
});

test('any sign of life ends the doubt, and so does a call', () => {
  const socket = ready();
  socket.bufferedAmount = 4;
  pass(2 * MINUTE + 1000);
  socket.says('RINGING');
  pass(9000);
  assert.equal(count('lost'), 0);
  pass(2 * MINUTE);
  connection.inCall = true;
  pass(2 * MINUTE);
  assert.equal(count('lost'), 0);
});

test('a browser that slept is looked at twice before its connection is called dead', () => {
  const socket = ready();
  for (const lost of [0, 1]) {
    socket.bufferedAmount = 4;
    page.happens('visibilitychange');
    // One step of the clock: the timers in it fire late.
    pass(60 * MINUTE);
    assert.equal(count('lost'), 0);
    socket.bufferedAmount = 4 * lost;
    pass(10000);
    assert.equal(count('lost'), lost);
  }
});

for (const name of ['visibilitychange', 'pageshow']) {
  test(`${name} sends a word, and no second login`, () => {
    const socket = ready();
    pass(MINUTE);
    page.happens(name);
    page.happens(name);
    assert.equal(pings(socket), 1);
    assert.equal(FakeSocket.all.length, 1);
  });

  test(`${name} ends a wait`, async () => {
    open();
    await refused('nobody');
    page.happens(name);
    assert.equal(FakeSocket.all.length, 2);
  });
}

test('after close nothing happens any more', async () => {
  const { first, second } = asking();
  connection.close();
  const before = events.length;
  page.happens('online');
  for (let i = 0; i < 30; i++) pass(MINUTE);
  await settle();
  assert.equal(events.length, before);
  assert.equal(FakeSocket.all.length, 2);
  assert.ok(first.readyState === 2 && second.readyState === 2);
});
