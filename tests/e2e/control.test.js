// Call control with a real Asterisk: who calls, dialling out, keys, transfers, the far end's hold,
// and a manager that goes away. The far ends are in tests/rig/extensions.conf, [far].

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { build } from './house.mjs';
import { Phone } from './phone.mjs';

let house;
let phones = [];

before(async () => {
  house = await build({
    ami: true,
    config: { dial: { context: 'from-phones', connection: 'ws-ext-endpoint', allow: '[0-9]{3,4}', per_hour: 1000 } },
  });
});
after(() => house?.tearDown());
afterEach(async () => {
  phones.forEach((phone) => phone.close());
  phones = [];
  await house.cli('channel request hangup all');
});

async function phone(ext = '2001', more = {}) {
  const one = await Phone.open(house, ext, more);
  phones.push(one);
  if (!one.welcome.features.dial) await one.hears('features');
  return one;
}

/** Dials, and gives the call's number. */
async function dial(one, to) {
  const { call } = await one.does({ type: 'dial', to });
  await one.hears('outgoing', { call });
  return call;
}

/** What Asterisk's channels are doing: one line each, sorted. */
async function channels() {
  const text = await house.cli('core show channels concise');
  return text.split('\n').filter((line) => line.includes('!')).map((line) => {
    const [name, , , , state, app] = line.split('!');
    return `${name.split('/')[0]} ${state} ${app}`;
  }).sort();
}

async function until(what, check) {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await check()) return;
    await new Promise((done) => setTimeout(done, 25));
  }
  assert.fail(`waited in vain until ${what}`);
}

test("a phone sees the caller's number and name, with no dialplan change", async () => {
  const one = await phone();
  await house.call('2001', '--caller', '0312345678', '--app', 'silence');
  const incoming = await one.hears('incoming');
  const from = incoming.from?.number ? incoming.from : (await one.hears('update')).from;
  assert.deepEqual(from, { number: '0312345678', name: 'Rig' });
});

test('one click: it rings, the far end answers, one hears and is heard, and hangs up', async () => {
  const one = await phone();
  const call = await dial(one, '611');
  const progress = await one.hears('progress', { call, state: 'alerting' });
  assert.equal(progress.audio, true);
  await one.hearsTone(480); // ringback, with a 440 beside it
  await one.hears('connected', { call });
  await one.hearsTone(440);
  await one.does({ type: 'hangup', call });
  const ended = await one.hears('ended', { call });
  assert.deepEqual([ended.reason, ended.side], ['phone_hung_up', 'phone']);
  await until('nothing is left of it', async () => (await channels()).length === 0);
});

test('an announcement before the answer is heard', async () => {
  const one = await phone();
  const call = await dial(one, '628');
  await one.hears('progress', { call });
  await one.hearsTone(440);
  await one.hears('connected', { call });
  await one.hearsTone(1000);
});

test('each end of a dialled call is told as what it was', async () => {
  const one = await phone();
  for (const [to, reason, cause] of [
    ['612', 'busy', 17],
    ['622', 'busy', 17],
    ['613', 'no_answer', 16],
    ['623', 'no_answer', 16],
    ['614', 'congested', 34],
    ['624', 'congested', 34],
    ['615', 'number_unknown', 1],
    ['625', 'number_unknown', 1],
    ['616', 'declined', 21],
    ['626', 'declined', 21],
  ]) {
    const call = await dial(one, to);
    const ended = await one.hears('ended', { call });
    assert.deepEqual([ended.reason, ended.cause], [reason, cause], to);
  }
});

test('what the dialplan does not have, or the configuration does not allow, is refused', async () => {
  const one = await phone();
  assert.equal((await one.ask({ type: 'dial', to: '699' })).name, 'bad_number');
  assert.equal((await one.ask({ type: 'dial', to: '0900123456' })).name, 'forbidden');
  assert.equal((await one.ask({ type: 'dial', to: '611&Local/617@far' })).name, 'bad_number');
  assert.deepEqual(await channels(), []);
});

test('an application of the dialplan answers', async () => {
  const one = await phone();
  const call = await dial(one, '600');
  await one.hears('connected', { call });
});

test('a phone that gives up while it rings leaves nothing behind', async () => {
  const one = await phone();
  const call = await dial(one, '613');
  await one.hears('progress', { call, state: 'alerting' });
  await one.does({ type: 'hangup', call });
  await one.hears('ended', { call });
  await until('nothing is left of it', async () => (await channels()).length === 0);
});

test('keys go both ways', async () => {
  const one = await phone();
  const call = await dial(one, '619');
  await one.hears('connected', { call });
  await one.does({ type: 'dtmf', call, digits: '1234567890*w5#' });
  let digits = '';
  while (digits.length < 5) digits += (await one.hears('dtmf', { call })).digit;
  assert.equal(digits, '987*#');
  assert.equal(house.read('keys.log').trim().split('\n').at(-1), '1234567890*5');
});

test('a call is passed on blindly, and only to a number that exists', async () => {
  const one = await phone();
  const caller = await house.call('2001', '--app', 'tone440');
  const call = await one.answers();
  const refused = await one.ask({ type: 'transfer', call, to: '699', mode: 'blind' });
  assert.equal(refused.name, 'bad_number');
  await one.hearsTone(440); // the call is still up
  await one.does({ type: 'transfer', call, to: '617', mode: 'blind' });
  const ended = await one.hears('ended', { call });
  assert.equal(ended.reason, 'transferred');
  assert.equal((await one.hears('transfer', { call })).state, 'completed');
  await until('the caller talks to 617', async () => (await channels()).some((line) => line.endsWith('Echo')));
  await house.hangup(caller);
  await until('nothing is left of it', async () => (await channels()).length === 0);
});

