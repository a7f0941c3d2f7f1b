// The page's side of the sound: one AudioContext at the device's own rate, one worklet in it,
// one microphone while a call is up.
//
//   microphone -> worklet -> outputNode -> speaker
//   key tones              -> speakerNode -> speaker
//   ring tones             -> ringNode -> ringer
//
// Between calls the context is suspended and the microphone closed: an idle phone costs nothing
// and shows no recording light. The context is taken up again when it rings.
//
// What a page does with it:
//
//   prepare()  unlock()  hold()            get it ready; from a click; keep it running while something sounds
//   start()  stop()  setMuted(on)          a call
//   play(frame), event `frame`             its frames, 640 bytes each, through the page …
//   setPort(port)                          … or past it: whole frames as ArrayBuffers over a MessagePort,
//                                          both ways, straight to and from the audio thread
//   sound, event `sound`                   may it be heard?  (SoundState)
//   mic, event `mic`                       'off' 'opening' 'on' or what is wrong (MicProblem)
//   permission, event `permission`         'granted' 'prompt' 'denied', 'unknown' where a browser won't tell
//   openMic()  monitorMic()                ask for the permission; a level meter outside of a call
//   devices, event `deviceChange`          {inputs, outputs, defaults}; the event brings the lost active ones
//   setMicrophone(id)  setSpeaker(id)  setRinger(id)   '' is the system's choice; work in a call, too
//   setProcessing({echoCancellation, noiseSuppression, autoGainControl})
//   stats, event `stats`                   20 times a second in a call
//   outputLatency                          ms from here to the loudspeaker, as the browser knows it

import { Emitter } from '../emitter.js';
import { Devices } from './devices.js';
import { Microphone, micProblem, stopStream } from './microphone.js';
import { canChooseSpeaker, Speaker } from './speaker.js';

/** A context that does not run by then needs a click first. */
const RESUME_WAIT_MS = 1500;
/** After the last use the context stays up this long, so that the last sound is not cut. */
const LINGER_MS = 1500;
/** A call whose sound could not be loaded tries again this often. */
const RELOAD_MS = 1000;

/**
 * @typedef {import('./microphone.js').MicProblem} MicProblem
 * @typedef {import('./microphone.js').Processing} Processing
 * @typedef {'closed' | 'suspended' | 'running' | 'blocked' | 'interrupted' | 'unsupported' | 'failed'} SoundState
 *   `blocked`: the browser wants a click before it lets sound out. `interrupted`: another app has the
 *   sound (a telephone call on iOS); it comes back by itself. `failed`: the worklet could not be
 *   loaded, as when the gateway is away; `prepare` tries again.
 */

/**
 * Figures of the call. Levels are peaks of the last 50 ms, 1 at most; the rest counts from its begin.
 * `micLevel`, `speakerLevel`, `delayMs`, `shedMs` are older names of four of them.
 */
const EMPTY_STATS = Object.freeze({
  /** Peaks: the microphone, the far voice. */
  inLevel: 0, outLevel: 0, micLevel: 0, speakerLevel: 0,
  /** What waits in the playout buffer: now, on average, aimed at. */
  bufferedMs: 0, playoutMs: 0, delayMs: 0, targetMs: 0,
  /** How late frames come; how far the far clock is off ours. */
  jitterMs: 0, driftPpm: 0, speed: 1,
  framesUp: 0, framesDown: 0,
  /** Gaps; how much of them was bridged; what was thrown away as too old; left out; repeated. */
  underruns: 0, concealedMs: 0, droppedMs: 0, shedMs: 0, compressedMs: 0, stretchedMs: 0,
});

