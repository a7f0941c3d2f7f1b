// How alike are two recordings, and where? By cross-correlation.

/** Cross-correlation by FFT: result[lag] = sum said[i] * heard[i + lag]. */
export function correlate(said, heard) {
  let size = 1;
  while (size < said.length + heard.length) size *= 2;
  const [ar, ai, br, bi] = [0, 0, 0, 0].map(() => new Float64Array(size));
  ar.set(said);
  br.set(heard);
  fft(ar, ai);
  fft(br, bi);
  for (let i = 0; i < size; i++) {
    const re = ar[i] * br[i] + ai[i] * bi[i];
    ai[i] = -(ar[i] * bi[i] - ai[i] * br[i]) / size; // conjugate: the same transform goes back
    ar[i] = re / size;
  }
  fft(ar, ai);
  return ar;
}

/**
 * Where in a longer recording does a short one lie?
 * @param {Float32Array} piece @param {Float32Array} within longer
 * @returns {{lag: number, likeness: number}} samples, and 1 for a copy
 */
export function correlationPeak(piece, within) {
  const correlation = correlate(piece, within);
  const own = energy(piece, 0, piece.length);
  let power = energy(within, 0, piece.length);
  let best = { lag: 0, likeness: -1 };
  for (let lag = 0; lag + piece.length <= within.length; lag++) {
    const likeness = correlation[lag] / Math.sqrt(own * Math.max(power, own * 1e-3) || 1);
    if (likeness > best.likeness) best = { lag, likeness };
    power += (within[lag + piece.length] ?? 0) ** 2 - within[lag] ** 2;
  }
  return best;
}

function energy(samples, from, to) {
  let sum = 0;
  for (let i = from; i < to; i++) sum += samples[i] ** 2;
  return sum;
}

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let length = 2; length <= n; length *= 2) {
    const half = length / 2;
    for (let k = 0; k < half; k++) {
      const [c, s] = [Math.cos((-2 * Math.PI * k) / length), Math.sin((-2 * Math.PI * k) / length)];
      for (let i = k; i < n; i += length) {
        const q = i + half;
        const [x, y] = [re[q] * c - im[q] * s, re[q] * s + im[q] * c];
        re[q] = re[i] - x;
        im[q] = im[i] - y;
        re[i] += x;
        im[i] += y;
      }
    }
  }
}
