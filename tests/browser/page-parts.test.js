// The page's small pure parts: numbers, keys, quality, plot, history, preferences.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { add, forget, lastDialled, load, MAX_ENTRIES, missedSince, save } from '../../web/ui/history.js';
import { keyDoes, KEYS } from '../../web/ui/keys.js';
import { toDialable, toNumber, toTones } from '../../web/ui/number.js';
import { plot } from '../../web/ui/plot.js';
import { clean, DEFAULTS, loadPrefs } from '../../web/ui/prefs.js';
import { judge, keep, KEPT } from '../../web/ui/quality.js';

describe('numbers', () => {
  test('a number is taken as people write it', () => {
    for (const [text, number] of [
      ['(03) 1234-5678', '0312345678'], ['０３ー１２３４ー５６７８', '0312345678'], ['tel:+81-3-1234-5678;ext=9', '+81312345678'],
      ['+44 (0)20 7946 0958', '+442079460958'], ['  *67 ', '*67'], ['090・1111・2222', '09011112222'],
    ]) assert.equal(toNumber(text), number, text);
  });

  test('an extension may have a name; what is neither is nothing', () => {
    assert.equal(toDialable('alice'), 'alice');
    for (const text of ['', 'call me maybe', 'a\r\nb', '1'.repeat(65), '<script>', 'SIP/100,30', '日本']) assert.equal(toDialable(text), '', text);
    assert.equal(toNumber('alice'), '');
  });

  test('tones are what a keypad has', () => {
    assert.equal(toTones('1a#x*９'), '1A#*9');
  });
});

describe('keys', () => {
  const button = (does, disabled = false) => ({ does, disabled });
  const card = (role, ...actions) => ({ role, call: { id: role }, actions: actions.map((a) => button(a)) });
  const screen = (change) => ({ stage: 'keypad', cards: [], panel: null, dialog: null, number: '', shortcuts: true, ...change });
  const press = (key, on = {}, where = {}) => keyDoes({ key, field: 'none', onButton: false, onPad: false, ...where }, screen(on));
  const talking = { stage: 'calls', cards: [card('active', 'mute', 'hold', 'keypad', 'transfer', 'add', 'quality', 'hangup')] };
  const ringing = { stage: 'calls', cards: [card('incoming', 'reject', 'answer')] };
  const waiting = { stage: 'calls', cards: [talking.cards[0], card('waiting', 'reject', 'answer')] };

  test('while nothing is up digits dial, Enter calls, Escape clears', () => {
    assert.deepEqual([press('5').does, press('+').does, press('Enter').does, press('Backspace').does, press('r').does], ['type', 'type', 'dial', 'erase', 'redial']);
    assert.equal(press('Escape'), null);
    assert.equal(press('Escape', { number: '1' }).does, 'clear');
  });

  test('while it rings Enter and A answer, Escape declines, also when another call is up', () => {
    for (const state of [ringing, waiting]) {
      const [enter, a, escape] = ['Enter', 'a', 'Escape'].map((key) => press(key, state));
      const id = state.cards.at(-1).role;
      assert.deepEqual([enter.does, enter.call.id, a.does, escape.does, escape.call.id], ['answer', id, 'answer', 'reject', id]);
    }
  });

  test('in a call digits are tones, letters are its buttons, Escape closes what is open before it hangs up', () => {
    assert.equal(press('5', talking).does, 'tone');
    for (const [key, does] of [['m', 'mute'], ['H', 'hold'], ['k', 'keypad'], ['t', 'transfer'], ['n', 'add'], ['q', 'quality']]) assert.equal(press(key, talking).does, does);
    assert.equal(press('s', talking), null);
    assert.equal(press('Escape', { ...talking, panel: 'transfer' }).does, 'closePanel');
    assert.equal(press('Escape', talking).does, 'hangup');
  });

  test('while a transfer is prepared Enter completes it and Escape goes back to the caller', () => {
    const consult = { stage: 'calls', cards: [card('active', 'mute', 'complete', 'cancel')] };
    assert.deepEqual([press('Enter', consult).does, press('Escape', consult).does], ['complete', 'cancel']);
  });

  test('a button that cannot be pressed has no key either', () => {
    const off = { stage: 'calls', cards: [{ role: 'active', call: {}, actions: [button('hold', true), button('keypad', true)] }] };
    assert.equal(press('h', off), null);
    assert.equal(press('5', off), null);
  });

  test('keys in a field are the field’s, but for Enter and Escape in our own', () => {
    for (const key of ['5', 'm', 'Enter', 'Escape', '?']) assert.equal(press(key, talking, { field: 'other' }), null);
    assert.equal(press('m', talking, { field: 'own' }), null);
    assert.equal(press('Enter', {}, { field: 'own' }), null);
    assert.equal(press('Enter', ringing, { field: 'own' }).does, 'answer');
  });

  test('Enter on a button means the button, but for a digit while it rings; a dialog has its own keys', () => {
    assert.equal(press('Enter', talking, { onButton: true }), null);
    assert.equal(press('Enter', ringing, { onButton: true, onPad: true }).does, 'answer');
    assert.equal(press('Escape', { ...talking, dialog: 'help' }), null);
  });

  test('letters and digits can be switched off; Enter and Escape stay', () => {
    assert.equal(press('m', { ...talking, shortcuts: false }), null);
    assert.equal(press('5', { shortcuts: false }), null);
    assert.equal(press('Enter', { ...ringing, shortcuts: false }).does, 'answer');
  });

  test('every letter that does something is in the help', () => {
    const listed = KEYS.flatMap(({ keys }) => keys).map((key) => key.toLowerCase());
    for (const key of ['a', 'm', 'h', 'k', 't', 'n', 's', 'q', 'r', '?']) assert.ok(listed.includes(key), key);
  });
});

