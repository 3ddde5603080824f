//! The check that a browser which is killed at any piece of a download has lost nothing but that
//! piece.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::chrome;
use super::download;
use super::fixture::{DRAWING, Fixture, LOADING, SETTINGS};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;

/// Bytes of a piece that the page keeps (`PIECE` in cache.js).
const PIECE: usize = 1 << 20;

/// A piece and a half arrive from this machine in less.
const UNTIL_IT_STANDS: Duration = Duration::from_millis(1500);

/// Kills a browser in the middle of each piece of the weights, and starts another one with its
/// profile.
pub fn killed(fixture: &Fixture) -> Result<String> {
    if cfg!(not(unix)) {
        return Ok("not on this system".into());
    }
    let profile = tempfile::tempdir()?;
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    let weights = download::weights(fixture.site.bundle())? as usize;
    let mut asked = vec![];
    let mut kills = 0;
    for piece in 0..weights.div_ceil(PIECE) {
        let browser = chrome::launch_in(800, 600, Some(profile.path()))?;
        // So much more than has been kept, and half a piece.
        serving.hold(if piece == 0 {
            PIECE / 2
        } else {
            PIECE + PIECE / 2
        });
        let page = Page::open(&browser, &address)?;
        page.until("document.getElementById('count').textContent !== ''")?;
        std::thread::sleep(UNTIL_IT_STANDS);
        let process = browser
            .get_process_id()
            .context("the browser has no process")?;
        let killed = Command::new("kill")
            .args(["-9", &process.to_string()])
            .status()?;
        ensure!(killed.success(), "the browser is not to be killed");
        kills += 1;
        drop(browser);
        asked.extend(serving.take_starts());
    }
    let browser = chrome::launch_in(800, 600, Some(profile.path()))?;
    let page = Page::open(&browser, &address)?;
    page.wait("ready", LOADING)?;
    asked.extend(serving.take_starts());
    ensure!(
        asked.is_sorted() && asked.last().is_some_and(|last| *last > 0),
        "the weights were asked for from {asked:?}"
    );
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING)?;
    fixture.as_native(&image, &short, "the image")?;
    ensure!(page.problems().is_empty(), "{:?}", page.problems());
    page.close()?;
    Ok(format!(
        "{kills} kills; the weights were asked for from {asked:?}"
    ))
}
