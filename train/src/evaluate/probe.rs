//! What a text encoder says to the U-Net: how well a linear layer reads from its states what a
//! prompt asks for.
//!
//! A linear probe (Alain and Bengio 2016, arXiv 1610.01644), as RoentGen's authors put to their
//! text encoders: logistic regression on the states of frozen encoders, learned on prompts of the
//! `train` split and judged on those of `val`. It is asked at two places that hold no word of the
//! prompt: the end-of-text token, and the mean of the padding behind it, which is most of what
//! cross-attention reads. Prompts deny findings too ("No effusion"), so that the words alone do not
//! decide.

use std::fmt::Write;
use std::path::PathBuf;

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::prelude::*;
use clap::Args;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::embeddings::CLIPTextModel;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights;
use serde::Serialize;

use super::generate::{Planned, plan};

use super::report::Circumstances;
use super::training::{LabelAuroc, label_aurocs, mean_auroc};
use crate::data::prompts::facts::{self, FACTS, Facts};
use crate::data::readers::collection;
use crate::data::record::{Record, Split};
use crate::stages::finetune::collect;
use crate::training::loss::binary_cross_entropy;
use crate::training::tensors::{self, floats};

/// Prompts that go through a text encoder at a time.
const BATCH: usize = 64;
/// Steps, rate and decay of the logistic regression, over all prompts at once; by then AUROCs stand
/// still.
const STEPS: usize = 400;
const RATE: f64 = 2e-2;
const DECAY: f32 = 1e-2;

/// What `train probe` is told.
#[derive(Args, Clone, Debug)]
pub struct Probe {
    /// Folders of the bundles or checkpoints to compare; random weights of the first one's shape
    /// come before them
    #[arg(long = "bundle", value_name = "DIR", required = true)]
    pub bundles: Vec<PathBuf>,
    /// Folder with metadata.csv; no image is read
    #[arg(long)]
    pub data: PathBuf,
    /// Folder for the report
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Prompts to learn from, and as many to judge by
    #[arg(long, default_value_t = 4000)]
    pub prompts: usize,
    /// Seed of the prompts and of the random weights
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Where a prompt is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The state of the end-of-text token.
    EndOfText,
    /// The mean state of the tokens behind it.
    Padding,
}

/// One encoder, asked at one place.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// Name of the model.
    pub encoder: String,
    /// Where.
    pub place: Place,
    /// AUROC of each fact, in the order of [`facts::names`]; none without both kinds of prompts.
    pub auroc: Vec<Option<f64>>,
    /// Their mean.
    pub mean: Option<f64>,
}

/// Everything that one `train probe` found.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    /// When, where, how.
    pub circumstances: Circumstances,
    /// Prompts learned from, and judged by.
    pub prompts: usize,
    /// Each encoder at each place.
    pub readings: Vec<Reading>,
}

/// Prompts and what they ask for.
struct Asked {
    prompts: Vec<String>,
    facts: Vec<Facts>,
}

/// Puts the same questions to every encoder, and writes the report.
///
/// # Errors
/// As [`ModelFolder::open`] and [`collection::read`]; [`Error::Request`] for too few prompts;
/// [`Error::Io`].
pub fn run(probe: &Probe, device: &Device) -> Result<ProbeReport> {
    if probe.prompts < BATCH {
        return Err(Error::request(
            "prompts",
            format!("must be at least {BATCH}, and 4000 to say much"),
        ));
    }
    let asked = |split: Split| {
        let records = collection::read(&probe.data, &split.into())?.records;
        if records.is_empty() {
            return Err(Error::config(
                probe.data.display().to_string(),
                format!("has no row of the split {split:?}"),
            ));
        }
        Ok(Asked::of(&records, probe.prompts, probe.seed))
    };
    let (learn, judge) = (asked(Split::Train)?, asked(Split::Val)?);
    let mut readings = vec![];
    for (i, folder) in probe.bundles.iter().enumerate() {
        let model = ModelFolder::open(folder)?;
        device.seed(probe.seed); // of the random weights
        let random = Encoder {
            text_encoder: model.configs.text_encoder.init(device)?,
        };
        let mut ask = |name: String, encoder: &Encoder| -> Result<()> {
            let read = |asked| encoder.read(asked, &model.tokenizer, device);
            let (learn, judge) = (read(&learn)?, read(&judge)?);
            readings.extend([
                reading(&name, Place::EndOfText, &learn.0, &judge.0, device),
                reading(&name, Place::Padding, &learn.1, &judge.1, device),
            ]);
            Ok(())
        };
        if i == 0 {
            ask("random weights".into(), &random)?;
        }
        let own = collect(&model, |name| name.starts_with("text_encoder."))?;
        let name = format!("{} ({})", model.name, folder.display());
        ask(name, &weights::load(random, own)?)?;
    }
    let report = ProbeReport {
        circumstances: Circumstances::now(),
        prompts: probe.prompts,
        readings,
    };
    report.write(&probe.out)?;
    Ok(report)
}

