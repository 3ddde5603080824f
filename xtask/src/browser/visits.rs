//! The checks: what a visitor does, and what must come of it.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::page::Page;
use super::{
    LOADING, Setting, about, access, attention, axe, batch, cancel, cors, dicom, doubt, download,
    element, embedded, fast, film, firefox, folder, growth, hostile, hosts, install, kernels,
    kills, lessons, lightbox, measuring, models, module, mutations, offline, parity, pictures,
    quiet, race, reasons, recovery, senses, sentence, settings, sight, slides, source, storage,
    tabs, teach, threads,
};
use crate::native::Settings;
use crate::serve::Serving;

/// Limits of the waiting for an image: on the CPU, and on the software GPU adapter.
pub const DRAWING: Duration = Duration::from_secs(300);
pub const DRAWING_GPU: Duration = Duration::from_secs(900);

/// Largest mean difference to the native image, of 255. The arithmetic is the same up to the order of sums.
pub const CPU_DIFFERENCE: f64 = 2.0;
pub const GPU_DIFFERENCE: f64 = 4.0;

/// Few steps: enough to use every part of the page.
pub const SETTINGS: Settings = Settings {
    prompt: Cow::Borrowed("PA chest radiograph of a 60-year-old man. Large left pleural effusion."),
    negative_prompt: Cow::Borrowed("pneumothorax"),
    seed: 1895,
    steps: 6,
    guidance: 3.5,
    scheduler: "dpm++2m",
    size: None,
};

/// A check: its name, and what it found when all is well.
pub type Check = (&'static str, fn(&Setting) -> Result<String>);

/// In this order: the first visit fills the browser's cache, the later ones use it.
pub const CHECKS: &[Check] = &[
    ("the cpu engine equals diffusers", parity::cpu),
    ("the cpu-threads engine equals diffusers", parity::threads),
    ("the image of the cpu engine is the native one", cpu_image),
    (
        "a second visit is isolated and has threads",
        threads::second_visit,
    ),
    (
        "an isolating host has threads at once",
        threads::isolated_host,
    ),
    (
        "threads that cannot start are done without",
        threads::fallback,
    ),
    (
        "embeds draw without isolation, and with it",
        threads::embeds,
    ),
    ("cancel ends the work and keeps the image", cancel::cancel),
    (
        "cancel ends within a step, also while the engine is loaded anew",
        cancel::measured,
    ),
    ("a link carries the settings", sentence::link),
    ("chips write the sentence", sentence::chips),
    ("what the model makes nothing of is said", doubt::doubt),
    ("the page speaks German", sentence::german),
    (
        "a batch is a grid, and history brings it back",
        batch::batch,
    ),
    ("a saved file says what it is", batch::save),
    (
        "a DICOM file is read by others, and begun from",
        dicom::dicom,
    ),
    ("the lightbox zooms, moves and windows", lightbox::lightbox),
    ("two images are compared", lightbox::compare),
    ("what is seen is saved", slides::seen),
    ("one press gives the same patient otherwise", teach::strip),
    ("a quiz of ten films is answered", teach::quiz),
    ("a lesson is followed and handed on", lessons::lesson),
    ("a lesson's mistakes are said in words", lessons::mistakes),
    ("two axes give a figure", teach::figure),
    ("an image forms before the first press", teach::landing),
    ("settings and the form are kept", slides::kept),
    ("another model without a network can wait", slides::away),
    ("what is drawn is in sight and in reach", sight::sight),
    ("the denoising film can be gone through", lightbox::steps),
    (
        "each step is shown unless that is not wanted",
        film::every_step,
    ),
    ("a word shows what was attended to it", attention::attention),
    ("settings are a file", settings::file),
    ("an image has the size that was chosen", settings::sizes),
    ("a picture is painted over", source::source),
    ("a picture is upright and bright", source::upright),
    ("a picture is chosen, dropped or pasted", pictures::given),
    ("everybody can use the page", access::access),
    ("axe-core finds nothing", axe::axe),
    ("who hears the page is told what goes on", senses::heard),
    ("who wants less motion sees less", senses::calm),
    ("the model and its limits are told", about::about),
    ("another page draws through the module", module::module),
    (
        "the module refuses in codes, and can be aborted",
        module::refusals,
    ),
    ("an element draws in a page of its own", element::element),
    ("a frame draws on a page of another site", embedded::frame),
    ("an element waits, and stays in its box", embedded::waits),
    ("an element comes from another site", embedded::elsewhere),
    ("the package is complete", module::packaged),
    ("fifty images need no more memory than ten", growth::growth),
    ("two tabs load and draw at once", tabs::tabs),
    (
        "after loading nothing leaves the page in a whole visit",
        quiet::quiet,
    ),
    (
        "the pictures on how it works are the model's own",
        quiet::pictures,
    ),
    ("a visit without a network works", offline::offline),
    ("the page can be installed", install::install),
    (
        "Firefox draws the native image, also without a network",
        firefox::firefox,
    ),
    ("a second visit downloads no model", second_visit),
    ("a damaged copy in the cache is noticed", damaged_cache),
    ("a damaged model is refused in words", damaged_model),
    (
        "a download that is cut goes on where it stopped",
        download::cut_download,
    ),
    (
        "a download goes on when the network is back",
        download::network_back,
    ),
    ("a download is paused and resumed", download::pause),
    (
        "a download goes on after its tab was closed",
        download::closed_tab,
    ),
    ("a model is chosen", models::choose),
    ("the fast model is chosen with one press", fast::fast),
    ("a folder is opened as the browser can", folder::folder),
    ("a model that is none is refused in words", models::refusals),
    (
        "a manifest that cannot be is refused in words",
        hostile::manifests,
    ),
    (
        "a file without end is not read to its end",
        hostile::endless,
    ),
    (
        "a kept model that cannot be is left out and named",
        hostile::kept,
    ),
    ("a model card is text, whatever is in it", hostile::cards),
    (
        "a host that sends its start page is told from a browser",
        hosts::start_page,
    ),
    ("a page that cannot run says so, and why", hosts::cannot_run),
    ("a model comes from another site", cors::cors),
    (
        "a browser is killed at each piece of a download",
        kills::killed,
    ),
    (
        "mutated links, settings and manifests",
        mutations::mutations,
    ),
    ("models are deleted", storage::delete),
    ("a full disk is said, and does no harm", storage::quota),
    (
        "a browser that keeps nothing says so",
        storage::nothing_kept,
    ),
    (
        "a window that may keep nothing has the model in memory",
        storage::private,
    ),
    ("why the cpu computes is said in words", reasons::reasons),
    ("the gpu engine equals diffusers", parity::gpu),
    (
        "the kernels of the gpu engine equal their plain twins",
        kernels::check,
    ),
    ("the image of the gpu engine is the native one", gpu_image),
    ("the gpu engine needs the default limits only", gpu_clamped),
    (
        "fifty images of the gpu engine need no more memory than three",
        growth::gpu,
    ),
    ("the cpu draws until the gpu is ready", race::race),
    ("who saves data has the gpu engine alone", race::saves_data),
    ("the measuring page measures the gpu", measuring::check),
    (
        "the cpu takes over from a gpu that is lost",
        recovery::lost_device,
    ),
    (
        "a gpu that gives no device is said, and the cpu draws",
        recovery::no_device,
    ),
    ("a request to another host would be seen", control),
];

fn cpu_image(setting: &Setting) -> Result<String> {
    let page = setting.visit("")?;
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
    let difference = setting.as_native(&image, &SETTINGS, "the image")?;
    setting.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255, {} steps in {:.1} s",
        SETTINGS.steps,
        took.as_secs_f64()
    ))
}

