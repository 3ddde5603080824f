//! What a tensor of a LoRA is, by its name in the formats of diffusers, kohya and PEFT.

/// One tensor of a LoRA.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    /// The layer that it changes, `unet_down_blocks_0_attentions_0_proj_in`: its path in the model
    /// with `_` for `.`. Without the component where the file does not name it.
    pub module: String,
    pub part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// `A`, the first of the two matrices.
    Down,
    /// `B`, the second.
    Up,
    /// The number that the change is multiplied with, before it is divided by the rank.
    Alpha,
}

/// Ends of names: diffusers today and PEFT, kohya, diffusers before PEFT for the U-Net, for the
/// text encoder, and for attention.
const ENDS: [(&str, Part); 11] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    ("_lora.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    (".alpha", Part::Alpha),
];

/// Words of other adapters, and what they are called.
const OTHERS: [(&str, &str); 8] = [
    ("dora_scale", "a DoRA"),
    ("lora_magnitude_vector", "a DoRA"),
    (".hada_", "a LoHa"),
    (".lokr_", "a LoKr"),
    (
        ".lora_mid",
        "a LoRA with a third matrix (LyCORIS' Tucker form)",
    ),
    (".oft_", "an OFT"),
    ("lora_te2_", "a LoRA of Stable Diffusion XL"),
    ("text_encoder_2.", "a LoRA of Stable Diffusion XL"),
];

/// # Errors
/// What the file is instead, or the name that is not known.
pub(super) fn read(key: &str) -> Result<Key, String> {
    if let Some((_, what)) = OTHERS.iter().find(|(word, _)| key.contains(word)) {
        return Err(format!(
            "it is {what}, and only LoRAs of Stable Diffusion 1.x and 2.x are read"
        ));
    }
    // PEFT can put the adapter's name before the last word.
    let plain = key.replace(".default.weight", ".weight");
    let known = ENDS
        .iter()
        .find_map(|(end, part)| Some((plain.strip_suffix(end)?, *part)));
    let (module, part) =
        known.ok_or_else(|| format!("it holds {key}, which is not the name of a LoRA's tensor"))?;
    let module = module.strip_prefix("base_model.model.").unwrap_or(module);
    let module = module.replace(".processor.", ".").replace('.', "_");
    let starts = [
        ("lora_unet_", "unet_"),
        ("lora_te1_", "text_encoder_"),
        ("lora_te_", "text_encoder_"),
        ("unet_", "unet_"),
        ("text_encoder_", "text_encoder_"),
    ];
    let component = starts
        .iter()
        .find_map(|(start, component)| Some((*component, module.strip_prefix(start)?)));
    let module = match component {
        Some(("unet_", rest)) => format!("unet_{}", attention(rest, false)),
        Some((component, rest)) => {
            let rest = rest.strip_prefix("text_model_").unwrap_or(rest);
            format!("{component}{}", attention(rest, true))
        }
        None => module
            .strip_prefix("text_model_")
            .unwrap_or(&module)
            .to_owned(),
    };
    Ok(Key { module, part })
}

/// Today's name of a projection of attention, which diffusers once called the same in both
/// networks.
fn attention(module: &str, text: bool) -> String {
    let names = [
        ("_to_q", "_q_proj"),
        ("_to_k", "_k_proj"),
        ("_to_v", "_v_proj"),
        ("_to_out", "_out_proj"),
    ];
    let old = names.iter().find(|(old, _)| module.ends_with(old));
    match (old, text) {
        (Some((old, new)), true) => format!("{}{new}", &module[..module.len() - old.len()]),
        (Some(("_to_out", _)), false) => format!("{module}_0"),
        _ => module.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_name_the_same_layers() {
        let query = "unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
        let out = "unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0";
        let text = "text_encoder_encoder_layers_1_self_attn_q_proj";
        let text_out = "text_encoder_encoder_layers_1_self_attn_out_proj";
        for (key, module, part) in [
            (
                "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
                query,
                Part::Down,
            ),
            (
                "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
                query,
                Part::Up,
            ),
            (
                "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
                query,
                Part::Down,
            ),
            (
                "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.alpha",
                query,
                Part::Alpha,
            ),
            (
                "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.lora_B.weight",
                out,
                Part::Up,
            ),
            (
                "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.down.weight",
                out,
                Part::Down,
            ),
            (
                "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0.lora_up.weight",
                out,
                Part::Up,
            ),
            (
                "text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_A.weight",
                text,
                Part::Down,
            ),
            (
                "text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora.up.weight",
                text,
                Part::Up,
            ),
            (
                "text_encoder.encoder.layers.1.self_attn.q_proj.lora_linear_layer.down.weight",
                text,
                Part::Down,
            ),
            (
                "lora_te_text_model_encoder_layers_1_self_attn_q_proj.lora_up.weight",
                text,
                Part::Up,
            ),
            (
                "lora_te1_text_model_encoder_layers_1_self_attn_out_proj.alpha",
                text_out,
                Part::Alpha,
            ),
            (
                "text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.down.weight",
                text_out,
                Part::Down,
            ),
            (
                "base_model.model.conv_in.lora_A.default.weight",
                "conv_in",
                Part::Down,
            ),
            (
                "base_model.model.text_model.encoder.layers.1.mlp.fc1.lora_B.weight",
                "encoder_layers_1_mlp_fc1",
                Part::Up,
            ),
            (
                "unet.down_blocks.0.resnets.0.conv1.lora.down.weight",
                "unet_down_blocks_0_resnets_0_conv1",
                Part::Down,
            ),
        ] {
            let module = module.to_owned();
            assert_eq!(read(key), Ok(Key { module, part }), "{key}");
        }
    }

    #[test]
    fn other_adapters_are_named() {
        for (key, word) in [
            ("lora_unet_x.dora_scale", "DoRA"),
            ("lora_unet_x.hada_w1_a", "LoHa"),
            ("lora_te2_text_model_x.lora_down.weight", "XL"),
            ("unet.conv_in.weight", "not the name"),
            ("unet.conv_in.lora_B.bias", "not the name"),
        ] {
            let why = read(key).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
