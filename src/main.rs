//! `roentgen`: a sentence in, a radiograph out, on this computer.

#[path = "cli/measure.rs"]
mod measure;

use clap::{Args, Parser, Subcommand};
use image::{DynamicImage, GrayImage, imageops::FilterType};
use indicatif::{ProgressBar, ProgressStyle};
use roentgen_web::{
    Error, Result,
    bundle::{decode_plain, write_atomically},
    checkpoint::{LoraFile, ModelFolder},
    device::{self, Backend, Limits, Precision},
    dicom,
    image::Image,
    latents::scheduler::{Scheduler, SchedulerKind},
    pipeline::{Generated, Pipeline, PipelineBuilder, Request, Step},
    png,
    source::Source,
    weights::Weight,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// Bytes that a file of latents may have: 64 channels of 512 x 512.
const LATENTS_BYTES: u64 = 64 << 20;

#[derive(Parser)]
#[command(
    name = "roentgen",
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
    #[command(hide = true)] // for `cargo xtask bench stages`
    Stages(measure::Stages),
    /// Measure what each stage of a model asks of a GPU: launches and memory, as JSON
    #[cfg(feature = "gpu")]
    #[command(hide = true)] // for `cargo xtask bench memory`
    Memory(measure::Memory),
    /// Write a bundle of random weights
    #[command(hide = true)]
    Random(measure::Random),
}

