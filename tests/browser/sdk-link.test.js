// The connection as a value: what it does about every kind of end, and that it always goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newLink, stepLink } from '../../web/sdk/link.js';
import { findToken, readToken } from '../../web/sdk/token.js';

function link({ random = () => 0.5, urls = 1 } = {}) {
  const l = { state: newLink(), now: 1_000_000, all: [] };
  l.feed = (event, later = 0) => {
    l.now += later;
    const { state, effects } = stepLink(l.state, event, l.now, random);
    l.state = state;
    l.all.push(...effects);
    return effects.map((e) => (e.do === 'tell' ? e.what : e.do));
  };
  l.wait = () => l.state.retryAt - l.now;
  l.up = () => {
    if (l.state.phase === 'off') l.feed({ type: 'open', urls });
    if (l.state.phase === 'waiting') l.feed({ type: 'time' }, l.wait());
    l.feed({ type: 'token', fresh: false });
    l.feed({ type: 'opened' });
    l.feed({ type: 'welcome', pingEveryMs: 20000 });
    assert.equal(l.state.phase, 'ready');
    return l;
  };
  return l;
}

test('the way in: token, socket, login, welcome', () => {
  const l = link();
  assert.deepEqual(l.feed({ type: 'open', urls: 1 }), ['fetchToken']);
  assert.deepEqual(l.feed({ type: 'token', fresh: false }), ['connect']);
  assert.deepEqual(l.feed({ type: 'opened' }), ['login']);
  assert.deepEqual(l.feed({ type: 'welcome' }), []);
  assert.equal(l.state.phase, 'ready');
});

test('waits grow to 20 s, random over their whole length, and begin anew after a while of peace', () => {
  const l = link({ random: () => 0.999 });
  l.up();
  l.feed({ type: 'closed', code: 1006 }, 11000);
  const waits = [l.wait()];
  for (let i = 0; i < 7; i++) {
    l.feed({ type: 'time' }, l.wait());
    l.feed({ type: 'token', fresh: false });
    l.feed({ type: 'closed', code: 1006 });
    waits.push(l.wait());
  }
  assert.ok(waits[0] <= 1000 && waits.at(-1) > 19000 && waits.at(-1) <= 20000, String(waits));
  assert.ok(waits.every((w, i) => i === 0 || w >= waits[i - 1]), String(waits));
  const low = link({ random: () => 0 });
  low.up();
  low.feed({ type: 'closed', code: 1006 });
  assert.ok(low.wait() <= 250);
  l.up();
  l.feed({ type: 'closed', code: 1006 }, 11000);
  assert.ok(l.wait() <= 1000);
});

test('in a call no wait is longer than a second', () => {
  const l = link({ random: () => 0.999 });
  l.up();
  l.feed({ type: 'inCall', inCall: true });
  l.feed({ type: 'closed', code: 1006 });
  for (let i = 0; i < 12; i++) {
    assert.ok(l.wait() <= 1000, String(l.wait()));
    l.feed({ type: 'time' }, l.wait());
    l.feed({ type: 'token', fresh: false });
    l.feed({ type: 'closed', code: 1006 });
  }
});

test('the gateway that says when to come back is obeyed, up to a minute', () => {
  const l = link({ random: () => 0 });
  l.up();
  l.feed({ type: 'bye', hintMs: 1500 });
  l.feed({ type: 'closed', code: 1012 });
  assert.equal(l.wait(), 1500);
  l.up();
  l.feed({ type: 'bye', hintMs: 1e9 });
  l.feed({ type: 'closed', code: 1012 });
  assert.equal(l.wait(), 60000);
});

for (const [code, reason] of [[4409, 'in_use'], [4410, 'replaced']]) {
  test(`after ${code} a person decides`, () => {
    const l = link().up();
    assert.deepEqual(l.feed({ type: 'closed', code }), ['drop', 'stopped']);
    assert.equal(l.state.reason, reason);
    for (const type of ['time', 'online', 'visible', 'shown']) assert.deepEqual(l.feed({ type }, 1e6), []);
    assert.deepEqual(l.feed({ type: 'retry' }), ['fetchToken']);
  });
}

