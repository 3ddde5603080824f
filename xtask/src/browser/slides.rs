//! The checks on what is saved for a lecture: what is on the film, with captions; a batch as a
//! sheet; the steps as a GIF.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::RgbaImage;
use serde_json::json;

use super::batch::{catch_saved, saved, saved_by};
use super::download::name;
use super::fixture::{DRAWING, Fixture, LOADING, SETTINGS};
use super::models::{at_work, open_list};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::root;

/// What the browser itself makes of the GIF that was saved last: its frames, and the greys of the
/// last one.
const GIF: &str = include_str!("scripts/gif.js");

/// Each state of the film gives its own file, which says what gave it, and the plain image stays
/// the model's pixels.
pub fn seen(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 4,
        ..SETTINGS
    };
    let (own, _) = page.generate(&short, DRAWING)?;
    catch_saved(&page)?;
    page.click("marked")?; // the words in the pixels are not looked at here
    let plain = picture(&saved(&page)?)?;
    ensure!(plain == own, "a single image is saved with other pixels");

    // A step.
    page.evaluate("document.getElementById('steps-range').focus()")?;
    page.key("Home")?;
    let step = slide(&page, "Save this step", &own)?;
    page.evaluate("document.getElementById('steps-range').focus()")?;
    page.key("End")?;
    ensure!(
        page.text("save")? == "Save as PNG",
        "of the last step the button says {:?}",
        page.text("save")?
    );

    // The steps together.
    saved_by(&page, "steps-save")?;
    let gif = page.evaluate(GIF)?;
    ensure!(
        gif["frames"] == 4
            && gif["forever"] == true
            && gif["width"] == 384
            && gif["says"] == json!(true),
        "the GIF is {gif}"
    );
    let mean = gif["mean"].as_f64().context("no pixels")?;
    ensure!(
        mean < 6.0,
        "the GIF's last frame is {mean:.1} of 255 from the image"
    );

    // A word.
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    page.press("#attention-words button:nth-child(12)")?;
    let word = slide(&page, "Save with the colours", &own)?;
    ensure!(coloured(&word) > 1000, "the colours are not in the file");
    page.click("attention")?;

    // Two images.
    page.click("compare")?;
    page.click("compare-without")?;
    page.wait("done", DRAWING)?;
    let mut pairs = Vec::new();
    for how in ["slider", "side", "difference"] {
        page.press(&format!("#compare-bar input[value={how}]"))?;
        pairs.push(slide(&page, "Save the comparison", &own)?);
    }
    ensure!(
        pairs[1].width() > pairs[0].width()
            && coloured(&pairs[0]) == 0
            && coloured(&pairs[2]) > 1000,
        "the three ways to compare are saved as {:?} pixels, {:?} of them coloured",
        pairs.iter().map(RgbaImage::dimensions).collect::<Vec<_>>(),
        pairs.iter().map(coloured).collect::<Vec<_>>()
    );
    page.click("compare")?;

    // A batch: the tile that files are about is marked, and each can be saved.
    page.type_into("batch", "4")?;
    page.generate(&short, DRAWING)?;
    let marked = "[...document.querySelectorAll('#grid button[aria-current]')].map((cell) => cell.textContent)";
    ensure!(
        page.evaluate(marked)? == json!(["1898"]),
        "marked are {}",
        page.evaluate(marked)?
    );
    let sheet = slide(&page, "Save as one sheet", &own)?;
    ensure!(
        sheet.width() > 2 * 320 && sheet.height() > 2 * 320,
        "the sheet is {:?}",
        sheet.dimensions()
    );
    let each = page.evaluate(
        "(async () => { const make = URL.createObjectURL; const all = []; URL.createObjectURL = (blob) => (all.push(blob), make.call(URL, blob)); \
         document.getElementById('save-all').click(); while (all.length < 4) await new Promise((next) => setTimeout(next, 50)); \
         return Promise.all(all.map(async (blob) => (await blob.text()).match(/Seed[^]{5}(\\d+)/)?.[1])); })()",
    )?;
    ensure!(
        each == json!(["1895", "1896", "1897", "1898"]),
        "each of the batch is {each}"
    );
    page.press("#grid button:nth-child(2)")?;
    page.click("to-grid")?;
    ensure!(
        page.evaluate(marked)? == json!(["1896"]),
        "marked are {}",
        page.evaluate(marked)?
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "a step {:?}, a sheet {:?}, a GIF {mean:.1} of 255 off",
        step.dimensions(),
        sheet.dimensions()
    ))
}

