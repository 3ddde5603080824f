//! The check on beginning from a picture: what is painted changes, what is not stays, and the file
//! says so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;

use super::batch::{catch_saved, saved};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// Drops a file on the page: a slope of greys, wider than high, or words; what the page remarks on
/// it.
pub const DROP: &str = r"(async (kind) => {
  const canvas = new OffscreenCanvas(300, 200);
  const pen = canvas.getContext('2d');
  for (let x = 0; x < 300; x++) { const v = 40 + Math.floor(x / 2); pen.fillStyle = `rgb(${v},${v},${v})`; pen.fillRect(x, 0, 1, 200); }
  const blob = kind === 'picture' ? await canvas.convertToBlob() : new Blob(['words']);
  const data = new DataTransfer();
  data.items.add(new File([blob], 'a.png', {type: 'image/png'}));
  document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
  const remark = () => document.getElementById('remark').textContent;
  document.getElementById('remark').textContent = '';
  for (let i = 0; i < 100 && document.getElementById('source-editor').hidden && !/JPEG|was not taken/.test(remark()); i++)
    await new Promise((next) => setTimeout(next, 50));
  return remark();
})";

/// The picture that was given is there, whatever the reader says of it.
const TAKE: &str = "(() => { const seen = (id) => document.getElementById(id).checkVisibility(); \
    if (seen('source-refused')) document.getElementById('source-anyway').click(); return seen('source-editor'); })()";

/// Waits for the picture that was given, and takes it where the reader refuses it.
pub fn take(page: &Page) -> Result<()> {
    page.until(TAKE)
}

/// Part of the picture that is under the brush, in percent; 0 is none.
fn painted(page: &Page) -> Result<u32> {
    let text = page.text("source-share")?;
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse().unwrap_or(0))
}

fn hidden(page: &Page) -> Result<Value> {
    page.evaluate("document.getElementById('source-editor').hidden")
}

/// A picture is dropped, painted over, changed there, and taken away again.
pub fn source(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let remark = page.evaluate(&format!("{DROP}('words')"))?;
    ensure!(
        hidden(&page)? == true && remark.as_str().is_some_and(|words| words.contains("JPEG")),
        "a file of words is taken as a picture; the page says: {remark}"
    );
    let remark = page.evaluate(&format!("{DROP}('picture')"))?;
    ensure!(
        hidden(&page)? == true
            && remark
                .as_str()
                .is_some_and(|words| words.contains("was not taken")),
        "a slope of greys is taken for a radiograph; the page says: {remark}"
    );
    take(&page)?;
    ensure!(page.text("remark")?.is_empty(), "the refusal stays");
    let before = page.pixels_of("source-canvas")?;
    ensure!(
        painted(&page)? == 0,
        "something is painted before the brush was used"
    );
    page.drag("source-canvas", (0.2, 0.3), (0.35, 0.6))?;
    let share = painted(&page)?;
    ensure!((1..40).contains(&share), "the brush covers {share} %");

    let settings = Settings {
        steps: 4,
        ..SETTINGS
    };
    let (after, _) = page.generate(&settings, DRAWING)?;
    let (width, height) = after.dimensions();
    ensure!(before.dimensions() == (width, height), "another size");
    // The stroke lies in the left half; the brush is 20 pixels wide.
    let change = |from: u32, to: u32| {
        let columns = (from..to).flat_map(|x| (0..height).map(move |y| (x, y)));
        columns
            .map(|(x, y)| after.get_pixel(x, y)[0].abs_diff(before.get_pixel(x, y)[0]))
            .max()
            .unwrap_or(0)
    };
    let (inside, outside) = (change(0, width / 2), change(width / 2 + 4, width));
    ensure!(
        outside == 0,
        "pixels that were not painted changed by up to {outside}"
    );
    ensure!(
        inside > 20,
        "under the brush hardly anything changed: by up to {inside}"
    );
    ensure!(
        page.text("mark")? == "Edited by a model",
        "the mark says {:?}",
        page.text("mark")?
    );
    catch_saved(&page)?;
    let bytes = saved(&page)?;
    let file = String::from_utf8_lossy(&bytes);
    ensure!(
        file.contains("may show a person") && file.contains("Strength"),
        "the file does not say that it began from a picture"
    );

    // The brush by keys, and the picture taken away.
    page.click("source-clear")?;
    ensure!(painted(&page)? == 0, "the brush is not cleared");
    page.evaluate("document.getElementById('source-canvas').focus()")?;
    page.key("ArrowRight")?;
    page.key("Enter")?;
    ensure!(painted(&page)? > 0, "the brush cannot be used by keys");
    page.click("source-shown")?;
    ensure!(
        painted(&page)? == 0 && page.pixels_of("source-canvas")? == after,
        "the image shown is not taken"
    );
    page.evaluate("(() => { const range = document.getElementById('source-strength'); range.value = 0.05; range.dispatchEvent(new Event('input')); })()")?;
    page.click("generate")?;
    let words = loop {
        match page.state()?.as_str() {
            "error" => break page.text("status")?,
            "done" => anyhow::bail!("a strength of no step is not refused"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    ensure!(words.contains("strength"), "the page says: {words}");
    // With the panel closed, the picture is told beside the sentence, and can be taken away there.
    page.evaluate("document.getElementById('source-part').open = false")?;
    let chip = page.evaluate("(() => { const chip = document.getElementById('picked'); return [chip.checkVisibility(), chip.innerText.includes('Begins from a picture'), document.getElementById('picked-thumb').width]; })()")?;
    ensure!(
        chip == serde_json::json!([true, true, width]),
        "beside the sentence the picture is {chip}"
    );
    page.click("picked-remove")?;
    let gone = page.is_hidden("picked")?;
    ensure!(gone && hidden(&page)? == true, "the picture is still there");
    let (plain, _) = page.generate(&settings, DRAWING)?;
    fixture.as_native(&plain, &settings, "the image without the picture")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "{share} % painted; there by up to {inside} of 255, elsewhere by {outside}"
    ))
}

/// Drops a file of these bytes, in base64.
const DROP_FILE: &str = r"((name, words) => {
  const bytes = Uint8Array.from(atob(words), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
})";

