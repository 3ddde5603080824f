//! The checks on choosing a model: by its address, from a folder, by a drop; and on what is no
//! model.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::about::card;
use super::batch::{catch_saved, saved};
use super::download::{all, manifest};
use super::fixture::{DRAWING, Fixture, LOADING, SHOW, short};
use super::page::Page;
use crate::serve::Serving;
use crate::workspace::copy;

/// `modelFolder` fills a folder of the browser's own with a model of the site.
pub const MODEL_FOLDER: &str = include_str!("scripts/model-folder.js");

/// Loads the module with such a folder, and with its files.
const FROM_HANDLE: &str = include_str!("scripts/folder-handle.js");

/// A folder with the site's model under another name: the same weights in a file of another hash.
pub fn renamed(bundle: &Path, name: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    copy(bundle, folder.path())?;
    let (old, mut bytes) = shard(folder.path())?;
    // The header of a safetensors file may end in spaces, and its length stands before it.
    let length = u64::from_le_bytes(bytes[..8].try_into()?);
    let end = 8 + usize::try_from(length)?;
    let spaces = 8 * name.len();
    bytes.splice(end..end, std::iter::repeat_n(b' ', spaces));
    bytes[..8].copy_from_slice(&(length + spaces as u64).to_le_bytes());
    let mut hash = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(hash, "{byte:02x}")?;
    }
    fs::remove_file(&old)?;
    let file = format!("weights-{}.safetensors", &hash[..16]);
    fs::write(folder.path().join(&file), &bytes)?;
    let manifest = folder.path().join("bundle.json");
    let mut told: Value = serde_json::from_slice(&fs::read(&manifest)?)?;
    told["name"] = name.into();
    told["shards"][0] = serde_json::json!({"file": file, "bytes": bytes.len(), "sha256": hash});
    fs::write(&manifest, serde_json::to_vec(&told)?)?;
    Ok(folder)
}

/// The first file of weights in a folder.
fn shard(folder: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let manifest = manifest(folder)?;
    let file = manifest["shards"][0]["file"].as_str();
    let shard = folder.join(file.context("the model has no shard")?);
    let bytes = fs::read(&shard)?;
    Ok((shard, bytes))
}

/// The page with its list of models open.
pub fn open_list(page: &Page) -> Result<()> {
    page.evaluate("document.getElementById('model-part').open = true")?;
    Ok(())
}

/// Waits until the model of this name is ready.
pub fn at_work(page: &Page, name: &str) -> Result<()> {
    page.until(&format!(
        "document.getElementById('model-name').textContent === '{name}'"
    ))?;
    page.wait("ready", LOADING)?;
    Ok(())
}

/// Each way to give a model leads to it; an image keeps the name of the model that drew it.
pub fn choose(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let local = renamed(fixture.site.bundle(), "local")?;
    let site = fixture.site.and("models/other", other.path());
    let serving = Serving::start(Arc::new(site), 0, "/a", true)?;
    let page = fixture.visit_of(&serving)?;
    let shipped = page.text("model-name")?;
    let (own, _) = page.generate(&short(), DRAWING)?;

    open_list(&page)?;
    page.type_into("model-address", "./models/other")?;
    page.key("Enter")?;
    at_work(&page, "other")?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(image == own, "the same weights give another image");
    catch_saved(&page)?;
    for (press, name) in [
        ("", "other"),
        ("#visit-list li:last-child button", &*shipped),
    ] {
        if !press.is_empty() {
            page.press(press)?;
        }
        let file = saved(&page)?;
        let text = String::from_utf8_lossy(&file);
        ensure!(text.contains(name), "a file of {name} does not say so");
    }
    let address = page.evaluate("location.href")?;
    let address = address.as_str().unwrap_or_default().to_owned();
    ensure!(
        address.contains("bundle=%2Fa%2Fmodels%2Fother%2Fbundle.json"),
        "the address does not name the model: {address}"
    );
    page.close()?;
    let page = Page::open(&fixture.browser, &address)?;
    at_work(&page, "other")?;

    // Files of this device: nothing of them is asked of the server, and no link leads to them.
    open_list(&page)?;
    serving.take_paths();
    page.choose("#model-files", &[local.path()])?;
    at_work(&page, "local")?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == 0 && stats["cachedBytes"] == all(local.path())?,
        "with a folder the page counts {stats}"
    );
    let weights: Vec<String> = serving.take_paths();
    ensure!(
        !weights.iter().any(|path| path.contains("/models/")),
        "with a folder the page asked for {weights:?}"
    );
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(
        image == own,
        "the same weights of a folder give another image"
    );
    let found = page.evaluate("[location.search, [...document.querySelectorAll('#models strong')].map((name) => name.textContent).filter((name) => ['other', 'local'].includes(name))]")?;
    ensure!(
        found == serde_json::json!(["?backend=cpu", ["local", "other"]]),
        "with a folder the address and the list are {found}"
    );
    let words = fs::read_to_string(local.path().join("README.md"))?;
    ensure!(
        card(&page, "#models [aria-current] .link")? == words,
        "the card of a folder is another text"
    );
    page.click("copy")?;
    page.until(
        "/stays on your device|by hand/.test(document.getElementById('remark').textContent)",
    )?;
    page.press("#models li:not([aria-current]) button")?;
    page.until("document.getElementById('model-name').textContent !== 'local'")?;
    page.wait("ready", LOADING)?;
    page.drop("film", &[local.path()])?;
    at_work(&page, "local")?;
    // Of two that are asked for at once the later one comes.
    page.evaluate(
        "(() => { document.getElementById('model-address').value = './models/other/'; document.getElementById('model-load').click(); \
         document.querySelector('#models li:not([aria-current]) button').click(); })()",
    )?;
    at_work(&page, &shipped)?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(
        image == own && page.text("model-name")? == shipped,
        "of two models that were asked for at once {} is at work",
        page.text("model-name")?
    );
    fixture.all_quiet_of(&page, &serving)?;

    page.evaluate(SHOW)?;
    page.evaluate(MODEL_FOLDER)?;
    let found = page.evaluate(FROM_HANDLE)?;
    let width = own.width();
    ensure!(
        found
            == serde_json::json!([
                ["other", null, 0, true, width],
                ["other", null, 0, true, width]
            ]),
        "the module with a folder, and with files, gives {found}"
    );
    page.close()?;
    Ok("by address, link, folder, drop, handle and files".to_owned())
}

