// The last minute of delay as an SVG path. Pure.

/** The scale's top is at least this, so that a good line lies low and flat. */
const LEAST_TOP_MS = 200;

/**
 * @param {(number | null)[]} values one a second, newest last; null is a gap
 * @param {{width: number, height: number, slots: number}} box `slots`: as many values as fit
 * @returns {{line: string, topMs: number}} `line` for a path's `d`; the newest value is at the right
 */
export function plot(values, { width, height, slots }) {
  const shown = values.slice(-slots);
  const known = shown.filter((v) => v !== null);
  const topMs = Math.max(LEAST_TOP_MS, Math.ceil(Math.max(0, ...known) / 100) * 100);
  const step = width / (slots - 1);
  let line = '';
  let pen = false;
  shown.forEach((value, i) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = width - (shown.length - 1 - i) * step;
    const y = height - (Math.min(value, topMs) / topMs) * height;
    line += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  });
  return { line, topMs };
}
