// Ring tones, computed once and looped by the browser, so that a busy page cannot make them stumble.

/** @type {Record<string, {seconds: number, sample: (t: number) => number}>} */
const TONES = {
  // Japan: 400 Hz, modulated with 16 Hz, one second on and two off.
  jp: {
    seconds: 3,
    sample: (t) => (t < 1 ? 0.5 * (1 + Math.sin(2 * Math.PI * 16 * t - Math.PI / 2)) * Math.sin(2 * Math.PI * 400 * t) * edge(t, 1) : 0),
  },
  // Two soft bell notes, twice, then a pause.
  bell: {
    seconds: 3.2,
    sample: (t) => {
      let sum = 0;
      for (const [start, hz] of [[0, 784], [0.16, 659], [0.44, 784], [0.6, 659]]) {
        const at = t - start;
        if (at < 0 || at > 1.2) continue;
        const swell = Math.min(1, at / 0.008) * Math.exp(-at * 5.5);
        sum += swell * (Math.sin(2 * Math.PI * hz * at) + 0.25 * Math.sin(4 * Math.PI * hz * at));
      }
      return 0.55 * sum;
    },
  },
};

function edge(t, end) {
  return Math.min(1, t / 0.01, (end - t) / 0.01);
}

/** How loud a ring tone is, of 1. */
const VOLUME = 0.3;

export class RingTone {
  #engine;
  /** @type {AudioBufferSourceNode | null} */
  #source = null;
  #release = () => {};
  #wanted = false;

  /** @param {import('./engine.js').AudioEngine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /** @param {'jp' | 'bell'} name */
  async start(name) {
    this.stop();
    this.#wanted = true;
    this.#release = this.#engine.hold();
    try {
      await this.#engine.prepare();
    } catch {
      return;
    }
    if (!this.#wanted || this.#source) return;
    const context = this.#engine.context;
    const tone = TONES[name] ?? TONES.bell;
    const buffer = context.createBuffer(1, Math.round(tone.seconds * context.sampleRate), context.sampleRate);
    const samples = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = VOLUME * tone.sample(i / context.sampleRate);
    this.#source = new AudioBufferSourceNode(context, { buffer, loop: true });
    this.#source.connect(this.#engine.ringNode);
    this.#source.start();
  }

  stop() {
    this.#wanted = false;
    this.#source?.stop();
    this.#source?.disconnect();
    this.#source = null;
    this.#release();
    this.#release = () => {};
  }
}
