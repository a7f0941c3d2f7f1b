// The socket itself, with the sound past it: text goes to the page, frames go straight to the audio
// worklet and back, by a port between the two. wire.js says where it runs.
//
// - Text is not answered here: that the page answers is what the gateway wants to know.
// - What the network does not take at once waits here; when too much does, the oldest is dropped.
// - One socket has the voice. A spare may be opened beside it, which takes its place by `swap`; from its
//   first frame on nothing is heard of the other's.
// - That steady audio has stopped is told, and that something comes again.
// - Timers of a worker are on time in hidden tabs, so the connection's timer runs here as well.

/** More than this unsent means that the network does not take our audio: then it waits here. */
const FRAME_BYTES = 640;
/** So many frames wait, 80 ms; they are tried again this often, for a socket does not tell. */
const UPLINK_HELD = 4;
const UPLINK_RETRY_MS = 10;
/** Audio that has come for a second without a hole of `HOLE_MS`, and then not for `QUIET_MS`, has stopped. */
const STEADY_FRAMES = 50;
const HOLE_MS = 200;
const QUIET_MS = 350;
const WATCH_MS = 50;

/**
 * @typedef {{do: 'open' | 'spare', url: string, protocols: string[]} | {do: 'text', text: string, spare?: boolean}
 *   | {do: 'drop'} | {do: 'dropSpare'} | {do: 'swap'}
 *   | {do: 'port', port: MessagePort | null} | {do: 'talk', on: boolean} | {do: 'timer', ms: number | null} | {do: 'count'}
 *   | {do: 'audio', bytes: ArrayBuffer}} WireOrder
 *   `port`: frames come from there and go there; without one they come by `audio`. `talk`: whether frames are sent.
 *   `spare`: another socket beside the one in use; an earlier one is dropped. `drop`: both.
 * @typedef {{bytesIn: number, bytesOut: number, framesIn: number, dropped: number, queued: number}} WireCounts
 * @typedef {{is: 'opened', spare: boolean} | {is: 'closed', code: number, reason: string, spare: boolean}
 *   | {is: 'text', text: string, spare: boolean} | {is: 'quiet', on: boolean}
 *   | {is: 'audio', bytes: ArrayBuffer} | {is: 'time'} | {is: 'counts', counts: WireCounts} | {is: 'running'}} WireNews
 *   `spare`: of the one beside.
 */

export class Socket {
  /** @type {(WebSocket | null)[]} the one in use, and the spare */
  #sockets = [null, null];
  /** @type {WebSocket | null} the spare that has begun to speak: the other is not heard any more */
  #voice = null;
  /** @type {MessagePort | null} */
  #port = null;
  #talk = false;
  /** @type {ArrayBuffer[]} oldest first */
  #held = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;
  #steady = 0;
  #heardAt = 0;
  #quiet = false;
  #counts = { bytesIn: 0, bytesOut: 0, framesIn: 0, dropped: 0 };
  #tell;
  #WebSocket;
  #now;

  /**
   * @param {(news: WireNews, transfer?: Transferable[]) => void} tell
   * @param {typeof WebSocket} [Class] for tests
   * @param {() => number} [now] ms, likewise
   */
  constructor(tell, Class = globalThis.WebSocket, now = () => performance.now()) {
    this.#tell = tell;
    this.#WebSocket = Class;
    this.#now = now;
  }

