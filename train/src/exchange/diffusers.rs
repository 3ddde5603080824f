//! A model -> the folders and files of diffusers, as `StableDiffusionPipeline.save_pretrained` lays
//! them out.
//!
//! Names and layouts of the tensors are this crate's own, which are diffusers', but for two:
//! `proj_in` and `proj_out` of Stable Diffusion 1 are stored as 1x1 convolutions, and the text
//! encoder's names begin with `text_model.`, which both old and new versions of transformers read.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use roentgen_web::bundle::BundleInfo;
use roentgen_web::embeddings::CLIPTextConfig;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::image::{AutoencoderConfig, AutoencoderKLConfig};
use roentgen_web::latents::UNet2DConditionConfig;
use roentgen_web::latents::scheduler::SchedulerConfig;
use roentgen_web::tensor::HostTensor;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;
use serde::Serialize;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::exchange::safetensors::{self, Format};
use crate::exchange::tokenizer::{self, END, START};

/// The version whose files these are like; diffusers reads those of older ones.
const DIFFUSERS_VERSION: &str = "0.42.1";

/// Each component's weight file.
const WEIGHTS: [(&str, &str); 3] = [
    ("text_encoder", "model.safetensors"),
    ("unet", "diffusion_pytorch_model.safetensors"),
    ("vae", "diffusion_pytorch_model.safetensors"),
];

/// Writes the model into the folder `dir`, in f32.
///
/// # Errors
/// [`Error::Config`] if the folder holds other files where the weights go, or the autoencoder
/// shifts its latents and has no convolution that could do so; [`Error::Tokenizer`]; [`Error::Io`].
pub fn write(
    info: &BundleInfo,
    tokenizer: &ClipTokenizer,
    weights: &Weights,
    dir: &Path,
) -> Result<()> {
    let configs = &info.components;
    let mut weights = weights.clone();
    let vae = unshifted(&configs.vae, &mut weights)?;
    write_weights("vae", &weights, false, Format::F32, dir)?;
    write_unet(&configs.unet, &weights, Format::F32, dir)?;
    write_text_encoder(&configs.text_encoder, tokenizer, &weights, Format::F32, dir)?;
    let mut vae = object(&vae)?;
    vae["_class_name"] = json!("AutoencoderKL");
    write_json(&dir.join("vae/config.json"), &vae)?;
    let path = dir.join("scheduler/scheduler_config.json");
    let scheduler = pretty(&configs.scheduler)?;
    write_file(&path, python_numbers(&scheduler).as_bytes())?;
    let index = model_index(&info.name, &configs.scheduler);
    write_json(&dir.join("model_index.json"), &index)?;
    let texts = format!(
        "# {}\n\nLicence: {}\n\n{}\n\n{}\n",
        info.name, info.license, info.attribution, info.intended_use
    );
    write_file(&dir.join("README.md"), texts.as_bytes())
}

/// Writes an autoencoder of any class into `dir/vae`, in f16, for diffusers' class of its config.
///
/// # Errors
/// As [`write`].
pub fn write_autoencoder(config: &AutoencoderConfig, weights: &Weights, dir: &Path) -> Result<()> {
    write_weights("vae", weights, false, Format::F16, dir)?;
    write_json(&dir.join("vae/config.json"), &object(config)?)
}

/// Writes a U-Net into `dir/unet`.
///
/// # Errors
/// As [`write`].
pub fn write_unet(
    config: &UNet2DConditionConfig,
    weights: &Weights,
    format: Format,
    dir: &Path,
) -> Result<()> {
    let convolutions = !config.use_linear_projection;
    write_weights("unet", weights, convolutions, format, dir)?;
    let mut unet = object(config)?;
    unet["_class_name"] = json!("UNet2DConditionModel");
    write_json(&dir.join("unet/config.json"), &unet)
}

/// Writes a text encoder into `dir/text_encoder`, and its tokenizer into `dir/tokenizer`.
///
/// # Errors
/// As [`write`].
pub fn write_text_encoder(
    config: &CLIPTextConfig,
    tokenizer: &ClipTokenizer,
    weights: &Weights,
    format: Format,
    dir: &Path,
) -> Result<()> {
    write_weights("text_encoder", weights, false, format, dir)?;
    let words = Tokenizer::from_str(&tokenizer.to_json()?)
        .map_err(|e| Error::Tokenizer { why: e.to_string() })?;
    tokenizer::save(&words, &dir.join("tokenizer"))?;
    let dtype = match format {
        Format::F32 => "float32",
        Format::F16 => "float16",
    };
    let mut text = object(config)?;
    for (key, value) in [
        ("architectures", json!(["CLIPTextModel"])),
        ("model_type", json!("clip_text_model")),
        ("dtype", json!(dtype)),
        ("bos_token_id", json!(words.token_to_id(START))),
        ("eos_token_id", json!(words.token_to_id(END))),
        ("pad_token_id", json!(tokenizer.pad_token_id())),
    ] {
        text[key] = value;
    }
    write_json(&dir.join("text_encoder/config.json"), &text)
}

