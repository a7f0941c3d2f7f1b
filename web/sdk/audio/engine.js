// The page's side of the sound: one AudioContext at the device's own rate, one worklet in it,
// one microphone while a call is up.
//
// Between calls the context is suspended and the microphone closed: an idle phone costs nothing
// and shows no recording light. The context is taken up again when it rings.
//
//   microphone -> worklet -> outputNode -> speaker (or an <audio> element)
//   ring tone  -> ringNode -> speaker

import { Emitter } from '../emitter.js';

/** A context that does not run by then needs a click first. */
const RESUME_WAIT_MS = 1500;
/** After the last use the context stays up this long, so that the last sound is not cut. */
const LINGER_MS = 1500;
/** A call whose sound could not be loaded tries again this often. */
const RELOAD_MS = 1000;

/**
 * @typedef {'denied' | 'none' | 'in-use' | 'insecure' | 'failed'} MicProblem
 * @typedef {'closed' | 'suspended' | 'running' | 'blocked' | 'unsupported' | 'failed'} SoundState
 *   `blocked`: the browser wants a click before it lets sound out. `failed`: the worklet could not be
 *   loaded, as when the gateway is away; `prepare` tries again.
 */

const EMPTY_STATS = Object.freeze({
  micLevel: 0, speakerLevel: 0, bufferedMs: 0, delayMs: 0, targetMs: 0, jitterMs: 0, speed: 1,
  framesUp: 0, framesDown: 0, underruns: 0, concealedMs: 0, shedMs: 0, compressedMs: 0, stretchedMs: 0,
});

/**
 * Events: `frame(bytes)` one 20 ms frame to send; `stats(stats)` 20 times a second in a call;
 * `sound(state)`; `mic(state)` where state is 'off', 'opening', 'on' or a MicProblem.
 * @extends {Emitter<'frame' | 'stats' | 'sound' | 'mic'>}
 */
export class AudioEngine extends Emitter {
  #options;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Promise<void> | null} */
  #preparing = null;
  /** @type {AudioWorkletNode | null} */
  #worklet = null;
  /** @type {GainNode | null} */
  #output = null;
  /** @type {GainNode | null} */
  #ring = null;
  /** @type {HTMLAudioElement | null} */
  #element = null;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  /** @type {Promise<boolean> | null} */
  #opening = null;
  #uses = 0;
  #active = false;
  #muted = false;
  #lingerTimer = 0;
  #sound = /** @type {SoundState} */ ('closed');
  #mic = 'off';
  #stats = EMPTY_STATS;

