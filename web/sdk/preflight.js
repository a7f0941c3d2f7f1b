// A check before the first call: does the token log in, how is the way to the gateway while it carries a call's
// sound, is there a microphone, may sound be heard. No call is made, and Asterisk is not needed.
//
//   const preflight = runPreflight(token);
//   preflight.on('completed', (report) => console.log(report.callQuality, report.warnings));
//   preflight.on('failed', (error) => console.log(error.code, error.solutions));
//
// It is a login like another, for a few seconds: run it before `register()`, or with an extension of its own.

import { Emitter } from './emitter.js';
import { PhoneError } from './errors.js';
import { opinionScore } from './quality.js';

const PROTOCOL = 'goastgateway.v1';
/** As long as Twilio's; a Wi-Fi shows itself in less. */
const SECONDS = 10;
/** Opening the socket and logging in. */
const CONNECT_MS = 10000;
/** Two questions a second, and the sound of a call beside them: 50 frames of 640 bytes. */
const PING_EVERY_MS = 500;
const FRAMES_EVERY_MS = 100;
const FRAMES = 5;
const FRAME = new Uint8Array(640);
/** After the last question, its answer is waited for so long. */
const LAST_ANSWER_MS = 2000;
/** What the sound needs beside the network: the microphone's frames and the playout buffer. */
const SOUND_MS = 60;

/**
 * @typedef {{timestamp: number, rtt: number, jitter: number, mos: number}} PreflightSample
 * @typedef {{average: number, max: number, min: number}} Spread
 * @typedef {{name: string, description: string}} PreflightWarning
 * @typedef {{
 *   callQuality: 'excellent' | 'great' | 'good' | 'fair' | 'degraded' | null, edge: string, selectedEdge: string,
 *   identity: string, features: {hold: boolean, dial: boolean, dtmf: boolean, transfer: boolean} | null,
 *   networkTiming: {signaling: {start: number, end: number, duration: number}}, samples: PreflightSample[],
 *   stats: {rtt: Spread, jitter: Spread, mos: Spread} | null, testTiming: {start: number, end: number, duration: number},
 *   totals: {pings: number, unanswered: number, bytesSent: number, bytesWaiting: number}, warnings: PreflightWarning[],
 *   microphone: {state: 'granted' | 'denied' | 'none' | 'failed' | 'not-asked', label: string | null}, output: {state: string, sampleRate: number | null},
 * }} PreflightReport
 *   `samples`: each question's; `bytesWaiting`: the most that the socket had not sent. Names are Twilio's where it is the same thing; times in ms.
 * @typedef {{start: number, opened: number, ready: number, end: number, host: string, welcome: any, samples: PreflightSample[], pings: number,
 *   bytesSent: number, bytesWaiting: number, microphone: PreflightReport['microphone'], output: PreflightReport['output']}} Facts
 */

/** @param {number[]} values @returns {Spread} */
const spread = (values) => ({ average: values.reduce((sum, x) => sum + x, 0) / values.length, max: Math.max(...values), min: Math.min(...values) });

/** Twilio's words for a score. @param {number} mos */
function qualityOf(mos) {
  if (mos > 4.2) return 'excellent';
  if (mos >= 4.1) return 'great';
  if (mos >= 3.7) return 'good';
  return mos >= 3.1 ? 'fair' : 'degraded';
}

