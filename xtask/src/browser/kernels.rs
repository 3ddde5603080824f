//! The table of kernels in a browser: each against the operations it stands for, on the same
//! device.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;

/// One case in so many is run.
const EVERY: usize = 4;

/// Largest relative L2 distance: as natively, in `tests/kernels.rs`.
const BOUND: f64 = 1e-5;

/// Kernels equal burn's own operations at WebGPU's default limits.
pub fn check(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(Arc::new(Site::of_engines(&[Engine::Gpu])?), 0, "", false)?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}page/pkg/gpu/roentgen_web.js", serving.address()),
    )?;
    let found = page.evaluate(&format!(
        "(async () => {{ const {{ presentAdapters }} = await import('/page/engine/backend.js'); presentAdapters('default'); \
         const pkg = await import('/page/pkg/gpu/roentgen_web.js'); await pkg.default({{module_or_path: '/page/pkg/gpu/roentgen_web_bg.wasm'}}); \
         const parity = await pkg.Parity.open('gpu', {{ limits: 'default' }}); return await parity.kernels({EVERY}); }})()"
    ))?;
    page.close()?;
    // JSON has no infinity: what is no number was not finite.
    let worst = found["worst"].as_f64().unwrap_or(f64::INFINITY);
    let (cases, name) = (found["cases"].as_u64().unwrap_or(0), &found["name"]);
    ensure!(cases >= 50, "only {cases} cases were run");
    ensure!(
        worst <= BOUND,
        "{name}: relative error {worst:.1e}, allowed is {BOUND:.0e}"
    );
    Ok(format!(
        "{cases} cases, the largest relative error is {worst:.1e}"
    ))
}
