//! Debian packages, where this program may install them.

use std::path::Path;

use anyhow::Result;

use crate::workspace::{command, run};

/// Installs packages when this is a Debian-like machine and the user is root. `false`: it is not,
/// and nothing was done.
pub fn install(packages: &[&str]) -> Result<bool> {
    if !Path::new("/usr/bin/apt-get").exists() || !is_root() {
        return Ok(false);
    }
    println!("installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        run(command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments))
    };
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)?;
    Ok(true)
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> bool {
    false
}
