// The phone's machine: every order of events makes sense, and what begins also ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../../web/sdk/backoff.js';
import { initialState, shownState, step } from '../../web/sdk/machine.js';
import { findToken, readToken } from '../../web/sdk/token.js';
import { makeToken } from './mock-gateway.mjs';

/** Feeds events one second apart. */
function run(events, from = initialState()) {
  let state = from;
  const effects = [];
  events.forEach((event, i) => {
    const before = JSON.stringify(state);
    const result = step(state, typeof event === 'string' ? { type: 'text', text: event } : event, i * 1000);
    assert.equal(JSON.stringify(state), before, 'the state that was given is not changed');
    state = result.state;
    effects.push(...result.effects.map((e) => (e.do === 'send' ? `send ${e.text}` : e.do === 'ended' ? `ended ${e.reason}` : e.do)));
  });
  return { state, effects, shown: shownState(state) };
}
const connecting = { type: 'connecting' };
const ready = { type: 'ready' };
const answer = { type: 'answer' };
const hangup = { type: 'hangup' };
const audio = { type: 'audio' };
const lost = { type: 'lost', reason: 'closed', retryAt: 99000 };

test('a call that is answered and hung up by us', () => {
  const { effects, shown, state } = run([connecting, ready, 'RINGING', answer, audio, hangup]);
  assert.deepEqual(effects, ['ring', 'stopRing', 'send ANSWER', 'startAudio', 'send HANGUP', 'stopAudio', 'ended hangup']);
  assert.equal(shown, 'ready');
  assert.equal(state.ended.durationMs, 2000);
});

test('a caller who gives up is missed, one who hangs up is not', () => {
  assert.deepEqual(run([connecting, ready, 'RINGING', 'HANGUP']).effects, ['ring', 'stopRing', 'ended missed']);
  assert.equal(run([connecting, ready, 'RINGING', answer, audio, 'HANGUP']).effects.at(-1), 'ended caller');
});

test('an answer that comes too late ends as late', () => {
  assert.equal(run([connecting, ready, 'RINGING', answer, 'HANGUP']).effects.at(-1), 'ended late');
});

test('a long call in which nothing was heard is a call, not a late answer', () => {
  const { state } = run([connecting, ready, 'RINGING', answer]);
  const at = (ms) => step(state, { type: 'text', text: 'HANGUP' }, state.answeredAt + ms).state.ended.reason;
  assert.equal(at(2000), 'late');
  assert.equal(at(2001), 'caller');
  assert.equal(at(600000), 'caller');
});

test('declining sends HANGUP once, and the HANGUP that crosses it does nothing', () => {
  const { effects } = run([connecting, ready, 'RINGING', hangup, 'HANGUP', hangup]);
  assert.deepEqual(effects, ['ring', 'send HANGUP', 'stopRing', 'ended declined']);
});

test('answering twice answers once', () => {
  const { effects } = run([connecting, ready, 'RINGING', answer, answer]);
  assert.equal(effects.filter((e) => e === 'send ANSWER').length, 1);
});

test('a lost connection ends the call and says when it is tried again', () => {
  const { effects, shown, state } = run([connecting, ready, 'RINGING', answer, audio, lost]);
  assert.equal(effects.at(-1), 'ended lost');
  assert.equal(shown, 'reconnecting');
  assert.equal(state.retryAt, 99000);
  assert.equal(run([{ type: 'connecting', retry: true }], state).shown, 'reconnecting');
  assert.equal(run([{ type: 'connecting', retry: true }, ready], state).shown, 'ready');
});

test('the reasons for which nothing is tried again', () => {
  for (const [reason, shown] of [['busy', 'busy'], ['kicked', 'replaced'], ['token', 'refused'], ['expired', 'refused']]) {
    assert.equal(run([connecting, { type: 'stopped', reason }]).shown, shown);
  }
});

test('an address that is not allowed is shown as refused, while it is tried now and then', () => {
  const forbidden = { type: 'lost', reason: 'forbidden', retryAt: 99000 };
  const retry = { type: 'connecting', retry: true };
  assert.equal(run([connecting, forbidden]).shown, 'refused');
  assert.equal(run([connecting, forbidden, retry]).shown, 'refused');
  assert.equal(run([connecting, forbidden, retry, ready]).shown, 'ready');
  assert.equal(run([connecting, forbidden, retry, lost]).shown, 'reconnecting');
});

test('mute belongs to one call', () => {
  const { effects, state } = run([connecting, ready, { type: 'mute', muted: true }, 'RINGING', answer, { type: 'mute', muted: true }, 'HANGUP']);
  assert.deepEqual(effects.filter((e) => e === 'mute').length, 2);
  assert.equal(state.muted, false);
});

test('logging out in a call hangs up', () => {
  assert.deepEqual(run([connecting, ready, 'RINGING', answer, { type: 'logout' }]).effects.slice(-3), ['send HANGUP', 'stopAudio', 'ended logout']);
});

test('unknown texts are ignored', () => {
  assert.deepEqual(run([connecting, ready, 'WHAT', '', 'ringing', 'HANGUP']).effects, []);
});

test('whatever happens in whatever order, beginnings and ends come in pairs', () => {
  const events = [connecting, { type: 'connecting', retry: true }, ready, lost, { type: 'stopped', reason: 'busy' }, { type: 'logout' },
    'RINGING', 'RINGING', 'HANGUP', audio, answer, answer, hangup, { type: 'mute', muted: true }, { type: 'mute', muted: false }, 'ODD'];
  let seed = 1;
  for (let round = 0; round < 2000; round++) {
    const chosen = Array.from({ length: 30 }, () => events[(seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % 65521 % events.length]);
    const { effects, state, shown } = run(chosen);
    let ringing = 0;
    let sounding = 0;
    let ended = 0;
    for (const effect of effects) {
      if (effect === 'ring') ringing++;
      if (effect === 'stopRing') ringing--;
      if (effect === 'startAudio') sounding++;
      if (effect === 'stopAudio') sounding--;
      if (effect.startsWith('ended')) ended++;
      assert.ok(ringing >= 0 && ringing <= 1 && sounding >= 0 && sounding <= 1 && ringing + sounding <= 1, effects.join());
    }
    assert.equal(ringing, state.call === 'ringing' ? 1 : 0);
    assert.equal(sounding, state.call === 'open' ? 1 : 0);
    assert.equal(ended, effects.filter((e) => e === 'ring').length - (state.call === 'none' ? 0 : 1));
    assert.ok(shown);
  }
});

test('waits grow to 20 s at most, and are spread over the whole range', () => {
  assert.equal(backoff(1, () => 0), 250);
  assert.equal(backoff(1, () => 0.999999), 1000);
  assert.equal(backoff(50, () => 0.999999), 20000);
  assert.equal(backoff(50, () => 0), 250);
});

test('tokens are found in what people paste, and read', () => {
  const token = makeToken('2001');
  assert.equal(findToken(`  ${token}\n`), token);
  assert.equal(findToken(`https://host:8766/#token=${token}`), token);
  assert.equal(findToken(`wss://host:8766/phone?token=${token}`), token);
  for (const bad of ['', 'a.b', 'hello', '#token=%E0%A4%A', 'https://host/']) assert.equal(findToken(bad), null);
  assert.equal(readToken(token).extension, '2001');
  assert.equal(readToken('a.b.c'), null);
});