/// The file that the button of this name saves: larger than the image, and telling what gave it.
fn slide(page: &Page, button: &str, own: &RgbaImage) -> Result<RgbaImage> {
    ensure!(
        page.text("save")? == button,
        "the button says {:?}, not {button:?}",
        page.text("save")?
    );
    let bytes = saved(page)?;
    let text = String::from_utf8_lossy(&bytes);
    for word in [&*SETTINGS.prompt, "ynthetic", "128x128"] {
        ensure!(
            text.contains(word),
            "{button}: the file does not say {word:?}"
        );
    }
    let found = picture(&bytes)?;
    ensure!(
        found.width() >= 4 * own.width() && found.height() > 4 * own.height(),
        "{button}: the file is {:?}",
        found.dimensions()
    );
    Ok(found)
}

fn picture(bytes: &[u8]) -> Result<RgbaImage> {
    Ok(image::load_from_memory(bytes)?.into_rgba8())
}

/// Pixels that are no grey.
fn coloured(image: &RgbaImage) -> usize {
    let spread = |pixel: &&image::Rgba<u8>| {
        let channels = &pixel.0[..3];
        channels
            .iter()
            .max()
            .zip(channels.iter().min())
            .is_some_and(|(most, least)| most - least > 40)
    };
    image.pixels().filter(spread).count()
}

/// Settings that were saved come back from each kind of file, and those of another model are told;
/// a reload keeps the form.
pub fn kept(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (own, _) = page.generate(&short, DRAWING)?;
    catch_saved(&page)?;
    let form = page.evaluate(FORM)?;
    let mut files = Vec::new();
    for (button, name) in [
        ("save", "a.png"),
        ("save-dicom", "a.dcm"),
        ("settings-save", "a.json"),
    ] {
        saved_by(&page, button)?;
        page.evaluate(&format!("(globalThis.files ??= {{}})['{name}'] = saved"))?;
        files.push(name);
    }
    for name in files {
        page.type_into("prompt", "Chest film.")?;
        page.type_into("steps", "9")?;
        page.type_into("seed", "3")?;
        let said = page.evaluate(&format!("{GIVE}(files['{name}'], '{name}')"))?;
        let found = page.evaluate(FORM)?;
        ensure!(
            found == form,
            "{name} gave {found}, not {form}; the page says {said}"
        );
    }
    let said = page.evaluate(&format!(
        "(async () => {{ const canvas = new OffscreenCanvas(8, 8); canvas.getContext('2d'); return {GIVE}(await canvas.convertToBlob(), 'b.png'); }})()"
    ))?;
    ensure!(
        said.to_string().contains("no settings"),
        "of a stranger's PNG the page says {said}"
    );

    // Made with another model: said, and that model is one press away.
    let fast = name(&root().join("models/fast"))?;
    let other = json!({"prompt": "Chest film.", "steps": 4, "guidance": 1, "model": fast});
    page.evaluate("document.getElementById('model-part').open = true")?;
    let said = page.evaluate(&format!(
        "{GIVE}(new Blob([JSON.stringify({other})]), 'c.json')"
    ))?;
    ensure!(
        said.to_string()
            .contains(&format!("made with the model {fast}")),
        "of another model's settings the page says {said}"
    );
    let offer = page.text("use-model")?;
    ensure!(offer == format!("Use {fast}"), "the page offers {offer:?}");

    // A reload, with a sentence that was typed a moment ago.
    page.type_into("prompt", "AP chest film of a girl.")?;
    page.type_into("negative", "edema")?;
    page.type_into("seed", "77")?;
    page.type_into("batch", "3")?;
    let left = page.evaluate(FORM)?;
    reload(&page)?;
    let found = page.evaluate(FORM)?;
    ensure!(
        found == left,
        "after a reload the form is {found}, not {left}"
    );
    page.evaluate("location.hash = 'prompt=Chest&seed=5'")?;
    page.until("document.getElementById('seed').value === '5'")?;

    // Images go with a reload, unless the visitor keeps them; and they go when that is taken back.
    ensure!(thumbs(&page)? == 0, "images came back that nobody kept");
    page.type_into("batch", "1")?;
    page.generate(&short, DRAWING)?;
    page.evaluate("document.getElementById('visit-keep').click()")?;
    std::thread::sleep(Duration::from_millis(300));
    reload(&page)?;
    ensure!(
        thumbs(&page)? == 1,
        "{} kept images came back",
        thumbs(&page)?
    );
    page.press("#visit-list button")?;
    ensure!(page.pixels()? == own, "the kept image is another one");
    page.evaluate("document.getElementById('visit-keep').click()")?;
    std::thread::sleep(Duration::from_millis(300));
    reload(&page)?;
    ensure!(
        thumbs(&page)? == 0,
        "images that are no longer kept came back"
    );
    page.close()?;
    Ok("PNG, DICOM and JSON; a reload".to_owned())
}

