//! Teaching the text encoder what prompts say, before the U-Net learns from it.
//!
//! A causal encoder that only ever sees the denoising loss carries the words with large effects (view, child) to the
//! padding that follows a prompt, which is two thirds of what cross-attention reads, and leaves the small ones
//! (findings) at their own token. Here a linear head has to tell from the padding alone what the prompt said; the head
//! is thrown away.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use rand::RngExt;
use roentgen_web::embeddings::CLIPTextModel;
use roentgen_web::error::Result;
use roentgen_web::tokens::ClipTokenizer;

use crate::data::dataset::{AgeGroup, Record, Sex, View};
use crate::data::findings::Finding;
use crate::data::location::Location;
use crate::data::prompts;
use crate::stages::diffusion::{pool, times};
use crate::training::loss::binary_cross_entropy;
use crate::training::random::step_rng;
use crate::training::replicas::share;
use crate::training::run::{Run, RunFolder, TextRun};
use crate::training::start;
use crate::training::trainer::Trainer;

/// Facts that the head has to tell: see [`told`].
pub const FACTS: usize = 16 + Finding::ALL.len();

/// Text encoder and head.
#[derive(Module, Debug)]
pub struct TextToFacts {
    /// The part that stays.
    pub text_encoder: CLIPTextModel,
    /// Mean state of the padding to [`FACTS`] logits.
    pub head: Linear,
}

/// What can be said of a record, each 0 or 1: view, sex, age, findings, and the side and size of what has boxes.
pub fn told(record: &Record) -> [f32; FACTS] {
    let of = |finding: &Finding| Location::of(*finding, &record.boxes);
    let findings = record.findings.clone().unwrap_or_default();
    let any = |word: &dyn Fn(Location) -> bool| findings.iter().any(|f| word(of(f)));
    let age = record.age.unwrap_or_default();
    let adult = record.age_group == Some(AgeGroup::Adult);
    let said = [
        record.view == View::Pa,
        record.view == View::Ap,
        record.sex == Some(Sex::Male),
        record.sex == Some(Sex::Female),
        record.age_group == Some(AgeGroup::Child),
        adult && age < 40,
        adult && (40..70).contains(&age),
        adult && age >= 70,
        record.findings.as_ref().is_some_and(Vec::is_empty),
        any(&|l| l.side == "left"),
        any(&|l| l.side == "right"),
        any(&|l| l.side == "bilateral"),
        any(&|l| l.zone == "upper"),
        any(&|l| l.zone == "lower"),
        any(&|l| matches!(l.size, "small" | "mild")),
        any(&|l| matches!(l.size, "large" | "marked")),
    ];
    let found = Finding::ALL.map(|f| findings.contains(&f));
    let mut facts = [0.0; FACTS];
    for (fact, said) in facts.iter_mut().zip(said.into_iter().chain(found)) {
        *fact = f32::from(said);
    }
    facts
}

/// Trains the text encoder of `run` into `folder/text`; [`crate::stages::diffusion::train`] starts from it.
///
/// # Errors
/// As [`Trainer::step`].
pub fn train(
    run: &Run,
    text: &TextRun,
    records: &[Record],
    tokenizer: &ClipTokenizer,
    folder: &RunFolder,
    device: &Device,
) -> Result<()> {
    let device = device.clone().autodiff();
    device.seed(run.seed); // of the starting weights
    let width = run.diffusion.text_encoder.hidden_size;
    let mut networks = TextToFacts {
        text_encoder: run.diffusion.text_encoder.init(&device)?,
        head: LinearConfig::new(width, FACTS).init(&device),
    };
    if let Some(init) = &run.init {
        networks = start::from(networks, init)?;
    }
    let pool = pool(records.iter().map(times));
    let mut trainer = Trainer::new(networks, text.optimization.clone(), folder.path("text"))?;
    let (n, length) = (trainer.share(), tokenizer.model_max_length());
    while !trainer.is_done() {
        let mut rng = step_rng(run.seed, trainer.step);
        let (mut ids, mut facts) = (vec![], vec![]);
        for _ in 0..text.optimization.batch_size {
            let record = &records[pool[rng.random_range(0..pool.len())]];
            let tokens = tokenizer.encode(&prompts::compose(record, rng.random()))?;
            ids.extend(tokens.ids.iter().map(|&id| id as i32));
            facts.extend(told(record));
        }
        trainer.step(|module, part, device| {
            let ids = Tensor::<1, Int>::from_ints(share(&ids, part, [n, length]), device);
            let states = module.text_encoder.forward(ids.reshape([n, length]));
            // Hardly a prompt is longer than half the tokens.
            let padding = states.narrow(1, length / 2, length - length / 2);
            let logits = module.head.forward(padding.mean_dim(1).squeeze_dim::<2>(1));
            let facts = Tensor::<1>::from_floats(share(&facts, part, [n, FACTS]), device);
            let facts = facts.reshape([n, FACTS]);
            binary_cross_entropy(logits, facts).mean()
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::location::BoundingBox;

    #[test]
    fn facts_are_what_the_record_says() {
        let record = Record {
            file: "a.png".into(),
            dataset: "nih_chestxray14".into(),
            patient: "p".into(),
            view: View::Ap,
            sex: Some(Sex::Female),
            age: Some(71),
            age_group: Some(AgeGroup::Adult),
            findings: Some(vec![Finding::Effusion]),
            other: String::new(),
            boxes: vec![BoundingBox {
                finding: Finding::Effusion,
                x: 0.6,
                y: 0.4,
                w: 0.3,
                h: 0.5,
            }],
            native_size: 128,
        };
        let facts = told(&record);
        assert_eq!(facts[..9], [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(facts[9..12], [1.0, 0.0, 0.0], "the patient's left");
        let effusion = Finding::ALL.iter().position(|f| *f == Finding::Effusion);
        assert_eq!(facts[16 + effusion.unwrap()], 1.0);
        assert_eq!(facts[16..].iter().sum::<f32>(), 1.0);
    }
}