test('a token that is not good is replaced once; a fresh one that is not good either stops', () => {
  const l = link();
  l.feed({ type: 'open', urls: 1 });
  l.feed({ type: 'token', fresh: false });
  l.feed({ type: 'opened' });
  assert.deepEqual(l.feed({ type: 'refused', code: 20104 }), ['drop', 'fetchToken']);
  assert.equal(l.all.at(-1).refused, true);
  l.feed({ type: 'token', fresh: true });
  l.feed({ type: 'opened' });
  assert.deepEqual(l.feed({ type: 'closed', code: 4401 }), ['drop', 'stopped']);
  assert.equal(l.state.reason, 'token');
});

test('where there is no other token it stops at the first refusal', () => {
  const l = link();
  l.feed({ type: 'open', urls: 1 });
  l.feed({ type: 'token', fresh: false });
  l.feed({ type: 'opened' });
  l.feed({ type: 'closed', code: 4401 });
  assert.deepEqual(l.feed({ type: 'noToken', final: true }), ['stopped']);
});

test('a token function that fails is asked again', () => {
  const l = link();
  l.feed({ type: 'open', urls: 1 });
  assert.deepEqual(l.feed({ type: 'noToken' }), ['lost']);
  assert.deepEqual(l.feed({ type: 'time' }, l.wait()), ['fetchToken']);
});

test('an address that is not allowed is tried once a minute, even when somebody looks', () => {
  const l = link();
  l.feed({ type: 'open', urls: 1 });
  l.feed({ type: 'token', fresh: false });
  l.feed({ type: 'closed', code: 1006 });
  l.feed({ type: 'why', reason: 'forbidden' });
  assert.ok(l.wait() >= 60000 && l.wait() <= 70000);
  assert.deepEqual(l.feed({ type: 'visible' }), []);
});

test('a handshake and a login without an answer are given up after 5 s each', () => {
  const l = link();
  l.feed({ type: 'open', urls: 1 });
  l.feed({ type: 'token', fresh: false });
  assert.deepEqual(l.feed({ type: 'time' }, 4999), []);
  assert.deepEqual(l.feed({ type: 'time' }, 1), ['drop', 'lost', 'askWhy']);
  l.feed({ type: 'time' }, l.wait());
  l.feed({ type: 'token', fresh: false });
  l.feed({ type: 'opened' });
  assert.deepEqual(l.feed({ type: 'time' }, 5000), ['drop', 'lost']);
});

test('silence is no end: it is asked first, and late timers of a hidden page do no harm', () => {
  const l = link().up();
  assert.deepEqual(l.feed({ type: 'time' }, 44999), []);
  assert.deepEqual(l.feed({ type: 'time' }, 60000), ['probe'], 'a timer that is a minute late asks');
  assert.deepEqual(l.feed({ type: 'heard' }, 9000), []);
  assert.deepEqual(l.feed({ type: 'time' }, 2000), [], 'the answer ended the doubt');
  assert.deepEqual(l.feed({ type: 'time' }, 45000), ['probe']);
  assert.deepEqual(l.feed({ type: 'time' }, 10000), ['drop', 'lost']);
});

test('in a call a dead socket is noticed within five seconds', () => {
  const l = link().up();
  l.feed({ type: 'inCall', inCall: true });
  assert.deepEqual(l.feed({ type: 'time' }, 3000), ['probe']);
  assert.deepEqual(l.feed({ type: 'time' }, 1500), ['drop', 'lost']);
});

test('when the network has changed or the page is back, the connection is looked at at once', () => {
  for (const type of ['online', 'visible', 'shown']) {
    const l = link().up();
    assert.deepEqual(l.feed({ type }, 100), [], 'what has just spoken is not doubted');
    assert.deepEqual(l.feed({ type }, 5000), ['probe']);
    assert.deepEqual(l.feed({ type }, 100), [], 'once');
    assert.deepEqual(l.feed({ type: 'time' }, 1500), ['drop', 'lost']);
  }
  const l = link().up();
  l.feed({ type: 'closed', code: 1006 });
  assert.deepEqual(l.feed({ type: 'visible' }), ['fetchToken'], 'a wait is ended');
});

