// Does the echo canceller of a browser hear what the page plays? A room made of PulseAudio: what goes
// to the loudspeaker comes back into the microphone, and nothing else is there. Each way out of the
// page is tried with echo cancellation off and on; what the canceller takes away is the ERLE, and how
// late the echo comes is what the way costs. See script/echo.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { startPulse } from '../browser/pulse.mjs';
import { correlationPeak } from '../e2e/likeness.mjs';
import { writeWav } from '../browser/signal.mjs';
import { chirps } from '../e2e/sound.mjs';

const { chromium } = createRequire(new URL('../browser/page.mjs', import.meta.url))('playwright-core');

/** A canceller needs a few seconds to learn the room; then it is measured. */
const LEARN_S = 5;
const MEASURE_S = 6;

/** A PulseAudio of our own: two loudspeakers, and a microphone that hears one of them. */
async function room(folder) {
  const { env, pactl, close } = await startPulse(folder, [
    'module-null-sink sink_name=loudspeaker rate=48000 sink_properties=device.description=loudspeaker',
    'module-null-sink sink_name=headset rate=48000 sink_properties=device.description=headset',
    'module-null-sink sink_name=air rate=48000 sink_properties=device.description=air',
    'module-remap-source source_name=mic master=air.monitor source_properties=device.description=mic',
    'module-loopback source=loudspeaker.monitor sink=air latency_msec=40 source_dont_move=true',
  ]);
  pactl('set-default-sink', 'loudspeaker');
  pactl('set-default-source', 'mic');
  // A microphone hears its loudspeaker with about this.
  pactl('set-source-volume', 'mic', '40%');
  return {
    env: { ...process.env, HOME: folder, ...env },
    /** The microphone hears the headset's sink instead. */
    listenTo(sink) {
      for (const line of pactl('list', 'short', 'modules').split('\n')) {
        if (line.includes('module-loopback')) pactl('unload-module', line.split('\t')[0]);
      }
      pactl('load-module', 'module-loopback', `source=${sink}.monitor`, 'sink=air', 'latency_msec=40', 'source_dont_move=true');
    },
    close,
  };
}

/** Runs in the page. Speech out by `way`, the microphone in. */
async function inPage({ way, echoCancellation, learn, seconds, sink }) {
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.resume();
  const speech = await context.decodeAudioData(await (await fetch('/speech.wav')).arrayBuffer());
  if (sink && way === 'context') {
    await navigator.mediaDevices.getUserMedia({ audio: true }).then((s) => s.getTracks().forEach((t) => t.stop()));
    const found = (await navigator.mediaDevices.enumerateDevices()).find((d) => d.kind === 'audiooutput' && d.label === sink);
    await context.setSinkId(found.deviceId);
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
  });
  const source = new AudioBufferSourceNode(context, { buffer: speech, loop: true });
  const play = async (track) => {
    const element = new Audio();
    element.srcObject = track;
    if (sink) {
      const found = (await navigator.mediaDevices.enumerateDevices()).find((d) => d.kind === 'audiooutput' && d.label === sink);
      await element.setSinkId(found.deviceId);
    }
    await element.play();
  };
  let peers = [];
  if (way === 'context') source.connect(context.destination);
  else {
    const target = context.createMediaStreamDestination();
    source.connect(target);
    if (way === 'element') await play(target.stream);
    else {
      const [a, b] = (peers = [new RTCPeerConnection(), new RTCPeerConnection()]);
      a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
      b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
      const there = new Promise((done) => (b.ontrack = ({ streams, track }) => done(streams[0] ?? new MediaStream([track]))));
      a.addTrack(target.stream.getAudioTracks()[0], target.stream);
      await a.setLocalDescription(await a.createOffer());
      await b.setRemoteDescription(a.localDescription);
      await b.setLocalDescription(await b.createAnswer());
      await a.setRemoteDescription(b.localDescription);
      await play(await there);
    }
  }
  // What was sent out and what came in, beside each other.
  const both = new ChannelMergerNode(context, { numberOfInputs: 2 });
  source.connect(both, 0, 0);
  const microphone = context.createMediaStreamSource(stream);
  microphone.connect(both, 0, 1);
  const tap = context.createScriptProcessor(4096, 2, 2);
  const parts = [[], []];
  tap.onaudioprocess = ({ inputBuffer }) => [0, 1].forEach((c) => parts[c].push(inputBuffer.getChannelData(c).slice()));
  const silent = new GainNode(context, { gain: 0 });
  both.connect(tap);
  tap.connect(silent);
  silent.connect(context.destination);
  source.start();
  await new Promise((done) => setTimeout(done, seconds * 1000));
  source.stop();
  const [out, back] = parts.map((list) => list.flatMap((part) => Array.from(part)));
  const from = learn * context.sampleRate;
  const power = back.slice(from).reduce((sum, x) => sum + x * x, 0) / (back.length - from);
  // What is needed to tell the delay, at a sixth of the rate.
  const thin = (samples, seconds) => samples.slice(from, from + seconds * context.sampleRate).filter((_, i) => i % 6 === 0).map((x) => Math.round(x * 1e4) / 1e4);
  const given = stream.getAudioTracks()[0].getSettings();
  stream.getTracks().forEach((t) => t.stop());
  peers.forEach((p) => p.close());
  await context.close();
  return { rate: context.sampleRate, power, out: thin(out, 2), back: thin(back, 3), given: given.echoCancellation };
}

/** A WAV file to speak with; where none is named, chirps with pauses. */
let [, , speech] = process.argv;
const folder = mkdtempSync(join(tmpdir(), 'echo-room-'));
if (!speech) writeWav((speech = join(folder, 'speech.wav')), chirps(20, 16000), 16000);
const server = createServer((request, answer) => {
  if (request.url === '/speech.wav') return answer.end(readFileSync(speech));
  answer.setHeader('content-type', 'text/html').end('<!doctype html><title>echo</title>');
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const { env, listenTo, close } = await room(folder);
try {
  for (const [browserName, args] of [
    ['as it comes', []],
    ['canceller in the page\'s process (older versions)', ['--disable-features=ChromeWideEchoCancellation']],
  ]) {
    const profile = mkdtempSync(join(tmpdir(), 'echo-page-'));
    const browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, env,
      permissions: ['microphone'], ignoreDefaultArgs: ['--mute-audio'],
      args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--use-fake-ui-for-media-stream', ...args],
    });
    for (const [way, sink] of [['context', ''], ['element', ''], ['loopback', ''], ['context', 'headset'], ['element', 'headset']]) {
      listenTo(sink || 'loudspeaker');
      const levels = {};
      for (const echoCancellation of [false, true]) {
        const page = await browser.newPage();
        await page.goto(`http://localhost:${server.address().port}/`);
        const r = await page.evaluate(inPage, { way, echoCancellation, learn: LEARN_S, seconds: LEARN_S + MEASURE_S, sink });
        await page.close();
        levels[echoCancellation] = 10 * Math.log10(r.power + 1e-12);
        if (!echoCancellation) {
          const { lag, likeness } = correlationPeak(Float32Array.from(r.out), Float32Array.from(r.back));
          levels.ms = (lag * 6000) / r.rate;
          levels.likeness = likeness;
        }
      }
      console.log(`${browserName} | ${way}${sink ? `, on the ${sink}` : ''} | echo ${levels.false.toFixed(1)} dBFS, cancelled ${levels.true.toFixed(1)} dBFS`
        + ` | ERLE ${(levels.false - levels.true).toFixed(1)} dB | out and back ${levels.ms.toFixed(0)} ms (${levels.likeness.toFixed(2)})`);
    }
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
} finally {
  await close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
