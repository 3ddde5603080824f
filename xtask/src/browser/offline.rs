//! The check on visits without a network, and on new releases.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::element;
use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// After one visit the page draws without a server; a new release replaces it, and is what the next
/// visit without a server has.
pub fn offline(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "/page", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    let page = fixture.visit_at(&address)?;
    kept(&page)?;
    page.close()?;
    let port = serving.port();
    drop(serving);
    ensure!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the server still answers"
    );

    let page = fixture.visit_at(&address)?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING)?;
    fixture.as_native(&image, &short, "the image without a network")?;
    kept(&page)?;
    page.close()?;
    let page = Page::open(
        &fixture.browser,
        &address.replace("?backend=cpu", "embed.html"),
    )?;
    element::drawn(&page)?;
    page.close()?;

    let release = tempfile::tempdir()?;
    copy(&root().join("web"), release.path())?;
    let index = release.path().join("index.html");
    let text = fs::read_to_string(&index)?;
    let newer = text.replace("<h1>Roentgen</h1>", "<h1>Roentgen, newer</h1>");
    ensure!(newer != text, "index.html has no heading to change");
    fs::write(&index, newer)?;
    let site = Arc::new(fixture.site.with_page(release.path())?);
    let heading = "document.querySelector('h1').textContent";

    // A release that was copied to the server in part: with a network its page is seen, and without
    // one the older release, whole.
    let part = release.path().join("embed.html");
    let rest = fs::read(&part)?;
    fs::remove_file(&part)?;
    let serving = Serving::start(site.clone(), port, "/page", true)?;
    let page = fixture.visit_at(&address)?;
    page.until("document.documentElement.dataset.offline === 'refused'")?;
    ensure!(
        page.evaluate(heading)? == "Roentgen, newer",
        "the newer release is not seen"
    );
    page.close()?;
    drop(serving);
    let page = fixture.visit_at(&address)?;
    ensure!(
        page.evaluate(heading)? == "Roentgen",
        "a release that did not arrive whole took the place of another one"
    );
    let (image, _) = page.generate(&short, DRAWING)?;
    fixture.as_native(&image, &short, "the image of the release that is whole")?;
    page.close()?;

    fs::write(&part, rest)?;
    let serving = Serving::start(site, port, "/page", true)?;
    let page = fixture.visit_at(&address)?;
    let online = page.evaluate(heading)?;
    ensure!(
        online == "Roentgen, newer",
        "with a new release on the server the page is {online}"
    );
    kept(&page)?;
    page.close()?;
    drop(serving);
    let page = fixture.visit_at(&address)?;
    let offline = page.evaluate(heading)?;
    ensure!(
        offline == "Roentgen, newer",
        "without a network the page is {offline} again"
    );
    let (image, _) = page.generate(&short, DRAWING)?;
    fixture.as_native(&image, &short, "the newer release's image")?;
    page.close()?;
    Ok("drawn without a server, then replaced by a newer release, whole".to_owned())
}

/// Waits until the page says that it is kept.
pub fn kept(page: &Page) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let state = page.evaluate("document.documentElement.dataset.offline ?? ''")?;
        if state == "ready" {
            return Ok(());
        }
        ensure!(
            state != "refused" && Instant::now() < deadline,
            "the page is not kept ({state}): {:?}",
            page.problems()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
