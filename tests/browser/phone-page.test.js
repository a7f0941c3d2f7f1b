// The real page in headless Chromium against the mock gateway, sound checked by content.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { MockGateway, makeToken } from './mock-gateway.mjs';
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
  return gateway.phone(ext);
}

async function ring(phone) {
  phone.send('RINGING');
  await waitForState(page, 'ringing');
}

async function call(phone) {
  await ring(phone);
  await page.keyboard.press('Enter');
  await phone.said('ANSWER');
  await waitForState(page, 'in-call');
}

const samplesOf = (frames) => {
  const bytes = Buffer.concat(frames.map((f) => f.data));
  return fromPcm(new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
};
const heading = () => page.textContent('#state');
/** Errors that the page itself made; a failed socket or probe is logged by the browser, not by us. */
const ownFaults = () => page.faults.filter((line) => !/WebSocket connection|Failed to load resource/.test(line));

describe('logging in', () => {
  test('a link logs in, and its token leaves the address bar', async () => {
    await logIn('2001');
    assert.equal(new URL(page.url()).hash, '');
    assert.equal(await heading(), 'Ready');
    assert.match(await page.textContent('#identity'), /2001/);
    const locks = await page.evaluate(async () => (await navigator.locks.query()).held.length);
    assert.equal(locks, 1, 'a Web Lock is held');
    assert.deepEqual(ownFaults(), []);
  });

  test('a reload stays logged in, logging out ends it', async () => {
    const phone = await logIn();
    const gone = once(phone, 'gone');
    await page.reload();
    await gone;
    await waitForState(page, 'ready');
    await page.click('#logout');
    await waitForState(page, 'offline');
    await page.reload();
    await page.waitForFunction(() => window.goastgateway);
    assert.equal(await stateOf(page), 'offline');
    assert.ok(await page.isVisible('#token'));
  });

  test('a pasted link works as well, and nonsense is refused with a word', async () => {
    page = await phones.openPhone(gateway.url);
    await page.fill('#token', 'nonsense');
    await page.keyboard.press('Enter');
    assert.match(await page.textContent('#login-error'), /neither/);
    await page.fill('#token', gateway.link('2002'));
    await page.keyboard.press('Enter');
    await waitForState(page, 'ready');
    await gateway.phone('2002');
  });

  test('an expired token is told as what it is, and is not tried again', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: -10 }));
    await waitForState(page, 'refused');
    assert.match(await page.textContent('#detail'), /expired or was refused/);
    assert.equal(gateway.asked, 1);
    await page.click('#retry');
    assert.ok(await page.isVisible('#token'));
  });

  test('a token that has plainly expired is told as that without asking the gateway', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: -3600 }));
    await waitForState(page, 'refused');
    assert.equal(await page.textContent('#detail'), 'The login has expired. Ask for a new link.');
    assert.equal(gateway.asked, 0);
    assert.equal(await page.locator('.notice[data-key=expiry]').count(), 0, 'nothing says that it is still connected');
  });

  test('403 is told as what it is, with the next try, and the button leads to another login', async () => {
    gateway.refuseWith = 403;
    page = await phones.openPhone(gateway.link('2001'));
    await waitForState(page, 'refused');
    assert.match(await page.textContent('#detail'), /not allowed[^]*Next try in (5\d|6\d|70) s/);
    await page.click('#retry');
    assert.ok(await page.isVisible('#token'));
  });

  test('a gateway that is just coming back is tried again until it is there', async () => {
    gateway.refuseWith = 502;
    page = await phones.openPhone(gateway.link('2001'));
    await waitForState(page, 'reconnecting');
    assert.match(await page.textContent('#detail'), /starting or closing down/);
    gateway.refuseWith = 0;
    await waitForState(page, 'ready');
  });

  test('sound that could not be loaded is told as that, and is there once the gateway is', async () => {
    gateway.refuseWorklet = true;
    const phone = await logIn();
    await page.waitForSelector('.notice[data-key=sound]');
    assert.match(await page.textContent('.notice[data-key=sound]'), /could not be loaded/);
    gateway.refuseWorklet = false;
    phone.cut();
    await gateway.phone('2001');
    await page.waitForSelector('.notice[data-key=sound]', { state: 'detached' });
    await call(await gateway.phone('2001'));
    await waitForStats(page, (s) => s.micLevel > 0.3);
  });

  test('a login that ends soon is announced', async () => {
    page = await phones.openPhone(gateway.link('2001', { ttl: 200 }));
    await page.waitForSelector('.notice[data-key=expiry]');
  });

  test('the language can be switched', async () => {
    await logIn();
    await page.click('#language');
    assert.equal(await heading(), '待受中');
    assert.equal(await page.getAttribute('html', 'lang'), 'ja');
  });
});

