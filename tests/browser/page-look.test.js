// What the page shows, as values: the telephone and what a person has opened → cards, status, notices.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { announce } from '../../web/ui/announce.js';
import { howItWent } from '../../web/ui/history.js';
import { endedText, look } from '../../web/ui/look.js';
import { notices } from '../../web/ui/notices.js';
import { makeCall, PHONE } from './fake-telephone.js';

const NOW = 1_800_000_000_000;
const UI = { loggedIn: true, panel: null, ended: null, fault: null, notifications: 'granted' };
const shown = (phone = {}, ui = {}) => look({ ...PHONE, link: 'ready', ...phone }, { ...UI, ...ui }, NOW);
const call = (change) => ({ ...makeCall(change), since: NOW - 60000, answered: change?.state && change.state !== 'open' ? null : NOW - 50000 });
const doesOf = (card) => card.actions.map((a) => a.does);

describe('without a call', () => {
  test('each state has its word, its tone and the one button that helps', () => {
    const table = [
      [{ link: 'connecting' }, 'state.connecting', 'status', null],
      [{}, 'state.ready', 'keypad', null],
      [{ presence: { state: 'away', until: null } }, 'state.away', 'keypad', null],
      [{ presence: { state: 'dnd', until: null } }, 'state.dnd', 'keypad', null],
      [{ reachable: false }, 'state.unreachable', 'keypad', null],
      [{ link: 'reconnecting', why: 'closed', retryAt: NOW + 3000 }, 'state.reconnecting', 'status', 'retry'],
      [{ link: 'reconnecting', why: 'restart', trying: true }, 'state.restarting', 'status', null],
      [{ link: 'stopped', why: 'in_use' }, 'state.inUse', 'status', 'retry'],
      [{ link: 'stopped', why: 'replaced' }, 'state.replaced', 'status', 'retry'],
      [{ link: 'stopped', why: 'token' }, 'state.refused', 'status', 'logout'],
    ];
    for (const [phone, title, stage, does] of table) {
      const { status, stage: is } = shown(phone);
      assert.deepEqual([status.title[0], is, status.button?.does ?? null], [title, stage, does]);
    }
    assert.equal(shown({}, { loggedIn: false }).stage, 'login');
  });

  test('the next try is counted down, and a wrap-up too', () => {
    assert.deepEqual(shown({ link: 'reconnecting', why: 'server', retryAt: NOW + 3200 }).status.detail[1], ['lost.nextTry', { seconds: 4 }]);
    assert.equal(shown({ presence: { state: 'wrapup', until: NOW + 27000 } }).presence.leftMs, 27000);
    assert.equal(shown({ presence: { state: 'wrapup', until: null } }).presence.leftMs, null);
  });

  test('where else one is logged in is said, and which device is in the way', () => {
    const devices = [{ name: 'Mobile', since: new Date(NOW), isThis: false }, { name: 'Chrome, Linux', since: new Date(NOW), isThis: true }];
    assert.deepEqual(shown({ devices }).status.detail.at(-1), ['detail.alsoAt', { devices: 'Mobile' }]);
    assert.ok(!shown({ devices: devices.slice(1) }).status.detail.some(([key]) => key === 'detail.alsoAt'));
    const inUse = shown({ link: 'stopped', why: 'in_use', devices: devices.slice(0, 1) });
    assert.deepEqual(inUse.status.detail, [['stopped.in_use_at', { devices: 'Mobile' }]]);
    assert.deepEqual(shown({ link: 'stopped', why: 'in_use' }).status.detail, [['stopped.in_use']]);
  });

  test('a transfer that nobody took stays to be read, in the words of why', () => {
    const ended = { how: 'notPassed', reason: 'busy', to: '2003', talkMs: 0, at: NOW - 1800000, name: 'Alice', number: '1' };
    const { tone, text } = shown({}, { ended }).line;
    assert.deepEqual([tone, text[0], text[1].who, text[1].to], ['warn', 'ended.notPassed.busy', 'Alice', '2003']);
    assert.equal(shown({}, { ended }).line.callBack, '1', 'and can be called back');
    assert.equal(shown({ features: { hold: true, dial: false, dtmf: false, transfer: false } }, { ended }).line.callBack, null);
    assert.equal(shown({}, { ended: { ...ended, reason: 'fault' } }).line.text[0], 'ended.notPassed');
    assert.equal(shown({}, { ended: { ...ended, how: 'passed' } }).line, null, 'one that was taken is soon forgotten');
  });

  test('how the last call ended stays for a moment, a missed one for an hour', () => {
    const ended = { how: 'answered', reason: 'caller_hung_up', talkMs: 5000, at: NOW - 7000, name: 'Alice', number: '1' };
    assert.equal(shown({}, { ended }).line.text[0], 'ended.answered.caller_hung_up');
    assert.equal(shown({}, { ended: { ...ended, at: NOW - 9000 } }).line, null);
    assert.equal(shown({}, { ended }).line.until, NOW + 1000);
    assert.equal(shown({}, { ended }).ticks, false, 'an idle page does nothing');
    assert.equal(shown({}, { ended: { ...ended, how: 'missed', at: NOW - 1800000 } }).line.tone, 'warn');
  });

  test('every ending has a text', () => {
    const reasons = ['caller_hung_up', 'phone_hung_up', 'caller_gave_up', 'answered_elsewhere', 'declined', 'no_answer', 'busy', 'away',
      'unreachable', 'transferred', 'number_unknown', 'congested', 'failed', 'phone_lost', 'asterisk_lost', 'draining', 'drain_timeout', 'fault'];
    for (const direction of ['incoming', 'outgoing']) {
      for (const answered of [null, NOW]) {
        for (const reason of reasons) assert.match(endedText({ how: howItWent({ direction, answered }, reason), reason, talkMs: 0, at: NOW, name: '', number: '' })[0], /^ended\./);
      }
    }
  });
});

