//! The layout in which Stable Diffusion 1.x and 2.x were published: one file with
//! `model.diffusion_model.*`, `first_stage_model.*` and `cond_stage_model.*`
//! (CompVis/stable-diffusion, Stability-AI/stablediffusion), and its tensors' names in diffusers'
//! words.
//!
//! The networks are the same; blocks are counted through (`input_blocks.4`) where diffusers counts
//! levels and resnets, and OpenCLIP keeps queries, keys and values in one matrix.

mod layout;

use super::{
    formats,
    tensors::{Place, Places},
};
use crate::{Error, Result};
use layout::{CLIP, Layout, Named, OPEN_CLIP, UNET, VAE};
use std::path::Path;

/// Layers of OpenCLIP-H. SD 2.x takes what the last but one gives (`FrozenOpenCLIPEmbedder`,
/// `layer="penultimate"`), so that the last is of no use: diffusers' models have 23, and converters
/// from them write 23.
const OPEN_CLIP_LAYERS: usize = 24;

/// Whether a file's text encoder is OpenCLIP's (SD 2.x), and where the tensors of its model are.
/// `layers` is what a config says of the text encoder.
pub(super) fn places(path: &Path, layers: Option<usize>) -> Result<(bool, Places)> {
    let tensors = formats::tensors(path, 0)?;
    let mut layout = Layout::of(tensors.iter().map(|place| &place.name[..]));
    for (prefix, what) in [(UNET, "U-Net"), (VAE, "autoencoder")] {
        if !tensors.iter().any(|place| place.name.starts_with(prefix)) {
            return Err(unusable(path, &format!("it has no {what} ({prefix}*)")));
        }
    }
    let has = |prefix| tensors.iter().any(|place| place.name.starts_with(prefix));
    let open_clip = has(OPEN_CLIP);
    if open_clip {
        layout.layers = used_layers(layout.layers, layers)
            .map_err(|why| Error::config(path.display().to_string(), why))?;
    }
    if !has(CLIP) && !has(OPEN_CLIP) {
        return Err(unusable(
            path,
            "it has no text encoder of SD 1.x or 2.x (cond_stage_model.*)",
        ));
    }
    let mut places = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        match layout.names(&tensor.name) {
            None => {}
            Some(Named::Unknown) => return Err(Error::UnknownTensor { name: tensor.name }),
            Some(Named::One(name)) => places.push(whole(name, tensor)),
            Some(Named::Stacked(names)) => {
                let rows = tensor.shape.first().copied().unwrap_or(0) / names.len();
                for (i, name) in names.into_iter().enumerate() {
                    let part = whole(name, tensor.clone());
                    places.push(part.rows(i * rows..(i + 1) * rows));
                }
            }
        }
    }
    Ok((open_clip, Places::new(vec![path.into()], places)?))
}

/// How many of the layers in a file are used, counted from the first.
///
/// # Errors
/// Why that cannot be known: a layer too few or too many gives a model that draws, and draws
/// something else.
fn used_layers(found: usize, configured: Option<usize>) -> Result<usize, String> {
    match configured {
        Some(used) if found == used || found == used + 1 => Ok(used),
        Some(used) => Err(format!(
            "its text encoder has {found} layers where text_encoder/config.json says {used}"
        )),
        None if [OPEN_CLIP_LAYERS - 1, OPEN_CLIP_LAYERS].contains(&found) => {
            Ok(OPEN_CLIP_LAYERS - 1)
        }
        None => Err(format!(
            "its text encoder has {found} layers, where Stable Diffusion 2.x has {OPEN_CLIP_LAYERS} and uses all but the last; put \
             the model's text_encoder/config.json beside the tokenizer to say how many are used"
        )),
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::config(
        path.display().to_string(),
        format!(
            "{why}; what can be imported is Stable Diffusion 1.x and 2.x in its original layout, or a diffusers folder"
        ),
    )
}

fn whole(name: String, tensor: Place) -> Place {
    let mut place = tensor.named(name);
    // The autoencoder's attention is made of 1x1 convolutions here and of the same matrices in
    // diffusers.
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