/// Pictures as cameras and detectors write them: turned by EXIF, with 12 of 16 bits used.
/// `cases.json` has them as Pillow reads them.
pub fn upright(fixture: &Fixture) -> Result<String> {
    let folder = crate::workspace::root().join("tests/reference/goldens/pictures");
    let goldens: Value = serde_json::from_slice(&std::fs::read(folder.join("cases.json"))?)?;
    let page = fixture.visit("?backend=cpu")?;
    let mut worst: f64 = 0.0;
    for name in [
        "turned-3.jpg",
        "turned-6.jpg",
        "turned-8.jpg",
        "bits-12.png",
    ] {
        let bytes = BASE64_STANDARD.encode(std::fs::read(folder.join(name))?);
        page.evaluate(&format!("{DROP_FILE}('{name}', '{bytes}')"))?;
        take(&page)?;
        let canvas = page.pixels_of("source-canvas")?;
        let golden = &goldens[name];
        let number = |value: &Value| value.as_i64().context("cases.json has whole numbers");
        let [width, height] = ["width", "height"].map(|key| number(&golden[key]));
        let (width, height) = (width? as usize, height? as usize);
        // The middle square, each of its pixels where it lies on the larger canvas.
        let side = width.min(height);
        let scale = f64::from(canvas.width()) / side as f64;
        let (left, top) = ((width - side) / 2, (height - side) / 2);
        let mut off = 0.0;
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let [u, v] = [x, y].map(|i| ((i as f64 + 0.5) * scale) as u32);
            let expected = number(&golden["pixels"][(top + y) * width + left + x])?;
            off += (i64::from(canvas.get_pixel(u, v)[0]) - expected).abs() as f64;
        }
        let off = off / (side * side) as f64;
        ensure!(
            off < 10.0,
            "{name} is off by {off:.1} of 255 on the average"
        );
        worst = worst.max(off);
        page.click("source-remove")?;
    }
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("at most {worst:.1} of 255 from Pillow's, enlarged"))
}
