//! The check that a visitor is told why it is the CPU that computes.

use std::fs;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::fixture::{DRAWING, Fixture, short};
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Put at the end of the worker: what a browser lacks, and what the page says of it.
const LACKS: [(&str, &str); 5] = [
    (
        "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { get: () => undefined });",
        "this browser offers no WebGPU",
    ),
    (
        "GPU.prototype.requestAdapter = async () => null;",
        "found no graphics card",
    ),
    (
        "GPU.prototype.requestAdapter = async () => { throw new Error('refused'); };",
        "found no graphics card",
    ),
    (
        "GPU.prototype.requestAdapter = async () => ({});",
        "(without a name) does not say what it can do",
    ),
    (
        "Object.defineProperty(GPUAdapter.prototype, 'limits', { get: () => { throw new Error('lost'); } });",
        "does not say what it can do",
    ),
];

/// Whatever WebGPU lacks, the CPU draws, and the reason is on the page.
pub fn reasons(fixture: &Fixture) -> Result<String> {
    for (lack, words) in LACKS {
        let web = tempfile::tempdir()?;
        copy(&root().join("web"), web.path())?;
        let worker = web.path().join("engine/worker.js");
        fs::write(&worker, fs::read_to_string(&worker)? + lack)?;
        let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
        let page = fixture.visit_at(&serving.address())?;
        let said = page.text("backend")?;
        ensure!(
            said.contains("CPU") && said.contains(words),
            "with {lack} the page says {said:?}"
        );
        let (image, _) = page.generate(&short(), DRAWING)?;
        fixture.as_native(&image, &short(), "the image")?;
        fixture.all_quiet_of(&page, &serving)?;
        page.close()?;
    }
    Ok(format!("{} reasons", LACKS.len()))
}
