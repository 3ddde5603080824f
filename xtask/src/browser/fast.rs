//! The check on the other model of the site, which draws in four steps.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::download::{all, name, weights};
use super::fixture::{CPU_DIFFERENCE, DRAWING, Fixture, SETTINGS};
use super::models::{at_work, open_list};
use super::offline;
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::root;

/// Names of the listed models; what the form says; how many pictures the film has.
const NAMES: &str =
    "[...document.querySelectorAll('#models strong')].map((name) => name.textContent)";
const FORM: &str = "['steps', 'guidance', 'scheduler', 'prompt', 'seed'].map((id) => document.getElementById(id).value)";
const FRAMES: &str = "Number(document.getElementById('steps-range').max) + 1";

/// One press downloads it and fills the form with its own settings; it draws the native image, also
/// from a link and without a server. A site that ships one model offers one.
pub fn fast(fixture: &Fixture) -> Result<String> {
    let [own, folder] = ["default", "fast"].map(|name| root().join("models").join(name));
    let site = Site::build(&Engine::ON_CPU, None)?;
    written(&site)?;
    let serving = Serving::start(Arc::new(site), 0, "/a", true)?;
    let page = fixture.visit_of(&serving)?;
    open_list(&page)?;
    let [own_name, fast_name] = [name(&own)?, name(&folder)?];
    let names = json!([own_name, fast_name]);
    ensure!(
        page.evaluate(NAMES)? == names,
        "the page offers other models"
    );
    let offer = page.text("models")?;
    let size = format!("{:.1} MB to download", weights(&folder)? as f64 / 1e6);
    ensure!(
        offer.contains("Made for 20 steps with guidance 3")
            && offer.contains("Made for 4 steps without guidance")
            && offer.contains(&size),
        "the page says of the models: {offer}"
    );
    let early: Vec<String> = serving.take_paths();
    ensure!(
        !early.iter().any(|path| path.contains("models/fast")),
        "before it was chosen the page asked for {early:?}"
    );

    page.press("#models li:not([aria-current]) button")?;
    at_work(&page, &fast_name)?;
    // The models have one tokenizer, which is here already.
    let (stats, bytes) = (page.stats()?, weights(&folder)?);
    ensure!(
        stats["downloadedBytes"] == bytes && stats["cachedBytes"] == all(&folder)? - bytes,
        "of {bytes} bytes of weights the page counts {stats}"
    );
    page.type_into("prompt", &SETTINGS.prompt)?;
    page.type_into("seed", "7")?;
    let form = page.evaluate(FORM)?;
    ensure!(
        form == json!(["4", "1", "ddim", SETTINGS.prompt, "7"]),
        "with it the form says {form}"
    );
    let settings = Settings {
        negative_prompt: "".into(),
        seed: 7,
        steps: 4,
        guidance: 1.0,
        scheduler: "ddim",
        ..SETTINGS
    };
    let difference = draws(fixture, &page, &folder, &settings)?;
    ensure!(page.evaluate(FRAMES)? == 4, "its film has other steps");

    page.evaluate("navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }")?;
    page.click("copy")?;
    let link = page.evaluate("globalThis.copied ?? ''")?;
    let link = link.as_str().context("no link is copied")?;
    ensure!(link.contains("models%2Ffast"), "the link leads to {link}");
    offline::kept(&page)?;
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    drop(serving); // the list and both models are kept as well
    let page = fixture.visit_at(link)?;
    at_work(&page, &fast_name)?;
    let linked = page.evaluate(FORM)?;
    ensure!(linked == form, "the link gave {linked}, not {form}");
    draws(fixture, &page, &folder, &settings)?;
    open_list(&page)?;
    page.until(&format!("JSON.stringify({NAMES}) === '{names}'"))?;
    page.press("#models li:not([aria-current]) button")?;
    at_work(&page, &own_name)?;
    ensure!(
        page.stats()?["cachedBytes"] == all(&own)?,
        "without a server the models cannot be changed"
    );
    page.close()?;

    let site = Site::build(&Engine::ON_CPU, Some(&own))?;
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let page = fixture.visit_of(&serving)?;
    open_list(&page)?;
    let names = page.evaluate(NAMES)?;
    ensure!(
        names == json!([own_name]),
        "with one model the page offers {names}"
    );
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok(format!(
        "{bytes} bytes; mean difference {difference:.4} of 255 in 4 steps"
    ))
}

/// Draws what the form says; how far the image is from the native one.
fn draws(fixture: &Fixture, page: &Page, model: &Path, settings: &Settings) -> Result<f64> {
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    fixture.near_native(
        &page.pixels()?,
        model,
        settings,
        "its image",
        CPU_DIFFERENCE,
    )
}

/// A written site has both models, and the list that names them.
fn written(site: &Site) -> Result<()> {
    let folder = tempfile::tempdir()?;
    site.write_to(&folder.path().join("site"))?;
    for file in [
        "index.json",
        "default/bundle.json",
        "fast/bundle.json",
        "fast/README.md",
    ] {
        let there = folder.path().join("site/models").join(file).is_file();
        ensure!(there, "the written site has no models/{file}");
    }
    Ok(())
}