#[derive(Args)]
struct Generate {
    /// Folder of a bundle, or of a diffusers checkpoint
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
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
    /// What is asked of a GPU: all that the adapter has, or WebGPU's default limits without optional features
    #[arg(long, value_name = "adapter|default", default_value = "adapter")]
    limits: Limits,
    /// What the GPU computes in: f16 or f32 [default: f16 where the adapter has it and is a graphics card]
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
    /// Start from the tensor `latents` [1, C, h, w] of this safetensors file instead of the seed's noise
    #[arg(long, value_name = "FILE")]
    latents: Option<PathBuf>,
    /// Also write `prompt_embeds`, the final `latents` and `image` in [-1, 1] to this safetensors file
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Where the image goes: a DICOM Secondary Capture where the name ends in .dcm, else a PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` come as errors too, to be printed as they are.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => return fail(&one_sentence(&error.to_string())),
    };
    // The GPU's driver and runtime report lost devices and full memory by panicking. That is still an error, not a crash.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|_| {}));
    }
    let run = || match &cli.command {
        Command::Generate(args) => generate(args),
        Command::Stages(args) => measure::stages(args),
        #[cfg(feature = "gpu")]
        Command::Memory(args) => measure::memory(args),
        Command::Random(args) => measure::random(args),
    };
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason was given");
            let text = one_sentence(text);
            fail(&format!(
                "the computation failed ({text}); try a smaller image, or the other --backend"
            ))
        }
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("roentgen: {text}");
    ExitCode::FAILURE
}

/// The first paragraph of a longer message, on one line.
fn one_sentence(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}

fn generate(args: &Generate) -> Result<()> {
    // What can be wrong is found before the minutes of work.
    for file in [Some(&args.out), args.dump.as_ref()].into_iter().flatten() {
        writable(file)?;
    }
    let latents = args.latents.as_deref().map(read_latents).transpose()?;
    let mut model = ModelFolder::open(&args.model)?;
    for lora in &args.lora {
        model = model.with_lora(lora)?;
    }
    for note in &model.notes {
        eprintln!("note: {note}");
    }
    let request = request(args, &model, latents)?;
    let pipeline = load(&model, args.backend, args.limits, args.precision)?;
    let generated = run(&pipeline, &request)?.check()?;
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
    let bytes = match is_dicom {
        true => dicom::write::encode(&image, &request, &model.name, false)?,
        false => png::encode(&image, &request, &model.name)?,
    };
    write_atomically(&args.out, &bytes)?;
    if let Some(file) = &args.dump {
        write_atomically(file, &dump(&generated)?)?;
    }
    println!("{} (seed {})", args.out.display(), request.seed);
    Ok(())
}

/// The model's defaults with the settings of the command line in their place.
fn request(args: &Generate, model: &ModelFolder, latents: Option<Weight>) -> Result<Request> {
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
    let source = match &args.image {
        Some(image) => Some(Source {
            image: picture(image, width, height)?,
            mask: args
                .mask
                .as_ref()
                .map(|mask| picture(mask, width, height).map(|mask| mask.to_grey()))
                .transpose()?,
            strength: args.strength,
        }),
        None => None,
    };
    Ok(Request {
        prompt: args.prompt.clone(),
        negative_prompt: args.negative.clone(),
        seed: args.seed.unwrap_or_else(new_seed),
        num_inference_steps: args.steps.unwrap_or(model.defaults.num_inference_steps),
        guidance_scale: args.guidance.unwrap_or(model.defaults.guidance_scale),
        scheduler: Some(scheduler),
        width,
        height,
        latents,
        source,
        words: false,
    })
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

fn run(pipeline: &Pipeline, request: &Request) -> Result<Generated> {
    let style = ProgressStyle::with_template("{bar:40} step {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(request.num_inference_steps as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let generated = pollster::block_on(pipeline.generate(request, async |step: Step<'_>| {
        bar.set_length(step.total as u64);
        bar.set_position(step.index as u64);
        Ok(())
    }));
    bar.finish_and_clear();
    generated
}

/// # Errors
/// [`Error::Io`] if no file can be made there.
fn writable(file: &Path) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let data = fs::metadata(folder).map_err(Error::io(folder))?;
    if !data.is_dir() || file.is_dir() || file.file_name().is_none() {
        return Err(Error::io(file)(std::io::ErrorKind::InvalidFilename.into()));
    }
    Ok(())
}

/// The middle of a picture, fitted to `width` and `height`.
fn picture(file: &Path, width: usize, height: usize) -> Result<Image> {
    let unreadable = |why: String| Error::Picture {
        file: file.display().to_string(),
        why,
    };
    let bytes = fs::read(file).map_err(Error::io(file))?;
    let picture = match dicom::read::is_dicom(&bytes) {
        true => radiograph(&bytes),
        false => image::load_from_memory(&bytes).map_err(|e| e.to_string()),
    };
    let picture = picture.map_err(unreadable)?;
    // A size that no model has is refused with the rest of the request.
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX).clamp(1, 1 << 14);
    let picture = picture.resize_to_fill(side(width), side(height), FilterType::CatmullRom);
    let (channels, data) = match picture {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA8(_) => (1, picture.into_luma8().into_raw()),
        _ => (3, picture.into_rgb8().into_raw()),
    };
    Ok(Image {
        width: side(width) as usize,
        height: side(height) as usize,
        channels,
        data,
    })
}

fn radiograph(bytes: &[u8]) -> Result<DynamicImage, String> {
    let grey = dicom::read::read(bytes)?.to_image();
    GrayImage::from_raw(grey.width as u32, grey.height as u32, grey.data)
        .map(DynamicImage::ImageLuma8)
        .ok_or_else(|| "it has fewer pixels than its size says".into())
}

fn read_latents(file: &Path) -> Result<Weight> {
    let found = fs::metadata(file).map_err(Error::io(file))?.len();
    let name = || file.display().to_string();
    if found > LATENTS_BYTES {
        return Err(Error::FileSize {
            file: name(),
            expected: LATENTS_BYTES,
            found,
        });
    }
    let bytes = fs::read(file).map_err(Error::io(file))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| Error::Safetensors {
        file: name(),
        why: e.to_string(),
    })?;
    let latents = tensors.tensor("latents").map_err(|_| Error::Request {
        field: "latents",
        why: format!("are not in {}, which has no tensor of that name", name()),
    })?;
    Ok(Weight {
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
