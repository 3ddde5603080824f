//! A Rust toolchain that builds for `wasm32-unknown-unknown`: rustup's where it has the target or
//! can fetch it, else Debian's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::apt;
use crate::workspace::{cargo, command, output, run_for};

/// The target triple of the page.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian has compiler, sources and linker of a Rust for the web in packages of their own, but no
/// compiled `std` for the target.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "lld-22",
];

/// How long rustup may try to fetch the target (about 20 MB), or the sources of `std` (about 3 MB).
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// A toolchain that has been found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Toolchain {
    /// The one that builds everything else too.
    Pinned,
    /// The same; it builds `std` itself.
    PinnedSource,
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
        if rustup(&["target", "add", TARGET])? && pinned_has_target() {
            return Ok(Toolchain::Pinned);
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

    /// The same for threads: the `std` that comes compiled has no atomics, so that this one builds
    /// its own.
    pub fn with_source() -> Result<Toolchain> {
        if pinned_has_source() {
            return Ok(Toolchain::PinnedSource);
        }
        if debian_is_complete() {
            return Ok(Toolchain::Debian);
        }
        if rustup(&["component", "add", "rust-src"])? && pinned_has_source() {
            return Ok(Toolchain::PinnedSource);
        }
        if apt::install(&DEBIAN_PACKAGES)? && debian_is_complete() {
            return Ok(Toolchain::Debian);
        }
        bail!(
            "no Rust toolchain here has the sources of std, which threads in a browser need. Either run \
             `rustup component add rust-src` (it needs the network), or on Debian, as root, `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    /// `cargo <subcommand>` with what this toolchain needs for the target.
    pub fn cargo(self, subcommand: &str) -> Command {
        let mut cargo = match self {
            Toolchain::Pinned => cargo(&[subcommand]),
            Toolchain::PinnedSource => building_std(cargo(&[subcommand])),
            Toolchain::Debian => {
                let mut cargo = command("/usr/bin/cargo");
                // rustup's choice must not leak into Debian's cargo.
                cargo
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env("RUSTC", "/usr/bin/rustc")
                    .arg(subcommand);
                building_std(cargo)
            }
        };
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
            cargo.env_remove(name); // they would replace the flags of the target
        }
        cargo.args(["--target", TARGET]);
        cargo
    }
}

/// Has cargo build `std`. A stable compiler needs RUSTC_BOOTSTRAP=1 for that, as build-std is not
/// stable yet, and neither is what js-sys takes of it for threads (`thread_local`,
/// `stdarch_wasm_atomic_wait`).
fn building_std(mut cargo: Command) -> Command {
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["-Z", "build-std=std,panic_abort"]);
    cargo
}

/// Has rustup do something for the pinned toolchain, where there is a rustup. Whether it did.
fn rustup(arguments: &[&str]) -> Result<bool> {
    if output(command("rustup").arg("--version")).is_none() {
        return Ok(false);
    }
    println!("rustup {}", arguments.join(" "));
    let status = run_for(command("rustup").args(arguments), RUSTUP_LIMIT)?;
    Ok(status.is_some_and(|status| status.success()))
}

/// Whether the pinned toolchain has the sources of `std`.
fn pinned_has_source() -> bool {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| has_source(&sysroot))
}

fn has_source(sysroot: &str) -> bool {
    let std = "lib/rustlib/src/rust/library/std/Cargo.toml";
    Path::new(sysroot).join(std).exists()
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
        && has_source(&sysroot)
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
        for toolchain in [Toolchain::Debian, Toolchain::PinnedSource] {
            let cargo = toolchain.cargo("rustc");
            let builds = |argument| argument == "build-std=std,panic_abort";
            assert!(cargo.get_args().any(builds), "{toolchain:?}");
        }
    }
}