describe('calls', () => {
  test('an incoming call can be answered and declined, nothing else', () => {
    const { cards, stage, ringing } = shown({ calls: [call({ state: 'ringing' })] });
    assert.deepEqual([stage, ringing, cards[0].role, doesOf(cards[0])], ['calls', true, 'incoming', ['reject', 'answer']]);
  });

  test('a second call that rings waits behind the one that is up, and holds it when answered', () => {
    const { cards } = shown({ calls: [call({ state: 'ringing', id: 'b' }), call({ id: 'a' })] });
    assert.deepEqual(cards.map((c) => [c.call.id, c.role]), [['a', 'active'], ['b', 'waiting']]);
    assert.deepEqual(cards[1].actions.at(-1).text, ['do.holdAndAnswer']);
    assert.ok(cards[0].actions.find((a) => a.does === 'add').disabled, 'there is no third');
    assert.deepEqual([cards[0].actions.at(-1).keys, cards[1].actions[0].keys], [undefined, 'Esc'], 'Escape declines the one that rings');
  });

  test('of two calls the one that is not held is in front, and swap stands on both', () => {
    const { cards } = shown({ calls: [call({ id: 'a', held: true }), call({ id: 'b' })] });
    assert.deepEqual(cards.map((c) => [c.call.id, c.role]), [['b', 'active'], ['a', 'held']]);
    for (const card of cards) assert.ok(doesOf(card).includes('swap'));
  });

  test('a held call that is alone stays in front, to be resumed', () => {
    const [card] = shown({ calls: [call({ held: true })] }).cards;
    assert.equal(card.role, 'active');
    assert.deepEqual(card.actions.find((a) => a.does === 'hold').text, ['do.resume']);
  });

  test('while a transfer is prepared there are two ways on: complete it, or back to the caller', () => {
    const { cards } = shown({ calls: [call({ id: 'a', held: true }), call({ id: 'b', consultsFor: 'a' })] });
    assert.deepEqual(doesOf(cards[0]).slice(-2), ['complete', 'cancel']);
    assert.deepEqual(doesOf(cards[1]), []);
    assert.equal(cards[0].chips[0].text[0], 'chip.consult');
    const ringing = shown({ calls: [call({ id: 'a', held: true }), call({ id: 'b', state: 'alerting', direction: 'outgoing', consultsFor: 'a' })] });
    assert.ok(doesOf(ringing.cards[0]).includes('cancel'));
  });

  test('what needs the manager is shown as not available, with the reason', () => {
    const [card] = shown({ calls: [call()], features: { hold: true, dial: false, dtmf: false, transfer: false } }).cards;
    const off = card.actions.filter((a) => a.disabled);
    assert.deepEqual(off.map((a) => a.does), ['keypad', 'transfer', 'add']);
    assert.ok(off.every((a) => a.why[0] === 'why.noManager'));
  });

  test('while the connection is away it is said what the other side hears, and how long the call is kept', () => {
    const away = (ms) => shown({ link: 'reconnecting', why: 'closed', lostAt: NOW - ms, calls: [call()] }).cards[0];
    assert.deepEqual(away(500).chips[0].text, ['chip.awaySilence', { seconds: 20 }]);
    assert.deepEqual(away(5000).chips[0].text, ['chip.awayMusic', { seconds: 15 }]);
    assert.equal(away(21000).chips[0].text[0], 'chip.givenUp');
    assert.deepEqual(doesOf(away(500)), ['hangup']);
  });
});

