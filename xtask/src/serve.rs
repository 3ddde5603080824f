//! Serves the page on this machine: right media types, nothing outside the site's folders, and a memory of what was asked.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use percent_encoding::percent_decode_str;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::site::Site;

/// Where pages report a request that would leave this server.
const REPORT: &str = "/-/report";

/// Requests served at the same time; browsers ask for six at most.
const THREADS: usize = 6;

/// A running server; dropping it stops it.
pub struct Serving {
    server: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
    asked: Arc<Mutex<Asked>>,
    prefix: String,
}

/// What has been asked of a server.
#[derive(Default)]
struct Asked {
    /// Paths, in order.
    paths: Vec<String>,
    /// What pages would have fetched from elsewhere, as the browser reports it.
    elsewhere: Vec<String>,
}

impl Serving {
    /// Serves `site` on 127.0.0.1, under `prefix` (`""`, or a path like `/project` to be like a project page).
    ///
    /// `port` 0 takes any free one. With `watch`, pages carry a policy that has the browser report each request to another
    /// origin, from the page and from its workers.
    pub fn start(site: Arc<Site>, port: u16, prefix: &str, watch: bool) -> Result<Serving> {
        let server = Server::http(("127.0.0.1", port)).map_err(|error| {
            anyhow!("cannot serve on 127.0.0.1:{port}: {error}. Another program may be using it: name another one with --port")
        })?;
        let (server, asked) = (Arc::new(server), Arc::new(Mutex::new(Asked::default())));
        let worker = |_| {
            let (server, site, asked, prefix) = (
                server.clone(),
                site.clone(),
                asked.clone(),
                prefix.to_owned(),
            );
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(request, &site, &asked, &prefix, watch);
                }
            })
        };
        let threads = (0..THREADS).map(worker).collect();
        Ok(Serving {
            server,
            threads,
            asked,
            prefix: prefix.to_owned(),
        })
    }

    /// The page's address.
    pub fn address(&self) -> String {
        let port = self
            .server
            .server_addr()
            .to_ip()
            .map_or(0, |address| address.port());
        format!("http://127.0.0.1:{port}{}/", self.prefix)
    }

    /// Paths asked for since the last call.
    pub fn take_paths(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.asked).paths)
    }

    /// Requests to elsewhere reported since the last call (with `watch`).
    pub fn take_elsewhere(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.asked).elsewhere)
    }

    /// Serves until the program is ended.
    pub fn wait(mut self) {
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.server.unblock();
        }
    }
}

/// The lock of a mutex whose other holders only push to lists, so that a panic in one leaves nothing half done.
fn lock(asked: &Mutex<Asked>) -> std::sync::MutexGuard<'_, Asked> {
    asked
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn answer(mut request: Request, site: &Site, asked: &Mutex<Asked>, prefix: &str, watch: bool) {
    let path = request
        .url()
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_owned();
    let path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    if watch && path == REPORT {
        let mut report = String::new();
        let _ = request.as_reader().read_to_string(&mut report);
        lock(asked).elsewhere.push(report);
        let _ = request.respond(Response::empty(204));
        return;
    }
    lock(asked).paths.push(path.clone());
    // An error while answering means that the browser has gone away: there is nobody to tell.
    let _ = if !matches!(request.method(), Method::Get | Method::Head) {
        request.respond(Response::from_string("Only GET and HEAD.\n").with_status_code(405))
    } else {
        match path
            .strip_prefix(prefix)
            .and_then(|path| site.file(path))
            .and_then(|file| Some((File::open(&file).ok()?, file)))
        {
            Some((content, file)) => {
                let mut response = Response::from_file(content);
                headers(&file, watch)
                    .into_iter()
                    .for_each(|header| response.add_header(header));
                request.respond(response)
            }
            None => request.respond(
                Response::from_string(format!("There is no {path} here.\n")).with_status_code(404),
            ),
        }
    };
}

/// Headers of a file.
fn headers(file: &Path, watch: bool) -> Vec<Header> {
    let media = mime_guess::from_path(file).first_or_octet_stream();
    let charset = if media.type_() == "text" || media.subtype() == "json" {
        "; charset=utf-8"
    } else {
        ""
    };
    let mut headers = vec![
        ("Content-Type", format!("{media}{charset}")),
        ("Cache-Control", "no-cache".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if watch {
        let own = "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:";
        headers.push((
            "Content-Security-Policy-Report-Only",
            format!("{own}; report-uri {REPORT}"),
        ));
    }
    headers
        .into_iter()
        .filter_map(|(name, value)| Header::from_bytes(name, value).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_those_a_browser_insists_on() {
        let media = |file: &str| headers(Path::new(file), false)[0].value.as_str().to_owned();
        assert_eq!(media("a.wasm"), "application/wasm");
        assert_eq!(media("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(media("a.html"), "text/html; charset=utf-8");
        assert_eq!(media("bundle.json"), "application/json; charset=utf-8");
        assert_eq!(media("model.safetensors"), "application/octet-stream");
        assert_eq!(media("icon.svg"), "image/svg+xml");
    }
}
