//! The check on who can use the page: contrast in light and dark, a narrow phone, and the keyboard
//! alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::element::{drawn, embed};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use super::teach::{told, wait};
use crate::native::Settings;

/// Text that stands out from what is behind it by less than WCAG 2.2 AA asks of text (1.4.3). Text
/// over images has a background of its own and is among them; what is disabled is not.
const FAINT: &str = r#"(() => {
  const pixel = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const colour = (text) => { pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = text; pixel.fillRect(0, 0, 1, 1); return [...pixel.getImageData(0, 0, 1, 1).data]; };
  const light = (rgb) => rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (part) => {
    const layers = [];
    for (; part; part = part.parentElement) { layers.push(colour(getComputedStyle(part).backgroundColor)); if (layers.at(-1)[3] === 255) break; }
    return layers.reverse().reduce((below, layer) => below.map((v, i) => v + (layer[i] - v) * (layer[3] / 255)), [255, 255, 255]);
  };
  const says = (part) => [...part.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) || part.value;
  const seen = [...document.querySelectorAll('body *')].filter((part) => part.checkVisibility({opacityProperty: true, visibilityProperty: true}) && says(part));
  const live = seen.filter((part) => !part.matches(':disabled, :disabled *, :disabled + span'));
  const contrast = (part) => { const [a, b] = [light(colour(getComputedStyle(part).color).slice(0, 3)), light(behind(part))].sort((a, b) => b - a); return (a + 0.05) / (b + 0.05); };
  return {all: live.length, faint: live.filter((part) => contrast(part) < 4.5).map((part) => `${part.tagName} ${part.id} ${part.textContent.slice(0, 30)}: ${contrast(part).toFixed(2)}`)};
})()"#;

/// Whatever a press of Tab reaches, by its id or class.
const FOCUS: &str = "(document.activeElement?.id || document.activeElement?.className || document.activeElement?.name || '')";

/// Contrast, width and keyboard, before and after an image.
pub fn access(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.click("model-part")?; // opens the list of models
    let mut texts = contrast(&page)?;
    page.generate(
        &Settings {
            steps: 2,
            ..SETTINGS
        },
        DRAWING,
    )?;
    page.click("compare")?;
    std::thread::sleep(Duration::from_millis(600)); // the image fades in
    texts += contrast(&page)?;
    page.click("compare")?;

    // From the sentence to the film without a mouse.
    page.evaluate("document.getElementById('prompt').focus()")?;
    let mut reached = Vec::new();
    while reached.last().map(String::as_str) != Some("save") {
        ensure!(
            reached.len() < 120,
            "Tab does not reach the end of the tools: {reached:?}"
        );
        page.key("Tab")?;
        let focus = page.evaluate(FOCUS)?;
        reached.push(focus.as_str().unwrap_or_default().to_owned());
    }
    for id in [
        "generate",
        "dice",
        "lock",
        "model-folder",
        "model-address",
        "model-load",
        "copy",
        "film",
        "tool-window",
        "invert",
        "full",
        "compare",
        "keys",
    ] {
        ensure!(
            reached.iter().any(|focus| focus == id),
            "Tab passes over #{id}: {reached:?}"
        );
    }
    phone(&page)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    let page = Page::open(&fixture.browser, &embed(fixture))?;
    drawn(&page)?;
    page.resize(320, 640, 2.0)?;
    narrow(&page, "a page with an element")?;
    page.close()?;
    Ok(format!("{texts} texts, {} stops of Tab", reached.len()))
}

/// Nothing is wider than a narrow phone, whatever is open.
fn phone(page: &Page) -> Result<()> {
    page.resize(320, 640, 2.0)?;
    page.evaluate(
        "document.querySelectorAll('details').forEach((part) => part.setAttribute('open', ''))",
    )?;
    narrow(page, "everything open")?;
    page.click("source-shown")?;
    page.until("!document.getElementById('source-editor').hidden")?;
    narrow(page, "a picture to paint over")?;
    page.click("source-remove")?;
    page.click("compare")?;
    page.click("compare-without")?;
    page.wait("done", DRAWING)?;
    for how in ["side", "difference", "slider"] {
        page.press(&format!("#compare-bar input[value={how}]"))?;
        narrow(page, how)?;
    }
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    page.press("#attention-words button:last-child")?;
    narrow(page, "what was attended to")?;
    page.click("attention")?;
    page.click("variants")?;
    told(page, "strip-status", "Drawn")?;
    narrow(page, "the same patient otherwise")?;
    page.type_into("figure-down-values", "1, 4, 9")?;
    page.click("figure-draw")?;
    told(page, "figure-status", "Drawn")?;
    narrow(page, "a figure of two axes")?;
    page.click("quiz")?;
    wait(
        page,
        "document.getElementById('run-choices')?.disabled === false && document.querySelector('#run-choices input') !== null",
    )?;
    page.press("#run-choices label:nth-of-type(2)")?;
    page.click("run-next")?;
    told(page, "run-status", "page’s reader")?;
    narrow(page, "an answer")?;
    page.click("run-leave")?;
    page.type_into("batch", "9")?;
    page.type_into("steps", "1")?;
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    narrow(page, "a batch of nine")?;
    page.click("keys")?;
    narrow(page, "help")?;
    page.key("Escape")
}

/// No part needs scrolling sideways, in the page or in the dialog over it.
fn narrow(page: &Page, state: &str) -> Result<()> {
    let wide = page.evaluate("[document.documentElement, document.getElementById('help')].filter((part) => part?.scrollWidth > 320).map((part) => part.scrollWidth)")?;
    ensure!(
        wide == json!([]),
        "with {state} the page is {wide} wide on a screen of 320"
    );
    Ok(())
}

/// How many texts there are in light and dark, when none is faint.
fn contrast(page: &Page) -> Result<u64> {
    let mut texts = 0;
    for scheme in ["light", "dark"] {
        page.prefer("prefers-color-scheme", scheme)?;
        std::thread::sleep(Duration::from_millis(400)); // colours change over a moment
        let found = page.evaluate(FAINT)?;
        ensure!(found["faint"] == json!([]), "faint in {scheme}: {found}");
        texts += found["all"].as_u64().context("no texts")?;
    }
    ensure!(texts > 60, "only {texts} texts were looked at");
    Ok(texts)
}
