/** The threads of the cpu engine: its worker, and others on the same memory. */

/**
 * More threads than this have nothing to do: the smallest maps of a U-Net are shared among fewer.
 */
const MOST_THREADS = 8;
/**
 * Pages of 64 KiB that the memory may grow to. Each costs address space only, of which some devices
 * have too little for 4 GiB.
 */
const MOST_PAGES = [65536, 32768, 16384];
/** Pages that the memory has at first: no fewer than the module asks for. */
const FIRST_PAGES = 64;
/** How long the workers may take to start, in milliseconds. */
const LIMIT = 15000;

/**
 * How many threads the cpu engine may have here. Memory is shared on pages only that are isolated
 * from those of other sites.
 */
export function threadsHere() {
  // without it, promises take workers of their own
  const shares = globalThis.crossOriginIsolated && "waitAsync" in Atomics;
  return shares ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
}

/** @returns {WebAssembly.Memory} */
export function sharedMemory() {
  for (const maximum of MOST_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true });
    } catch (error) {
      console.info(`No memory that may grow to ${maximum / 16} MiB:`, error);
    }
  }
  throw new RangeError("no shared memory");
}

/**
 * @param {any} pkg the engine, started in this worker on `memory`
 * @param {{script: string, module: WebAssembly.Module, memory: WebAssembly.Memory}} means
 * @param {number} threads this one counted
 * @param {(port: MessagePort) => void} onThread takes the port on which a thread tells what ended
 *   it
 */
export async function startPool(pkg, means, threads, onThread) {
  /** @type {Worker[]} */
  const workers = [];
  const start = () => new Promise((ready, failed) => {
    const worker = new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
    workers.push(worker);
    const { port1, port2 } = new MessageChannel();
    worker.onmessage = ({ data }) => (data === "ready" ? (onThread(port2), ready(undefined)) : failed(new Error(data)));
    worker.onerror = (event) => (event.preventDefault(), failed(new Error(event.message || "thread.js did not start")));
    worker.postMessage({ ...means, alarm: port1 }, [port1]);
  });
  const late = new Promise((_, failed) => setTimeout(() => failed(new Error("the threads did not start in time")), LIMIT));
  try {
    await Promise.race([Promise.all(Array.from({ length: threads - 1 }, start)), late]);
    pkg.share(workers.length);
  } catch (error) {
    for (const worker of workers) worker.terminate();
    throw error;
  }
}
