//! `release.js`: the files that the page is made of, under a name for just these, so that a browser
//! takes a release whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::workspace::target;

/// Endings of files that a page is made of.
const ENDINGS: [&str; 8] = [
    "css",
    "html",
    "js",
    "json",
    "png",
    "svg",
    "webmanifest",
    "webp",
];
/// What visits without a network do not have: the worker that keeps the rest, types, the page that
/// measures, pictures for a README.
const LEFT_OUT: [&str; 4] = ["sw.js", "protocol.js", "measure", "screenshots"];

/// Writes the `release.js` of the page in `page` with its engines; the folder that has it.
///
/// # Errors
/// If a file cannot be read, or the release not be written.
pub fn write(page: &Path, engines: &[&Path]) -> Result<PathBuf> {
    let mut files = Vec::new();
    collect(page, "./", &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    let mut add = |path: &PathBuf| -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
        Ok(())
    };
    add(&page.join("sw.js"))?;
    for file in &files {
        add(&page.join(file))?;
    }
    for engine in engines {
        let parts = ["roentgen_web.js", "roentgen_web_bg.wasm"].map(|name| engine.join(name));
        parts
            .iter()
            .filter(|part| part.is_file())
            .try_for_each(&mut add)?;
    }
    let hash: String = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let start = |file: &String| file.replace("./index.html", "./");
    let files: Vec<String> = files.iter().map(start).collect();
    let release = json!({"name": hash, "files": files});
    let folder = target().join("site").join(format!("release-{hash}"));
    fs::create_dir_all(&folder)?;
    let text = format!("self.RELEASE = {release:#};\n");
    fs::write(folder.join("release.js"), text)?;
    Ok(folder)
}

/// The files of a folder, by their address.
fn collect(folder: &Path, address: &str, files: &mut Vec<String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if LEFT_OUT.contains(&&*name) || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{address}{name}/"), files)?;
        } else if path
            .extension()
            .is_some_and(|end| ENDINGS.iter().any(|known| end == *known))
        {
            files.push(format!("{address}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(page: &Path, engines: &[&Path]) -> String {
        fs::read_to_string(write(page, engines).unwrap().join("release.js")).unwrap()
    }

    #[test]
    fn a_release_lists_the_page_and_is_named_by_what_is_in_it() {
        let page = crate::workspace::root().join("web");
        let first = release(&page, &[]);
        for file in [
            "./",
            "./page/main.js",
            "./engine/table.js",
            "./style/base.css",
            "./teach/quiz.js",
            "./lessons/heart.json",
            "./icon.svg",
        ] {
            assert!(first.contains(&format!("{file:?}")), "{file}");
        }
        for file in [
            "sw.js",
            "engine/protocol.js",
            "index.html\"",
            "measure/",
            "README.md",
            ".d.ts",
            "screenshots",
        ] {
            assert!(!first.contains(&format!("./{file}")), "{file}");
        }
        let copy = tempfile::tempdir().unwrap();
        crate::workspace::copy(&page, copy.path()).unwrap();
        assert_eq!(release(copy.path(), &[]), first);
        fs::write(copy.path().join("sw.js"), "").unwrap();
        assert_ne!(release(copy.path(), &[]), first);
        let engine = tempfile::tempdir().unwrap();
        for name in ["roentgen_web.js", "roentgen_web_bg.wasm"] {
            fs::write(engine.path().join(name), "").unwrap();
        }
        assert_ne!(release(&page, &[engine.path()]), first);
    }
}
