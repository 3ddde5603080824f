//! A [`Reading`] on its way to JavaScript: `Reading` in `web/engine/protocol.js`.

use js_sys::{Array, Float32Array, Object};
use wasm_bindgen::prelude::*;

use super::{Engine, Stage, Thrown, canvas, set, wrong_stage};
use crate::reader::{Reading, Seen, asked, is_finding};

#[wasm_bindgen]
impl Engine {
    /// What the model's reader sees on a picture that was to show what `prompt` asks for, `Reading`
    /// in `web/engine/protocol.js`; null where the model has no reader. `rgba` is what a canvas
    /// has.
    pub async fn read(
        &self,
        width: usize,
        height: usize,
        rgba: Vec<u8>,
        prompt: &str,
    ) -> Result<JsValue, Thrown> {
        let Stage::Ready(pipeline) = &self.stage else {
            return Err(wrong_stage().into());
        };
        let reading = pipeline.read(&canvas(width, height, rgba)).await?;
        Ok(reading.map_or(JsValue::NULL, |reading| object(&reading, prompt).into()))
    }
}

/// What it says of an image that was to show what `prompt` asks for.
fn object(reading: &Reading, prompt: &str) -> Object {
    let asked = asked(prompt);
    let labels = reading.labels.iter();
    let labels = labels.filter(|label| is_finding(&label.name));
    let labels = labels.map(|label| seen(label, asked.labels.contains(&label.name.as_str())));
    let object = Object::new();
    set(&object, "labels", &labels.collect::<Array>());
    set(&object, "normal", &asked.normal.into());
    set(&object, "distance", &reading.distance.into());
    set(&object, "radiograph", &reading.is_radiograph.into());
    set(&object, "agreement", &reading.agreement(prompt).into());
    set(&object, "agrees", &reading.agrees(prompt).into());
    object
}

fn seen(label: &Seen, asked: bool) -> Object {
    let object = Object::new();
    let sure = if asked {
        label.sureness()
    } else {
        label.probability
    };
    set(&object, "name", &JsValue::from_str(&label.name));
    set(&object, "asked", &asked.into());
    set(&object, "seen", &label.is_seen(asked).into());
    set(&object, "sure", &sure.into());
    set(&object, "auroc", &label.auroc.into());
    set(&object, "height", &label.map.shape[0].into());
    set(&object, "width", &label.map.shape[1].into());
    let map = Float32Array::from(label.map.data.as_slice());
    set(&object, "map", &map);
    object
}
