//! diffusers' configurations of an original Stable Diffusion file, from its tensors' shapes and the
//! family's habits.
//!
//! Shapes say all but four things. Heads, normalisation groups and the latents' scale have been the
//! same in every SD 1.x and every SD 2.x (diffusers:
//! `scripts/convert_original_stable_diffusion_to_diffusers.py`); whether an SD 2.x predicts noise
//! or v has to be told.

use super::tensors::{Places, Shapes};
use crate::{
    Error, Result,
    components::ComponentConfigs,
    embeddings::{CLIPTextConfig, HiddenAct},
    image::AutoencoderKLConfig,
    latents::{UNet2DConditionConfig, scheduler::SchedulerConfig, unet::values::PerLevel},
};
use serde_json::json;

/// Channels of an attention head in SD 2.x and in both text encoders; SD 1.x has eight heads at
/// every level.
const HEAD: usize = 64;
const SD1_HEADS: usize = 8;

/// Latent height and width of the models that predict noise (512 pixels) and of those that predict
/// v (768).
const EPSILON_SIZE: usize = 64;
const V_SIZE: usize = 96;

/// What the networks of these shapes are configured as.
///
/// # Errors
/// [`Error::MissingTensor`] for a tensor whose shape is needed.
pub(super) fn configs(places: &Places, open_clip: bool, v: bool) -> Result<ComponentConfigs> {
    let shapes = &places.shapes();
    Ok(ComponentConfigs {
        text_encoder: text_encoder(shapes, open_clip)?,
        unet: unet(shapes, v)?,
        vae: vae(shapes)?.into(),
        scheduler: scheduler(v)?,
        reader: None,
    })
}

/// One size of a tensor.
fn size(shapes: &Shapes, name: &str, axis: usize) -> Result<usize> {
    let missing = || Error::MissingTensor { name: name.into() };
    shapes
        .get(name)
        .and_then(|shape| shape.get(axis))
        .copied()
        .ok_or_else(missing)
}

/// How many of `0, 1, 2, ...` a tensor's name can have where `#` stands.
fn count(shapes: &Shapes, name: &str) -> usize {
    let has = |i: &usize| shapes.contains_key(name.replacen('#', &i.to_string(), 1).as_str());
    (0..).take_while(has).count()
}

fn text_encoder(shapes: &Shapes, open_clip: bool) -> Result<CLIPTextConfig> {
    let table = "text_encoder.embeddings.token_embedding.weight";
    let hidden_size = size(shapes, table, 1)?;
    Ok(CLIPTextConfig {
        vocab_size: size(shapes, table, 0)?,
        hidden_size,
        intermediate_size: size(shapes, "text_encoder.encoder.layers.0.mlp.fc1.weight", 0)?,
        num_hidden_layers: count(shapes, "text_encoder.encoder.layers.#.mlp.fc1.weight"),
        num_attention_heads: (hidden_size / HEAD).max(1),
        max_position_embeddings: size(
            shapes,
            "text_encoder.embeddings.position_embedding.weight",
            0,
        )?,
        hidden_act: if open_clip {
            HiddenAct::Gelu
        } else {
            HiddenAct::QuickGelu
        },
        layer_norm_eps: 1e-5,
    })
}

fn unet(shapes: &Shapes, v: bool) -> Result<UNet2DConditionConfig> {
    let levels = count(shapes, "unet.down_blocks.#.resnets.0.conv1.weight");
    let channels = (0..levels)
        .map(|i| {
            size(
                shapes,
                &format!("unet.down_blocks.{i}.resnets.0.conv1.weight"),
                0,
            )
        })
        .collect::<Result<Vec<_>>>()?;
    let attends = |block: &str| {
        shapes.contains_key(format!("unet.{block}.attentions.0.norm.weight").as_str())
    };
    let kind = |block: String, with: &str, without: &str| {
        if attends(&block) {
            with.to_owned()
        } else {
            without.to_owned()
        }
    };
    let down_block_types = (0..levels).map(|i| {
        kind(
            format!("down_blocks.{i}"),
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        )
    });
    let up_block_types =
        (0..levels).map(|i| kind(format!("up_blocks.{i}"), "CrossAttnUpBlock2D", "UpBlock2D"));
    let mid = "unet.mid_block.attentions.0";
    let use_linear_projection = shapes
        .get(format!("{mid}.proj_in.weight").as_str())
        .is_some_and(|shape| shape.len() == 2);
    let cross = format!("{mid}.transformer_blocks.0.attn2.to_k.weight");
    Ok(UNet2DConditionConfig {
        sample_size: Some(if v { V_SIZE } else { EPSILON_SIZE }.into()),
        in_channels: size(shapes, "unet.conv_in.weight", 1)?,
        out_channels: size(shapes, "unet.conv_out.weight", 0)?,
        down_block_types: down_block_types.collect(),
        up_block_types: up_block_types.collect(),
        layers_per_block: PerLevel::All(count(shapes, "unet.down_blocks.0.resnets.#.conv1.weight")),
        cross_attention_dim: PerLevel::All(size(shapes, &cross, 1)?),
        attention_head_dim: if use_linear_projection {
            PerLevel::Each(channels.iter().map(|c| (c / HEAD).max(1)).collect())
        } else {
            PerLevel::All(SD1_HEADS)
        },
        transformer_layers_per_block: PerLevel::All(count(
            shapes,
            &format!("{mid}.transformer_blocks.#.norm1.weight"),
        )),
        block_out_channels: channels,
        use_linear_projection,
        ..UNet2DConditionConfig::default()
    })
}

fn vae(shapes: &Shapes) -> Result<AutoencoderKLConfig> {
    let levels = count(shapes, "vae.encoder.down_blocks.#.resnets.0.conv1.weight");
    let block_out_channels = (0..levels)
        .map(|i| {
            size(
                shapes,
                &format!("vae.encoder.down_blocks.{i}.resnets.0.conv1.weight"),
                0,
            )
        })
        .collect::<Result<Vec<_>>>()?;
    let has = |name| shapes.contains_key(name);
    Ok(AutoencoderKLConfig {
        in_channels: size(shapes, "vae.encoder.conv_in.weight", 1)?,
        out_channels: size(shapes, "vae.decoder.conv_out.weight", 0)?,
        down_block_types: vec!["DownEncoderBlock2D".into(); levels],
        up_block_types: vec!["UpDecoderBlock2D".into(); levels],
        block_out_channels,
        layers_per_block: count(shapes, "vae.encoder.down_blocks.0.resnets.#.conv1.weight"),
        latent_channels: size(shapes, "vae.decoder.conv_in.weight", 1)?,
        sample_size: 512.into(),
        use_quant_conv: has("vae.quant_conv.weight"),
        use_post_quant_conv: has("vae.post_quant_conv.weight"),
        mid_block_add_attention: has("vae.decoder.mid_block.attentions.0.to_q.weight"),
        ..AutoencoderKLConfig::default()
    })
}

/// `scheduler_config.json` of runwayml/stable-diffusion-v1-5 and
/// stabilityai/stable-diffusion-2-1-base.
fn scheduler(v: bool) -> Result<SchedulerConfig> {
    let config = json!({
        "_class_name": "PNDMScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": false,
        "num_train_timesteps": 1000,
        "prediction_type": if v { "v_prediction" } else { "epsilon" },
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "trained_betas": null,
    });
    SchedulerConfig::parse(config.to_string().as_bytes())
}
