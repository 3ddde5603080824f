//! Packages of npm that the checks read or run: fetched once into the target folder, and the ones
//! that are meant.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::apt;
use crate::workspace::{command, output, run, target};

/// A release of a package.
pub struct Package {
    /// As npm calls it.
    pub name: &'static str,
    pub version: &'static str,
    /// Of its archive.
    pub sha256: &'static str,
}

impl Package {
    /// The folder with its files. Nothing of it is run here, and it never becomes part of the page.
    pub fn folder(&self) -> Result<PathBuf> {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        let archive = format!("{name}-{}.tgz", self.version);
        let folder = target()
            .join("npm")
            .join(format!("{name}-{}", self.version));
        if folder.join("package").is_dir() {
            return Ok(folder.join("package"));
        }
        self.fetch(&folder)?;
        let hash: String = Sha256::digest(fs::read(folder.join(&archive))?)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if hash != self.sha256 {
            fs::remove_dir_all(&folder)?;
            bail!(
                "{archive} arrived with the SHA-256 {hash}, expected is {}. Run this again; if it stays so, trust it no more",
                self.sha256
            );
        }
        run(command("tar").current_dir(&folder).args(["-xzf", &archive]))?;
        Ok(folder.join("package"))
    }

    fn fetch(&self, folder: &Path) -> Result<()> {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        let there = || output(command(npm).arg("--version")).is_some();
        if !there() {
            apt::install(&["npm"])?;
        }
        if !there() {
            bail!(
                "a check fetches {} by npm, and there is none. Install Node.js with npm",
                self.name
            );
        }
        fs::create_dir_all(folder)?;
        run(command(npm)
            .args(["pack", "--silent", &format!("{}@{}", self.name, self.version)])
            .arg("--pack-destination")
            .arg(folder))
        .with_context(|| {
            format!("{} could not be fetched. A check needs npm's registry once; afterwards it is in the target folder", self.name)
        })
    }
}
