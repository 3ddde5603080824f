//! `train`: from radiographs to a bundle, one command a stage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::prelude::*;
use clap::{Args, Parser, Subcommand, ValueEnum};
use roentgen_web::bundle::{BundleInfo, Precision};
use roentgen_web::error::{Error, Result};
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;
use train::data::dataset::{Dataset, Split};
use train::evaluate::augment::{self, Augmentation};
use train::evaluate::probe::{self, Probe};
use train::evaluate::training::{self, ClassifierRun};
use train::evaluate::{self, Evaluation};
use train::exchange::import::{self, Import};
use train::exchange::{diffusers, export, tokenizer};
use train::stages::distil::run::DistilRun;
use train::stages::finetune::{self, run::FineTuneRun};
use train::stages::latents::Latents;
use train::stages::{diffusion, distil, text, vae};
use train::training::device::{self, Kind};
use train::training::run::{Run, RunFolder, has_table};
use train::training::samples::{self, Sampling};
use train::training::{curve, ema, start, trainer};

// A step frees and allocates hundreds of megabytes; glibc gives them back to the kernel and has them zeroed each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    version,
    about = "Trains the models of roentgen-web and exports them as bundles"
)]
struct Cli {
    /// Where the networks run
    #[arg(long, value_enum, default_value = "cpu", global = true)]
    device: Kind,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains the autoencoder
    Vae(Common),
    /// Trains text encoder and U-Net, after the autoencoder
    Diffusion(Common),
    /// Teaches the text encoder what prompts say, before `diffusion`, where the run has a [text] table
    Text(Common),
    /// Trains a bundle or a diffusers checkpoint further
    Finetune {
        #[command(flatten)]
        run: RunArgs,
        /// Folder of the bundle or checkpoint
        #[arg(long, value_name = "DIR")]
        checkpoint: PathBuf,
        /// A CSV with file and text, or a folder: metadata.csv, MIMIC-CXR-JPG, DICOM files
        #[arg(long)]
        data: PathBuf,
    },
    /// Teaches a model to draw in a few steps without guidance what it draws in many with it
    Distil {
        #[command(flatten)]
        run: RunArgs,
        /// Folder of the bundle or checkpoint
        #[arg(long, value_name = "DIR")]
        teacher: PathBuf,
        /// Where prompts come from: as for `finetune`; no image is read
        #[arg(long)]
        data: PathBuf,
    },
    /// Trains the classifier that `evaluate` measures with, on the train split
    Classifier(Common),
    /// Measures a bundle against the val split
    Evaluate(Evaluation),
    /// Whether images of a bundle help to train a classifier
    Augment(Augmentation),
    /// Asks text encoders, with a linear layer, what prompts say
    Probe(Probe),
    /// Draws the contact sheet of the averaged weights
    Sheet {
        #[command(flatten)]
        run: RunArgs,
        /// Where the PNG goes
        #[arg(long)]
        out: PathBuf,
        /// Denoising steps [default: the model's]
        #[arg(long)]
        steps: Option<usize>,
        /// Classifier-free guidance [default: the model's]
        #[arg(long)]
        guidance: Option<f64>,
        /// Seed of the first image
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Draws the loss curves as SVG
    Curve {
        #[command(flatten)]
        run: RunArgs,
        /// Where the SVG goes
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes the bundle of a Stable Diffusion checkpoint: a diffusers folder, or one file in the original layout
    Import(Import),
    /// Writes a bundle, or a checkpoint for diffusers
    Export {
        #[command(flatten)]
        run: RunArgs,
        /// Folder of the bundle or checkpoint
        #[arg(long, alias = "bundle", value_name = "DIR")]
        out: PathBuf,
        /// For the page, or for Python
        #[arg(long, default_value = "bundle")]
        layout: Layout,
        /// f32, f16, q8 or q4 in a bundle [default: q8]; a checkpoint is always f32
        #[arg(long)]
        quantize: Option<Precision>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    Bundle,
    Diffusers,
}

#[derive(Args)]
struct RunArgs {
    /// The run's description
    #[arg(long)]
    run: PathBuf,
    /// The run's folder: checkpoints, sheets, logs
    #[arg(long)]
    folder: PathBuf,
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    run: RunArgs,
    /// Folder with metadata.csv, bboxes.csv and the images
    #[arg(long)]
    data: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let device = device::open(cli.device)?;
    match cli.command {
        Command::Vae(args) => {
            let (run, folder) = open(&args.run)?;
            let data = load(&args.data, &run, Split::Train)?;
            vae::train(&run, &data, &folder, &device)
        }
        Command::Text(args) => train_text(&args, &device),
        Command::Diffusion(args) => train_diffusion(&args, &device),
        Command::Finetune {
            run,
            checkpoint,
            data,
        } => {
            let folder = RunFolder(run.folder);
            let run = FineTuneRun::read(&run.run)?;
            finetune::train(&run, &checkpoint, &data, &folder, &device)
        }
        Command::Distil { run, teacher, data } => {
            let folder = RunFolder(run.folder);
            let run = DistilRun::read(&run.run)?;
            distil::train(&run, &teacher, &data, &folder, &device)
        }
        Command::Classifier(args) => {
            let run = ClassifierRun::read(&args.run.run)?;
            let load = |split| Dataset::load(&args.data, run.model.size, split);
            let (data, val) = (load(Split::Train)?, load(Split::Val)?);
            println!("{data}\n{val}");
            training::train(&run, &data, &val, &args.run.folder, &device)
        }
        Command::Evaluate(args) => {
            println!("{}", evaluate::run(&args, &device)?.markdown());
            Ok(())
        }
        Command::Augment(args) => {
            println!("{}", augment::run(&args, &device)?.markdown());
            Ok(())
        }
        Command::Probe(args) => {
            println!("{}", probe::run(&args, &device)?.markdown());
            Ok(())
        }
        Command::Sheet {
            run,
            out,
            steps,
            guidance,
            seed,
        } => {
            let (info, tokenizer, weights) = finished(&run)?;
            let pipeline = samples::pipeline(info.components, &tokenizer, weights, &device)?;
            let defaults = info.defaults;
            let sampling = Sampling {
                steps: steps.unwrap_or(defaults.num_inference_steps),
                guidance: guidance.unwrap_or(defaults.guidance_scale),
                scheduler: defaults.scheduler.as_deref().map(str::parse).transpose()?,
                size: defaults.width,
                seed,
            };
            samples::contact_sheet(&pipeline, sampling, &out)
        }
        Command::Curve { run, out } => curve::draw(&RunFolder(run.folder), &out),
        Command::Import(args) => {
            let manifest = import::run(&args)?;
            println!("{}: {} bytes", args.out.display(), manifest.total_bytes());
            Ok(())
        }
        Command::Export {
            run,
            out,
            layout,
            quantize,
        } => {
            let (info, tokenizer, weights) = finished(&run)?;
            match (layout, quantize) {
                (Layout::Bundle, precision) => {
                    let precision = precision.unwrap_or(Precision::Q8);
                    export::write_bundle(info, &tokenizer, &weights, precision, &out)
                }
                (Layout::Diffusers, None) => diffusers::write(&info, &tokenizer, &weights, &out),
                (Layout::Diffusers, Some(_)) => Err(Error::Request {
                    field: "quantize",
                    why: "is for bundles; leave it out with --layout diffusers".into(),
                }),
            }
        }
    }
}

/// Everything that a finished run, of any kind, has to give.
fn finished(args: &RunArgs) -> Result<(BundleInfo, ClipTokenizer, Weights)> {
    if has_table(&args.run, "distil")? {
        let run = DistilRun::read(&args.run)?;
        let folder = RunFolder(args.folder.clone());
        let (base, tokenizer) = finetune::Base::open(&folder)?;
        return Ok((
            distil::info(&run, base),
            tokenizer,
            distil::trained(&folder)?,
        ));
    }
    if has_table(&args.run, "finetune")? {
        let run = FineTuneRun::read(&args.run)?;
        let folder = RunFolder(args.folder.clone());
        let (base, tokenizer) = finetune::Base::open(&folder)?;
        return Ok((base.info(&run), tokenizer, finetune::trained(&folder)?));
    }
    let (run, folder) = open(args)?;
    let (tokenizer, latents) = prepared(&folder)?;
    let configs = export::configs(&run, &tokenizer, &latents);
    Ok((
        export::info(&run, configs),
        tokenizer,
        export::weights(&folder)?,
    ))
}

fn open(args: &RunArgs) -> Result<(Run, RunFolder)> {
    let run = Run::read(&args.run)?;
    let folder = RunFolder(args.folder.clone());
    folder.create()?;
    Ok((run, folder))
}

fn load(dir: &Path, run: &Run, split: Split) -> Result<Dataset> {
    let data = Dataset::load(dir, run.size as usize, split)?;
    println!("{data}");
    Ok(data)
}

/// Tokenizer and latents that [`train_diffusion`] left in the folder.
fn prepared(folder: &RunFolder) -> Result<(ClipTokenizer, Latents)> {
    let path = folder.path("tokenizer/tokenizer.json");
    let json = std::fs::read(&path).map_err(Error::io(&path))?;
    Ok((
        ClipTokenizer::from_json(&json)?,
        Latents::open(&folder.path("latents.safetensors"), None)?,
    ))
}

/// Makes the run's tokenizer, or takes that of the model it starts from, unless the folder has one.
fn prepare_tokenizer(run: &Run, data: &Dataset, folder: &RunFolder) -> Result<ClipTokenizer> {
    let path = folder.path("tokenizer/tokenizer.json");
    if !path.exists() {
        match &run.init {
            Some(init) => start::tokenizer(init, &folder.path("tokenizer"))?,
            None => {
                let corpus = tokenizer::corpus(&data.records, 8);
                let trained = tokenizer::train(corpus, run.vocab_size)?;
                tokenizer::save(&trained, &folder.path("tokenizer"))?;
            }
        }
    }
    ClipTokenizer::from_json(&std::fs::read(&path).map_err(Error::io(&path))?)
}

fn train_text(args: &Common, device: &Device) -> Result<()> {
    let (mut run, folder) = open(&args.run)?;
    let Some(text) = run.text.clone() else {
        return Err(Error::Config {
            what: args.run.run.display().to_string(),
            why: "it has no [text.optimization]; add it, or go on with `train diffusion`".into(),
        });
    };
    let data = load(&args.data, &run, Split::Train)?;
    let tokenizer = prepare_tokenizer(&run, &data, &folder)?;
    run.diffusion.text_encoder.vocab_size = tokenizer.vocab_size();
    text::train(&run, &text, &data.records, &tokenizer, &folder, device)
}

fn train_diffusion(args: &Common, device: &Device) -> Result<()> {
    let (run, folder) = open(&args.run)?;
    let data = load(&args.data, &run, Split::Train)?;
    prepare_tokenizer(&run, &data, &folder)?;
    let cache = folder.path("latents.safetensors");
    let vae_weights = ema::open(&trainer::ema_path(&folder.path("vae")))?;
    if !cache.exists() {
        let module = vae::Autoencoder {
            vae: run.vae.model.init(device)?.into(),
        };
        let module = roentgen_web::weights::load(module, vae_weights.clone())?;
        Latents::encode(&module.vae, run.vae.model.encoder_size(), &data, device).save(&cache)?;
    }
    let latents = Latents::open(&cache, Some(data.len()))?;
    let (tokenizer, _) = prepared(&folder)?;
    let mut run = run;
    let configs = export::configs(&run, &tokenizer, &latents);
    run.diffusion.text_encoder = configs.text_encoder.clone();
    let size = run.size as usize;
    diffusion::train(
        &run,
        &data.records,
        &latents,
        &tokenizer,
        &folder,
        device,
        |trainer| {
            let mut weights = vae_weights.clone();
            weights.extend(trainer.ema.weights.clone());
            let pipeline = samples::pipeline(configs.clone(), &tokenizer, weights, device)?;
            let path = folder.path(&format!("sheets/diffusion-{:06}.png", trainer.step));
            let sampling = Sampling {
                steps: samples::STEPS,
                guidance: samples::GUIDANCE,
                scheduler: Some(SchedulerKind::DpmSolverMultistep),
                size,
                seed: 0,
            };
            samples::contact_sheet(&pipeline, sampling, &path)
        },
    )
}
