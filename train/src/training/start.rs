//! Where a training starts: at random, or from the weights of a model that is already there.

use std::path::Path;

use burn::module::Module;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::{self, Weights};

/// `module` with every weight of the model in `folder` (a bundle or a diffusers checkpoint) whose name and shape agree;
/// the others keep their random start, and their number is printed, so that a change of width is seen.
///
/// # Errors
/// As [`ModelFolder::open`] and [`ModelFolder::weights`].
pub fn from<M: Module>(module: M, folder: &Path) -> Result<M> {
    let mut found = Weights::new();
    for part in ModelFolder::open(folder)?.weights() {
        found.extend(part?);
    }
    take(module, found, folder)
}

/// `module` with those of the weights `found` in `source` whose name and shape agree; prints their number.
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

/// Writes the tokenizer of the model in `folder` to `dir/tokenizer.json`: token embeddings mean nothing with another.
///
/// # Errors
/// As [`ModelFolder::open`], and [`Error::Io`].
pub fn tokenizer(folder: &Path, dir: &Path) -> Result<()> {
    save_tokenizer(&ModelFolder::open(folder)?.tokenizer, dir)
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
