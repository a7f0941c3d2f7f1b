// The calls of a phone as a value: what was promised in web/sdk/calls.js, by example and by chance.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceName } from '../../web/sdk/device.js';
import { activeCall, noCalls, statusOf, stepCalls } from '../../web/sdk/calls.js';

const object = (call, some = {}) => ({
  call, direction: 'incoming', state: 'ringing', from: { number: '0312345678', name: null }, to: '2001', group: null,
  variables: {}, held: false, held_by_far: false, muted: false, since: 1000, answered: null, consults_for: null, ...some,
});

/** Feeds messages, keeps all effects. */
function phone() {
  const p = { state: noCalls(), all: [], now: 1000 };
  p.feed = (m) => {
    const { state, effects } = stepCalls(p.state, m, (p.now += 10));
    p.state = state;
    p.all.push(...effects);
    return effects;
  };
  p.told = () => p.all.filter((e) => e.do === 'tell').map((e) => `${e.event}:${e.call}`);
  p.find = (id) => p.state.calls.find((c) => c.id === id);
  p.feed({ type: 'welcome', calls: [] });
  return p;
}
const dos = (effects) => effects.map((e) => (e.do === 'ring' ? `ring ${e.how}` : e.do === 'sound' ? `sound ${e.on}` : e.do === 'talk' ? `talk ${e.call}` : e.do === 'tell' ? e.event : e.do));

/** The same numbers for the same seed. */
function chance(seed) {
  let x = seed >>> 0;
  const next = () => ((x = (Math.imul(x, 1664525) + 1013904223) >>> 0) / 2 ** 32);
  return { next, pick: (list) => list[Math.floor(next() * list.length)] };
}

test('a call rings, is answered, and ends; each thing is told once', () => {
  const p = phone();
  assert.deepEqual(dos(p.feed({ ...object('a'), type: 'incoming' })), ['incoming', 'send', 'ring ring']);
  assert.deepEqual(p.all.find((e) => e.do === 'send').message, { type: 'ringing', call: 'a' });
  assert.equal(statusOf(p.find('a'), true), 'pending');
  assert.deepEqual(dos(p.feed({ type: 'do.answer', call: 'a' })), ['ring null'], 'it is still at the click');
  assert.equal(statusOf(p.find('a'), true), 'connecting');
  assert.deepEqual(dos(p.feed({ type: 'connected', call: 'a', answered: 5000 })), ['accept', 'sound true', 'talk a']);
  assert.deepEqual(p.feed({ type: 'connected', call: 'a' }), [], 'said twice, done once');
  assert.deepEqual(dos(p.feed({ type: 'ended', call: 'a', reason: 'caller_hung_up', side: 'caller', talk_ms: 700 })), ['over', 'disconnect', 'sound false', 'talk null']);
  assert.deepEqual(p.all.find((e) => e.do === 'over').call.ending, { reason: 'caller_hung_up', side: 'caller', by: null, cause: null, talkMs: 700 });
  assert.deepEqual(p.feed({ type: 'ended', call: 'a', reason: 'fault' }), []);
});

test('a call that is not answered here is cancelled with its reason, one that is declined here rejected', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  const gone = p.feed({ type: 'ended', call: 'a', reason: 'answered_elsewhere', side: 'phone', by: '2002', cause: 26 });
  assert.deepEqual(gone.filter((e) => e.do === 'tell').map((e) => [e.event, e.args]), [['cancel', ['answered_elsewhere']]]);
  p.feed({ ...object('b'), type: 'incoming' });
  p.feed({ type: 'do.reject', call: 'b' });
  assert.deepEqual(dos(p.feed({ type: 'ended', call: 'b', reason: 'declined' })), ['over', 'reject']);
});

test('an answer that the gateway refuses lets it ring again', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'do.answer', call: 'a' });
  assert.deepEqual(dos(p.feed({ type: 'refused', call: 'a' })), ['ring ring']);
});

test('a second call waits, and answering it holds the first; swapping goes back', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'connected', call: 'a' });
  assert.ok(dos(p.feed({ ...object('b'), type: 'incoming', waiting: true })).includes('ring waiting'));
  assert.deepEqual(dos(p.feed({ type: 'connected', call: 'b' })), ['hold', 'accept', 'ring null', 'talk b']);
  assert.equal(statusOf(p.find('a'), true), 'held');
  assert.deepEqual(p.feed({ type: 'held', call: 'a', on: true, by: 'phone' }), [], 'the gateway says it, too');
  assert.deepEqual(dos(p.feed({ type: 'held', call: 'a', on: false, by: 'phone' })), ['hold', 'hold', 'talk a']);
  assert.equal(activeCall(p.state).id, 'a');
  assert.equal(statusOf(p.find('b'), true), 'held');
});

