//! The engine as the page's worker sees it: the project's only `wasm_bindgen`.
//!
//! One [`Engine`] holds one model on one device. The worker creates it, gives it the shards one at
//! a time, finishes it and then asks for images. Every failure reaches JavaScript as an `Error`
//! with the text of [`enum@Error`] and its stable `code`; a panic, which no promise survives, is
//! told to the function given to [`start::set_panic_handler`].

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod measure;
#[cfg(feature = "workers")]
mod pool;
mod reading;
mod settings;
mod start;

use js_sys::{Array, Float32Array, Function, Object, Promise, Reflect, Uint8ClampedArray};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::bundle::{Manifest, ShardReader};
use crate::device::{self, Precision};
use crate::dicom;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::origin;
use crate::pipeline::{Pipeline, PipelineBuilder, Step};
use crate::png;
use crate::tensor::HostTensor;
use crate::tokens::{ClipTokenizer, Part, PartTokens};
use settings::Settings;

/// A preview is decoded when the steps since the last one took this many times as long as decoding
/// it did, so that previews add at most a fifth to an image's time; unless all are asked for.
const STEPS_PER_PREVIEW: f64 = 5.0;

/// An [`enum@Error`], or what JavaScript threw, on its way to JavaScript.
pub struct Thrown(JsValue);

impl From<Error> for Thrown {
    fn from(error: Error) -> Self {
        let thrown = js_sys::Error::new(&error.to_string());
        set(&thrown, "code", &JsValue::from_str(error.code()));
        Thrown(thrown.into())
    }
}

impl From<Thrown> for JsValue {
    fn from(thrown: Thrown) -> Self {
        thrown.0
    }
}

/// How far the model is.
enum Stage {
    Loading {
        decoder: Box<ShardReader>,
        builder: Box<PipelineBuilder>,
    },
    Ready(Box<Pipeline>),
    Failed,
}

/// One model on one device.
#[wasm_bindgen]
pub struct Engine {
    stage: Stage,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the device and prepares the empty model. `backend` is `cpu` or `gpu`, as this module
    /// was built; `adapter` is what [`options`] and [`precision`] read.
    pub async fn create(
        backend: String,
        manifest: Vec<u8>,
        tokenizer: Vec<u8>,
        adapter: JsValue,
    ) -> Result<Engine, Thrown> {
        let manifest = Manifest::parse(&manifest)?;
        manifest.tokenizer.verify(&tokenizer)?;
        let tokenizer = ClipTokenizer::from_json(&tokenizer)?;
        let device = device::open_with(backend.parse()?, options(&adapter)?).await?;
        let precision = Precision::on(&device, precision(&adapter)?)?;
        let builder = PipelineBuilder::new(manifest.components.clone(), tokenizer, &device)?;
        let builder = Box::new(builder.in_precision(precision));
        let decoder = Box::new(ShardReader::new(manifest));
        Ok(Engine {
            stage: Stage::Loading { decoder, builder },
        })
    }

    /// Checks, decodes and applies the next shard. After an error the engine is of no use.
    pub fn add_shard(&mut self, index: usize, bytes: Vec<u8>) -> Result<(), Thrown> {
        let Stage::Loading {
            mut decoder,
            builder,
        } = self.take()
        else {
            return Err(wrong_stage().into());
        };
        let weights = decoder.read_shard(index, &bytes)?;
        drop(bytes);
        let builder = Box::new(builder.apply(weights)?);
        self.stage = Stage::Loading { decoder, builder };
        Ok(())
    }

    /// Makes the model ready; an error names the tensor that no shard held.
    pub fn finish(&mut self) -> Result<(), Thrown> {
        let Stage::Loading { decoder, builder } = self.take() else {
            return Err(wrong_stage().into());
        };
        decoder.finish()?;
        self.stage = Stage::Ready(Box::new(builder.finish()?));
        Ok(())
    }

