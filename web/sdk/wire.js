// The socket itself, with the sound past it: text goes to the page, frames go straight to the audio
// worklet and back, by a port between the two. In a worker of its own a page that is busy holds no
// frame up; where no worker is to be had, the same code runs in the page.
//
// - Text is not answered here: that the page answers is what the gateway wants to know.
// - What the network does not take at once is dropped, oldest delay first: the newest frames wait for nothing.
// - One socket at a time; what an earlier one still says is not heard.
// - Timers of a worker are on time in hidden tabs, so the connection's timer runs here as well.

/** More than this unsent means that the network does not take our audio: what is new is dropped. */
const UPLINK_MAX_BYTES = 4 * 640;
/** How long a worker may take to say that it runs. */
const WORKER_START_MS = 3000;

/**
 * @typedef {{do: 'open', url: string, protocols: string[]} | {do: 'text', text: string} | {do: 'drop'}
 *   | {do: 'port', port: MessagePort | null} | {do: 'talk', on: boolean} | {do: 'timer', ms: number | null} | {do: 'count'}
 *   | {do: 'audio', bytes: ArrayBuffer}} WireOrder
 *   `port`: frames come from there and go there; without one they come by `audio`. `talk`: whether frames are sent.
 * @typedef {{bytesIn: number, bytesOut: number, framesIn: number, dropped: number, queued: number}} WireCounts
 * @typedef {{is: 'opened'} | {is: 'closed', code: number, reason: string} | {is: 'text', text: string}
 *   | {is: 'audio', bytes: ArrayBuffer} | {is: 'time'} | {is: 'counts', counts: WireCounts} | {is: 'running'}} WireNews
 */

export class Socket {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {MessagePort | null} */
  #port = null;
  #talk = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #counts = { bytesIn: 0, bytesOut: 0, framesIn: 0, dropped: 0 };
  #tell;
  #WebSocket;

  /**
   * @param {(news: WireNews, transfer?: Transferable[]) => void} tell
   * @param {typeof WebSocket} [Class] for tests
   */
  constructor(tell, Class = globalThis.WebSocket) {
    this.#tell = tell;
    this.#WebSocket = Class;
  }

  /** @param {WireOrder} order */
  take(order) {
    switch (order.do) {
      case 'open':
        return this.#open(order.url, order.protocols);
      case 'text':
        if (this.#socket?.readyState === 1) this.#socket.send(order.text);
        return;
      case 'drop':
        return this.#drop();
      case 'port':
        this.#port?.close();
        this.#port = order.port;
        if (order.port) order.port.onmessage = ({ data }) => data instanceof ArrayBuffer && this.#send(data);
        return;
      case 'talk':
        this.#talk = order.on;
        return;
      case 'audio':
        return this.#send(order.bytes);
      case 'timer':
        clearTimeout(this.#timer);
        if (order.ms !== null) this.#timer = setTimeout(() => this.#tell({ is: 'time' }), order.ms);
        return;
      case 'count':
        return this.#tell({ is: 'counts', counts: { ...this.#counts, queued: this.#socket?.bufferedAmount ?? 0 } });
    }
  }

  /** @param {string} url @param {string[]} protocols */
  #open(url, protocols) {
    this.#drop();
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new this.#WebSocket(url, protocols);
    } catch (error) {
      // A wrong address, or one that the page's policy forbids.
      return this.#tell({ is: 'closed', code: 1006, reason: String(error) });
    }
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onopen = () => this.#tell({ is: 'opened' });
    socket.onclose = ({ code, reason }) => {
      this.#socket = null;
      this.#tell({ is: 'closed', code, reason });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return this.#tell({ is: 'text', text: data });
      this.#counts.bytesIn += data.byteLength;
      this.#counts.framesIn++;
      if (this.#port) this.#port.postMessage(data, [data]);
      else this.#tell({ is: 'audio', bytes: data }, [data]);
    };
  }

  /** @param {ArrayBuffer} frame */
  #send(frame) {
    const socket = this.#socket;
    if (!this.#talk || socket?.readyState !== 1) return;
    if (socket.bufferedAmount > UPLINK_MAX_BYTES) {
      this.#counts.dropped++;
      return;
    }
    this.#counts.bytesOut += frame.byteLength;
    socket.send(frame);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    if (socket.readyState < 2) socket.close();
  }
}

/**
 * The page's end of it.
 * @typedef {{send: (order: WireOrder, transfer?: Transferable[]) => void, close: () => void, inWorker: boolean}} Wire
 */

/**
 * @param {(news: WireNews) => void} hear
 * @param {typeof WebSocket} [Class]
 * @returns {Wire} in the page itself
 */
export function localWire(hear, Class) {
  const socket = new Socket(hear, Class);
  return {
    inWorker: false,
    send: (order) => socket.take(order),
    close: () => {
      for (const order of /** @type {WireOrder[]} */ ([{ do: 'drop' }, { do: 'port', port: null }, { do: 'timer', ms: null }])) socket.take(order);
    },
  };
}

/**
 * In a worker, or where that may not be, in the page.
 * @param {(news: WireNews) => void} hear
 * @returns {Promise<Wire>}
 */
export async function openWire(hear) {
  for (const start of [ownWorker, blobWorker]) {
    try {
      const worker = await running(start());
      worker.onmessage = ({ data }) => hear(data);
      return {
        inWorker: true,
        send: (order, transfer = []) => worker.postMessage(order, transfer),
        close: () => {
          worker.postMessage({ do: 'drop' });
          worker.terminate();
        },
      };
    } catch {
      // Another origin, or a policy against it: the next way.
    }
  }
  return localWire(hear);
}

const ownWorker = () => new Worker(new URL('./wire-worker.js', import.meta.url), { type: 'module', name: 'goastgateway' });

/** A worker's file must be of the page's own origin; what it imports need not. */
function blobWorker() {
  const text = `import ${JSON.stringify(new URL('./wire-worker.js', import.meta.url).href)};`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  setTimeout(() => URL.revokeObjectURL(url), WORKER_START_MS);
  return new Worker(url, { type: 'module', name: 'goastgateway' });
}

/** @param {Worker} worker @returns {Promise<Worker>} once it says so */
function running(worker) {
  return new Promise((done, fail) => {
    const stop = () => {
      worker.terminate();
      fail(new Error('no worker'));
    };
    const timer = setTimeout(stop, WORKER_START_MS);
    worker.onmessage = ({ data }) => {
      if (data.is !== 'running') return;
      clearTimeout(timer);
      done(worker);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      clearTimeout(timer);
      stop();
    };
  });
}
