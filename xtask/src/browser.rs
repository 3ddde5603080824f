//! What the page must do in a real browser, checked against the native program.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headless_chrome::Browser;
use image::RgbaImage;
use serde_json::Value;

use crate::chrome;
use crate::native::{self, Settings};
use crate::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;

/// Limits of the waiting: a model from the cache, an image on the CPU, one on the software GPU adapter.
const LOADING: Duration = Duration::from_secs(180);
const DRAWING: Duration = Duration::from_secs(300);
const DRAWING_GPU: Duration = Duration::from_secs(900);

/// Largest mean difference to the native image, of 255. The arithmetic is the same up to the order of sums.
const CPU_DIFFERENCE: f64 = 2.0;
const GPU_DIFFERENCE: f64 = 4.0;

/// A path like a project page's: nothing may be asked from the server's root.
const SUB_PATH: &str = "/a/project page";

/// Few steps: enough to use every part of the page.
const SETTINGS: Settings = Settings {
    prompt: Cow::Borrowed("PA chest radiograph of a 60-year-old man. Large left pleural effusion."),
    negative_prompt: Cow::Borrowed("pneumothorax"),
    seed: 1895,
    steps: 6,
    guidance: 3.5,
    scheduler: "dpm++2m",
};

/// What the checks share.
struct Setting {
    site: Arc<Site>,
    serving: Serving,
    browser: Browser,
    /// The native program, built when the first image is compared.
    roentgen: OnceCell<PathBuf>,
}

/// A check: its name, and what it found when all is well.
type Check = (&'static str, fn(&Setting) -> Result<String>);

/// In this order: the first visit fills the browser's cache, the later ones use it.
const CHECKS: [Check; 7] = [
    ("the image of the cpu engine is the native one", cpu_image),
    ("cancel ends the work and keeps the image", cancel),
    ("a second visit downloads no model", second_visit),
    ("a damaged copy in the cache is noticed", damaged_cache),
    ("a damaged model is refused in words", damaged_model),
    ("the image of the gpu engine is the native one", gpu_image),
    ("a request to another host would be seen", control),
];

/// Builds what is needed and runs the checks whose name contains `filter`.
pub fn run(bundle: Option<&Path>, filter: &str) -> Result<()> {
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|(name, _)| name.contains(filter))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no browser check has {filter:?} in its name"
    );
    let engines = Engine::ALL.into_iter().filter(|engine| {
        *engine == Engine::Cpu || chosen.iter().any(|(name, _)| name.contains(engine.name()))
    });
    let site = Arc::new(Site::build(&engines.collect::<Vec<_>>(), bundle)?);
    let context = Setting {
        serving: Serving::start(site.clone(), 0, SUB_PATH, true)?,
        site,
        browser: chrome::launch(1280, 900)?,
        roentgen: OnceCell::new(),
    };
    let mut failed = 0;
    for (name, check) in &chosen {
        let started = Instant::now();
        match check(&context) {
            Ok(found) => println!(
                "  {name} ... ok ({found}; {:.1} s)",
                started.elapsed().as_secs_f64()
            ),
            Err(error) => {
                failed += 1;
                println!("  {name} ... FAILED\n    {error:#}");
            }
        }
    }
    println!(
        "  {} browser checks passed, {failed} failed",
        chosen.len() - failed
    );
    ensure!(failed == 0, "the page does not do what it must");
    Ok(())
}

impl Setting {
    /// The page, loaded and ready.
    fn visit(&self, query: &str) -> Result<Page> {
        let page = Page::open(&self.browser, &format!("{}{query}", self.serving.address()))?;
        page.wait("ready", LOADING)?;
        Ok(page)
    }

    /// The image for these settings from the native program, and how far `image` is from it.
    fn difference(&self, image: &RgbaImage, settings: &Settings) -> Result<f64> {
        if self.roentgen.get().is_none() {
            let _ = self.roentgen.set(native::build()?);
        }
        let roentgen = self
            .roentgen
            .get()
            .context("the native program is not there")?;
        let expected = native::generate(roentgen, self.site.bundle(), settings)?;
        ensure!(
            image.dimensions() == expected.dimensions(),
            "the page drew {:?} pixels, the native program {:?}",
            image.dimensions(),
            expected.dimensions()
        );
        let (low, high) = expected.pixels().fold((255, 0), |(low, high), pixel| {
            (pixel[0].min(low), pixel[0].max(high))
        });
        ensure!(
            high > low,
            "the native image is flat, so that comparing with it says nothing"
        );
        let total: u64 = image
            .as_raw()
            .iter()
            .zip(expected.as_raw())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let colours = image.as_raw().len() / 4 * 3; // alpha is opaque in both and adds nothing to the sum
        Ok(total as f64 / colours as f64)
    }