/** What was found, as a report. Pure. @param {Facts} f @returns {PreflightReport} */
export function reportOf(f) {
  const of = (/** @type {'rtt' | 'jitter' | 'mos'} */ name) => spread(f.samples.map((sample) => sample[name]));
  const stats = f.samples.length > 0 ? { rtt: of('rtt'), jitter: of('jitter'), mos: of('mos') } : null;
  const unanswered = f.pings - f.samples.length;
  /** @type {PreflightWarning[]} */
  const warnings = [];
  const warn = (/** @type {boolean} */ is, /** @type {string} */ name, /** @type {string} */ description) => is && warnings.push({ name, description });
  warn(!stats || stats.rtt.average > 400, 'high-rtt', 'The way to the gateway and back takes more than 400 ms.');
  warn(Boolean(stats && stats.jitter.average > 30), 'high-jitter', 'The network is uneven: more than 30 ms.');
  warn(Boolean(stats && stats.mos.average < 3), 'low-mos', 'A call would sound bad.');
  warn(unanswered > 0 || f.bytesWaiting > 32 * FRAME.length, 'low-bytes-sent', 'The network does not take the sound of a call.');
  warn(f.microphone.state !== 'granted' && f.microphone.state !== 'not-asked', 'no-microphone', 'There is no microphone, or it may not be used.');
  warn(f.output.state !== 'running', 'audio-blocked', 'Sound is not heard before a click in the page.');
  return {
    callQuality: stats && qualityOf(stats.mos.average), edge: f.host, selectedEdge: f.host,
    identity: String(f.welcome.extension ?? ''), features: f.welcome.features ?? null,
    networkTiming: { signaling: { start: f.start, end: f.ready, duration: f.ready - f.start } },
    samples: f.samples, stats, testTiming: { start: f.start, end: f.end, duration: f.end - f.start },
    totals: { pings: f.pings, unanswered, bytesSent: f.bytesSent, bytesWaiting: f.bytesWaiting }, warnings,
    microphone: f.microphone, output: f.output,
  };
}

/**
 * Events: `connected()`: logged in; `sample(sample)`; then one of `completed(report)`, `failed(error)`.
 * @extends {Emitter<{connected: [], sample: [sample: PreflightSample], completed: [report: PreflightReport], failed: [error: PhoneError]}>}
 */
export class Preflight extends Emitter {
  /** @type {'connecting' | 'connected' | 'completed' | 'failed'} */
  status = 'connecting';
  /** @type {PreflightReport | null} */
  report = null;
  #stop = new AbortController();

  /** Ends it at once, as failed. */
  stop() {
    this.#stop.abort();
  }

  /** @internal @param {string} token @param {string} url @param {number} seconds @param {boolean} microphone */
  async _run(token, url, seconds, microphone) {
    const start = Date.now();
    // Each by itself: a person may think about the microphone for a while.
    const sound = Promise.all([microphone ? findMicrophone() : { state: /** @type {const} */ ('not-asked'), label: null }, findOutput()]);
    /** @type {WebSocket | undefined} */
    let socket;
    try {
      socket = new WebSocket(url, PROTOCOL);
      socket.binaryType = 'arraybuffer';
      const network = await this.#measure(socket, token, seconds * 1000);
      const [mic, output] = await sound;
      this.report = reportOf({ ...network, start, end: Date.now(), host: new URL(url).host, microphone: mic, output });
      this.status = 'completed';
      this.emit('completed', this.report);
    } catch (error) {
      this.status = 'failed';
      this.emit('failed', error instanceof PhoneError ? error : new PhoneError(31009, String(error), error));
    } finally {
      if (socket?.readyState === 1) socket.send('{"type":"logout"}');
      socket?.close();
    }
  }

