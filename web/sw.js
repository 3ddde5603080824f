/**
 * Lets the page work without a network after the first visit.
 *
 * While there is a network, every file is asked for anew (the server answers "not modified" where
 * it can). Without one, the release answers that was kept last: a new one is kept beside it, and
 * takes its place when it is whole. Models are not here: cache.js keeps them.
 */

importScripts("./release.js");

/**
 * What the build wrote: a name for this release, and the files that it is made of.
 * @type {{name: string, files: string[]}}
 */
const { name, files: FILES } = self.RELEASE;
/**
 * How the names of what is kept begin, and end: another folder of this site may have a page and
 * releases of its own.
 */
const [RELEASES, SCOPE] = ["roentgen-web-page-", ` ${self.registration.scope}`];
/** Name of what is kept of this release. */
const RELEASE = RELEASES + name + SCOPE;

/**
 * Headers with which browsers isolate a page from those of other sites, so that its threads may
 * share memory: many hosts can send none, so they are added here. All that the page has is of its
 * own site or comes by CORS, so that `require-corp` takes nothing from it, and unlike
 * `credentialless` every browser knows it. In a frame of another site they change nothing.
 */
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** What has these headers: pages, and workers, which an isolated page starts with them only. */
const WITH_SCRIPTS = ["document", "iframe", "worker"];

/** The measuring page and its engines, which only a network has. */
const NOT_KEPT = /^(pkg\/)?measure\//;
const ENGINE = /^pkg\//;

/** Which models there are to choose from; a site may have no list. */
const MODELS = "models/index.json";

self.addEventListener("install", (event) => {
  const install = async () => {
    await Promise.all([keep(FILES), keepEngines(), keep([MODELS]).catch(() => {})]);
    await self.skipWaiting();
  };
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await before()) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

/** Names of what is kept of other releases. */
const before = async () => (await caches.keys()).filter((name) => name.startsWith(RELEASES) && name.endsWith(SCOPE) && name !== RELEASE);

/**
 * The engines that an earlier release kept, as this one has them: else a visit without a network
 * would find a page without one.
 */
async function keepEngines() {
  const engines = new Set();
  for (const name of await before()) {
    for (const { url } of await (await caches.open(name)).keys()) if (ENGINE.test(below(url))) engines.add(url);
  }
  for (const url of engines) {
    const { status } = await fetch(url, { method: "HEAD", cache: "no-cache" });
    if (status !== 404) await keep([url]); // this release may have an engine less
  }
}

/** @param {string} url in the scope of this worker */
const below = (url) => url.slice(self.registration.scope.length);

/** The page names files to keep, and hears when they are here. */
self.addEventListener("message", (event) => {
  const [port] = event.ports;
  event.waitUntil(keep(event.data.keep).then(() => port.postMessage("kept"), (error) => port.postMessage(String(error))));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "HEAD" && request.mode === "no-cors") return event.respondWith(reach(request));
  // Nothing of another site, and nothing that cache.js keeps itself (it asks with "no-store").
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope) || request.cache === "no-store") return;
  if (NOT_KEPT.test(below(request.url))) return;
  event.respondWith(WITH_SCRIPTS.includes(request.destination) ? answer(event).then(isolated) : answer(event));
});

/**
 * Whether another site answers at all (`refused` in request.js asks so): an isolated page may not
 * even see that it did.
 * @param {Request} request
 */
async function reach(request) {
  await fetch(request);
  return new Response(null, { status: 204 });
}

/** The same response with the headers that isolate. @param {Response} response */
function isolated(response) {
  const { body, status, statusText } = response;
  if (status === 0) return response; // a redirection, which the browser follows
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(body, { status, statusText, headers });
}

/** @param {FetchEvent} event */
async function answer(event) {
  const cache = await caches.open(RELEASE);
  const key = plain(event.request.url);
  try {
    const response = await fetch(event.request, { cache: "no-cache" });
    if (response.ok && below(key) === MODELS) {
      const copy = response.clone(); // of the site, not of the release
      // a full disk must not stop a page that has a network
      event.waitUntil(cache.put(key, copy).catch(() => {}));
    }
    return (response.status >= 500 && (await cache.match(key))) || response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return kept;
    throw error;
  }
}

/** @param {string[]} addresses relative to the page, or whole */
async function keep(addresses) {
  const cache = await caches.open(RELEASE);
  await Promise.all(addresses.map(async (address) => {
    const url = new URL(address, self.registration.scope).href;
    const response = await fetch(url, { cache: "no-cache" }).catch((error) => error);
    if (response instanceof Error) {
      // a visit without a network: it is here from before
      if (await cache.match(plain(url))) return;
      throw response;
    }
    if (!response.ok) throw new Error(`${url} was answered with ${response.status}`);
    await cache.put(plain(url), response);
  }));
}

/** One key for a page whatever its query: the same files serve all. @param {string} url */
function plain(url) {
  const address = new URL(url);
  return address.origin + address.pathname.replace(/\/index\.html$/, "/");
}
