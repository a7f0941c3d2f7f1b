// WebKit for tests, the engine of Safari: WebKitGTK's small browser by WebDriver, on a screen of its own.
// Debian's packages are webkit2gtk-driver and xvfb. WEBKIT_DRIVER names the driver, /usr/bin/WebKitWebDriver
// when it is not set.
//
// What it is not: Safari's own sound (GStreamer instead of Core Audio), its rules for autoplay, and a telephone.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

const DRIVER = process.env.WEBKIT_DRIVER || '/usr/bin/WebKitWebDriver';
const SCREEN = '/usr/bin/Xvfb';
/** A state that does not come by then does not come; starting on a busy machine takes its time. */
const WAIT_MS = 30000;
const POLL_MS = 50;

/** The browser that comes with the driver lies in a folder named after the machine and the library's version. */
function findBrowser() {
  const libraries = existsSync('/usr/lib') ? readdirSync('/usr/lib').filter((name) => name.includes('linux-gnu')) : [];
  const folders = libraries.flatMap((name) => readdirSync(join('/usr/lib', name)).filter((inner) => inner.startsWith('webkit2gtk-')).map((inner) => join('/usr/lib', name, inner)));
  return folders.map((folder) => join(folder, 'MiniBrowser')).find(existsSync);
}

const BROWSER = findBrowser();
export const hasWebKit = existsSync(DRIVER) && existsSync(SCREEN) && BROWSER !== undefined;

/** @param {import('node:child_process').ChildProcess} child */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once('exit', done));
  child.kill();
  await gone;
}

async function freePort() {
  const server = await new Promise((done) => {
    const it = createServer().listen(0, '127.0.0.1', () => done(it));
  });
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** A screen that nobody sees; the server chooses its number and says it once it is there. */
async function openScreen() {
  const child = spawn(SCREEN, ['-displayfd', '3', '-screen', '0', '1000x900x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const number = await new Promise((done, fail) => {
    child.stdio[3].once('data', (data) => done(String(data).trim()));
    child.once('exit', (code) => fail(new Error(`Xvfb ended with ${code}`)));
  });
  return { child, display: `:${number}` };
}

/** Its microphone plays beeps, and may be used; sound needs a click, as in Safari. */
export async function launchWebKit() {
  const screen = await openScreen();
  const port = await freePort();
  const driver = spawn(DRIVER, [`--port=${port}`], {
    env: { ...process.env, DISPLAY: screen.display, GDK_BACKEND: 'x11', NO_AT_BRIDGE: '1', LIBGL_ALWAYS_SOFTWARE: '1' }, stdio: 'ignore',
  });
  const close = async () => {
    await end(driver);
    await end(screen.child);
  };

  /** @param {string} method @param {string} path @param {object} [body] */
  const ask = async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${value?.error}: ${value?.message}`);
    return value;
  };

  /** @param {() => Promise<any>} is @param {string} what */
  const until = async (is, what) => {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const got = await is();
      if (got) return got;
      if (Date.now() > deadline) throw new Error(`it never came: ${what}`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  };

  let session;
  try {
    await until(() => ask('GET', '/status').then(({ ready }) => ready, () => false), 'the driver');
    const args = ['--automation', '--enable-media-stream=true', '--enable-mock-capture-devices=true'];
    const { sessionId } = await ask('POST', '/session', { capabilities: { alwaysMatch: { acceptInsecureCerts: true, 'webkitgtk:browserOptions': { binary: BROWSER, args } } } });
    session = `/session/${sessionId}`;
  } catch (error) {
    await close();
    throw error;
  }

  /** The value of a function in the page; what it uses comes as arguments. */
  const evaluate = (fn, ...args) => ask('POST', `${session}/execute/sync`, { script: `return (${fn})(...arguments)`, args });
  return {
    evaluate,
    /** @param {string} url */
    open: (url) => ask('POST', `${session}/url`, { url }),
    reload: () => ask('POST', `${session}/refresh`, {}),
    waitFor: (fn, ...args) => until(() => evaluate(fn, ...args).catch(() => false), String(fn)),
    /** As a person does: a click that lets sound out. @param {string} selector */
    async click(selector) {
      const [element] = Object.values(await until(() => ask('POST', `${session}/element`, { using: 'css selector', value: selector }).catch(() => null), selector));
      await ask('POST', `${session}/element/${element}/click`, {});
    },
    async screenshot() {
      return Buffer.from(await ask('GET', `${session}/screenshot`), 'base64');
    },
    async close() {
      await ask('DELETE', session).catch(() => {});
      await close();
    },
  };
}