    /// Nothing went wrong on a page, and nothing was asked of another host by it.
    fn all_quiet(&self, page: &Page) -> Result<()> {
        let problems = page.problems();
        ensure!(problems.is_empty(), "the console shows {problems:?}");
        let elsewhere = self.serving.take_elsewhere();
        ensure!(
            elsewhere.is_empty(),
            "the page asked another host: {elsewhere:?}"
        );
        let outside: Vec<String> = self
            .serving
            .take_paths()
            .into_iter()
            .filter(|path| !path.starts_with(SUB_PATH) && path != "/favicon.ico")
            .collect();
        ensure!(
            outside.is_empty(),
            "the page asked for {outside:?}, which is not below its own path"
        );
        Ok(())
    }
}

fn cpu_image(context: &Setting) -> Result<String> {
    let page = context.visit("")?;
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
    let difference = context.difference(&image, &SETTINGS)?;
    ensure!(
        difference <= CPU_DIFFERENCE,
        "mean difference {difference:.3} of 255, allowed are {CPU_DIFFERENCE}"
    );
    context.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255, {} steps in {:.1} s",
        SETTINGS.steps,
        took.as_secs_f64()
    ))
}

fn cancel(context: &Setting) -> Result<String> {
    let page = context.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (before, _) = page.generate(&short, DRAWING)?;
    page.fill(&Settings {
        seed: 7,
        steps: 100,
        ..SETTINGS
    })?;
    page.click("generate")?;
    let deadline = Instant::now() + DRAWING;
    while !page.text("count")?.contains("step") {
        ensure!(
            Instant::now() < deadline && page.state()? == "busy",
            "no step was shown; the page says: {}",
            page.text("status")?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    page.click("cancel")?;
    let took = page.wait("done", Duration::from_secs(30))?;
    ensure!(
        page.text("status")?.contains("ancel"),
        "the page says: {}",
        page.text("status")?
    );
    ensure!(page.pixels()? == before, "the image of before is gone");
    page.type_into("seed", "8")?; // the same settings twice in a row would get a new seed
    page.generate(
        &Settings {
            seed: 8,
            ..short.clone()
        },
        DRAWING,
    )?;
    let (again, _) = page.generate(&short, DRAWING)?;
    ensure!(
        again == before,
        "the same settings gave another image after a cancelled one"
    );
    context.all_quiet(&page)?;
    page.close()?;
    Ok(format!("in {:.2} s", took.as_secs_f64()))
}

fn second_visit(context: &Setting) -> Result<String> {
    context.visit("?backend=cpu")?.close()?; // fills the cache when this check runs alone
    context.serving.take_paths();
    let page = context.visit("?backend=cpu")?;
    let stats = page.stats()?;
    let shards: Vec<String> = context
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
    context.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "ready in {:.1} s",
        number(&stats, "timeToReadyMs")? / 1000.0
    ))
}

fn damaged_cache(context: &Setting) -> Result<String> {
    let page = context.visit("?backend=cpu")?;
    let damaged = page.evaluate(
        "(async () => { let files = 0; for (const name of await caches.keys()) { const cache = await caches.open(name); \
         for (const key of await cache.keys()) { await cache.put(key, new Response('damaged')); files++; } } return files; })()",
    )?;
    page.close()?;
    ensure!(damaged.as_u64() > Some(0), "the page keeps no files");
    let page = context.visit("?backend=cpu")?;
    let stats = page.stats()?;
    ensure!(
        number(&stats, "cachedBytes")? == 0.0 && number(&stats, "downloadedBytes")? > 0.0,
        "the page counts {stats}"
    );
    context.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{damaged} files fetched anew"))
}

fn damaged_model(context: &Setting) -> Result<String> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(context.site.bundle())? {
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
        Arc::new(context.site.with_bundle(folder.path())),
        0,
        "",
        true,
    )?;
    let page = Page::open(
        &context.browser,
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

fn gpu_image(context: &Setting) -> Result<String> {
    let page = context.visit("?backend=gpu")?;
    let stats = page.stats()?;
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
    let difference = context.difference(&image, &few)?;
    ensure!(
        difference <= GPU_DIFFERENCE,
        "mean difference {difference:.3} of 255, allowed are {GPU_DIFFERENCE}"
    );
    context.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255 on {}, {} steps in {:.1} s",
        stats["adapter"],
        few.steps,
        took.as_secs_f64()
    ))
}

/// Shows that `all_quiet` can fail: a request to another host, and an error in the console.
fn control(context: &Setting) -> Result<String> {
    let page = context.visit("?backend=cpu")?;
    context.all_quiet(&page)?;
    page.evaluate("fetch('http://host.invalid/').catch(() => {}), console.error('control')")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut reports, mut problems) = (Vec::new(), Vec::new());
    while reports.is_empty() || problems.is_empty() {
        ensure!(
            Instant::now() < deadline,
            "reported: {reports:?}; console: {problems:?}"
        );
        reports.extend(context.serving.take_elsewhere());
        problems.extend(page.problems());
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(reports.concat().contains("host.invalid"), "{reports:?}");
    page.close()?;
    Ok("it is reported".to_owned())
}

/// A number among the page's measurements.
fn number(stats: &Value, name: &str) -> Result<f64> {
    stats[name]
        .as_f64()
        .with_context(|| format!("the page does not measure {name}: {stats}"))
}
