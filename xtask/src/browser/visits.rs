//! The checks: what a visitor does, and what must come of it.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::fixture::{DRAWING, DRAWING_GPU, Fixture, GPU_DIFFERENCE, LOADING, SETTINGS, number};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;

pub(super) fn cpu_image(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("")?;
    let stats = page.stats()?;
    ensure!(
        stats["backend"] == "cpu",
        "with a software adapter only, the page chose {}",
        stats["backend"]
    );
    ensure!(
        number(&stats, "downloadedBytes")? > 0.0,
        "the first visit downloaded nothing"
    );
    let why = page.text("backend")?;
    ensure!(
        why.contains("CPU"),
        "the page does not say what it runs on: {why}"
    );
    let (image, took) = page.generate(&SETTINGS, DRAWING)?;
    let difference = fixture.as_native(&image, &SETTINGS, "the image")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255, {} steps in {:.1} s",
        SETTINGS.steps,
        took.as_secs_f64()
    ))
}

pub(super) fn second_visit(fixture: &Fixture) -> Result<String> {
    fixture.visit("?backend=cpu")?.close()?; // fills the cache when this check runs alone
    fixture.serving.take_paths();
    let page = fixture.visit("?backend=cpu")?;
    let stats = page.stats()?;
    let shards: Vec<String> = fixture
        .serving
        .take_paths()
        .into_iter()
        .filter(|path| path.ends_with(".safetensors"))
        .collect();
    ensure!(shards.is_empty(), "it asked for {shards:?}");
    ensure!(
        number(&stats, "downloadedBytes")? == 0.0 && number(&stats, "cachedBytes")? > 0.0,
        "the page counts {stats}"
    );
    page.resize(360, 740, 2.0)?;
    let width = page.evaluate("document.documentElement.scrollWidth")?;
    ensure!(
        width.as_u64().is_some_and(|width| width <= 360),
        "the page is {width} wide on a screen of 360"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "ready in {:.1} s",
        number(&stats, "timeToReadyMs")? / 1000.0
    ))
}

pub(super) fn damaged_cache(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let damaged = page.evaluate(
        "(async () => { let files = 0; for (const name of await caches.keys()) { const cache = await caches.open(name); \
         for (const key of await cache.keys()) { await cache.put(key, new Response('damaged')); files++; } } return files; })()",
    )?;
    page.close()?;
    ensure!(damaged.as_u64() > Some(0), "the page keeps no files");
    let page = fixture.visit("?backend=cpu")?;
    let stats = page.stats()?;
    ensure!(
        number(&stats, "cachedBytes")? == 0.0 && number(&stats, "downloadedBytes")? > 0.0,
        "the page counts {stats}"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{damaged} files fetched anew"))
}

pub(super) fn damaged_model(fixture: &Fixture) -> Result<String> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(fixture.site.bundle())? {
        let path = entry?.path();
        if path.is_file() {
            fs::copy(
                &path,
                folder.path().join(path.file_name().unwrap_or_default()),
            )?;
        }
    }
    let shard = fs::read_dir(folder.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "safetensors"));
    let shard = shard.context("the model has no shard")?;
    let mut bytes = fs::read(&shard)?;
    let last = bytes.len().checked_sub(1).context("the shard is empty")?;
    bytes[last] ^= 1;
    fs::write(&shard, bytes)?;
    let serving = Serving::start(
        Arc::new(fixture.site.with_bundle(folder.path())),
        0,
        "",
        true,
    )?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}?backend=cpu", serving.address()),
    )?;
    let Err(error) = page.wait("ready", LOADING) else {
        bail!("the page takes it")
    };
    let words = format!("{error:#}");
    let name = shard
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    ensure!(
        words.contains("SHA-256") && words.contains(&name),
        "{words}"
    );
    page.close()?;
    Ok(format!("it names {name}"))
}

pub(super) fn gpu_image(fixture: &Fixture) -> Result<String> {
    gpu(fixture, "?backend=gpu", |_| Ok(()))
}

pub(super) fn gpu_clamped(fixture: &Fixture) -> Result<String> {
    // https://www.w3.org/TR/webgpu/#limits
    let default = json!({"features": ["core-features-and-limits"], "limits": {
        "maxBufferSize": 256 << 20,
        "maxStorageBufferBindingSize": 128 << 20,
        "maxComputeInvocationsPerWorkgroup": 256,
    }});
    gpu(fixture, "?backend=gpu&clamp=default", |device| {
        ensure!(*device == default, "the device is {device}");
        Ok(())
    })
}

/// An image of the gpu engine, on a device that `check` has looked at.
fn gpu(fixture: &Fixture, query: &str, check: impl Fn(&Value) -> Result<()>) -> Result<String> {
    let page = fixture.visit(query)?;
    let stats = page.stats()?;
    check(&stats["device"])?;
    ensure!(
        stats["backend"] == "gpu",
        "the page chose {}",
        stats["backend"]
    );
    let few = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, took) = page.generate(&few, DRAWING_GPU)?;
    let difference = fixture.near_native(
        &image,
        fixture.site.bundle(),
        &few,
        "the image",
        GPU_DIFFERENCE,
    )?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255 on {}, {} steps in {:.1} s",
        stats["adapter"],
        few.steps,
        took.as_secs_f64()
    ))
}

/// Shows that `all_quiet` can fail: a request to another host, and an error in the console.
pub(super) fn control(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    fixture.all_quiet(&page)?;
    page.evaluate("fetch('http://host.invalid/').catch(() => {}), console.error('control')")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut reports, mut problems, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    while reports.is_empty() || problems.is_empty() || refused.is_empty() {
        ensure!(
            Instant::now() < deadline,
            "reported: {reports:?}; console: {problems:?}; refused: {refused:?}"
        );
        reports.extend(fixture.serving.take_elsewhere());
        problems.extend(page.problems());
        refused.extend(page.refused()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(reports.concat().contains("host.invalid"), "{reports:?}");
    page.close()?;
    Ok("it is reported".to_owned())
}
