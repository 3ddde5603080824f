//! The checks on DICOM, against readers that are not ours: dcmtk and dicom3tools.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use image::RgbaImage;

use super::batch::{catch_saved, saved_by};
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;
use crate::workspace::command;
use crate::{apt, native};

/// Debian's packages, and a program of each.
const PACKAGES: [&str; 2] = ["dcmtk", "dicom3tools"];
const PROGRAMS: [&str; 2] = ["dcmdump", "dciodvfy"];

/// Drops a file on the page; what the page remarks on it, once there is a picture or a remark.
const DROP: &str = r"(async (bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], 'IM000001'));
  document.getElementById('source-remove').click();
  document.getElementById('remark').textContent = '';
  document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
  const remark = () => document.getElementById('remark').textContent;
  const shown = (id) => !document.getElementById(id).hidden;
  for (let i = 0; i < 200 && !shown('source-editor') && (!remark() || shown('source-refused')); i++) {
    // two steps make no radiograph
    if (shown('source-refused')) document.getElementById('source-anyway').click();
    await new Promise((next) => setTimeout(next, 50));
  }
  return remark();
})";

/// What the page and the command save is read by others, with the pixels that were drawn and the
/// words that are true.
pub fn dicom(fixture: &Fixture) -> Result<String> {
    others_are_here()?;
    let folder = tempfile::tempdir()?;
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (own, _) = page.generate(&short, DRAWING)?;
    catch_saved(&page)?;
    let mut identifiers = Vec::new();
    for marked in [true, false] {
        let file = folder.path().join(format!("{marked}.dcm"));
        fs::write(&file, saved_by(&page, "save-dicom")?)?;
        ensure!(
            (decoded(&file)? == own) != marked,
            "marked: {marked}; dcm2pnm finds the model's pixels: {}",
            !marked
        );
        let burned_in = if marked { "[YES]" } else { "[NO]" };
        for (tag, value) in [
            ("0002,0010", "=LittleEndianExplicit"),
            ("0008,0005", "[ISO_IR 192]"),
            ("0008,0016", "=SecondaryCaptureImageStorage"),
            ("0008,001c", "[YES]"),
            ("0008,0064", "[SYN]"),
            ("0010,0010", "[SYNTHETIC^IMAGE]"),
            ("0028,0301", burned_in),
            ("0020,4000", &*SETTINGS.prompt),
            ("0008,2111", "Seed: 1895"),
            ("0008,2111", "Engine: cpu"),
            ("0008,2111", "shows no person"),
        ] {
            let found = element(&file, tag)?;
            ensure!(found.contains(value), "({tag}) is {found}, not {value}");
        }
        identifiers.push(element(&file, "0008,0018")?);
        valid(&file)?;
        page.click("marked")?;
    }
    ensure!(
        identifiers[0] != identifiers[1],
        "two files with other pixels have one identifier: {identifiers:?}"
    );
    let native_file = folder.path().join("native.dcm");
    native::save(
        fixture.roentgen()?,
        fixture.site.bundle(),
        &short,
        &native_file,
    )?;
    valid(&native_file)?;
    fixture.as_native(
        &decoded(&native_file)?,
        &short,
        "the DICOM file of the command",
    )?;

    begin_from(&page, folder.path(), &own)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok("dcmtk finds the pixels and the words, dciodvfy no error".into())
}

/// A DICOM file is a picture to begin from, stored in several ways; what cannot be read is refused
/// in words.
fn begin_from(page: &Page, folder: &Path, own: &RgbaImage) -> Result<()> {
    let file = folder.join("false.dcm");
    let other = folder.join("other.dcm");
    for (program, options) in [
        ("dcmconv", &["+ti"][..]),           // implicit VR
        ("dcmcrle", &[]),                    // run lengths
        ("dcmcjpeg", &["+e1"]),              // lossless JPEG
        ("dcmcjpeg", &["+eb", "+q", "100"]), // JPEG
    ] {
        tool(program, options, &file, Some(&other))?;
        let remark = dropped(page, &other)?;
        let hidden = page.is_hidden("source-editor")?;
        ensure!(!hidden, "{program} {options:?}: the page says {remark}");
        let found = page.pixels_of("source-canvas")?;
        let difference = found
            .pixels()
            .zip(own.pixels())
            .map(|(a, b)| a[0].abs_diff(b[0]))
            .max();
        let allowed = if options.contains(&"+eb") { 4 } else { 0 };
        ensure!(
            difference <= Some(allowed),
            "{program} {options:?}: the picture differs by {difference:?}"
        );
    }
    tool("dcmcjpls", &[], &file, Some(&other))?;
    let remark = dropped(page, &other)?;
    ensure!(
        remark.contains("IM000001") && remark.contains("not read here"),
        "JPEG-LS; the page says: {remark}"
    );
    page.problems(); // the worker has told the console too
    Ok(())
}

fn dropped(page: &Page, file: &Path) -> Result<String> {
    let bytes = BASE64_STANDARD.encode(fs::read(file)?);
    let remark = page.evaluate(&format!("{DROP}('{bytes}')"))?;
    Ok(remark.as_str().unwrap_or_default().to_owned())
}

/// The readers: found, or installed where that is possible.
fn others_are_here() -> Result<()> {
    let here = || {
        PROGRAMS
            .iter()
            .all(|program| command(program).output().is_ok())
    };
    if here() || (apt::install(&PACKAGES)? && here()) {
        return Ok(());
    }
    bail!(
        "this check needs the programs {} and finds them not. Install {}",
        PROGRAMS.join(" and "),
        PACKAGES.join(" and ")
    )
}

/// Runs a program on a file; what it prints, or an error where it fails.
fn tool(program: &str, options: &[&str], file: &Path, out: Option<&Path>) -> Result<String> {
    let found = command(program).args(options).arg(file).args(out).output();
    let found = found.with_context(|| format!("{program} is not there"))?;
    let words = [found.stdout, found.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    ensure!(found.status.success(), "{program} {options:?}: {words}");
    Ok(words)
}

/// The pixels of a file as dcmtk decodes them.
fn decoded(file: &Path) -> Result<RgbaImage> {
    let out = file.with_extension("png");
    tool("dcm2pnm", &["+on"], file, Some(&out))?;
    Ok(image::open(&out)?.into_rgba8())
}

/// An element as dcmtk prints it.
fn element(file: &Path, tag: &str) -> Result<String> {
    tool("dcmdump", &["+L", "+P", tag], file, None)
}

/// dicom3tools takes the file for what it is, and finds no error.
fn valid(file: &Path) -> Result<()> {
    let words = tool("dciodvfy", &[], file, None)?;
    // Debian's is of 2022 and older than the attribute Synthetic Data, which dcmdump finds above.
    let newer = "not a recognized standard attribute - (0x0008,0x001c)";
    let mut errors = words.lines().filter(|line| line.contains("Error"));
    ensure!(
        words.contains("SCImage") && errors.all(|line| line.contains(newer)),
        "dciodvfy says: {words}"
    );
    Ok(())
}