impl Asked {
    fn of(records: &[Record], number: usize, seed: u64) -> Self {
        let planned: Vec<Planned> = plan(records, number, seed);
        Self {
            facts: planned.iter().map(|p| facts::facts(&p.said)).collect(),
            prompts: planned.into_iter().map(|p| p.prompt).collect(),
        }
    }
}

/// A text encoder under its component's name.
#[derive(Module, Debug)]
struct Encoder {
    text_encoder: CLIPTextModel,
}

/// States `[n, width]` of prompts at one place, and what the prompts say.
struct States<'a> {
    values: Vec<f32>,
    width: usize,
    facts: &'a [Facts],
}

impl Encoder {
    /// The states of every prompt at the end of its text and, on average, behind it.
    fn read<'a>(
        &self,
        asked: &'a Asked,
        tokenizer: &ClipTokenizer,
        device: &Device,
    ) -> Result<(States<'a>, States<'a>)> {
        let end = tokenizer.encode("")?.ids[1]; // after the begin-of-text token
        let states = || States {
            values: vec![],
            width: 0,
            facts: &asked.facts,
        };
        let (mut ends, mut paddings) = (states(), states());
        for prompts in asked.prompts.chunks(BATCH) {
            let ids = prompts.iter().map(|p| Ok(tokenizer.encode(p)?.ids));
            let ids: Vec<Vec<u32>> = ids.collect::<Result<_>>()?;
            let (n, tokens) = (ids.len(), ids[0].len());
            let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
            let input = Tensor::<1, Int>::from_ints(flat.as_slice(), device);
            let output = self.text_encoder.forward(input.reshape([n, tokens]));
            let width = output.dims()[2];
            let output = tensors::values(output);
            (ends.width, paddings.width) = (width, width);
            for (ids, output) in ids.iter().zip(output.chunks_exact(tokens * width)) {
                let at = ids.iter().position(|id| *id == end).unwrap_or(tokens - 1);
                ends.values.extend(&output[at * width..][..width]);
                // A prompt that fills the encoder has none; its end stands for it.
                let from = (at + 1).min(tokens - 1);
                let behind = &output[from * width..];
                let mean = |e: usize| {
                    let sum: f32 = behind.iter().skip(e).step_by(width).sum();
                    sum / (tokens - from) as f32
                };
                paddings.values.extend((0..width).map(mean));
            }
        }
        Ok((ends, paddings))
    }
}

/// What a linear layer, learned on `learn`, reads from `judge`.
fn reading(
    encoder: &str,
    place: Place,
    learn: &States,
    judge: &States,
    device: &Device,
) -> Reading {
    let truths: Vec<_> = judge.facts.iter().map(|facts| facts.map(Some)).collect();
    let aurocs = label_aurocs(&logits(learn, judge, device), &truths);
    Reading {
        encoder: encoder.into(),
        place,
        auroc: aurocs
            .iter()
            .map(|s: &LabelAuroc| Some(s.auroc?.0))
            .collect(),
        mean: mean_auroc(&aurocs),
    }
}