  /** @param {WebSocket} socket @param {string} token @param {number} ms @returns {Promise<Pick<Facts, 'opened' | 'ready' | 'welcome' | 'samples' | 'pings' | 'bytesSent' | 'bytesWaiting'>>} */
  #measure(socket, token, ms) {
    return new Promise((done, fail) => {
      /** @type {ReturnType<typeof setInterval>[]} */
      const timers = [];
      const end = () => timers.forEach(clearInterval);
      const failed = (/** @type {number} */ code, /** @type {string} */ message = '') => (end(), fail(new PhoneError(code, message)));
      timers.push(setTimeout(() => failed(31003), CONNECT_MS));
      this.#stop.signal.addEventListener('abort', () => failed(31005, 'the check was stopped'));
      /** @type {Map<number, number>} */
      const asked = new Map();
      let over = false;
      const facts = { opened: 0, ready: 0, welcome: /** @type {any} */ ({}), samples: /** @type {PreflightSample[]} */ ([]), pings: 0, bytesSent: 0, bytesWaiting: 0 };
      const ping = () => {
        facts.pings += 1;
        asked.set(facts.pings, performance.now());
        socket.send(JSON.stringify({ type: 'ping', n: facts.pings }));
        facts.bytesWaiting = Math.max(facts.bytesWaiting, socket.bufferedAmount);
      };
      const begin = (/** @type {any} */ welcome) => {
        end();
        facts.welcome = welcome;
        facts.ready = Date.now();
        this.status = 'connected';
        this.emit('connected');
        timers.push(setInterval(ping, PING_EVERY_MS), setInterval(() => {
          for (let i = 0; i < FRAMES; i++) socket.send(FRAME);
          facts.bytesSent += FRAMES * FRAME.length;
        }, FRAMES_EVERY_MS));
        timers.push(setTimeout(() => {
          end();
          over = true;
          if (asked.size === 0) done(facts);
          else setTimeout(() => done(facts), LAST_ANSWER_MS);
        }, ms));
      };
      const answered = (/** @type {number} */ n) => {
        const at = asked.get(n);
        if (at === undefined) return;
        asked.delete(n);
        const rtt = performance.now() - at;
        const last = facts.samples.at(-1);
        // As RTP reckons it: a sixteenth of what is new.
        const jitter = last ? last.jitter + (Math.abs(rtt - last.rtt) - last.jitter) / 16 : 0;
        const sample = { timestamp: Date.now(), rtt, jitter, mos: opinionScore(rtt / 2 + 2 * jitter + SOUND_MS, 0) };
        facts.samples.push(sample);
        this.emit('sample', sample);
        if (over && asked.size === 0) done(facts);
      };
      socket.onopen = () => {
        facts.opened = Date.now();
        socket.send(JSON.stringify({ type: 'login', token, device: 'Preflight' }));
      };
      socket.onmessage = ({ data }) => {
        if (typeof data !== 'string') return;
        const m = JSON.parse(data);
        if (m.type === 'welcome') begin(m);
        else if (m.type === 'ping') socket.send(JSON.stringify({ type: 'pong', n: m.n }));
        else if (m.type === 'pong') answered(m.n);
        else if (m.type === 'error') failed(m.code, m.message);
      };
      socket.onclose = ({ code }) => failed(code === 1006 ? 31009 : 53000, `the gateway closed the connection: ${code}`);
    });
  }
}

/** @returns {Promise<PreflightReport['microphone']>} */
async function findMicrophone() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const [track] = stream.getAudioTracks();
    const { label } = track;
    track.stop();
    return { state: 'granted', label };
  } catch (error) {
    const name = /** @type {any} */ (error)?.name;
    return { state: name === 'NotAllowedError' ? 'denied' : name === 'NotFoundError' ? 'none' : 'failed', label: null };
  }
}

/** @returns {Promise<PreflightReport['output']>} */
async function findOutput() {
  try {
    const context = new AudioContext();
    const { sampleRate } = context;
    // Where a click is needed this never comes to an end.
    await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 500))]);
    const { state } = context;
    context.close();
    return { state: state === 'running' ? 'running' : 'blocked', sampleRate };
  } catch {
    return { state: 'failed', sampleRate: null };
  }
}

/**
 * @param {string} token of whom the calls are to be
 * @param {{url?: string, seconds?: number, microphone?: boolean}} [options] `url`: wss://HOST/phone, by default where the module came
 *   from; `seconds`: how long the way is measured (10); `microphone`: whether it is opened for a moment, which may ask the person (true)
 */
export function runPreflight(token, { url = ownAddress(), seconds = SECONDS, microphone = true } = {}) {
  const preflight = new Preflight();
  preflight._run(token, url, seconds, microphone);
  return preflight;
}

function ownAddress() {
  const url = new URL('../phone', import.meta.url);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  return url.href;
}
