// The ready-made phone in a frame of a page of another origin, with the real gateway and the real Asterisk.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MockGateway } from '../browser/mock-gateway.mjs';
import { launch } from '../browser/page.mjs';
import { build } from './house.mjs';

let house;
let browser;
/** Servers of pages only: the one that may frame the phone, and one that may not. */
let crm;
let stranger;

before(async () => {
  [crm, stranger] = [await MockGateway.start(), await MockGateway.start()];
  for (const each of [crm, stranger]) each.pageHeaders = { 'content-security-policy': "default-src 'self'; frame-src *" };
  house = await build({ config: { frame_origins: ['https://elsewhere.example', crm.url.slice(0, -1)] } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await house?.tearDown();
  await crm?.stop();
  await stranger?.stop();
});

function open(home) {
  home.pages['/token'] = house.token('2001');
  home.pages['/test.html'] = `<!doctype html><html lang=en><meta charset=utf-8><title>CRM</title><link rel=icon href=/favicon.svg>
    <iframe src="${house.origin}/frame.html" allow="microphone; autoplay" width=320 height=500></iframe><script type=module src=/test.js></script>`;
  home.pages['/test.js'] = `import { PhoneFrame } from '/sdk/bridge.js';
    const token = () => fetch('/token').then((answer) => answer.text());
    window.phone = new PhoneFrame(document.querySelector('iframe'), '${house.origin}', { token });
    window.events = [];
    for (const name of ['incoming', 'accept', 'ended']) phone.on(name, (call) => events.push({ name, call }));
    window.goastgateway = {};`;
  return browser.openPhone(`${home.url}test.html`);
}

test('a page that is named has the phone in a frame: it rings, is answered there, and is hung up from around it', async () => {
  const page = await open(crm);
  const happens = (name) => page.waitForFunction((n) => window.events.find((event) => event.name === n)?.call, name, { polling: 20 });
  await page.waitForFunction(() => window.phone.state().then(({ state, identity }) => state === 'registered' && identity === '2001'), null, { polling: 100 });
  const call = await house.call('2001', '--app', 'tone1000');
  const { id } = await (await happens('incoming')).jsonValue();
  await page.frameLocator('iframe').locator('ast-phone [part~=answer]').first().click();
  await happens('accept');
  await page.evaluate((which) => window.phone.disconnect(which), id);
  assert.equal((await (await happens('ended')).jsonValue()).ending.reason, 'phone_hung_up');
  assert.equal((await house.ended(call)).dialstatus, 'ANSWER');
  // The one thing that a browser says of its own: that a page of another name was not the one.
  assert.deepEqual(page.faults.filter((fault) => !/target origin provided/.test(fault)), []);
  await page.close();
});

test('a page that is not named gets no phone', async () => {
  const page = await open(stranger);
  await page.waitForFunction(() => document.querySelector('iframe'));
  const answer = await page.evaluate(() => Promise.race([window.phone.state(), new Promise((done) => setTimeout(done, 2000, 'no answer'))]));
  assert.equal(answer, 'no answer');
  assert.ok(page.faults.some((fault) => /frame-ancestors/.test(fault)), page.faults.join('\n'));
  await page.close();
});
