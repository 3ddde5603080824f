//! A browser's remote control over a WebSocket, where `headless_chrome` does not reach: WebDriver
//! BiDi, which Firefox speaks, and the workers of a page in Chromium's DevTools protocol. Both are
//! JSON: a call has an id, and so has its answer.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// The longest silence of a browser that is asked something.
const SILENCE: Duration = Duration::from_secs(600);

/// A connection to a browser.
pub struct Socket {
    socket: WebSocket<TcpStream>,
    last: u64,
    /// What the browser told without being asked.
    pub events: VecDeque<Value>,
}

impl Socket {
    /// Connects to `ws://127.0.0.1:port/…`.
    pub fn open(address: &str) -> Result<Socket> {
        let host = address.strip_prefix("ws://").unwrap_or(address);
        let host = host.split('/').next().unwrap_or(host);
        let stream =
            TcpStream::connect(host).with_context(|| format!("no browser answers at {host}"))?;
        stream.set_read_timeout(Some(SILENCE))?;
        let (socket, _) = tungstenite::client(address, stream)
            .with_context(|| format!("{address} is not a browser's remote control"))?;
        Ok(Socket {
            socket,
            last: 0,
            events: VecDeque::new(),
        })
    }

    /// The result of a call; what the browser refuses is an error in its words.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.send(json!({"method": method, "params": params}))
    }

    /// A call to one of several targets of Chromium.
    pub fn call_in(&mut self, session: &str, method: &str, params: Value) -> Result<Value> {
        self.send(json!({"sessionId": session, "method": method, "params": params}))
    }

    fn send(&mut self, mut message: Value) -> Result<Value> {
        self.last += 1;
        message["id"] = self.last.into();
        self.socket.send(Message::text(message.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text)?;
            if answer["id"] != self.last {
                self.events.push_back(answer);
            } else if answer["error"].is_null() {
                return Ok(answer["result"].take());
            } else {
                bail!(
                    "{}: {} {}",
                    message["method"],
                    answer["error"],
                    answer["message"]
                );
            }
        }
    }
}
