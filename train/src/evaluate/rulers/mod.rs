//! Rulers that need no classifier: sharpness, how varied latents are, texture, and sides.
//!
//! ```text
//! real images ─autoencoder─▶ reconstructions ─bands, psnr─▶ what the autoencoder loses
//! prompts of real images ─generate─▶ latents ─power─▶ how near to the mean the U-Net stays
//!                                  └▶ images ─bands, patches─▶ detail and texture beside real ones
//! one seed, left and right ─generate─▶ pairs ─side─▶ whether findings are where they were asked for
//! ```

pub mod bands;
pub mod patches;
pub mod power;
pub mod psnr;
pub mod side;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::prelude::*;
use clap::Args;
use rand::seq::SliceRandom;
use roentgen_web::error::{Error, Result};
use roentgen_web::pipeline::Generated;

use super::generate::{self, Generator, Planned};
use super::report::{Circumstances, Figure, Report};
use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::data::prompts::statement::Statement;
use crate::data::record::{Split, View};
use crate::data::sides::asymmetry;
use crate::stages::finetune::collect;
use crate::stages::vae::Autoencoder;
use crate::stages::vae::reconstruct::Reconstructions;
use crate::training::random::step_rng;
use bands::Bands;

/// What `train rulers` is told.
#[derive(Args, Clone, Debug)]
pub struct Rulers {
    /// Folder of the bundle or checkpoint
    #[arg(long, value_name = "DIR")]
    pub bundle: PathBuf,
    /// Folder with metadata.csv and the images, or a folder of such folders
    #[arg(long)]
    pub data: PathBuf,
    /// Folder for the report
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Real images to decode, and as many to generate
    #[arg(long, default_value_t = 64)]
    pub images: usize,
    /// Seeds of which a left and a right image of each finding are compared; 0 leaves sides out
    #[arg(long, default_value_t = 32)]
    pub pairs: usize,
    /// Denoising steps [default: the bundle's]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Classifier-free guidance of images and sides; latents are measured without
    /// [default: the bundle's]
    #[arg(long)]
    pub guidance: Option<f64>,
    /// Seed of the choice of images, of prompts and noise
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What a model made.
#[derive(Default)]
struct Made {
    images: Vec<Vec<f32>>,
    latents: Vec<Vec<f32>>,
}

/// Measures a model and writes `rulers.json`, `.csv` and `.md`.
///
/// # Errors
/// [`Error::Config`] where too few images of the val split are as large as the model's; as
/// [`Generator`].
pub fn run(rulers: &Rulers, device: &Device) -> Result<Report> {
    let r = rulers;
    let generator = Generator::open(&r.bundle, r.steps, r.guidance, r.seed, device)?;
    let size = generator.settings.size;
    let mut train = Dataset::load(&r.data, size, Split::Train)?;
    let boxed = side::QUESTIONS.map(|question| question.real(&train));
    keep_sharp(&mut train, (&r.data, Split::Train), size, r.images, r.seed)?;
    let val = sharp(&r.data, Split::Val, size, r.images, r.seed)?;
    let images = |data: &Dataset| -> Vec<Vec<f32>> {
        let unit = |i: usize| data.image(i).iter().map(|p| to_unit(*p)).collect();
        (0..r.images).map(unit).collect()
    };
    println!(
        "{} images of the val split are encoded and decoded",
        r.images
    );
    let real = decoded(&generator, images(&val), size, device)?;
    let mut figures = sharpness(&real);

    let plan = generate::plan(&val.records[..r.images], r.images, r.seed);
    let plain = Generator::open(&r.bundle, r.steps, Some(1.0), r.seed, device)?;
    let unguided = made(&plain, &plan)?;
    let channels = generator.model.configs.vae.latent_channels();
    figures.extend(latent_power(&unguided, &real, channels));
    let guided = if generator.settings.guidance > 1.0 {
        made(&generator, &plan)?
    } else {
        unguided
    };
    let power = |images: &[Vec<f32>]| Bands::of(images.iter().map(Vec::as_slice), size);
    let ratios = power(&guided.images).over(&power(&real.images));
    figures.extend(detail("Generated images", ratios));
    let train = images(&train);
    for (group, made) in [
        ("Patches of real images decoded", &real.decoded),
        ("Patches", &guided.images),
    ] {
        figures.extend(texture(group, made, &real.images, &train, size, r.seed));
    }
    if r.pairs > 0 {
        figures.extend(sides(&generator, r, &val, &boxed)?);
    }
    let report = Report {
        circumstances: Circumstances::now(),
        settings: generator.settings.clone(),
        images: r.images,
        figures,
    };
    report.write(&r.out, "rulers")?;
    Ok(report)
}

/// NIH images of a split that are stored at least as large as the model draws, in a random order:
/// others are blurred where a model is judged by its detail.
///
/// # Errors
/// As [`Dataset::load`]; [`Error::Config`] if there are less than `images`.
pub fn sharp(dir: &Path, split: Split, size: usize, images: usize, seed: u64) -> Result<Dataset> {
    let mut data = Dataset::load(dir, size, split)?;
    keep_sharp(&mut data, (dir, split), size, images, seed)?;
    Ok(data)
}

/// As [`sharp`], of images that are loaded from `dir`.
fn keep_sharp(
    data: &mut Dataset,
    (dir, split): (&Path, Split),
    size: usize,
    images: usize,
    seed: u64,
) -> Result<()> {
    let fits = |i: &usize| {
        let record = &data.records[*i];
        record.native_size as usize >= size && record.dataset == "nih_chestxray14"
    };
    let mut chosen: Vec<usize> = (0..data.len()).filter(fits).collect();
    if chosen.len() < images {
        return Err(Error::config(
            dir.display().to_string(),
            format!(
                "has {} images of the split {split:?} stored with {size} pixels or more; lower --images {}",
                chosen.len(),
                images
            ),
        ));
    }
    chosen.shuffle(&mut step_rng(seed, 3));
    data.keep(&chosen);
    Ok(())
}

/// Real images as the model's autoencoder has them, with latents as its U-Net sees them.
fn decoded(
    generator: &Generator,
    images: Vec<Vec<f32>>,
    size: usize,
    device: &Device,
) -> Result<Reconstructions> {
    let config = &generator.model.configs.vae;
    let module = Autoencoder {
        vae: config.init(device)?,
    };
    let weights = collect(&generator.model, |name| name.starts_with("vae."))?;
    let vae = roentgen_web::weights::load(module, weights)?.vae;
    let mut made = Reconstructions::new(&vae, config, images, size, device);
    let scaling = config.scaling()?;
    for latents in &mut made.latents {
        let positions = latents.len() / config.latent_channels();
        for (channel, values) in latents.chunks_exact_mut(positions).enumerate() {
            let (mean, factor) = scaling.of_channel(channel);
            let scale = |v: &mut f32| *v = ((f64::from(*v) - mean) * factor) as f32;
            values.iter_mut().for_each(scale);
        }
    }
    Ok(made)
}

/// Latents and images of a plan, in its order.
fn made(generator: &Generator, plan: &[Planned]) -> Result<Made> {
    let size = generator.settings.size;
    let found: Mutex<Vec<(String, Generated)>> = Mutex::new(vec![]);
    generator.each(&plan.iter().collect::<Vec<_>>(), |planned, _, generated| {
        found
            .lock()
            .expect("no panic")
            .push((planned.file.clone(), generated));
        Ok(())
    })?;
    let mut found = found.into_inner().expect("no panic");
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut made = Made::default();
    for (_, generated) in found {
        made.images
            .push(generated.image.data[..size * size].to_vec());
        made.latents.push(generated.latents.data);
    }
    Ok(made)
}

fn figure(
    group: &'static str,
    name: String,
    generated: f64,
    real: Option<f64>,
    remark: &str,
) -> Figure {
    Figure {
        group,
        name,
        generated: Some(generated),
        real,
        remark: remark.into(),
    }
}

/// Power in each band over that of real images.
fn detail(group: &'static str, ratios: [f64; 6]) -> Vec<Figure> {
    let remark = "power over that of real images; fractions of Nyquist";
    let named = |(band, ratio)| {
        let name = format!("Band {}", bands::name(band));
        figure(group, name, ratio, Some(1.0), remark)
    };
    ratios.into_iter().enumerate().map(named).collect()
}

/// What the autoencoder keeps of real images.
fn sharpness(real: &Reconstructions) -> Vec<Figure> {
    const GROUP: &str = "Real images decoded";
    let mut figures = detail(GROUP, real.bands());
    let remark = "dB, higher is better; means of 2 x 2 pixels for each halving";
    let named = |(size, decibels)| figure(GROUP, format!("PSNR at {size}"), decibels, None, remark);
    figures.extend(real.psnr().into_iter().map(named));
    figures
}

/// How varied the latents are without guidance.
fn latent_power(made: &Made, real: &Reconstructions, channels: usize) -> Vec<Figure> {
    let (all, each) = power::ratio(&made.latents, &real.latents, channels);
    let group = "Power of latents, guidance 1";
    let remark = "over that of real latents, about their mean";
    let mut figures = vec![figure(group, "All channels".into(), all, Some(1.0), remark)];
    let each = each.into_iter().enumerate();
    figures.extend(
        each.map(|(c, ratio)| figure(group, format!("Channel {c}"), ratio, Some(1.0), remark)),
    );
    figures
}

/// Patch distances of images that were made from val, beside those of train from val.
fn texture(
    group: &'static str,
    made: &[Vec<f32>],
    val: &[Vec<f32>],
    train: &[Vec<f32>],
    size: usize,
    seed: u64,
) -> Vec<Figure> {
    let distances = |images| patches::distances(images, val, size, &mut step_rng(seed, 4));
    let pairs = distances(made).into_iter().zip(distances(train));
    let remark =
        "sliced Wasserstein of 7 x 7 patches of the Laplacian pyramid, times 1000; lower is better";
    pairs
        .map(|((size, ours), (_, real))| {
            figure(group, format!("At {size} pixels"), ours, Some(real), remark)
        })
        .collect()
}

/// Whether left and right are heard; `boxed` is what real images with boxes show of each question.
fn sides(
    generator: &Generator,
    rulers: &Rulers,
    val: &Dataset,
    boxed: &[Option<(f64, [usize; 2])>],
) -> Result<Vec<Figure>> {
    let size = generator.settings.size;
    let normal = (0..val.len()).filter(|i| {
        let record = &val.records[*i];
        record.is_normal() && record.view == Some(View::Pa)
    });
    let mut normal: Vec<f32> = normal.map(|i| asymmetry(val.image(i), size)).collect();
    normal.sort_by(f32::total_cmp);
    let normal = normal.get(normal.len() / 2).copied().unwrap_or(0.0);
    let mut figures = vec![];
    for (question, boxed) in side::QUESTIONS.iter().zip(boxed) {
        let prompts = question.prompts();
        let planned = |n: usize, side: usize| Planned {
            record: 0,
            prompt: prompts[side].clone(),
            said: Statement::default(),
            seed: rulers.seed + n as u64,
            file: format!("{n:06}-{side}"),
        };
        let plan: Vec<Planned> = (0..rulers.pairs)
            .flat_map(|n| [planned(n, 0), planned(n, 1)])
            .collect();
        let images = made(generator, &plan)?.images.into_iter();
        let grey = images.map(|image| {
            image
                .into_iter()
                .map(crate::data::images::to_grey)
                .collect()
        });
        let grey: Vec<Vec<u8>> = grey.collect();
        let pairs: Vec<[Vec<u8>; 2]> = grey
            .chunks_exact(2)
            .map(|p| [p[0].clone(), p[1].clone()])
            .collect();
        let found = side::judge(&pairs, size, question.whitens, normal);
        let remark = format!(
            "share of {} seeds; \"{}\"",
            rulers.pairs,
            prompts[0].replace('"', "")
        );
        for (name, value) in [
            ("differs by 20 grey levels the asked way", found.visible),
            (
                "lies on either side of normal, the asked way",
                found.opposite,
            ),
        ] {
            let name = format!("{}: {name}", question.name);
            figures.push(figure(
                "Sides",
                name,
                value,
                Some(1.0),
                &remark.replace('"', ""),
            ));
        }
        let name = format!("{}: mean difference", question.name);
        figures.push(figure(
            "Sides",
            name,
            found.difference,
            boxed.map(|(difference, _)| difference),
            &match boxed {
                Some((_, [left, right])) => {
                    format!(
                        "grey levels, the asked way; real: {left} left, {right} right, by boxes"
                    )
                }
                None => "grey levels, the asked way".into(),
            },
        ));
    }
    Ok(figures)
}
