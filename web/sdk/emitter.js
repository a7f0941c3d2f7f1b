// Events between modules: the few methods of Node's EventEmitter that are needed here.

/**
 * `E` names the events: a map of names to the arguments of their listeners, or only the names.
 * @template {string | object} E
 */
export class Emitter {
  /** @type {Map<PropertyKey, Set<(...args: any[]) => void>>} */
  #listeners = new Map();

  /**
   * @template {E extends string ? E : keyof E} K
   * @param {K} name
   * @param {(...args: E extends Record<K, infer A extends any[]> ? A : any[]) => void} listener
   * @returns {() => void} takes the listener off again
   */
  on(name, listener) {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    set.add(listener);
    return () => this.off(name, listener);
  }

  /**
   * @template {E extends string ? E : keyof E} K
   * @param {K} name
   * @param {(...args: E extends Record<K, infer A extends any[]> ? A : any[]) => void} listener
   * @returns {() => void} takes the listener off again
   */
  once(name, listener) {
    const off = this.on(name, (...args) => {
      off();
      listener(...args);
    });
    return off;
  }

  /** @param {E extends string ? E : keyof E} name @param {(...args: any[]) => void} listener */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /** Of one event, or of all. @param {E extends string ? E : keyof E} [name] */
  removeAllListeners(name) {
    if (name === undefined) this.#listeners.clear();
    else this.#listeners.delete(name);
  }

  /** @param {E extends string ? E : keyof E} name */
  listenerCount(name) {
    return this.#listeners.get(name)?.size ?? 0;
  }

  /**
   * A listener that throws is reported and hinders nobody else.
   * @template {E extends string ? E : keyof E} K
   * @param {K} name
   * @param {E extends Record<K, infer A extends any[]> ? A : any[]} args
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