test('online ends a wait within 300 ms, random, so that a LAN does not come back in one instant', () => {
  const l = link({ random: () => 0.9 }).up();
  l.state.failures = 6;
  l.feed({ type: 'closed', code: 1006 });
  assert.deepEqual(l.feed({ type: 'online' }), []);
  assert.equal(l.wait(), 270);
});

test('a page that is left sleeps, and wakes when it is shown again', () => {
  const l = link().up();
  assert.deepEqual(l.feed({ type: 'hidden' }), ['drop', 'lost']);
  assert.deepEqual(l.feed({ type: 'time' }, 1e6), []);
  assert.deepEqual(l.feed({ type: 'shown' }), ['fetchToken']);
});

test('addresses are tried in their order; in a call the one that keeps the call comes first', () => {
  const l = link({ urls: 3, random: () => 0.5 });
  l.feed({ type: 'open', urls: 3 });
  const tried = [];
  for (let i = 0; i < 4; i++) {
    l.feed({ type: 'token', fresh: false });
    tried.push(l.all.at(-1).url);
    l.feed({ type: 'closed', code: 1006 });
    if (i < 2) assert.ok(l.wait() <= 300, 'the next address is not waited for long');
    l.feed({ type: 'time' }, l.wait());
  }
  assert.deepEqual(tried, [0, 1, 2, 0]);
  l.feed({ type: 'token', fresh: false });
  assert.equal(l.all.at(-1).url, 1);
  l.feed({ type: 'opened' });
  l.feed({ type: 'welcome' });
  l.feed({ type: 'inCall', inCall: true });
  l.feed({ type: 'closed', code: 1006 });
  assert.equal(l.state.url, 1);
  l.up();
  l.feed({ type: 'inCall', inCall: false });
  l.feed({ type: 'closed', code: 1006 });
  assert.equal(l.state.url, 0);
});

/** In a call, with a measured round trip, and the sound has just stopped. */
function silent(options) {
  const l = link(options).up();
  l.feed({ type: 'inCall', inCall: true });
  for (let i = 0; i < 40; i++) l.feed({ type: 'rtt', ms: 60 });
  assert.deepEqual(l.feed({ type: 'quiet', on: true }), ['probe']);
  l.next = () => l.feed({ type: 'time' }, l.state.spareAt - l.now);
  return l;
}

test('when the sound stops in a call the socket is asked, and then a spare is tried beside it', () => {
  const l = silent();
  assert.ok(l.state.spareAt - l.now <= 250);
  assert.deepEqual(l.next(), ['spare']);
  const from = l.now;
  const tries = [];
  while (l.now - from < 1400) {
    tries.push(l.now);
    assert.deepEqual(l.next(), ['spare']);
  }
  const gaps = tries.slice(1).map((at, i) => at - tries[i]);
  assert.ok(gaps.every((gap) => gap >= 400 && gap <= 480), `a handshake of four round trips has its time: ${gaps}`);
  assert.deepEqual(l.feed({ type: 'opened', spare: true }), ['login']);
  assert.deepEqual(l.feed({ type: 'welcome', spare: true }, 60), ['swap']);
  assert.equal(l.state.phase, 'ready');
  assert.deepEqual(l.all.filter((e) => e.do === 'tell' && e.what === 'lost'), [], 'nothing was lost');
});

test('the longer the silence, the more time a spare has, for a handshake that takes longer than it should', () => {
  const l = silent();
  const heard = l.now;
  while (l.now - heard < 4000) l.next();
  assert.ok(l.state.spareAt - l.now >= 600 && l.state.spareAt - l.now <= 900, `${l.state.spareAt - l.now}`);
  l.feed({ type: 'heard' });
  l.feed({ type: 'quiet', on: true });
  l.next();
  assert.ok(l.state.spareAt - l.now <= 480, 'the next silence begins anew');
});

