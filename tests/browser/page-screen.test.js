// The page on the screen, with a fake telephone behind it: what is shown, pressed, typed, focused and said.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { asked, launchBrowser, openContext, openPage } from './fake-page.mjs';

let browser;
let context;
let page;

before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());
beforeEach(async () => {
  context = await openContext(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
  page = await openPage(context);
});
afterEach(async () => {
  assert.deepEqual(page.faults, [], 'the page makes no error');
  await context.close();
});

const text = (selector) => page.textContent(selector);
const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);
const ring = (change = {}) => page.evaluate((c) => window.fake.ring(c), change);
const talk = (change = {}) => page.evaluate((c) => window.fake.put({ calls: [...window.fake.state.calls, window.makeCall(c)] }), change);
const end = (id, reason, talkMs) => page.evaluate((args) => window.fake.end(...args), [id, reason, talkMs]);
const put = (change) => page.evaluate((c) => window.fake.put(c), change);
const type = (keys) => page.keyboard.type(keys);
const press = (key) => page.keyboard.press(key);
const number = () => page.inputValue('#number');

describe('dialling', () => {
  test('digits go into the number wherever the focus is, Enter calls', async () => {
    await type('03-1234*');
    assert.equal(await number(), '031234*');
    await press('Backspace');
    await press('Enter');
    assert.deepEqual(await asked(page, 'dial'), [['dial', '031234']]);
    assert.equal(await number(), '');
  });

  test('a number is pasted as it is written, into the page and into the field', async () => {
    const paste = async (written) => {
      await page.evaluate((t) => navigator.clipboard.writeText(t), written);
      await press('Control+v');
    };
    await paste('(03) 1234-5678');
    assert.equal(await number(), '0312345678');
    await press('Escape');
    await page.focus('#number');
    await paste('０３ー９９');
    assert.equal(await number(), '0399');
    await press('Enter');
    assert.deepEqual(await asked(page, 'dial'), [['dial', '0399']]);
  });

  test('the keys of the pad leave the focus where it is', async () => {
    await page.focus('#number');
    for (const digit of ['1', '#']) await page.click(`[data-digit="${digit}"]`);
    assert.equal(await focused(), 'number');
    assert.equal(await number(), '1#');
    await page.click('#erase');
    assert.equal(await number(), '1');
  });

  test('what cannot be dialled is told, and so is what the gateway refuses', async () => {
    await page.fill('#number', 'call me maybe');
    await press('Enter');
    assert.match(await text('#just-now'), /not a number/);
    await page.evaluate(() => (window.fake.refuse = { code: 31206 }));
    await page.fill('#number', '99');
    await press('Enter');
    await page.waitForFunction(() => /Too many calls/.test(document.getElementById('just-now').textContent));
    assert.equal(await number(), '99', 'the number stays, to be tried again');
  });

  test('Enter brings the last number back, and calls it; R calls it at once', async () => {
    await talk({ direction: 'outgoing', from: { number: '0312', name: null } });
    await end('c1', 'phone_hung_up', 1000);
    await press('Enter');
    assert.equal(await number(), '0312');
    await press('Enter');
    await press('r');
    assert.deepEqual(await asked(page, 'dial'), [['dial', '0312'], ['dial', '0312']]);
  });

  test('without the manager the page says that it cannot dial', async () => {
    await put({ features: { hold: true, dial: false, dtmf: false, transfer: false } });
    assert.match(await text('#no-dial'), /not available/);
    await type('5');
    await press('Enter');
    assert.deepEqual(await asked(page, 'dial'), []);
  });
});

