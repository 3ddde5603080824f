//! `train`: from radiographs to a bundle, one command a stage.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use roentgen_web::bundle::{BundleInfo, Precision};
use roentgen_web::command;
use roentgen_web::error::{Error, Result};
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;
use train::data::dataset::Dataset;
use train::data::doubts;
use train::data::readers::collection::Selection;
use train::data::record::Split;
use train::data::summary;
use train::evaluate::augment::{self, Augmentation};
use train::evaluate::probe::{self, Probe};
use train::evaluate::reader::{self, Calibration};
use train::evaluate::rulers::{self, Rulers};
use train::evaluate::training::{self, ClassifierRun};
use train::evaluate::{self, Evaluation};
use train::exchange::import::{self, Import};
use train::exchange::{diffusers, export};
use train::stages::distil::run::DistilRun;
use train::stages::finetune::{self, run::FineTuneRun};
use train::stages::{distil, scratch};
use train::training::curve;
use train::training::device::{self, Kind};
use train::training::ranks;
use train::training::run::{Run, RunFolder, has_table};
use train::training::samples::{self, Sampling};

// A step frees and allocates hundreds of megabytes; glibc gives them back to the kernel and has
// them zeroed each time.
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
    /// Trains the autoencoder's decoder against a discriminator, after `vae`, where the run has a
    /// [vae.adversarial] table
    Adversarial(Common),
    /// Measures a run's autoencoder on the val split and draws what it makes of it
    Reconstruct {
        #[command(flatten)]
        common: Common,
        /// Where the PNG goes
        #[arg(long)]
        out: PathBuf,
        /// Images to decode
        #[arg(long, default_value_t = 48)]
        images: usize,
    },
    /// Trains text encoder and U-Net, after the autoencoder
    Diffusion(Common),
    /// Teaches the text encoder what prompts say, before `diffusion`, where the run has a [text]
    /// table
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
    /// Notes in a run's folder which labels of reports a classifier does not believe: prompts then
    /// leave them out
    Doubts {
        #[command(flatten)]
        common: Common,
        /// Folder of the trained classifier
        #[arg(long, value_name = "DIR")]
        classifier: PathBuf,
    },
    /// Calibrates a classifier on the val split, says what it knows, and makes it the reader of a
    /// bundle
    Reader(Calibration),
    /// Measures a bundle against the val split
    Evaluate(Evaluation),
    /// Measures sharpness, texture, latents and sides of a bundle, without a classifier
    Rulers(Rulers),
    /// Lists what a data folder gives, source by source, and how well sides can be read off its
    /// images
    Data {
        /// Folder with metadata.csv and the images, or a folder of such folders
        #[arg(long)]
        data: PathBuf,
    },
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
    /// Writes the bundle of a Stable Diffusion checkpoint: a diffusers folder, or one file in the
    /// original layout
    Import(Import),
    /// Writes a bundle, a checkpoint for diffusers, or the components that are trained so far
    Export {
        #[command(flatten)]
        run: RunArgs,
        /// Folder of the bundle or checkpoint
        #[arg(long, alias = "bundle", value_name = "DIR")]
        out: PathBuf,
        /// For the page, for Python, or for other runs
        #[arg(long, default_value = "bundle")]
        layout: Layout,
        /// f32, f16, q8 or q4 in a bundle [default: q8]; a checkpoint is always f32, components f16
        #[arg(long)]
        quantize: Option<Precision>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// What the page draws with
    Bundle,
    /// A checkpoint as StableDiffusionPipeline reads it
    Diffusers,
    /// What is trained so far, for other runs to have as their init
    Components,
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
    /// Folder with metadata.csv and the images, or a folder of such folders
    #[arg(long)]
    data: PathBuf,
}

/// `mi_option_purge_delay` of mimalloc.h.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: mimalloc knows the option. What a step frees, the next one allocates: memory that
    // went back to the kernel would be cleared anew each time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let cli = Cli::parse();
    let advice = "what a training had saved is kept; lower batch_size, or try another --device";
    ranks::end(command::exit("train", advice, || ranks::run(|| run(cli))))
}

fn run(cli: Cli) -> Result<()> {
    let device = device::open(cli.device)?;
    match cli.command {
        Command::Vae(args) => {
            let (run, folder) = open(&args.run)?;
            scratch::train_vae(&run, &args.data, &folder, &device)
        }
        Command::Adversarial(args) => {
            let (run, folder) = open(&args.run)?;
            scratch::train_adversarial(&run, &args.data, &folder, &device)
        }
        Command::Reconstruct {
            common,
            out,
            images,
        } => {
            let (run, folder) = open(&common.run)?;
            let found = scratch::reconstruct(&run, &common.data, &folder, images, &out, &device)?;
            println!("{found}");
            Ok(())
        }
        Command::Text(args) => {
            let (run, folder) = open(&args.run)?;
            scratch::train_text(&run, &args.data, &folder, &device)
        }
        Command::Diffusion(args) => {
            let (run, folder) = open(&args.run)?;
            scratch::train_diffusion(&run, &args.data, &folder, &device)
        }
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
        Command::Doubts { common, classifier } => {
            let (run, folder) = open(&common.run)?;
            let selection = Selection {
                sources: run.data.sources.as_deref(),
                ..Split::Train.into()
            };
            let found = evaluate::doubts::find(&classifier, &common.data, &selection, &device)?;
            let path = folder.path(doubts::FILE);
            doubts::write(&found, &path)?;
            println!("{} doubtful labels in {}", found.len(), path.display());
            Ok(())
        }
        Command::Reader(args) => {
            println!("{}", reader::run(&args, &device)?);
            Ok(())
        }
        Command::Evaluate(args) => {
            println!("{}", evaluate::run(&args, &device)?.markdown());
            Ok(())
        }
        Command::Rulers(args) => {
            println!("{}", rulers::run(&args, &device)?.markdown());
            Ok(())
        }
        Command::Data { data } => {
            println!("{}", summary::of(&data)?);
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
        Command::Import(args) => import::run(&args),
        Command::Export {
            run,
            out,
            layout,
            quantize,
        } => {
            if layout != Layout::Bundle && quantize.is_some() {
                return Err(Error::request(
                    "quantize",
                    "is for bundles; leave it out with this --layout",
                ));
            }
            if layout == Layout::Components {
                let (run, folder) = open(&run)?;
                return scratch::export_components(&run, &folder, &out);
            }
            let (info, tokenizer, weights) = finished(&run)?;
            match layout {
                Layout::Diffusers => diffusers::write(&info, &tokenizer, &weights, &out),
                _ => {
                    let precision = quantize.unwrap_or(Precision::Q8);
                    export::write(info, &tokenizer, &weights, precision, &out)
                }
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
    scratch::finished(&run, &folder)
}

fn open(args: &RunArgs) -> Result<(Run, RunFolder)> {
    let run = Run::read(&args.run)?;
    let folder = RunFolder(args.folder.clone());
    folder.create()?;
    Ok((run, folder))
}
