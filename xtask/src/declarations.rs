//! What `roentgen-web.d.ts` declares, read as far as the checks need it: names of exports, and
//! names of members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The names in a declaration file.
pub struct Declarations {
    /// Classes and interfaces with the names of their members.
    types: BTreeMap<String, BTreeSet<String>>,
    /// Exports that are there when the program runs: constants and classes.
    values: BTreeSet<String>,
}

impl Declarations {
    /// Reads a file in which each member has a line of its own, indented by two spaces.
    pub fn read(file: &Path) -> Result<Declarations> {
        let text =
            fs::read_to_string(file).with_context(|| format!("{} is not there", file.display()))?;
        let (mut types, mut values) =
            (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
        let mut open = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split([' ', ':', '{', ';']).collect();
            match words[..] {
                ["export", kind @ ("const" | "class" | "interface"), name, ..] => {
                    if kind != "interface" {
                        values.insert(name.to_owned());
                    }
                    open = (kind != "const").then(|| types.entry(name.to_owned()).or_default());
                }
                ["}", ..] | [""] if line == "}" => open = None,
                _ => {
                    if let (Some(members), Some(name)) = (&mut open, member(line)) {
                        members.insert(name.to_owned());
                    }
                }
            }
        }
        Ok(Declarations { types, values })
    }

    /// Names of the members of a class or interface.
    pub fn members(&self, name: &str) -> Result<&BTreeSet<String>> {
        self.types
            .get(name)
            .with_context(|| format!("{name} is not declared"))
    }

    /// Names of constants and classes.
    pub fn values(&self) -> &BTreeSet<String> {
        &self.values
    }
}

/// The name that a line declares: `  readonly seed: number;` or `  generate(options?: …`.
fn member(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("  ")?;
    if rest.starts_with([' ', '/', '*']) || rest.starts_with("private ") {
        return None;
    }
    for modifier in ["static ", "readonly "] {
        rest = rest.strip_prefix(modifier).unwrap_or(rest);
    }
    let end = rest.find(|c: char| !c.is_alphanumeric())?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::root;

    fn file() -> PathBuf {
        root().join("web/roentgen-web.d.ts")
    }

    /// The words of `ErrorCode`; its comments have no double quotes.
    fn codes() -> BTreeSet<String> {
        let text = fs::read_to_string(file()).unwrap();
        let (_, rest) = text.split_once("export type ErrorCode =").unwrap();
        let (body, _) = rest.split_once("\";").unwrap();
        body.split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    /// What stands in double quotes after `mark`, in all files of a folder with this end.
    fn quoted(folder: &str, end: &str, mark: &str) -> BTreeSet<String> {
        let files = fs::read_dir(root().join(folder)).unwrap();
        let paths = files.map(|entry| entry.unwrap().path());
        let texts = paths
            .filter(|path| path.to_string_lossy().ends_with(end))
            .map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| after(&text, mark)).collect()
    }

    /// What stands in double quotes after each `mark` in a text.
    fn after(text: &str, mark: &str) -> BTreeSet<String> {
        text.split(mark)
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
            .collect()
    }

    #[test]
    fn every_scheduler_is_on_the_page_and_declared() {
        let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
        let kinds = read("src/latents/scheduler/kind.rs");
        let (_, names) = kinds.split_once("pub fn name(self)").unwrap();
        let names = after(names.split_once("\n    }\n").unwrap().0, "=> \"");
        assert!(names.len() > 5, "{names:?}");
        let line = |file: &str, mark: &str| -> BTreeSet<String> {
            let text = read(file);
            let line = text.lines().find(|line| line.contains(mark)).unwrap();
            line.split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(line("web/engine/settings.js", "SCHEDULERS ="), names);
        assert_eq!(
            line("web/roentgen-web.d.ts", "  scheduler: \"ddim\""),
            names
        );
        let page = read("web/index.html");
        let (_, select) = page.split_once("<select id=\"scheduler\">").unwrap();
        let mut options = after(select.split_once("</select>").unwrap().0, "value=\"");
        assert!(options.remove("")); // the model's own
        assert_eq!(options, names);
    }

    #[test]
    fn every_code_of_an_error_is_declared() {
        let errors = fs::read_to_string(root().join("src/error.rs")).unwrap();
        let (_, codes_of_errors) = errors.split_once("pub fn code(&self)").unwrap();
        let mut found = after(codes_of_errors, "=> \"");
        for folder in ["web", "web/engine", "web/page"] {
            found.extend(quoted(folder, ".js", "new Problem(\""));
            found.extend(quoted(folder, ".js", "code: \""));
        }
        // Of the native program; of a worker that gets two jobs, which no client gives it; of a
        // thread that has ended, after which the client draws the image again without threads.
        for other in ["io", "model-folder", "busy", "thread"] {
            assert!(found.remove(other), "{other}");
        }
        assert_eq!(codes(), found);
    }

    #[test]
    fn versions_are_those_of_the_crate() {
        let text = fs::read_to_string(root().join("web/roentgen-web.js")).unwrap();
        let version = format!("export const version = \"{}\";", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{version}");
        let bundle = fs::read_to_string(root().join("src/bundle/mod.rs")).unwrap();
        let (_, schema) = bundle
            .split_once("pub const SCHEMA_VERSIONS: [u32; 2] = ")
            .unwrap();
        let (schema, _) = schema.split_once(';').unwrap();
        let schema = format!("export const bundleSchemaVersions = {schema};");
        assert!(text.contains(&schema), "{schema}");
    }

    #[test]
    fn limits_of_the_page_are_those_of_the_crate() {
        let value = |file: &str, name: &str| {
            let text = fs::read_to_string(root().join(file)).unwrap();
            let (_, rest) = text.split_once(&format!("const {name}")).unwrap();
            let (_, rest) = rest.split_once(" = ").unwrap();
            rest.split_once(';').unwrap().0.to_owned()
        };
        for (file, name) in [
            ("src/limits.rs", "TEXT_BYTES"),
            ("src/bundle/mod.rs", "SHARD_BYTES"),
            ("src/limits.rs", "PICTURE_BYTES"),
        ] {
            assert_eq!(
                value("web/engine/limits.js", name),
                value(file, name),
                "{name}"
            );
        }
        let schema = value("web/engine/manifest.js", "SCHEMA_VERSIONS");
        assert_eq!(schema, value("src/bundle/mod.rs", "SCHEMA_VERSIONS"));
        let pixels = value("web/engine/settings.js", "MOST_PIXELS");
        assert_eq!(pixels, value("src/components.rs", "MOST_SIDE"));
    }

    #[test]
    fn members_are_found() {
        let declared = Declarations::read(&file()).unwrap();
        let load = declared.members("LoadOptions").unwrap();
        assert!(load.iter().eq(["backend", "model", "onProgress", "signal"]));
        let roentgen = declared.members("Roentgen").unwrap();
        assert!(roentgen.contains("load") && roentgen.contains("generate"));
        assert!(!roentgen.contains("constructor"));
    }
}