fn reload(page: &Page) -> Result<()> {
    page.evaluate("location.reload()")?;
    std::thread::sleep(Duration::from_millis(500));
    page.wait("ready", LOADING)?;
    Ok(())
}

/// Images of the visit.
fn thumbs(page: &Page) -> Result<u64> {
    let thumbs = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    thumbs.as_u64().context("no list")
}

/// Another model without a network: said in plain words, with a button to try again; the one at
/// work stays.
pub fn away(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "/away", true)?;
    let (address, port) = (serving.address(), serving.port());
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    open_list(&page)?;
    let own = page.text("model-name")?;
    drop(serving);
    page.press("#models li:not([aria-current]) button")?;
    page.until("document.documentElement.dataset.state === 'error'")?;
    let said = page.text("status")?;
    ensure!(
        said.contains("network cannot be reached") && !said.contains(".json"),
        "without a network the page says {said:?}"
    );
    let offered = page.evaluate("document.getElementById('retry').checkVisibility()")?;
    ensure!(
        offered == true && page.text("model-name")? == own,
        "there is nothing to press, or the model is gone"
    );
    let short = Settings {
        steps: 1,
        ..SETTINGS
    };
    page.generate(&short, DRAWING)
        .context("with the model at work")?;
    page.press("#models li:not([aria-current]) button")?;
    page.until("document.documentElement.dataset.state === 'error'")?;
    let serving = Serving::start(fixture.site.clone(), port, "/away", true)?;
    page.click("retry")?;
    at_work(&page, &name(&root().join("models/fast"))?)?;
    drop(serving);
    page.close()?;
    Ok(said)
}

/// The form as it stands.
const FORM: &str = "Object.fromEntries(['prompt', 'negative', 'seed', 'steps', 'guidance', 'scheduler', 'size', 'batch'].map((id) => [id, document.getElementById(id).value]))";

/// Gives the page a file of settings through its field; what it then says.
const GIVE: &str = r"(async (blob, name) => {
  const data = new DataTransfer();
  data.items.add(new File([blob], name));
  const remark = document.getElementById('remark');
  remark.textContent = '';
  const field = document.getElementById('settings-file');
  field.files = data.files;
  field.dispatchEvent(new Event('change'));
  for (let i = 0; i < 100 && !remark.textContent; i++) await new Promise((next) => setTimeout(next, 20));
  await new Promise((next) => setTimeout(next, 100)); // one sentence may replace another
  return remark.textContent;
})";
