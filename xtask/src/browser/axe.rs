//! The check that axe-core, the usual program for it, finds nothing wrong with the page for people
//! with disabilities.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::element::{drawn, embed};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use super::teach::{told, wait};
use crate::native::Settings;
use crate::npm::Package;

const AXE: Package = Package {
    name: "axe-core",
    version: "4.14.1",
    sha256: "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
};

/// What it finds, and how many rules hold.
const RUN: &str = "(async () => { const {violations, passes} = await axe.run(document, {resultTypes: ['violations']}); \
    return {passes: passes.length, found: violations.map(({impact, id, nodes}) => `${impact} ${id}: ${nodes.map(({target}) => target).join(', ')}`)}; })()";

/// Every state of the page that a visitor meets, in both languages, light and dark; and a page with
/// an element.
pub fn axe(fixture: &Fixture) -> Result<String> {
    let axe = fs::read_to_string(AXE.folder()?.join("axe.min.js"))?;
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate(&axe)?;
    let short = Settings {
        steps: 4,
        ..SETTINGS
    };
    let mut rules = Vec::new();
    let mut look = |state: &str| -> Result<()> {
        for scheme in ["light", "dark"] {
            page.prefer("prefers-color-scheme", scheme)?;
            // colours change, and images fade in, over a moment
            std::thread::sleep(std::time::Duration::from_millis(600));
            rules.push(holds(&page, &format!("{state}, {scheme}"))?);
        }
        Ok(())
    };
    look("start")?;
    page.type_into("prompt", "A hand")?;
    page.until("!document.getElementById('doubt').hidden")?;
    look("words that the model has not learned")?;
    page.generate(&short, DRAWING)?;
    look("an image")?;
    page.click("full")?;
    look("full screen")?;
    page.click("full")?;
    page.evaluate(
        "document.querySelectorAll('details').forEach((part) => part.setAttribute('open', ''))",
    )?;
    look("everything open")?;
    page.click("source-shown")?;
    look("a picture to paint over")?;
    page.click("source-remove")?;
    page.click("compare")?;
    page.click("compare-without")?;
    page.wait("done", DRAWING)?;
    look("two images compared")?;
    page.click("compare")?;
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    page.press("#attention-words button")?;
    look("what was attended to")?;
    page.click("attention")?;
    page.click("keys")?;
    look("help")?;
    page.key("Escape")?;
    page.type_into("batch", "4")?;
    page.generate(&short, DRAWING)?;
    look("a batch")?;
    page.press("#grid button")?;
    page.click("variants")?;
    told(&page, "strip-status", "Drawn")?;
    look("the same patient otherwise")?;
    page.click("strip-close")?;
    page.type_into("figure-down-values", "1, 4")?;
    page.click("figure-draw")?;
    told(&page, "figure-status", "Drawn")?;
    look("a figure of two axes")?;
    page.click("quiz")?;
    wait(
        &page,
        "document.getElementById('run-choices')?.disabled === false && document.querySelector('#run-choices input') !== null",
    )?;
    look("a film of the quiz")?;
    page.press("#run-choices label:nth-of-type(2)")?;
    page.click("run-next")?;
    told(&page, "run-status", "page’s reader")?;
    look("an answer")?;
    page.click("run-leave")?;
    page.type_into("steps", "0")?;
    page.click("generate")?;
    look("a refused setting")?;
    page.resize(320, 640, 2.0)?;
    page.speak("de")?;
    look("a phone, in German")?;
    page.speak("en")?;
    fixture.all_quiet(&page)?;
    page.close()?;

    let page = Page::open(&fixture.browser, &embed(fixture))?;
    drawn(&page)?;
    page.evaluate(&axe)?;
    rules.push(holds(&page, "a page with an element")?);
    page.close()?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}#prompt=Chest", embed(fixture)),
    )?;
    page.until("document.body.classList.contains('framed') && document.querySelector('roentgen-image:defined') !== null",
    )?;
    page.evaluate(&axe)?;
    rules.push(holds(&page, "an element that waits to be pressed")?);
    page.close()?;
    Ok(format!(
        "{} states, at least {} rules hold in each",
        rules.len(),
        rules.iter().min().unwrap_or(&0)
    ))
}

/// How many rules hold, when none is broken.
fn holds(page: &Page, state: &str) -> Result<u64> {
    let found = page.evaluate(RUN)?;
    ensure!(found["found"] == json!([]), "{state}: {}", found["found"]);
    let rules = found["passes"].as_u64().filter(|rules| *rules >= 10);
    rules.with_context(|| format!("{state}: axe-core looked at next to nothing: {found}"))
}
