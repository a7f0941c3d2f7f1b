// The tones of telephone keys, for the ear of who presses them.

/** Hz of rows and columns. */
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477, 1633];
const KEYS = ['123A', '456B', '789C', '*0#D'];
const TONE_S = 0.16;
const GAP_S = 0.07;
/** A `w` waits. */
const WAIT_S = 0.5;
const VOLUME = 0.08;

/** What may be sent. */
export const DIGITS = /^[0-9A-D*#w]{1,64}$/;

/**
 * @param {import('./audio/engine.js').AudioEngine} engine
 * @param {string} digits
 */
export async function playDigits(engine, digits) {
  const release = engine.hold();
  let length = 0;
  try {
    await engine.prepare();
    const { context, ringNode } = engine;
    if (!context || !ringNode) return;
    let at = context.currentTime + 0.02;
    for (const digit of digits) {
      const row = KEYS.findIndex((keys) => keys.includes(digit));
      if (row < 0) {
        at += WAIT_S;
        continue;
      }
      const gain = new GainNode(context, { gain: VOLUME });
      gain.connect(ringNode);
      for (const frequency of [ROWS[row], COLUMNS[KEYS[row].indexOf(digit)]]) {
        const tone = new OscillatorNode(context, { frequency });
        tone.connect(gain);
        tone.start(at);
        tone.stop(at + TONE_S);
        tone.onended = () => gain.disconnect();
      }
      at += TONE_S + GAP_S;
    }
    length = at - context.currentTime;
  } catch {
    // No sound: the digits are sent all the same.
  } finally {
    setTimeout(release, length * 1000);
  }
}
