// The real page in headless Chromium against the mock of the phone protocol, sound checked by content.
// What the page shows in each state is page-screen.test.js's; here is what goes over the wire.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { MockGateway } from './mock-gateway.mjs';
import { launch, statsOf, stateOf, tapOutput, waitForState, waitForStats } from './page.mjs';
import { fromPcm, rms, shareOfTone, sine, writeWav } from './signal.mjs';

const VOICE_HZ = 620;
const FAR_HZ = 1100;

let folder;
let gateway;
let phones;
let page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'phone-test-'));
  const wav = join(folder, 'voice.wav');
  writeWav(wav, sine(VOICE_HZ, 48000, 10, 0.5), 48000);
  phones = await launch({ wav, context: { locale: 'en-US' } });
});
after(async () => {
  await phones?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  gateway = await MockGateway.start();
});
afterEach(async () => {
  await page?.close();
  page = null;
  await gateway.stop();
});

/** The tone, by content; not by how well a busy machine plays it. */
function assertIsTone(samples, hz) {
  const share = shareOfTone(samples, [hz, ...[VOICE_HZ, FAR_HZ, 440, 2300].filter((other) => other !== hz)], 16000);
  assert.ok(share >= 0.6, `${hz} Hz is heard ${share} of the time`);
}

async function logIn(ext = '2001') {
  page = await phones.openPhone(gateway.link(ext));
  await waitForState(page, 'ready');
  return gateway.v1.phone(ext);
}

/** @returns the call's id */
async function ring(phone, some) {
  const id = phone.incoming(some);
  await phone.says('ringing');
  await waitForState(page, ['ringing', 'in-call']);
  return id;
}

async function call(phone, some) {
  const id = await ring(phone, some);
  await page.keyboard.press('Enter');
  await phone.says('answer');
  await waitForState(page, 'in-call');
  return id;
}

const samplesOf = (frames) => {
  const bytes = Buffer.concat(frames.map((f) => f.data));
  return fromPcm(new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
};
const heading = () => page.textContent('#state');
const line = () => page.textContent('#just-now');
/** Errors that the page itself made; a failed socket or probe is logged by the browser, not by us. */
const ownFaults = () => page.faults.filter((text) => !/WebSocket connection|Failed to load resource/.test(text));

describe('logging in', () => {
  for (const way of ['#', '?']) {
    test(`a link with ${way}token= logs in, and the token leaves the address bar`, async () => {
      page = await phones.openPhone(gateway.link('2001').replace('#', way));
      await waitForState(page, 'ready');
      assert.equal(page.url(), gateway.url);
      assert.equal(await heading(), 'Ready');
      assert.equal(await page.textContent('#identity'), 'Extension 2001');
      assert.deepEqual(ownFaults(), []);
    });
  }

  test('a reload stays logged in, logging out ends it', async () => {
    const phone = await logIn();
    const gone = once(phone, 'gone');
    await page.reload();
    await gone;
    await waitForState(page, 'ready');
    await page.click('#logout');
    await waitForState(page, 'offline');
    await page.reload();
    await page.waitForSelector('#token');
    assert.equal(await stateOf(page), 'offline');
  });

  test('a pasted link works as well', async () => {
    page = await phones.openPhone(gateway.url);
    await page.fill('#token', gateway.link('2002'));
    await page.keyboard.press('Enter');
    await waitForState(page, 'ready');
  });

  test('an expired token is told as what it is, and the button leads to another login', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: -10 }));
    await waitForState(page, 'refused');
    assert.equal(await page.textContent('#detail'), 'The login has expired. Ask for a new link.');
    await page.click('#retry');
    assert.ok(await page.isVisible('#token'));
  });
});

