//! The check on the measuring page: a part of the table, the layers of the shipped model and whole
//! images, on the software adapter.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::fixture::Fixture;
use super::page::Page;
use crate::serve::Serving;
use crate::wasm::Engine;

/// How long all of it may take.
const MEASURING: Duration = Duration::from_secs(900);

/// One case of the table in so many: each is compiled, in f32 and in f16.
const EVERY: usize = 29;

/// Kernels equal the CPU's, and the record has what it promises.
pub fn check(fixture: &Fixture) -> Result<String> {
    let site = (*fixture.site)
        .clone()
        .measuring(&[Engine::Cpu, Engine::Gpu])?;
    let serving = Serving::start(site.into(), 0, "/a/sub path", true)?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}measure/?every={EVERY}&models=shipped", serving.address()),
    )?;
    page.click("start")?;
    page.wait("done", MEASURING)?;
    let text = page.evaluate("document.getElementById('json').value")?;
    let record: Value = serde_json::from_str(text.as_str().context("there is no record")?)?;
    let checks = &record["checks"]["f32"];
    ensure!(
        checks["cases"].as_u64() >= Some(10) && checks["failed"] == Value::Array(vec![]),
        "{checks}"
    );
    let layers = record["layers"].as_array().map_or(0, Vec::len);
    ensure!(layers >= 40, "{layers} layers were timed");
    let images = record["images"].as_array().map_or(0, Vec::len);
    ensure!(images >= 2, "{images} engines drew");
    let rate = record["product"]["f32"]["gflops"].as_f64();
    let rate = rate.context("no plain product was timed")?;
    // Nothing is offered to be sent where Cargo.toml names no place for it.
    let offered = !page.is_hidden("issue")?;
    let repository = !env!("CARGO_PKG_REPOSITORY").is_empty();
    ensure!(offered == repository, "an issue is offered: {offered}");
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok(format!(
        "{} kernels, the largest relative error is {:.1e}; {layers} layers; a plain product has {rate:.1} GFLOP/s",
        checks["cases"],
        checks["worst"].as_f64().unwrap_or(f64::INFINITY)
    ))
}
