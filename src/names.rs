//! One file of a diffusers checkpoint -> Weights, with the names that diffusers has for its tensors
//! today.
//!
//! Published checkpoints hold three older conventions, which transformers and diffusers translate
//! on loading, and so does this: transformers before 5 wrote `text_model.` before every name of the
//! text encoder; some files hold the buffer `position_ids` beside the weights; and the attention of
//! the autoencoders of Stable Diffusion 1 and 2 is called `query`, `key`, `value`, `proj_attn`
//! (`diffusers/models/modeling_utils.py`, `_convert_deprecated_attention_blocks`).

use safetensors::SafeTensors;

use crate::bundle::decode_plain;
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use crate::weights::Weights;

/// The tensors of one safetensors file of `component` (`text_encoder`, `unet` or `vae`), as
/// `{component}.{name}`. `file` is its name for messages.
///
/// # Errors
/// [`Error::Safetensors`] if it is no safetensors file, [`Error::TensorType`] or
/// [`Error::NotFinite`] naming a tensor that cannot be used, [`Error::DuplicateTensor`] if two of
/// its names are the same one.
pub fn read_safetensors(component: &str, file: &str, bytes: &[u8]) -> Result<Weights> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| Error::Safetensors {
        file: file.into(),
        why: e.to_string(),
    })?;
    let mut weights = Weights::new();
    for (key, view) in tensors.iter() {
        let Some(name) = current_name(component, key) else {
            continue;
        };
        let name = format!("{component}.{name}");
        let weight = HostTensor {
            shape: view.shape().to_vec(),
            data: decode_plain(&name, &view)?,
        };
        if weights.insert(name.clone(), weight).is_some() {
            return Err(Error::DuplicateTensor { name });
        }
    }
    Ok(weights)
}

/// What a whole CLIP, or one with its projection, has beside the text encoder; transformers'
/// `CLIPTextModel` leaves it out.
const NOT_TEXT: [&str; 4] = [
    "text_projection",
    "visual_projection",
    "logit_scale",
    "vision_model",
];

/// Today's name of a tensor, without the component; `None` for a buffer that is no weight, and for
/// what is not of the component.
pub(crate) fn current_name(component: &str, key: &str) -> Option<String> {
    match component {
        "text_encoder" => {
            let name = key.strip_prefix("text_model.").unwrap_or(key);
            let used = name != "embeddings.position_ids"
                && !NOT_TEXT
                    .iter()
                    .any(|part| name.split('.').next() == Some(part));
            used.then(|| name.into())
        }
        "vae" if key.contains(".attentions.") => {
            let (module, parameter) = key.rsplit_once('.')?;
            let (path, projection) = module.rsplit_once('.')?;
            let today = match projection {
                "query" => "to_q",
                "key" => "to_k",
                "value" => "to_v",
                "proj_attn" => "to_out.0",
                _ => return Some(key.into()),
            };
            Some(format!("{path}.{today}.{parameter}"))
        }
        _ => Some(key.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_become_todays() {
        for (component, key, name) in [
            (
                "text_encoder",
                "text_model.final_layer_norm.bias",
                Some("final_layer_norm.bias"),
            ),
            (
                "text_encoder",
                "final_layer_norm.bias",
                Some("final_layer_norm.bias"),
            ),
            ("text_encoder", "text_model.embeddings.position_ids", None),
            (
                "vae",
                "decoder.mid_block.attentions.0.query.weight",
                Some("decoder.mid_block.attentions.0.to_q.weight"),
            ),
            (
                "vae",
                "decoder.mid_block.attentions.0.proj_attn.bias",
                Some("decoder.mid_block.attentions.0.to_out.0.bias"),
            ),
            (
                "vae",
                "decoder.mid_block.attentions.0.to_out.0.bias",
                Some("decoder.mid_block.attentions.0.to_out.0.bias"),
            ),
            (
                "vae",
                "decoder.mid_block.attentions.0.group_norm.bias",
                Some("decoder.mid_block.attentions.0.group_norm.bias"),
            ),
            (
                "unet",
                "mid_block.attentions.0.key.weight",
                Some("mid_block.attentions.0.key.weight"),
            ),
        ] {
            assert_eq!(current_name(component, key).as_deref(), name, "{key}");
        }
    }

    #[test]
    fn a_tensor_under_two_names_is_an_error() {
        let (shape, data) = (vec![1], 1f32.to_le_bytes());
        let view = || {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), &data)
                .unwrap()
        };
        let both = [("text_model.x", view()), ("x", view())];
        let bytes = safetensors::serialize(both, None).unwrap();
        let error = read_safetensors("text_encoder", "model.safetensors", &bytes).unwrap_err();
        assert_eq!(error.code(), "duplicate-tensor");
        let error = read_safetensors("unet", "u.safetensors", &bytes[..9]).unwrap_err();
        assert!(error.to_string().contains("u.safetensors"), "{error}");
    }
}
