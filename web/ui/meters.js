// Level meters: the engine tells peaks 20 times a second, the screen moves smoothly between them.
// One transform per meter and frame; nothing runs while no call is up.

/** Under this nothing is shown. */
const FLOOR_DB = -54;
/** Half of a usual screen's frames are enough for the eye. */
const DRAW_EVERY_MS = 30;
/** How much of the way to a lower level is left after one second. */
const FALL = 0.004;

export class Meters {
  #bars;
  #targets = [0, 0];
  #shown = [0, 0];
  #drawn = [0, 0];
  #frame = 0;
  #before = 0;

  /** @param {HTMLElement[]} bars microphone, speaker */
  constructor(bars) {
    this.#bars = bars;
  }

  /** @param {number} mic peak, 0 to 1 @param {number} speaker peak, 0 to 1 */
  set(mic, speaker) {
    this.#targets[0] = onScale(mic);
    this.#targets[1] = onScale(speaker);
  }

  start() {
    if (this.#frame) return;
    this.#before = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#draw(now));
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#targets = [0, 0];
    this.#shown = [0, 0];
    this.#drawn = [0, 0];
    for (const bar of this.#bars) bar.style.transform = 'scaleX(0)';
  }

  #draw(now) {
    this.#frame = requestAnimationFrame((next) => this.#draw(next));
    if (now - this.#before < DRAW_EVERY_MS) return;
    const left = FALL ** (Math.min(200, now - this.#before) / 1000);
    this.#before = now;
    this.#bars.forEach((bar, i) => {
      const to = this.#targets[i];
      const value = this.#shown[i] - to < 0.005 ? to : to + (this.#shown[i] - to) * left;
      this.#shown[i] = value;
      if (Math.abs(value - this.#drawn[i]) > 0.004 || (value === 0 && this.#drawn[i] !== 0)) {
        this.#drawn[i] = value;
        bar.style.transform = `scaleX(${value.toFixed(3)})`;
      }
    });
  }
}

function onScale(peak) {
  if (peak <= 0) return 0;
  return Math.min(1, Math.max(0, 1 - (20 * Math.log10(peak)) / FLOOR_DB));
}
