//! A checkpoint -> a bundle, or a `.ckpt` -> `.safetensors`, tensor by tensor: whatever its size,
//! one tensor is in memory at a time.

use std::path::PathBuf;

use burn::prelude::*;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use roentgen_web::bundle::{BundleInfo, BundleWriter, Manifest, Policy};
use roentgen_web::checkpoint::{self, LoraFile, ModelFolder, Prediction};
use roentgen_web::error::{Error, Result};
use roentgen_web::pipeline::PipelineBuilder;

use crate::exchange::export::INTENDED_USE;

/// What `import` can be told.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// A diffusers checkpoint (Stable Diffusion 1.x or 2.x), or a .safetensors, .ckpt or .pt file
    /// in the original layout
    #[arg(long, value_name = "PATH")]
    pub checkpoint: PathBuf,
    /// For a file: the folder with `tokenizer/`, and any diffusers config that holds instead of
    /// what the file's shapes say
    #[arg(long, value_name = "DIR")]
    pub configs: Option<PathBuf>,
    /// For a file of SD 2.x: what it predicts, epsilon (512 pixels) or v (768 pixels)
    #[arg(long, value_name = "NAME", value_parser = prediction)]
    pub prediction: Option<Prediction>,
    /// Another autoencoder for the same latents, such as TAESD: a folder of diffusers
    #[arg(long, value_name = "DIR")]
    pub decoder: Option<PathBuf>,
    /// A LoRA to add to the weights, with how much of it (FILE:0.8); may be given several times
    #[arg(long, value_name = "FILE[:WEIGHT]")]
    pub lora: Vec<LoraFile>,
    /// What to write: a bundle, or the same tensors as .safetensors, which every program reads
    /// without running anything
    #[arg(long, value_enum, default_value_t = Target::Bundle)]
    pub to: Target,
    /// f32, f16, q8, q4 or mixed (q4 for the U-Net's matrices, q8 for its convolutions and the
    /// rest)
    #[arg(long, default_value = "mixed")]
    pub quantize: Policy,
    /// Folder of the bundle, or the .safetensors file
    #[arg(long, value_name = "PATH")]
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

/// What `import` writes.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A bundle.
    #[default]
    Bundle,
    /// A file of the same tensors under the same names.
    Safetensors,
}

fn prediction(name: &str) -> Result<Prediction, String> {
    match name {
        "epsilon" => Ok(Prediction::Epsilon),
        "v" | "v_prediction" => Ok(Prediction::V),
        _ => Err("use epsilon or v".into()),
    }
}

/// Writes what `--to` asks for and says what of the checkpoint is not in it.
///
/// # Errors
/// As [`bundle`] and [`checkpoint::to_safetensors`].
pub fn run(args: &Import) -> Result<()> {
    if args.to == Target::Bundle {
        let manifest = bundle(args)?;
        println!("{}: {} bytes", args.out.display(), manifest.total_bytes());
        return Ok(());
    }
    let other = [
        ("configs", args.configs.is_some()),
        ("prediction", args.prediction.is_some()),
        ("decoder", args.decoder.is_some()),
        ("lora", !args.lora.is_empty()),
    ];
    if let Some((field, _)) = other.into_iter().find(|(_, given)| *given) {
        return Err(Error::request(
            field,
            "is for a bundle; --to safetensors writes a file's tensors as they are",
        ));
    }
    let tensors = checkpoint::to_safetensors(&args.checkpoint, &args.out)?;
    println!("{} ({tensors} tensors)", args.out.display());
    Ok(())
}

/// Writes the bundle of a checkpoint; a `README.md` that lies in the folder becomes its model card.
///
/// # Errors
/// As [`ModelFolder::open`], [`ModelFolder::open_original`] and [`BundleWriter`];
/// [`Error::UnknownTensor`], [`Error::TensorShape`] or [`Error::MissingTensor`] where weights and
/// configs do not belong together.
pub fn bundle(args: &Import) -> Result<Manifest> {
    let mut model = open(args)?;
    if let Some(decoder) = &args.decoder {
        model = model.with_decoder(decoder)?;
    }
    for lora in &args.lora {
        model = model.with_lora(lora)?;
    }
    for note in &model.notes {
        eprintln!("note: {note}");
    }
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
        name: args.name.clone().unwrap_or_else(|| model.name.clone()),
        model_card: args
            .out
            .join("README.md")
            .exists()
            .then(|| "README.md".into()),
        license: args.license.clone(),
        attribution: args.attribution.clone(),
        intended_use: INTENDED_USE.into(),
        components: model.configs.clone(),
        defaults: model.defaults.clone(),
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
            return Err(Error::request(
                field,
                "is for a single file; a diffusers folder has its own",
            ));
        }
        return ModelFolder::open(&args.checkpoint);
    }
    let Some(beside) = &args.configs else {
        return Err(Error::request(
            "configs",
            "has to be given for a single file, which holds no tokenizer: a folder with tokenizer/ as in the \
                  model's repository",
        ));
    };
    ModelFolder::open_original(
        &args.checkpoint,
        beside,
        args.prediction.unwrap_or_default(),
    )
}
