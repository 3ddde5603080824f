//! The check on opening a model's folder, as the browser can: with its own dialog for folders, or
//! with a plain file field.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::fixture::{DRAWING, Fixture, short};
use super::models::{MODEL_FOLDER, at_work, open_list, renamed};
use super::page::Page;
use crate::serve::Serving;

/// The dialog belongs to the system, where no check can press: in its place stands a folder of the
/// browser's own, which is given in the same way.
const DIALOG: &str = include_str!("scripts/folder-dialog.js");

/// Presses the button; how often the plain file field was opened since.
fn pressed(page: &Page, dialog: &str) -> Result<u64> {
    page.evaluate(&format!(
        "fields = 0, globalThis.showDirectoryPicker = {dialog}"
    ))?;
    page.click("model-folder")?;
    std::thread::sleep(Duration::from_millis(200)); // a refused promise is heard a moment later
    Ok(page.evaluate("fields")?.as_u64().unwrap_or_default())
}

/// The folder's model draws; whoever thinks better of it keeps what is there, and where there is no
/// dialog a field opens.
pub fn folder(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let site = fixture.site.and("models/other", other.path());
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let page = fixture.visit_of(&serving)?;
    open_list(&page)?;
    page.evaluate(MODEL_FOLDER)?;
    page.evaluate(DIALOG)?;
    page.click("model-folder")?;
    at_work(&page, "other")?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image of a folder")?;
    let refuse = |name: &str| format!("async () => {{ throw new DOMException('', '{name}'); }}");
    for (dialog, expected) in [
        (refuse("AbortError"), 0),
        (refuse("SecurityError"), 1),
        ("undefined".to_owned(), 1),
    ] {
        let fields = pressed(&page, &dialog)?;
        ensure!(
            fields == expected && page.text("model-name")? == "other",
            "with the dialog {dialog} the file field is opened {fields} times"
        );
    }
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok("by the dialog, and by the field without one".to_owned())
}