test('what became of whom one has passed on is told: each end as what it was', async () => {
  const one = await phone();
  for (const [to, reason] of [['612', 'busy'], ['613', 'no_answer'], ['614', 'congested'], ['616', 'declined']]) {
    await house.call('2001', '--app', 'tone440');
    const call = await one.answers();
    await one.hearsTone(440); // Asterisk has joined the two, or there is nobody to pass on
    await one.does({ type: 'transfer', call, to, mode: 'blind' });
    await one.hears('ended', { call });
    const told = await one.hears('transfer', { call });
    assert.deepEqual([told.state, told.reason], ['failed', reason], to);
  }
});

test('a caller who hangs up while he is passed on is told as that', async () => {
  const one = await phone();
  const two = await phone('2002');
  const caller = await house.call('2001', '--app', 'tone440');
  const call = await one.answers();
  await one.hearsTone(440);
  await one.does({ type: 'transfer', call, to: '2002', mode: 'blind' });
  await two.hears('incoming');
  await house.hangup(caller);
  const told = await one.hears('transfer', { call });
  assert.deepEqual([told.state, told.reason], ['failed', 'caller_gave_up']);
});

test('the far end of a call that one has dialled is passed on, too, and to an application', async () => {
  const one = await phone();
  const call = await dial(one, '611');
  await one.hears('connected', { call });
  await one.does({ type: 'transfer', call, to: '600', mode: 'blind' });
  await one.hears('ended', { call });
  assert.equal((await one.hears('transfer', { call })).state, 'completed');
});

test('a call is passed on after asking: both far ends talk on, the phone is free', async () => {
  const one = await phone();
  const caller = await house.call('2001', '--app', 'record');
  const first = await one.answers();
  const { call: second } = await one.does({ type: 'transfer', call: first, to: '611', mode: 'attended' });
  await one.hears('held', { call: first, on: true });
  await one.hears('connected', { call: second });
  await one.hearsTone(440); // one speaks to the second
  await one.does({ type: 'transfer', call: first, mode: 'complete' });
  const ends = await Promise.all([first, second].map((call) => one.hears('ended', { call })));
  assert.deepEqual(ends.map(({ reason }) => reason), ['transferred', 'transferred']);
  assert.equal((await one.hears('transfer', { call: first })).state, 'completed');
  await until('no leg of ours is left', async () => !(await channels()).some((line) => line.startsWith('WebSocket')));
  assert.ok((await house.cli('bridge show all')).includes('basic'), 'the far ends are joined');
  await house.hangup(caller);
  assert.equal((await house.ended(caller)).dialstatus, 'ANSWER');
  await until('both are gone', async () => (await channels()).length === 0);
});

test('a transfer is called off: the second call ends, the first goes on', async () => {
  const one = await phone();
  await house.call('2001', '--app', 'tone1000');
  const first = await one.answers();
  const { call: second } = await one.does({ type: 'transfer', call: first, to: '611', mode: 'attended' });
  await one.hears('connected', { call: second });
  await one.does({ type: 'transfer', call: first, mode: 'cancel' });
  await one.hears('ended', { call: second });
  await one.hearsTone(1000);
});

test('completed while the second still rings, the call is passed on to where it rings', async () => {
  const one = await phone();
  const two = await phone('2002');
  await house.call('2001', '--app', 'tone440');
  const first = await one.answers();
  const { call: second } = await one.does({ type: 'transfer', call: first, to: '2002', mode: 'attended' });
  const ringing = await two.hears('incoming');
  await one.does({ type: 'transfer', call: first, mode: 'complete' });
  await Promise.all([first, second].map((call) => one.hears('ended', { call })));
  await two.hears('ended', { call: ringing.call });
  await two.answers();
  await two.hearsTone(440); // the caller is at 2002
  assert.equal((await one.hears('transfer', { call: first })).state, 'completed');
});

test("the far end's hold is shown, and its end", async () => {
  const one = await phone();
  const call = await dial(one, '620');
  await one.hears('connected', { call });
  await one.hears('held', { call, on: true, by: 'far' });
  await one.hears('held', { call, on: false, by: 'far' });
});

test('the manager goes away in mid-call and comes back: the call goes on, and all works again', async () => {
  const one = await phone();
  const call = await dial(one, '611');
  await one.hears('connected', { call });
  house.managerWay.cut();
  const gone = await one.hears('features');
  assert.equal(gone.features?.dtmf ?? gone.dtmf, false);
  const refused = await one.ask({ type: 'dtmf', call, digits: '1' });
  assert.equal(refused.name, 'unavailable');
  await one.hearsTone(440); // the call is still up
  await one.hears('features');
  await one.does({ type: 'dtmf', call, digits: '1' });
});

test('the doctor finds this house in order', async () => {
  const said = await house.doctor();
  const states = Object.fromEntries(said.checks.map(({ check, state }) => [check, state]));
  for (const check of ['manager', "manager's rights", 'version', 'clock', 'modules', 'timing', 'websocket_client',
    'way to the gateway', 'dialling out', 'asterisk_addr', 'certificate']) {
    // The certificate of tests lasts two days.
    assert.equal(states[check], check === 'certificate' ? 'warning' : 'ok', JSON.stringify(said.checks, null, 1));
  }
});
