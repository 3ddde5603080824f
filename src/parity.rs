//! Equality with diffusers, measured: runs a golden case of `tests/reference` and gives its errors.
//!
//! In the library and on bytes alone, because the same cases run natively and in a browser, on
//! every backend. The bounds belong to the tests; nothing else uses this.

use std::collections::BTreeMap;

use burn::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::components::ComponentConfigs;
use crate::embeddings::{CLIPTextConfig, CLIPTextModel};
use crate::error::{Error, Result};
use crate::image::{Autoencoder, AutoencoderConfig};
use crate::latents::scheduler::SchedulerConfig;
use crate::latents::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::names::read_safetensors;
use crate::pipeline::{PipelineBuilder, Request};
use crate::reader::{Reader, ReaderConfig, Reading};
use crate::tensor::HostTensor;
use crate::tokens::{ClipTokenizer, TokenizerOptions};
use crate::weights::{self, Weights};

/// Every case under `tests/reference/goldens` that [`compare`] runs; the whole runs come last.
pub const CASES: [&str; 16] = [
    "text_encoder_sd1",
    "text_encoder_sd2",
    "unet_sd1",
    "unet_sd2",
    "unet_plain",
    "unet_text",
    "vae_sd",
    "vae_grey",
    "vae_whitened",
    "vae_dc",
    "vae_dc_conv",
    "vae_tiny",
    "reader",
    "pipeline_sd1",
    "pipeline_sd2",
    "pipeline_dc",
];

const CASE: &str = "case.safetensors";

/// The files of one case, by their path in its folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Relative L2 errors of a case, by the name of the output.
pub type Errors = BTreeMap<String, f64>;

/// A whole run's settings: `request.json` of a pipeline case.
#[derive(Deserialize)]
struct RunRequest {
    prompt: String,
    negative_prompt: String,
    num_inference_steps: usize,
    guidance_scale: f64,
    width: usize,
    height: usize,
}

/// Runs one case on `device` and compares each of its outputs.
///
/// # Errors
/// Whatever loading or running the model gives; [`Error::Output`] where an output has another shape
/// than the golden.
pub async fn compare(files: &Files, device: &Device) -> Result<Errors> {
    let case = Case::read(files)?;
    if files.contains_key("model_index.json") {
        return case.pipeline(device).await;
    }
    let config: serde_json::Value = case.json("config.json")?;
    match config.get("_class_name").and_then(|name| name.as_str()) {
        Some("UNet2DConditionModel") => case.unet(device).await,
        Some("AutoencoderKL" | "AutoencoderDC" | "AutoencoderTiny") => case.vae(device).await,
        Some("Reader") => case.reader(device).await,
        _ => case.text_encoder(device).await,
    }
}

/// `|found - expected| / |expected|`; infinite where a number is not finite.
pub fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(expected);
    let error: f64 = pairs
        .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
        .sum();
    let norm: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    let relative = (error / norm).sqrt();
    if relative.is_finite() {
        relative
    } else {
        f64::INFINITY
    }
}

