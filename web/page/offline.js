/**
 * Asks the service worker (sw.js) to keep the page and the engine in use for visits without a
 * network; cache.js keeps models.
 */

import { noteIfNone } from "./report.js";

/** @import * as protocol from "../engine/protocol.js" */

/** @param {protocol.Loaded} loaded @param {boolean} kept whether the model is */
export async function keepForOffline({ backend, threads }, kept) {
  const root = document.documentElement;
  // plain http, or a private window
  if (!("serviceWorker" in navigator)) return (root.dataset.offline = "refused");
  const first = navigator.serviceWorker.controller === null;
  try {
    const registration = await navigator.serviceWorker.register(new URL("../sw.js", import.meta.url), { updateViaCache: "none" });
    // without a network; with one, no older worker is given the files of a newer release
    await registration.update().catch(() => {});
    const worker = await activated(registration);
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    const folder = `./pkg/${threads > 1 ? "cpu-threads" : backend}`;
    const engine = [`${folder}/roentgen_web.js`, `${folder}/roentgen_web_bg.wasm`];
    worker.postMessage({ keep: engine }, [port2]);
    const words = await answer;
    if (words !== "kept") throw new Error(words);
    root.dataset.offline = "ready";
    if (first && kept) noteIfNone(["state.offline"]);
  } catch (error) {
    // Everything else works: only the next visit needs a network.
    console.warn("This page is not kept for visits without a network:", error);
    root.dataset.offline = "refused";
  }
}

/**
 * @param {ServiceWorkerRegistration} registration
 * @returns {Promise<ServiceWorker>} the newest one, when it works
 */
function activated(registration) {
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker?.state === "activated") resolve(worker);
      else if (!worker || worker.state === "redundant") reject(new Error("the service worker could not be installed"));
    };
    worker?.addEventListener("statechange", look);
    look();
  });
}
