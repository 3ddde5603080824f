//! The check on the previews of an image under way, and on the film that they leave.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// Which previews were on the film from now on, and how many pixels of the last one differ from the
/// one before.
const WATCH: &str = include_str!("scripts/film-watched.js");

/// A model for which a preview takes seconds: the form as it then is.
const HEAVY: &str = "(async () => { const {suggest} = await import('./page/form.js'); const {checked} = document.getElementById('previews'); \
    suggest({defaults: {width: 128, height: 128}, tokenizer: {bytes: 1}, shards: [{bytes: 4e8}]}); return [checked, document.getElementById('previews').checked]; })()";

/// As the page comes, each step has its own picture, on the film while it is drawn and in it
/// afterwards; without, the image is the same. The film plays to its end by itself.
pub fn every_step(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let settings = Settings {
        steps: 8,
        ..SETTINGS
    };
    page.evaluate(WATCH)?;
    let (own, all) = page.generate(&settings, DRAWING)?;
    let seen = page.evaluate("seen")?;
    let expected: Vec<_> = (1..8).map(|step| json!([step, true])).collect();
    ensure!(seen == json!(expected), "the previews were {seen}");
    let frames = || page.evaluate("Number(document.getElementById('steps-range').max) + 1");
    let found = frames()?;
    ensure!(found == 8, "of 8 steps {found} are in the film");

    page.evaluate("globalThis.labels = []; new MutationObserver(() => labels.push(document.getElementById('steps-label').textContent)).observe(document.getElementById('steps-label'), {childList: true, characterData: true, subtree: true})")?;
    page.click("steps-play")?;
    ensure!(page.text("steps-play")? == "Stop", "the film does not play");
    let deadline = Instant::now() + Duration::from_secs(20);
    while page.text("steps-play")? != "Play" {
        ensure!(Instant::now() < deadline, "the film does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let labels = page.evaluate("[...new Set(labels)]")?;
    let expected: Vec<String> = (1..=8).map(|step| format!("step {step} of 8")).collect();
    ensure!(labels == json!(expected), "the film showed {labels}");
    ensure!(
        page.pixels_of("view")? == own,
        "the film does not end with the image"
    );
    page.click("previews")?;
    let (again, few) = page.generate(&settings, DRAWING)?;
    ensure!(again == own, "without every step it is another image");
    let found = frames()?;
    ensure!(
        found.as_u64().is_some_and(|found| found < 8),
        "without every step the film still has {found}"
    );
    page.click("previews")?;
    let heavy = page.evaluate(HEAVY)?;
    ensure!(
        heavy == json!([true, false]),
        "every step is shown, also of a large model: {heavy}"
    );
    module(&page)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "8 steps in {:.1} s, without a preview at each in {:.1} s",
        all.as_secs_f64(),
        few.as_secs_f64()
    ))
}

/// The module gives one at each step but the last, which is the image.
fn module(page: &Page) -> Result<()> {
    let found = page.evaluate(
        "(async () => { const {Roentgen} = await import('./roentgen-web.js'); const roentgen = await Roentgen.load({backend: 'cpu'}); const steps = []; \
         await roentgen.generate({seed: 1, steps: 4, previews: true, onStep: ({step, preview}) => steps.push([step, preview?.width ?? 0])}); \
         const refused = await roentgen.generate({previews: 1}).catch(({code}) => code); \
         const {width} = roentgen.model.defaults; roentgen.dispose(); return {steps, width, refused}; })()",
    )?;
    let width = found["width"].as_u64().context("no width")?;
    ensure!(
        found["steps"] == json!([[1, width], [2, width], [3, width], [4, 0]])
            && found["refused"] == "request",
        "the module gives {found}"
    );
    Ok(())
}
