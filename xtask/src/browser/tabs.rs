//! The check on two tabs of the same browser, which share a cache and know nothing of each other.

use anyhow::{Result, ensure};

use super::fixture::{DRAWING, Fixture, LOADING, SETTINGS, number};
use super::offline;
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;

/// Both load for the first time at once, draw at once, and leave a cache that a third can use.
pub fn tabs(fixture: &Fixture) -> Result<String> {
    // An address of its own, so that nothing is in a cache.
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    // so that the downloads last, and both tabs keep what they have so far
    serving.cut(&[1_000_000; 6]);
    let pages = [
        Page::open(&fixture.browser, "about:blank")?,
        Page::open(&fixture.browser, "about:blank")?,
    ];
    for page in &pages {
        page.go(&address)?;
    }
    for page in &pages {
        page.wait("ready", LOADING)?;
    }
    let mut times = Vec::new();
    for page in &pages {
        let span = page.evaluate(
            "[performance.timeOrigin, performance.timeOrigin + roentgen.stats.timeToReadyMs]",
        )?;
        times.push((span[0].as_f64(), span[1].as_f64()));
    }
    ensure!(
        times[0].0 < times[1].1 && times[1].0 < times[0].1,
        "the tabs did not load at once, but at {times:?}"
    );
    let starts = serving.take_starts();

    let settings: Vec<Settings> = [7, 8]
        .map(|seed| Settings {
            seed,
            steps: 8,
            ..SETTINGS
        })
        .into();
    for (page, settings) in pages.iter().zip(&settings) {
        page.fill(settings)?;
    }
    for page in &pages {
        page.evaluate("document.getElementById('generate').click()")?;
    }
    for page in &pages {
        ensure!(page.state()? == "busy", "the tabs do not draw at once");
    }
    for (page, settings) in pages.iter().zip(&settings) {
        page.wait("done", DRAWING)?;
        fixture.as_native(&page.pixels()?, settings, "a tab's image")?;
        offline::kept(page)?;
        let problems = page.problems();
        ensure!(problems.is_empty(), "the console shows {problems:?}");
    }

    for page in pages {
        page.close()?;
    }
    // What is kept is checked each time it is read, and fetched anew where it is damaged.
    let third = Page::open(&fixture.browser, &address)?;
    third.wait("ready", LOADING)?;
    let stats = third.stats()?;
    ensure!(
        number(&stats, "downloadedBytes")? == 0.0 && serving.take_starts().is_empty(),
        "a third tab counts {stats}"
    );
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    third.close()?;
    Ok(format!("they asked for the weights from {starts:?}"))
}
