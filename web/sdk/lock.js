// Web Locks of this origin: one tab has a lock, the others wait for it.

/**
 * Waits for a lock, and holds it until it is given back or the page is gone. Where a browser has no locks, it is held at once.
 * @param {string} name
 * @param {() => void} [held] it is ours
 * @returns {() => void} gives it back, or waits no longer
 */
export function holdLock(name, held = () => {}) {
  const locks = globalThis.navigator?.locks;
  const give = new AbortController();
  let release = () => give.abort();
  if (!locks) held();
  else {
    locks
      .request(name, { signal: give.signal }, () => new Promise((done) => {
        release = () => done(undefined);
        held();
      }))
      .catch(() => {});
  }
  return () => release();
}
