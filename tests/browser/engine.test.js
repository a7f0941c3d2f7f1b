// The audio engine's way to its worklet, with a fake browser: what fails is cleaned up, called by
// its right name, and tried again.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { AudioEngine } from '../../web/sdk/audio/engine.js';

let contexts;
let loads;
let micTracks;

class FakeNode {
  port = { postMessage: (m) => this.posted.push(m) };
  posted = [];
  connect() {}
  disconnect() {}
}
class FakeContext {
  state = 'running';
  destination = {};
  audioWorklet = { addModule: async () => { if (!loads) throw new DOMException('Unable to load a worklet', 'AbortError'); } };
  constructor() {
    contexts.push(this);
  }
  createGain() {
    return new FakeNode();
  }
  createMediaStreamSource() {
    return new FakeNode();
  }
  async resume() {}
  async suspend() {}
  async close() {
    this.state = 'closed';
  }
}

const settle = () => new Promise((done) => setImmediate(done));
const openContexts = () => contexts.filter((c) => c.state !== 'closed').length;

beforeEach(() => {
  contexts = [];
  loads = false;
  micTracks = [];
  globalThis.AudioContext = FakeContext;
  globalThis.AudioWorkletNode = class extends FakeNode {};
  globalThis.isSecureContext = true;
  const getUserMedia = async () => {
    const track = { stopped: false, stop() { this.stopped = true; } };
    micTracks.push(track);
    return { getTracks: () => [track], getAudioTracks: () => [track] };
  };
  Object.defineProperty(globalThis, 'navigator', { value: { mediaDevices: { getUserMedia } }, configurable: true });
  mock.timers.enable({ apis: ['setTimeout'] });
});
afterEach(() => {
  mock.timers.reset();
  delete globalThis.AudioContext;
  delete globalThis.AudioWorkletNode;
});

test('a worklet that could not be loaded leaves no context open, however often it is tried', async () => {
  const engine = new AudioEngine();
  for (let i = 0; i < 10; i++) await assert.rejects(engine.prepare());
  assert.equal(contexts.length, 10);
  assert.equal(openContexts(), 0);
});

test('a worklet that could not be loaded is a fault of the network, and the next try may work', async () => {
  const engine = new AudioEngine();
  assert.equal(await engine.unlock(), false);
  assert.equal(engine.sound, 'failed');
  loads = true;
  assert.equal(await engine.unlock(), true);
  assert.equal(engine.sound, 'running');
  assert.equal(openContexts(), 1);
});

test('a browser without worklets is told as that', async () => {
  delete globalThis.AudioWorkletNode;
  const engine = new AudioEngine();
  assert.equal(await engine.unlock(), false);
  assert.equal(engine.sound, 'unsupported');
  assert.equal(contexts.length, 0);
});

test('a call that begins without its sound gets it when it can be had', async () => {
  const engine = new AudioEngine();
  engine.start();
  await settle();
  assert.equal(engine.sound, 'failed');
  loads = true;
  mock.timers.tick(1000);
  await settle();
  assert.equal(engine.sound, 'running');
  assert.equal(engine.mic, 'on');
  engine.stop();
  assert.equal(openContexts(), 1);
});

test('a call that ends before its sound could be had stops trying', async () => {
  const engine = new AudioEngine();
  engine.start();
  await settle();
  engine.stop();
  const { length } = contexts;
  for (let i = 0; i < 10; i++) {
    mock.timers.tick(1000);
    await settle();
  }
  assert.equal(contexts.length, length);
});

test('a microphone that was opened while the sound failed is closed again, and not blamed', async () => {
  const engine = new AudioEngine();
  assert.equal(await engine.openMic(), false);
  assert.equal(engine.mic, 'off');
  assert.equal(micTracks.length, 1);
  assert.ok(micTracks[0].stopped);
});
