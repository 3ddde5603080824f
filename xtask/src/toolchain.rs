//! A Rust toolchain that builds for `wasm32-unknown-unknown`: rustup's where it has the target or can fetch it, else Debian's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::apt;
use crate::workspace::{cargo, command, output, run_for};

/// The target triple of the page.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian has compiler, sources and linker of a Rust for the web in packages of their own, but no compiled `std` for the target.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "lld-22",
];

/// How long rustup may try to fetch the target (about 20 MB).
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// A toolchain that has been found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Toolchain {
    /// The one that builds everything else too.
    Pinned,
    /// `/usr/bin/cargo` and `/usr/bin/rustc`; it builds `std` itself.
    Debian,
}

impl Toolchain {
    /// The first that is there; else the first that can be installed.
    pub fn find() -> Result<Toolchain> {
        if pinned_has_target() {
            return Ok(Toolchain::Pinned);
        }
        if debian_is_complete() {
            return Ok(Toolchain::Debian);
        }
        if output(command("rustup").arg("--version")).is_some() {
            println!("fetching the {TARGET} target with rustup");
            let status = run_for(
                command("rustup").args(["target", "add", TARGET]),
                RUSTUP_LIMIT,
            )?;
            if status.is_some_and(|status| status.success()) && pinned_has_target() {
                return Ok(Toolchain::Pinned);
            }
        }
        if apt::install(&DEBIAN_PACKAGES)? && debian_is_complete() {
            return Ok(Toolchain::Debian);
        }
        bail!(
            "no Rust toolchain here builds for {TARGET}. Either run `rustup target add {TARGET}` (it needs the network), \
             or on Debian, as root, `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    /// `cargo <subcommand>` with what this toolchain needs for the target.
    pub fn cargo(self, subcommand: &str) -> Command {
        let mut cargo = match self {
            Toolchain::Pinned => cargo(&[subcommand]),
            Toolchain::Debian => {
                let mut cargo = command("/usr/bin/cargo");
                // rustup's choice must not leak into Debian's cargo. RUSTC_BOOTSTRAP: build-std is not stable yet.
                cargo
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1");
                cargo.args([subcommand, "-Z", "build-std=std,panic_abort"]);
                cargo
            }
        };
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
            cargo.env_remove(name); // they would replace the flags of the target
        }
        cargo.args(["--target", TARGET]);
        cargo
    }
}

/// Whether the pinned toolchain has a compiled `std` for the target.
fn pinned_has_target() -> bool {
    let Some(folder) =
        output(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))
    else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Whether Debian's packages are here, and new enough for this workspace.
fn debian_is_complete() -> bool {
    let rustc = |arguments: &[&str]| {
        output(
            command("/usr/bin/rustc")
                .env_remove("RUSTUP_TOOLCHAIN")
                .args(arguments),
        )
    };
    let (Some(version), Some(sysroot)) = (rustc(&["--version"]), rustc(&["--print", "sysroot"]))
    else {
        return false;
    };
    let has = |path: &str| Path::new(path).exists();
    minor(&version) >= minor(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION")))
        && has("/usr/bin/cargo")
        && has("/usr/bin/wasm-ld-22")
        && Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/std")
            .exists()
}

/// The 95 of `rustc 1.95.0 (…)`.
fn minor(version: &str) -> Option<u32> {
    version
        .strip_prefix("rustc 1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_version_is_read() {
        assert_eq!(
            minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some(96)
        );
        assert_eq!(minor("rustc 1.95"), Some(95));
        assert_eq!(minor("clang 19"), None);
    }

    #[test]
    fn debian_cargo_sees_no_rustup() {
        let cargo = Toolchain::Debian.cargo("rustc");
        let value = |name: &str| {
            cargo
                .get_envs()
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| value)
        };
        assert_eq!(value("RUSTUP_TOOLCHAIN"), None);
        assert_eq!(value("RUSTC"), Some("/usr/bin/rustc".as_ref()));
        assert!(
            cargo
                .get_args()
                .any(|argument| argument == "build-std=std,panic_abort")
        );
    }
}
