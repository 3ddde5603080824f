//! Folder -> the weights of a model of which some components may be missing.

use super::{ModelFolder, configs, files, tensors::Places};
use crate::{Result, bundle::MANIFEST_FILE, tokens::ClipTokenizer, weights::Weights};
use std::path::Path;

/// What there is of a model.
#[derive(Debug)]
pub struct Components {
    /// Every weight, in this crate's names.
    pub weights: Weights,
    /// None where the folder has no `tokenizer/`.
    pub tokenizer: Option<ClipTokenizer>,
}

impl Components {
    /// Reads a bundle, a diffusers checkpoint, or a folder that has some components of one only,
    /// such as `vae/`.
    ///
    /// # Errors
    /// Those of [`ModelFolder::open`], whose requirement of `scheduler/` and of configs does not
    /// hold here.
    pub fn open(dir: &Path) -> Result<Self> {
        let there = files::COMPONENTS.map(|component| dir.join(component).is_dir());
        if dir.join(MANIFEST_FILE).is_file() || !there.contains(&true) {
            let folder = ModelFolder::open(dir)?;
            let mut weights = Weights::new();
            for part in folder.weights() {
                weights.extend(part?);
            }
            let tokenizer = Some(folder.tokenizer);
            return Ok(Self { weights, tokenizer });
        }
        let mut places = Places::default();
        let there = files::COMPONENTS.into_iter().zip(there);
        for (component, _) in there.filter(|(_, there)| *there) {
            places = places.and(files::of_component(&dir.join(component), component)?.0)?;
        }
        let tokenizer = dir.join("tokenizer").is_dir();
        Ok(Self {
            weights: places.tensors().collect::<Result<_>>()?,
            tokenizer: tokenizer.then(|| configs::tokenizer(dir)).transpose()?,
        })
    }
}
