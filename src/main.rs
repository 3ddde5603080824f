//! `roentgen`: a sentence in, a radiograph out, on this computer.

#[cfg(feature = "testing")]
#[path = "cli/measure.rs"]
mod measure;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use roentgen_web::{
    Error, Result,
    bundle::decode_plain,
    checkpoint::{LoraFile, ModelFolder},
    command,
    device::{self, Backend, Limits, Precision},
    dicom, files,
    latents::img2img::Img2Img,
    latents::scheduler::{Scheduler, SchedulerKind},
    limits,
    picture::Picture,
    pipeline::{Generated, Pipeline, PipelineBuilder, Request, Step},
    png,
    tensor::HostTensor,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

const NAME: &str = "roentgen";

#[derive(Parser)]
#[command(
    name = NAME,
    version,
    about = "Synthetic chest radiographs from text. Not for diagnosis."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draw one image and save it as PNG or DICOM, with its origin in the file's metadata
    Generate(Box<Generate>),
    /// Measure how long each stage of a model takes, as JSON
    #[cfg(feature = "testing")]
    #[command(hide = true)] // for `cargo xtask bench stages`
    Stages(measure::Stages),
    /// Measure what each stage of a model asks of a GPU: launches and memory, as JSON
    #[cfg(all(feature = "gpu", feature = "testing"))]
    #[command(hide = true)] // for `cargo xtask bench memory`
    Memory(measure::Memory),
    /// Write a bundle of random weights
    #[cfg(feature = "testing")]
    #[command(hide = true)]
    Random(measure::Random),
}

#[derive(Args)]
struct Generate {
    /// Folder of a bundle, or of a diffusers checkpoint
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Decode with this autoencoder instead: a folder of diffusers, such as TAESD's
    #[arg(long, value_name = "DIR")]
    decoder: Option<PathBuf>,
    /// A LoRA to add to the model, with how much of it (FILE:0.8); may be given several times
    #[arg(long, value_name = "FILE[:WEIGHT]")]
    lora: Vec<LoraFile>,
    /// What the radiograph shows
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// What it does not show; heard with a guidance above 1
    #[arg(long, value_name = "TEXT", default_value = "")]
    negative: String,
    /// The same seed gives the same image [default: a new one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Denoising steps [default: the model's]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// How closely to follow the prompt; 1 is without guidance [default: the model's]
    #[arg(long, value_name = "G")]
    guidance: Option<f64>,
    /// ddim, pndm, euler, euler-a, dpm++2m or lcm [default: the model's]
    #[arg(long, value_name = "NAME")]
    scheduler: Option<SchedulerKind>,
    /// Width in pixels [default: the model's]
    #[arg(long, value_name = "W")]
    width: Option<usize>,
    /// Height in pixels [default: the model's]
    #[arg(long, value_name = "H")]
    height: Option<usize>,
    /// cpu or gpu
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: Backend,
    /// What is asked of a GPU: all that the adapter has, or WebGPU's default limits without
    /// optional features
    #[arg(long, value_name = "adapter|default", default_value = "adapter")]
    limits: Limits,
    /// What the GPU computes in: f16 or f32
    /// [default: f16 where the adapter has it and is a graphics card]
    #[arg(long, value_name = "f16|f32")]
    precision: Option<Precision>,
    /// Begin from this picture (PNG, JPEG, WebP, DICOM), whose middle is fitted to the image's size
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Paint only where this picture is white and leave the rest of `--image` as it is
    #[arg(long, value_name = "FILE", requires = "image")]
    mask: Option<PathBuf>,
    /// How little of `--image` is left under the paint: above 0 and at most 1
    #[arg(long, value_name = "S", default_value_t = 0.6, requires = "image")]
    strength: f64,
    /// Start from the tensor `latents` [1, C, h, w] of this safetensors file instead of the seed's
    /// noise
    #[arg(long, value_name = "FILE")]
    latents: Option<PathBuf>,
    /// Also write `prompt_embeds`, the final `latents` and `image` in [-1, 1] to this safetensors
    /// file
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Draw up to N images, each with the next seed, until the model's reader sees what was asked
    /// for; the best one is kept, and its file says how many there were
    #[arg(long, value_name = "N")]
    verify: Option<usize>,
    /// Where the image goes: a DICOM Secondary Capture where the name ends in .dcm, else a PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` come as errors too, to be printed as they are.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => return command::fail(NAME, &error.to_string()),
    };
    let run = || match &cli.command {
        Command::Generate(args) => generate(args),
        #[cfg(feature = "testing")]
        Command::Stages(args) => measure::stages(args),
        #[cfg(all(feature = "gpu", feature = "testing"))]
        Command::Memory(args) => measure::memory(args),
        #[cfg(feature = "testing")]
        Command::Random(args) => measure::random(args),
    };
    command::exit(NAME, "try a smaller image, or the other --backend", run)
}

