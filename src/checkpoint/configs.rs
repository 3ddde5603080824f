//! What a diffusers checkpoint has beside its weights: configs, tokenizer, name.

use super::formats;
use crate::{
    Error, Result,
    bundle::Defaults,
    components::ComponentConfigs,
    embeddings::CLIPTextConfig,
    error::one_line,
    latents::unet::values::SampleSize,
    tokens::{ClipTokenizer, TokenizerOptions},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// Where a diffusers checkpoint has its text encoder's config.
pub(super) const TEXT_CONFIG: &str = "text_encoder/config.json";

/// Steps and guidance of diffusers' `StableDiffusionPipeline.__call__`, for checkpoints, which name
/// none.
const DIFFUSERS_STEPS: usize = 50;
const DIFFUSERS_GUIDANCE: f64 = 7.5;

/// What diffusers' pipeline does where nothing is asked for.
pub(super) fn defaults(configs: &ComponentConfigs) -> Defaults {
    let SampleSize { height, width } = configs.unet.sample_size.unwrap_or(64.into());
    let pixels = |latents: usize| latents.saturating_mul(configs.vae.downscale());
    Defaults {
        num_inference_steps: DIFFUSERS_STEPS,
        guidance_scale: DIFFUSERS_GUIDANCE,
        width: pixels(width),
        height: pixels(height),
        scheduler: None,
    }
}

/// Takes a component's `config.json` where the folder has one.
pub(super) fn instead<T: DeserializeOwned>(
    dir: &Path,
    component: &str,
    inferred: &mut T,
) -> Result<()> {
    let file = format!("{component}/config.json");
    if dir.join(&file).is_file() {
        *inferred = config(dir, &file)?;
    }
    Ok(())
}

pub(super) fn required(dir: &Path, file: &str) -> Result<Vec<u8>> {
    formats::text(&dir.join(file))?
        .ok_or_else(|| Error::model_folder(dir, format!("it has no {file}")))
}

/// The config of the text encoder, which a whole CLIP has inside its own (transformers:
/// `CLIPTextConfig.from_pretrained`).
///
/// # Errors
/// [`Error::Config`] for a text encoder of another family.
pub(super) fn text_encoder(dir: &Path) -> Result<CLIPTextConfig> {
    let mut value: Value = config(dir, TEXT_CONFIG)?;
    let family = value["model_type"].as_str().unwrap_or("clip_text_model");
    match family {
        "clip_text_model" => {}
        "clip" => value = value["text_config"].take(),
        other => {
            let why =
                format!("it is of the family {other}, and only CLIP's text encoders are read");
            return Err(Error::config(TEXT_CONFIG, why));
        }
    }
    serde_json::from_value(value).map_err(bad_json(TEXT_CONFIG))
}

fn bad_json(file: &str) -> impl FnOnce(serde_json::Error) -> Error {
    let file = file.to_owned();
    move |e| Error::Json {
        file,
        why: e.to_string(),
    }
}

pub(super) fn config<T: DeserializeOwned>(dir: &Path, file: &str) -> Result<T> {
    serde_json::from_slice(&required(dir, file)?).map_err(bad_json(file))
}

pub(super) fn tokenizer(dir: &Path) -> Result<ClipTokenizer> {
    let file = |name: &str| formats::text(&dir.join("tokenizer").join(name));
    let (config, special) = (
        file("tokenizer_config.json")?,
        file("special_tokens_map.json")?,
    );
    let options = TokenizerOptions::from_json(config.as_deref(), special.as_deref())?;
    match (
        file("tokenizer.json")?,
        file("vocab.json")?,
        file("merges.txt")?,
    ) {
        (Some(json), ..) => ClipTokenizer::from_json_with(&json, &options),
        (None, Some(vocab), Some(merges)) => {
            ClipTokenizer::from_vocab_and_merges(&vocab, &merges, &options)
        }
        _ => Err(Error::model_folder(
            dir,
            "it has neither tokenizer/tokenizer.json nor tokenizer/vocab.json and merges.txt",
        )),
    }
}

/// `_name_or_path` of `model_index.json`, which a checkpoint may lack, or the folder's own name.
pub(super) fn checkpoint_name(dir: &Path) -> Result<String> {
    let folder = || {
        let whole = dir.canonicalize().unwrap_or_else(|_| dir.into());
        whole
            .file_name()
            .map_or_else(|| "model".into(), |name| one_line(&name.to_string_lossy()))
    };
    let Some(index) = formats::text(&dir.join("model_index.json"))? else {
        return Ok(folder());
    };
    let index: Value = serde_json::from_slice(&index).map_err(bad_json("model_index.json"))?;
    let name = one_line(index["_name_or_path"].as_str().unwrap_or_default());
    Ok(if name.is_empty() { folder() } else { name })
}
