// The SDK in headless Chromium against the mock of the phone protocol.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { darkWay } from './dark.mjs';
import { MockGateway, makeToken } from './mock-gateway.mjs';
import { launch } from './page.mjs';
import { fromPcm, shareOfTone, sine, writeWav } from './signal.mjs';

const VOICE_HZ = 620;
const FAR_HZ = 1100;

/** A page with the SDK in it and nothing else; what happens is kept in `events`. */
const PAGE = `<!doctype html><meta charset=utf-8><title>SDK</title><link rel=icon href=/favicon.svg><script type=module src="/test.js"></script>`;
const SCRIPT = `
import { Device } from '/sdk/index.js';
const query = new URLSearchParams(location.search);
window.events = [];
window.calls = {};
const keep = (name, args) => events.push({ name, args: args.map((a) => (a && typeof a === 'object' ? a.id ?? a.code ?? 'object' : a)) });
const options = JSON.parse(query.get('options') ?? '{}');
const device = new Device(query.get('token'), options);
window.device = device;
for (const name of ['registering', 'registered', 'unregistered', 'incoming', 'outgoing', 'error', 'tokenWillExpire', 'reconnecting', 'reconnected', 'replaced', 'presence', 'drain', 'destroyed']) {
  device.on(name, (...args) => keep(name, args));
}
const watch = (call) => {
  calls[call.id] = call;
  for (const name of ['ringing', 'accept', 'mute', 'hold', 'digit', 'transfer', 'warning', 'warning-cleared', 'reconnecting', 'reconnected', 'error', 'cancel', 'reject', 'disconnect']) {
    call.on(name, (...args) => keep('call.' + name, args));
  }
};
device.on('incoming', watch);
device.on('outgoing', watch);
device.on('reconnected', (all) => all.forEach(watch));
window.goastgateway = { device, engine: device.audio.engine, phone: device };
window.registered = device.register().then(() => true, (error) => error.code);
`;

let folder;
let gateway;
let browser;
let page;
/** A way that can go dark, in tests that have one. */
let way;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sdk-test-'));
  const wav = join(folder, 'voice.wav');
  writeWav(wav, sine(VOICE_HZ, 48000, 10, 0.5), 48000);
  browser = await launch({ wav });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  gateway = await MockGateway.start();
  gateway.pages = { '/test.html': PAGE, '/test.js': SCRIPT };
  gateway.pageHeaders = { 'content-security-policy': "default-src 'self'" };
});
afterEach(async () => {
  for (const open of browser.browser.pages()) await open.close();
  way?.close();
  way = undefined;
  await gateway.stop();
  assert.deepEqual(gateway.v1.faults, [], 'every message is as docs/phone-protocol.schema.json says');
});

async function open(ext = '2001', { options = {}, token = makeToken(ext) } = {}) {
  const url = new URL('test.html', gateway.url);
  url.searchParams.set('token', token);
  url.searchParams.set('options', JSON.stringify(options));
  page = await browser.openPhone(url.href);
  return page;
}

async function logIn(ext = '2001', options = {}) {
  await open(ext, { options });
  assert.equal(await page.evaluate(() => window.registered), true);
  return gateway.v1.phone(ext);
}

const happened = (name, { page: where = page, timeout = 10000 } = {}) =>
  where.waitForFunction((wanted) => window.events.find((e) => e.name === wanted), name, { timeout, polling: 10 }).then((handle) => handle.jsonValue());
const status = (id) => page.evaluate((call) => window.calls[call].status(), id);
// Where a request has its answer before what it changes is told.
const becomes = (id, wanted) =>
  page.waitForFunction(([call, is]) => window.calls[call].status() === is, [id, wanted], { timeout: 10000, polling: 10 });
const names = () => page.evaluate(() => window.events.map((e) => e.name));

async function answered(phone, some) {
  const id = phone.incoming(some);
  await phone.says('ringing');
  await happened('incoming');
  await page.evaluate((call) => window.calls[call].accept(), id);
  await happened('call.accept');
  return id;
}

