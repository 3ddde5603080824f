//! A trained classifier -> the reader of a bundle: calibrated, and honest about what it cannot
//! tell.

use std::fmt::Write;
use std::path::PathBuf;

use burn::module::Module;
use burn::prelude::*;
use clap::Args;
use roentgen_web::bundle::{BundleWriter, Precision};
use roentgen_web::error::Result;
use roentgen_web::reader::{LabelConfig, ReaderConfig, distance};
use roentgen_web::tensor::HostTensor;
use roentgen_web::weights::{self};

use super::classifier::{self, Predictions};
use super::labels::{LABELS, Truth, known, names};
use super::metrics::Features;
use super::metrics::frechet::Gaussian;
use super::training::{LabelAuroc, label_aurocs, mean_auroc};
use crate::data::dataset::Dataset;
use crate::data::record::Split;

mod others;
mod pointing;

/// Fewer positives than this say nothing about how well a label is told: its AUROC is written as
/// chance.
const FEWEST_POSITIVES: usize = 10;
/// Share of the val split that is still taken for radiographs.
const KEPT: f64 = 0.99;

/// `train reader`
#[derive(Args, Clone, Debug)]
pub struct Calibration {
    /// Folder of the trained classifier
    #[arg(long, value_name = "DIR")]
    pub classifier: PathBuf,
    /// Folder with metadata.csv and the images, or a folder of such folders
    #[arg(long)]
    pub data: PathBuf,
    /// Bundle that gets the reader, in place of the one that it has
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// f32, f16, q8 or q4
    #[arg(long, default_value = "q8")]
    pub quantize: Precision,
}

/// Calibrates the classifier on the val split, measures what it knows, and adds it to the bundle.
///
/// # Errors
/// As [`classifier::open`], [`Dataset::load`] and [`BundleWriter::join`].
pub fn run(c: &Calibration, device: &Device) -> Result<String> {
    let (network, size) = classifier::open(&c.classifier, device)?;
    let load = |split| Dataset::load(&c.data, size, split);
    let (train, val) = (load(Split::Train)?, load(Split::Val)?);
    let judge = |data: &Dataset| {
        classifier::predict(&network, (0..data.len()).map(|i| data.image(i)), size)
    };
    let (learnt, seen) = (judge(&train), judge(&val));
    let truths: Vec<Truth> = val.records.iter().map(known).collect();
    let aurocs = label_aurocs(&seen.logits, &truths);

    let temperature = temperature(&seen.logits, &truths);
    let [matrix, bias] = Gaussian::fit(&learnt.features).whitening();
    let far = |predictions: &Predictions| distances(&predictions.features, &matrix, &bias);
    let mut distances = far(&seen);
    distances.sort_by(f32::total_cmp);
    let farthest = distances[(KEPT * (distances.len() - 1) as f64) as usize];
    let labels = names()
        .into_iter()
        .enumerate()
        .map(|(i, name)| LabelConfig {
            name: name.into(),
            auroc: known_auroc(&aurocs[i]),
            threshold: threshold(&seen.logits, &truths, i, temperature),
        });
    let config = ReaderConfig {
        model: classifier::config_in(&c.classifier)?,
        temperature,
        farthest,
        labels: labels.collect(),
    };

    let mut report = table(&config, &aurocs, &seen.logits, &truths);
    for (what, images) in others::all(&val) {
        let predictions = classifier::predict(&network, images.iter().map(Vec::as_slice), size);
        let refused = far(&predictions).iter().filter(|d| **d > farthest).count();
        let of = images.len();
        let _ = writeln!(report, "taken for no radiograph: {refused} of {of} {what}");
    }
    let _ = writeln!(report, "{}", pointing::measure(&network, &val));

    if let Some(dir) = &c.bundle {
        let mut writer = BundleWriter::new(dir, c.quantize)?;
        for (name, weight) in weights::collect(&network) {
            writer.add(&format!("reader.classifier.{name}"), &weight)?;
        }
        let width = bias.len();
        let [weight, bias] = [(vec![width, width], matrix), (vec![width], bias)]
            .map(|(shape, data)| HostTensor { shape, data });
        writer.add("reader.whitening.weight", &weight)?;
        writer.add("reader.whitening.bias", &bias)?;
        let manifest = writer.join(config)?;
        let _ = writeln!(
            report,
            "{}: {} bytes",
            dir.display(),
            manifest.total_bytes()
        );
    }
    let _ = write!(report, "{} parameters", network.num_params());
    Ok(report)
}

/// What the bundle says about a label.
fn known_auroc(label: &LabelAuroc) -> f32 {
    match label.auroc {
        Some((area, _)) if label.positives >= FEWEST_POSITIVES => (area * 1e4).round() as f32 / 1e4,
        _ => 0.5,
    }
}

/// See [`distance`], of each row.
fn distances(features: &Features, matrix: &[f32], bias: &[f32]) -> Vec<f32> {
    let white = |row: &[f32]| -> Vec<f32> {
        let rows = matrix.chunks_exact(features.width).zip(bias);
        rows.map(|(m, b)| b + m.iter().zip(row).map(|(m, x)| m * x).sum::<f32>())
            .collect()
    };
    features.rows().map(|row| distance(&white(row))).collect()
}

fn probability(logit: f32, temperature: f32) -> f32 {
    1.0 / (1.0 + (-logit / temperature).exp())
}