describe('a call', () => {
  test('is shown with name and number, answered by a key, and both hear each other', async () => {
    const phone = await logIn();
    await ring(phone, { group: 'support' });
    assert.equal(await page.textContent('#caller'), 'Alice');
    assert.match(await page.textContent('article .number'), /0312345678 · for support/);
    await page.waitForFunction(() => document.title.includes('Incoming call · Alice'));
    await page.keyboard.press('Enter');
    await phone.says('answer');
    await waitForState(page, 'in-call');
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 50 && s.micLevel > 0.3);
    const heard = await tapOutput(page, 1.5);
    assertIsTone(heard, FAR_HZ);
    assert.ok(Math.abs(rms(heard) - 0.4 / Math.SQRT2) < 0.05, `${rms(heard)}`);
    const frames = await phone.heard(100);
    assert.ok(frames.every((f) => f.data.length === 640));
    assertIsTone(samplesOf(frames), VOICE_HZ);
    await page.waitForSelector('#quality-sign[data-level=good]');
    assert.deepEqual(ownFaults(), []);
  });

  test('mute sends silence and is told to the gateway, and the key M takes it back', async () => {
    const phone = await logIn();
    await call(phone);
    await waitForStats(page, (s) => s.micLevel > 0.3);
    await page.keyboard.press('m');
    assert.equal((await phone.says('mute')).on, true);
    assert.equal(await page.getAttribute('#do-mute', 'aria-pressed'), 'true');
    await waitForStats(page, (s) => s.micLevel === 0);
    await page.click('#do-mute');
    assert.equal((await phone.says('mute')).on, false);
    await waitForStats(page, (s) => s.micLevel > 0.3);
  });

  test('declining says so, and the caller who gives up is a missed call', async () => {
    const phone = await logIn();
    await ring(phone);
    await page.keyboard.press('Escape');
    await phone.says('reject');
    await waitForState(page, 'ready');
    assert.match(await line(), /You declined the call from Alice/);
    phone.ended(await ring(phone), { reason: 'caller_gave_up' });
    await waitForState(page, 'ready');
    assert.match(await line(), /Missed call from Alice/);
    assert.doesNotMatch(await page.title(), /Incoming/);
  });

  test('is dialled from the pad, heard while it rings, and hung up', async () => {
    const phone = await logIn();
    await page.keyboard.type('0312345678');
    await page.keyboard.press('Enter');
    assert.equal((await phone.says('dial')).to, '0312345678');
    await waitForState(page, 'in-call');
    const [id] = phone.calls.keys();
    phone.progress(id);
    await page.waitForFunction(() => document.getElementById('state').textContent === 'Ringing there');
    phone.connected(id);
    await page.waitForFunction(() => document.getElementById('state').textContent === 'In call');
    assert.equal(await page.textContent('#caller'), '0312345678');
    await page.keyboard.press('5');
    assert.equal((await phone.says('dtmf')).digits, '5');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await phone.says('hangup');
    await waitForState(page, 'ready');
    assert.equal(await page.isVisible('#redial'), true);
  });

  test('a second one waits, is swapped, and transferred after asking', async () => {
    const phone = await logIn();
    const first = await call(phone);
    const second = await ring(phone, { from: { number: '0698765432', name: 'Bob' } });
    assert.match(await page.textContent('[data-role=waiting]'), /Bob/);
    await page.keyboard.press('Enter');
    await phone.says('answer');
    await page.waitForFunction(() => document.getElementById('caller').textContent === 'Bob');
    await page.keyboard.press('s');
    assert.deepEqual({ ...(await phone.says('hold')), id: 0 }, { type: 'hold', call: first, on: false, id: 0 });
    await page.waitForFunction(() => document.getElementById('caller').textContent === 'Alice');
    phone.ended(second);
    await page.keyboard.press('t');
    await page.fill('#target', '2003');
    await page.keyboard.press('Enter');
    assert.equal((await phone.says('transfer')).mode, 'attended');
    await page.waitForSelector('article[data-role=outgoing]');
    phone.connected([...phone.calls.keys()].at(-1));
    await page.click('#do-complete');
    assert.deepEqual((({ mode, call: of }) => ({ mode, of }))(await phone.says('transfer')), { mode: 'complete', of: first });
    await waitForState(page, 'ready');
    assert.match(await line(), /Call transferred/);
    phone.send({ type: 'transfer', call: first, state: 'completed' });
    await page.waitForFunction(() => /2003 has taken the call from Alice/.test(document.getElementById('just-now')?.textContent ?? ''));
  });

  test('one that was passed on and not taken is said so until it is read', async () => {
    const phone = await logIn();
    const id = await call(phone);
    await page.keyboard.press('t');
    await page.fill('#target', '2003');
    await page.click('[data-does=blind]');
    await waitForState(page, 'ready');
    phone.send({ type: 'transfer', call: id, state: 'failed', reason: 'busy' });
    await page.waitForFunction(() => /2003 was busy for the call from Alice/.test(document.getElementById('just-now')?.textContent ?? ''));
    await page.click('#dismiss');
    await page.waitForFunction(() => !document.getElementById('just-now'));
  });

  test('after a freeze of 3 s a burst does not stay in the ear', async () => {
    const phone = await logIn();
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 150);
    const before = await statsOf(page);
    phone.quiet();
    const frame = Buffer.alloc(640);
    for (let k = 0; k < 320; k++) frame.writeInt16LE(Math.round(13000 * Math.sin((2 * Math.PI * FAR_HZ * k) / 16000)), k * 2);
    await page.waitForTimeout(3000); // the freeze itself
    for (let i = 0; i < 150; i++) phone.socket.send(frame);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown >= before.framesDown + 150);
    await phone.heard(100);
    const stats = await statsOf(page);
    assert.ok(Math.abs(stats.delayMs - before.delayMs) < 60, `${before.delayMs} -> ${stats.delayMs} ms`);
    assertIsTone(await tapOutput(page, 1), FAR_HZ);
  });

  test('a reload in mid-call returns into it, and both hear each other again', async (t) => {
    const phone = await logIn();
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 50);
    const back = once(phone, 'back');
    await page.reload();
    await back;
    const gap = performance.now() - phone.goneAt;
    await waitForState(page, 'in-call');
    assert.equal(await page.textContent('#caller'), 'Alice');
    await waitForStats(page, (s) => s.framesDown > 50);
    assertIsTone(await tapOutput(page, 1), FAR_HZ);
    assertIsTone(samplesOf(await phone.heard(50)), VOICE_HZ);
    t.diagnostic(`${Math.round(gap)} ms from the old page's end to the new one's login`);
  });

  test('a network that is away for a moment is told, and the call goes on', async () => {
    const phone = await logIn();
    await call(phone);
    gateway.refuseWith = 503;
    phone.cut();
    await waitForState(page, 'reconnecting');
    await page.waitForSelector('.chips .warn');
    assert.match(await page.textContent('.chips'), /No connection: the other side hears (silence|music)/);
    gateway.refuseWith = 0;
    await waitForState(page, 'in-call');
    await phone.heard(25);
    assert.equal(await page.locator('.chips').count(), 0);
  });
});

