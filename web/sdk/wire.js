// Where the socket (wire-socket.js) runs: in a worker of its own, so that a page that is busy holds no frame up;
// where no worker is to be had, in the page, which loads its code only then.

/** How long a worker may take to say that it runs: a machine that is busy at the start must not cost the page its worker. */
const WORKER_START_MS = 8000;

/**
 * @typedef {import('./wire-socket.js').WireOrder} WireOrder
 * @typedef {import('./wire-socket.js').WireNews} WireNews
 * @typedef {import('./wire-socket.js').WireCounts} WireCounts
 */

/**
 * The page's end of it.
 * @typedef {{send: (order: WireOrder, transfer?: Transferable[]) => void, close: () => void, inWorker: boolean}} Wire
 */

/**
 * @param {(news: WireNews) => void} hear
 * @param {typeof WebSocket} [Class]
 * @returns {Promise<Wire>} in the page itself
 */
export async function localWire(hear, Class) {
  const { Socket } = await import('./wire-socket.js');
  const socket = new Socket(hear, Class);
  return {
    inWorker: false,
    send: (order) => socket.take(order),
    close: () => {
      for (const order of /** @type {WireOrder[]} */ ([{ do: 'drop' }, { do: 'talk', on: false }, { do: 'port', port: null }, { do: 'timer', ms: null }])) socket.take(order);
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
