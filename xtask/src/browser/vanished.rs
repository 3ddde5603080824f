//! The check on files that change, or go, between the moment when a visitor chose them and the one
//! when the page reads them.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, short};
use super::imports::{back, first, said, visit};
use super::models::{at_work, open_list, renamed};
use super::page::Page;
use super::source::take;
use super::storage::kept;
use crate::serve::Serving;

/// Keeps the files that a field is given from the page, so that they can change before it reads
/// them.
const CATCH: &str = include_str!("scripts/caught.js");

/// Gives the page what was caught.
fn give(page: &Page, field: &str) -> Result<()> {
    page.evaluate(&format!(
        "(() => {{ const data = new DataTransfer(); for (const file of given['{field}']) data.items.add(file); \
         const field = document.getElementById('{field}'); field.files = data.files; field.dispatchEvent(new Event('change')); }})()"
    ))?;
    Ok(())
}

/// What happens to a file on the disk.
type Change = fn(&Path) -> Result<()>;

fn remove(path: &Path) -> Result<()> {
    Ok(fs::remove_file(path)?)
}

/// Makes a file shorter.
fn shorten(path: &Path) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(fs::metadata(path)?.len() / 2)?;
    touch(path)
}

/// Gives a file a time of change that no clock takes for the one before.
fn touch(path: &Path) -> Result<()> {
    let later = SystemTime::now() + Duration::from_secs(60);
    let file = File::options().write(true).open(path)?;
    Ok(file.set_modified(later)?)
}

/// Files that change, or go, after they were chosen are said to be so, each in the same words; what
/// was there stays.
pub fn vanished(fixture: &Fixture) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let (own, one) = first(fixture, &serving)?;
    let page = visit(fixture, &serving, one)?;
    let mut count = 0;
    let gone = |page: &Page, name: &str| {
        let said = format!("{name} cannot be read any more");
        page.until(&format!(
                "['status', 'remark', 'teach-status'].some((id) => document.getElementById(id).textContent.includes({}))",
                json!(said)
            ),
        )
    };
    let settings = json!({"prompt": "Chest film.", "seed": 7}).to_string();
    let mut picture = std::io::Cursor::new(Vec::new());
    own.write_to(&mut picture, image::ImageFormat::Png)?;
    page.evaluate(CATCH)?;
    for (field, name, bytes) in [
        ("settings-file", "settings.json", settings.as_bytes()),
        ("settings-file", "radiograph.png", picture.get_ref()),
        ("lesson-file", "lesson.json", settings.as_bytes()),
        ("source-file", "picture.png", picture.get_ref()),
    ] {
        for change in [remove as Change, shorten, touch] {
            let path = folder.path().join(name);
            fs::write(&path, bytes)?;
            page.evaluate(&format!("delete given['{field}']"))?;
            page.choose(&format!("#{field}"), &[&path])?;
            change(&path)?;
            page.evaluate("['remark', 'teach-status'].forEach((id) => (document.getElementById(id).textContent = ''))")?;
            give(&page, field)?;
            gone(&page, name)?;
            count += 1;
        }
    }
    ensure!(
        page.is_hidden("source-editor")?,
        "there is a picture of a file that is gone"
    );

    // A picture that was opened is there in every size, whatever becomes of its file.
    let path = folder.path().join("picture.png");
    fs::write(&path, picture.get_ref())?;
    page.choose("#source-file", &[&path])?;
    take(&page)?;
    fs::remove_file(&path)?;
    let size = |index: u32| {
        page.evaluate(&format!(
            "(() => {{ const list = document.getElementById('size'); list.selectedIndex = {index}; list.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
    };
    size(1)?;
    page.until("!document.getElementById('source-editor').hidden && document.getElementById('source-canvas').height === 160",
    )?;
    size(0)?;
    page.click("source-remove")?;

    // A folder's files: those of another size are noticed before the model at work makes room, the
    // others when they are read.
    for (change, end, words) in [
        (
            remove as Change,
            "bundle.json",
            "bundle.json cannot be read any more",
        ),
        (remove, "safetensors", "has 0 bytes, the manifest says"),
        (touch, "bundle.json", "bundle.json cannot be read any more"),
        (touch, "safetensors", "safetensors cannot be read any more"),
    ] {
        let local = renamed(fixture.site.bundle(), "local")?;
        let path = fs::read_dir(local.path())?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with(end))
            .context("no such file")?;
        open_list(&page)?;
        page.evaluate("delete given['model-files']")?;
        page.choose("#model-files", &[local.path()])?;
        // the browser lists a folder at a time of its own
        page.until("given['model-files'] !== undefined")?;
        change(&path)?;
        give(&page, "model-files")?;
        said(&page, words).with_context(|| format!("{end}, change {count}"))?;
        if page.evaluate("document.getElementById('own-model').checkVisibility()")? == true {
            back(&page, &serving, &own)?;
        } else {
            let (image, _) = page.generate(&short(), DRAWING)?;
            ensure!(image == own, "the model at work draws another image");
        }
        count += 1;
    }
    let local = renamed(fixture.site.bundle(), "local")?;
    page.choose("#model-files", &[local.path()])?;
    at_work(&page, "local")?;
    fs::remove_file(local.path().join("README.md"))?;
    page.press("#models [aria-current] .link")?;
    gone(&page, "README.md")?;
    page.evaluate("document.getElementById('remark').textContent = ''")?;

    // A folder of the browser's own dialog that is gone as a whole.
    page.evaluate(
        "(async () => { const root = await navigator.storage.getDirectory(); const folder = await root.getDirectoryHandle('gone', {create: true}); \
         await root.removeEntry('gone'); globalThis.showDirectoryPicker = async () => folder; })()",
    )?;
    page.click("model-folder")?;
    gone(&page, "gone")?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(image == own, "the folder's model draws another image");
    ensure!(kept(&page)? == one, "{} bytes are kept", kept(&page)?);
    page.close()?;
    Ok(format!("{} files", count + 2))
}
