// One microphone: opened when a call needs it, changed without a gap, lost when it is pulled out.
//
// A change opens the new one before the old one is closed, so that a call never stands without.

/**
 * @typedef {'denied' | 'none' | 'in-use' | 'insecure' | 'failed'} MicProblem
 * @typedef {{echoCancellation: boolean, noiseSuppression: boolean, autoGainControl: boolean}} Processing
 */

export class Microphone {
  #lost;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;

  /** @param {() => void} lost called when the device went away by itself */
  constructor(lost) {
    this.#lost = lost;
  }

  get stream() {
    return this.#stream;
  }

  /** What the browser really gave. */
  get settings() {
    return this.#stream?.getAudioTracks()[0]?.getSettings?.() ?? {};
  }

  /**
   * @param {MediaTrackConstraints} constraints
   * @param {string} id '' for the system's choice
   * @returns {Promise<MediaStream>} rejects as getUserMedia does; nothing has changed then
   */
  async ask(constraints, id) {
    const media = navigator.mediaDevices;
    if (!id) return media.getUserMedia({ audio: constraints, video: false });
    try {
      return await media.getUserMedia({ audio: { ...constraints, deviceId: { exact: id } }, video: false });
    } catch (error) {
      // The chosen one is not there today: better another one than a mute call.
      if (!['OverconstrainedError', 'NotFoundError'].includes(/** @type {any} */ (error).name)) throw error;
      return media.getUserMedia({ audio: constraints, video: false });
    }
  }

  /**
   * Takes the place of the one before.
   * @param {MediaStream} stream @param {BaseAudioContext & any} context @param {AudioNode} target
   */
  connect(stream, context, target) {
    // Firefox before 2024 refuses a rate other than the context's; ours has the device's own.
    const source = context.createMediaStreamSource(stream);
    this.close();
    source.connect(target);
    this.#stream = stream;
    this.#source = source;
    const [track] = stream.getAudioTracks();
    track.onended = () => {
      if (this.#stream !== stream) return;
      this.close();
      this.#lost();
    };
  }

  close() {
    this.#source?.disconnect();
    this.#source = null;
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#stream = null;
  }
}

/** @param {MediaStream} stream */
export function stopStream(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** @param {any} error @returns {MicProblem} */
export function micProblem(error) {
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none';
    case 'NotReadableError':
    case 'AbortError':
      return 'in-use';
    default:
      return 'failed';
  }
}
