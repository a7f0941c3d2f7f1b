// The socket with the sound past it: what waits, what is dropped, and how one takes another's place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Socket } from '../../web/sdk/wire-socket.js';

/** A browser's WebSocket, as far as the network takes it. */
class FakeSocket {
  static made = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  closed = false;
  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.made.push(this);
  }
  send(data) {
    this.sent.push(data);
    if (this.stuck) this.bufferedAmount += data.byteLength;
  }
  close() {
    this.closed = true;
    this.readyState = 3;
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  says(data) {
    this.onmessage?.({ data });
  }
}

function wire(t) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  FakeSocket.made = [];
  const w = { news: [], now: 0 };
  w.socket = new Socket((news) => w.news.push(news), FakeSocket, () => w.now);
  w.pass = (ms, each = () => {}) => {
    for (let i = 0; i < ms; i += 10) {
      w.now += 10;
      each(i);
      t.mock.timers.tick(10);
    }
  };
  w.told = (is) => w.news.filter((n) => n.is === is);
  w.counts = () => {
    w.socket.take({ do: 'count' });
    return w.told('counts').at(-1).counts;
  };
  w.open = (what = 'open') => {
    w.socket.take({ do: what, url: 'wss://x/phone', protocols: [] });
    const made = FakeSocket.made.at(-1);
    made.open();
    return made;
  };
  t.after(() => w.socket.take({ do: 'talk', on: false }));
  return w;
}

const frame = (n) => new Uint8Array(640).fill(n).buffer;
const numbers = (frames) => frames.map((f) => new Uint8Array(f)[0]);

test('when the network takes nothing the oldest frames are dropped, and the newest four are kept', (t) => {
  const w = wire(t);
  const socket = w.open();
  w.socket.take({ do: 'talk', on: true });
  socket.stuck = true;
  for (let n = 0; n < 20; n++) w.socket.take({ do: 'audio', bytes: frame(n) });
  assert.deepEqual(numbers(socket.sent), [0, 1], 'what the browser has cannot be taken back: little');
  assert.equal(w.counts().dropped, 14);
  assert.equal(w.counts().queued, 6 * 640);
  socket.stuck = false;
  socket.bufferedAmount = 0;
  w.pass(10);
  assert.deepEqual(numbers(socket.sent), [0, 1, 16, 17, 18, 19]);
  assert.deepEqual([w.counts().queued, w.counts().bytesOut], [0, 6 * 640]);
});

test('frames are passed on at once, and only while somebody hears us', (t) => {
  const w = wire(t);
  const socket = w.open();
  w.socket.take({ do: 'audio', bytes: frame(1) });
  w.socket.take({ do: 'talk', on: true });
  for (let n = 2; n < 9; n++) w.socket.take({ do: 'audio', bytes: frame(n) });
  assert.deepEqual(numbers(socket.sent), [2, 3, 4, 5, 6, 7, 8]);
  assert.equal(w.counts().dropped, 0);
});

test('steady audio that stops is told once, and so is its return', (t) => {
  const w = wire(t);
  const socket = w.open();
  w.socket.take({ do: 'talk', on: true });
  const speak = (ms) => w.pass(ms, (i) => i % 20 === 0 && socket.says(frame(i)));
  speak(600);
  w.pass(1000);
  assert.deepEqual(w.told('quiet'), [], 'it never was steady');
  speak(1500);
  w.pass(300);
  assert.deepEqual(w.told('quiet'), []);
  w.pass(2000);
  assert.deepEqual(w.told('quiet'), [{ is: 'quiet', on: true }]);
  socket.says('{"type":"pong"}');
  assert.deepEqual(w.told('quiet').map((n) => n.on), [true, false]);
  w.pass(2000);
  assert.equal(w.told('quiet').length, 2, 'a far end that is silent for good is no alarm each time');
});

test('a spare takes the place of the socket: no frame is heard twice, and none is sent to the old one', (t) => {
  const w = wire(t);
  const old = w.open();
  w.socket.take({ do: 'talk', on: true });
  old.says(frame(1));
  const first = w.open('spare');
  const spare = w.open('spare');
  assert.ok(first.closed, 'one at a time');
  assert.deepEqual(w.told('opened').map((n) => n.spare), [false, true, true]);
  w.socket.take({ do: 'text', text: 'login', spare: true });
  w.socket.take({ do: 'text', text: 'still here' });
  assert.deepEqual([old.sent, spare.sent], [['still here'], ['login']]);
  spare.says('welcome');
  assert.deepEqual(w.told('text'), [{ is: 'text', text: 'welcome', spare: true }]);
  spare.says(frame(2));
  old.says(frame(3)); // late, from before
  w.socket.take({ do: 'swap' });
  assert.ok(old.closed && !spare.closed);
  spare.says(frame(4));
  spare.says('more');
  assert.deepEqual(numbers(w.told('audio').map((n) => n.bytes)), [1, 2, 4]);
  assert.equal(w.told('text').at(-1).spare, false);
  w.socket.take({ do: 'audio', bytes: frame(5) });
  assert.deepEqual(numbers(spare.sent.slice(1)), [5]);
  spare.onclose({ code: 1006, reason: '' });
  assert.deepEqual(w.told('closed').map((n) => n.spare), [false]);
});

test('a spare that is dropped leaves the socket as it was', (t) => {
  const w = wire(t);
  const old = w.open();
  const spare = w.open('spare');
  spare.says(frame(1));
  w.socket.take({ do: 'dropSpare' });
  old.says(frame(2));
  assert.ok(spare.closed && !old.closed);
  assert.deepEqual(numbers(w.told('audio').map((n) => n.bytes)), [1, 2]);
  w.socket.take({ do: 'drop' });
  assert.ok(old.closed);
});
