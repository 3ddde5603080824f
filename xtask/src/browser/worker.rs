//! A worker in a page, for what the page itself may not do: wait for threads.

use anyhow::Result;
use serde_json::Value;

use super::page::Page;

/// Evaluates what it is told, as [`Page::evaluate`] does in the page. Its own address is no
/// folder's, so that others begin with `location.origin`.
const PROGRAM: &str = "self.onmessage = async ({ data: [expression, port] }) => { \
    try { port.postMessage({ value: await (0, eval)(expression) }); } catch (error) { port.postMessage({ error: String(error?.stack ?? error) }); } };";

/// A worker of a page without a policy.
pub struct Worker<'a> {
    page: &'a Page,
}

impl<'a> Worker<'a> {
    /// Starts the worker; a page has one at most.
    pub fn start(page: &'a Page) -> Result<Self> {
        let program = Value::from(PROGRAM);
        page.evaluate(&format!(
            "globalThis.worker = new Worker(URL.createObjectURL(new Blob([{program}], {{ type: 'text/javascript' }})), {{ type: 'module' }}), undefined"
        ))?;
        Ok(Self { page })
    }

    /// The value of a JavaScript expression there, awaited where it is a promise. It must be what
    /// JSON can say.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let expression = Value::from(expression);
        self.page.evaluate(&format!(
            "new Promise((resolve, reject) => {{ const {{ port1, port2 }} = new MessageChannel(); \
             port1.onmessage = ({{ data: {{ value, error }} }}) => (port1.close(), error === undefined ? resolve(value) : reject(new Error(error))); \
             worker.onerror = ({{ message }}) => reject(new Error(message)); worker.postMessage([{expression}, port2], [port2]); }})"
        ))
    }
}