    /// Draws one image: `{width, height, rgba, truncated, repeated, words?}`, `truncated` being the
    /// tokens of the prompt that did not fit, `repeated` whether f16 gave no image, so that this
    /// one is f32's, and `words` what each word of the prompt was attended to, where the settings
    /// ask for it.
    ///
    /// After each step `on_step({step, total, preview?})` is called and the promise it returns
    /// awaited, so that the worker hears its messages; where it resolves to `false`, the image ends
    /// with the error `cancelled`.
    pub async fn generate(&self, settings: JsValue, on_step: Function) -> Result<Object, Thrown> {
        let Stage::Ready(pipeline) = &self.stage else {
            return Err(wrong_stage().into());
        };
        let settings = Settings::read(settings)?;
        let every_step = settings.previews;
        let request = settings.into_request()?;
        let mut thrown = None;
        let mut since_preview = start::now();
        let mut preview_took = 0.0;
        let generated = pipeline
            .generate(&request, async |step: Step<'_>| {
                let event = Object::new();
                set(&event, "step", &step.index.into());
                set(&event, "total", &step.total.into());
                let started = start::now();
                let due = started - since_preview >= STEPS_PER_PREVIEW * preview_took;
                if step.index < step.total && (every_step || due) {
                    set(&event, "preview", &picture(&step.preview().await?));
                    since_preview = start::now();
                    preview_took = since_preview - started;
                }
                match call(&on_step, &event).await {
                    Ok(answer) if answer.is_falsy() && !answer.is_undefined() => {
                        Err(Error::Cancelled)
                    }
                    Ok(_) => Ok(()),
                    Err(error) => {
                        thrown = Some(Thrown(error));
                        Err(Error::Cancelled)
                    }
                }
            })
            .await;
        let generated = generated.map_err(|error| thrown.unwrap_or_else(|| error.into()))?;
        // A browser that rejects a kernel skips it in silence (cubecl #1641): the output is stale.
        let generated = generated.check()?;
        let object = picture(&generated.to_image());
        set(&object, "truncated", &generated.truncated.into());
        set(&object, "repeated", &generated.repeated.is_some().into());
        if let Some(attention) = &generated.attention {
            let parts = pipeline.parts(&request.prompt)?;
            let words = parts
                .iter()
                .map(|part| word(part, attention, &request.prompt));
            set(&object, "words", &words.collect::<Array>());
        }
        Ok(object)
    }

    /// The words of a prompt, `[{from, to, read, known}]`: where each stands, whether it is within
    /// what the model reads, and whether its tokenizer knows it.
    pub fn words(&self, prompt: &str) -> Result<Array, Thrown> {
        let Stage::Ready(pipeline) = &self.stage else {
            return Err(wrong_stage().into());
        };
        let words = pipeline.words(prompt)?.into_iter().map(|word| {
            let object = Object::new();
            set(&object, "from", &letters(prompt, word.place.start).into());
            set(&object, "to", &letters(prompt, word.place.end).into());
            set(&object, "read", &word.read.into());
            set(&object, "known", &word.known.into());
            object
        });
        Ok(words.collect())
    }

    /// The stage, leaving [`Stage::Failed`] in its place until a new one is set.
    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Failed)
    }
}

#[cfg(feature = "gpu")]
#[wasm_bindgen]
impl Engine {
    /// Has the browser compile the pipelines that one stage (`text_encoder`, `unet`, `decoder`) of
    /// an image at the model's own settings takes, before its weights are here. Nothing is
    /// computed, and the browser, which compiles elsewhere, is not waited for.
    pub fn warm_up(&self, stage: &str) -> Result<(), Thrown> {
        let Stage::Loading { decoder, builder } = &self.stage else {
            return Err(wrong_stage().into());
        };
        let Manifest {
            tensors, defaults, ..
        } = decoder.manifest();
        Ok(builder.warm_up(stage, tensors, defaults)?)
    }
}

/// Encodes pixels as a PNG which says in its text chunks that it is synthetic, and what gave it.
///
/// `rgba` is what a canvas has: `width * height * 4` bytes. `engine`, if known, is `cpu` or `gpu`.
#[wasm_bindgen]
pub fn encode_png(
    width: usize,
    height: usize,
    rgba: Vec<u8>,
    settings: JsValue,
    model: String,
    engine: Option<String>,
) -> Result<Vec<u8>, Thrown> {
    let request = Settings::read(settings)?.into_request()?;
    let engine = engine.map(|name| name.parse()).transpose()?;
    let image = canvas(width, height, rgba);
    Ok(png::encode(&image, &request, &model, engine)?)
}

