//! The page in Firefox, driven through WebDriver BiDi, which it speaks by itself.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::LOADING;
use super::program::Program;
use super::socket::Socket;

mod visit;

pub use visit::firefox;

/// Firefox, the long-term release as well.
pub const FIREFOX: Program = Program {
    name: "Firefox",
    variable: "FIREFOX",
    names: &["firefox-esr", "firefox"],
    paths: &[
        "/Applications/Firefox.app/Contents/MacOS/firefox",
        "C:\\Program Files\\Mozilla Firefox\\firefox.exe",
    ],
    package: "firefox-esr",
};

/// How long it may take to start.
const STARTING: Duration = Duration::from_secs(120);

/// What it is told before it starts: English, and no traffic of its own.
const PREFERENCES: &str = r#"
user_pref("intl.accept_languages", "en");
user_pref("app.normandy.enabled", false);
user_pref("app.update.auto", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "");
user_pref("toolkit.telemetry.server", "");
"#;

/// A Firefox with a tab and a profile of its own. Dropping it ends it, and only it, and removes the
/// profile.
struct Firefox {
    process: Child,
    socket: Socket,
    tab: String,
    _profile: TempDir,
}

impl Firefox {
    fn launch() -> Result<Firefox> {
        let program = FIREFOX.find()?;
        let profile = tempfile::tempdir()?;
        fs::write(profile.path().join("user.js"), PREFERENCES)?;
        let mut process = Command::new(&program)
            .args([
                "--headless",
                "--no-remote",
                "--remote-debugging-port",
                "0",
                "--profile",
            ])
            .arg(profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        match connect(&profile, &mut process) {
            Ok((socket, tab)) => Ok(Firefox {
                process,
                socket,
                tab,
                _profile: profile,
            }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error.context(format!(
                    "{} cannot be driven. Set FIREFOX to another one, of version 129 or newer",
                    program.display()
                )))
            }
        }
    }

    /// Goes to an address and waits until the page is as it should be.
    fn visit(&mut self, address: &str) -> Result<()> {
        let params = json!({"context": self.tab, "url": address, "wait": "complete"});
        self.socket.call("browsingContext.navigate", params)?;
        self.wait("ready", LOADING)
    }

    /// The value of a JavaScript expression, awaited where it is a promise.
    fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let expression = expression.trim_end().trim_end_matches(';'); // of a file
        let params = json!({
            "expression": format!("(async () => JSON.stringify(await ({expression})))()"),
            "target": {"context": self.tab},
            "awaitPromise": true,
        });
        let found = self.socket.call("script.evaluate", params)?;
        if found["type"] != "success" {
            bail!("{expression}: {}", found["exceptionDetails"]["text"]);
        }
        let text = found["result"]["value"].as_str().unwrap_or("null");
        Ok(serde_json::from_str(text)?)
    }

    fn text(&mut self, id: &str) -> Result<String> {
        let text = self.evaluate(&format!("document.getElementById('{id}').textContent"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for a state of the page; an error on the page is an error here, in the page's words.
    fn wait(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let state = self.evaluate("document.documentElement.dataset.state")?;
            if state == wanted {
                return Ok(());
            }
            if state == "error" || started.elapsed() > limit {
                let words = self.text("status")?;
                bail!(
                    "the page is {state} and not {wanted:?}; it says: {words} {:?}",
                    self.problems()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Errors in the console and exceptions, since the last call.
    fn problems(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.socket.events);
        let errors = events
            .iter()
            .filter(|event| event["params"]["level"] == "error");
        errors
            .map(|event| event["params"]["text"].to_string())
            .collect()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.socket.call("browser.close", json!({}));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until Firefox has written where it listens, and takes its first tab.
fn connect(profile: &TempDir, process: &mut Child) -> Result<(Socket, String)> {
    let file = profile.path().join("WebDriverBiDiServer.json");
    let started = Instant::now();
    let port = loop {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let told = serde_json::from_str::<Value>(&text).unwrap_or_default();
        if let Some(port) = told["ws_port"].as_u64() {
            break port;
        }
        if let Some(status) = process.try_wait()? {
            bail!("it ended at once ({status})");
        }
        ensure!(
            started.elapsed() < STARTING,
            "it does not listen after {} s",
            STARTING.as_secs()
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut socket = Socket::open(&format!("ws://127.0.0.1:{port}/session"))?;
    socket.call("session.new", json!({"capabilities": {}}))?;
    socket.call("session.subscribe", json!({"events": ["log.entryAdded"]}))?;
    let tree = socket.call("browsingContext.getTree", json!({}))?;
    let tab = tree["contexts"][0]["context"]
        .as_str()
        .context("it has no tab")?;
    Ok((socket, tab.to_owned()))
}
