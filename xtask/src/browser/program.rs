//! Where a browser's program is.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::apt;

/// A browser, and where it may be.
pub struct Program {
    /// What a person calls it.
    pub name: &'static str,
    /// The environment variable that names its program.
    pub variable: &'static str,
    /// Its program's usual names on the path.
    pub names: &'static [&'static str],
    /// Its usual places off the path.
    pub paths: &'static [&'static str],
    /// Debian's package.
    pub package: &'static str,
}

impl Program {
    /// The named one, or one at a usual name or place, or Debian's, installed now.
    pub fn find(&self) -> Result<PathBuf> {
        let Program { name, variable, .. } = self;
        if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
            let named = PathBuf::from(named);
            if !named.is_file() {
                bail!(
                    "{variable} names {}, which is no file. Set it to the program of {name}, or unset it",
                    named.display()
                );
            }
            return Ok(named);
        }
        if let Some(found) = self.search() {
            return Ok(found);
        }
        if apt::install(&[self.package])?
            && let Some(found) = self.search()
        {
            return Ok(found);
        }
        bail!(
            "the browser tests need {name} and found none. Install it (Debian: {}), or set {variable} to its program",
            self.package
        )
    }

    fn search(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).flat_map(|folder| {
            self.names
                .iter()
                .map(move |name| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        });
        on_path
            .chain(self.paths.iter().map(PathBuf::from))
            .find(|file| file.is_file())
    }
}