describe('an incoming call', () => {
  test('is drawn with name, number and group, flashes in the title, and is said aloud', async () => {
    await ring({ group: 'support' });
    assert.equal(await text('h1'), 'Incoming call');
    assert.equal(await text('#caller'), 'Alice Example');
    assert.match(await text('article .number'), /0312345678 · for support/);
    assert.equal(await page.title(), '☎ Incoming call · Alice Example');
    assert.equal(await text('#say-now'), 'Incoming call from Alice Example for support');
    assert.equal(await focused(), 'do-answer');
    await end('c1', 'caller_gave_up');
    assert.equal(await page.title(), 'Ready · Extension 2001');
    assert.match(await text('#just-now'), /Missed call from Alice Example/);
    assert.match(await text('.badge'), /1/);
    await page.click('#call-back');
    assert.deepEqual(await asked(page, 'dial'), [['dial', '0312345678']]);
  });

  test('comes before a dialog that is open, and takes Enter from a number that is being typed', async () => {
    await press('?');
    assert.ok(await page.isVisible('#help-dialog'));
    await ring();
    assert.equal(await page.locator('dialog').count(), 0);
    await put({ calls: [] });
    await page.focus('#number');
    await type('12');
    await ring();
    await press('Enter');
    assert.deepEqual(await asked(page, 'answer', 'dial'), [['answer', 'c1']]);
  });

  test('shows a notification to whoever looks elsewhere, and a click on it comes back', async () => {
    await page.evaluate(() => {
      window.shown = [];
      window.Notification = class {
        static permission = 'granted';
        constructor(title, options) {
          window.shown.push({ title, body: options.body, note: this });
        }
        close() {
          this.closed = true;
        }
      };
      Object.defineProperty(document, 'visibilityState', { value: 'hidden' });
    });
    await ring();
    const [{ title, body }] = await page.evaluate(() => window.shown);
    assert.deepEqual([title, body], ['Incoming call · Alice Example', 'Alice Example calls 2001']);
    await page.evaluate(() => window.shown[0].note.onclick());
    assert.deepEqual(await asked(page, 'answer'), [], 'that it answers must be chosen');
    await page.evaluate(() => window.fake.put({ calls: [] }));
    await page.click('#settings');
    await page.evaluate(() => window.goastgateway.ui.notifications = 'granted');
    await page.evaluate(() => window.fake.put({}));
    await page.check('#set-notifyAnswers');
    await press('Escape');
    await ring({ id: 'c2' });
    await page.evaluate(() => window.shown[1].note.onclick());
    assert.deepEqual(await asked(page, 'answer'), [['answer', 'c2']]);
  });
});

describe('in a call', () => {
  test('each button and its key ask for the same', async () => {
    await talk();
    for (const [key, does, expected] of [['m', 'mute', ['mute', 'c1', true]], ['h', 'hold', ['hold', 'c1', true]], ['Escape', 'hangup', ['hangup', 'c1']]]) {
      await press(key);
      await page.click(`#do-${does}`);
      assert.deepEqual(await asked(page, does), [expected, expected]);
    }
  });

  test('digits are sent as tones and shown', async () => {
    await talk();
    await type('12#');
    await page.click('[data-digit="9"]');
    assert.deepEqual((await asked(page, 'tone')).map(([, , digit]) => digit), ['1', '2', '#', '9']);
    assert.equal((await text('.tones')).trim(), '12#9');
  });

  test('is transferred at once, or after asking; nonsense stays in the field', async () => {
    await talk();
    await press('t');
    assert.equal(await focused(), 'target');
    await type('!');
    await press('Enter');
    assert.match(await text('#target-error'), /not a number/);
    await page.fill('#target', '2003');
    await press('Enter');
    await page.waitForSelector('[data-panel]', { state: 'detached' });
    await press('t');
    await page.fill('#target', '2004');
    await page.click('[data-does=blind]');
    assert.deepEqual(await asked(page, 'transfer'), [['transfer', 'c1', '2003', 'attended'], ['transfer', 'c1', '2004', 'blind']]);
  });

  test('a transfer that was asked for first is completed, or taken back', async () => {
    await talk({ held: true });
    await talk({ id: 'c2', direction: 'outgoing', from: { number: '2003', name: null }, consultsFor: 'c1' });
    await press('Enter');
    await page.click('#do-cancel');
    assert.deepEqual(await asked(page, 'completeTransfer', 'cancelTransfer'), [['completeTransfer', 'c1'], ['cancelTransfer', 'c1']]);
  });

  test('a second call waits, is answered by Enter, and swapped', async () => {
    await talk();
    await ring({ id: 'c2', from: { number: '06', name: 'Bob' } });
    assert.equal(await text('#say-now'), 'Second call from Bob');
    await press('Enter');
    await put({ calls: [] });
    await talk({ held: true });
    await talk({ id: 'c2' });
    await press('s');
    await page.click('[data-role=held] [data-does=hangup]');
    assert.deepEqual(await asked(page, 'answer', 'hold', 'hangup'), [['answer', 'c2'], ['hold', 'c1', false], ['hangup', 'c1']]);
  });

  test('the sign of quality names who is to blame, in words, and opens a plot', async () => {
    await talk();
    await page.evaluate(() => window.fake.sample('c1', {}, 30));
    assert.equal(await page.getAttribute('#quality-sign', 'data-level'), 'good');
    await page.evaluate(() => window.fake.sample('c1', { serverQueueMs: 400, delayMs: 600 }, 5));
    assert.match(await text('#quality-sign'), /Poor · The server/);
    await page.click('#quality-sign');
    assert.match(await text('[data-panel=quality]'), /your network is not at fault/);
    assert.match(await page.getAttribute('.plot svg', 'aria-label'), /now 600 ms/);
    assert.match(await page.getAttribute('.plot path', 'd'), /^M.*L/);
  });

  test('the focus is never lost: it goes to what stands in the place of what is gone', async () => {
    await ring();
    assert.equal(await focused(), 'do-answer');
    await put({ calls: [] });
    await talk();
    await page.focus('#do-hangup');
    await press('t');
    await press('Escape');
    assert.equal(await focused(), 'do-mute');
    await end('c1', 'caller_hung_up', 1000);
    assert.equal(await focused(), 'state');
    assert.match(await text('#say-then'), /Ready.*The other side hung up/);
  });

  test('a call that ended is in the list, which a reload keeps and logging out takes away', async () => {
    await talk();
    await end('c1', 'caller_hung_up', 62000);
    await page.click('#tab-history');
    assert.match(await text('#history li'), /Alice Example.*Answered · 0312345678.*01:02/);
    await page.click('#history li button');
    assert.deepEqual(await asked(page, 'dial'), [['dial', '0312345678']]);
    await page.reload();
    await page.waitForSelector('#history li', { state: 'attached' });
    await page.click('#logout');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((k) => /031234/.test(localStorage[k]))), []);
  });
});