test('the far end that holds us is shown, and is no reason to be silent', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'connected', call: 'a' });
  assert.deepEqual(dos(p.feed({ type: 'held', call: 'a', on: true, by: 'far' })), ['hold']);
  assert.equal(p.find('a').heldByFar, true);
  assert.equal(statusOf(p.find('a'), true), 'open');
});

test('an outgoing call rings with our tone until the far end sends its own', () => {
  const p = phone();
  p.feed({ type: 'do.dialled', call: 'o', to: '0312345678', variables: { CRM_ID: '1' } });
  assert.equal(statusOf(p.find('o'), true), 'connecting');
  p.feed({ ...object('o', { direction: 'outgoing', state: 'dialling', to: '0312345678' }), type: 'outgoing' });
  assert.equal(p.told().filter((t) => t === 'begun:o').length, 1);
  assert.ok(dos(p.feed({ type: 'progress', call: 'o', state: 'alerting', audio: false })).includes('ring ringback'));
  assert.equal(statusOf(p.find('o'), true), 'ringing');
  assert.deepEqual(dos(p.feed({ type: 'progress', call: 'o', state: 'alerting', audio: true })), ['ring null', 'sound true', 'talk o']);
  assert.deepEqual(dos(p.feed({ type: 'connected', call: 'o' })), ['accept']);
  assert.deepEqual(p.all.filter((e) => e.event === 'ringing').map((e) => e.args), [[false]]);
});

test('a lost connection keeps the call, and the welcome brings it back as it was', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'connected', call: 'a' });
  assert.deepEqual(dos(p.feed({ type: 'lost' })), ['reconnecting', 'talk null'], 'the microphone stays, nobody hears it');
  assert.equal(statusOf(p.find('a'), p.state.here), 'reconnecting');
  const back = p.feed({ type: 'welcome', calls: [object('a', { state: 'open', answered: 1000 })] });
  assert.deepEqual(dos(back), ['update', 'reconnected', 'talk a']);
});

test('what was muted while the line was down is muted when it comes back', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'connected', call: 'a' });
  p.feed({ type: 'lost' });
  p.feed({ type: 'do.mute', call: 'a', on: true });
  const back = p.feed({ type: 'welcome', calls: [object('a', { state: 'open' })] });
  assert.equal(p.find('a').muted, true);
  assert.ok(back.some((e) => e.do === 'send' && e.message.type === 'mute' && e.message.on === true));
  assert.ok(!back.some((e) => e.do === 'talk' && !e.muted), 'not for a moment unmuted');
});

test('a reload finds its call open, one that is gone has ended', () => {
  const fresh = stepCalls(noCalls(), { type: 'welcome', resumed: true, calls: [object('a', { state: 'open', answered: 1, muted: true })] }, 5000);
  assert.deepEqual(dos(fresh.effects), ['begun', 'sound true', 'talk a']);
  assert.equal(fresh.effects.at(-1).muted, true);
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'lost' });
  assert.deepEqual(dos(p.feed({ type: 'welcome', calls: [] })), ['over', 'cancel', 'ring null']);
});

test('a call that rings goes on ringing after a reconnect, and is confirmed again', () => {
  const p = phone();
  p.feed({ ...object('a'), type: 'incoming' });
  p.feed({ type: 'lost' });
  assert.ok(p.feed({ type: 'welcome', calls: [object('a')] }).some((e) => e.do === 'send' && e.message.type === 'ringing'));
});

test('what became of a transfer is told behind the end, once', () => {
  const p = phone();
  const passOn = (id) => {
    p.feed({ ...object(id), type: 'incoming' });
    p.feed({ type: 'connected', call: id });
    p.feed({ type: 'ended', call: id, reason: 'transferred', side: 'phone' });
  };
  passOn('a');
  const told = p.feed({ type: 'transfer', call: 'a', state: 'failed', reason: 'busy' });
  assert.deepEqual(told, [{ do: 'tell', call: 'a', event: 'transfer', args: ['failed', 'busy'] }]);
  assert.deepEqual(p.feed({ type: 'transfer', call: 'a', state: 'completed' }), [], 'not twice');
  p.feed({ ...object('b'), type: 'incoming' });
  p.feed({ type: 'ended', call: 'b', reason: 'declined' });
  assert.deepEqual(p.feed({ type: 'transfer', call: 'b', state: 'completed' }), [], 'not of one that was not passed on');
  for (let n = 0; n < 100; n++) passOn(`c${n}`);
  assert.ok(p.state.passed.length < 10, 'and not without end');
});

