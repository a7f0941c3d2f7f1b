// The examples for a page of one's own, as they are: plain, React, PHP; in headless Chromium.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MockGateway, makeToken, SECRET } from './mock-gateway.mjs';
import { launch } from './page.mjs';

let gateway;
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());
beforeEach(async () => {
  gateway = await MockGateway.start();
});
afterEach(async () => {
  for (const page of browser.browser.pages()) await page.close();
  await gateway.stop();
  assert.deepEqual(gateway.v1.faults, [], 'every message is as docs/phone-protocol.schema.json says');
});

async function open(path) {
  const page = await browser.browser.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  await page.goto(new URL(path, gateway.url).href);
  return page;
}

test('plain: registers, rings, answers, holds, dials', async () => {
  const page = await open(`examples/web/plain.html#token=${makeToken('2001')}`);
  const phone = await gateway.v1.phone('2001');
  phone.incoming();
  await page.click('#answer');
  await phone.says('answer');
  await page.click('#hold');
  assert.equal((await phone.says('hold')).on, true);
  await page.click('#hangup');
  await phone.says('hangup');
  await page.fill('[name=to]', '2003');
  await page.keyboard.press('Enter');
  assert.equal((await phone.says('dial')).to, '2003');
  assert.deepEqual(page.faults, []);
});

test('React: one phone, in strict mode, too', async () => {
  const umd = (name) => readFileSync(fileURLToPath(new URL(`node_modules/${name}/umd/${name}.development.js`, import.meta.url)));
  gateway.pages = { '/examples/web/react/react.js': umd('react'), '/examples/web/react/react-dom.js': umd('react-dom') };
  const page = await open(`examples/web/react/index.html#token=${makeToken('2001')}`);
  await page.getByText('registered 2001').waitFor();
  const phone = await gateway.v1.phone('2001');
  phone.incoming();
  await page.getByRole('button', { name: 'Answer' }).click();
  await phone.says('answer');
  await page.getByText('Alice (open)').waitFor();
  await page.getByRole('button', { name: 'Hang up' }).click();
  await phone.says('hangup');
  assert.deepEqual(page.faults, []);
});

const php = spawnSync('php', ['--version']).status === 0;
test('PHP: the server signs, the page is a telephone', { skip: !php && 'no php' }, async () => {
  const finder = createServer();
  await new Promise((done) => finder.listen(0, '127.0.0.1', done));
  const { port } = finder.address();
  await new Promise((done) => finder.close(done));
  const file = fileURLToPath(new URL('../../examples/web/crm.php', import.meta.url));
  const server = spawn('php', ['-S', `127.0.0.1:${port}`, file], { env: { ...process.env, JWT_SECRET: SECRET, GATEWAY: gateway.url.slice(0, -1) }, stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    await new Promise((done) => server.stderr.on('data', (text) => String(text).includes('started') && done()));
    const page = await browser.browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/?phone=2003`);
    const phone = await gateway.v1.phone('2001');
    await page.getByText('待機中').waitFor();
    await page.click('[data-tel]');
    assert.equal((await phone.says('dial')).to, '2003');
  } finally {
    server.kill();
  }
});
