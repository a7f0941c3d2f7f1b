// The real page in a real browser, for tests: against the mock here, or against the real gateway.
//
//   const phone = await launch({ wav: 'voice.wav' });
//   const page = await phone.openPhone('https://127.0.0.1:8766/#token=…');
//   await waitForState(page, 'ready');
//   …
//   const heard = await tapOutput(page, 2);       // Float32Array at 16 kHz
//   await phone.close();
//
// CHROMIUM names the browser, /usr/bin/chromium when it is not set.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Resampler } from '../../web/sdk/audio/resampler.js';
import { toPcm } from './signal.mjs';

/** A state that does not come by then does not come. */
const WAIT_MS = 30000;

/**
 * Starts a browser with a microphone made of a WAV file (or Chromium's own beeps).
 * @param {{wav?: string, loop?: boolean, rawMic?: boolean, autoplay?: boolean, mic?: boolean, args?: string[],
 *   executable?: string,
 *   context?: import('playwright-core').BrowserContextOptions}} [options]
 *   `loop`: the WAV begins anew when it ends (default true).
 *   `rawMic`: echo, noise and gain processing are off, so that the WAV arrives as it is (default true).
 *   `mic`: its permission is given (default true). Sound needs no click.
 *   `context`: locale, colorScheme, viewport and so on, for Playwright's newContext.
 */
export async function launch({ wav, loop = true, rawMic = true, mic = true, args = [], context = {},
  executable = process.env.CHROMIUM || '/usr/bin/chromium' } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'phone-page-'));
  const permissions = mic ? ['microphone'] : [];
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: executable,
    headless: true,
    ignoreHTTPSErrors: true,
    viewport: { width: 480, height: 720 },
    permissions,
    ...context,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      '--use-fake-device-for-media-stream',
      ...(mic ? ['--use-fake-ui-for-media-stream'] : []),
      ...(wav ? [`--use-file-for-fake-audio-capture=${wav}${loop ? '' : '%noloop'}`] : []),
      '--autoplay-policy=no-user-gesture-required',
      ...args,
    ],
  });
  await browser.addInitScript(rememberAndLoosenMic, rawMic);
  browser.setDefaultTimeout(WAIT_MS);

  return {
    browser,
    /** @param {string} url a login link, or the bare page */
    async openPhone(url) {
      const page = await browser.newPage();
      page.faults = [];
      page.on('pageerror', (error) => page.faults.push(String(error)));
      page.on('console', (line) => line.type() === 'error' && page.faults.push(line.text()));
      await page.goto(url);
      // Whoever makes or takes away a network on this machine just then ends what the browser is loading.
      for (let tries = 0; tries < 5 && page.faults.some((fault) => fault.includes('ERR_NETWORK_CHANGED')); tries++) {
        page.faults.length = 0;
        await page.goto('about:blank');
        await page.goto(url);
      }
      await page.waitForFunction(() => window.goastgateway);
      return page;
    },
    async close() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Runs in the page: keeps what the page asked for and the node of the microphone that it got, and
 * turns the processing off if told so.
 */
function rememberAndLoosenMic(raw) {
  const makeSource = AudioContext.prototype.createMediaStreamSource;
  AudioContext.prototype.createMediaStreamSource = function (stream) {
    window.microphoneNode = makeSource.call(this, stream);
    return window.microphoneNode;
  };
  const devices = navigator.mediaDevices;
  if (!devices) return;
  const original = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) => {
    window.askedForMic = structuredClone(wanted);
    const audio = raw ? { ...wanted.audio, echoCancellation: false, noiseSuppression: false, autoGainControl: false } : wanted.audio;
    return original({ ...wanted, audio });
  };
}

/** @returns {Promise<string>} 'offline' 'connecting' 'ready' 'ringing' 'in-call' 'reconnecting' 'busy' 'replaced' 'refused' */
export function stateOf(page) {
  return page.evaluate(() => window.goastgateway.phone.state);
}

/** @param {import('playwright-core').Page} page @param {string | string[]} states */
export function waitForState(page, states, { timeout = WAIT_MS } = {}) {
  return page.waitForFunction((wanted) => wanted.includes(window.goastgateway.phone.state), [states].flat(), { timeout, polling: 20 });
}

/** The call's figures: delayMs, targetMs, jitterMs, framesUp, framesDown, underruns, shedMs, droppedUp … */
export function statsOf(page) {
  return page.evaluate(() => window.goastgateway.phone.stats);
}

/**
 * Waits until the call's figures please.
 * @param {(stats: any) => boolean} test runs here, not in the page
 */
export async function waitForStats(page, test, { timeout = WAIT_MS } = {}) {
  const end = performance.now() + timeout;
  for (;;) {
    const stats = await statsOf(page);
    if (test(stats)) return stats;
    if (performance.now() > end) throw new Error(`waited ${timeout} ms for ${test}, last seen: ${JSON.stringify(stats)}`);
    await page.waitForTimeout(20);
  }
}

/**
 * What comes out of the phone's speaker from now on.
 * @param {import('playwright-core').Page} page in a call
 * @param {number} seconds
 * @param {string} [file] written as raw PCM16 at 16 kHz as well
 * @returns {Promise<Float32Array>} at 16 kHz
 */
export async function tapOutput(page, seconds, file) {
  // The policy lets no worklet of ours in, so the sound is taken as a track, block by block.
  const { rate, base64 } = await page.evaluate(async (length) => {
    const { engine } = window.goastgateway;
    const target = new MediaStreamAudioDestinationNode(engine.context, { channelCount: 1 });
    engine.outputNode.connect(target);
    const [track] = target.stream.getAudioTracks();
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
    const { sampleRate } = engine.context;
    const samples = new Float32Array(Math.round(length * sampleRate));
    let fill = 0;
    while (fill < samples.length) {
      const { value: block, done } = await reader.read();
      if (done) throw new Error('the track ended');
      if (block.sampleRate !== sampleRate) throw new Error(`the tap runs at ${block.sampleRate} Hz`);
      const part = new Float32Array(block.numberOfFrames);
      block.copyTo(part, { planeIndex: 0, format: 'f32-planar' });
      block.close();
      samples.set(part.subarray(0, samples.length - fill), fill);
      fill += part.length;
    }
    reader.cancel();
    track.stop();
    engine.outputNode.disconnect(target);
    const bytes = new Uint8Array(samples.buffer);
    let text = '';
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return { rate: sampleRate, base64: btoa(text) };
  }, seconds);
  const bytes = Buffer.from(base64, 'base64');
  const wide = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const narrow = new Float32Array(Math.ceil((wide.length * 16000) / rate) + 1);
  const resampler = new Resampler(rate, 16000);
  let given = 0;
  for (let i = 0; i < wide.length; i += 4096) {
    resampler.write(wide.subarray(i, i + 4096));
    given += resampler.read(narrow, given, narrow.length - given);
  }
  const samples = narrow.subarray(0, given);
  if (file) writeFileSync(file, Buffer.from(toPcm(samples).buffer));
  return samples;
}
