//! Measuring a model against real images that nobody trained on.
//!
//! ```text
//! train split ─training─▶ classifier
//! val records ─generate─▶ images ─classifier─▶ features ─metrics─▶ distances, neighbours
//!                                            └▶ logits ─metrics─▶ how well images show what prompts asked for
//! ```

pub mod augment;
mod box_targets;
pub mod classifier;
pub mod densenet;
pub mod diversity;
pub mod doubts;
pub mod generate;
pub mod labels;
pub mod memorisation;
pub mod metrics;
pub mod probe;
pub mod reader;
pub mod report;
pub mod rulers;
#[cfg(test)]
mod tests;
pub mod training;
pub mod two_sample;

use std::path::PathBuf;

use burn::prelude::*;
use clap::Args;
use rand::seq::SliceRandom;
use roentgen_web::error::{Error, Result};

use crate::data::dataset::Dataset;
use crate::data::record::Split;
use crate::training::random::step_rng;
use classifier::Predictions;
use densenet::DenseNet;
use diversity::IMAGES;
use generate::{Generator, Planned};
use labels::{Truth, known, names, requested};
use memorisation::{Distances, pixels, quantile};
use metrics::Features;
use metrics::frechet::Gaussian;
use metrics::manifold::Manifold;
use report::{Circumstances, Figure, Report};
use training::{label_aurocs, mean_auroc};

/// Neighbours that make a point's reach: Naeem et al. 2020 use 5.
const NEIGHBOURS: usize = 5;

/// What `train evaluate` is told.
#[derive(Args, Clone, Debug)]
pub struct Evaluation {
    /// Folder of the bundle
    #[arg(long, value_name = "DIR")]
    pub bundle: PathBuf,
    /// Folder of the trained classifier
    #[arg(long, value_name = "DIR")]
    pub classifier: PathBuf,
    /// Weights of torchxrayvision's DenseNet, as safetensors: measures the Fréchet distance in its
    /// features too
    #[arg(long, value_name = "FILE")]
    pub xrv: Option<PathBuf>,
    /// Folder with metadata.csv and the images
    #[arg(long)]
    pub data: PathBuf,
    /// Folder for the images and the report
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Images to generate and measure
    #[arg(long, default_value_t = 1000)]
    pub images: usize,
    /// Prompts of which four images are compared with each other
    #[arg(long, default_value_t = 50)]
    pub prompts: usize,
    /// Denoising steps [default: the bundle's]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Classifier-free guidance [default: the bundle's]
    #[arg(long)]
    pub guidance: Option<f64>,
    /// Draw up to N images for each prompt, until the model's reader agrees with one
    #[arg(long, value_name = "N")]
    pub verify: Option<usize>,
    /// Seed of prompts and noise
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Images that the measurements share.
struct Images<'a> {
    train: &'a Dataset,
    val: &'a Dataset,
    plan: &'a [Planned],
    generated: &'a [Vec<u8>],
}

/// Predictions on them.
struct Judged {
    train: Predictions,
    val: Predictions,
    generated: Predictions,
}

