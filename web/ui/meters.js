// Level meters: the engine tells peaks 20 times a second, the screen moves smoothly between them.
// One transform per meter and frame; nothing runs while no call is up.

/** Under this nothing is shown. */
const FLOOR_DB = -54;
/** Half of a usual screen's frames are enough for the eye. */
const DRAW_EVERY_MS = 30;
/** How much of the way to a lower level is left after one second. */
const FALL = 0.004;

export class Meters {
  #names;
  #targets;
  #shown;
  #frame = 0;
  #before = 0;

  /** @param {string[]} names ids of the bars; one that isn't on the screen is not drawn */
  constructor(names) {
    this.#names = names;
    this.#targets = names.map(() => 0);
    this.#shown = names.map(() => 0);
  }

  /** @param {...number} peaks 0 to 1, one for each bar */
  set(...peaks) {
    this.#targets = peaks.map(onScale);
    if (!this.#frame && peaks.some((p) => p > 0)) this.#start();
  }

  #start() {
    this.#before = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#draw(now));
  }

  /** Rests by itself when all bars are down. */
  #draw(now) {
    const down = this.#targets.every((v) => v === 0) && this.#shown.every((v) => v === 0);
    this.#frame = down ? 0 : requestAnimationFrame((next) => this.#draw(next));
    if (!down && now - this.#before < DRAW_EVERY_MS) return;
    const left = FALL ** (Math.min(200, now - this.#before) / 1000);
    this.#before = now;
    this.#names.forEach((name, i) => {
      const to = this.#targets[i];
      this.#shown[i] = this.#shown[i] - to < 0.005 ? to : to + (this.#shown[i] - to) * left;
      const bar = document.getElementById(name);
      const wanted = `scaleX(${this.#shown[i].toFixed(3)})`;
      if (bar && bar.style.transform !== wanted) bar.style.transform = wanted;
    });
  }
}

function onScale(peak) {
  if (peak <= 0) return 0;
  return Math.min(1, Math.max(0, 1 - (20 * Math.log10(peak)) / FLOOR_DB));
}
