// Microphones and speakers that come and go, with a fake browser.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { AudioEngine } from '../../web/sdk/audio/engine.js';

/** What `devicechange` waits for, and a bit. */
const SETTLED_MS = 200;

let plugged;
let tracks;
let asked;
let refuse;
let media;
let contexts;
let elements;

class FakeNode {
  connections = [];
  port = { postMessage() {} };
  connect(to) {
    this.connections.push(to);
  }
  disconnect() {
    this.connections = [];
  }
}
class FakeContext {
  state = 'running';
  destination = new FakeNode();
  sampleRate = 48000;
  baseLatency = 0.01;
  audioWorklet = { addModule: async () => {} };
  createGain = () => new FakeNode();
  createMediaStreamSource = () => new FakeNode();
  createMediaStreamDestination = () => Object.assign(new FakeNode(), { stream: {} });
  constructor() {
    contexts.push(this);
  }
  async resume() {}
  async suspend() {}
  async close() {}
}
/** As Chromium has it. */
class MovableContext extends FakeContext {
  sinkId = '';
  async setSinkId(id) {
    if (id && !plugged.some((d) => d.deviceId === id)) throw new DOMException('gone', 'NotFoundError');
    this.sinkId = id;
  }
}
class FakeAudio {
  sinkId = '';
  paused = true;
  constructor() {
    elements.push(this);
  }
  async setSinkId(id) {
    this.sinkId = id;
  }
  async play() {
    this.paused = false;
  }
  pause() {
    this.paused = true;
  }
}

const settle = async () => {
  for (let i = 0; i < 10; i++) await new Promise((done) => setImmediate(done));
};
const mic = (deviceId, label = deviceId) => ({ kind: 'audioinput', deviceId, label, groupId: deviceId });
const out = (deviceId, label = deviceId) => ({ kind: 'audiooutput', deviceId, label, groupId: deviceId });

async function plug(devices) {
  plugged = devices;
  for (const track of tracks) {
    if (track.live && !plugged.some((d) => d.deviceId === track.id)) {
      track.live = false;
      track.onended?.();
    }
  }
  media.dispatchEvent(new Event('devicechange'));
  mock.timers.tick(SETTLED_MS);
  await settle();
}

beforeEach(() => {
  plugged = [mic('default', 'Default'), mic('built-in'), mic('headset'), out('default', 'Default'), out('loudspeaker'), out('headset-out')];
  tracks = [];
  asked = [];
  refuse = null;
  contexts = [];
  elements = [];
  media = Object.assign(new EventTarget(), {
    enumerateDevices: async () => plugged,
    async getUserMedia({ audio }) {
      asked.push(audio);
      if (refuse) throw new DOMException('no', refuse);
      const wanted = audio.deviceId?.exact;
      if (wanted && !plugged.some((d) => d.deviceId === wanted)) throw new DOMException('no', 'OverconstrainedError');
      const id = wanted ?? 'default';
      const label = plugged.find((d) => d.kind === 'audioinput' && d.deviceId === id)?.label;
      const track = { id, label, live: true, stop() { this.live = false; }, getSettings: () => ({ deviceId: id, ...audio }) };
      tracks.push(track);
      return { getTracks: () => [track], getAudioTracks: () => [track] };
    },
  });
  globalThis.AudioContext = MovableContext;
  globalThis.AudioWorkletNode = FakeNode;
  globalThis.HTMLMediaElement = class { setSinkId() {} };
  globalThis.Audio = FakeAudio;
  globalThis.isSecureContext = true;
  Object.defineProperty(globalThis, 'navigator', { value: { mediaDevices: media }, configurable: true });
  mock.timers.enable({ apis: ['setTimeout'] });
});
afterEach(() => {
  mock.timers.reset();
  for (const name of ['AudioContext', 'AudioWorkletNode', 'HTMLMediaElement', 'Audio']) delete globalThis[name];
});

const live = () => tracks.filter((t) => t.live).map((t) => t.id);

async function inCall() {
  const engine = new AudioEngine();
  await engine.refreshDevices();
  engine.start();
  await settle();
  return engine;
}

test('the lists name devices, and the system\'s own choice beside them', async () => {
  const engine = new AudioEngine();
  await engine.refreshDevices();
  assert.deepEqual(engine.devices.inputs.map((d) => d.id), ['built-in', 'headset']);
  assert.deepEqual(engine.devices.outputs.map((d) => d.id), ['loudspeaker', 'headset-out']);
  assert.equal(engine.devices.defaults.input, 'Default');
  assert.equal(engine.devices.canChooseSpeaker, true);
});

test('another microphone in a call: the new one is there before the old one goes', async () => {
  const engine = await inCall();
  assert.deepEqual(live(), ['default']);
  const asking = engine.setMicrophone('headset');
  assert.deepEqual(live().slice(0, 1), ['default']);
  assert.equal(await asking, true);
  assert.deepEqual(live(), ['headset']);
  assert.equal(engine.mic, 'on');
});

