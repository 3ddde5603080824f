//! Weight files of a diffusers checkpoint: which there are, and what of them belongs to the model.

use super::{formats, tensors::Places};
use crate::{Error, Result, bundle::check_file_name, names::current_name};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The components that have weights.
pub(super) const COMPONENTS: [&str; 3] = ["text_encoder", "unet", "vae"];

/// Names that `save_pretrained` gives weights, by preference: safetensors first, full precision
/// first, whole before sharded. The fourth and fifth are the index of a half-precision variant as
/// diffusers and as transformers name it.
const NAMES: [(&str, bool); 7] = [
    (".safetensors", false),
    (".safetensors.index.json", true),
    (".fp16.safetensors", false),
    (".safetensors.index.fp16.json", true),
    (".fp16.safetensors.index.json", true),
    (".bin", false),
    (".bin.index.json", true),
];

/// What diffusers and transformers call the weights, before the ends of [`NAMES`].
const STEMS: [&str; 3] = ["diffusion_pytorch_model", "model", "pytorch_model"];

/// Ends of file names that may be weights, for the advice to rename them.
const WEIGHTS: [&str; 6] = ["safetensors", "bin", "ckpt", "pt", "pth", "gguf"];

/// Where the tensors of a checkpoint are, and what of its files no part of Stable Diffusion reads,
/// in words.
///
/// # Errors
/// [`Error::ModelFolder`] for a component without weights; those of [`formats::tensors`];
/// [`Error::DuplicateTensor`].
pub(super) fn places(dir: &Path) -> Result<(Places, Vec<String>)> {
    let (mut all, mut notes) = (Places::default(), Vec::new());
    for component in COMPONENTS {
        let (places, note) = of_component(&dir.join(component), component)?;
        all = all.and(places)?;
        notes.extend(note);
    }
    Ok((all, notes))
}

/// As [`places`], of one component that lies in a folder.
///
/// # Errors
/// As [`places`].
pub(super) fn of_component(
    folder: &Path,
    component: &'static str,
) -> Result<(Places, Option<String>)> {
    let (mut files, mut places) = (Vec::new(), Vec::new());
    let mut left_out = BTreeMap::<String, usize>::new();
    for path in weight_files(folder, component)? {
        for place in formats::tensors(&path, files.len())? {
            match current_name(component, &place.name) {
                Some(name) => places.push(place.named(format!("{component}.{name}"))),
                None => *left_out.entry(part(&place.name)).or_default() += 1,
            }
        }
        files.push(path);
    }
    left_out.remove("text_model"); // the buffer `position_ids`, which is no weight
    left_out.remove("embeddings");
    let count: usize = left_out.values().sum();
    let parts: Vec<String> = left_out.into_keys().collect();
    let note = (count > 0 && !parts.is_empty()).then(|| {
        format!(
            "{count} tensors of {component} that Stable Diffusion does not read were left out: {}",
            parts.join(", ")
        )
    });
    Ok((Places::new(files, places)?, note))
}

/// The first word of a tensor's name.
fn part(name: &str) -> String {
    name.split('.').next().unwrap_or(name).to_owned()
}

/// The weight files of a component: one, or those that its index names.
fn weight_files(folder: &Path, component: &str) -> Result<Vec<PathBuf>> {
    for (suffix, index) in NAMES {
        for stem in STEMS {
            let path = folder.join(format!("{stem}{suffix}"));
            if !path.is_file() {
                continue;
            }
            return if index {
                Ok(shards(&path)?.iter().map(|n| folder.join(n)).collect())
            } else {
                Ok(vec![path])
            };
        }
    }
    let expected = match component {
        "text_encoder" => "model.safetensors",
        _ => "diffusion_pytorch_model.safetensors",
    };
    let others: Vec<String> = other_weights(folder);
    let why = match &others[..] {
        [] => format!("{component} has no weights ({component}/{expected})"),
        [one] => format!(
            "the weights of {component} are called {one}, where diffusers looks for {expected}; rename the file"
        ),
        _ => format!(
            "{component} has no {expected}, but {}; rename the one to be used",
            others.join(", ")
        ),
    };
    Err(Error::model_folder(folder.parent().unwrap_or(folder), why))
}

/// Files of a folder that may be weights under names that nobody looks for.
fn other_weights(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| {
            name.extension()
                .is_some_and(|end| WEIGHTS.iter().any(|known| end.eq_ignore_ascii_case(known)))
        })
        .map(|name| name.display().to_string())
        .collect();
    names.sort();
    names.truncate(5);
    names
}

/// The files that an index names, each once.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = formats::text(index)?.unwrap_or_default();
    let Index { weight_map } = serde_json::from_slice(&bytes).map_err(|e| Error::Json {
        file: index.display().to_string(),
        why: e.to_string(),
    })?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    files.iter().try_for_each(|file| check_file_name(file))?;
    Ok(files)
}
