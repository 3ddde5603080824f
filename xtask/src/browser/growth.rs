//! The check that a long visit needs no more memory than a short one, but for what its history
//! keeps.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::fixture::{DRAWING, Fixture, SETTINGS, number};
use super::page::Page;
use super::socket::Socket;
use crate::native::Settings;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::root;

/// What may be added between the 10th and the 50th image, in bytes, by the worker; and by the page,
/// beside the pixels that its history keeps.
const MORE_IN_WORKER: f64 = 0.5e6;
const MORE_IN_PAGE: f64 = 3e6;

/// What `visit.js` keeps at most, in bytes of pixels.
const HISTORY: f64 = 64e6;

/// Fifty images in batches of five; and then pictures so large that the history must let go of
/// them.
pub fn growth(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.fill(&Settings {
        steps: 2,
        ..SETTINGS
    })?;
    page.type_into("batch", "5")?;
    let mut heaps = Heaps::of(fixture, "?backend=cpu")?;
    let mut measured = Vec::new();
    for drawn in (5..=50).step_by(5) {
        page.click("generate")?;
        page.wait("done", DRAWING)?;
        if drawn == 10 || drawn == 50 {
            let wasm = number(&page.stats()?, "wasmMemoryBytes")?;
            measured.push((wasm, heaps.worker()?, heaps.page()?));
        }
    }
    let thumbs = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    ensure!(
        thumbs == 50,
        "the history has {thumbs} images, 50 were drawn"
    );
    let [few, many] = [measured[0], measured[1]];
    ensure!(
        few.0 == many.0,
        "wasm memory grew from {} to {} bytes",
        few.0,
        many.0
    );
    let [worker, grown] = [many.1 - few.1, many.2 - few.2];
    ensure!(
        worker < MORE_IN_WORKER,
        "the worker's heap grew by {worker} bytes"
    );
    // An image and the frames of its film, for each of forty entries.
    let pictures = page.evaluate("Number(document.getElementById('steps-range').max) + 1")?;
    let history = 40.0 * pictures.as_f64().context("no film")? * page.pixels()?.len() as f64;
    ensure!(
        grown < history + MORE_IN_PAGE,
        "the page's heap grew by {grown} bytes, its history by {history}"
    );

    // Twenty pictures of 16 MB.
    page.evaluate(
        "(async () => { const {remember} = await import('./page/visit.js'); const side = 2000; \
         for (let i = 0; i < 20; i++) { const image = {width: side, height: side, rgba: new Uint8ClampedArray(4 * side * side)}; \
         remember({settings: {prompt: '', seed: i}, image, frames: [], total: 1}, () => {}); } })()",
    )?;
    let kept = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    let full = heaps.page()? - few.2;
    ensure!(
        kept == 4 && full < HISTORY + MORE_IN_PAGE,
        "of pictures of 16 MB {kept} are kept, and the page's heap grew by {full} bytes"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    let megabytes = |bytes: f64| bytes / 1e6;
    Ok(format!(
        "from the 10th to the 50th wasm stays at {:.1} MB, the worker gains {:.2} MB, the page {:.1} MB with {:.1} MB of history",
        megabytes(many.0),
        megabytes(worker),
        megabytes(grown),
        megabytes(history)
    ))
}

/// Names the pipelines that a page has compiled.
const NAMING: &str = "(() => { globalThis.pipelines = []; const { prototype } = GPUDevice; const { createComputePipeline } = prototype; \
    prototype.createComputePipeline = function (descriptor) { pipelines.push(descriptor.label); return createComputePipeline.call(this, descriptor); }; })()";

/// Fifty images of the gpu engine, in a page of its own: from the third on, neither wasm's memory
/// nor the GPU's grows; and what they take was compiled before the weights came.
pub fn gpu(fixture: &Fixture) -> Result<String> {
    let site = Site::of_engines(&[Engine::Gpu])?
        .and("peers", &root().join("tests/peers"))
        .and("measured", &root().join("models/default"));
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}peers/ours.js", serving.address()),
    )?;
    page.evaluate(NAMING)?;
    let compiled = page.evaluate(
        "(async () => { const { open } = await import('/peers/ours.js'); \
         globalThis.ours = await open('gpu', '/measured/', 'default', undefined, ['text_encoder', 'unet', 'decoder']); return pipelines.length; })()",
    )?;
    let mut few = [0.0; 3];
    let mut now = few;
    for image in 1..=50 {
        let found = page.evaluate(&format!(
            "(async () => {{ await ours.draw(1, {image}); return {{ wasm: ours.memory(), ...ours.usage() }}; }})()"
        ))?;
        now = [
            number(&found, "wasm")?,
            number(&found, "inUse")?,
            number(&found, "reserved")?,
        ];
        if image == 3 {
            few = now;
        }
        ensure!(
            image < 3 || now.iter().zip(few).all(|(now, few)| *now <= few),
            "after image {image}, wasm has {} bytes, tensors {}, the allocator {}; after the third they were {few:?}",
            now[0],
            now[1],
            now[2]
        );
    }
    let late = page.evaluate(&format!("pipelines.slice({compiled})"))?;
    ensure!(
        late.as_array().is_some_and(Vec::is_empty) && compiled.as_u64() > Some(0),
        "{compiled} pipelines were compiled, and not {late}"
    );
    page.close()?;
    let [wasm, tensors, reserved] = now.map(|bytes| bytes / 1e6);
    Ok(format!(
        "{compiled} pipelines; after the 3rd and the 50th wasm has {wasm:.1} MB, tensors {tensors:.1}, the GPU's allocator {reserved:.1}"
    ))
}

/// The JavaScript heaps of a page and its worker.
struct Heaps {
    socket: Socket,
    page: String,
    worker: String,
}

impl Heaps {
    /// Of the page whose address ends like this.
    fn of(fixture: &Fixture, end: &str) -> Result<Heaps> {
        let mut socket = Socket::open(&fixture.browser.get_ws_url())?;
        let found = socket.call("Target.getTargets", json!({}))?;
        let is_it = |target: &&Value| {
            target["type"] == "page" && target["url"].as_str().is_some_and(|url| url.ends_with(end))
        };
        let target = found["targetInfos"].as_array().into_iter().flatten();
        let target = target
            .clone()
            .find(is_it)
            .context("the page is no target")?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let page = session(&socket.call("Target.attachToTarget", attach)?)?;
        let workers = json!({"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true});
        socket.call_in(&page, "Target.setAutoAttach", workers)?;
        let mut told = socket.events.iter().map(|event| &event["params"]);
        let worker = told.find(|told| told["targetInfo"]["type"] == "worker");
        let worker = session(worker.context("the page has no worker")?)?;
        Ok(Heaps {
            socket,
            page,
            worker,
        })
    }

    fn page(&mut self) -> Result<f64> {
        in_use(&mut self.socket, &self.page)
    }

    fn worker(&mut self) -> Result<f64> {
        in_use(&mut self.socket, &self.worker)
    }
}

fn session(attached: &Value) -> Result<String> {
    let session = attached["sessionId"].as_str().context("no session")?;
    Ok(session.to_owned())
}

/// Bytes in use after a collection: JavaScript's, the browser's for it, and buffers such as pixels.
fn in_use(socket: &mut Socket, session: &str) -> Result<f64> {
    socket.call_in(session, "HeapProfiler.collectGarbage", json!({}))?;
    let usage = socket.call_in(session, "Runtime.getHeapUsage", json!({}))?;
    ["usedSize", "embedderHeapUsedSize", "backingStorageSize"]
        .into_iter()
        .map(|part| number(&usage, part))
        .sum()
}