/// The tensors of a `case.safetensors`, `input.*` and `output.*`; token ids as numbers.
///
/// # Errors
/// [`Error::Safetensors`] if it is no safetensors file, or holds other types than float32 and
/// int64.
pub fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, HostTensor>> {
    let bad = |why: String| Error::Safetensors {
        file: CASE.into(),
        why,
    };
    let parsed = SafeTensors::deserialize(bytes).map_err(|e| bad(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (key, view) in parsed.iter() {
        let data: Vec<f32> = match view.dtype() {
            Dtype::F32 => le_chunks(view.data()).map(f32::from_le_bytes).collect(),
            Dtype::I64 => le_chunks(view.data())
                .map(|b| i64::from_le_bytes(b) as f32)
                .collect(),
            other => return Err(bad(format!("{key} is stored as {other:?}"))),
        };
        let shape = view.shape().to_vec();
        tensors.insert(key.to_owned(), HostTensor { shape, data });
    }
    Ok(tensors)
}

/// The request of a pipeline case: its `request.json` and its latents.
///
/// # Errors
/// [`Error::Json`], or as [`tensors`].
pub fn run_request(files: &Files) -> Result<Request> {
    let case = Case::read(files)?;
    let run: RunRequest = case.json("request.json")?;
    Ok(Request {
        prompt: run.prompt,
        negative_prompt: run.negative_prompt,
        seed: 0,
        num_inference_steps: run.num_inference_steps,
        guidance_scale: run.guidance_scale,
        scheduler: None,
        width: run.width,
        height: run.height,
        latents: Some(case.tensor("input.latents")?.clone()),
        source: None,
        words: false,
        selected_from: 1,
    })
}

/// The weights in the files of `folder` (`""`, or a name with `/`), with the component's name
/// before each key.
///
/// # Errors
/// As [`read_safetensors`].
pub fn weights(files: &Files, folder: &str, component: &str) -> Result<Weights> {
    let mut weights = Weights::new();
    for (name, bytes) in files {
        let inside = name
            .strip_prefix(folder)
            .is_some_and(|name| !name.contains('/'));
        if inside && name.ends_with(".safetensors") && name != CASE {
            weights.extend(read_safetensors(component, name, bytes)?);
        }
    }
    Ok(weights)
}

struct Case<'a> {
    files: &'a Files,
    /// `case.safetensors`: `input.*` and `output.*`; token ids as numbers.
    tensors: BTreeMap<String, HostTensor>,
}

impl<'a> Case<'a> {
    fn read(files: &'a Files) -> Result<Self> {
        let tensors = tensors(file(files, CASE)?)?;
        Ok(Self { files, tensors })
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_slice(file(self.files, name)?).map_err(|e| Error::Json {
            file: name.into(),
            why: e.to_string(),
        })
    }

    fn tensor(&self, name: &str) -> Result<&HostTensor> {
        let missing = || Error::MissingTensor { name: name.into() };
        self.tensors.get(name).ok_or_else(missing)
    }

    fn input<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let HostTensor { shape, data } = self.tensor(&format!("input.{name}"))?.clone();
        Ok(Tensor::from_data(TensorData::new(data, shape), device))
    }

    fn error(&self, name: &str, found: &HostTensor) -> Result<(String, f64)> {
        let expected = self.tensor(&format!("output.{name}"))?;
        if found.shape != expected.shape {
            let (found, expected) = (&found.shape, &expected.shape);
            let why = format!("{name} has shape {found:?} where the golden has {expected:?}");
            return Err(Error::Output(why));
        }
        Ok((name.into(), relative_l2(&found.data, &expected.data)))
    }

    async fn error_of<const D: usize>(
        &self,
        name: &str,
        found: Tensor<D>,
    ) -> Result<(String, f64)> {
        self.error(name, &HostTensor::read(found).await?)
    }

    /// A module with the weights of the case's folder.
    fn load<M: Module>(&self, component: &str, module: M) -> Result<M> {
        let prefix = format!("{component}.");
        let named = weights(self.files, "", component)?.into_iter();
        let bare = named.map(|(name, weight)| (name.replacen(&prefix, "", 1), weight));
        weights::load(module, bare.collect())
    }

    async fn text_encoder(&self, device: &Device) -> Result<Errors> {
        let config: CLIPTextConfig = self.json("config.json")?;
        let model: CLIPTextModel = self.load("text_encoder", config.init(device)?)?;
        let ids = self.input::<2>("ids", device)?.int();
        let found = self
            .error_of("last_hidden_state", model.forward(ids))
            .await?;
        Ok(Errors::from([found]))
    }

    async fn unet(&self, device: &Device) -> Result<Errors> {
        let config: UNet2DConditionConfig = self.json("config.json")?;
        let model: UNet2DConditionModel = self.load("unet", config.init(device)?)?;
        let text: Tensor<3> = self.input("encoder_hidden_states", device)?;
        let output = model.forward(
            self.input("sample", device)?,
            self.input("timestep", device)?,
            &text.into(),
        );
        Ok(Errors::from([self.error_of("sample", output).await?]))
    }

    async fn vae(&self, device: &Device) -> Result<Errors> {
        let config: AutoencoderConfig = self.json("config.json")?;
        let model: Autoencoder = self.load("vae", config.init(device)?)?;
        let posterior = model.encode(self.input("image", device)?);
        let latents: Tensor<4> = self.input("latents", device)?;
        let mut outputs = vec![
            ("scaled", model.scale(posterior.mean.clone())),
            ("mean", posterior.mean),
            ("unscaled", model.unscale(latents.clone())),
            ("image", model.decode(latents)),
        ];
        if let Autoencoder::KL(_) = model {
            outputs.push(("logvar", posterior.logvar));
        }
        let mut errors = Errors::new();
        for (name, output) in outputs {
            errors.extend([self.error_of(name, output).await?]);
        }
        Ok(errors)
    }

    async fn reader(&self, device: &Device) -> Result<Errors> {
        let mut config: serde_json::Value = self.json("config.json")?;
        config.as_object_mut().map(|c| c.remove("_class_name"));
        let config: ReaderConfig = serde_json::from_value(config).map_err(|e| Error::Json {
            file: "config.json".into(),
            why: e.to_string(),
        })?;
        let reader: Reader = self.load("reader", config.init(device)?)?;
        let judged = reader.judge(self.input("image", device)?).await?;
        let row = |data: Vec<f32>, shape: &[usize]| HostTensor {
            shape: shape.to_vec(),
            data,
        };
        let reading = Reading::new(&config, &judged.evidence, judged.distance);
        let odds = reading
            .labels
            .iter()
            .map(|l| (l.probability / (1.0 - l.probability)).ln());
        let logits: Vec<f32> = odds.map(|odds| odds * config.temperature).collect();
        Ok(Errors::from([
            self.error("evidence", &judged.evidence)?,
            self.error("logits", &row(logits, &[1, config.labels.len()]))?,
            self.error("distance", &row(vec![judged.distance], &[1]))?,
        ]))
    }

    async fn pipeline(&self, device: &Device) -> Result<Errors> {
        let configs = ComponentConfigs {
            text_encoder: self.json("text_encoder/config.json")?,
            unet: self.json("unet/config.json")?,
            vae: self.json("vae/config.json")?,
            scheduler: SchedulerConfig::parse(file(
                self.files,
                "scheduler/scheduler_config.json",
            )?)?,
            reader: None,
        };
        let mut builder = PipelineBuilder::new(configs, self.tokenizer()?, device)?;
        for component in ["text_encoder", "unet", "vae"] {
            builder = builder.apply(weights(self.files, &format!("{component}/"), component)?)?;
        }
        let pipeline = builder.finish()?;
        let request = run_request(self.files)?;
        let generated = pipeline.generate(&request, async |_| Ok(())).await?;
        Ok(Errors::from([
            self.error("prompt_embeds", &generated.prompt_embeds)?,
            self.error("latents", &generated.latents)?,
            self.error("image", &generated.image)?,
        ]))
    }

    fn tokenizer(&self) -> Result<ClipTokenizer> {
        let get = |name: &str| {
            self.files
                .get(&format!("tokenizer/{name}"))
                .map(Vec::as_slice)
        };
        let options = TokenizerOptions::from_json(
            get("tokenizer_config.json"),
            get("special_tokens_map.json"),
        )?;
        match get("tokenizer.json") {
            Some(json) => ClipTokenizer::from_json_with(json, &options),
            None => ClipTokenizer::from_vocab_and_merges(
                file(self.files, "tokenizer/vocab.json")?,
                file(self.files, "tokenizer/merges.txt")?,
                &options,
            ),
        }
    }
}

fn le_chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

fn file<'a>(files: &'a Files, name: &str) -> Result<&'a [u8]> {
    let missing = || Error::ModelFolder {
        path: name.into(),
        why: "the case lacks it".into(),
    };
    files.get(name).map(Vec::as_slice).ok_or_else(missing)
}
