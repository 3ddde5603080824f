//! The page in a browser, as a person has it: type, press, wait, look.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::protocol::cdp::{Emulation, Log, Network, Page as Cdp, Runtime, Storage};
use headless_chrome::{Browser, Tab};
use image::RgbaImage;
use serde_json::Value;

use crate::native::Settings;

/// How often the page's state is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Counts what a policy refuses, from before the page's first line; what it refuses to a worker is
/// in the console.
const REFUSALS: &str = "globalThis.refused = []; \
    addEventListener('securitypolicyviolation', ({violatedDirective, blockedURI}) => refused.push(`${violatedDirective} ${blockedURI}`));";

/// A tab with the page.
pub struct Page {
    pub(super) tab: Arc<Tab>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl Page {
    /// Opens an address in a new tab.
    pub fn open(browser: &Browser, address: &str) -> Result<Page> {
        let tab = browser.new_tab()?;
        let problems = Arc::new(Mutex::new(Vec::new()));
        let heard = problems.clone();
        tab.enable_log()?.enable_runtime()?;
        tab.add_event_listener(Arc::new(move |event: &Event| {
            if let Some(problem) = problem(event) {
                heard
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(problem);
            }
        }))?;
        tab.call_method(Cdp::AddScriptToEvaluateOnNewDocument {
            source: REFUSALS.to_owned(),
            world_name: None,
            include_command_line_api: None,
            run_immediately: None,
        })?;
        let page = Page { tab, problems };
        page.tab.navigate_to(address)?;
        page.tab.wait_until_navigated()?;
        Ok(page)
    }

    /// Sets out for another address, and waits for nothing.
    pub fn go(&self, address: &str) -> Result<()> {
        self.tab.navigate_to(address)?;
        Ok(())
    }

    /// The value of a JavaScript expression, awaited where it is a promise.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let answer = self.tab.call_method(Runtime::Evaluate {
            expression: expression.to_owned(),
            return_by_value: Some(true),
            await_promise: Some(true),
            object_group: None,
            include_command_line_api: None,
            silent: None,
            context_id: None,
            generate_preview: None,
            user_gesture: Some(true),
            throw_on_side_effect: None,
            timeout: None,
            disable_breaks: None,
            repl_mode: None,
            allow_unsafe_eval_blocked_by_csp: Some(true),
            unique_context_id: None,
            serialization_options: None,
        })?;
        if let Some(exception) = answer.exception_details {
            let words = exception
                .exception
                .and_then(|thrown| thrown.description)
                .unwrap_or(exception.text);
            bail!("{expression}: {words}");
        }
        Ok(answer.result.value.unwrap_or(Value::Null))
    }

    /// The text a person reads in an element.
    pub fn text(&self, id: &str) -> Result<String> {
        let text = self.evaluate(&format!("document.getElementById('{id}').textContent"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Whether an element has the attribute `hidden`.
    pub fn is_hidden(&self, id: &str) -> Result<bool> {
        Ok(self.evaluate(&format!("document.getElementById('{id}').hidden"))? == true)
    }

    /// Waits until an expression is true.
    pub fn until(&self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.evaluate(expression)? != true {
            ensure!(
                Instant::now() < deadline,
                "not so after 30 s: {expression}; the page says: {} {} {:?}",
                self.text("status")?,
                self.text("remark")?,
                self.problems()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// `loading`, `ready`, `busy`, `done` or `error`.
    pub fn state(&self) -> Result<String> {
        let state = self.evaluate("document.documentElement?.dataset.state ?? ''")?;
        Ok(state.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for a state; another error on the page is an error here, in the page's words.
    pub fn wait(&self, wanted: &str, limit: Duration) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let state = self.state()?;
            if state == wanted {
                return Ok(started.elapsed());
            }
            if state == "error" {
                bail!(
                    "the page says: {} {:?}",
                    self.text("status")?,
                    self.problems()
                );
            }
            if started.elapsed() > limit {
                bail!(
                    "the page is `{state}` and not `{wanted}` after {} s; it says: {}",
                    limit.as_secs(),
                    self.text("status")?
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Types into a field in place of what it holds.
    pub fn type_into(&self, id: &str, text: &str) -> Result<()> {
        self.evaluate(&format!(
            "(() => {{ const field = document.getElementById('{id}'); field.closest('details')?.setAttribute('open', ''); field.focus(); field.select(); }})()"
        ))?;
        if text.is_empty() {
            self.tab.press_key("Delete")?;
        } else {
            self.tab.send_character(text)?;
        }
        let value = self.evaluate(&format!("document.getElementById('{id}').value"))?;
        if value != text {
            bail!("#{id} holds {value} after typing {text:?}");
        }
        Ok(())
    }

    /// Clicks an element with the mouse, where it is on the screen.
    pub fn click(&self, id: &str) -> Result<()> {
        self.tab
            .find_element(&format!("#{id}"))?
            .click()
            .with_context(|| format!("cannot click #{id}"))?;
        Ok(())
    }

    /// Clicks what a selector finds first.
    pub fn press(&self, selector: &str) -> Result<()> {
        self.tab
            .find_element(selector)?
            .click()
            .with_context(|| format!("cannot click {selector}"))?;
        Ok(())
    }

    /// Presses a key where the focus is.
    pub fn key(&self, name: &str) -> Result<()> {
        self.tab.press_key(name)?;
        Ok(())
    }

    /// Takes the network away from the page, or gives it back.
    pub fn network(&self, offline: bool) -> Result<()> {
        self.tab.call_method(Network::EmulateNetworkConditions {
            offline,
            latency: 0.0,
            download_throughput: -1.0,
            upload_throughput: -1.0,
            connection_Type: None,
            packet_loss: None,
            packet_queue_length: None,
            packet_reordering: None,
        })?;
        Ok(())
    }

    /// How many bytes an address's site may keep in this browser; `None` is the browser's measure.
    pub fn quota(&self, address: &str, bytes: Option<f64>) -> Result<()> {
        self.tab.call_method(Storage::OverrideQuotaForOrigin {
            origin: address.to_owned(),
            quota_size: bytes,
        })?;
        Ok(())
    }

    /// Fills the form.
    pub fn fill(&self, settings: &Settings) -> Result<()> {
        self.type_into("prompt", &settings.prompt)?;
        self.type_into("negative", &settings.negative_prompt)?;
        self.type_into("seed", &settings.seed.to_string())?;
        self.type_into("steps", &settings.steps.to_string())?;
        self.type_into("guidance", &settings.guidance.to_string())?;
        let chosen = self.evaluate(&format!(
            "(() => {{ const list = document.getElementById('scheduler'); list.value = '{}'; list.dispatchEvent(new Event('change', {{bubbles: true}})); return list.value; }})()",
            settings.scheduler
        ))?;
        if chosen != settings.scheduler {
            bail!("the page offers no scheduler {:?}", settings.scheduler);
        }
        Ok(())
    }

    /// Fills the form, presses the button and waits for the image; how long that took.
    pub fn generate(&self, settings: &Settings, limit: Duration) -> Result<(RgbaImage, Duration)> {
        self.fill(settings)?;
        let started = Instant::now();
        self.click("generate")?;
        let busy = self.evaluate("document.documentElement.dataset.state")?;
        if busy != "busy" && busy != "done" {
            bail!("the page is {busy} after a click on generate");
        }
        self.wait("done", limit)?;
        Ok((self.pixels()?, started.elapsed()))
    }

    /// The pixels of the image, as the model gave them.
    pub fn pixels(&self) -> Result<RgbaImage> {
        self.pixels_of("result")
    }

    /// The pixels of a canvas.
    pub fn pixels_of(&self, canvas: &str) -> Result<RgbaImage> {
        picture(&self.evaluate(&pixels(canvas))?)
    }

    /// What the page has measured.
    pub fn stats(&self) -> Result<Value> {
        self.evaluate("globalThis.roentgen.stats")
    }

    /// Errors in the console and exceptions, of the page and of its worker, since the last call.
    pub fn problems(&self) -> Vec<String> {
        std::mem::take(
            &mut self
                .problems
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// What the policies of the page refused it since it was opened.
    pub fn refused(&self) -> Result<Vec<Value>> {
        let refused = self.evaluate("globalThis.refused ?? []")?;
        Ok(refused.as_array().cloned().unwrap_or_default())
    }

    /// Nothing went wrong on the page, and its policies refused nothing.
    pub fn at_peace(&self) -> Result<()> {
        let problems = self.problems();
        ensure!(problems.is_empty(), "the console shows {problems:?}");
        let refused = self.refused()?;
        ensure!(refused.is_empty(), "its policy refused {refused:?}");
        Ok(())
    }

    /// Sets what the visitor's system prefers, such as `prefers-color-scheme`.
    pub fn prefer(&self, name: &str, value: &str) -> Result<()> {
        self.tab.call_method(Emulation::SetEmulatedMedia {
            media: None,
            features: Some(vec![Emulation::MediaFeature {
                name: name.to_owned(),
                value: value.to_owned(),
            }]),
        })?;
        Ok(())
    }

    /// Chooses the language; the browser keeps the choice for the site, so whoever leaves English
    /// has to come back to it.
    pub fn speak(&self, language: &str) -> Result<()> {
        self.evaluate(&format!(
            "(() => {{ const list = document.getElementById('language'); list.value = '{language}'; list.dispatchEvent(new Event('change')); }})()"
        ))?;
        let lang = self.evaluate("document.documentElement.lang")?;
        ensure!(lang == language, "the page is in {lang}");
        Ok(())
    }

    /// Makes the window as large as a device's.
    pub fn resize(&self, width: u32, height: u32, scale: f64) -> Result<()> {
        self.tab.call_method(Emulation::SetDeviceMetricsOverride {
            width,
            height,
            device_scale_factor: scale,
            mobile: width < 600,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        })?;
        Ok(())
    }

    /// What is on the screen, as WebP.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let quality = Some(80);
        self.tab.capture_screenshot(
            Cdp::CaptureScreenshotFormatOption::Webp,
            quality,
            None,
            true,
        )
    }

    /// Closes the tab.
    pub fn close(self) -> Result<()> {
        self.tab.close(true)?;
        Ok(())
    }
}

/// The words of an event that must not happen.
fn problem(event: &Event) -> Option<String> {
    match event {
        Event::RuntimeExceptionThrown(thrown) => {
            Some(format!("exception: {:?}", thrown.params.exception_details))
        }
        Event::RuntimeConsoleAPICalled(call)
            if call.params.Type == Runtime::ConsoleAPICalledEventTypeOption::Error =>
        {
            let words = call.params.args.iter().map(|value| {
                value
                    .description
                    .clone()
                    .or(value.value.as_ref().map(Value::to_string))
                    .unwrap_or_default()
            });
            Some(format!("console: {}", words.collect::<Vec<_>>().join(" ")))
        }
        Event::LogEntryAdded(added) if added.params.entry.level == Log::LogEntryLevel::Error => {
            let entry = &added.params.entry;
            Some(format!(
                "{} ({})",
                entry.text,
                entry.url.as_deref().unwrap_or("no address")
            ))
        }
        _ => None,
    }
}

/// JavaScript for the pixels of a canvas, which [`picture`] reads.
pub fn pixels(canvas: &str) -> String {
    format!(
        "(() => {{ const canvas = document.getElementById('{canvas}'); const {{width, height}} = canvas; \
         const bytes = canvas.getContext('2d').getImageData(0, 0, width, height).data; let text = ''; \
         for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096)); \
         return {{width, height, rgba: btoa(text)}}; }})()",
    )
}

/// The picture that [`pixels`] gives.
pub fn picture(answer: &Value) -> Result<RgbaImage> {
    let side = |name: &str| {
        answer[name]
            .as_u64()
            .and_then(|side| u32::try_from(side).ok())
            .unwrap_or_default()
    };
    let bytes = BASE64_STANDARD.decode(answer["rgba"].as_str().unwrap_or_default())?;
    RgbaImage::from_raw(side("width"), side("height"), bytes)
        .ok_or_else(|| anyhow!("the canvas gives no pixels"))
}
