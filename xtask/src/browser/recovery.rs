//! The checks on what fails on the way: a graphics card, whose work the CPU takes over, and a connection, which is taken up
//! where it was cut. Nobody has to reload anything.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::page::Page;
use super::visits::{DRAWING, DRAWING_GPU, SETTINGS};
use super::{LOADING, Setting};
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Put at the end of the worker: the software adapter passes for a card, and its devices are destroyed on demand.
const CARD: &str = "
Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => ({ vendor: 'test', architecture: 'card', device: '', description: '', isFallbackAdapter: false }) });
const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  new BroadcastChannel('card').onmessage = () => device.destroy();
  return device;
};
";

/// Lost while it draws, and lost while nothing is under way.
pub fn lost_device(setting: &Setting) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let worker = web.path().join("worker.js");
    fs::write(&worker, fs::read_to_string(&worker)? + CARD)?;
    let site = Arc::new(setting.site.with_page(web.path()));
    let serving = Serving::start(site, 0, "", true)?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let mut took = Vec::new();
    for drawing in [true, false] {
        let page = Page::open(&setting.browser, &serving.address())?;
        page.wait("ready", LOADING)?;
        ensure!(
            page.stats()?["backend"] == "gpu",
            "the page does not take the card: {}",
            page.text("backend")?
        );
        page.evaluate("globalThis.same = new BroadcastChannel('card')")?;
        let steps = if drawing { 50 } else { short.steps };
        page.fill(&Settings {
            steps,
            ..short.clone()
        })?;
        if !drawing {
            page.evaluate("same.postMessage('')")?;
            std::thread::sleep(Duration::from_millis(500)); // the worker hears of it
        }
        page.click("generate")?;
        if drawing {
            step(&page)?;
            page.evaluate("same.postMessage('')")?;
        }
        let lost = Instant::now();
        while page.stats()?["backend"] != "cpu" {
            ensure!(
                page.state()? != "error" && lost.elapsed() < DRAWING_GPU,
                "the page says: {} {:?}",
                page.text("status")?,
                page.problems()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        took.push(format!("{:.1} s", lost.elapsed().as_secs_f64()));
        page.wait("done", DRAWING_GPU)?;
        let words = page.text("backend")?;
        ensure!(
            words.contains("CPU") && words.contains("graphics card failed"),
            "the page says {words:?}"
        );
        let settings = Settings {
            steps,
            ..short.clone()
        };
        setting.as_native(&page.pixels()?, &settings, "the image")?;
        ensure!(
            page.evaluate("same instanceof BroadcastChannel")? == true,
            "the page was reloaded"
        );
        page.close()?;
    }
    Ok(format!("on the CPU after {}", took.join(" and ")))
}

/// Waits until a denoising step is done.
fn step(page: &Page) -> Result<()> {
    let started = Instant::now();
    while !page.text("count")?.contains("step") {
        ensure!(
            page.state()? == "busy" && started.elapsed() < DRAWING_GPU,
            "no step was shown; the page says: {}",
            page.text("status")?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Cut twice in the middle of the weights: no byte of them that has arrived is asked for again.
pub fn cut_download(setting: &Setting) -> Result<String> {
    // An address of its own, so that nothing is in a cache.
    let serving = Serving::start(setting.site.clone(), 0, "", true)?;
    let weights = weights(setting.site.bundle())?;
    ensure!(
        weights > 3_000_000,
        "{weights} bytes of weights are no test"
    );
    serving.cut(&[1_500_000, 1_000_000]);
    let page = Page::open(
        &setting.browser,
        &format!("{}?backend=cpu", serving.address()),
    )?;
    page.wait("ready", LOADING)?;
    let starts = serving.take_starts();
    ensure!(
        starts.len() == 3 && starts[0] == 0 && 0 < starts[1] && starts[1] < starts[2],
        "the weights were asked for from {starts:?}"
    );
    // What was cut off on its way is sent again; more than was sent cannot have arrived.
    ensure!(
        starts[1] <= 1_500_000 && starts[2] - starts[1] <= 1_000_000,
        "the weights were asked for from {starts:?}, which had not all been sent"
    );
    let stats = page.stats()?;
    let tokenizer = page.evaluate("(async () => (await (await fetch('./models/default/bundle.json')).json()).tokenizer.bytes)()")?;
    let all = weights + tokenizer.as_u64().unwrap_or_default();
    ensure!(
        stats["downloadedBytes"] == all,
        "the page counts {stats}, the model has {all} bytes"
    );
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING)?;
    setting.as_native(&image, &short, "the image")?;
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    page.close()?;
    Ok(format!("{all} bytes counted; asked for from {starts:?}"))
}

/// Bytes of the weights of a bundle which has one file of them.
fn weights(bundle: &Path) -> Result<u64> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(bundle)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            sizes.push(fs::metadata(&path)?.len());
        }
    }
    ensure!(
        sizes.len() == 1,
        "the model has {} shards, this check wants one",
        sizes.len()
    );
    Ok(sizes[0])
}
