//! A checkpoint -> a bundle, tensor by tensor: whatever its size, one tensor is in memory at a time.

use std::path::PathBuf;

use burn::prelude::*;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use roentgen_web::bundle::{BundleInfo, BundleWriter, Manifest, Policy};
use roentgen_web::checkpoint::{ModelFolder, Prediction};
use roentgen_web::error::{Error, Result};
use roentgen_web::pipeline::PipelineBuilder;

use crate::exchange::export::INTENDED_USE;

/// What `import` can be told.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// A diffusers checkpoint (Stable Diffusion 1.x or 2.x), or a .safetensors file in the original layout
    #[arg(long, value_name = "PATH")]
    pub checkpoint: PathBuf,
    /// For a file: the folder with `tokenizer/`, and any diffusers config that holds instead of what the file's shapes say
    #[arg(long, value_name = "DIR")]
    pub configs: Option<PathBuf>,
    /// For a file of SD 2.x: what it predicts, epsilon (512 pixels) or v (768 pixels)
    #[arg(long, value_name = "NAME", value_parser = prediction)]
    pub prediction: Option<Prediction>,
    /// f32, f16, q8, q4 or mixed (q4 for the U-Net's matrices, q8 for its convolutions and the rest)
    #[arg(long, default_value = "mixed")]
    pub quantize: Policy,
    /// Folder of the bundle
    #[arg(long, value_name = "BUNDLE")]
    pub out: PathBuf,
    /// The model's name [default: the checkpoint's]
    #[arg(long)]
    pub name: Option<String>,
    /// Licence of the weights
    #[arg(long, default_value = "as the checkpoint's publisher says")]
    pub license: String,
    /// Whom to name, as that licence asks
    #[arg(long, default_value = "")]
    pub attribution: String,
}

fn prediction(name: &str) -> Result<Prediction, String> {
    match name {
        "epsilon" => Ok(Prediction::Epsilon),
        "v" | "v_prediction" => Ok(Prediction::V),
        _ => Err("use epsilon or v".into()),
    }
}

/// Writes the bundle of a checkpoint; a `README.md` that lies in the folder becomes its model card.
///
/// # Errors
/// As [`ModelFolder::open`], [`ModelFolder::open_original`] and [`BundleWriter`]; [`Error::UnknownTensor`],
/// [`Error::TensorShape`] or [`Error::MissingTensor`] where weights and configs do not belong together.
pub fn run(args: &Import) -> Result<Manifest> {
    let model = open(args)?;
    // Networks whose parameters are never made: only their names and shapes are wanted.
    let (configs, device) = (model.configs.clone(), Device::flex());
    let mut expected = PipelineBuilder::new(configs, model.tokenizer.clone(), &device)?.expected();
    let tensors = model.tensors()?;
    let bar = ProgressBar::new(expected.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} tensors, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut writer = BundleWriter::new(&args.out, args.quantize)?;
    for tensor in tensors {
        let (name, weight) = tensor?;
        match expected.remove(&name) {
            None => return Err(Error::UnknownTensor { name }),
            Some(shape)
                if shape == weight.shape || [&shape[..], &[1, 1]].concat() == weight.shape => {}
            Some(expected) => {
                return Err(Error::TensorShape {
                    name,
                    expected,
                    found: weight.shape,
                });
            }
        }
        writer.add(&name, &weight)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(name) = expected.into_keys().next() {
        return Err(Error::MissingTensor { name });
    }
    let info = BundleInfo {
        name: args.name.clone().unwrap_or(model.name),
        model_card: args
            .out
            .join("README.md")
            .exists()
            .then(|| "README.md".into()),
        license: args.license.clone(),
        attribution: args.attribution.clone(),
        intended_use: INTENDED_USE.into(),
        components: model.configs,
        defaults: model.defaults,
        examples: vec![],
    };
    writer.finish(info, &model.tokenizer)
}

fn open(args: &Import) -> Result<ModelFolder> {
    if args.checkpoint.is_dir() {
        if let Some(field) = [
            args.configs.as_ref().map(|_| "configs"),
            args.prediction.map(|_| "prediction"),
        ]
        .into_iter()
        .flatten()
        .next()
        {
            return Err(Error::Request {
                field,
                why: "is for a single file; a diffusers folder has its own".into(),
            });
        }
        return ModelFolder::open(&args.checkpoint);
    }
    let Some(beside) = &args.configs else {
        return Err(Error::Request {
            field: "configs",
            why: "has to be given for a single file, which holds no tokenizer: a folder with tokenizer/ as in the \
                  model's repository"
                .into(),
        });
    };
    ModelFolder::open_original(
        &args.checkpoint,
        beside,
        args.prediction.unwrap_or_default(),
    )
}