test('a socket that is given up waits for the spare that is under way, and for no other', () => {
  for (const opens of [true, false]) {
    const l = silent();
    while (!l.state.probing) l.next();
    while (l.state.deadline !== l.state.spareAt) l.feed({ type: 'time' }, Math.min(l.state.deadline, l.state.spareAt) - l.now);
    assert.equal(l.state.phase, 'ready');
    if (opens) {
      assert.deepEqual(l.feed({ type: 'opened', spare: true }), ['login']);
      assert.deepEqual(l.feed({ type: 'welcome', spare: true }), ['swap']);
      assert.equal(l.state.phase, 'ready');
    } else {
      l.next();
      assert.deepEqual([l.state.phase, l.state.spare], ['waiting', null]);
    }
  }
});

test('a stall that is over before the spare has logged in does no harm', () => {
  for (const sign of [{ type: 'heard' }, { type: 'quiet', on: false }]) {
    const l = silent();
    assert.deepEqual(l.feed(sign), [], 'not even tried');
    l.feed({ type: 'quiet', on: true });
    l.next();
    assert.deepEqual(l.feed(sign), ['dropSpare']);
    assert.deepEqual([l.state.spare, l.state.spareAt], [null, null]);
    assert.deepEqual(l.feed({ type: 'opened', spare: true }), [], 'one that opens in this very moment is nobody');
    assert.deepEqual(l.feed({ type: 'welcome', spare: true }), []);
  }
});

test('a spare that has logged in is waited for, even when the other speaks again or is closed for it', () => {
  const l = silent();
  l.next();
  l.feed({ type: 'opened', spare: true });
  assert.deepEqual(l.feed({ type: 'quiet', on: false }), []);
  assert.deepEqual(l.feed({ type: 'heard' }), []);
  assert.deepEqual(l.feed({ type: 'closed', code: 4410 }), ['swap'], 'not: replaced by another tab');
  assert.equal(l.state.phase, 'login');
  assert.deepEqual(l.feed({ type: 'welcome', spare: true }), [], 'which came before the two were swapped');
  assert.equal(l.state.phase, 'ready');
});

test('a spare is tried again when the network fails it, and not when the gateway refuses it', () => {
  const l = silent();
  l.next();
  assert.deepEqual(l.feed({ type: 'closed', code: 1006, spare: true }), []);
  assert.deepEqual(l.next(), ['spare']);
  l.feed({ type: 'opened', spare: true });
  assert.deepEqual(l.feed({ type: 'closed', code: 4401, spare: true }), []);
  assert.deepEqual([l.state.phase, l.state.spareAt], ['ready', null]);
  assert.deepEqual(l.feed({ type: 'quiet', on: false }), []);
});

test('a spare belongs to a call, to a socket that is up, and to one silence', () => {
  const idle = link().up();
  assert.deepEqual(idle.feed({ type: 'quiet', on: true }), []);
  const l = silent();
  assert.deepEqual(l.feed({ type: 'quiet', on: true }), [], 'once');
  l.next();
  assert.deepEqual(l.feed({ type: 'inCall', inCall: false }), ['dropSpare']);
  const dead = silent();
  dead.next();
  assert.deepEqual(dead.feed({ type: 'closed', code: 1006 }), ['drop', 'lost'], 'both go');
  assert.equal(dead.state.spareAt, null);
});

test('a slow network gets more time, beside the silent socket and afterwards', () => {
  const l = silent();
  for (let i = 0; i < 60; i++) l.feed({ type: 'rtt', ms: 400 });
  l.next();
  const from = l.now;
  assert.ok(l.state.spareAt - from > 1500);
  l.feed({ type: 'closed', code: 1006 });
  const times = [];
  for (let i = 0; i < 30; i++) {
    l.feed({ type: 'time' }, l.wait());
    l.feed({ type: 'token', fresh: false });
    times.push(l.state.deadline - l.now);
    l.feed({ type: 'time' }, times.at(-1));
  }
  assert.ok(times[0] > 1900 && times[0] < 2400 && times.at(-1) > times[0], String(times));
});