/// Writes the weights of a component into its folder in `dir`.
fn write_weights(
    component: &str,
    weights: &Weights,
    convolutions: bool,
    format: Format,
    dir: &Path,
) -> Result<()> {
    let file = WEIGHTS.iter().find(|(name, _)| *name == component);
    let (_, file) = file.expect("a component with weights");
    let folder = dir.join(component);
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    refuse_strangers(&folder, file)?;
    let own = weights.iter().filter_map(|(name, weight)| {
        let name = name.strip_prefix(component)?.strip_prefix('.')?;
        Some(stored(component, name, weight, convolutions))
    });
    // Older versions of transformers refuse a file that does not say so.
    let metadata = json!({"format": "pt"});
    safetensors::write(&folder.join(file), own, format, Some(metadata))
}

/// What `StableDiffusionPipeline.from_pretrained` looks at first.
fn model_index(name: &str, scheduler: &SchedulerConfig) -> Value {
    let none = json!([null, null]);
    json!({
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        "_name_or_path": name,
        "feature_extractor": none,
        "image_encoder": none,
        "requires_safety_checker": false,
        "safety_checker": none,
        "scheduler": ["diffusers", scheduler.class_name()],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    })
}

/// A tensor's name and shape in the file.
fn stored<'a>(
    component: &str,
    name: &str,
    weight: &'a HostTensor,
    convolutions: bool,
) -> (String, Vec<usize>, &'a [f32]) {
    let mut shape = weight.shape.clone();
    let projection = name.ends_with(".proj_in.weight") || name.ends_with(".proj_out.weight");
    if projection && convolutions && shape.len() == 2 {
        shape.extend([1, 1]);
    }
    let name = match component {
        "text_encoder" => format!("text_model.{name}"),
        _ => name.into(),
    };
    (name, shape, &weight.data)
}

/// The autoencoder without `shift_factor`, which `StableDiffusionPipeline` does not look at: the
/// 1x1 convolutions between encoder, latents and decoder shift instead, and to the same numbers.
fn unshifted(config: &AutoencoderConfig, weights: &mut Weights) -> Result<AutoencoderKLConfig> {
    let mut config = match config {
        AutoencoderConfig::KL(config) if config.latents_mean.is_none() => config.clone(),
        _ => {
            return Err(Error::config(
                "vae/config.json",
                "only an AutoencoderKL without latents_mean is what diffusers' StableDiffusionPipeline can decode the same way; export a bundle",
            ));
        }
    };
    let shift = config.shift_factor.take().unwrap_or(0.0);
    if shift == 0.0 {
        return Ok(config);
    }
    let missing = || {
        Error::config(
            "vae/config.json",
            "it has a shift_factor and lacks quant_conv or post_quant_conv, which diffusers' StableDiffusionPipeline would need to shift; export a bundle",
        )
    };
    let rows: Vec<f64> = match weights.get("vae.post_quant_conv.weight") {
        Some(weight) => {
            let columns = weight.shape[1..].iter().product();
            let rows = weight.data.chunks(columns);
            rows.map(|row| row.iter().map(|w| f64::from(*w)).sum())
                .collect()
        }
        None => return Err(missing()),
    };
    let bias = weights.get_mut("vae.post_quant_conv.bias");
    for (b, row) in bias.ok_or_else(missing)?.data.iter_mut().zip(rows) {
        *b = (f64::from(*b) + shift * row) as f32;
    }
    // The first half of the channels are means, the second are log-variances, which no shift
    // changes.
    let bias = weights.get_mut("vae.quant_conv.bias").ok_or_else(missing)?;
    for b in bias.data.iter_mut().take(config.latent_channels) {
        *b = (f64::from(*b) - shift) as f32;
    }
    Ok(config)
}

/// Weights of another export in the folder would be read instead of, or beside, the new ones.
fn refuse_strangers(folder: &Path, own: &str) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let name = name.to_string_lossy();
        let weights = [".safetensors", ".bin", ".index.json", ".msgpack"];
        if name != own && weights.iter().any(|end| name.ends_with(end)) {
            return Err(Error::config(
                folder.display().to_string(),
                format!("it already holds the weights {name}; export into an empty folder"),
            ));
        }
    }
    Ok(())
}

fn json_fault(e: serde_json::Error) -> Error {
    Error::Json {
        file: "config.json".into(),
        why: e.to_string(),
    }
}

fn object(config: &impl Serialize) -> Result<Value> {
    let mut value = serde_json::to_value(config).map_err(json_fault)?;
    if let Value::Object(map) = &mut value {
        map.remove("_name_or_path"); // of a model that this one no longer is
    }
    Ok(value)
}

fn pretty(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).map_err(json_fault)? + "\n")
}

/// Infinities as Python's JSON has them, which [`SchedulerConfig::parse`] reads as strings.
fn python_numbers(json: &str) -> String {
    ["-Infinity", "Infinity", "NaN"]
        .iter()
        .fold(json.into(), |json: String, n| {
            json.replace(&format!(": \"{n}\""), &format!(": {n}"))
        })
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_file(path, pretty(value)?.as_bytes())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    files::replace(path, bytes)
}
