//! The check on the element `<roentgen-image>`, in a page that has one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::{GrayImage, Luma};
use serde_json::json;

use super::download::manifest;
use super::fixture::{Fixture, SETTINGS, SHOW, short};
use super::page::Page;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Where the example of a page with an element is.
pub fn embed(fixture: &Fixture) -> String {
    format!("{}embed.html", fixture.serving.address())
}

/// The element begins from a picture, given as an address and as pixels; a mask of another size
/// says which half is painted anew. By how much that half changes.
fn edited(fixture: &Fixture) -> Result<u64> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let slope = |x: u32, _| Luma([u8::try_from(x).unwrap_or(u8::MAX)]);
    let side = manifest(fixture.site.bundle())?["defaults"]["width"].clone();
    let size = u32::try_from(side.as_u64().context("the model has no width")?)?;
    GrayImage::from_fn(size, size, slope).save(web.path().join("slope.png"))?;
    let upper = |_, y: u32| Luma([if y < 32 { 255 } else { 0 }]);
    GrayImage::from_fn(64, 64, upper).save(web.path().join("upper.png"))?;
    let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
    let page = Page::open(
        &fixture.browser,
        &format!("{}embed.html", serving.address()),
    )?;
    drawn(&page)?;
    page.evaluate(SETTLE)?;
    let steps = json!({"steps": 4, "image": "slope.png", "mask": "upper.png", "strength": 1});
    let found = page.evaluate(&format!(
        "(async () => {{ change({steps}); await settled(); const {{data, width}} = element.result.imageData; \
         const most = (from, to) => {{ let most = 0; for (let i = from; i < to; i++) if (i % 4 < 3) \
         most = Math.max(most, Math.abs(data[i] - (i >> 2) % width)); return most; }}; \
         const mark = element.shadowRoot.querySelector('[part=mark]').textContent; \
         return {{heard, mark, width, above: most(0, data.length * 0.375), below: most(data.length * 0.625, data.length)}}; }})()"
    ))?;
    ensure!(
        found["heard"] == json!(["image"])
            && found["mark"] == "Edited by a model, not for diagnosis"
            && found["width"] == side
            && found["below"] == 0,
        "beginning from an address gave {found}"
    );
    let kept = page.evaluate(
        "(async () => { const {data, width, height} = element.result.imageData; heard.length = 0; \
         element.image = new ImageData(data.slice(), width, height); element.mask = new ImageData(width, height); \
         await settled(); return element.result.imageData.data.every((value, i) => value === data[i]); })()",
    )?;
    ensure!(kept == true, "with an empty mask the picture changed");
    let words = page.evaluate(
        "(async () => { element.image = null; change({image: 'embed.html'}); await settled(); \
         return [...heard, element.shadowRoot.querySelector('[part=error]').innerText]; })()",
    )?;
    ensure!(
        words[0] == "request"
            && words[1]
                .as_str()
                .is_some_and(|words| words.contains("embed.html")),
        "a page as a picture gave {words}"
    );
    let problems = page.problems();
    ensure!(problems.is_empty(), "the console shows {problems:?}");
    page.close()?;
    let above = found["above"].as_u64().filter(|most| *most > 20);
    above.with_context(|| format!("hardly anything was painted anew: {found}"))
}

/// `change` sets attributes, and `settled` waits until the element is through with them; `heard`
/// has what it told.
const SETTLE: &str = include_str!("scripts/element-settles.js");

/// Waits for the image of the page's element; an error of the element is an error here.
pub fn drawn(page: &Page) -> Result<()> {
    page.evaluate(
        "(async () => { await customElements.whenDefined('roentgen-image'); const element = document.querySelector('roentgen-image'); \
         if (!element.result) await new Promise((drawn, failed) => { element.addEventListener('roentgen-image', drawn); \
         element.addEventListener('roentgen-error', ({detail}) => failed(detail.error)); }); })()",
    )?;
    Ok(())
}

/// The words of the element's parts, and what it tells assistive technology.
const ELEMENT: &str = include_str!("scripts/element-says.js");

/// The element of a page under a strict policy draws, follows its attributes, and says what went
/// wrong.
pub fn element(fixture: &Fixture) -> Result<String> {
    let page = Page::open(&fixture.browser, &embed(fixture))?;
    drawn(&page)?;
    page.evaluate(SHOW)?;
    page.evaluate(SETTLE)?;
    fixture.serving.take_paths();
    let attributes = json!({
        "prompt": SETTINGS.prompt, "negative-prompt": SETTINGS.negative_prompt, "seed": SETTINGS.seed, "steps": 2,
        "guidance": SETTINGS.guidance, "scheduler": SETTINGS.scheduler,
    });
    let heard = page.evaluate(&format!("(async () => {{ change({attributes}); await settled(); const canvas = element.shadowRoot.querySelector('canvas'); \
         show(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)); return heard; }})()"))?;
    ensure!(
        heard == json!(["image"]),
        "several attributes at once gave {heard}"
    );
    let difference =
        fixture.as_native(&page.pixels_of("shown")?, &short(), "the element's image")?;
    let says = page.evaluate(ELEMENT)?;
    let label = format!("Synthetic radiograph: {}", SETTINGS.prompt);
    ensure!(
        says == json!({"mark": "Synthetic, not for diagnosis", "words": "", "error": "", "label": label, "role": "img", "busy": "false", "progress": false}),
        "the element says {says}"
    );

    // One that is taken away while it draws is silent; another one uses the same model.
    let heard = page.evaluate(
        "(async () => { change({steps: 1000}); await new Promise((step) => element.addEventListener('roentgen-step', step, {once: true})); element.remove(); \
         const other = Object.assign(document.createElement('roentgen-image')); other.setAttribute('steps', '1'); other.setAttribute('prompt', 'Chest radiograph.'); \
         document.body.append(other); await settled(); other.remove(); return heard; })()",
    )?;
    ensure!(heard == json!(["image"]), "two elements gave {heard}");
    let fetched = fixture.serving.take_paths();
    ensure!(
        fetched.is_empty(),
        "changes, and a second element, fetched {fetched:?}"
    );
    fixture.all_quiet(&page)?;

    page.evaluate("document.body.append(element)")?;
    for (attributes, code, word) in [
        (json!({"steps": "none"}), "request", "steps"),
        (
            json!({"steps": 1, "model": "./models/none/"}),
            "not-found",
            "bundle.json",
        ),
    ] {
        let heard = page.evaluate(&format!(
            "(async () => {{ change({attributes}); await settled(); return heard; }})()"
        ))?;
        let says = page.evaluate(ELEMENT)?;
        let words = says["error"].as_str().unwrap_or_default();
        ensure!(
            heard == json!([code]) && words.contains(word) && says["mark"] == "",
            "{attributes} gave {heard}, and the element says {says}"
        );
    }
    page.evaluate("element.removeAttribute('model')")?;
    drawn(&page)?;
    // the page's server hears of requests a moment later
    std::thread::sleep(Duration::from_millis(100));
    let elsewhere = fixture.serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    page.close()?;
    let much = edited(fixture)?;
    Ok(format!(
        "mean difference {difference:.4} of 255; with a picture the painted half changes by up to {much} of 255"
    ))
}
