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
    /** @type {Worker | undefined} */
    let worker;
    try {
      const own = (worker = start());
      await runs(own);
      own.onmessage = ({ data }) => hear(data);
      return {
        inWorker: true,
        send: (order, transfer = []) => own.postMessage(order, transfer),
        close: () => {
          own.postMessage({ do: 'drop' });
          own.terminate();
        },
      };
    } catch {
      // Another origin, or a policy against it: the next way.
      worker?.terminate();
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

/** @param {Worker} worker @returns {Promise<void>} once it says so */
function runs(worker) {
  return new Promise((done, fail) => {
    setTimeout(fail, WORKER_START_MS);
    worker.onmessage = ({ data }) => data.is === 'running' && done();
    worker.onerror = (event) => {
      event.preventDefault();
      fail();
    };
  });
}