/// Generates what is missing, measures, and writes the report.
///
/// # Errors
/// [`Error::Request`] where there are too few images to measure; as [`classifier::open`],
/// [`Dataset::load`], [`Generator::fill`] and [`Report::write`].
pub fn run(evaluation: &Evaluation, device: &Device) -> Result<Report> {
    let e = evaluation;
    if e.images <= NEIGHBOURS {
        return Err(Error::request(
            "images",
            format!("must be more than {NEIGHBOURS}, and 1000 to say much"),
        ));
    }
    let (network, size) = classifier::open(&e.classifier, device)?;
    let xrv = e.xrv.as_deref().map(|file| DenseNet::open(file, device));
    let xrv = xrv.transpose()?;
    let load = |split| {
        let data = Dataset::load(&e.data, size, split)?;
        println!("{split:?}: {data}");
        if data.len() > NEIGHBOURS {
            Ok(data)
        } else {
            Err(Error::config(
                e.data.display().to_string(),
                format!("has {} images in the split {split:?}, too few", data.len()),
            ))
        }
    };
    let (train, val) = (load(Split::Train)?, load(Split::Val)?);
    let plan = generate::plan(&val.records, e.images, e.seed);
    let groups = diversity::groups(&plan, &val.records, &train, e.prompts, e.seed);
    let repetitions = groups
        .iter()
        .flat_map(|g| (0..IMAGES as u64).map(|n| g.planned.repetition(n)));
    let repetitions: Vec<Planned> = repetitions.collect();
    let mut generator = Generator::open(&e.bundle, e.steps, e.guidance, e.seed, device)?;
    if let Some(tries) = e.verify {
        generator = generator.verified(tries)?;
    }
    let folder = e.out.join("images");
    let mut wanted = [plan.clone(), repetitions.clone()].concat();
    wanted.sort_by(|a, b| a.file.cmp(&b.file));
    wanted.dedup_by(|a, b| a.file == b.file);
    generator.fill(&folder, &wanted)?;
    let generated = generate::read(&folder, &plan, size)?;

    println!(
        "judging {} + {} + {} images",
        train.len(),
        val.len(),
        generated.len()
    );
    let judge = |data: &Dataset| {
        classifier::predict(&network, (0..data.len()).map(|i| data.image(i)), size)
    };
    let judged = Judged {
        train: judge(&train),
        val: judge(&val),
        generated: classifier::predict(&network, generated.iter().map(Vec::as_slice), size),
    };
    let images = Images {
        train: &train,
        val: &val,
        plan: &plan,
        generated: &generated,
    };
    let mut figures = likeness(&judged, e.seed);
    let questioned = two_sample::Questioned {
        generated: generated.iter().map(Vec::as_slice).collect(),
        train: as_many(generated.len(), train.len(), e.seed)
            .into_iter()
            .map(|i| train.image(i))
            .collect(),
    };
    let network = e.out.join("two-sample");
    let told = two_sample::figure(&questioned, &val, e.seed, &network, device);
    figures.push(told?);
    figures.extend(xrv.map(|xrv| xrv_distance(&xrv, &images, e.seed)));
    figures.extend(fidelity(&images, &judged));
    if !groups.is_empty() {
        let repeated = generate::read(&folder, &repetitions, size)?;
        figures.extend(variety(&groups, &repeated, &train));
    }
    figures.extend(copies(e, &images, &judged)?);
    if let Some(tries) = e.verify {
        figures.push(Figure {
            group: "Selection",
            name: "Images drawn for each one kept".into(),
            generated: Some(generate::drawn(&folder, &plan)?),
            real: None,
            remark: format!("at most {tries}, until the model's reader agrees"),
        });
    }
    let report = Report {
        circumstances: Circumstances::now(),
        settings: generator.settings.clone(),
        images: generated.len(),
        figures,
    };
    report.write(&e.out, "evaluation")?;
    Ok(report)
}

/// Distances between clouds of features: generated images from val, beside as many training images
/// from val.
fn likeness(judged: &Judged, seed: u64) -> Vec<Figure> {
    let val = &judged.val.features;
    let generated = &judged.generated.features;
    let some = as_many(generated.len(), judged.train.features.len(), seed);
    let real = judged.train.features.select(&some);
    let clouds = |cloud: &Features| {
        let distance = Gaussian::fit(val).distance(&Gaussian::fit(cloud));
        (distance, Manifold::compare(val, cloud, NEIGHBOURS))
    };
    let ((fid, g), (floor, r)) = (clouds(generated), clouds(&real));
    let count = format!(
        "{} generated and {} train against {} val images",
        generated.len(),
        real.len(),
        val.len()
    );
    [
        (
            "Fréchet distance",
            fid,
            floor,
            "lower is better; in this classifier's features, ",
        ),
        ("Precision", g.precision, r.precision, "higher is better; "),
        ("Recall", g.recall, r.recall, "higher is better; "),
        ("Density", g.density, r.density, "higher is better; "),
        ("Coverage", g.coverage, r.coverage, "higher is better; "),
    ]
    .map(|(name, generated, real, remark)| Figure {
        group: "Likeness",
        name: name.into(),
        generated: Some(generated),
        real: Some(real),
        remark: format!("{remark}{count}"),
    })
    .into()
}

/// The Fréchet distance in the features that published ones are measured in.
fn xrv_distance(xrv: &DenseNet, images: &Images, seed: u64) -> Figure {
    let size = images.train.size;
    let some = as_many(images.generated.len(), images.train.len(), seed);
    let of = |data: &Dataset, which: &[usize]| {
        Gaussian::fit(&xrv.judge(which.iter().map(|i| data.image(*i)), size))
    };
    let val = of(images.val, &Vec::from_iter(0..images.val.len()));
    let generated = Gaussian::fit(&xrv.judge(images.generated.iter().map(Vec::as_slice), size));
    Figure {
        group: "Likeness",
        name: "Fréchet distance, torchxrayvision".into(),
        generated: Some(val.distance(&generated)),
        real: Some(val.distance(&of(images.train, &some))),
        remark: format!(
            "lower is better; images of {size} pixels brought to {}",
            densenet::SIZE
        ),
    }
}