test('whatever happens there is a socket, a wait, or a reason', () => {
  for (let seed = 1; seed <= 400; seed++) {
    let x = seed;
    const random = () => ((x = (Math.imul(x, 1664525) + 1013904223) >>> 0) / 2 ** 32);
    const pick = (list) => list[Math.floor(random() * list.length)];
    let state = newLink();
    let now = 1e6;
    let [sockets, spares] = [0, 0];
    for (let i = 0; i < 200; i++) {
      const event = pick([
        { type: 'open', urls: 2 }, { type: 'close' }, { type: 'token', fresh: random() < 0.5 }, { type: 'noToken', final: random() < 0.2 },
        { type: 'opened' }, { type: 'opened' }, { type: 'welcome' }, { type: 'welcome' }, { type: 'heard' },
        { type: 'closed', code: pick([1006, 1012, 4400, 4401, 4403, 4408, 4409, 4410, 4429]) }, { type: 'refused', code: pick([20101, 20104, 31206]), hintMs: 500 },
        { type: 'why', reason: pick(['forbidden', 'server']) }, { type: 'bye', hintMs: 100 }, { type: 'time' }, { type: 'time' }, { type: 'online' }, { type: 'visible' },
        { type: 'quiet', on: true }, { type: 'quiet', on: true }, { type: 'quiet', on: false }, { type: 'rtt', ms: Math.floor(random() * 900) },
        { type: 'opened', spare: true }, { type: 'welcome', spare: true }, { type: 'closed', code: pick([1006, 4401, 4410]), spare: true },
        { type: 'inCall', inCall: true }, { type: 'hidden' }, { type: 'shown' }, { type: 'retry' }, { type: 'inCall', inCall: random() < 0.5 },
      ]);
      if (event.type === 'closed' && !['connecting', 'login', 'ready'].includes(state.phase)) continue;
      const wasStopped = state.phase === 'stopped';
      now += Math.floor(random() * 4000);
      // What has no spare opens and closes none.
      if (event.spare && spares === 0) continue;
      const { state: next, effects } = stepLink(state, event, now, random);
      if (event.type === 'closed' && event.spare) spares = 0;
      else if (event.type === 'closed') sockets = 0;
      for (const e of effects) {
        if (e.do === 'drop') sockets = spares = 0;
        if (e.do === 'dropSpare') spares = 0;
        if (e.do === 'spare') {
          spares = 1;
          assert.ok(state.phase === 'ready' && state.inCall);
        }
        if (e.do === 'swap') {
          assert.equal(spares, 1, `${seed}: there is something to swap`);
          [sockets, spares] = [1, 0];
        }
        if (e.do === 'connect') {
          sockets++;
          assert.ok(!wasStopped);
        }
      }
      assert.ok(sockets <= 1, `${seed}: two sockets`);
      assert.equal(sockets === 1, ['connecting', 'login', 'ready'].includes(next.phase), `${seed}: ${next.phase} after ${event.type}`);
      if (['connecting', 'login', 'ready', 'waiting'].includes(next.phase)) assert.ok(next.deadline !== null, `${seed}: ${next.phase} waits for ever`);
      if (spares > 0) assert.ok(next.phase === 'ready' && next.spareAt !== null, `${seed}: a spare beside nothing`);
      if (next.phase === 'waiting') assert.ok(next.reason && next.retryAt !== null && next.retryAt - now <= 75000);
      if (next.phase === 'stopped') assert.ok(next.reason);
      if (wasStopped && !['open', 'close', 'retry'].includes(event.type)) assert.equal(next.phase, 'stopped');
      state = next;
    }
  }
});

test('a token is found in what a person pastes, and read', () => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${part({ alg: 'HS256' })}.${part({ ext: '内線2001', exp: 1_800_000_000 })}.${part('mark')}`;
  for (const text of [token, `  ${token}\n`, `https://pbx.lan:8766/#token=${token}`, `wss://pbx.lan/phone?token=${token}&x=1`]) assert.equal(findToken(text), token);
  for (const text of ['', 'nonsense', 'a.b', 'https://pbx.lan/#token=%E0%A4%A']) assert.equal(findToken(text), null);
  assert.deepEqual(readToken(token), { extension: '内線2001', expiresAt: 1_800_000_000_000 });
  assert.equal(readToken('a.b.c'), null);
});
