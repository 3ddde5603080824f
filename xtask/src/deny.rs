//! What this project depends on: licences, sources, and faults that are known (`deny.toml`).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::{cargo, command, output, run, run_for, target};

const VERSION: &str = "0.20.2";

/// How long the list of known faults may take to come. It comes from GitHub, which not every
/// machine reaches.
const ADVISORIES: Duration = Duration::from_secs(120);

/// Checks with cargo-deny, which is built once where there is none.
///
/// # Errors
/// If something is not allowed.
pub fn check() -> Result<()> {
    let program = program()?;
    let deny = |words: &[&str]| {
        let mut deny = command(&program);
        deny.args(["--workspace", "--all-features"]).args(words);
        deny
    };
    let quiet = ["--log-level", "error"];
    run(deny(&quiet).args(["check", "licenses", "sources", "bans"]))?;
    let mut fetch = deny(&quiet);
    fetch
        .args(["fetch", "db"])
        .stderr(std::process::Stdio::null());
    match run_for(&mut fetch, ADVISORIES)? {
        Some(status) if status.success() => {
            run(deny(&quiet).args(["check", "--disable-fetch", "advisories"]))
        }
        _ => {
            println!(
                "skipped: the list of known faults (github.com/rustsec/advisory-db) cannot be fetched here"
            );
            Ok(())
        }
    }
}

/// Of this version: the user's own, or one below the target folder.
fn program() -> Result<PathBuf> {
    let tools = target().join("tools");
    let ours = tools.join("bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), ours.clone()] {
        let said = output(command(&program).arg("--version"));
        if said.is_some_and(|said| said.ends_with(VERSION)) {
            return Ok(program);
        }
    }
    println!("building cargo-deny {VERSION}, once");
    let version = format!("={VERSION}");
    let mut install = cargo(&["install", "--quiet", "--locked", "--debug", "cargo-deny"]);
    install
        .args(["--no-default-features", "--version", &version, "--root"])
        .arg(tools);
    run(install.env("CARGO_TARGET_DIR", target().join("deny")))?;
    Ok(ours)
}