/// Indices of some training images. Distances between clouds depend on their size, so the real ones
/// are as many as the generated.
fn as_many(generated: usize, train: usize, seed: u64) -> Vec<usize> {
    let mut some: Vec<usize> = (0..train).collect();
    some.shuffle(&mut step_rng(seed, 2));
    some.truncate(generated);
    some
}

/// AUROC of what each prompt asked for, by the classifier, beside what it reaches on real images.
fn fidelity(images: &Images, judged: &Judged) -> Vec<Figure> {
    let records = &images.val.records;
    let asked = images
        .plan
        .iter()
        .map(|p| requested(&records[p.record], &p.said));
    let asked: Vec<Truth> = asked.collect();
    let truths: Vec<Truth> = records.iter().map(known).collect();
    let generated = label_aurocs(&judged.generated.logits, &asked);
    let real = label_aurocs(&judged.val.logits, &truths);
    let mut figures = vec![Figure {
        group: "Prompt fidelity (AUROC)",
        name: "Mean".into(),
        generated: mean_auroc(&generated),
        real: mean_auroc(&real),
        remark: "of all labels with both kinds of images".into(),
    }];
    for ((name, g), r) in names().iter().zip(generated).zip(real) {
        let error = |a: Option<(f64, f64)>| a.map_or("–".into(), |a| format!("±{:.3}", a.1));
        figures.push(Figure {
            group: "Prompt fidelity (AUROC)",
            name: name.to_string(),
            generated: g.auroc.map(|a| a.0),
            real: r.auroc.map(|a| a.0),
            remark: format!(
                "{} of {} generated ({}), {} of {} real ({})",
                g.positives,
                g.positives + g.negatives,
                error(g.auroc),
                r.positives,
                r.positives + r.negatives,
                error(r.auroc)
            ),
        });
    }
    figures
}

/// MS-SSIM between the images of a prompt, beside real images of the same description.
fn variety(groups: &[diversity::Group], repeated: &[Vec<u8>], train: &Dataset) -> Vec<Figure> {
    let (mut generated, mut real) = (0.0, 0.0);
    for (group, images) in groups.iter().zip(repeated.chunks_exact(IMAGES)) {
        let of_prompt: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        generated += diversity::similarity(&of_prompt, train.size);
        real += diversity::similarity(&group.real.map(|i| train.image(i)), train.size);
    }
    let n = groups.len() as f64;
    vec![Figure {
        group: "Diversity",
        name: "MS-SSIM within a prompt".into(),
        generated: Some(generated / n),
        real: Some(real / n),
        remark: format!(
            "lower is more varied; {} prompts of {IMAGES} images, {} scales",
            groups.len(),
            metrics::ms_ssim::scales(train.size)
        ),
    }]
}

/// Distances to the nearest training image, and the worst pairs as `nearest.png`.
fn copies(e: &Evaluation, images: &Images, judged: &Judged) -> Result<Vec<Figure>> {
    let of = |data: &Dataset| pixels((0..data.len()).map(|i| data.image(i)), data.size);
    let generated = pixels(
        images.generated.iter().map(Vec::as_slice),
        images.train.size,
    );
    let by_pixels = Distances::measure(&generated, &of(images.val), &of(images.train));
    let by_features = Distances::measure(
        &judged.generated.features,
        &judged.val.features,
        &judged.train.features,
    );
    let path = e.out.join("nearest.png");
    memorisation::draw(
        &path,
        &by_features,
        &by_pixels,
        images.generated,
        images.train,
    )?;
    let mut figures = vec![];
    for (space, d) in [("features", &by_features), ("grey levels", &by_pixels)] {
        let mut add = |name: &str, generated: f64, real: f64, remark: &str| {
            figures.push(Figure {
                group: "Nearest training image",
                name: format!("{name}, {space}"),
                generated: Some(generated),
                real: Some(real),
                remark: remark.into(),
            });
        };
        for (name, share) in [("Smallest distance", 0.0), ("Median distance", 0.5)] {
            let of = |n: &[metrics::manifold::Neighbour]| quantile(n, share);
            add(name, of(&d.generated), of(&d.val), "real: val images");
        }
        add(
            "Share nearer than 1 % of val",
            d.suspicious(),
            0.01,
            "0.01 is expected of new patients",
        );
    }
    Ok(figures)
}
