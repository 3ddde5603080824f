//! The checks on settings: as a file, and the size of the image.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::batch::{catch_saved, saved_by};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// The form as it stands.
const FORM: &str = "Object.fromEntries(['prompt', 'negative', 'seed', 'steps', 'guidance', 'scheduler', 'size'].map((id) => [id, document.getElementById(id).value]))";

/// Gives the page a file of settings, by dropping it or through the file field; what it then says.
const GIVE: &str = r"(async (text, drop) => {
  const data = new DataTransfer();
  data.items.add(new File([text], 'settings.json', {type: 'application/json'}));
  const remark = document.getElementById('remark');
  remark.textContent = '';
  const field = document.getElementById('settings-file');
  if (drop) document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
  else { field.files = data.files; field.dispatchEvent(new Event('change')); }
  for (let i = 0; i < 100 && !remark.textContent; i++) await new Promise((next) => setTimeout(next, 20));
  return remark.textContent;
})";

/// Every setting comes back from the file that was saved, which the module takes too; a file that
/// is none changes nothing.
pub fn file(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let untouched = page.evaluate(FORM)?;
    page.fill(&Settings {
        scheduler: "euler",
        ..SETTINGS
    })?;
    size(&page, 1)?;
    let filled = page.evaluate(FORM)?;
    catch_saved(&page)?;
    let saved = String::from_utf8(saved_by(&page, "settings-save")?)?;
    let options: Value = serde_json::from_str(&saved)?;
    let expected = json!({
        "prompt": SETTINGS.prompt,
        "negativePrompt": SETTINGS.negative_prompt,
        "seed": SETTINGS.seed,
        "steps": SETTINGS.steps,
        "guidance": SETTINGS.guidance,
        "scheduler": "euler",
        "width": options["width"],
        "height": options["height"],
        "model": page.text("model-name")?,
    });
    ensure!(
        options == expected && options["width"].is_u64() && options["height"].is_u64(),
        "the file holds {options}"
    );
    page.close()?;

    let page = fixture.visit("?backend=cpu")?;
    for drop in [true, false] {
        let said = page.evaluate(&format!("{GIVE}({}, {drop})", json!(saved)))?;
        let found = page.evaluate(FORM)?;
        ensure!(
            found == filled,
            "{said}: the file gave {found}, not {filled}"
        );
        page.evaluate(&format!(
            "{GIVE}({}, true)",
            json!(untouched_file(&untouched))
        ))?;
        ensure!(page.evaluate(FORM)? != filled, "nothing was changed back");
    }
    let before = page.evaluate(FORM)?;
    for (bad, named) in [
        ("words", "no settings"),
        ("[1]", "no settings"),
        (r#"{"prompt": "x", "seed": -1}"#, "seed"),
        (r#"{"prompt": "x", "steps": "20"}"#, "steps"),
        (r#"{"prompt": "x", "image": "y"}"#, "image"),
        (r#"{"prompt": "x", "constructor": "y"}"#, "constructor"),
    ] {
        let said = page.evaluate(&format!("{GIVE}({}, true)", json!(bad)))?;
        let said = said.as_str().unwrap_or_default();
        ensure!(
            said.contains("ignored") && said.contains(named),
            "on {bad} the page says {said:?}"
        );
        let form = page.evaluate(FORM)?;
        ensure!(form == before, "{bad} changed the form to {form}");
    }
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{} bytes", saved.len()))
}

/// Other settings than those of the check, as a file.
fn untouched_file(form: &Value) -> String {
    json!({"prompt": form["prompt"], "seed": 1, "scheduler": null, "negativePrompt": ""})
        .to_string()
}

/// The page offers the model's own size first; another one is drawn as the native program draws it
/// and shown in its shape.
pub fn sizes(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let offered = page.evaluate(
        "[...document.getElementById('size').options].map((option) => option.textContent)",
    )?;
    let own = offered[0].as_str().context("no size is offered")?;
    ensure!(own.contains("made for"), "the sizes are {offered}");
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (first, _) = page.generate(&short, DRAWING)?;
    page.click("source-part")?;
    page.click("source-shown")?;
    wait_for_picture(&page, first.dimensions())?;
    size(&page, 1)?;
    let dimensions: (u32, u32) = {
        let text = offered[1].as_str().context("only one size is offered")?;
        let (width, height) = text.split_once(" × ").context("no size")?;
        (width.parse()?, height.parse()?)
    };
    wait_for_picture(&page, dimensions)?; // the picture to begin from is fitted anew
    page.click("source-remove")?;
    let other = Settings {
        size: Some(dimensions),
        ..short.clone()
    };
    let (drawn, _) = page.generate(&short, DRAWING)?;
    ensure!(
        drawn.dimensions() == dimensions,
        "the image is {:?}, not {dimensions:?}",
        drawn.dimensions()
    );
    let difference = fixture.as_native(&drawn, &other, "the larger image")?;

    // So are several of that size, in a grid.
    page.type_into("batch", "2")?;
    page.generate(&short, DRAWING)?;
    page.press("#grid button:nth-child(2)")?;
    let second = Settings {
        seed: short.seed + 1,
        ..other
    };
    fixture.as_native(&page.pixels()?, &second, "the second of the larger images")?;

    // A link may ask for sizes that are not offered; those that cannot be are refused in words.
    page.close()?;
    let page = fixture.visit("?backend=cpu#prompt=x&seed=1&steps=1&width=64&height=96")?;
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    ensure!(page.pixels()?.dimensions() == (64, 96));
    page.close()?;
    let page = fixture.visit("?backend=cpu#prompt=x&seed=1&steps=1&width=100&height=96")?;
    page.click("generate")?;
    let Err(refused) = page.wait("done", DRAWING) else {
        anyhow::bail!("a width of 100 is drawn")
    };
    let words = format!("{refused:#}");
    ensure!(
        words.contains("width 100 pixels are not a multiple of 8"),
        "{words}"
    );
    page.close()?;
    Ok(format!("{offered}; mean difference {difference:.4} of 255"))
}

/// Chooses one of the sizes.
pub fn size(page: &Page, index: usize) -> Result<()> {
    page.evaluate(&format!(
        "(() => {{ const list = document.getElementById('size'); list.selectedIndex = {index}; list.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
    ))?;
    Ok(())
}

fn wait_for_picture(page: &Page, (width, height): (u32, u32)) -> Result<()> {
    let there = page.evaluate(&format!(
        "(async () => {{ const [canvas, editor] = ['source-canvas', 'source-editor'].map((id) => document.getElementById(id)); \
         for (let i = 0; i < 100; i++) {{ if (!editor.hidden && canvas.width === {width} && canvas.height === {height}) return true; \
         await new Promise((next) => setTimeout(next, 50)); }} return false; }})()"
    ))?;
    ensure!(
        there == true,
        "no picture of {width}x{height} to begin from"
    );
    Ok(())
}