describe('the connection', () => {
  test('presence is told to the gateway, with the time of a wrap-up', async () => {
    const phone = await logIn();
    await page.click('#presence-wrapup');
    const { state, seconds } = await phone.says('presence');
    assert.deepEqual({ state, seconds }, { state: 'wrapup', seconds: 30 });
    await page.waitForSelector('#presence-wrapup[aria-pressed=true] .left');
  });

  test('a second login takes the phone over, and can be taken back', async () => {
    await logIn();
    const second = await phones.openPhone(gateway.link('2001'));
    await waitForState(page, 'replaced');
    await waitForState(second, 'ready');
    await page.click('#retry');
    await waitForState(page, 'ready');
    await waitForState(second, 'replaced');
    await second.close();
  });

  test('an extension that is in use is told, not hammered', async () => {
    await logIn();
    gateway.v1.duplicate = 'reject';
    const second = await phones.openPhone(gateway.link('2001'));
    await waitForState(second, 'busy');
    assert.match(await second.textContent('#detail'), /logged in at: Chrome, /);
    await second.close();
  });

  test('a gateway that is away for a while is found again', async () => {
    const phone = await logIn();
    gateway.refuseWith = 502;
    phone.cut();
    await waitForState(page, 'reconnecting');
    await page.waitForFunction(() => /starting or closing down|does not answer/.test(document.getElementById('detail').textContent));
    gateway.refuseWith = 0;
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await waitForState(page, 'ready');
  });

  test('a login that ended while the line was down is told as that, and what to do', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: 600 }));
    await waitForState(page, 'ready');
    const phone = await gateway.v1.phone('2001');
    gateway.refuseWith = 502;
    phone.cut();
    await waitForState(page, 'reconnecting');
    gateway.refuseWith = 0;
    await page.evaluate(() => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + 700000; // that long later
      window.dispatchEvent(new Event('online'));
    });
    await waitForState(page, 'refused');
    assert.equal(await page.textContent('#detail'), 'The login has expired. Ask for a new link.');
    assert.equal(await page.textContent('#retry'), 'Log in again');
  });

  test('a login that ends soon is announced; a new link takes its place and the call goes on', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: 200 }));
    await page.waitForSelector('.notice[data-key=expiry]');
    const phone = await gateway.v1.phone('2001');
    await call(phone);
    await page.evaluate((hash) => (location.hash = hash), new URL(gateway.link('2001')).hash);
    await phone.says('token');
    await page.waitForSelector('.notice[data-key=expiry]', { state: 'detached' });
    assert.equal(await stateOf(page), 'in-call');
    assert.equal(page.url(), gateway.url);
  });
});

