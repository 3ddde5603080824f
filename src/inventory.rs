//! Whether configs and weights can belong together, asked before a network is built: a config of a
//! few bytes can describe layers without end. Both the manifest of a bundle and the folder of a
//! checkpoint ask here.

use crate::{
    components::ComponentConfigs,
    embeddings::CLIPTextConfig,
    image::{AutoencoderConfig, AutoencoderDCConfig, AutoencoderKLConfig, AutoencoderTinyConfig},
    latents::{UNet2DConditionConfig, unet::values::block_type},
    limits::{CONFIG_NUMBER, LEVELS},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// Fewest tensors of a residual block (two normalisations, two convolutions, each with a bias), of
/// a transformer block (two attentions, three normalisations, a feed-forward network), of a layer
/// of CLIP (four projections, two of each other part), and of a residual block of `AutoencoderDC`
/// (two convolutions, one of them with a bias, and a normalisation) or of `AutoencoderTiny` (three
/// convolutions with their biases).
const RESNET: u64 = 8;
const TRANSFORMER: u64 = 20;
const CLIP_LAYER: u64 = 16;
const DC_BLOCK: u64 = 4;
const TINY_BLOCK: u64 = 6;

/// # Errors
/// The config and what is wrong with it: numbers that no model has, or more layers than there are
/// tensors for.
pub(crate) fn check<'a>(
    configs: &ComponentConfigs,
    tensors: impl Iterator<Item = &'a str>,
) -> Result<(), (&'static str, String)> {
    let (text, unet, vae) = (&configs.text_encoder, &configs.unet, &configs.vae);
    let mut there = [
        ("text_encoder", 0u64),
        ("unet", 0),
        ("vae", 0),
        ("reader", 0),
    ];
    for name in tensors {
        let component = name.split('.').next();
        if let Some((_, count)) = there.iter_mut().find(|(c, _)| Some(*c) == component) {
            *count += 1;
        }
    }
    // Keys that this crate has no code for may have any number.
    let unet_numbers = UNet2DConditionConfig {
        other: Map::new(),
        ..unet.clone()
    };
    let mut vae_numbers = vae.clone();
    match &mut vae_numbers {
        AutoencoderConfig::KL(config) => config.other = Map::new(),
        AutoencoderConfig::DC(config) => config.other = Map::new(),
        AutoencoderConfig::Tiny(config) => config.other = Map::new(),
    }
    let numbers = [
        numbers(text),
        numbers(&unet_numbers),
        numbers(&vae_numbers),
        numbers(&configs.reader),
    ];
    let least_of_vae = match vae {
        AutoencoderConfig::KL(config) => least_of_kl(config),
        AutoencoderConfig::DC(config) => least_of_dc(config),
        AutoencoderConfig::Tiny(config) => least_of_tiny(config),
    };
    let reader = configs.reader.as_ref();
    let least_of_reader = reader.map_or(0, |reader| reader.model.least_tensors());
    let least = [
        least_of_text(text),
        least_of_unet(unet),
        least_of_vae,
        least_of_reader,
    ];
    for (((component, there), least), numbers) in there.into_iter().zip(least).zip(numbers) {
        numbers.map_err(|why| (component, why))?;
        if least > there {
            let why = format!(
                "it describes a network of at least {least} tensors, and the weights have {there}; they do not belong together"
            );
            return Err((component, why));
        }
    }
    Ok(())
}

/// # Errors
/// The key whose number no model has.
fn numbers(config: &impl Serialize) -> Result<(), String> {
    fn walk(key: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Object(map) => map.iter().try_for_each(|(key, value)| walk(key, value)),
            Value::Array(list) => list.iter().try_for_each(|value| walk(key, value)),
            Value::Number(n) if n.as_u64().is_some_and(|n| n > CONFIG_NUMBER) => Err(format!(
                "{key} is {n}, and no model has more than {CONFIG_NUMBER}"
            )),
            _ => Ok(()),
        }
    }
    let value = serde_json::to_value(config).map_err(|e| e.to_string())?;
    walk("", &value)
}

fn least_of_text(config: &CLIPTextConfig) -> u64 {
    (config.num_hidden_layers as u64).saturating_mul(CLIP_LAYER)
}

fn least_of_unet(config: &UNet2DConditionConfig) -> u64 {
    let levels = config.block_out_channels.len().min(LEVELS);
    // What does not fit its levels is refused with the config, before anything is built.
    let each = |list: Result<Vec<usize>, _>| list.unwrap_or_default().into_iter().map(|n| n as u64);
    let layers = each(config.layers_per_block.resolve("layers_per_block", levels));
    let depths = each(
        config
            .transformer_layers_per_block
            .resolve("transformer_layers_per_block", levels),
    );
    let kinds = config.down_block_types.iter().map(|kind| block_type(kind));
    layers
        .zip(depths)
        .zip(kinds)
        .map(|((layers, depth), kind)| {
            let transformers = match kind {
                "CrossAttnDownBlock2D" => layers.saturating_mul(depth),
                _ => 0,
            };
            let blocks = layers.saturating_mul(2 * RESNET); // down and up
            blocks.saturating_add(transformers.saturating_mul(TRANSFORMER))
        })
        .fold(0, u64::saturating_add)
}

fn least_of_kl(config: &AutoencoderKLConfig) -> u64 {
    let levels = config.block_out_channels.len().min(LEVELS) as u64;
    let resnets = levels.saturating_mul(config.layers_per_block as u64);
    resnets.saturating_mul(2 * RESNET) // encoder and decoder
}

fn least_of_dc(config: &AutoencoderDCConfig) -> u64 {
    let encoder = total(&config.encoder_layers_per_block);
    let decoder = total(&config.decoder_layers_per_block);
    encoder.saturating_add(decoder).saturating_mul(DC_BLOCK)
}

fn least_of_tiny(config: &AutoencoderTinyConfig) -> u64 {
    let (encoder, decoder) = (
        total(&config.num_encoder_blocks),
        total(&config.num_decoder_blocks),
    );
    encoder.saturating_add(decoder).saturating_mul(TINY_BLOCK)
}

fn total(numbers: &[usize]) -> u64 {
    let numbers = numbers.iter().map(|n| *n as u64);
    numbers.fold(0, u64::saturating_add)
}
