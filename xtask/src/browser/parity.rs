//! The golden cases of diffusers in a browser: the same files, the same comparison and the same
//! bounds as natively.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use headless_chrome::Browser;
use serde_json::Value;

use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::root;

use super::fixture::Fixture;
use super::page::Page;
use super::worker::Worker;

/// Relative errors that are allowed on the CPU.
fn cpu_bound(case: &str) -> f64 {
    if case.starts_with("pipeline") {
        1e-3
    } else {
        1e-4
    }
}

/// The engine with one thread.
pub fn cpu(fixture: &Fixture) -> Result<String> {
    check(&fixture.browser, Engine::Cpu, 1, cpu_bound)
}

/// With as many threads as a page takes at most, whatever the cores here: work is then split the
/// most.
pub fn threads(fixture: &Fixture) -> Result<String> {
    check(&fixture.browser, Engine::CpuThreads, 8, cpu_bound)
}

/// The engine on WebGPU.
pub fn gpu(fixture: &Fixture) -> Result<String> {
    check(&fixture.browser, Engine::Gpu, 1, |_| 1e-3)
}

/// Runs every case in an engine, with so many threads; no relative error may be above the bound of
/// its case. What it found, in words.
fn check(
    browser: &Browser,
    engine: Engine,
    threads: usize,
    bound: impl Fn(&str) -> f64,
) -> Result<String> {
    let goldens = root().join("tests/reference/goldens");
    let site = Site::of_engines(&[engine])?.and("goldens", &goldens);
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    serving.isolate();
    let page = Page::open(
        browser,
        &format!(
            "{}page/pkg/{}/roentgen_web.js",
            serving.address(),
            engine.name()
        ),
    )?;
    let worker = Worker::start(&page)?;
    worker.evaluate(&format!(
        "(async () => {{ const {{ openEngine }} = await import(location.origin + '/page/engine/engine.js'); \
         const hears = {{ onBytes() {{}}, onThread() {{}} }}; const {{ pkg, threads }} = await openEngine('{0}', hears, new AbortController().signal, {threads}); \
         if (threads !== {threads}) throw new Error(`${{threads}} threads`); globalThis.parity = await pkg.Parity.open('{0}'); }})()",
        engine.backend()
    ))?;
    let (mut cases, mut worst) = (0, (0.0, String::new()));
    for case in folders(&goldens)? {
        let name = case
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let paths = files(&case, "")?;
        if !paths
            .iter()
            .any(|path| path == "config.json" || path == "model_index.json")
        {
            continue; // schedulers and tokenizers compute on no device
        }
        let errors = worker.evaluate(&format!(
            "(async () => {{ const files = {{}}; for (const path of {}) {{ \
             files[path] = new Uint8Array(await (await fetch(location.origin + '/goldens/{name}/' + path)).arrayBuffer()); }} \
             return await parity.compare(files); }})()",
            Value::from(paths)
        ))?;
        let errors = errors.as_object().filter(|errors| !errors.is_empty());
        for (output, error) in errors.with_context(|| format!("{name} compares nothing"))? {
            // JSON has no infinity: what is no number was not finite.
            let error = error.as_f64().unwrap_or(f64::INFINITY);
            let allowed = bound(&name);
            ensure!(
                error <= allowed,
                "{name} {output}: relative error {error:.1e}, allowed is {allowed:.0e}"
            );
            if error > worst.0 {
                worst = (error, format!("{name} {output}"));
            }
        }
        cases += 1;
    }
    ensure!(cases > 0, "there are no cases in {}", goldens.display());
    page.close()?;
    Ok(format!(
        "{cases} cases, the largest relative error is {:.1e} in {}",
        worst.0, worst.1
    ))
}

/// The folders in a folder, by name.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} is not there", folder.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    Ok(folders)
}

/// The files below a folder as addresses relative to it.
fn files(folder: &Path, below: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(&entry.path(), &format!("{name}/"))?);
        } else {
            found.push(name);
        }
    }
    Ok(found)
}