describe('notices', () => {
  const list = (phone, ui) => notices({ ...PHONE, link: 'ready', ...phone }, { ...UI, ...ui }, NOW);
  const audio = (change) => ({ audio: { ...PHONE.audio, ...change } });

  test('each thing that is missing has its line and, where one helps, its button', () => {
    const table = [
      [audio({ sound: 'blocked' }), 'sound.blocked', 'unlock'],
      [audio({ sound: 'interrupted' }), 'sound.interrupted', undefined],
      [audio({ sound: 'failed' }), 'sound.failed', 'unlock'],
      [audio({ sound: 'unsupported' }), 'sound.unsupported', undefined],
      [audio({ permission: 'prompt' }), 'mic.prompt', 'askForMic'],
      [audio({ permission: 'denied' }), 'mic.denied', undefined],
      [audio({ mic: 'in-use' }), 'mic.in-use', 'askForMic'],
      [audio({ mic: 'none' }), 'mic.none', 'askForMic'],
      [audio({ secure: false }), 'mic.insecure', undefined],
      [{ expiresAt: NOW + 100000 }, 'notice.expires', undefined],
      [{ expiresAt: NOW - 1 }, 'notice.expired', undefined],
    ];
    for (const [phone, key, does] of table) {
      const [notice, ...rest] = list(phone);
      assert.deepEqual([notice.text[0], notice.button?.does, rest.length], [key, does, 0]);
    }
  });

  test('a phone that lacks nothing asks for notifications, once', () => {
    assert.deepEqual(list({}), []);
    assert.equal(list({}, { notifications: 'default' })[0].key, 'notify');
    assert.deepEqual(list({}, { notifications: 'default', notifyLater: true }), []);
  });
});

describe('what a screen reader is told', () => {
  test('a ring interrupts, with name and group, and is said once', () => {
    const before = shown();
    const rings = shown({ calls: [call({ state: 'ringing', group: 'support' })] });
    assert.deepEqual(announce(before, rings).now, ['say.incomingFor', { who: 'Alice Example', group: 'support' }]);
    assert.equal(announce(rings, rings).now, null);
    assert.deepEqual(announce(rings, rings).then, []);
  });

  test('the state, what changes on a call, and how it ended are said in turn', () => {
    const talks = shown({ calls: [call()] });
    const held = shown({ calls: [call({ heldByFar: true })] });
    assert.deepEqual(announce(shown(), talks).then.map(([k]) => k), ['state.inCall', 'say.with']);
    assert.deepEqual(announce(talks, held).then, [['chip.heldByFar']]);
    const ended = { how: 'answered', reason: 'caller_hung_up', talkMs: 0, at: NOW, name: '', number: '' };
    assert.deepEqual(announce(talks, shown({}, { ended })).then.map(([k]) => k), ['state.ready', 'detail.ready', 'ended.answered.caller_hung_up']);
  });
});