describe('the sign of quality', () => {
  const GOOD = { rttMs: 14, jitterMs: 6, delayMs: 110, concealedMs: 0, lostUp: 0, toPhoneQueueMs: 10, lostDown: 0, filled: 0, serverQueueMs: 20, lostServer: 0, framesDown: 50 };
  const row = (...changes) => changes.map((change, i) => ({ ...GOOD, at: 1000 * i, ...change }));
  const judged = (samples, call) => judge(samples, samples.at(-1).at + 500, call);
  const five = (change) => row({}, {}, ...Array(5).fill(change));

  test('names whose doing it is', () => {
    for (const [change, level, culprit] of [
      [{}, 'good', null],
      [{ rttMs: 250 }, 'fair', 'network'],
      [{ rttMs: 500, delayMs: 700 }, 'poor', 'network'],
      [{ lostUp: 10 }, 'poor', 'network'],
      [{ concealedMs: 150 }, 'poor', 'network'],
      [{ serverQueueMs: 400, delayMs: 600 }, 'poor', 'server'],
      [{ framesDown: 0 }, 'poor', 'far'],
      [{ throttled: true, rttMs: 900 }, 'poor', 'computer'],
    ]) {
      const { level: l, culprit: c } = judged(five(change));
      assert.deepEqual([l, c], [level, culprit], JSON.stringify(change));
    }
  });

  test('one bad second changes nothing, three of five do', () => {
    assert.equal(judged(row({}, {}, {}, {}, { rttMs: 900 })).level, 'good');
    assert.equal(judged(row({ rttMs: 900 }, {}, { rttMs: 900 }, {}, { rttMs: 900 })).level, 'poor');
  });

  test('a far end that is held is not blamed for its silence', () => {
    assert.equal(judged(five({ framesDown: 0 }), { audioExpected: false }).level, 'good');
  });

  test('no samples is not known, and none any more is the network', () => {
    assert.equal(judge([], 0).level, 'unknown');
    assert.deepEqual(judge(row({}), 10000), { level: 'poor', culprit: 'network', delayMs: null });
  });

  test('a minute is kept', () => {
    let list = [];
    for (let i = 0; i < 200; i++) list = keep(list, { ...GOOD, at: i });
    assert.equal(list.length, KEPT);
  });

  test('the plot ends at the right, has gaps, and its top fits', () => {
    const box = { width: 100, height: 50, slots: 11 };
    assert.equal(plot([100, null, 200], box).line, 'M80.0 25.0M100.0 0.0');
    assert.deepEqual([plot([10], box).topMs, plot([731], box).topMs, plot([], box).line], [200, 800, '']);
  });
});

describe('history', () => {
  const entry = (id, change) => ({ id, direction: 'incoming', number: '1', name: '', group: '', at: 5, talkMs: 0, how: 'missed', reason: 'caller_gave_up', ...change });
  const memory = (value = null) => ({ value, getItem() { return this.value; }, setItem(_, v) { this.value = v; }, removeItem() { this.value = null; } });

  test('is bounded, newest first, each call once', () => {
    let list = [];
    for (let i = 0; i < 60; i++) list = add(list, entry(`c${i}`));
    list = add(list, entry('c59', { how: 'answered' }));
    assert.deepEqual([list.length, list[0].id, list[0].how], [MAX_ENTRIES, 'c59', 'answered']);
  });

  test('knows the last number that was dialled, and what was missed since', () => {
    const list = [entry('a'), entry('b', { direction: 'outgoing', number: '99', how: 'unanswered' }), entry('c', { at: 1 })];
    assert.deepEqual([lastDialled(list), missedSince(list, 2)], ['99', 1]);
  });

  test('comes back after a reload to the same extension only, and whatever else lies there is ignored', () => {
    const tab = memory();
    save(tab, '2001', [entry('a')]);
    assert.equal(load(tab, '2001').length, 1);
    assert.deepEqual(load(tab, '2002'), []);
    forget(tab);
    assert.deepEqual(load(tab, '2001'), []);
    for (const rubbish of ['{', 'null', '{"extension":"2001","calls":[{"id":1}]}', '{"extension":"2001","calls":7}']) assert.deepEqual(load(memory(rubbish), '2001'), []);
  });
});

test('of preferences only what is understood is taken', () => {
  assert.deepEqual(clean({ theme: 'pink', ringVolume: 7, shortcuts: 'yes', wrapupSeconds: 31, evil: 1 }), { ...DEFAULTS });
  assert.deepEqual(clean({ theme: 'dark', ringVolume: 0.2, autoWrapup: true }), { ...DEFAULTS, theme: 'dark', ringVolume: 0.2, autoWrapup: true });
  const broken = { getItem: () => '{' };
  assert.deepEqual(loadPrefs(broken), { ...DEFAULTS });
  assert.deepEqual(loadPrefs(undefined), { ...DEFAULTS });
});