/// Logits on `judge` of a logistic regression for each label, learned on `learn`. Every state is
/// brought to mean 0 and deviation 1 on `learn` first, so that the decay means the same for every
/// encoder.
fn logits(learn: &States, judge: &States, device: &Device) -> Vec<[f32; FACTS]> {
    let learning = device.clone().autodiff();
    let table = |values: &[f32], width: usize, device: &Device| {
        floats(values, [values.len() / width, width], device)
    };
    let x = table(&learn.values, learn.width, &learning);
    let (variance, mean) = x.clone().var_mean(0);
    let scaled = |x: Tensor<2>| (x - mean.clone()) / (variance.clone() + 1e-6).sqrt();
    let truth: Vec<f32> = learn
        .facts
        .iter()
        .flatten()
        .map(|f| f32::from(*f))
        .collect();
    let truth = table(&truth, FACTS, &learning);
    let x = scaled(x);
    let mut layer: Linear = LinearConfig::new(learn.width, FACTS)
        .with_initializer(Initializer::Zeros)
        .init(&learning);
    let mut optimizer = AdamWConfig::new().with_weight_decay(DECAY).init();
    for _ in 0..STEPS {
        let logits = layer.forward(x.clone());
        let loss = binary_cross_entropy(logits, truth.clone()).sum() / learn.facts.len() as f64;
        let grads = GradientsParams::from_grads(loss.backward(), &layer);
        layer = optimizer.step(RATE, layer, grads);
    }
    let judged = layer.forward(scaled(table(&judge.values, judge.width, &learning)));
    let judged = tensors::values(judged);
    let rows = judged.chunks_exact(FACTS);
    rows.map(|row| std::array::from_fn(|i| row[i])).collect()
}

impl ProbeReport {
    /// Writes `probe.json` and `probe.md` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write(&self, folder: &std::path::Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let json = serde_json::to_string_pretty(self).expect("plain values");
        for (file, text) in [("probe.json", json + "\n"), ("probe.md", self.markdown())] {
            let path = folder.join(file);
            files::replace(&path, text)?;
        }
        Ok(())
    }

    /// A table for a model card: a row a label, a column an encoder and place.
    pub fn markdown(&self) -> String {
        let column = |r: &Reading| match r.place {
            Place::EndOfText => format!("{}, end of text", r.encoder),
            Place::Padding => format!("{}, padding", r.encoder),
        };
        let row = |name: &str, of: &dyn Fn(&Reading) -> Option<f64>| {
            let cells = self.readings.iter().map(|r| match of(r) {
                Some(area) => format!(" {area:.3} |"),
                None => " – |".into(),
            });
            format!("| {name} |{}\n", cells.collect::<String>())
        };
        let heads = self.readings.iter().map(|r| format!(" {} |", column(r)));
        let mut text = format!("| AUROC |{}\n", heads.collect::<String>());
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(self.readings.len()));
        text += &row("Mean", &|r| r.mean);
        for (i, name) in facts::names().iter().enumerate() {
            text += &row(name, &|r| r.auroc[i]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States in which one number says the first fact, and the second is drawn without looking at
    /// them.
    #[test]
    fn what_is_in_the_states_is_read_and_what_is_not_is_not() {
        let drawn = |seed: u64, n: usize| -> (Vec<f32>, Vec<Facts>) {
            let noise = roentgen_web::latents::noise::gaussian(seed, 4 * n);
            let (mut values, mut all) = (vec![], vec![]);
            for row in noise.chunks_exact(4) {
                let mut facts = [false; FACTS];
                (facts[0], facts[1]) = (row[0] > 0.5, row[3] > 0.0);
                values.extend([100.0 + row[0] + 0.1 * row[1], row[2], 7.0]);
                all.push(facts);
            }
            (values, all)
        };
        let (a, b) = (drawn(1, 600), drawn(2, 600));
        fn states((values, facts): &(Vec<f32>, Vec<Facts>)) -> States<'_> {
            States {
                values: values.clone(),
                width: 3,
                facts,
            }
        }
        let (learn, judge) = (states(&a), states(&b));
        let reading = reading("x", Place::Padding, &learn, &judge, &Device::flex());
        assert!(reading.auroc[0].unwrap() > 0.98, "{reading:?}");
        assert!((reading.auroc[1].unwrap() - 0.5).abs() < 0.1, "{reading:?}");
        assert_eq!(reading.auroc[2], None, "no prompt says it");
        let report = ProbeReport {
            circumstances: Circumstances::now(),
            prompts: 600,
            readings: vec![reading],
        };
        let table = report.markdown();
        assert!(
            table.starts_with("| AUROC | x, padding |\n| --- | ---: |\n| Mean |"),
            "{table}"
        );
        assert!(table.contains("| Effusion left | – |"), "{table}");
    }
}
