//! Serves the page on this machine: media types, ranges, nothing outside the site, a record.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::runtime::{Builder, Runtime};

use crate::answer::Answer;
use crate::browser::chrome::INSECURE;
use crate::host;
use crate::site::Site;

/// Bytes up to which a file is never cut, held or counted.
const SMALL: usize = 4 << 20;
/// Where pages report a request that would leave this server.
const REPORT: &str = "/-/report";

/// A running server; dropping it stops it.
pub struct Serving {
    runtime: Runtime,
    address: SocketAddr,
    state: Arc<State>,
}

/// What answers need.
struct State {
    site: Arc<Site>,
    prefix: String,
    port: u16,
    watch: bool,
    /// Whether pages of other origins may read the files (CORS).
    open: AtomicBool,
    /// Whether ranges are ignored, as the simplest servers do.
    whole: AtomicBool,
    /// Whether pages are isolated from those of other origins (then clocks are finer).
    isolated: AtomicBool,
    /// Whether pages are sandboxed, as in a frame that lets them run scripts and no more.
    sandboxed: AtomicBool,
    /// What is answered in place of the files whose address ends so.
    instead: Mutex<Vec<(&'static str, Instead)>>,
    /// Bytes of weights a second at the most.
    pace: OnceLock<f64>,
    asked: Mutex<Asked>,
}

/// What has been asked of a server.
#[derive(Default)]
struct Asked {
    /// Paths, in order.
    paths: Vec<String>,
    /// What pages would have fetched from elsewhere, as the browser reports it.
    elsewhere: Vec<String>,
    /// The first byte that each request for weights asks for.
    starts: Vec<usize>,
    /// What the next answers with weights lack.
    cuts: VecDeque<Cut>,
}

/// What a host may answer in place of a file.
#[derive(Clone, Copy)]
pub enum Instead {
    /// The start page, as hosts of single-page programs do for what they do not have.
    StartPage,
    /// Spaces without end, which JSON may begin with.
    Endless,
}

/// An answer that ends early: after so many bytes the connection is closed, or stays silent.
#[derive(Clone, Copy)]
enum Cut {
    Close(usize),
    Hold(usize),
}

impl Serving {
    /// Serves `site` on 127.0.0.1, under `prefix` (`""`, or `/project` as project pages are).
    ///
    /// `port` 0 takes any free one. With `watch`, pages carry a policy that has the browser report
    /// each request to another origin, from the page and from its workers.
    pub fn start(site: Arc<Site>, port: u16, prefix: &str, watch: bool) -> Result<Serving> {
        let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("cannot serve on 127.0.0.1:{port}; if another program uses it, name another one with --port")
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (prefix, asked) = (prefix.to_owned(), Mutex::default());
        let state = Arc::new(State {
            site,
            prefix,
            port: address.port(),
            watch,
            open: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            isolated: AtomicBool::new(false),
            sandboxed: AtomicBool::new(false),
            instead: Mutex::default(),
            pace: OnceLock::new(),
            asked,
        });
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .build()?;
        runtime.spawn(accept(listener, state.clone()));
        Ok(Serving {
            runtime,
            address,
            state,
        })
    }

    /// The page's address.
    pub fn address(&self) -> String {
        format!("http://{}{}/", self.address, self.state.prefix)
    }

    /// The port, for a server that takes over from this one.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Paths asked for since the last call, less the service worker's: browsers time those.
    pub fn take_paths(&self) -> Vec<String> {
        let mut paths = std::mem::take(&mut self.state.asked().paths);
        paths.retain(|path| !path.ends_with("/sw.js") && !path.ends_with("/release.js"));
        paths
    }

    /// Requests to elsewhere reported since the last call (with `watch`).
    pub fn take_elsewhere(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked().elsewhere)
    }

    /// Cuts the connection of each of the next answers with weights after so many bytes.
    pub fn cut(&self, after: &[usize]) {
        let cuts = after.iter().map(|after| Cut::Close(*after));
        self.state.asked().cuts.extend(cuts);
    }

    /// Sends so many bytes of the next answer with weights, then nothing while the browser waits.
    pub fn hold(&self, after: usize) {
        self.state.asked().cuts.push_back(Cut::Hold(after));
    }

    /// Sends whole files from now on, whatever part is asked for.
    pub fn ignore_ranges(&self) {
        self.state.whole.store(true, Ordering::Relaxed);
    }

    /// Lets pages of other origins read the files (CORS), or no longer.
    pub fn open_to_others(&self, open: bool) {
        self.state.open.store(open, Ordering::Relaxed);
    }

    /// Answers otherwise from now on where an address ends in `end`.
    pub fn answer_instead(&self, end: &'static str, instead: Instead) {
        self.state.instead().push((end, instead));
    }

    /// Sends weights no faster than so many bytes a second.
    pub fn pace(&self, per_second: f64) {
        let _ = self.state.pace.set(per_second);
    }

    /// Isolates pages from now on.
    pub fn isolate(&self) {
        self.state.isolated.store(true, Ordering::Relaxed);
    }

    /// Sandboxes pages from now on.
    pub fn sandbox(&self) {
        self.state.sandboxed.store(true, Ordering::Relaxed);
    }

    /// Where the requests for weights began since the last call.
    pub fn take_starts(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.asked().starts)
    }

    /// Serves until the program is ended.
    pub fn wait(self) {
        self.runtime.block_on(std::future::pending())
    }
}

