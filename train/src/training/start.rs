//! Where a training starts: at random, or from the weights of a model that is already there.

use std::path::Path;

use burn::module::Module;
use roentgen_web::checkpoint::Components;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::{self, Weights};

use crate::training::ema;
use crate::training::run::{Run, RunFolder};
use crate::training::trainer::ema_path;

/// `module` with every weight of the model in `folder` ([`Components`]) whose name and shape agree;
/// the others keep their random start, and their number is printed, so that a change of width is
/// seen.
///
/// # Errors
/// As [`Components::open`].
pub fn from<M: Module>(module: M, folder: &Path) -> Result<M> {
    take(module, Components::open(folder)?.weights, folder)
}

/// `module` with those of the weights `found` in `source` whose name and shape agree; prints their
/// number.
///
/// # Errors
/// None that a module's own weights could cause.
pub fn take<M: Module>(module: M, found: Weights, source: &Path) -> Result<M> {
    let mut start: Weights = weights::collect(&module);
    let total = start.len();
    let mut taken = 0;
    for (name, weight) in found {
        match start.get_mut(&name) {
            Some(ours) if ours.shape == weight.shape => {
                *ours = weight;
                taken += 1;
            }
            _ => {}
        }
    }
    println!(
        "{taken} of {total} tensors start from {}, the others as they were",
        source.display()
    );
    weights::load(module, start)
}

/// The weights of `component` (`vae`, `text_encoder`, `unet`) that a run has so far: the averaged
/// ones of the first of `trainings` that has a checkpoint in its folder, or else those of the model
/// that the run starts from. None if there are none.
///
/// # Errors
/// As [`ema::open`] and [`Components::open`].
pub fn component(
    run: &Run,
    folder: &RunFolder,
    component: &str,
    trainings: &[&str],
) -> Result<Option<Weights>> {
    let paths = trainings.iter().map(|name| ema_path(&folder.path(name)));
    let mut weights = match (paths.into_iter().find(|path| path.exists()), &run.init) {
        (Some(path), _) => ema::open(&path)?,
        (None, Some(init)) => Components::open(init)?.weights,
        (None, None) => return Ok(None),
    };
    weights.retain(|name, _| {
        let rest = name.strip_prefix(component);
        rest.is_some_and(|rest| rest.starts_with('.'))
    });
    Ok((!weights.is_empty()).then_some(weights))
}

/// Writes a tokenizer to `dir/tokenizer.json`.
///
/// # Errors
/// [`Error::Tokenizer`] if it cannot be written as JSON, [`Error::Io`].
pub fn save_tokenizer(tokenizer: &ClipTokenizer, dir: &Path) -> Result<()> {
    let json = tokenizer.to_json()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let path = dir.join("tokenizer.json");
    files::replace(&path, json)
}
