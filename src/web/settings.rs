//! Settings on their way from JavaScript.

use js_sys::Uint8ClampedArray;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::latents::img2img::Img2Img;
use crate::latents::scheduler::SchedulerKind;
use crate::pipeline::Request;

/// What gives an image, as the page writes it; `Settings` in `web/engine/protocol.js`.
#[derive(Deserialize)]
pub(super) struct Settings {
    prompt: String,
    negative_prompt: String,
    seed: u64,
    num_inference_steps: usize,
    guidance_scale: f64,
    scheduler: Option<String>,
    width: usize,
    height: usize,
    source: Option<SourceSettings>,
    /// Whether the attention to each word is wanted.
    #[serde(default)]
    words: bool,
    /// Whether a preview is wanted at every step, however long it takes.
    #[serde(default)]
    pub(super) previews: bool,
    /// How many images this one was selected from.
    #[serde(default = "one")]
    selected_from: usize,
}

/// A picture to begin from, of the image's width and height; `Source` in `web/engine/protocol.js`.
#[derive(Deserialize)]
struct SourceSettings {
    /// `width * height * 4` bytes, as a canvas has them.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    rgba: Uint8ClampedArray,
    /// `width * height` bytes, or null.
    #[serde(default, with = "serde_wasm_bindgen::preserve")]
    mask: JsValue,
    strength: f64,
}

fn one() -> usize {
    1
}

impl SourceSettings {
    fn into_source(self, width: usize, height: usize) -> Img2Img {
        let image = |channels, data| Image {
            width,
            height,
            channels,
            data,
        };
        let mask = self.mask.dyn_into::<Uint8ClampedArray>();
        Img2Img {
            image: image(4, self.rgba.to_vec()),
            mask: mask.ok().map(|mask| image(1, mask.to_vec())),
            strength: self.strength,
        }
    }
}

impl Settings {
    pub(super) fn read(value: JsValue) -> Result<Settings> {
        serde_wasm_bindgen::from_value(value)
            .map_err(|error| Error::request("settings", format!("cannot be read: {error}")))
    }

    pub(super) fn into_request(self) -> Result<Request> {
        let (width, height) = (self.width, self.height);
        Ok(Request {
            scheduler: self
                .scheduler
                .map(|name| name.parse::<SchedulerKind>())
                .transpose()?,
            prompt: self.prompt,
            negative_prompt: self.negative_prompt,
            seed: self.seed,
            num_inference_steps: self.num_inference_steps,
            guidance_scale: self.guidance_scale,
            width,
            height,
            latents: None,
            source: self.source.map(|source| source.into_source(width, height)),
            words: self.words,
            selected_from: self.selected_from,
        })
    }
}