describe('ringing', () => {
  test('a call is shown, rung and answered by a click', async () => {
    const phone = await logIn();
    await ring(phone);
    assert.equal(await heading(), 'Incoming call');
    await page.waitForFunction(() => document.title.includes('Incoming call'));
    await page.waitForFunction(() => window.goastgateway.engine.context?.state === 'running');
    await page.click('#answer');
    await phone.said('ANSWER');
    assert.equal(await heading(), 'In call');
  });

  for (const [key, text, state] of [['Enter', 'ANSWER', 'in-call'], ['a', 'ANSWER', 'in-call'], ['Escape', 'HANGUP', 'ready'], ['h', 'HANGUP', 'ready']]) {
    test(`the key ${key} sends ${text}`, async () => {
      const phone = await logIn();
      await ring(phone);
      await page.keyboard.press(key);
      await phone.said(text);
      await waitForState(page, state);
    });
  }

  test('declining by click', async () => {
    const phone = await logIn();
    await ring(phone);
    await page.click('#hangup');
    await phone.said('HANGUP');
    assert.match(await page.textContent('#detail'), /declined/);
  });

  test('a caller who gives up is shown as missed, and the title rests', async () => {
    const phone = await logIn();
    await ring(phone);
    phone.send('HANGUP');
    await waitForState(page, 'ready');
    assert.match(await page.textContent('#detail'), /Missed call/);
    assert.doesNotMatch(await page.title(), /Incoming/);
  });

  test('an answer that comes too late', async () => {
    const phone = await logIn();
    await call(phone);
    phone.send('HANGUP');
    await waitForState(page, 'ready');
    assert.match(await page.textContent('#detail'), /already gone/);
  });
});

describe('sound', () => {
  test('the microphone goes up in frames of 640 bytes, 50 a second, as it was spoken', async () => {
    const phone = await logIn();
    await call(phone);
    await waitForStats(page, (s) => s.micLevel > 0.3);
    await phone.heard(10);
    const frames = await phone.heard(150);
    assert.ok(frames.every((f) => f.data.length === 640));
    const seconds = (frames.at(-1).at - frames[0].at) / 1000;
    assert.ok(Math.abs(149 / seconds - 50) < 2.5, `${149 / seconds} frames a second`);
    const heard = samplesOf(frames);
    assertIsTone(heard, VOICE_HZ);
    assert.ok(rms(heard) > 0.2);
    const asked = await page.evaluate(() => window.askedForMic.audio);
    assert.ok(asked.echoCancellation && asked.noiseSuppression && asked.autoGainControl);
    assert.deepEqual(ownFaults(), []);
  });

  test('the far voice comes out of the speaker as it was sent', async () => {
    const phone = await logIn();
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 50);
    const heard = await tapOutput(page, 2);
    assert.ok(Math.abs(heard.length - 32000) < 100);
    assertIsTone(heard, FAR_HZ);
    assert.ok(Math.abs(rms(heard) - 0.4 / Math.SQRT2) < 0.04, `${rms(heard)}`);
    const { delayMs } = await statsOf(page);
    assert.ok(delayMs > 5 && delayMs <= 120, `${delayMs} ms`);
  });

  test('mute sends silence at the same pace, and the key M takes it back', async () => {
    const phone = await logIn();
    await call(phone);
    await waitForStats(page, (s) => s.micLevel > 0.3);
    await page.keyboard.press('m');
    assert.equal(await page.getAttribute('#mute', 'aria-pressed'), 'true');
    await waitForStats(page, (s) => s.micLevel === 0);
    await phone.heard(15);
    const silent = await phone.heard(50);
    assert.ok(samplesOf(silent).every((x) => x === 0));
    const seconds = (silent.at(-1).at - silent[0].at) / 1000;
    assert.ok(Math.abs(49 / seconds - 50) < 5, `${49 / seconds} frames a second`);
    await page.click('#mute');
    await waitForStats(page, (s) => s.micLevel > 0.3);
  });

  test('after a freeze of 3 s a burst of 150 frames does not stay in the ear', async () => {
    const phone = await logIn();
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 150);
    const before = await statsOf(page);
    phone.freeze();
    while (phone.held.length < 150) await phone.heard(1);
    const held = phone.thaw();
    assert.ok(held >= 150);
    await page.waitForFunction((n) => window.goastgateway.phone.stats.framesDown >= n, before.framesDown + held, { polling: 10 });
    await page.evaluate(() => {
      window.worstMs = 0;
      window.goastgateway.engine.on('stats', (s) => (window.worstMs = Math.max(window.worstMs, s.bufferedMs)));
    });
    await phone.heard(100);
    const after = await statsOf(page);
    const worst = await page.evaluate(() => window.worstMs);
    assert.ok(worst <= 120, `${worst} ms waited`);
    assert.ok(Math.abs(after.delayMs - before.delayMs) < 50, `${before.delayMs} -> ${after.delayMs} ms`);
    assert.ok(after.shedMs > 2500, `${after.shedMs} ms thrown away`);
    const heard = await tapOutput(page, 1);
    assertIsTone(heard, FAR_HZ);
  });

  test('hanging up closes the microphone and stops the frames', async () => {
    const phone = await logIn();
    await call(phone);
    await phone.heard(10);
    await page.click('#hangup');
    await phone.said('HANGUP');
    await waitForState(page, 'ready');
    await page.waitForFunction(() => window.goastgateway.engine.mic === 'off');
    const count = phone.frames.length;
    // The context goes to sleep by itself: an idle phone costs nothing.
    await page.waitForFunction(() => window.goastgateway.engine.context.state === 'suspended');
    assert.ok(phone.frames.length - count <= 1);
  });

  test('the far end hangs up, and the next call works', async () => {
    const phone = await logIn();
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 20);
    phone.quiet();
    phone.send('HANGUP');
    await waitForState(page, 'ready');
    assert.match(await page.textContent('#detail'), /other side hung up/);
    await call(phone);
    phone.tone(FAR_HZ);
    await waitForStats(page, (s) => s.framesDown > 50 && s.micLevel > 0.3);
    assertIsTone(await tapOutput(page, 1), FAR_HZ);
  });
});