  /** @param {WireOrder} order */
  take(order) {
    switch (order.do) {
      case 'open':
        this.#drop();
        return this.#connect(order, 0);
      case 'spare':
        return this.#connect(order, 1);
      case 'text': {
        const socket = this.#sockets[order.spare ? 1 : 0];
        if (socket?.readyState === 1) socket.send(order.text);
        return;
      }
      case 'drop':
        return this.#drop();
      case 'dropSpare':
        return this.#leave(1);
      case 'swap':
        this.#leave(0);
        this.#sockets.reverse();
        this.#held = [];
        return this.#hear(false);
      case 'port':
        this.#port?.close();
        this.#port = order.port;
        if (order.port) order.port.onmessage = ({ data }) => data instanceof ArrayBuffer && this.#send(data);
        return;
      case 'talk':
        this.#talk = order.on;
        clearInterval(this.#watch);
        if (order.on) this.#watch = setInterval(() => this.#look(), WATCH_MS);
        return;
      case 'audio':
        return this.#send(order.bytes);
      case 'timer':
        clearTimeout(this.#timer);
        if (order.ms !== null) this.#timer = setTimeout(() => this.#tell({ is: 'time' }), order.ms);
        return;
      case 'count':
        return this.#tell({ is: 'counts', counts: { ...this.#counts, queued: this.#held.length * FRAME_BYTES + (this.#sockets[0]?.bufferedAmount ?? 0) } });
    }
  }

  /** @param {{url: string, protocols: string[]}} order @param {number} place */
  #connect({ url, protocols }, place) {
    this.#leave(place);
    /** @type {WebSocket} */
    let socket;
    /** Which of the two it is may change. */
    const spare = () => socket !== this.#sockets[0];
    try {
      socket = new this.#WebSocket(url, protocols);
    } catch (error) {
      // A wrong address, or one that the page's policy forbids.
      return this.#tell({ is: 'closed', code: 1006, reason: String(error), spare: place > 0 });
    }
    this.#sockets[place] = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.#tell({ is: 'opened', spare: spare() });
    socket.onclose = ({ code, reason }) => {
      const news = /** @type {const} */ ({ is: 'closed', code, reason, spare: spare() });
      this.#sockets[news.spare ? 1 : 0] = null;
      this.#tell(news);
    };
    socket.onmessage = ({ data }) => {
      const isText = typeof data === 'string';
      if (!spare()) this.#hear(!isText);
      if (isText) return this.#tell({ is: 'text', text: data, spare: spare() });
      if (spare()) this.#voice = socket;
      else if (this.#voice && this.#voice !== socket) return; // old, and said again over there
      this.#counts.bytesIn += data.byteLength;
      this.#counts.framesIn++;
      if (this.#port) this.#port.postMessage(data, [data]);
      else this.#tell({ is: 'audio', bytes: data }, [data]);
    };
  }

  /** Something came over the socket in use. @param {boolean} isAudio */
  #hear(isAudio) {
    const now = this.#now();
    if (isAudio) this.#steady = now - this.#heardAt < HOLE_MS ? this.#steady + 1 : 1;
    this.#heardAt = now;
    if (this.#quiet) this.#tell({ is: 'quiet', on: (this.#quiet = false) });
  }

  #look() {
    if (this.#steady < STEADY_FRAMES || this.#now() - this.#heardAt < QUIET_MS) return;
    this.#steady = 0;
    this.#tell({ is: 'quiet', on: (this.#quiet = true) });
  }

  /** @param {ArrayBuffer} frame */
  #send(frame) {
    if (!this.#talk || this.#sockets[0]?.readyState !== 1) return;
    this.#held.push(frame);
    this.#pass();
    if (this.#held.length <= UPLINK_HELD) return;
    this.#held.shift();
    this.#counts.dropped++;
  }

  /** What was handed to the browser cannot be taken back, so it gets little at a time. */
  #pass() {
    const [socket] = this.#sockets;
    clearTimeout(this.#retry);
    while (socket?.readyState === 1 && socket.bufferedAmount <= FRAME_BYTES) {
      const frame = this.#held.shift();
      if (!frame) return;
      this.#counts.bytesOut += frame.byteLength;
      socket.send(frame);
    }
    if (this.#held.length > 0) this.#retry = setTimeout(() => this.#pass(), UPLINK_RETRY_MS);
  }

  #drop() {
    this.#leave(1);
    this.#leave(0);
    this.#voice = null;
    this.#held = [];
    this.#steady = 0;
    this.#quiet = false;
  }

  /** Nothing more is heard of it. @param {number} place */
  #leave(place) {
    const socket = this.#sockets[place];
    if (!socket) return;
    this.#sockets[place] = null;
    if (this.#voice === socket) this.#voice = null;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    if (socket.readyState < 2) socket.close();
  }
}