const samplesOf = (frames) => {
  const bytes = Buffer.concat(frames.map((f) => f.data));
  return fromPcm(new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
};

/** Waits until most of what a phone sends in 0.8 s is this tone: a microphone needs a moment, on a busy machine more. */
async function hears(phone, hz) {
  const others = [VOICE_HZ, FAR_HZ, 440].filter((other) => other !== hz);
  const shares = [];
  while (shares.length < 15) {
    const frames = await phone.heard(40);
    shares.push(shareOfTone(samplesOf(frames), [hz, ...others], 16000));
    if (shares.at(-1) > 0.6) return frames;
  }
  throw new assert.AssertionError({ message: `${hz} Hz was not heard; its share, 0.8 s at a time: ${shares.join(' ')}` });
}

describe('a call', () => {
  test('comes in, is answered, held, and hung up; each side knows', async () => {
    const phone = await logIn();
    assert.deepEqual(phone.login.resume, undefined);
    const id = phone.incoming({ variables: { CRM_ID: '4711' }, group: 'support' });
    await phone.says('ringing');
    assert.deepEqual((await happened('incoming')).args, [id]);
    const seen = await page.evaluate((call) => {
      const c = window.calls[call];
      return { status: c.status(), from: c.from, group: c.group, crm: c.customParameters.get('CRM_ID'), parameters: c.parameters.From, direction: c.direction };
    }, id);
    assert.deepEqual(seen, { status: 'pending', from: { number: '0312345678', name: 'Alice' }, group: 'support', crm: '4711', parameters: '0312345678', direction: 'INCOMING' });
    await page.evaluate((call) => window.calls[call].accept(), id);
    await happened('call.accept');
    assert.equal(await status(id), 'open');
    const heard = await hears(phone, VOICE_HZ);
    assert.ok(heard.every((f) => f.data.length === 640));
    await page.evaluate((call) => window.calls[call].hold(), id);
    await becomes(id, 'held');
    await page.evaluate((call) => window.calls[call].hold(false), id);
    await becomes(id, 'open');
    await page.evaluate((call) => window.calls[call].disconnect(), id);
    assert.deepEqual((await happened('call.disconnect')).args, [id, 'phone_hung_up']);
    assert.deepEqual(page.faults, []);
  });

  test('is declined, or taken elsewhere, with the reason', async () => {
    const phone = await logIn();
    const first = phone.incoming();
    await happened('incoming');
    await page.evaluate((call) => window.calls[call].reject(), first);
    await phone.says('reject');
    await happened('call.reject');
    const second = phone.incoming();
    await phone.says('ringing');
    await phone.says('ringing');
    phone.ended(second, { reason: 'answered_elsewhere', by: '2002' });
    assert.deepEqual((await happened('call.cancel')).args, ['answered_elsewhere']);
    assert.equal(await page.evaluate((call) => window.calls[call].ending.by, second), '2002');
  });

  test('goes out: ringing, answered, digits; a refusal is an error with a code', async () => {
    const phone = await logIn();
    phone.refusals.dial = { code: 31403, name: 'forbidden', message: 'not this number' };
    assert.deepEqual(await page.evaluate(() => window.device.connect({ to: '110' }).catch((e) => [e.name, e.code, e.message])), ['Forbidden', 31403, 'not this number']);
    phone.refusals = {};
    const id = await page.evaluate(() => window.device.connect({ params: { To: '03-1234-5678', CRM_ID: '4711' } }).then((call) => call.id));
    const dialled = phone.said.filter((m) => m.type === 'dial').at(-1);
    assert.deepEqual([dialled.to, dialled.variables], ['03-1234-5678', { CRM_ID: '4711' }]);
    assert.equal(await status(id), 'connecting');
    phone.progress(id);
    assert.deepEqual((await happened('call.ringing')).args, [false]);
    assert.equal(await status(id), 'ringing');
    phone.connected(id);
    await happened('call.accept');
    await page.evaluate((call) => window.calls[call].sendDigits('12#'), id);
    assert.equal((await phone.says('dtmf')).digits, '12#');
    assert.equal(await page.evaluate((call) => { try { window.calls[call].sendDigits('1;2'); } catch (e) { return e.code; } }, id), 31400);
    phone.send({ type: 'dtmf', call: id, digit: '5' });
    assert.deepEqual((await happened('call.digit')).args, ['5']);
    await page.evaluate((call) => window.calls[call].postFeedback(4, 'echo'), id);
    assert.deepEqual((({ score, issue }) => [score, issue])(await phone.says('feedback')), [4, 'echo']);
  });

  test('is muted at once, and the gateway knows', async () => {
    const phone = await logIn();
    const id = await answered(phone);
    await phone.heard(10);
    await page.evaluate((call) => window.calls[call].mute(), id);
    assert.equal((await phone.says('mute')).on, true);
    const frames = samplesOf((await phone.heard(20)).slice(5));
    assert.ok(frames.every((x) => x === 0), 'silence goes out');
    assert.deepEqual((await happened('call.mute')).args, [true, id]);
  });

  test('a second one waits, is answered and swapped; only one is heard', async () => {
    const phone = await logIn('2001', { allowIncomingWhileBusy: true });
    assert.equal(phone.login.call_waiting, true);
    const first = await answered(phone);
    const second = phone.incoming({ from: { number: '200', name: null } });
    await page.waitForFunction((call) => window.calls[call]?.isWaiting, second);
    await page.evaluate((call) => window.calls[call].accept(), second);
    await page.waitForFunction((call) => window.calls[call].status() === 'open', second);
    assert.equal(await status(first), 'held');
    await page.evaluate((call) => window.calls[call].hold(false), first);
    await becomes(first, 'open');
    await becomes(second, 'held');
    assert.equal(await page.evaluate(() => window.device.activeCall.id), first);
  });

  test('is transferred: blind, and attended with a second call', async () => {
    const phone = await logIn();
    const first = await answered(phone);
    const second = await page.evaluate(async (call) => (await window.calls[call].transfer('2003', { kind: 'attended' })).id, first);
    assert.equal(await status(first), 'held');
    assert.equal(await page.evaluate((call) => window.calls[call].consultsFor.id, second), first);
    phone.connected(second);
    await page.waitForFunction((call) => window.calls[call].status() === 'open', second);
    await page.evaluate((call) => window.calls[call].completeTransfer(), first);
    await page.waitForFunction(() => window.device.calls.length === 0);
    assert.deepEqual((await happened('call.disconnect')).args[1], 'transferred');
    const third = phone.incoming();
    await page.waitForFunction((call) => window.calls[call], third);
    await page.evaluate((call) => window.calls[call].accept(), third);
    await page.waitForFunction((call) => window.calls[call].status() === 'open', third);
    await page.evaluate((call) => window.calls[call].transfer('2003'), third);
    assert.equal(await status(third), 'closed');
    phone.send({ type: 'transfer', call: third, state: 'failed', reason: 'busy' });
    assert.deepEqual((await happened('call.transfer')).args, ['failed', 'busy']);
  });

  test('its quality is told each second, and a bad one warned of', async () => {
    const phone = await logIn();
    phone.quality = { asterisk_queue_ms: 900, to_phone_queue_ms: 0 };
    phone.tone(FAR_HZ);
    const id = await answered(phone);
    assert.equal((await phone.says('stats')).call, id);
    await page.waitForFunction(() => window.events.some((e) => e.name === 'call.warning' && e.args[0] === 'high-latency'));
    const stats = await page.evaluate((call) => window.calls[call].getStats(), id);
    assert.ok(stats.e2eMs > 900 && stats.mos < 3 && stats.bytesIn > 32000 && stats.bytesOut > 32000 && stats.rttMs !== null, JSON.stringify(stats));
    phone.quality.asterisk_queue_ms = 20;
    await happened('call.warning-cleared', { timeout: 15000 });
  });
});

describe('the connection', () => {
  test('a ping is answered at once, and a Web Lock is held while registered', async () => {
    const phone = await logIn();
    // Of the one ping that the page sends, with nothing else behind its answer.
    await page.waitForFunction(() => window.device.rttMs !== null);
    phone.send({ type: 'ping', n: 41 });
    assert.equal((await phone.says('pong')).n, 41);
    const held = () => page.evaluate(async () => (await navigator.locks.query()).held.filter((l) => l.name.startsWith('goastgateway-phone')).length);
    assert.equal(await held(), 1);
    await page.evaluate(() => window.device.unregister());
    await phone.says('logout');
    assert.equal(await held(), 0);
    assert.equal(await page.evaluate(() => window.device.state), 'unregistered');
  });

  test('a cut line in a call comes back by itself, with the sound', async (t) => {
    const phone = await logIn();
    phone.tone(FAR_HZ);
    const id = await answered(phone);
    await phone.heard(10);
    const back = once(phone, 'back');
    const cut = performance.now();
    phone.cut();
    assert.deepEqual((await happened('reconnecting')).args, [53001]);
    assert.equal(await status(id), 'reconnecting');
    await back;
    await phone.heard(1);
    t.diagnostic(`heard again after ${Math.round(performance.now() - cut)} ms`);
    assert.ok(performance.now() - cut < 1500);
    await happened('call.reconnected');
    assert.equal(await status(id), 'open');
    assert.deepEqual((await happened('reconnected')).args.length, 1);
  });

  /** In a call that has been heard for more than a second, over a way that can go dark. */
  async function overDarkWay() {
    way = await darkWay(gateway.port);
    gateway.url = `https://127.0.0.1:${way.port}/`;
    const phone = await logIn();
    phone.tone(FAR_HZ);
    const id = await answered(phone);
    await phone.heard(120);
    return { phone, id };
  }

  test('a network that goes dark: the call goes on over another socket while the old one sleeps, and nobody is told', async (t) => {
    const { phone, id } = await overDarkWay();
    const framesDown = () => page.evaluate(() => window.device.audio.engine.stats.framesDown);
    const back = once(phone, 'back');
    way.dark();
    await pass(1500); // so long it is dark
    way.light(false);
    const at = performance.now();
    await back;
    await phone.heard(1);
    t.diagnostic(`heard again ${Math.round(performance.now() - at)} ms after the network was there`);
    assert.equal(phone.login.resume, phone.resume);
    const [sent, before] = [phone.sent, await framesDown()];
    await phone.heard(50);
    assert.ok((await framesDown()) - before <= phone.sent - sent + 5, 'no frame is heard twice');
    assert.equal(await status(id), 'open');
    assert.deepEqual((await names()).filter((name) => /reconnect|replaced|disconnect|cancel|error/.test(name)), []);
    await page.evaluate((call) => window.calls[call].disconnect(), id);
    assert.equal((await phone.says('hangup')).call, id);
  });

  test('a stall that is over by itself changes nothing', async () => {
    const { phone, id } = await overDarkWay();
    way.dark();
    await pass(700); // long enough to try another socket
    way.light(true);
    await phone.heard(100);
    assert.equal(gateway.v1.logins.length, 1);
    assert.equal(await status(id), 'open');
    assert.deepEqual((await names()).filter((name) => /reconnect|replaced|disconnect|cancel|error/.test(name)), []);
  });

  test('a reload in a call comes back into it', async (t) => {
    const phone = await logIn();
    phone.tone(FAR_HZ);
    const id = await answered(phone);
    await phone.heard(10);
    const back = once(phone, 'back');
    const at = performance.now();
    await page.reload();
    await back;
    await phone.heard(1);
    t.diagnostic(`heard again after ${Math.round(performance.now() - at)} ms from the click on reload`);
    assert.equal(phone.login.resume, phone.resume, 'it knew its resume id');
    await happened('reconnected');
    assert.equal(await status(id), 'open');
    await page.evaluate((call) => window.calls[call].disconnect(), id);
    assert.equal((await phone.says('hangup')).call, id);
  });

  test('a copied tab does not take the resume id of the one it was copied from', async () => {
    const phone = await logIn();
    const storage = await page.evaluate(() => Object.entries(sessionStorage));
    assert.ok(storage.some(([key, value]) => key.startsWith('goastgateway.resume') && value === phone.resume));
    assert.ok(!storage.some(([, value]) => value.includes('.ey')), 'no token is stored');
    const copy = await browser.browser.newPage();
    await copy.addInitScript((items) => items.forEach(([key, value]) => sessionStorage.setItem(key, value)), storage);
    const next = once(gateway.v1, 'phone');
    await copy.goto(page.url());
    const [other] = await next;
    assert.equal(other.login.resume, undefined);
  });

  test('requests without an answer are repeated after a resume, with the same id', async () => {
    const phone = await logIn();
    const id = await answered(phone);
    phone.ignored.add('hold');
    const held = page.evaluate((call) => window.calls[call].hold(), id);
    const first = await phone.says('hold');
    phone.ignored.clear();
    phone.cut();
    await held;
    assert.equal((await phone.says('hold')).id, first.id);
    await page.waitForFunction((call) => window.calls[call].status() === 'held', id); // told after the answer
  });

  test('a busy page holds no sound up: two seconds of a blocked main thread', async (t) => {
    const phone = await logIn();
    phone.tone(FAR_HZ);
    await answered(phone);
    await phone.heard(50);
    const before = phone.frames.length;
    const begun = performance.now();
    await page.evaluate(() => {
      const end = performance.now() + 2000;
      while (performance.now() < end);
    });
    const frames = phone.frames.slice(before).filter((f) => f.at - begun < 2000);
    const gaps = frames.slice(1).map((f, i) => f.at - frames[i].at);
    const stats = await page.evaluate(() => window.device.audio.engine.stats);
    t.diagnostic(`${frames.length} frames in 2 s, longest gap ${Math.round(Math.max(...gaps))} ms, bridged ${stats.concealedMs} ms`);
    // Through the page it would be none, and a gap of two seconds.
    assert.ok(frames.length > 80, `${frames.length} frames in 2 s`);
    assert.ok(Math.max(...gaps) < 500, `a gap of ${Math.max(...gaps)} ms`);
  });

  test('an expired token is fetched anew, a running one replaced in time, and sound goes on', async () => {
    await open('2001', { token: makeToken('2001', { ttl: -10 }) });
    assert.equal(await page.evaluate(() => window.registered), 20104);
    assert.equal(await page.evaluate(() => window.device.reason), 'expired');
    const good = makeToken('2001', { ttl: 20 });
    await page.evaluate((token) => window.device.updateToken(token), good);
    await page.waitForFunction(() => window.device.state === 'registered');
    await happened('tokenWillExpire');
    const phone = await gateway.v1.phone('2001');
    await answered(phone);
    const login = gateway.v1.logins.length;
    await page.evaluate((token) => window.device.updateToken(token), makeToken('2001'));
    assert.ok((await phone.says('token')).token);
    assert.ok(await page.evaluate(() => window.device.tokenExpires > Date.now() + 3e6));
    await phone.heard(5);
    assert.equal(gateway.v1.logins.length, login, 'no new login');
  });

  test('replaced by another login it stops, and says so', async () => {
    const phone = await logIn();
    phone.socket.close(4410);
    await happened('replaced');
    assert.equal(await page.evaluate(() => window.device.reason), 'replaced');
    assert.equal(await page.evaluate(() => window.device.state), 'unregistered');
    await page.evaluate(() => window.device.register());
    assert.equal(await page.evaluate(() => window.device.state), 'registered');
  });

  test('the first address of the list that answers is taken', async () => {
    // From another origin, as a CRM does: a page of the gateway's own may only reach that one.
    const crm = await MockGateway.start();
    const gone = await MockGateway.start();
    await gone.stop();
    crm.pages = { '/test.html': PAGE, '/test.js': SCRIPT.replace('/sdk/index.js', `${gateway.url}sdk/index.js`) };
    const url = new URL('test.html', crm.url);
    url.searchParams.set('token', makeToken('2001'));
    url.searchParams.set('options', JSON.stringify({ urls: [gone, gateway].map(({ port }) => `wss://127.0.0.1:${port}/phone`) }));
    page = await browser.openPhone(url.href);
    assert.equal(await page.evaluate(() => window.registered), true);
    await page.close();
    await crm.stop();
  });

  test('a page of another origin loads the SDK from the gateway, worker and worklet, too', async () => {
    const crm = await MockGateway.start();
    crm.pages = { '/test.html': PAGE, '/test.js': SCRIPT.replace('/sdk/index.js', `${gateway.url}sdk/index.js`) };
    const url = new URL('test.html', crm.url);
    url.searchParams.set('token', makeToken('2001'));
    page = await browser.openPhone(url.href);
    assert.equal(await page.evaluate(() => window.registered), true);
    const phone = await gateway.v1.phone('2001');
    await answered(phone);
    await phone.heard(20);
    assert.equal(page.workers().length, 1);
    assert.match(page.workers()[0].url(), /^blob:/);
    await page.close();
    await crm.stop();
  });

  test('where a policy allows no worker it works in the page', async () => {
    gateway.pageHeaders = { 'content-security-policy': "default-src 'self'; worker-src 'none'" };
    // An audio worklet is ruled by script-src, a worker by worker-src.
    const phone = await logIn();
    assert.equal(page.workers().length, 0);
    phone.tone(FAR_HZ);
    await answered(phone);
    await phone.heard(20);
    await page.waitForFunction(() => window.device.audio.engine.stats.framesDown > 20);
  });

  test('presence is set and told', async () => {
    const phone = await logIn();
    await page.evaluate(() => window.device.setPresence('wrapup', { seconds: 30, reason: 'notes' }));
    assert.deepEqual((({ state, seconds }) => [state, seconds])(await phone.says('presence')), ['wrapup', 30]);
    assert.equal(await page.evaluate(() => window.device.presence.state), 'wrapup');
    assert.equal(await page.evaluate(() => window.device.reachable), true);
    phone.send({ type: 'presence', state: 'ready', reachable: false });
    await page.waitForFunction(() => !window.device.reachable);
  });
});

describe('the tabs of a browser', () => {
  const three = { singleTab: true };

  test('are one phone: one login, the call in all of them, answered from any, and kept when the leader goes', async (t) => {
    const phone = await logIn('2001', three);
    const leader = page;
    const second = await open('2001', { options: three });
    const third = await open('2001', { options: three });
    for (const tab of [second, third]) assert.equal(await tab.evaluate(() => window.registered), true);
    assert.equal(gateway.v1.logins.length, 1);
    assert.deepEqual(await Promise.all([leader, second, third].map((tab) => tab.evaluate(() => window.device.isLeader))), [true, false, false]);

    const id = phone.incoming();
    for (const tab of [leader, second, third]) assert.deepEqual((await happened('incoming', { page: tab })).args, [id]);
    phone.tone(FAR_HZ);
    await third.evaluate((call) => window.calls[call].accept(), id);
    for (const tab of [leader, second, third]) await happened('call.accept', { page: tab });
    await phone.heard(10);
    await second.evaluate((call) => window.calls[call].mute(), id);
    await leader.waitForFunction((call) => window.calls[call].isMuted(), id);

    const back = once(phone, 'back');
    const at = performance.now();
    await leader.close();
    await back;
    await phone.heard(1);
    t.diagnostic(`another tab talks after ${Math.round(performance.now() - at)} ms`);
    await second.waitForFunction((call) => window.calls[call].status() === 'open', id);
    assert.deepEqual((await Promise.all([second, third].map((tab) => tab.evaluate(() => window.device.isLeader)))).sort(), [false, true]);
    assert.equal(await second.evaluate((call) => window.calls[call].isMuted(), id), true, 'muted as before');
    assert.equal(await third.evaluate(() => window.events.filter((e) => e.name === 'incoming' || e.name === 'outgoing').length), 1, 'the call is told of once');
    await third.evaluate((call) => window.calls[call].disconnect(), id);
    for (const tab of [second, third]) await happened('call.disconnect', { page: tab });
  });

  test('a tab that comes later sees the call, a refusal comes back to the tab that asked, and one logs out all', async () => {
    const phone = await logIn('2001', three);
    const leader = page;
    const id = await answered(phone);
    const second = await open('2001', { options: three });
    await happened('outgoing', { page: second });
    assert.equal(await second.evaluate((call) => window.calls[call].status(), id), 'open');
    phone.refusals.hold = { code: 31105, name: 'wrong_state', message: 'no' };
    assert.equal(await second.evaluate((call) => window.calls[call].hold().catch((e) => e.code), id), 31105);
    await second.evaluate(() => window.device.unregister());
    for (const tab of [leader, second]) await tab.waitForFunction(() => window.device.state === 'unregistered');
    await leader.close();
    assert.equal(await second.evaluate(() => window.device.state), 'unregistered', 'the next leader does not log in by itself');
    await second.evaluate(() => window.device.register());
    await second.waitForFunction(() => window.device.state === 'registered');
  });
});