  /**
   * @param {{workletUrl?: string | URL, output?: 'context' | 'element', constraints?: MediaTrackConstraints}} [options]
   *   `output`: 'context' (default) has the least delay, and today's browsers feed it to their echo
   *   canceller; 'element' plays through an <audio> element, for those that only cancel that.
   */
  constructor(options = {}) {
    super();
    this.#options = {
      workletUrl: new URL('./worklet.js', import.meta.url),
      output: 'context',
      constraints: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
      ...options,
    };
  }

  get context() {
    return this.#context;
  }
  /** Where the far voice comes out: connect here to listen in. */
  get outputNode() {
    return this.#output;
  }
  /** Where ring tones go in. */
  get ringNode() {
    return this.#ring;
  }
  get sound() {
    return this.#sound;
  }
  get mic() {
    return this.#mic;
  }
  get stats() {
    return this.#stats;
  }

  /** Builds the context and loads the worklet. May be called often. */
  prepare() {
    this.#preparing ??= this.#build().catch((error) => {
      this.#preparing = null;
      this.#setSound(hasWorklets() ? 'failed' : 'unsupported');
      throw error;
    });
    return this.#preparing;
  }

  async #build() {
    if (!hasWorklets()) throw new Error('this browser has no AudioWorklet');
    const context = new (contextClass())({ latencyHint: 'interactive' });
    try {
      await context.audioWorklet.addModule(this.#options.workletUrl);
      this.#wire(context);
    } catch (error) {
      // A browser has only so many contexts to give.
      context.close().catch(() => {});
      throw error;
    }
  }

  /** @param {AudioContext} context with the worklet in it */
  #wire(context) {
    const node = new AudioWorkletNode(context, 'goastgateway-phone', {
      numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1],
      channelCount: 1, channelCountMode: 'explicit', channelInterpretation: 'speakers',
    });
    node.port.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) {
        if (this.#active) this.emit('frame', data);
      } else if (data.stats && this.#active) {
        this.#stats = data.stats;
        this.emit('stats', data.stats);
      }
    };
    this.#worklet = node;
    this.#output = context.createGain();
    this.#ring = context.createGain();
    node.connect(this.#output);
    if (this.#options.output === 'element') {
      const target = context.createMediaStreamDestination();
      this.#output.connect(target);
      this.#element = new Audio();
      this.#element.srcObject = target.stream;
    } else {
      this.#output.connect(context.destination);
    }
    this.#ring.connect(context.destination);
    this.#context = context;
    context.onstatechange = () => this.#contextChanged();
    this.#contextChanged();
  }

  #contextChanged() {
    const state = this.#context.state;
    if (state === 'running') this.#setSound('running');
    else if (state === 'closed') this.#setSound('closed');
    else if (this.#sound !== 'blocked') this.#setSound('suspended');
    // iOS interrupts for a telephone call, a laptop for sleep: come back by ourselves.
    if (state !== 'running' && this.#uses > 0) this.unlock();
  }

  /**
   * Makes the context run, or finds out that a click is needed. Call it from a click.
   * @returns {Promise<boolean>} true when sound can be heard
   */
  async unlock() {
    try {
      await this.prepare();
    } catch {
      return false;
    }
    const context = this.#context;
    if (context.state !== 'running') {
      // resume() of a blocked context never settles, so it only has so much time.
      await Promise.race([context.resume().catch(() => {}), new Promise((done) => setTimeout(done, RESUME_WAIT_MS))]);
    }
    this.#element?.play().catch(() => this.#setSound('blocked'));
    if (context.state !== 'running') {
      this.#setSound('blocked');
      return false;
    }
    this.#restLater();
    return true;
  }

  /** While something sounds the context runs. @returns {() => void} call it once when done */
  hold() {
    this.#uses++;
    clearTimeout(this.#lingerTimer);
    this.unlock();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#uses--;
      this.#restLater();
    };
  }

  #restLater() {
    clearTimeout(this.#lingerTimer);
    if (this.#uses > 0) return;
    this.#lingerTimer = setTimeout(() => {
      if (this.#uses === 0 && this.#context?.state === 'running') this.#context.suspend();
    }, LINGER_MS);
  }

  /**
   * Asks for the microphone. It stays open only while a call is up: at any other time this asks
   * for the permission, so that the first answer need not.
   * @returns {Promise<boolean>}
   */
  openMic() {
    if (this.#stream) return Promise.resolve(true);
    this.#opening ??= this.#openMic().finally(() => (this.#opening = null));
    return this.#opening.then((open) => {
      // Only a permission was wanted, or the call ended while the browser asked.
      if (open && !this.#active) this.closeMic();
      return open;
    });
  }

  async #openMic() {
    if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      this.#setMic('insecure');
      return false;
    }
    this.#setMic('opening');
    try {
      const asked = navigator.mediaDevices.getUserMedia({ audio: this.#options.constraints, video: false });
      const built = await this.prepare().then(() => true, () => false);
      const stream = await asked;
      if (!built) {
        // That is told as `sound`; it is no fault of the microphone.
        for (const track of stream.getTracks()) track.stop();
        this.#setMic('off');
        return false;
      }
      this.#stream = stream;
      this.#source = this.#context.createMediaStreamSource(stream);
      this.#source.connect(this.#worklet);
      stream.getAudioTracks()[0].onended = () => this.#lostMic(stream);
      this.#setMic('on');
      return true;
    } catch (error) {
      this.#setMic(micProblem(error));
      return false;
    }
  }

  /** Unplugged, or taken away in the browser: try the device that is there now. */
  #lostMic(stream) {
    if (this.#stream !== stream) return;
    this.closeMic();
    if (this.#active) this.openMic();
  }

  closeMic() {
    this.#source?.disconnect();
    this.#source = null;
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#stream = null;
    if (this.#mic === 'on') this.#setMic('off');
  }

  #release = () => {};

  /** A call begins: frames go out 50 times a second, with silence until the microphone is there. */
  async start() {
    this.#active = true;
    this.#muted = false;
    this.#stats = EMPTY_STATS;
    this.#release();
    const release = this.hold();
    this.#release = release;
    const isOver = () => !this.#active || this.#release !== release;
    for (;;) {
      const built = await this.prepare().then(() => true, () => false);
      if (isOver() || this.#sound === 'unsupported') return;
      if (built) break;
      await new Promise((done) => setTimeout(done, RELOAD_MS));
      if (isOver()) return;
      this.unlock();
    }
    this.#worklet.port.postMessage({ do: 'start' });
    if (this.#muted) this.#worklet.port.postMessage({ do: 'mute', muted: true });
    this.openMic();
  }

  stop() {
    this.#active = false;
    this.#worklet?.port.postMessage({ do: 'stop' });
    this.#stats = EMPTY_STATS;
    this.closeMic();
    this.#release();
    this.#release = () => {};
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#muted = muted;
    this.#worklet?.port.postMessage({ do: 'mute', muted });
  }

  /** @param {ArrayBuffer} frame one frame from the gateway; it is ours from now on */
  play(frame) {
    if (this.#active && this.#worklet) this.#worklet.port.postMessage(frame, [frame]);
  }

  #setSound(state) {
    if (this.#sound === state) return;
    this.#sound = state;
    this.emit('sound', state);
  }

  #setMic(state) {
    if (this.#mic === state) return;
    this.#mic = state;
    this.emit('mic', state);
  }
}

function contextClass() {
  return globalThis.AudioContext ?? globalThis.webkitAudioContext;
}

function hasWorklets() {
  return Boolean(contextClass() && globalThis.AudioWorkletNode);
}

/** @param {any} error @returns {MicProblem} */
function micProblem(error) {
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none';
    case 'NotReadableError':
    case 'AbortError':
      return 'in-use';
    default:
      return 'failed';
  }
}