fn generate(args: &Generate) -> Result<()> {
    // What can be wrong is found before the minutes of work.
    for file in [Some(&args.out), args.dump.as_ref()].into_iter().flatten() {
        files::check_replaceable(file)?;
    }
    let latents = args.latents.as_deref().map(read_latents).transpose()?;
    let mut model = ModelFolder::open(&args.model)?;
    if let Some(decoder) = &args.decoder {
        model = model.with_decoder(decoder)?;
    }
    for lora in &args.lora {
        model = model.with_lora(lora)?;
    }
    for note in &model.notes {
        eprintln!("note: {note}");
    }
    let request = request(args, &model, latents)?;
    let pipeline = load(&model, args.backend, args.limits, args.precision)?;
    if let Some(source) = &request.source
        && let Some(reading) = pollster::block_on(pipeline.read(&source.image))?
        && !reading.is_radiograph
    {
        eprintln!(
            "note: the model's reader does not take --image for an upright frontal chest radiograph, and the model has learned from nothing else"
        );
    }
    let (request, generated) = run(&pipeline, request, args.verify)?;
    if let Some(why) = &generated.repeated {
        eprintln!("note: f16 gave no image ({why}), so it was drawn once more in f32");
    }
    if generated.truncated > 0 {
        eprintln!(
            "note: the prompt is too long; its last {} tokens were not read",
            generated.truncated
        );
    }
    let image = generated.to_image();
    let is_dicom = args
        .out
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("dcm"));
    let engine = Some(args.backend);
    let bytes = if is_dicom {
        dicom::write::encode(&image, &request, &model.name, engine, false)?
    } else {
        png::encode(&image, &request, &model.name, engine)?
    };
    files::replace(&args.out, &bytes)?;
    if let Some(file) = &args.dump {
        files::replace(file, &dump(&generated)?)?;
    }
    println!("{} (seed {})", args.out.display(), request.seed);
    Ok(())
}

/// The model's defaults with the settings of the command line in their place.
fn request(args: &Generate, model: &ModelFolder, latents: Option<HostTensor>) -> Result<Request> {
    // Latents have a size; asking for it again would only be another place to be wrong.
    let pixels = |axis: usize| {
        let given = latents.as_ref().filter(|latents| latents.shape.len() == 4);
        given.map(|latents| latents.shape[axis].saturating_mul(model.configs.vae.downscale()))
    };
    let default = model
        .defaults
        .scheduler
        .as_deref()
        .map(str::parse)
        .transpose()?;
    let scheduler = Scheduler::new(&model.configs.scheduler, args.scheduler.or(default))?.kind();
    let width = args.width.or(pixels(3)).unwrap_or(model.defaults.width);
    let height = args.height.or(pixels(2)).unwrap_or(model.defaults.height);
    let mut request = Request {
        prompt: args.prompt.clone(),
        negative_prompt: args.negative.clone(),
        seed: args.seed.unwrap_or_else(new_seed),
        num_inference_steps: args.steps.unwrap_or(model.defaults.num_inference_steps),
        guidance_scale: args.guidance.unwrap_or(model.defaults.guidance_scale),
        scheduler: Some(scheduler),
        width,
        height,
        latents,
        source: None,
        words: false,
        selected_from: 1,
    };
    // Before pictures are fitted to a size that no model draws.
    request.check(&model.configs)?;
    if let Some(image) = &args.image {
        let read = |file: &Path| Ok(Picture::open(file)?.fit(width as u32, height as u32));
        let mask = args.mask.as_deref().map(read).transpose()?;
        request.source = Some(Img2Img {
            image: read(image)?,
            mask: mask.map(|mask| mask.to_grey()),
            strength: args.strength,
        });
        request.check(&model.configs)?;
    }
    Ok(request)
}

