// Firefox for tests, by the protocol that it speaks itself (WebDriver BiDi over a WebSocket): only as
// much of it as a call needs. FIREFOX names the browser, /usr/bin/firefox-esr when it is not set.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { hasPulse, startPulse } from './pulse.mjs';

const BINARY = process.env.FIREFOX || '/usr/bin/firefox-esr';
/** Starting takes a few seconds; an answer, much less. */
const START_MS = 60000;
const ANSWER_MS = 20000;

export const hasFirefox = existsSync(BINARY) && hasPulse;

/** A microphone that is a tone, permissions given, sound without a click, nothing of its own business. */
const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.getusermedia.audio.processing.platform.enabled': false,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** @param {Record<string, boolean | number | string>} [preferences] beside those above */
export async function launchFirefox(preferences = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'phone-firefox-'));
  // Without a loudspeaker Firefox never starts an AudioContext.
  const pulse = await startPulse(profile, ['module-null-sink sink_name=loudspeaker rate=48000']);
  const lines = Object.entries({ ...PREFERENCES, ...preferences }).map(([key, value]) => `user_pref(${JSON.stringify(key)}, ${JSON.stringify(value)});`);
  writeFileSync(join(profile, 'user.js'), lines.join('\n'));
  const child = spawn(BINARY, ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', 'about:blank'], {
    env: { ...process.env, ...pulse.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' }, stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise((done) => child.once('exit', done));
  const close = async () => {
    child.kill();
    await exited;
    await pulse.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const address = await new Promise((done, fail) => {
      let said = '';
      const timer = setTimeout(() => fail(new Error(`Firefox did not start:\n${said}`)), START_MS);
      child.stderr.on('data', (data) => {
        said += data;
        const found = /WebDriver BiDi listening on (ws:\S+)/.exec(said);
        if (found) done((clearTimeout(timer), found[1]));
      });
      exited.then((code) => fail(new Error(`Firefox ended with ${code}:\n${said}`)));
    });
    const session = await Session.open(`${address}/session`);
    await session.ask('session.new', { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
    return {
      close,
      /** @param {string} url */
      async openPage(url) {
        const { context } = await session.ask('browsingContext.create', { type: 'tab' });
        await session.ask('browsingContext.navigate', { context, url, wait: 'complete' });
        return new Page(session, context);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

class Page {
  #session;
  #context;
  constructor(session, context) {
    this.#session = session;
    this.#context = context;
  }
  /** Runs a function in the page; what it gives has to be JSON. @param {Function} what @param {any} [argument] */
  async evaluate(what, argument) {
    const expression = `Promise.resolve((${what})(${JSON.stringify(argument ?? null)})).then((x) => JSON.stringify(x ?? null))`;
    const told = await this.#session.ask('script.evaluate', { expression, target: { context: this.#context }, awaitPromise: true, userActivation: true });
    if (told.type === 'exception') throw new Error(told.exceptionDetails.text);
    return JSON.parse(told.result.value);
  }
  /** Until the function gives something true. */
  async waitFor(what, argument, timeout = ANSWER_MS) {
    const end = performance.now() + timeout;
    for (;;) {
      const value = await this.evaluate(what, argument);
      if (value) return value;
      if (performance.now() > end) throw new Error(`waited ${timeout} ms for ${what}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  /** A key as a person presses it. @param {'Enter' | 'Escape'} key */
  press(key) {
    const value = { Enter: '\uE007', Escape: '\uE00C' }[key];
    const actions = [{ type: 'key', id: 'keyboard', actions: [{ type: 'keyDown', value }, { type: 'keyUp', value }] }];
    return this.#session.ask('input.performActions', { context: this.#context, actions });
  }
  /** Clicks into the middle of an element, as a person does. @param {string} selector */
  async click(selector) {
    const at = await this.waitFor((wanted) => {
      const element = document.querySelector(wanted);
      element?.scrollIntoView({ block: 'center' });
      const box = element?.getBoundingClientRect();
      return box?.width ? { x: Math.round(box.x + box.width / 2), y: Math.round(box.y + box.height / 2) } : null;
    }, selector);
    const actions = [{ type: 'pointer', id: 'mouse', actions: [{ type: 'pointerMove', ...at }, { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 }] }];
    return this.#session.ask('input.performActions', { context: this.#context, actions });
  }
  /** Types into what has the focus. @param {string} text */
  type(text) {
    const keys = [...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]);
    return this.#session.ask('input.performActions', { context: this.#context, actions: [{ type: 'key', id: 'keyboard', actions: keys }] });
  }
  close() {
    return this.#session.ask('browsingContext.close', { context: this.#context });
  }
}

class Session {
  #socket;
  #next = 1;
  #waiting = new Map();
  static async open(address) {
    const session = new Session();
    session.#socket = new WebSocket(address);
    session.#socket.on('message', (data) => {
      const { id, type, result, error, message } = JSON.parse(data);
      const waiting = session.#waiting.get(id);
      if (!waiting) return;
      session.#waiting.delete(id);
      clearTimeout(waiting.timer);
      if (type === 'error') waiting.fail(new Error(`${error}: ${message}`));
      else waiting.done(result);
    });
    await new Promise((done, fail) => session.#socket.once('open', done).once('error', fail));
    return session;
  }
  ask(method, params) {
    const id = this.#next++;
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`Firefox gave no answer to ${method}`)), ANSWER_MS);
      this.#waiting.set(id, { done, fail, timer });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
