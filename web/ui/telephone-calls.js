// The SDK's Call objects as plain values, and what they tell.

/** A frame of sound. */
const FRAME_MS = 20;
const FRAME_BYTES = 640;
/** A page whose timers come this late has no time for sound either. */
const THROTTLED_MS = 1000;

export class Calls {
  #tell;
  /** @type {Map<string, {state: string, sample: any}>} what was known of each call */
  #known = new Map();
  /** Whom calls are to be passed on to, by the call's id. @type {Map<string, {to: string, blind: boolean}>} */
  targets = new Map();
  /** Frames that the network did not take, of the last sample. */
  droppedUp = 0;

  /** @param {(name: string, ...args: any[]) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** @param {import('../sdk/call.js').Call[]} calls @returns {import('./look.js').Call[]} */
  list(calls) {
    return calls.map((call) => this.#plain(call));
  }

  /** Listens to a call, once. @param {import('../sdk/call.js').Call} call */
  follow(call) {
    if (this.#known.has(call.id)) return;
    this.#known.set(call.id, { state: '', sample: null });
    const over = () => {
      const plain = this.#plain(call);
      this.#known.delete(call.id);
      const target = this.targets.get(call.id);
      this.targets.delete(call.id);
      // It comes behind the end.
      if (target) call.on('transfer', (state, why) => this.#tell('passed', { call: plain, to: target.to, done: state === 'completed', reason: why ?? 'failed' }));
      const { reason = 'unknown', talkMs = 0 } = call.ending ?? {};
      this.#tell('ended', { call: plain, reason, talkMs });
    };
    for (const name of /** @type {const} */ (['cancel', 'reject', 'disconnect'])) call.on(name, over);
    call.on('sample', (sample) => this.#sample(call.id, sample));
    call.on('volume', (input, output) => this.#tell('levels', input, output));
  }

  /** @param {import('../sdk/call.js').Call} call @returns {import('./look.js').Call} */
  #plain(call) {
    const outgoing = call.direction === 'OUTGOING';
    return {
      id: call.id,
      direction: outgoing ? 'outgoing' : 'incoming',
      state: /** @type {any} */ (this.#state(call, outgoing)),
      from: outgoing ? { number: call.to, name: null } : call.from,
      group: call.group,
      held: call.isHeld(),
      heldByFar: call.isHeldByFar(),
      muted: call.isMuted(),
      since: call.startTime.getTime(),
      answered: call.answerTime?.getTime() ?? null,
      consultsFor: call.consultsFor?.id ?? null,
      transferring: this.targets.get(call.id)?.blind === true,
    };
  }

  /** The state on the line, also while the connection is away. */
  #state(call, outgoing) {
    if (call.answerTime !== null) return 'open';
    const known = this.#known.get(call.id);
    const status = call.status();
    const state = status === 'reconnecting' || status === 'closed' ? known?.state || (outgoing ? 'dialling' : 'ringing')
      : outgoing ? (status === 'ringing' ? 'alerting' : 'dialling')
      : status === 'connecting' ? 'answering' : 'ringing';
    if (known) known.state = state;
    return state;
  }

  /** Counts since the call began become those of this second. */
  #sample(id, sample) {
    const known = this.#known.get(id);
    if (!known) return;
    const added = (name) => Math.max(0, (sample[name] ?? 0) - (known.sample?.[name] ?? 0));
    this.droppedUp = sample.droppedUp;
    /** @type {import('./quality.js').Sample} */
    const plain = {
      at: sample.at,
      rttMs: sample.rttMs ?? 0,
      jitterMs: sample.jitterMs,
      delayMs: sample.e2eMs,
      concealedMs: added('concealedMs'),
      lostUp: added('droppedUp'),
      toPhoneQueueMs: Math.max(sample.downlinkQueueMs, sample.uplinkQueueMs),
      lostDown: Math.round(added('droppedMs') / FRAME_MS),
      filled: 0,
      serverQueueMs: sample.asteriskQueueMs,
      lostServer: 0,
      framesDown: Math.round(added('bytesIn') / FRAME_BYTES),
      throttled: sample.lateMs > THROTTLED_MS,
    };
    known.sample = sample;
    this.#tell('sample', id, plain);
  }
}
