//! The check in Firefox: one visit that goes through what the page can do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Firefox;
use crate::browser::fixture::{DRAWING, Fixture, LOADING, SETTINGS, number};
use crate::browser::page::{picture, pixels};
use crate::native::Settings;
use crate::serve::Serving;

/// The tools of the page, one after another: what came of each.
const TOOLS: &str = include_str!("../scripts/firefox-tools.js");

/// The image drawn first is brought back, a chip writes its sentence, its DICOM file is begun from,
/// and the page speaks German.
const MORE: &str = include_str!("../scripts/firefox-more.js");

/// An image is cancelled, settings come from a file, a key zooms, and the module and the element
/// draw.
const OTHERS: &str = include_str!("../scripts/firefox-others.js");

/// The cpu engine's image is the native one, with a server and without; and the tools of the page
/// work.
pub fn firefox(fixture: &Fixture) -> Result<String> {
    let mut browser = Firefox::launch()?;
    let serving = Serving::start(fixture.site.clone(), 0, "/page", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    browser.visit(&address)?;
    let ready = number(&browser.evaluate("roentgen.stats")?, "timeToReadyMs")? / 1000.0;
    let (difference, took) = draw(fixture, &mut browser, &SETTINGS)?;
    let tools = browser.evaluate(TOOLS)?;
    let expected = json!({
        "inverted": true, "difference": true, "attention": true, "cells": 4, "frames": 4,
        "files": {"image/png": true, "application/dicom": true}, "mark": "Edited by a model", "images": 10,
    });
    ensure!(tools == expected, "Firefox's tools gave {tools}");
    let more = browser.evaluate(MORE)?;
    let expected = json!({
        "seed": "1895", "sentence": "PA chest radiograph of a 60-year-old man. Marked cardiomegaly.",
        "dicom": true, "words": ["Erzeugen", "Generate"],
    });
    ensure!(more == expected, "Firefox gave {more}");
    let others = browser.evaluate(OTHERS)?;
    let width = browser.evaluate("document.getElementById('result').width")?;
    let expected = json!({"cancelled": "Cancelled.", "steps": "3", "zoom": 1.25, "module": width, "element": width});
    ensure!(others == expected, "Firefox gave {others}");
    let started = Instant::now();
    while browser.evaluate("document.documentElement.dataset.offline ?? ''")? != "ready" {
        ensure!(
            started.elapsed() < LOADING,
            "the page is not kept: {:?}",
            browser.problems()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    let problems = browser.problems();
    ensure!(problems.is_empty(), "the console shows {problems:?}");

    drop(serving);
    browser.visit(&address)?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    draw(fixture, &mut browser, &short).context("without a network")?;
    browser.problems(); // of files that were not there

    let serving = Serving::start(fixture.site.clone(), 0, "/page", true)?;
    serving.isolate();
    browser.visit(&format!("{}?backend=cpu", serving.address()))?;
    let found =
        browser.evaluate("[roentgen.stats.threads, Math.min(navigator.hardwareConcurrency, 8)]")?;
    ensure!(
        found[0] == found[1],
        "an isolated Firefox has {found} threads and cores"
    );
    draw(fixture, &mut browser, &short).context("with threads")?;
    let problems = browser.problems();
    ensure!(problems.is_empty(), "the console shows {problems:?}");
    Ok(format!(
        "mean difference {difference:.4} of 255, ready in {ready:.1} s, {} steps in {took:.1} s; {} threads",
        SETTINGS.steps, found[0]
    ))
}

/// Draws what a link asks for; how far the image is from the native one, and how many seconds it
/// took.
fn draw(fixture: &Fixture, browser: &mut Firefox, settings: &Settings) -> Result<(f64, f64)> {
    let link = json!({
        "prompt": settings.prompt, "negative": settings.negative_prompt, "seed": settings.seed,
        "steps": settings.steps, "guidance": settings.guidance, "scheduler": settings.scheduler,
    });
    browser.evaluate(&format!(
        "(async () => {{ location.hash = new URLSearchParams({link}); await new Promise((read) => setTimeout(read, 200)); \
         document.getElementById('generate').click(); }})()"
    ))?;
    browser.wait("done", DRAWING)?;
    let image = picture(&browser.evaluate(&pixels("result"))?)?;
    let difference = fixture.as_native(&image, settings, "Firefox's image")?;
    let took = number(&browser.evaluate("roentgen.stats")?, "timeToImageMs")?;
    Ok((difference, took / 1000.0))
}