/// Mean binary cross-entropy of all known labels at a temperature.
fn loss(logits: &[[f32; LABELS]], truths: &[Truth], temperature: f32) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (logits, truths) in logits.iter().zip(truths) {
        for (logit, truth) in logits.iter().zip(truths) {
            let Some(truth) = truth else { continue };
            let signed = f64::from(if *truth { *logit } else { -*logit } / temperature);
            sum += (-signed).exp().ln_1p();
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// The temperature of the lowest loss, from 0.25 to 4 in steps of 2 % (Guo et al. 2017).
fn temperature(logits: &[[f32; LABELS]], truths: &[Truth]) -> f32 {
    let steps = (0..=140).map(|i| 0.25 * 1.02f32.powi(i));
    let losses = steps.map(|t| (loss(logits, truths, t), t));
    let best = losses.min_by(|a, b| a.0.total_cmp(&b.0));
    best.expect("there are temperatures").1
}

/// The probability at which sensitivity and specificity are largest together (Youden 1950); 0.5
/// where one of them is not known.
fn threshold(logits: &[[f32; LABELS]], truths: &[Truth], label: usize, temperature: f32) -> f32 {
    let of = logits.iter().zip(truths);
    let mut scores: Vec<(f32, bool)> = of
        .filter_map(|(l, t)| Some((probability(l[label], temperature), t[label]?)))
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = scores.iter().filter(|s| s.1).count();
    let negatives = scores.len() - positives;
    if positives < FEWEST_POSITIVES || negatives == 0 {
        return 0.5;
    }
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut best = (f64::MIN, 0.5);
    for (score, truth) in scores {
        if truth {
            hits += 1.0 / positives as f64
        } else {
            alarms += 1.0 / negatives as f64
        }
        if hits - alarms > best.0 {
            best = (hits - alarms, score);
        }
    }
    best.1
}

/// A row a label, and how often its verdict is right.
fn table(
    config: &ReaderConfig,
    aurocs: &[LabelAuroc],
    logits: &[[f32; LABELS]],
    truths: &[Truth],
) -> String {
    let mut out = "| label | positives | AUROC | threshold | sensitivity | specificity |\n|---|---|---|---|---|---|\n".to_string();
    for (i, (label, found)) in config.labels.iter().zip(aurocs).enumerate() {
        let said = |truth: bool| {
            let of = logits
                .iter()
                .zip(truths)
                .filter(|(_, t)| t[i] == Some(truth));
            let seen = |l: &[f32; LABELS]| probability(l[i], config.temperature) >= label.threshold;
            let right = of.clone().filter(|(l, _)| seen(l) == truth).count();
            right as f64 / of.count().max(1) as f64
        };
        let area = match found.auroc {
            Some((area, error)) => format!("{area:.3} ± {error:.3}"),
            None => "-".into(),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {area} | {:.3} | {:.2} | {:.2} |",
            label.name,
            found.positives,
            label.threshold,
            said(true),
            said(false)
        );
    }
    let before = loss(logits, truths, 1.0);
    let after = loss(logits, truths, config.temperature);
    let _ = writeln!(
        out,
        "mean AUROC {:.3}; temperature {:.2}, cross-entropy {before:.4} before and {after:.4} with it; farthest {:.2}",
        mean_auroc(aurocs).unwrap_or(f64::NAN),
        config.temperature,
        config.farthest
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_network_is_cooled_until_it_is_as_sure_as_right() {
        // Right in three of four cases, whatever it says: the best probability is 0.75, and its
        // logit ln 3.
        let mut truths = vec![[None; LABELS]; 4];
        for (i, truth) in truths.iter_mut().enumerate() {
            truth[0] = Some(i != 3);
        }
        let mut logits = vec![[0.0; LABELS]; 4];
        for logit in &mut logits {
            logit[0] = 3.0;
        }
        let found = temperature(&logits, &truths);
        assert!((found - 3.0 / 3f32.ln()).abs() < 0.05, "{found}");
        assert!((probability(3.0, found) - 0.75).abs() < 0.01);
    }

    #[test]
    fn a_threshold_divides_what_can_be_divided() {
        let mut truths = vec![[None; LABELS]; 40];
        let mut logits = vec![[0.0; LABELS]; 40];
        for i in 0..40 {
            (truths[i][1], logits[i][1]) = (Some(i >= 20), i as f32 / 10.0);
        }
        let found = threshold(&logits, &truths, 1, 1.0);
        assert!((found - probability(2.0, 1.0)).abs() < 1e-6, "{found}");
        assert_eq!(threshold(&logits, &truths, 0, 1.0), 0.5);
    }

    #[test]
    fn what_was_whitened_is_one_away() {
        // An ellipse: one direction ten times as wide as the other.
        let points = (0..360).map(|i| (i as f32).to_radians());
        let points = points.flat_map(|a| [3.0 + 10.0 * a.cos(), a.sin() + 10.0 * a.cos()]);
        let features = Features::new(2, points.collect());
        let [matrix, bias] = Gaussian::fit(&features).whitening();
        let far = distances(&features, &matrix, &bias);
        assert!(far.iter().all(|d| (d - 1.0).abs() < 0.01), "{far:?}");
        let off = distances(&Features::new(2, vec![3.0, 10.0]), &matrix, &bias);
        assert!(off[0] > 5.0, "{off:?}");
    }
}
