//! The check that after loading nothing leaves the page, whatever a visitor does with it; and the
//! one on its own pictures.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::batch::{catch_saved, saved};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::offline;
use super::page::Page;
use super::source::{DROP, take};
use crate::native::Settings;
use crate::serve::Serving;

/// A whole visit, with every tool of the page: no request, to its own server neither, and nothing
/// that its policy refuses.
pub fn quiet(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let page = fixture.visit_of(&serving)?;
    offline::kept(&page)?;
    std::thread::sleep(Duration::from_millis(500)); // what was under way has ended
    let loading = serving.take_paths().len();
    ensure!(loading > 20, "loading asked for {loading} files only");

    let short = Settings {
        steps: 4,
        ..SETTINGS
    };
    page.generate(&short, DRAWING)?;
    page.drag("film", (0.3, 0.5), (0.5, 0.4))?;
    for id in [
        "larger",
        "invert",
        "reset",
        "keys",
        "help-close",
        "steps-play",
        "copy",
    ] {
        page.click(id)?;
    }
    catch_saved(&page)?;
    for _ in 0..2 {
        saved(&page)?;
        page.click("marked")?;
    }
    page.click("compare")?;
    page.click("compare-without")?;
    page.wait("done", DRAWING)?;
    for mode in ["side", "difference", "slider"] {
        page.press(&format!("#compare-bar input[value={mode}]"))?;
    }
    page.click("compare")?;
    page.evaluate(
        "document.querySelectorAll('details').forEach((part) => part.setAttribute('open', ''))",
    )?;
    page.evaluate(&format!("{DROP}('picture')"))?;
    take(&page)?;
    page.drag("source-canvas", (0.2, 0.3), (0.35, 0.6))?;
    page.generate(&short, DRAWING)?;
    saved(&page)?;
    page.click("source-remove")?;
    page.type_into("batch", "4")?;
    page.generate(&short, DRAWING)?;
    page.press("#grid button:nth-child(2)")?;
    page.type_into("steps", "100")?;
    page.click("generate")?;
    page.click("cancel")?;
    page.wait("done", DRAWING)?;
    for language in ["de", "en"] {
        page.speak(language)?;
    }
    page.evaluate("location.hash = 'prompt=Chest&steps=2'")?;
    // reports, and requests that nobody waits for, have come
    std::thread::sleep(Duration::from_millis(1000));

    let paths = serving.take_paths();
    ensure!(paths.is_empty(), "after loading it asked for {paths:?}");
    let elsewhere = serving.take_elsewhere();
    ensure!(elsewhere.is_empty(), "it asked another host: {elsewhere:?}");
    page.at_peace()?;
    page.close()?;
    Ok(format!(
        "{loading} requests for loading; then 0, and 0 that a policy refused"
    ))
}

/// Which canvas of which picture shows what.
const DRAWN: [(&str, usize, &str, Option<f64>); 6] = [
    ("noise", 1, "Normal chest.", None),
    ("noise", 2, "Large left pleural effusion.", None),
    ("words", 1, "Normal chest.", None),
    ("words", 3, "Marked cardiomegaly.", None),
    ("guidance", 2, "Large left pleural effusion.", Some(12.0)),
    ("limits", 1, "", None),
];

/// The pictures on how it works are the native images of their words.
pub fn pictures(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let status = || page.text("how-status");
    page.click("how-draw")?;
    page.click("how-draw")?; // it says "Cancel" now
    wait(&page, "ancelled")?;
    page.click("how-draw")?;
    wait(&page, "Drawn")?;
    let count = page.evaluate(
        "[...document.querySelectorAll('.pictures')].map((row) => row.children.length)",
    )?;
    let counts: Vec<u64> = count
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|n| n.as_u64())
        .collect();
    ensure!(counts == [3, 3, 3, 3, 1], "there are {count} pictures");
    let mut worst = 0.0_f64;
    for (figure, place, words, guidance) in DRAWN {
        page.evaluate(&format!(
            "(() => {{ document.getElementById('picked')?.removeAttribute('id'); \
             document.querySelector('[data-figure={figure}] .pictures div:nth-child({place}) canvas').id = 'picked'; }})()"
        ))?;
        let prompt = if words.is_empty() {
            "A bicycle in front of a house.".to_owned()
        } else {
            format!("PA chest radiograph of a 60-year-old man. {words}")
        };
        let settings = Settings {
            prompt: prompt.into(),
            negative_prompt: "".into(),
            seed: 1895,
            steps: number(&page, "steps")? as u32,
            guidance: guidance.map_or_else(|| number(&page, "guidance"), Ok)?,
            scheduler: "",
            size: None,
        };
        let image = page.pixels_of("picked")?;
        worst = worst.max(fixture.as_native(&image, &settings, &format!("{figure} {place}"))?);
    }
    ensure!(status()?.contains("Drawn"), "{}", status()?);
    // What is dragged: the first step is another picture, the second of two sliders has the model's
    // own guidance among its stops.
    let dragged = page.evaluate(
        "['noise', 'guidance'].map((figure) => { const row = document.querySelector(`[data-figure=${figure}] .pictures`); const range = row.querySelector('input'); \
         const last = row.querySelector('canvas').toDataURL(); range.value = 0; range.dispatchEvent(new Event('input')); \
         return [range.max, range.getAttribute('aria-valuetext'), row.querySelector('canvas').toDataURL() !== last]; })",
    )?;
    ensure!(
        dragged == serde_json::json!([["19", "step 1", true], ["3", "guidance 1", true]]),
        "dragging gives {dragged}"
    );
    // Large enough to be looked at, and larger when pressed; the difference has its scale.
    let small = page.evaluate("[...document.querySelectorAll('.pictures button canvas')].map((canvas) => Math.round(canvas.getBoundingClientRect().width)).filter((width) => width < 150)")?;
    ensure!(
        small == serde_json::json!([]),
        "pictures are {small} pixels wide"
    );
    for (press, scaled) in [
        ("[data-figure=limits] .pictures button", false),
        ("[data-figure=pair] .pictures div:last-child button", true),
    ] {
        page.press(press)?;
        let large = page.evaluate(&format!(
            "(() => {{ const [image, own] = [document.getElementById('large-image'), document.querySelector('{press} canvas')]; \
             return [document.getElementById('large').open, image.getBoundingClientRect().width > 500, image.toDataURL() === own.toDataURL(), document.querySelector('#large-scale .scale').checkVisibility()]; }})()"
        ))?;
        ensure!(
            large == serde_json::json!([true, true, true, scaled]),
            "{press} opens {large}"
        );
        page.click("large-close")?;
    }
    let scales = page.evaluate("document.querySelectorAll('[data-figure=pair] .scale').length")?;
    ensure!(scales == 1, "the difference has {scales} scales");
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "{} pictures, the worst {worst:.4} of 255 from the native one",
        counts.iter().sum::<u64>()
    ))
}

fn wait(page: &Page, word: &str) -> Result<()> {
    let started = std::time::Instant::now();
    while !page.text("how-status")?.contains(word) {
        ensure!(
            started.elapsed() < DRAWING,
            "the page says {:?}",
            page.text("how-status")?
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What the form suggests, which is the model's own.
fn number(page: &Page, id: &str) -> Result<f64> {
    let value = page.evaluate(&format!("document.getElementById('{id}').valueAsNumber"))?;
    value
        .as_f64()
        .ok_or_else(|| anyhow::anyhow!("#{id} has no number"))
}