fn second_visit(setting: &Setting) -> Result<String> {
    setting.visit("?backend=cpu")?.close()?; // fills the cache when this check runs alone
    setting.serving.take_paths();
    let page = setting.visit("?backend=cpu")?;
    let stats = page.stats()?;
    let shards: Vec<String> = setting
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
    setting.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "ready in {:.1} s",
        number(&stats, "timeToReadyMs")? / 1000.0
    ))
}

fn damaged_cache(setting: &Setting) -> Result<String> {
    let page = setting.visit("?backend=cpu")?;
    let damaged = page.evaluate(
        "(async () => { let files = 0; for (const name of await caches.keys()) { const cache = await caches.open(name); \
         for (const key of await cache.keys()) { await cache.put(key, new Response('damaged')); files++; } } return files; })()",
    )?;
    page.close()?;
    ensure!(damaged.as_u64() > Some(0), "the page keeps no files");
    let page = setting.visit("?backend=cpu")?;
    let stats = page.stats()?;
    ensure!(
        number(&stats, "cachedBytes")? == 0.0 && number(&stats, "downloadedBytes")? > 0.0,
        "the page counts {stats}"
    );
    setting.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{damaged} files fetched anew"))
}

fn damaged_model(setting: &Setting) -> Result<String> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(setting.site.bundle())? {
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
        Arc::new(setting.site.with_bundle(folder.path())),
        0,
        "",
        true,
    )?;
    let page = Page::open(
        &setting.browser,
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

fn gpu_image(setting: &Setting) -> Result<String> {
    gpu(setting, "?backend=gpu", |_| Ok(()))
}

fn gpu_clamped(setting: &Setting) -> Result<String> {
    // https://www.w3.org/TR/webgpu/#limits
    let default = json!({"features": ["core-features-and-limits"], "limits": {
        "maxBufferSize": 256 << 20,
        "maxStorageBufferBindingSize": 128 << 20,
        "maxComputeInvocationsPerWorkgroup": 256,
    }});
    gpu(setting, "?backend=gpu&clamp=default", |device| {
        ensure!(*device == default, "the device is {device}");
        Ok(())
    })
}

/// An image of the gpu engine, on a device that `check` has looked at.
fn gpu(setting: &Setting, query: &str, check: impl Fn(&Value) -> Result<()>) -> Result<String> {
    let page = setting.visit(query)?;
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
    let difference = setting.near_native(
        &image,
        setting.site.bundle(),
        &few,
        "the image",
        GPU_DIFFERENCE,
    )?;
    setting.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255 on {}, {} steps in {:.1} s",
        stats["adapter"],
        few.steps,
        took.as_secs_f64()
    ))
}

/// Shows that `all_quiet` can fail: a request to another host, and an error in the console.
fn control(setting: &Setting) -> Result<String> {
    let page = setting.visit("?backend=cpu")?;
    setting.all_quiet(&page)?;
    page.evaluate("fetch('http://host.invalid/').catch(() => {}), console.error('control')")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut reports, mut problems, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    while reports.is_empty() || problems.is_empty() || refused.is_empty() {
        ensure!(
            Instant::now() < deadline,
            "reported: {reports:?}; console: {problems:?}; refused: {refused:?}"
        );
        reports.extend(setting.serving.take_elsewhere());
        problems.extend(page.problems());
        refused.extend(page.refused()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(reports.concat().contains("host.invalid"), "{reports:?}");
    page.close()?;
    Ok("it is reported".to_owned())
}

/// A number among the page's measurements.
pub fn number(stats: &Value, name: &str) -> Result<f64> {
    stats[name]
        .as_f64()
        .with_context(|| format!("the page does not measure {name}: {stats}"))
}