/// The same as DICOM Secondary Capture. `marked`: words are in the pixels.
#[wasm_bindgen]
pub fn encode_dicom(
    width: usize,
    height: usize,
    rgba: Vec<u8>,
    settings: JsValue,
    model: String,
    engine: Option<String>,
    marked: bool,
) -> Result<Vec<u8>, Thrown> {
    let request = Settings::read(settings)?.into_request()?;
    let image = canvas(width, height, rgba);
    let engine = engine.map(|name| name.parse()).transpose()?;
    Ok(dicom::write::encode(
        &image, &request, &model, engine, marked,
    )?)
}

/// The pixels of a file that browsers do not show, or show too dark, `{width, height, rgba}`:
/// DICOM, and PNG in 16 bits of which only a part is used.
#[wasm_bindgen]
pub fn read_picture(bytes: Vec<u8>, file: String) -> Result<Object, Thrown> {
    let read = if dicom::read::is_dicom(&bytes) {
        dicom::read::read(&bytes).map(|radiograph| radiograph.to_image())
    } else {
        png::decode_wide(&bytes)
    };
    Ok(picture(&read.map_err(|why| Error::Picture { file, why })?))
}

/// What a PNG or a DICOM file of ours says of itself, `{keyword: value}`; null for other files.
#[wasm_bindgen]
pub fn read_origin(bytes: &[u8]) -> JsValue {
    let Some(texts) = origin::read(bytes) else {
        return JsValue::NULL;
    };
    let object = Object::new();
    for (keyword, value) in texts {
        set(&object, &keyword, &JsValue::from_str(&value));
    }
    object.into()
}

fn canvas(width: usize, height: usize, rgba: Vec<u8>) -> Image {
    Image {
        width,
        height,
        channels: 4,
        data: rgba,
    }
}

fn wrong_stage() -> Error {
    Error::request(
        "engine",
        "is not in the right state: create it, add every shard once, finish it, then generate",
    )
}

/// `{limits?: "adapter" | "default", software?: boolean}`, or nothing: how a device is opened.
fn options(adapter: &JsValue) -> Result<device::Options> {
    let property = |key: &str| Reflect::get(adapter, &JsValue::from_str(key)).ok();
    let limits = property("limits").and_then(|limits| limits.as_string());
    Ok(device::Options {
        limits: limits.map_or(Ok(Default::default()), |name| name.parse())?,
        software: property("software").is_some_and(|software| software.is_truthy()),
    })
}

/// `{precision?: "f16" | "f32"}`: what the model computes in, if not what suits the device.
fn precision(adapter: &JsValue) -> Result<Option<Precision>> {
    let named = Reflect::get(adapter, &JsValue::from_str("precision")).ok();
    let named = named.and_then(|precision| precision.as_string());
    named.map(|name| name.parse()).transpose()
}

/// Calls `function` and waits for what it returns, promise or not.
async fn call(function: &Function, argument: &JsValue) -> Result<JsValue, JsValue> {
    let answer = function.call1(&JsValue::NULL, argument)?;
    JsFuture::from(Promise::resolve(&answer)).await
}

fn picture(image: &Image) -> Object {
    let object = Object::new();
    set(&object, "width", &image.width.into());
    set(&object, "height", &image.height.into());
    set(
        &object,
        "rgba",
        &Uint8ClampedArray::from(image.to_rgba().as_slice()),
    );
    object
}

/// `Word` in `web/engine/protocol.js`.
fn word(part: &PartTokens, attention: &HostTensor, prompt: &str) -> Object {
    let object = Object::new();
    let kind = match &part.part {
        Part::Start => "start",
        Part::Word(range) => {
            set(&object, "from", &letters(prompt, range.start).into());
            set(&object, "to", &letters(prompt, range.end).into());
            "word"
        }
        Part::End => "end",
    };
    set(&object, "kind", &kind.into());
    set(&object, "height", &attention.shape[1].into());
    set(&object, "width", &attention.shape[2].into());
    let map = part.map(attention);
    set(&object, "map", &Float32Array::from(map.as_slice()));
    object
}

/// A place in a text, in bytes, as JavaScript counts it.
fn letters(text: &str, end: usize) -> usize {
    text[..end].encode_utf16().count()
}

/// Sets a property of an object made here; that cannot fail, as nothing here is frozen.
fn set(object: &JsValue, key: &str, value: &JsValue) {
    let done = Reflect::set(object, &JsValue::from_str(key), value);
    debug_assert!(done.is_ok(), "{key} could not be set");
}
