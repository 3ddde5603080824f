//! The check in Firefox: one visit that goes through what the page can do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Firefox;
use crate::browser::page::{picture, pixels};
use crate::browser::visits::{DRAWING, SETTINGS, number};
use crate::browser::{LOADING, Setting};
use crate::native::Settings;
use crate::serve::Serving;

/// The tools of the page, one after another: what came of each.
const TOOLS: &str = "(async () => { const $ = (id) => document.getElementById(id); const look = () => new Promise((next) => setTimeout(next, 50)); \
    const done = async () => { do await look(); while (document.documentElement.dataset.state === 'busy'); }; \
    const own = $('view').toDataURL(); $('invert').click(); const inverted = $('view').toDataURL() !== own; $('reset').click(); \
    $('compare').click(); $('compare-without').click(); await done(); document.querySelector('#compare-bar input[value=difference]').click(); \
    const difference = /Mean difference [1-9]/.test($('compare-words').textContent); $('compare').click(); \
    $('attention').click(); await done(); document.querySelector('#attention-words button:nth-child(12)').click(); \
    const attention = !$('attention-map').hidden; $('attention').click(); \
    $('previews').checked = true; $('batch').value = 4; $('steps').value = 4; $('generate').click(); await done(); \
    const cells = document.querySelectorAll('#grid button:not(:disabled)').length; \
    document.querySelector('#grid button').click(); const frames = Number($('steps-range').max) + 1; \
    const make = URL.createObjectURL; let file; URL.createObjectURL = (blob) => make.call(URL, file = blob); HTMLAnchorElement.prototype.click = () => {}; \
    const files = {}; for (const id of ['save', 'save-dicom']) { file = undefined; $(id).click(); while (!file) await look(); files[file.type] = (await file.text()).includes('SYNTHETIC^IMAGE') || (await file.text()).includes('ynthetic'); } \
    $('source-shown').click(); while ($('source-editor').hidden) await look(); $('generate').click(); await done(); const mark = $('mark').textContent; $('source-remove').click(); \
    $('batch').value = 1; return {inverted, difference, attention, cells, frames, files, mark, images: document.querySelectorAll('#visit-list button').length}; })()";

/// The image drawn first is brought back, a chip writes its sentence, its DICOM file is begun from, and the page speaks German.
const MORE: &str = "(async () => { const $ = (id) => document.getElementById(id); const look = () => new Promise((next) => setTimeout(next, 50)); \
    document.querySelector('#visit-list li:last-child button').click(); const seed = $('seed').value; \
    document.querySelector('#guide input[name=guide-finding][value=cardiomegaly]').click(); const sentence = $('prompt').value; \
    const make = URL.createObjectURL; let file; URL.createObjectURL = (blob) => make.call(URL, file = blob); HTMLAnchorElement.prototype.click = () => {}; \
    $('marked').click(); $('save-dicom').click(); while (!file) await look(); \
    const data = new DataTransfer(); data.items.add(new File([file], 'radiograph.dcm')); $('source-file').files = data.files; $('source-file').dispatchEvent(new Event('change')); \
    while ($('source-editor').hidden) { $('source-anyway').click(); await look(); } const pixels = (id) => $(id).getContext('2d').getImageData(0, 0, $(id).width, $(id).height).data; \
    const own = pixels('result'); const dicom = pixels('source-canvas').every((value, i) => Math.abs(value - own[i]) < 3); $('source-remove').click(); $('marked').click(); \
    const speak = (language) => { $('language').value = language; $('language').dispatchEvent(new Event('change')); return $('generate').textContent; }; \
    return {seed, sentence, dicom, words: ['de', 'en'].map(speak)}; })()";

/// An image is cancelled, settings come from a file, a key zooms, and the module and the element draw.
const OTHERS: &str = "(async () => { const $ = (id) => document.getElementById(id); const look = () => new Promise((next) => setTimeout(next, 50)); \
    $('steps').value = 100; $('generate').click(); while (!$('count').textContent.startsWith('step')) await look(); \
    $('cancel').click(); while (document.documentElement.dataset.state === 'busy') await look(); const cancelled = $('status').textContent; \
    const data = new DataTransfer(); data.items.add(new File(['{\"seed\": 5, \"steps\": 3}'], 'settings.json')); \
    $('settings-file').files = data.files; $('settings-file').dispatchEvent(new Event('change')); while ($('seed').value !== '5') await look(); \
    $('film').focus(); $('film').dispatchEvent(new KeyboardEvent('keydown', {key: '+', bubbles: true})); \
    const zoom = new DOMMatrix(getComputedStyle($('view')).transform).a; $('reset').click(); const there = (file) => import(new URL(file, location.href)); \
    const {Roentgen} = await there('./roentgen-web.js'); const roentgen = await Roentgen.load({backend: 'cpu'}); \
    const {imageData} = await roentgen.generate({seed: 1, steps: 1}); roentgen.dispose(); \
    await there('./roentgen-image.js'); const element = document.createElement('roentgen-image'); \
    for (const [name, value] of Object.entries({prompt: 'Chest radiograph.', steps: 1, seed: 1, backend: 'cpu'})) element.setAttribute(name, value); \
    document.body.append(element); await new Promise((drawn) => element.addEventListener('roentgen-image', drawn)); element.remove(); \
    return {cancelled, steps: $('steps').value, zoom, module: imageData.width, element: element.result.imageData.width}; })()";

/// The cpu engine's image is the native one, with a server and without; and the tools of the page work.
pub fn firefox(setting: &Setting) -> Result<String> {
    let mut browser = Firefox::launch()?;
    let serving = Serving::start(setting.site.clone(), 0, "/page", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    browser.visit(&address)?;
    let ready = number(&browser.evaluate("roentgen.stats")?, "timeToReadyMs")? / 1000.0;
    let (difference, took) = draw(setting, &mut browser, &SETTINGS)?;
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
    draw(setting, &mut browser, &short).context("without a network")?;
    browser.problems(); // of files that were not there

    let serving = Serving::start(setting.site.clone(), 0, "/page", true)?;
    serving.isolate();
    browser.visit(&format!("{}?backend=cpu", serving.address()))?;
    let found =
        browser.evaluate("[roentgen.stats.threads, Math.min(navigator.hardwareConcurrency, 8)]")?;
    ensure!(
        found[0] == found[1],
        "an isolated Firefox has {found} threads and cores"
    );
    draw(setting, &mut browser, &short).context("with threads")?;
    let problems = browser.problems();
    ensure!(problems.is_empty(), "the console shows {problems:?}");
    Ok(format!(
        "mean difference {difference:.4} of 255, ready in {ready:.1} s, {} steps in {took:.1} s; {} threads",
        SETTINGS.steps, found[0]
    ))
}

/// Draws what a link asks for; how far the image is from the native one, and how many seconds it took.
fn draw(setting: &Setting, browser: &mut Firefox, settings: &Settings) -> Result<(f64, f64)> {
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
    let difference = setting.as_native(&image, settings, "Firefox's image")?;
    let took = number(&browser.evaluate("roentgen.stats")?, "timeToImageMs")?;
    Ok((difference, took / 1000.0))
}
