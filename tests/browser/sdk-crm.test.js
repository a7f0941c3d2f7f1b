// What the SDK brings for a CRM: the element, the frame's bridge, click-to-dial, screen pop, and
// the names of the Go gateway's WebPhone. In headless Chromium.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { callAddress } from '../../web/sdk/crm.js';
import { MockGateway, makeToken } from './mock-gateway.mjs';
import { launch } from './page.mjs';

let gateway;
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());
beforeEach(async () => {
  gateway = await MockGateway.start();
  gateway.pageHeaders = { 'content-security-policy': "default-src 'self'; frame-src *" };
});
afterEach(async () => {
  for (const page of browser.browser.pages()) await page.close();
  await gateway.stop();
  assert.deepEqual(gateway.v1.faults, [], 'every message is as docs/phone-protocol.schema.json says');
});

async function open(html, script, home = gateway) {
  home.pages['/test.html'] = `<!doctype html><html lang=en><meta charset=utf-8><title>CRM</title><link rel=icon href=/favicon.svg><script type=module src=/test.js></script>${html}`;
  home.pages['/test.js'] = `${script}\nwindow.goastgateway = {};`;
  return browser.openPhone(`${home.url}test.html`);
}

test('one tag is a telephone: it registers, rings, answers, hangs up, dials, and a policy forbids nothing of it', async () => {
  gateway.pages['/token'] = makeToken('2001');
  const page = await open('<ast-phone token-url=/token click-to-dial></ast-phone><p><a href="tel:+81312345678">Tokyo</a>',
    "import '/sdk/element.js'; window.events = []; for (const name of ['registered', 'incoming', 'accept', 'ended', 'error']) document.addEventListener(name, (e) => events.push(name));");
  const phone = await gateway.v1.phone('2001');
  const part = (name) => page.locator(`ast-phone [part~=${name}]`);
  await page.waitForFunction(() => window.events.includes('registered'));
  assert.equal(await part('status').textContent(), 'Ready');
  phone.incoming();
  await part('answer').first().click();
  await phone.says('answer');
  await part('mute').waitFor();
  assert.equal(await part('caller').textContent(), 'Alice · 0312345678');
  await part('mute').click();
  assert.equal((await phone.says('mute')).on, true);
  await part('key').first().click();
  assert.equal((await phone.says('dtmf')).digits, '1');
  await part('hangup').click();
  await page.waitForFunction(() => window.events.includes('ended'));
  await page.click('a');
  assert.equal((await phone.says('dial')).to, '+81312345678');
  assert.deepEqual(page.faults, []);
});

test('a screen pop is filled from the call, encoded, and is never anything but a page', () => {
  const call = { id: 'c-1', from: { number: '+81 3&x=1', name: null }, to: '2001', group: 'support', customParameters: new Map([['TICKET', 'a/b']]) };
  const fill = (template) => callAddress(template, call, 'https://crm.example/app/')?.href ?? null;
  assert.equal(fill('https://crm.example/?phone={from}&t={var.TICKET}&id={callId}&n={name}'), 'https://crm.example/?phone=%2B81%203%26x%3D1&t=a%2Fb&id=c-1&n=');
  assert.equal(fill('people/{from}?g={group}&x={nothing}{var.NO}'), 'https://crm.example/app/people/%2B81%203%26x%3D1?g=support&x=');
  assert.equal(fill('javascript:alert({from})'), null);
  assert.equal(fill('{constructor}'), 'https://crm.example/app/');
});

test('a page around the frame works the phone; another origin, or another window, does not', async () => {
  const crm = await MockGateway.start();
  const stranger = await MockGateway.start();
  const inside = `import { Device } from '/sdk/index.js'; import { Bridge } from '/sdk/bridge.js';
    const device = new Device('${makeToken('2001')}'); new Bridge(device, { origins: ['${crm.url.slice(0, -1)}'] }); await device.register(); window.device = device;`;
  gateway.pages['/frame.html'] = '<!doctype html><link rel=icon href=/favicon.svg><script type=module src=/frame.js></script>';
  gateway.pages['/frame.js'] = inside;
  const around = `import { PhoneFrame } from '/sdk/bridge.js';
    const frame = document.querySelector('iframe');
    window.phone = new PhoneFrame(frame, '${gateway.url.slice(0, -1)}'); window.events = [];
    for (const name of ['incoming', 'accept', 'ended']) phone.on(name, (call) => events.push([name, call.id, call.status]));`;
  const html = `<iframe src="${gateway.url}frame.html" allow="microphone; autoplay"></iframe>`;
  const page = await open(html, around, crm);
  const phone = await gateway.v1.phone('2001');
  await page.waitForFunction(() => window.phone.state().then((s) => s.state === 'registered'), null, { polling: 100 });
  const id = phone.incoming();
  await page.waitForFunction(() => window.events.some(([name]) => name === 'incoming'), null, { polling: 20 });
  await page.evaluate((call) => window.phone.accept(call), id);
  await page.waitForFunction(() => window.events.some(([name]) => name === 'accept'), null, { polling: 20 });
  await page.evaluate((call) => window.phone.disconnect(call), id);
  await page.waitForFunction(() => window.events.some(([name, , status]) => name === 'ended' && status === 'closed'), null, { polling: 20 });
  assert.equal(await page.evaluate(() => window.phone.ask('destroy').catch((e) => e.code)), 31404, 'no command reaches beyond the list');
  const outside = await open(html, around, stranger);
  assert.equal(await outside.evaluate(() => Promise.race([window.phone.state(), new Promise((done) => setTimeout(done, 1500, 'no answer'))])), 'no answer');
  await crm.stop();
  await stranger.stop();
});

