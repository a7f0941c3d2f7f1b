// Where sound leaves the page: the far voice on the speaker, the bell on the ringer.
//
// As long as the system's own speaker is meant, sound goes straight from the context to it: the
// least delay, and what a browser's echo canceller listens to. Another device is reached by the
// context itself where it can (Chromium), else through an <audio> element (Firefox, newer Safari),
// else not at all. docs/sound.md has what was measured.

/** One way out of a context. */
export class Speaker {
  /** Connect here. @type {GainNode} */
  input;
  #context;
  #ownsContext;
  #forceElement;
  /** @type {HTMLAudioElement | null} */
  #element = null;
  #id = '';

  /**
   * @param {AudioContext} context
   * @param {{ownsContext: boolean, element?: boolean}} how
   *   `ownsContext`: may move the whole context to another device
   *   `element`: always through an <audio> element
   */
  constructor(context, { ownsContext, element = false }) {
    this.#context = context;
    this.#ownsContext = ownsContext;
    this.#forceElement = element;
    this.input = context.createGain();
    if (element) this.#throughElement();
    else this.input.connect(context.destination);
  }

  /** The device in use; '' is the system's own choice. */
  get id() {
    return this.#id;
  }

  /**
   * @param {string} id '' for the system's choice
   * @param {string} [contextId] where the context plays, when it isn't ours to move
   * @returns {Promise<boolean>} false: it can't be had, and sound goes where the context plays
   */
  async use(id, contextId = '') {
    try {
      if (this.#ownsContext && !this.#forceElement && 'setSinkId' in this.#context) {
        if (id !== this.#id) await /** @type {any} */ (this.#context).setSinkId(id);
      } else if (id === contextId && !this.#forceElement) {
        this.#straight();
      } else if (!canUseElement()) {
        this.#straight();
        return id === '';
      } else {
        const element = this.#throughElement();
        await element.setSinkId(id);
        await element.play();
      }
      this.#id = id;
      return true;
    } catch {
      if (!this.#forceElement) this.#straight();
      return false;
    }
  }

  /** An <audio> element is under the autoplay rule by itself. @returns {Promise<boolean>} does it play? */
  async play() {
    if (!this.#element) return true;
    return this.#element.play().then(() => true, () => false);
  }

  #straight() {
    if (!this.#element) return;
    this.#element.pause();
    this.#element = null;
    this.input.disconnect();
    this.input.connect(this.#context.destination);
  }

  #throughElement() {
    if (this.#element) return this.#element;
    const target = this.#context.createMediaStreamDestination();
    this.input.disconnect();
    this.input.connect(target);
    this.#element = new Audio();
    this.#element.srcObject = target.stream;
    return this.#element;
  }
}

/** @param {any} contextClass */
export function canChooseSpeaker(contextClass) {
  return Boolean(contextClass && 'setSinkId' in contextClass.prototype) || canUseElement();
}

function canUseElement() {
  return 'setSinkId' in (globalThis.HTMLMediaElement?.prototype ?? {});
}
