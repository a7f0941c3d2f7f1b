// Events between modules: the few methods of Node's EventEmitter that are needed here.

/**
 * @template {string} Name
 */
export class Emitter {
  /** @type {Map<string, Set<Function>>} */
  #listeners = new Map();

  /**
   * @param {Name} name
   * @param {(...args: any[]) => void} listener
   * @returns {() => void} takes the listener off again
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.off(name, listener);
  }

  /** @param {Name} name @param {Function} listener */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /**
   * A listener that throws is reported and hinders nobody else.
   * @param {Name} name
   * @param {...any} args
   */
  emit(name, ...args) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        console.error(error);
      }
    }
  }
}
