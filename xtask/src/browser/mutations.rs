//! What strangers hand to the page as text, mutated: links, files of settings, manifests.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use super::fixture::{Fixture, number};
use super::page::Page;

/// Inputs in the tests.
const RUNS: usize = 10_000;

/// Longest that one may take, in milliseconds.
const SLOWEST: f64 = 5000.0;

const MUTATE: &str = include_str!("mutate.js");

/// The check of the tests.
pub fn mutations(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let said = run(&page, fixture.site.bundle(), RUNS, 1895)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(said)
}

/// Mutates in an open page; what came of it.
pub fn run(page: &Page, bundle: &Path, runs: usize, seed: u32) -> Result<String> {
    let manifest = fs::read_to_string(bundle.join("bundle.json"))?;
    let options = json!({"runs": runs, "seed": seed, "manifest": manifest});
    let found = page.evaluate(&format!("({MUTATE})({options})"))?;
    ensure!(found["fault"].is_null(), "{}", found["fault"]);
    let [taken, refused, slowest] =
        ["taken", "refused", "slowest"].map(|name| number(&found, name));
    let (taken, refused, slowest) = (taken?, refused?, slowest?);
    ensure!(
        taken > 0.01 * runs as f64 && refused > 0.1 * runs as f64,
        "{taken} were taken and {refused} refused: the mutations are no test"
    );
    ensure!(slowest < SLOWEST, "one took {slowest} ms");
    ensure!(found["polluted"] == 0, "objects have got new properties");
    Ok(format!(
        "{taken} taken, {refused} refused, the slowest in {slowest:.0} ms"
    ))
}