test('a microphone that refuses leaves the one before in use', async () => {
  const engine = await inCall();
  refuse = 'NotReadableError';
  assert.equal(await engine.setMicrophone('headset'), false);
  assert.deepEqual(live(), ['default']);
  assert.equal(engine.mic, 'on');
});

test('a headset pulled out in a call: the system\'s own takes over, and the loss is told', async () => {
  const engine = await inCall();
  await engine.setMicrophone('headset');
  const lost = [];
  engine.on('deviceChange', (gone) => lost.push(...gone.map((d) => d.id)));
  await plug(plugged.filter((d) => !d.deviceId.startsWith('headset')));
  assert.deepEqual(live(), ['default']);
  assert.deepEqual(lost, ['headset']);
  assert.equal(engine.mic, 'on');
});

test('a headset that comes back is used again', async () => {
  const engine = await inCall();
  await engine.setMicrophone('headset');
  await engine.setSpeaker('headset-out');
  const all = plugged;
  await plug(plugged.filter((d) => !d.deviceId.startsWith('headset')));
  assert.deepEqual([live(), contexts[0].sinkId], [['default'], '']);
  await plug(all);
  assert.deepEqual([live(), contexts[0].sinkId], [['headset'], 'headset-out']);
});

test('the system\'s own choice that moves is followed', async () => {
  await inCall();
  plugged[0] = mic('default', 'Default - Bluetooth');
  await plug([...plugged, mic('bluetooth', 'Bluetooth')]);
  assert.equal(tracks.length, 2);
  assert.equal(live().length, 1);
  assert.equal(tracks[1].label, 'Default - Bluetooth');
});

test('a device that nobody uses comes and goes without touching the sound', async () => {
  const engine = await inCall();
  const events = [];
  engine.on('deviceChange', (lost) => events.push(lost.length));
  await plug([...plugged, mic('webcam')]);
  await plug(plugged.filter((d) => d.deviceId !== 'webcam'));
  assert.deepEqual(events, [0, 0]);
  assert.equal(tracks.length, 1);
});

test('echo cancellation and the like are switched in a call', async () => {
  const engine = await inCall();
  assert.equal(asked[0].echoCancellation, true);
  await engine.setProcessing({ echoCancellation: false });
  assert.deepEqual([asked[1].echoCancellation, asked[1].noiseSuppression], [false, true]);
  assert.equal(engine.processing.given.echoCancellation, false);
  assert.equal(live().length, 1);
});

test('a choice made between calls is for the next one, and opens nothing', async () => {
  const engine = new AudioEngine();
  await engine.setMicrophone('headset');
  assert.equal(asked.length, 0);
  engine.start();
  await settle();
  assert.deepEqual(live(), ['headset']);
  engine.stop();
  assert.deepEqual(live(), []);
});

test('a chosen microphone that is not there today does not make the call mute', async () => {
  const engine = new AudioEngine();
  await engine.setMicrophone('at-the-office');
  engine.start();
  await settle();
  assert.deepEqual(live(), ['default']);
  assert.equal(engine.mic, 'on');
});

test('the ringer rings on its own device, and on the system\'s own while the talk is on a headset', async () => {
  const engine = await inCall();
  const [context] = contexts;
  await engine.setSpeaker('headset-out');
  assert.equal(context.sinkId, 'headset-out');
  // The bell would be in the headset now: it goes through an element to the system's own.
  assert.equal(elements.at(-1).sinkId, '');
  assert.equal(elements.at(-1).paused, false);
  await engine.setRinger('loudspeaker');
  assert.equal(elements.at(-1).sinkId, 'loudspeaker');
  await engine.setSpeaker('loudspeaker');
  assert.equal(elements.at(-1).paused, true, 'the same device: straight again');
  assert.deepEqual(engine.ringNode.connections, [context.destination]);
});

test('where the context can\'t move (Firefox) an element does', async () => {
  globalThis.AudioContext = FakeContext;
  const engine = await inCall();
  assert.equal(await engine.setSpeaker('headset-out'), true);
  assert.equal(elements[0].sinkId, 'headset-out');
  assert.equal(await engine.setSpeaker(''), true);
  assert.deepEqual(engine.speakerNode.connections, [contexts[0].destination]);
});

test('where no speaker can be chosen (older Safari) it is said, and sound goes on', async () => {
  globalThis.AudioContext = FakeContext;
  delete globalThis.HTMLMediaElement;
  const engine = await inCall();
  assert.equal(engine.devices.canChooseSpeaker, false);
  assert.equal(await engine.setSpeaker('headset-out'), false);
  assert.deepEqual(engine.speakerNode.connections, [contexts[0].destination]);
});

test('while iOS interrupts it is said, nothing is forced, and afterwards sound comes back by itself', async () => {
  const engine = await inCall();
  const [context] = contexts;
  let resumed = 0;
  context.resume = async () => {
    resumed++;
    context.state = 'running';
  };
  context.state = 'interrupted';
  context.onstatechange();
  await settle();
  assert.deepEqual([engine.sound, resumed], ['interrupted', 0]);
  context.state = 'suspended';
  context.onstatechange();
  await settle();
  assert.deepEqual([engine.sound, resumed], ['running', 1]);
});
