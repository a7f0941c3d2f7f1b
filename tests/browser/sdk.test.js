// The SDK in headless Chromium against the mock of the phone protocol.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
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
  await gateway.stop();
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
    const heard = await phone.heard(60);
    assert.ok(shareOfTone(samplesOf(heard.slice(20)), [VOICE_HZ, FAR_HZ, 440], 16000) > 0.6, 'the voice is heard');
    assert.ok(heard.every((f) => f.data.length === 640));
    await page.evaluate((call) => window.calls[call].hold(), id);
    assert.equal(await status(id), 'held');
    await page.evaluate((call) => window.calls[call].hold(false), id);
    assert.equal(await status(id), 'open');
    await page.evaluate((call) => window.calls[call].disconnect(), id);
    assert.deepEqual((await happened('call.disconnect')).args, [id, 'phone_hung_up']);
    assert.deepEqual(page.faults, []);
  });
});
