//! The check on the ways in which a picture to begin from comes: a file, a drag, the clipboard; PNG
//! and JPEG.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{GrayImage, Luma};

use super::fixture::Fixture;
use super::page::Page;
use super::source::take;

/// Pastes a picture, or words, as a browser tells a page of it; whether the page took it.
const PASTE: &str = r"(async (kind) => {
  const data = new DataTransfer();
  const canvas = new OffscreenCanvas(64, 64);
  const pen = canvas.getContext('2d');
  pen.fillStyle = 'rgb(77, 77, 77)';
  pen.fillRect(0, 0, 64, 64);
  if (kind === 'picture') data.items.add(new File([await canvas.convertToBlob()], 'image.png', {type: 'image/png'}));
  else data.setData('text/plain', 'words');
  const event = new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true});
  document.getElementById('prompt').dispatchEvent(event);
  return event.defaultPrevented;
})";

/// The picture that came, of which the middle column is `expected`; the next one comes to an empty
/// place.
fn came(page: &Page, how: &str, expected: u8, allowed: u8) -> Result<()> {
    take(page).context(how.to_owned())?;
    let found = page.pixels_of("source-canvas")?;
    let middle = found.get_pixel(found.width() / 2, found.height() / 2)[0];
    ensure!(
        middle.abs_diff(expected) <= allowed,
        "{how}: the picture's middle is {middle}, not {expected}"
    );
    page.click("source-remove")
}

/// Each way leads to the brush, with the pixels of the file; words that are pasted stay words.
pub fn given(fixture: &Fixture) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let slope = |x: u32, _| Luma([u8::try_from(x / 2).unwrap_or(u8::MAX)]);
    let files = ["a.png", "b.jpg"].map(|name| folder.path().join(name));
    for file in &files {
        GrayImage::from_fn(400, 300, slope).save(file)?;
    }
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate("document.getElementById('source-part').open = true")?;
    for (file, allowed) in files.iter().zip([1, 3]) {
        let file: &Path = file;
        page.choose("#source-file", &[file])?;
        came(
            &page,
            &format!("{} in the file field", file.display()),
            100,
            allowed,
        )?;
        page.drop("film", &[file])?;
        came(&page, &format!("{} dropped", file.display()), 100, allowed)?;
    }
    let taken = page.evaluate(&format!("{PASTE}('words')"))?;
    ensure!(
        taken == false,
        "words that are pasted do not reach their field"
    );
    let taken = page.evaluate(&format!("{PASTE}('picture')"))?;
    ensure!(taken == true, "a picture that is pasted is not taken");
    came(&page, "pasted", 77, 0)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok("PNG and JPEG, chosen, dropped and pasted".to_owned())
}