/** @extends {Emitter<'frame' | 'stats' | 'sound' | 'mic' | 'permission' | 'deviceChange'>} */
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
  /** @type {Speaker | null} */
  #speaker = null;
  /** @type {Speaker | null} */
  #ringer = null;
  /** @type {MessagePort | null} Waits for the worklet. */
  #port = null;
  #devices;
  #microphone = new Microphone(() => this.#lostMic());
  /** The one in use, or last in use: it is gone from the stream by the time that the list says so. */
  #micId = '';
  /** @type {Promise<boolean> | null} */
  #opening = null;
  #chosen = { microphone: '', speaker: '', ringer: '' };
  /** @type {Processing} */
  #processing;
  #uses = 0;
  #monitors = 0;
  #active = false;
  #muted = false;
  #lingerTimer = 0;
  #sound = /** @type {SoundState} */ ('closed');
  #mic = 'off';
  #permission = 'unknown';
  #stats = EMPTY_STATS;

  /**
   * @param {{workletUrl?: string | URL, output?: 'context' | 'element', constraints?: MediaTrackConstraints}} [options]
   *   `output`: 'context' (default) has the least delay, and today's browsers feed it to their echo
   *   canceller; 'element' plays through an <audio> element, for those that only cancel that.
   */
  constructor(options = {}) {
    super();
    this.#options = { workletUrl: new URL('./worklet.js', import.meta.url), output: 'context', constraints: { channelCount: 1 }, ...options };
    const { echoCancellation = true, noiseSuppression = true, autoGainControl = true } = this.#options.constraints;
    this.#processing = /** @type {Processing} */ ({ echoCancellation, noiseSuppression, autoGainControl });
    this.#devices = new Devices(globalThis.navigator?.mediaDevices);
    this.#devices.on('change', (lost) => this.#devicesChanged(lost));
    this.#devices.watch();
    this.#watchPermission();
  }

  get context() {
    return this.#context;
  }
  /** Where the far voice comes out: connect here to listen in. */
  get outputNode() {
    return this.#output;
  }
  /** What goes in here is heard on the speaker beside the far voice. */
  get speakerNode() {
    return this.#speaker?.input ?? null;
  }
  /** Where ring tones go in. */
  get ringNode() {
    return this.#ringer?.input ?? null;
  }
  get sound() {
    return this.#sound;
  }
  get mic() {
    return this.#mic;
  }
  /** What the microphone gives, while it is open. */
  get micStream() {
    return this.#microphone.stream;
  }
  get permission() {
    return this.#permission;
  }
  get stats() {
    return this.#stats;
  }
  /** In ms; 0 where the browser doesn't tell. */
  get outputLatency() {
    const { outputLatency = 0, baseLatency = 0 } = /** @type {any} */ (this.#context ?? {});
    return 1000 * (outputLatency || baseLatency);
  }

  // ---- the context

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
    this.#speaker = new Speaker(context, { ownsContext: true, element: this.#options.output === 'element' });
    this.#ringer = new Speaker(context, { ownsContext: false });
    node.connect(this.#output);
    this.#output.connect(this.#speaker.input);
    this.#context = context;
    if (this.#port) this.setPort(this.#port);
    if (this.#chosen.speaker || this.#chosen.ringer) this.#route();
    context.onstatechange = () => this.#contextChanged();
    this.#contextChanged();
  }

  #contextChanged() {
    const state = /** @type {string | undefined} */ (this.#context?.state);
    if (state === 'running') this.#setSound('running');
    else if (state === 'closed' || state === 'interrupted') this.#setSound(state);
    else if (this.#sound !== 'blocked') this.#setSound('suspended');
    // A laptop that slept comes back by ourselves. While iOS interrupts, resume() only fails; when
    // that is over the state is 'suspended'.
    if (state === 'suspended' && this.#uses > 0) this.unlock();
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
    if (!context || !this.#speaker || !this.#ringer) return false;
    if (context.state !== 'running') {
      // resume() of a blocked context never settles, so it only has so much time.
      await Promise.race([context.resume().catch(() => {}), new Promise((done) => setTimeout(done, RESUME_WAIT_MS))]);
    }
    const state = /** @type {string} */ (context.state);
    if (state !== 'running') {
      this.#setSound(state === 'interrupted' ? state : 'blocked');
      return false;
    }
    const heard = await this.#speaker.play();
    this.#ringer.play();
    this.#setSound(heard ? 'running' : 'blocked');
    this.#restLater();
    return heard;
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

  // ---- devices

  /** The lists as last read, and what is chosen; `refreshDevices` reads them. */
  get devices() {
    const { inputs, outputs, defaults } = this.#devices;
    return { inputs, outputs, defaults, chosen: { ...this.#chosen }, canChooseSpeaker: canChooseSpeaker(contextClass()) };
  }

  /** Not in a call without need: it can make sound stumble. */
  refreshDevices() {
    return this.#devices.refresh();
  }

  /** @param {string} id @returns {Promise<boolean>} false: the one before stays in use */
  async setMicrophone(id) {
    this.#chosen.microphone = id;
    return this.#reopenMic();
  }

  /** @param {string} id @returns {Promise<boolean>} */
  async setSpeaker(id) {
    this.#chosen.speaker = id;
    return (await this.#route()).speaker;
  }

  /** @param {string} id @returns {Promise<boolean>} */
  async setRinger(id) {
    this.#chosen.ringer = id;
    return (await this.#route()).ringer;
  }

  /** Takes effect at once, in a call, too. @param {Partial<Processing>} switches */
  async setProcessing(switches) {
    Object.assign(this.#processing, switches);
    return this.#reopenMic();
  }

  /** What is wanted, and what the browser really gave. */
  get processing() {
    return { wanted: { ...this.#processing }, given: this.#microphone.settings };
  }

  /** A chosen device that is away is waited for: meanwhile the system's own takes its place. */
  async #route() {
    if (!this.#speaker || !this.#ringer) return { speaker: true, ringer: true };
    /** @param {string} id */
    const there = (id) => (this.#devices.has(id, 'outputs') ? id : '');
    const speaker = await this.#speaker.use(there(this.#chosen.speaker));
    const ringer = await this.#ringer.use(there(this.#chosen.ringer), this.#speaker.id);
    return { speaker, ringer };
  }

  /** @param {import('./devices.js').Device[]} lost */
  #devicesChanged(lost) {
    const { microphone, speaker, ringer } = this.#chosen;
    this.#route();
    // The browser ends a lost microphone's track itself. What is left: the chosen one is back, or the
    // system chose another one.
    if (this.#microphone.stream) {
      const { deviceId } = this.#microphone.settings;
      const label = this.#microphone.stream.getAudioTracks()[0]?.label;
      const back = microphone && deviceId !== microphone && this.#devices.inputs.some((d) => d.id === microphone);
      const { input } = this.#devices.defaults;
      const moved = !microphone && deviceId === 'default' && input && label && input !== label;
      if (back || moved) this.#reopenMic();
    }
    this.emit('deviceChange', lost.filter((d) => [microphone, speaker, ringer, this.#micId].includes(d.id)));
  }

  // ---- the microphone

  /**
   * Asks for the microphone. It stays open only while a call is up: at any other time this asks
   * for the permission, so that the first answer need not.
   * @returns {Promise<boolean>}
   */
  openMic() {
    if (this.#microphone.stream) return Promise.resolve(true);
    this.#opening ??= this.#openMic().finally(() => (this.#opening = null));
    return this.#opening.then((open) => {
      // Only a permission was wanted, or the call ended while the browser asked.
      if (open && !this.#wantsMic) this.closeMic();
      return open;
    });
  }

  /** Lets a page show the microphone's level while no call is up. @returns {Promise<{level: () => number, stop: () => void}>} */
  async monitorMic() {
    this.#monitors++;
    const release = this.hold();
    const meter = { analyser: /** @type {AnalyserNode | null} */ (null), samples: new Float32Array(1024) };
    let on = true;
    await this.openMic();
    if (on && this.#context) {
      meter.analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
      this.#micTap()?.connect(meter.analyser);
    }
    return {
      level: () => {
        meter.analyser?.getFloatTimeDomainData(meter.samples);
        return meter.samples.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
      },
      stop: () => {
        if (!on) return;
        on = false;
        this.#monitors--;
        if (meter.analyser) this.#tap?.disconnect(meter.analyser);
        if (!this.#wantsMic) this.closeMic();
        release();
      },
    };
  }

  /** @type {GainNode | null} Between microphone and worklet, so that a change of device keeps what listens. */
  #tap = null;
  #micTap() {
    if (!this.#tap && this.#context && this.#worklet) {
      this.#tap = this.#context.createGain();
      this.#tap.connect(this.#worklet);
    }
    return this.#tap;
  }

  get #wantsMic() {
    return this.#active || this.#monitors > 0;
  }

  get #constraints() {
    return { ...this.#options.constraints, ...this.#processing };
  }

  async #openMic() {
    if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      this.#setMic('insecure');
      return false;
    }
    this.#setMic('opening');
    try {
      const asked = this.#microphone.ask(this.#constraints, this.#chosen.microphone);
      const built = await this.prepare().then(() => true, () => false);
      const stream = await asked;
      if (!built) {
        // That is told as `sound`; it is no fault of the microphone.
        stopStream(stream);
        this.#setMic('off');
        return false;
      }
      this.#micConnected(stream);
      this.#setPermission('granted');
      this.#setMic('on');
      return true;
    } catch (error) {
      this.#setMic(micProblem(error));
      return false;
    }
  }

  /** @param {MediaStream} stream */
  #micConnected(stream) {
    const tap = this.#micTap();
    if (this.#context && tap) this.#microphone.connect(stream, this.#context, tap);
    this.#micId = this.#microphone.settings.deviceId ?? '';
  }

  /** Another device or other switches: the new one is there before the old one goes. */
  async #reopenMic() {
    if (!this.#microphone.stream) return true;
    try {
      const stream = await this.#microphone.ask(this.#constraints, this.#chosen.microphone);
      if (!this.#wantsMic || !this.#microphone.stream) {
        stopStream(stream);
        return true;
      }
      this.#micConnected(stream);
      return true;
    } catch {
      return false;
    }
  }

  /** Unplugged, or taken away in the browser: try the device that is there now. */
  #lostMic() {
    this.#setMic('off');
    if (this.#wantsMic) this.openMic();
  }

  closeMic() {
    this.#microphone.close();
    if (this.#mic === 'on') this.#setMic('off');
  }

  async #watchPermission() {
    try {
      const status = await navigator.permissions.query({ name: /** @type {any} */ ('microphone') });
      this.#setPermission(status.state);
      status.onchange = () => this.#setPermission(status.state);
    } catch {
      // Not every browser tells.
    }
  }

  // ---- a call

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
    this.#worklet?.port.postMessage({ do: 'start' });
    if (this.#muted) this.#worklet?.port.postMessage({ do: 'mute', muted: true });
    this.openMic();
  }

  stop() {
    this.#active = false;
    this.#worklet?.port.postMessage({ do: 'stop' });
    this.#stats = EMPTY_STATS;
    if (!this.#wantsMic) this.closeMic();
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

  /**
   * From now on frames go to and come from this port, as ArrayBuffers of 640 bytes, and neither
   * `frame` nor `play` has a part in it: a page that is busy holds nothing up. Frames come out only
   * between `start` and `stop`; what goes in at other times is dropped. The port is given away.
   * @param {MessagePort | null} port null: through the page again
   */
  setPort(port) {
    if (this.#worklet) this.#worklet.port.postMessage({ do: 'port', port }, port ? [port] : []);
    this.#port = this.#worklet ? null : port;
  }

  // ---- what is told

  /** @param {SoundState} state */
  #setSound(state) {
    if (this.#sound === state) return;
    this.#sound = state;
    this.emit('sound', state);
  }

  /** @param {string} state */
  #setMic(state) {
    if (this.#mic === state) return;
    this.#mic = state;
    this.emit('mic', state);
  }

  /** @param {string} state */
  #setPermission(state) {
    if (this.#permission === state) return;
    this.#permission = state;
    this.emit('permission', state);
  }
}

function contextClass() {
  return globalThis.AudioContext ?? /** @type {any} */ (globalThis).webkitAudioContext;
}

function hasWorklets() {
  return Boolean(contextClass() && globalThis.AudioWorkletNode);
}