describe('what a person chooses', () => {
  test('presence by one press; a wrap-up by itself after a call, if wanted', async () => {
    await page.click('#presence-away');
    assert.deepEqual(await asked(page, 'presence'), [['presence', 'away', undefined]]);
    await page.click('#settings');
    await page.check('#set-autoWrapup');
    await page.selectOption('#set-wrapupSeconds', '60');
    await press('Escape');
    await talk();
    await end('c1', 'caller_hung_up', 1000);
    assert.deepEqual(await asked(page, 'presence'), [['presence', 'wrapup', 60]]);
  });

  test('devices, processing and the ring hold at once and after a reload', async () => {
    await page.click('#settings');
    await page.selectOption('#set-microphone', 'm2');
    await page.uncheck('#set-echoCancellation');
    await page.selectOption('#set-ringCountry', 'uk');
    for (const id of ['test-speaker', 'test-ring', 'test-mic']) await page.click(`#${id}`);
    const all = await asked(page);
    const last = all.filter(([name]) => name === 'prefer').at(-1)[1];
    assert.deepEqual([last.microphone, last.echoCancellation, last.ringCountry], ['m2', false, 'uk']);
    for (const name of ['testSpeaker', 'testRing', 'testMic']) assert.ok(all.some(([n]) => n === name), name);
    await page.reload();
    await page.waitForSelector('h1');
    assert.equal((await asked(page, 'prefer'))[0][1].microphone, 'm2');
  });

  test('this device gets a name, and the others of the extension are listed', async () => {
    await page.evaluate(() => window.fake.put({ devices: [{ name: 'Mobile', since: new Date(), isThis: false }, { name: 'Chrome, Linux', since: new Date(), isThis: true }] }));
    assert.match(await text('#detail'), /Also logged in: Mobile/);
    await page.click('#settings');
    assert.match(await text('.where'), /Mobile.*Chrome, Linuxthis device/);
    assert.equal(await page.getAttribute('#set-deviceName', 'placeholder'), 'Chrome, Linux');
    await page.fill('#set-deviceName', ' Front desk ');
    await press('Tab');
    assert.equal((await asked(page, 'prefer')).at(-1)[1].deviceName, 'Front desk');
  });

  test('language and colours', async () => {
    await page.click('#language');
    assert.equal(await text('h1'), '待受中');
    assert.equal(await page.getAttribute('html', 'lang'), 'ja');
    await page.click('#settings');
    await page.selectOption('#set-theme', 'dark');
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('dialog')).backgroundColor), 'rgb(26, 33, 39)');
    await page.selectOption('#set-language', 'en');
    assert.equal(await text('#settings-dialog h2'), 'Settings');
  });

  test('shortcuts can be switched off; keys in a field are never taken', async () => {
    await talk();
    await press('t');
    await type('mh5');
    assert.equal(await page.inputValue('#target'), 'mh5');
    await press('Escape');
    await page.click('#settings');
    await page.uncheck('#set-shortcuts');
    await press('Escape');
    await type('mh5');
    assert.deepEqual(await asked(page, 'mute', 'hold', 'tone'), []);
  });

  test('a dialog gives the focus back, and Escape in it hangs nothing up', async () => {
    await talk();
    await page.focus('#help');
    await press('Enter');
    await press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    assert.equal(await focused(), 'help');
    assert.deepEqual(await asked(page, 'hangup'), []);
  });

  test('a button that cannot be pressed says why', async () => {
    await put({ features: { hold: true, dial: false, dtmf: false, transfer: false } });
    await talk();
    await page.focus('#do-transfer');
    await press('Enter');
    assert.match(await text('#just-now'), /no connection to Asterisk’s manager/);
    assert.equal(await page.locator('[data-panel]').count(), 0);
  });

  test('logging out is not offered in a call', async () => {
    await talk();
    assert.equal(await page.locator('#logout').count(), 0);
  });
});
