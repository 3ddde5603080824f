//! Which hosts a server on this machine answers for.
//!
//! A page of another site can give its own name this machine's address (DNS rebinding): the browser
//! then takes what is served here for that site's, and lets its scripts read it. The name that was
//! asked for tells: it comes with each request.

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};

/// Names of this machine for itself.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// A sentence where a request is not meant for a server on `port` of this machine, which may have
/// one name more.
pub fn check(uri: &Uri, headers: &HeaderMap, port: u16, more: Option<&str>) -> Result<(), String> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let (name, asked) = match host.rsplit_once(':') {
        Some((name, asked)) if !asked.ends_with(']') => (name, asked),
        _ => (host, "80"),
    };
    let ours = NAMES
        .into_iter()
        .chain(more)
        .any(|own| own.eq_ignore_ascii_case(name));
    if ours && asked.parse() == Ok(port) {
        Ok(())
    } else {
        Err(format!(
            "This server answers for this machine only: open http://127.0.0.1:{port}/.\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    use hyper::header::HeaderValue;

    use super::*;
    use crate::serve::Serving;
    use crate::site::Site;

    fn answers(uri: &'static str, hosts: &[&'static str]) -> bool {
        let hosts = hosts
            .iter()
            .map(|host| (HOST, HeaderValue::from_static(host)));
        let mut headers = HeaderMap::new();
        for (name, value) in hosts {
            headers.append(name, value);
        }
        check(&Uri::from_static(uri), &headers, 8080, Some("more.test")).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_are_answered_for() {
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "LOCALHOST:8080",
            "[::1]:8080",
            "more.test:8080",
        ] {
            assert!(answers("/", &[host]), "{host}");
        }
        for host in [
            "evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "localhost",
            "localhost:80",
            "localhost:8080.evil.example",
            "[::1]",
            "",
            ":8080",
            "192.168.0.7:8080",
        ] {
            assert!(!answers("/", &[host]), "{host}");
        }
        assert!(!answers("/", &[]));
        assert!(!answers("/", &["localhost:8080", "evil.example:8080"]));
        assert!(answers("http://localhost:8080/", &["localhost:8080"]));
        assert!(!answers("http://evil.example:8080/", &["localhost:8080"]));
    }

    #[test]
    fn a_server_shows_nothing_to_another_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.html"), "the page").unwrap();
        let site = Arc::new(Site::of_folder(folder.path()));
        let serving = Serving::start(site, 0, "", false).unwrap();
        let ask = |host: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", serving.port())).unwrap();
            write!(
                stream,
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let port = serving.port();
        assert!(ask(&format!("localhost:{port}")).ends_with("the page"));
        for host in [format!("evil.example:{port}"), "insecure.test".to_owned()] {
            let answer = ask(&host);
            assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
            assert!(!answer.contains("the page"), "{answer}");
        }
    }
}