test('the ready-made frame is a phone for the pages that it names: they give it tokens and work it, others cannot', async (t) => {
  const crm = await MockGateway.start();
  const stranger = await MockGateway.start();
  t.after(() => Promise.all([crm.stop(), stranger.stop()]));
  crm.pages['/token'] = makeToken('2001');
  const html = readFileSync(new URL('../../web/frame.html', import.meta.url), 'utf8');
  gateway.pages['/frame.html'] = html.replace('ORIGINS', `https://elsewhere.example ${crm.url.slice(0, -1)}`);
  const around = `import { PhoneFrame } from '/sdk/bridge.js';
    window.asked = 0;
    const token = () => { window.asked += 1; return fetch('/token').then((answer) => answer.text()); };
    window.phone = new PhoneFrame(document.querySelector('iframe'), '${gateway.url.slice(0, -1)}', { token }); window.events = [];
    for (const name of ['ready', 'incoming', 'accept', 'ended', 'transfer']) phone.on(name, (what) => events.push([name, what]));`;
  const frame = `<iframe src="${gateway.url}frame.html?device=CRM" allow="microphone; autoplay" width=300 height=500></iframe>`;
  const page = await open(frame, around, crm);
  const phone = await gateway.v1.phone('2001');
  assert.equal(phone.login.device, 'CRM');
  await page.waitForFunction(() => window.phone.state().then((s) => s.state === 'registered'), null, { polling: 100 });
  const id = phone.incoming();
  const saw = (name) => page.waitForFunction((n) => window.events.some(([event]) => event === n), name, { polling: 20 });
  await saw('incoming');
  const inside = page.frameLocator('iframe').locator('ast-phone [part~=answer]').first();
  await inside.click(); // a person answers in the frame, or the page around does
  await saw('accept');
  await page.evaluate((call) => window.phone.ask('transfer', { call, to: '2003' }), id);
  await saw('ended');
  phone.send({ type: 'transfer', call: id, state: 'completed' });
  await saw('transfer');
  assert.deepEqual(await page.evaluate(() => window.events.find(([name]) => name === 'transfer')[1]), { call: id, state: 'completed', reason: null });
  // The frame is loaded anew: it asks for a token again, and what was asked meanwhile is answered.
  await page.evaluate(() => {
    window.events = [];
    document.querySelector('iframe').src += '&again';
  });
  await saw('ready');
  assert.equal(await page.evaluate(() => window.phone.dial('2002').then((call) => call.to)), '2002');
  assert.equal(await page.evaluate(() => window.asked), 2);
  // And what was asked of a frame that is not there yet is asked of it when it is, once.
  assert.equal(await page.evaluate((src) => {
    const other = document.createElement('iframe');
    other.allow = 'microphone; autoplay';
    document.querySelector('iframe').replaceWith(other);
    const again = new window.phone.constructor(other, new URL(src).origin, { token: () => fetch('/token').then((answer) => answer.text()) });
    const dialled = again.dial('2003');
    other.src = src;
    return dialled.then((call) => call.to);
  }, `${gateway.url}frame.html`), '2003');
  assert.equal((await gateway.v1.phone('2001')).said.filter((m) => m.type === 'dial' && m.to === '2003').length, 1);
  const outside = await open(frame, around, stranger);
  const [answer, asked] = await outside.evaluate(async () => [await Promise.race([window.phone.state(), new Promise((done) => setTimeout(done, 1500, 'no answer'))]), window.asked]);
  assert.deepEqual([answer, asked], ['no answer', 0], 'nor is a stranger asked for a token');
});

test('the bridge takes origins letter by letter, and no wildcard', async () => {
  const { Bridge } = await import('../../web/sdk/bridge.js');
  for (const origin of ['*', 'https://crm.example/', 'crm.example']) assert.throws(() => new Bridge({}, { origins: [origin], window: {} }), origin);
});

test('a page that was written for WebPhone works unchanged', async () => {
  const page = await open('', `import { WebPhone } from '/sdk/webphone.js';
    window.events = [];
    const phone = new WebPhone({ wsUrl: 'wss://' + location.host + '/phone', token: '${makeToken('2001')}' });
    for (const name of ['onConnect', 'onDisconnect', 'onRing', 'onHangup', 'onError']) phone.on(name, (x) => events.push(name + (typeof x === 'string' ? ' ' + x : '')));
    await phone.connect();
    window.phone = phone;`);
  const phone = await gateway.v1.phone('2001');
  const is = (wanted) => page.waitForFunction((list) => JSON.stringify(window.events) === JSON.stringify(list), wanted, { polling: 20 });
  await is(['onConnect']);
  phone.incoming();
  await is(['onConnect', 'onRing']);
  await page.evaluate(() => window.phone.answer());
  await phone.says('answer');
  await phone.heard(5);
  await page.evaluate(() => window.phone.hangup());
  await is(['onConnect', 'onRing', 'onHangup HANGUP']);
  await page.evaluate(() => window.phone.disconnect());
  await is(['onConnect', 'onRing', 'onHangup HANGUP', 'onDisconnect']);
});