fn load(
    model: &ModelFolder,
    backend: Backend,
    limits: Limits,
    precision: Option<Precision>,
) -> Result<Pipeline> {
    let options = device::Options {
        limits,
        software: false, // natively wgpu knows
    };
    let device = pollster::block_on(device::open_with(backend, options))?;
    let spinner = ProgressBar::new_spinner().with_message(format!("loading {}", model.name));
    let precision = Precision::on(&device, precision)?;
    let builder = PipelineBuilder::new(model.configs.clone(), model.tokenizer.clone(), &device)?;
    let mut builder = builder.in_precision(precision);
    for part in model.stored() {
        spinner.tick();
        builder = builder.apply(part?)?;
    }
    spinner.finish_and_clear();
    builder.finish()
}

/// Draws the image, or so many until the reader agrees with one; gives the request that it is of.
fn run(
    pipeline: &Pipeline,
    request: Request,
    verify: Option<usize>,
) -> Result<(Request, Generated)> {
    let style = ProgressStyle::with_template("{bar:40} step {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(request.num_inference_steps as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let on_step = async |step: Step<'_>| {
        bar.set_length(step.total as u64);
        bar.set_position(step.index as u64);
        Ok(())
    };
    let Some(tries) = verify else {
        let generated = pollster::block_on(pipeline.generate(&request, on_step));
        bar.finish_and_clear();
        return Ok((request, generated?.check()?));
    };
    let verified = pollster::block_on(pipeline.generate_verified(&request, tries, on_step));
    bar.finish_and_clear();
    let verified = verified?;
    let drawn = verified.request.selected_from;
    if verified.agrees {
        eprintln!("note: the model's reader agrees with image {drawn} of at most {tries}")
    } else {
        eprintln!(
            "note: the model's reader agrees with none of {drawn} images; this one comes closest"
        )
    }
    Ok((verified.request, verified.generated))
}

fn read_latents(file: &Path) -> Result<HostTensor> {
    let name = || file.display().to_string();
    let bytes = limits::read(file, limits::LATENTS_BYTES)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| Error::Safetensors {
        file: name(),
        why: e.to_string(),
    })?;
    let latents = tensors.tensor("latents").map_err(|_| {
        Error::request(
            "latents",
            format!("are not in {}, which has no tensor of that name", name()),
        )
    })?;
    Ok(HostTensor {
        shape: latents.shape().to_vec(),
        data: decode_plain("latents", &latents)?,
    })
}

fn dump(generated: &Generated) -> Result<Vec<u8>> {
    let tensors = [
        ("prompt_embeds", &generated.prompt_embeds),
        ("latents", &generated.latents),
        ("image", &generated.image),
    ];
    let fault = |e: safetensors::SafeTensorError| Error::Safetensors {
        file: "--dump".into(),
        why: e.to_string(),
    };
    let bytes = tensors.map(|(name, t)| {
        (
            name,
            t,
            t.data
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>(),
        )
    });
    let mut views = Vec::with_capacity(bytes.len());
    for (name, tensor, bytes) in &bytes {
        views.push((
            *name,
            TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(fault)?,
        ));
    }
    safetensors::serialize(views, None).map_err(fault)
}

/// A seed that nobody chose, short enough to be typed again.
fn new_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_nanos() as u64);
    (now ^ (now >> 20)) & 0xffff_ffff
}