/** Runs in the page. (A test's own look into the page counts as a click, so the browser's rule cannot be had.) */
function wantClickBeforeSound() {
  let clicked = false;
  addEventListener('pointerdown', () => (clicked = true), { capture: true });
  const { resume } = AudioContext.prototype;
  AudioContext.prototype.resume = function () {
    return clicked ? resume.call(this) : new Promise(() => {});
  };
  const Real = AudioContext;
  window.AudioContext = class extends Real {
    constructor(options) {
      super(options);
      this.suspend();
    }
  };
}

describe('what may be missing', () => {
  test('without a microphone the call goes on in silence, and the page says why', async () => {
    const deaf = await launch({ mic: false, args: ['--deny-permission-prompts'], context: { locale: 'en-US' } });
    try {
      page = await deaf.openPhone(gateway.link('2001'));
      await waitForState(page, 'ready');
      const phone = await gateway.v1.phone('2001');
      await call(phone);
      await page.waitForSelector('.notice[data-key=mic]');
      assert.match(await page.textContent('.notice[data-key=mic]'), /callers will not hear you/);
      assert.ok(samplesOf(await phone.heard(25)).every((x) => x === 0));
    } finally {
      await deaf.close();
      page = null;
    }
  });

  test('where the browser wants a click before sound, the page asks for it', async () => {
    const shy = await launch({ context: { locale: 'en-US' } });
    try {
      await shy.browser.addInitScript(wantClickBeforeSound);
      page = await shy.openPhone(gateway.link('2001'));
      await page.click('.notice[data-key=sound] button');
      await page.waitForSelector('.notice[data-key=sound]', { state: 'detached' });
    } finally {
      await shy.close();
      page = null;
    }
  });

  test('sound that could not be loaded is told as that, and is there once the gateway is', async () => {
    gateway.refuseWorklet = true;
    await logIn();
    await page.waitForSelector('.notice[data-key=sound]');
    assert.match(await page.textContent('.notice[data-key=sound]'), /could not be loaded/);
    gateway.refuseWorklet = false;
    await page.click('.notice[data-key=sound] button');
    await page.waitForSelector('.notice[data-key=sound]', { state: 'detached' });
  });
});
