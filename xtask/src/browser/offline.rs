//! The check on visits without a network, and on new releases.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::element;
use super::page::Page;
use super::visits::{DRAWING, SETTINGS};
use super::{LOADING, Setting};
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// After one visit the page draws without a server; a new release replaces it, and is what the next visit without a server has.
pub fn offline(setting: &Setting) -> Result<String> {
    all_files_are_kept()?;
    let serving = Serving::start(setting.site.clone(), 0, "/page", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    let page = visit(setting, &address)?;
    kept(&page)?;
    page.close()?;
    let port = serving.port();
    drop(serving);
    ensure!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the server still answers"
    );

    let page = visit(setting, &address)?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING)?;
    setting.as_native(&image, &short, "the image without a network")?;
    kept(&page)?;
    page.close()?;
    let page = Page::open(
        &setting.browser,
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
    let site = Arc::new(setting.site.with_page(release.path()));
    let serving = Serving::start(site, port, "/page", true)?;
    let heading = "document.querySelector('h1').textContent";
    let page = visit(setting, &address)?;
    let online = page.evaluate(heading)?;
    ensure!(
        online == "Roentgen, newer",
        "with a new release on the server the page is {online}"
    );
    kept(&page)?;
    page.close()?;
    drop(serving);
    let page = visit(setting, &address)?;
    let offline = page.evaluate(heading)?;
    ensure!(
        offline == "Roentgen, newer",
        "without a network the page is {offline} again"
    );
    page.close()?;
    Ok("drawn without a server, then replaced by a newer release".to_owned())
}

fn visit(setting: &Setting, address: &str) -> Result<Page> {
    let page = Page::open(&setting.browser, address)?;
    page.wait("ready", LOADING)?;
    Ok(page)
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

/// The list in `sw.js` names each file that the page is made of.
fn all_files_are_kept() -> Result<()> {
    let list = fs::read_to_string(root().join("web/sw.js"))?;
    let mut files = Vec::new();
    for folder in ["", "style/", "teach/", "lessons/"] {
        for entry in fs::read_dir(root().join("web").join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let part = [
                ".js",
                ".css",
                ".svg",
                ".png",
                ".webp",
                ".json",
                ".webmanifest",
            ]
            .iter()
            .any(|end| name.ends_with(end));
            if part && !["sw.js", "protocol.js"].contains(&name.as_str()) {
                files.push(format!("./{folder}{name}"));
            }
        }
    }
    ensure!(files.len() > 20, "the page has {} files", files.len());
    let missing: Vec<&String> = files
        .iter()
        .filter(|file| !list.contains(&format!("\"{file}\"")))
        .collect();
    ensure!(missing.is_empty(), "sw.js does not keep {missing:?}");
    Ok(())
}
