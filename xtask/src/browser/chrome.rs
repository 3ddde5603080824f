//! A browser to test in: found, or installed, and started with a profile of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use headless_chrome::{Browser, LaunchOptions};

use super::program::Program;

/// Chromium or Chrome.
pub const CHROME: Program = Program {
    name: "Chromium or Chrome",
    variable: "CHROME",
    names: &[
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "chrome",
    ],
    paths: &[
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
    ],
    package: "chromium",
};

/// A name of this machine which is no secure context, unlike 127.0.0.1 itself.
pub const INSECURE: &str = "insecure.test";

/// WebGPU on SwiftShader, the software adapter that comes with the browser, so that each machine
/// computes the same; and no traffic of the browser's own.
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

/// Starts a browser with an empty profile. Dropping it ends it, and only it, and removes the
/// profile.
pub fn launch(width: u32, height: u32) -> Result<Browser> {
    launch_in(width, height, None)
}

/// Starts a browser with the profile in a folder, which stays.
pub fn launch_in(width: u32, height: u32, profile: Option<&Path>) -> Result<Browser> {
    let program = CHROME.find()?;
    let options = LaunchOptions {
        path: Some(program.clone()),
        sandbox: false, // it does not start as root otherwise; it opens nothing but our own page
        enable_gpu: true,
        window_size: Some((width, height)),
        user_data_dir: profile.map(PathBuf::from),
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