/// What is no model is refused with what to do, and the model at work stays; a damaged one can be
/// left again.
pub fn refusals(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let shipped = page.text("model-name")?;
    open_list(&page)?;
    let bundle = fixture.site.bundle();
    let without = |change: &dyn Fn(&Path) -> Result<()>| -> Result<TempDir> {
        let folder = renamed(bundle, "broken")?;
        change(folder.path())?;
        Ok(folder)
    };
    let empty = without(&|folder| Ok(fs::remove_file(folder.join("bundle.json"))?))?;
    let missing = without(&|folder| Ok(fs::remove_file(shard(folder)?.0)?))?;
    let short_of = without(&|folder| {
        let (file, bytes) = shard(folder)?;
        Ok(fs::write(file, &bytes[..bytes.len() - 1])?)
    })?;
    let schema = without(&|folder| Ok(fs::write(folder.join("bundle.json"), "{}")?))?;
    let two = tempfile::tempdir()?;
    for name in ["a", "bb"] {
        copy(bundle, &two.path().join(name))?;
    }
    for (folder, words) in [
        (&empty, "There is no bundle.json"),
        (&missing, "is not in the folder"),
        (&short_of, "Copy it again"),
        (&schema, "which files belong to the model"),
        (&two, "Choose the folder of one"),
    ] {
        page.choose("#model-files", &[folder.path()])?;
        page.until(&format!(
            "document.getElementById('status').textContent.includes('{words}')"
        ))?;
        ensure!(
            page.state()? == "error" && page.text("model-name")? == shipped,
            "after {words:?} the page is {} with {}",
            page.state()?,
            page.text("model-name")?
        );
    }
    for (address, words) in [
        ("http://", "is not an address"),
        ("./models/none", "is not on the server"),
    ] {
        page.type_into("model-address", address)?;
        page.click("model-load")?;
        page.until(&format!(
                "(document.getElementById('status').textContent + document.getElementById('remark').textContent).includes('{words}')"
            ),
        )?;
    }
    // The one at work is still there.
    let (own, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&own, &short(), "the image after what was refused")?;

    let damaged = without(&|folder| {
        let (file, mut bytes) = shard(folder)?;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Ok(fs::write(file, bytes)?)
    })?;
    page.choose("#model-files", &[damaged.path()])?;
    page.until("/is damaged: its SHA-256/.test(document.getElementById('status').textContent)")?;
    ensure!(
        page.evaluate("document.getElementById('generate').disabled")? == true,
        "without a model there is something to press"
    );
    page.click("own-model")?;
    at_work(&page, &shipped)?;
    let (again, _) = page.generate(&short(), DRAWING)?;
    ensure!(again == own, "the model of before gives another image");
    page.close()?;
    Ok("8 of them".to_owned())
}
