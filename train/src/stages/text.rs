//! Teaching the text encoder what prompts say, before the U-Net learns from it.
//!
//! A causal encoder that only ever sees the denoising loss carries the words with large effects
//! (view, child) to the padding that follows a prompt, which is two thirds of what cross-attention
//! reads, and leaves the small ones (findings) at their own token. Here a linear head has to tell
//! from the padding alone what the prompt said; the head is thrown away.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use rand::RngExt;
use roentgen_web::embeddings::CLIPTextModel;
use roentgen_web::error::{Error, Result};
use roentgen_web::tokens::ClipTokenizer;

use crate::data::draw::Draw;
use crate::data::prompts;
use crate::data::prompts::facts::{self, FACTS};
use crate::data::record::Record;
use crate::training::loss::binary_cross_entropy;
use crate::training::random::step_rng;
use crate::training::replicas::share;
use crate::training::run::{Run, RunFolder, TextRun};
use crate::training::start;
use crate::training::trainer::Trainer;

/// Text encoder and head.
#[derive(Module, Debug)]
pub struct TextToFacts {
    /// The part that stays.
    pub text_encoder: CLIPTextModel,
    /// Mean state of the padding to [`FACTS`] logits.
    pub head: Linear,
}

/// Trains the text encoder of `run` into `folder/text`; [`crate::stages::diffusion::train`] starts
/// from it.
///
/// # Errors
/// As [`Trainer::step`]; [`Error::Config`] without a record whose prompt is made of facts.
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
    // What clinicians wrote says more than the facts know of.
    let records: Vec<&Record> = records.iter().filter(|r| r.text.is_empty()).collect();
    if records.is_empty() {
        return Err(Error::config(
            "[text]",
            "no record's prompt is made of facts; leave the table out",
        ));
    }
    let draw = Draw::new(records.iter().copied().map(Some));
    let mut trainer = Trainer::new(networks, text.optimization.clone(), folder.path("text"))?;
    let (n, length) = (trainer.share(), tokenizer.model_max_length());
    while !trainer.is_done() {
        let mut rng = step_rng(run.seed, trainer.step);
        let (mut ids, mut facts) = (vec![], vec![]);
        for _ in 0..text.optimization.batch_size {
            let record = records[draw.index(&mut rng)];
            let (said, prompt) = prompts::say(record, rng.random());
            let tokens = tokenizer.encode(&prompt)?;
            ids.extend(tokens.ids.iter().map(|&id| id as i32));
            facts.extend(facts::facts(&said).map(f32::from));
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