test('a device is called as its browser and its system are', () => {
  const webkit = 'AppleWebKit/537.36 (KHTML, like Gecko)';
  for (const [agent, name] of [
    [`Mozilla/5.0 (X11; Linux x86_64) ${webkit} Chrome/130.0.0.0 Safari/537.36`, 'Chrome, Linux'],
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webkit} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0`, 'Edge, Windows'],
    [`Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) ${webkit} Version/17.0 Mobile/15E148 Safari/604.1`, 'Safari, iPhone'],
    [`Mozilla/5.0 (Linux; Android 14) ${webkit} Chrome/130.0.0.0 Mobile Safari/537.36`, 'Chrome, Android'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0', 'Firefox, Mac'],
    ['', 'SDK'],
  ]) assert.equal(deviceName(agent), name);
});

test('whatever comes in whatever order, every promise holds', () => {
  const ids = ['a', 'b', 'c'];
  for (let seed = 1; seed <= 400; seed++) {
    const { next, pick } = chance(seed);
    let state = noCalls();
    let ring = null;
    let sound = false;
    let talk = null;
    const alive = new Set();
    const wantMuted = new Map();
    for (let i = 0; i < 120; i++) {
      const call = pick(ids);
      const m = pick([
        () => ({ type: 'welcome', calls: ids.filter(() => next() < 0.5).map((id) => object(id, { state: pick(['ringing', 'open', 'alerting', 'dialling']), direction: pick(['incoming', 'outgoing']), held: next() < 0.3, muted: next() < 0.3 })) }),
        () => ({ type: 'lost' }),
        () => ({ type: 'gone' }),
        () => ({ ...object(call), type: 'incoming' }),
        () => ({ ...object(call, { state: 'dialling' }), type: 'outgoing' }),
        () => ({ type: 'do.dialled', call, to: '1' }),
        () => ({ type: 'update', ...object(call, { state: pick(['ringing', 'open', 'nonsense']) }) }),
        () => ({ type: 'progress', call, state: pick(['dialling', 'alerting']), audio: next() < 0.5 }),
        () => ({ type: 'connected', call }),
        () => ({ type: 'ended', call, reason: 'caller_hung_up' }),
        () => ({ type: 'held', call, on: next() < 0.5, by: pick(['phone', 'far']) }),
        () => ({ type: 'dtmf', call, digit: '5' }),
        () => ({ type: 'refused', call }),
        () => ({ type: `do.${pick(['answer', 'reject', 'hangup', 'ignore'])}`, call }),
        () => ({ type: 'do.mute', call, on: next() < 0.5 }),
        () => ({ type: pick(['incoming', 'update', 'welcome', 'unheard of']), call: pick([undefined, 7, null]), calls: pick([null, 'x', [null, 1]]) }),
      ])();
      const before = structuredClone(state);
      const step = stepCalls(state, m, i * 10);
      assert.deepEqual(state, before, 'the old state is not changed');
      state = step.state;
      if (m.type === 'do.mute' && alive.has(m.call)) wantMuted.set(m.call, m.on);
      let over = null;
      for (const e of step.effects) {
        if (e.do === 'tell' && (e.event === 'incoming' || e.event === 'begun')) {
          assert.ok(!alive.has(e.call), `${seed}: ${e.call} begins once`);
          alive.add(e.call);
        } else if (e.do === 'over') {
          assert.ok(alive.delete(e.call.id), `${seed}: ${e.call.id} ends once`);
          assert.ok(e.call.ending.reason);
          wantMuted.delete(e.call.id);
          over = e.call.id;
        } else if (e.do === 'tell' && ['cancel', 'reject', 'disconnect'].includes(e.event)) {
          assert.equal(e.call, over, 'the last word comes with the end');
        } else if (e.do === 'tell') {
          assert.ok(alive.has(e.call), `${seed}: ${e.event} of a call that is not there`);
        } else if (e.do === 'ring') {
          assert.notEqual(e.how, ring);
          ring = e.how;
        } else if (e.do === 'sound') {
          assert.notEqual(e.on, sound);
          sound = e.on;
        } else if (e.do === 'talk') talk = e;
      }
      assert.deepEqual([...alive].sort(), state.calls.map((c) => c.id).sort());
      if (step.effects.some((e) => e.event === 'accept') && m.type === 'connected') {
        assert.equal(state.calls.filter((c) => c.media && !c.held).length, 1, `${seed}: the one that was answered is the active one`);
      }
      for (const [id, on] of wantMuted) assert.equal(state.calls.find((c) => c.id === id).muted, on, `${seed}: the mute is ours`);
      if (talk?.call) assert.ok(state.here && alive.has(talk.call));
      assert.equal(sound, state.calls.some((c) => c.media));
    }
    const end = stepCalls(state, { type: 'gone' }, 1e6);
    assert.equal(end.state.calls.length, 0);
    for (const e of end.effects) {
      if (e.do === 'ring') ring = e.how;
      if (e.do === 'sound') sound = e.on;
      if (e.do === 'talk') talk = e;
    }
    assert.deepEqual([ring, sound, talk?.call ?? null], [null, false, null], `${seed}: all is still at the end`);
  }
});