describe('the connection', () => {
  test('BUSY is told, not hammered, and can be tried again', async () => {
    const other = await logIn();
    const second = await phones.openPhone(gateway.link('2001'));
    await waitForState(second, 'busy');
    assert.match(await second.textContent('#detail'), /another device/);
    const { logins } = gateway;
    other.cut();
    await waitForState(page, 'ready');
    assert.equal(gateway.logins, logins + 1, 'only the first phone came back');
    await page.click('#logout');
    while (gateway.phones.size > 0) await once(gateway.phones.get('2001'), 'gone');
    await second.click('#retry');
    await waitForState(second, 'ready');
    await second.close();
  });

  test('KICKED is told, and the phone can be taken back', async () => {
    gateway.replace = true;
    await logIn();
    const second = await phones.openPhone(gateway.link('2001'));
    await waitForState(page, 'replaced');
    await waitForState(second, 'ready');
    await page.click('#retry');
    await waitForState(page, 'ready');
    await waitForState(second, 'replaced');
    await second.close();
  });

  test('a socket that dies in a call ends it honestly, and the phone comes back by itself', async () => {
    const phone = await logIn();
    await call(phone);
    phone.cut();
    await waitForState(page, 'reconnecting');
    assert.match(await page.textContent('#detail'), /Next try in \d+ s|Trying now/);
    await waitForState(page, 'ready');
    await call(await gateway.phone('2001'));
  });

  test('a gateway that is away for a while is found again', async () => {
    await logIn();
    const { port } = gateway;
    await gateway.stop();
    await waitForState(page, 'reconnecting');
    await page.waitForFunction(() => window.goastgateway.phone.snapshot().reason === 'unreachable');
    await gateway.listen(port);
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await waitForState(page, 'ready');
  });

  test('when the network came back, a socket that only looks open is found out and replaced', async () => {
    const phone = await logIn();
    // The gateway has lost this phone; the page cannot know.
    phone.socket.removeAllListeners('close');
    gateway.phones.delete('2001');
    await page.waitForFunction(() => {
      window.dispatchEvent(new Event('online'));
      return true;
    });
    const fresh = await Promise.race([gateway.phone('2001'), retryOnline()]);
    fresh.send('RINGING');
    await waitForState(page, 'ringing');
    phone.cut();
  });

  test('when the network came back, a socket that lives is left alone', async () => {
    const phone = await logIn();
    const refused = once(gateway, 'refused');
    await untilRefused(refused);
    assert.equal(await stateOf(page), 'ready');
    await ring(phone);
  });
});

/** The page doubts a socket only when its last sign of life is some seconds old: ask until it does. */
async function nudge(done) {
  for (;;) {
    if (page.isClosed() || (await Promise.race([done, page.waitForTimeout(250).then(() => 'again')])) !== 'again') return;
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
  }
}
async function retryOnline() {
  const phone = gateway.phone('2001');
  await nudge(phone);
  return phone;
}
async function untilRefused(refused) {
  await nudge(refused);
}

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
  test('a token that is refused while the phone is connected is announced, and the phone stays', async () => {
    const phone = await logIn();
    await page.waitForTimeout(2100);
    gateway.refuseWith = 401;
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await page.waitForSelector('.notice[data-key=expiry]');
    assert.match(await page.textContent('.notice[data-key=expiry]'), /no longer valid. You stay connected/);
    gateway.refuseWith = 0;
    await ring(phone);
  });

  test('without a microphone the call goes on in silence, and the page says why', async () => {
    const deaf = await launch({ mic: false, args: ['--deny-permission-prompts'], context: { locale: 'en-US' } });
    try {
      page = await deaf.openPhone(gateway.link('2001'));
      await waitForState(page, 'ready');
      const phone = await gateway.phone('2001');
      await call(phone);
      await page.waitForSelector('.notice[data-key=mic]');
      assert.match(await page.textContent('.notice[data-key=mic]'), /callers will not hear you/);
      const frames = await phone.heard(25);
      assert.ok(samplesOf(frames).every((x) => x === 0));
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
      await page.waitForSelector('.notice[data-key=sound] button');
      await page.click('.notice[data-key=sound] button');
      await page.waitForSelector('.notice[data-key=sound]', { state: 'detached' });
    } finally {
      await shy.close();
      page = null;
    }
  });
});
