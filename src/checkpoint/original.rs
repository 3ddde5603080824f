//! The layout in which Stable Diffusion 1.x and 2.x were published: one file with `model.diffusion_model.*`,
//! `first_stage_model.*` and `cond_stage_model.*` (CompVis/stable-diffusion, Stability-AI/stablediffusion), and its
//! tensors' names in diffusers' words.
//!
//! The networks are the same; blocks are counted through (`input_blocks.4`) where diffusers counts levels and resnets, and
//! OpenCLIP keeps queries, keys and values in one matrix.

mod layout;

use super::files::{Place, Places, header};
use crate::{Error, Result};
use layout::{Layout, Named};
use safetensors::tensor::TensorInfo;
use std::path::Path;

const UNET: &str = "model.diffusion_model.";
const VAE: &str = "first_stage_model.";
const CLIP: &str = "cond_stage_model.transformer.";
const OPEN_CLIP: &str = "cond_stage_model.model.";

/// Whether a file's text encoder is OpenCLIP's (SD 2.x), and where the tensors of its model are.
pub(super) fn places(path: &Path) -> Result<(bool, Places)> {
    let (start, tensors) = header(path)?;
    let layout = Layout::of(tensors.iter().map(|(key, _)| key.as_str()));
    for (prefix, what) in [(UNET, "U-Net"), (VAE, "autoencoder")] {
        if !tensors.iter().any(|(key, _)| key.starts_with(prefix)) {
            return Err(unusable(path, &format!("it has no {what} ({prefix}*)")));
        }
    }
    let has = |prefix| tensors.iter().any(|(key, _)| key.starts_with(prefix));
    if !has(CLIP) && !has(OPEN_CLIP) {
        return Err(unusable(
            path,
            "it has no text encoder of SD 1.x or 2.x (cond_stage_model.*)",
        ));
    }
    let mut places = Vec::with_capacity(tensors.len());
    for (key, info) in &tensors {
        match layout.names(key) {
            None => {}
            Some(Named::Unknown) => return Err(Error::UnknownTensor { name: key.clone() }),
            Some(Named::One(name)) => places.push(whole(name, info, start)),
            Some(Named::Stacked(names)) => {
                let rows = info.shape.first().copied().unwrap_or(0) / names.len();
                for (i, name) in names.into_iter().enumerate() {
                    places.push(whole(name, info, start).rows(i * rows..(i + 1) * rows));
                }
            }
        }
    }
    Ok((has(OPEN_CLIP), Places::new(vec![path.into()], places)?))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Config {
        what: path.display().to_string(),
        why: format!(
            "{why}; what can be imported is Stable Diffusion 1.x and 2.x in its original layout, or a diffusers folder"
        ),
    }
}

fn whole(name: String, info: &TensorInfo, start: u64) -> Place {
    let mut place = Place::of(name, info, 0, start);
    // The autoencoder's attention is made of 1x1 convolutions here and of the same matrices in diffusers.
    let matrix = [
        ".to_q.weight",
        ".to_k.weight",
        ".to_v.weight",
        ".to_out.0.weight",
    ];
    if place.shape.len() == 4
        && place.shape[2..] == [1, 1]
        && place.name.starts_with("vae.")
        && matrix.iter().any(|end| place.name.ends_with(end))
    {
        place.shape.truncate(2);
    }
    place
}
