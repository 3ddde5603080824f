/**
 * Lets the page work without a network after the first visit.
 *
 * While there is a network, every file is asked for anew and kept (the server answers "not modified" where it can), so a new
 * release replaces the old one by itself, file by file, at the next visit. Without one, what was kept last answers. Models are
 * not here: cache.js keeps them.
 */

/** Name of what is kept; a change here throws away all that older releases kept. */
const VERSION = "roentgen-web-page-1";

/** The page; the engine is named by the page when it knows which one it uses. */
const PAGE = [
  "./",
  "./about.js",
  "./agree.js",
  "./attention.js",
  "./backend.js",
  "./bundle.js",
  "./cache.js",
  "./card.js",
  "./choose.js",
  "./client.js",
  "./compare.js",
  "./doubt.js",
  "./download.js",
  "./dragged.js",
  "./embed.html",
  "./embed.js",
  "./engine.js",
  "./errors.js",
  "./file.js",
  "./fit.js",
  "./form.js",
  "./gestures.js",
  "./gif.js",
  "./given.js",
  "./grid.js",
  "./guide.js",
  "./handing.js",
  "./heat.js",
  "./icon-192.png",
  "./icon-512.png",
  "./icon.svg",
  "./keep.js",
  "./landing.js",
  "./landing.webp",
  "./language.js",
  "./lessons/effusion.json",
  "./lessons/heart.json",
  "./lightbox.js",
  "./limits.js",
  "./loading.js",
  "./local.js",
  "./main.js",
  "./manifest.js",
  "./manifest.webmanifest",
  "./models.js",
  "./offline.js",
  "./page-strings.js",
  "./page.js",
  "./picture.js",
  "./pictures.js",
  "./pool.js",
  "./reading.js",
  "./report.js",
  "./request.js",
  "./roentgen-image.js",
  "./roentgen-web.js",
  "./save.js",
  "./scale.js",
  "./seen.js",
  "./sentence.js",
  "./session.js",
  "./settings.js",
  "./share.js",
  "./shipped.js",
  "./slide.js",
  "./source.js",
  "./spare.js",
  "./start.js",
  "./steps.js",
  "./strings.js",
  "./style/attention.css",
  "./style/base.css",
  "./style/buttons.css",
  "./style/embed.css",
  "./style/film.css",
  "./style/form.css",
  "./style/guide.css",
  "./style/layout.css",
  "./style/models.css",
  "./style/pictures.css",
  "./style/reading.css",
  "./style/report.css",
  "./style/source.css",
  "./style/teach.css",
  "./style/viewer.css",
  "./style/visit.css",
  "./teach/axes.js",
  "./teach/clickable.js",
  "./teach/draw.js",
  "./teach/figure.js",
  "./teach/index.js",
  "./teach/lesson.js",
  "./teach/lessons.js",
  "./teach/link.js",
  "./teach/pair.js",
  "./teach/quiz.js",
  "./teach/reader.js",
  "./teach/runner.js",
  "./teach/sheet.js",
  "./teach/strings.js",
  "./teach/strip.js",
  "./teach/variants.js",
  "./teach/where.js",
  "./thread.js",
  "./tone.js",
  "./viewer.js",
  "./visit.js",
  "./words.js",
  "./work.js",
  "./worker.js",
];

/**
 * Headers with which browsers isolate a page from those of other sites, so that its threads may share memory: many hosts can send
 * none, so they are added here. All that the page has is of its own site or comes by CORS, so that `require-corp` takes nothing
 * from it, and unlike `credentialless` every browser knows it. In a frame of another site they change nothing.
 */
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** What has these headers: pages, and workers, which an isolated page starts with them only. */
const WITH_SCRIPTS = ["document", "iframe", "worker"];

/** The measuring page and its engines, which only a network has. */
const NOT_KEPT = /^(pkg\/)?measure\//;

/** Which models there are to choose from; a site may have no list. */
const MODELS = "./models/index.json";

self.addEventListener("install", (event) => {
  const install = async () => {
    await Promise.all([keep(PAGE), keep([MODELS]).catch(() => {})]);
    await self.skipWaiting();
  };
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("roentgen-web-page-") && name !== VERSION) await caches.delete(name);
    }
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

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
  if (NOT_KEPT.test(request.url.slice(self.registration.scope.length))) return;
  event.respondWith(WITH_SCRIPTS.includes(request.destination) ? answer(event).then(isolated) : answer(event));
});

/** Whether another site answers at all (`refused` in request.js asks so): an isolated page may not even see that it did. @param {Request} request */
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
  const cache = await caches.open(VERSION);
  const key = plain(event.request.url);
  try {
    const response = await fetch(event.request, { cache: "no-cache" });
    if (response.ok) {
      const copy = response.clone();
      const put = async () => same(await cache.match(key), copy) || (await cache.put(key, copy));
      event.waitUntil(put().catch(() => {})); // a full disk must not stop a page that has a network
      return response;
    }
    return (response.status >= 500 && (await cache.match(key))) || response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return kept;
    throw error;
  }
}

/** Whether the server says that both are the same file: an engine of many megabytes is not written anew at each visit. @param {Response | undefined} kept @param {Response} response */
function same(kept, response) {
  const mark = (/** @type {Response} */ { headers }) => headers.get("etag") ?? headers.get("last-modified");
  return kept !== undefined && mark(kept) !== null && mark(kept) === mark(response);
}

/** @param {string[]} addresses relative to the page, or whole */
async function keep(addresses) {
  const cache = await caches.open(VERSION);
  await Promise.all(addresses.map(async (address) => {
    const url = new URL(address, self.registration.scope).href;
    const response = await fetch(url, { cache: "no-cache" }).catch((error) => error);
    if (response instanceof Error) {
      if (await cache.match(plain(url))) return; // a visit without a network: it is here from before
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
