//! `cargo xtask web`: the module `roentgen-web` and the element as a folder for npm, or for any
//! static host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::{root, target};

/// What `web` can be told.
#[derive(Args)]
pub struct Options {
    /// Write to this folder, which is new or empty
    /// [default: roentgen-web in the target folder, made anew]
    #[arg(long, value_name = "DIR")]
    dist: Option<PathBuf>,
    /// Put the model bundle of this folder into the package [default: models/default]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Leave the model out: who uses the package then names one
    #[arg(long, conflicts_with = "bundle")]
    no_model: bool,
}

/// Modules that nobody in the package imports.
const ENTRIES: [&str; 4] = [
    "roentgen-web.js",
    "roentgen-image.js",
    "engine/worker.js",
    "engine/thread.js",
];

/// Builds the engines and writes the package.
pub fn run(options: &Options) -> Result<()> {
    let site = Site::release(&Engine::ALL, options.bundle.as_deref())?;
    let folder = match &options.dist {
        Some(folder) => folder.clone(),
        None => {
            let folder = target().join("roentgen-web");
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            folder
        }
    };
    write(&site, &folder, !options.no_model)?;
    println!(
        "The package is in {}. `npm publish` or any static host can take it as it is.",
        folder.display()
    );
    Ok(())
}

/// Writes the package to a folder which is new or empty; of the models it has the one that the
/// module takes by itself.
pub fn write(site: &Site, folder: &Path, model: bool) -> Result<()> {
    site.write_folders(folder, |mount| {
        mount.starts_with("pkg/") || (model && mount == "models/default")
    })?;
    let web = root().join("web");
    let declarations = ["roentgen-web.d.ts", "roentgen-image.d.ts"].map(str::to_owned);
    fs::create_dir_all(folder.join("engine"))?;
    for name in modules(&web)?.into_iter().chain(declarations) {
        fs::copy(web.join(&name), folder.join(&name))?;
    }
    fs::copy(web.join("DEVELOPERS.md"), folder.join("README.md"))?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(licence), folder.join(licence))?;
    }
    let entry =
        |name: &str| json!({"types": format!("./{name}.d.ts"), "default": format!("./{name}.js")});
    let package = json!({
        "name": "roentgen-web",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Synthetic chest radiographs from a sentence, drawn in the visitor's own browser. Not for diagnosis.",
        "license": "MIT OR Apache-2.0",
        "type": "module",
        "exports": {
            ".": entry("roentgen-web"),
            "./roentgen-image.js": entry("roentgen-image"),
            "./package.json": "./package.json",
        },
        "types": "./roentgen-web.d.ts",
        "sideEffects": ["./roentgen-image.js", "./engine/worker.js", "./engine/thread.js"],
        "keywords": ["chest-radiograph", "diffusion", "synthetic", "webassembly", "webgpu"],
    });
    let package = format!("{}\n", serde_json::to_string_pretty(&package)?);
    fs::write(folder.join("package.json"), package)?;
    Ok(())
}

/// Names of the entries and of what they import, so that no list of them can be out of date.
fn modules(web: &Path) -> Result<BTreeSet<String>> {
    let mut waiting: Vec<String> = ENTRIES.map(str::to_owned).to_vec();
    let mut found = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let text = fs::read_to_string(web.join(&name))
            .with_context(|| format!("web/{name} is not there"))?;
        let imports = text.split(" from \"").skip(1);
        let imports = imports.filter_map(|rest| Some(rest.split_once('"')?.0));
        let names = imports.filter(|import| import.starts_with('.'));
        let names = names.map(|import| beside(&name, import));
        waiting.extend(names.filter(|name| !found.contains(name)));
        found.insert(name);
    }
    Ok(found)
}

/// The address of what a module imports, both relative to the page.
fn beside(module: &str, import: &str) -> String {
    let mut parts: Vec<&str> = module.split('/').collect();
    parts.pop();
    for part in import.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_has_what_the_module_imports_and_nothing_of_the_page() {
        let modules = modules(&root().join("web")).unwrap();
        for name in ["client", "settings", "strings", "download"] {
            assert!(modules.contains(&format!("engine/{name}.js")), "{name}");
        }
        let of_page = |name: &&String| name.starts_with("page/") || name.starts_with("teach/");
        assert_eq!(modules.iter().find(of_page), None);
        assert!(!modules.contains("sw.js"));
    }
}
