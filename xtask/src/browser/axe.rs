//! The check that axe-core, the usual program for it, finds nothing wrong with the page for people with disabilities.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Setting;
use super::element::{drawn, embed};
use super::page::Page;
use super::teach::{told, wait};
use super::visits::{DRAWING, SETTINGS};
use crate::apt;
use crate::native::Settings;
use crate::workspace::{command, output, run, target};

const VERSION: &str = "4.14.1";
/// Of its `axe.min.js`.
const SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// What it finds, and how many rules hold.
const RUN: &str = "(async () => { const {violations, passes} = await axe.run(document, {resultTypes: ['violations']}); \
    return {passes: passes.length, found: violations.map(({impact, id, nodes}) => `${impact} ${id}: ${nodes.map(({target}) => target).join(', ')}`)}; })()";

/// Every state of the page that a visitor meets, in both languages, light and dark; and a page with an element.
pub fn axe(setting: &Setting) -> Result<String> {
    let axe = script()?;
    let page = setting.visit("?backend=cpu")?;
    page.evaluate(&axe)?;
    let short = Settings {
        steps: 4,
        ..SETTINGS
    };
    let mut rules = Vec::new();
    let mut look = |state: &str| -> Result<()> {
        for scheme in ["light", "dark"] {
            page.prefer("prefers-color-scheme", scheme)?;
            std::thread::sleep(std::time::Duration::from_millis(600)); // colours change, and images fade in, over a moment
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
    setting.all_quiet(&page)?;
    page.close()?;

    let page = Page::open(&setting.browser, &embed(setting))?;
    drawn(&page)?;
    page.evaluate(&axe)?;
    rules.push(holds(&page, "a page with an element")?);
    page.close()?;
    let page = Page::open(
        &setting.browser,
        &format!("{}#prompt=Chest", embed(setting)),
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

/// The program: npm's, fetched once into the target folder, and the one that is meant.
fn script() -> Result<String> {
    let folder = target().join(format!("axe-core-{VERSION}"));
    let file = folder.join("package/axe.min.js");
    if !file.is_file() {
        fetch(&folder)?;
    }
    let text = fs::read_to_string(&file)?;
    let hash: String = Sha256::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if hash != SHA256 {
        fs::remove_dir_all(&folder)?;
        bail!(
            "axe-core {VERSION} arrived with the SHA-256 {hash}, expected is {SHA256}. Run this again; if it stays so, trust it no more"
        );
    }
    Ok(text)
}

/// npm asks its registry; nothing of the package is run here, and it never becomes part of the page.
fn fetch(folder: &Path) -> Result<()> {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let there = || output(command(npm).arg("--version")).is_some();
    if !there() {
        apt::install(&["npm"])?;
    }
    if !there() {
        bail!(
            "the check with axe-core fetches it by npm, and there is none. Install Node.js with npm"
        );
    }
    fs::create_dir_all(folder)?;
    let archive = format!("axe-core-{VERSION}.tgz");
    run(command(npm)
        .args(["pack", "--silent", &format!("axe-core@{VERSION}")])
        .arg("--pack-destination")
        .arg(folder))
    .context("axe-core could not be fetched. This check needs npm's registry once; afterwards it is in the target folder")?;
    run(command("tar").current_dir(folder).args(["-xzf", &archive]))
}
