//! A browser to test in: found, or installed, and started with a profile of its own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use headless_chrome::{Browser, LaunchOptions};

use crate::apt;

/// Names on the PATH.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// Where installers put it when it is not on the PATH.
const PATHS: [&str; 4] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
];

/// A name of this machine which is no secure context, unlike 127.0.0.1 itself.
pub const INSECURE: &str = "insecure.test";

/// WebGPU on SwiftShader, the software adapter that comes with the browser, so that each machine computes the same; and no
/// traffic of the browser's own.
const FLAGS: [&str; 15] = [
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];

/// The browser's program: `CHROME`, or a usual name or place, or Debian's `chromium` installed now.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CHROME").filter(|name| !name.is_empty()) {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!(
                "CHROME names {}, which is no file. Set it to the program of Chromium or Chrome, or unset it",
                named.display()
            );
        }
        return Ok(named);
    }
    if let Some(found) = search() {
        return Ok(found);
    }
    if apt::install(&["chromium"])?
        && let Some(found) = search()
    {
        return Ok(found);
    }
    bail!(
        "the browser tests need Chromium or Chrome and found neither. Install one, or set CHROME to its program"
    )
}

fn search() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).flat_map(|folder| {
        NAMES.map(|name| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
    });
    on_path
        .chain(PATHS.map(PathBuf::from))
        .find(|file| file.is_file())
}

/// Starts a browser with an empty profile. Dropping it ends it, and only it, and removes the profile.
pub fn launch(width: u32, height: u32) -> Result<Browser> {
    let program = find()?;
    let options = LaunchOptions {
        path: Some(program.clone()),
        sandbox: false, // it does not start as root otherwise; it opens nothing but our own page
        enable_gpu: true,
        window_size: Some((width, height)),
        disable_default_args: true,
        args: FLAGS.map(OsStr::new).to_vec(),
        idle_browser_timeout: Duration::from_secs(3600), // a busy page says nothing for minutes
        ..LaunchOptions::default()
    };
    Browser::new(options).with_context(|| {
        format!(
            "{} does not start. Set CHROME to another Chromium or Chrome",
            program.display()
        )
    })
}