/// Takes connections until the runtime is dropped.
async fn accept(listener: TcpListener, state: Arc<State>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            // An error means that the browser has gone away: there is nobody to tell.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl State {
    /// The lists; holders only push and take, so that a panic leaves nothing half done.
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instead(&self) -> MutexGuard<'_, Vec<(&'static str, Instead)>> {
        self.instead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let more = self.watch.then_some(INSECURE); // checks only
        if let Err(why) = host::check(request.uri(), request.headers(), self.port, more) {
            return words(StatusCode::MISDIRECTED_REQUEST, why);
        }
        let path = percent_decode_str(request.uri().path())
            .decode_utf8_lossy()
            .into_owned();
        if self.watch && path == REPORT {
            let report = request
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            self.asked()
                .elsewhere
                .push(String::from_utf8_lossy(&report).into_owned());
            return words(StatusCode::OK, String::new());
        }
        self.asked().paths.push(path.clone());
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return words(
                StatusCode::METHOD_NOT_ALLOWED,
                "Only GET and HEAD.\n".to_owned(),
            );
        }
        let instead = self
            .instead()
            .iter()
            .rev()
            .find(|(end, _)| path.ends_with(end))
            .map(|(_, instead)| *instead);
        let path = match instead {
            Some(Instead::Endless) => return Response::new(Answer::endless(b' ')),
            Some(Instead::StartPage) => format!("{}/", self.prefix),
            None => path,
        };
        // Read at once: the largest file is a shard of 32 MiB, and the reader is on this machine.
        let file = path
            .strip_prefix(&self.prefix)
            .and_then(|path| self.site.file(path));
        let Some((bytes, file)) = file.and_then(|file| Some((std::fs::read(&file).ok()?, file)))
        else {
            return words(StatusCode::NOT_FOUND, format!("There is no {path} here.\n"));
        };
        let mut response = self.part(Bytes::from(bytes), request.headers(), &path);
        let headers = response.headers_mut();
        if let Ok(media) = media_type(&file).parse() {
            headers.insert(CONTENT_TYPE, media);
        }
        // Workers go by the headers of their own file, and by nothing in the page's markup.
        let policy = path.ends_with(".js").then(|| self.site.policy()).flatten();
        if let Some(Ok(policy)) = policy.map(|policy| policy.parse()) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if self.sandboxed.load(Ordering::Relaxed) && path.ends_with('/') {
            let sandbox = HeaderValue::from_static("sandbox allow-scripts");
            headers.insert(CONTENT_SECURITY_POLICY, sandbox);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if self.open.load(Ordering::Relaxed) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        if self.isolated.load(Ordering::Relaxed) {
            let same = HeaderValue::from_static("same-origin");
            headers.insert("Cross-Origin-Opener-Policy", same);
            let required = HeaderValue::from_static("require-corp");
            headers.insert("Cross-Origin-Embedder-Policy", required);
        }
        if self.watch {
            let own =
                "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:";
            if let Ok(policy) = format!("{own}; report-uri {REPORT}").parse() {
                headers.insert("Content-Security-Policy-Report-Only", policy);
            }
        }
        response
    }

    /// The bytes from where they are asked for, and no further than the next cut.
    fn part(&self, bytes: Bytes, headers: &HeaderMap, path: &str) -> Response<Answer> {
        let total = bytes.len();
        let start = start(headers).filter(|start| *start < total);
        // Of the model itself: its reader, or a tokenizer, is no test of a download.
        let weights = path.ends_with(".safetensors") && total > SMALL;
        let cut = weights.then(|| {
            let mut asked = self.asked();
            asked.starts.push(start.unwrap_or(0));
            asked.cuts.pop_front()
        });
        let start = start.filter(|_| !self.whole.load(Ordering::Relaxed));
        let rest = bytes.slice(start.unwrap_or(0)..);
        let answer = match cut.flatten() {
            Some(Cut::Close(after)) => Answer::cut(rest, after),
            Some(Cut::Hold(after)) => Answer::hold(rest, after),
            None => Answer::whole(rest),
        };
        let pace = self.pace.get().filter(|_| weights);
        let mut response = Response::new(match pace {
            Some(pace) => answer.paced(*pace),
            None => answer,
        });
        if let Some(start) = start {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{total}", total - 1);
            if let Ok(range) = range.parse() {
                response.headers_mut().insert(CONTENT_RANGE, range);
            }
        }
        response
    }
}

/// The first byte of `bytes=100-`; other ranges are answered with the whole file, as a server may.
fn start(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

/// An answer without a file.
fn words(status: StatusCode, text: String) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// `Content-Type` of a file.
fn media_type(file: &Path) -> String {
    let media = mime_guess::from_path(file).first_or_octet_stream();
    let text = media.type_() == "text" || media.subtype() == "json";
    format!("{media}{}", if text { "; charset=utf-8" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let start = |range: &'static str| {
            super::start(&HeaderMap::from_iter([(
                RANGE,
                HeaderValue::from_static(range),
            )]))
        };
        assert_eq!(start("bytes=100-"), Some(100));
        assert_eq!(start("bytes=0-99"), None);
        assert_eq!(start("bytes=-5"), None);
        assert_eq!(super::start(&HeaderMap::new()), None);
    }

    #[test]
    fn media_types_are_those_a_browser_insists_on() {
        let media = |file: &str| media_type(Path::new(file));
        assert_eq!(media("a.wasm"), "application/wasm");
        assert_eq!(media("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(media("a.html"), "text/html; charset=utf-8");
        assert_eq!(media("bundle.json"), "application/json; charset=utf-8");
        assert_eq!(media("model.safetensors"), "application/octet-stream");
        assert_eq!(media("icon.svg"), "image/svg+xml");
    }
}
