//! The original layout's names of tensors, in diffusers' words.

use crate::names::current_name;

pub(super) const UNET: &str = "model.diffusion_model.";
pub(super) const VAE: &str = "first_stage_model.";
pub(super) const CLIP: &str = "cond_stage_model.transformer.";
pub(super) const OPEN_CLIP: &str = "cond_stage_model.model.";

/// What a tensor is in diffusers.
#[derive(Debug, PartialEq)]
pub(super) enum Named {
    One(String),
    /// As many tensors, one above the other.
    Stacked(Vec<String>),
    /// In one of the three networks, but no part of it that is known.
    Unknown,
}

/// How a file counts its blocks.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The `input_blocks` that halve the latents.
    downs: Vec<usize>,
    /// The `output_blocks` that double them.
    ups: Vec<usize>,
    /// Levels of the autoencoder.
    levels: usize,
    /// Layers of OpenCLIP's encoder that are used; at first, those that the file has.
    pub(super) layers: usize,
}

impl Layout {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a str>) -> Self {
        let mut layout = Self::default();
        for key in keys {
            if let Some(rest) = key.strip_prefix(UNET) {
                let parts: Vec<&str> = rest.split('.').collect();
                match parts[..] {
                    ["input_blocks", n, "0", "op", "weight"] => {
                        layout.downs.extend(n.parse::<usize>())
                    }
                    ["output_blocks", n, _, "conv", "weight"] => {
                        layout.ups.extend(n.parse::<usize>())
                    }
                    _ => {}
                }
            }
            if let Some((level, _)) = key
                .strip_prefix("first_stage_model.decoder.up.")
                .and_then(|rest| rest.split_once('.'))
            {
                let level: usize = level.parse().unwrap_or(0);
                layout.levels = layout.levels.max(level.saturating_add(1));
            }
            if let Some((layer, _)) = key
                .strip_prefix("cond_stage_model.model.transformer.resblocks.")
                .and_then(|rest| rest.split_once('.'))
            {
                let layer: usize = layer.parse().unwrap_or(0);
                layout.layers = layout.layers.max(layer.saturating_add(1));
            }
        }
        layout.downs.sort_unstable();
        layout.ups.sort_unstable();
        layout
    }

    /// diffusers' names; `None` for what is no weight of the three networks (averages of training,
    /// schedules).
    pub(super) fn names(&self, key: &str) -> Option<Named> {
        let component = |component: &str, name: Option<String>| {
            name.map_or(Named::Unknown, |name| {
                Named::One(format!("{component}.{name}"))
            })
        };
        if let Some(rest) = key.strip_prefix(UNET) {
            return Some(component("unet", self.unet(rest)));
        }
        if let Some(rest) = key.strip_prefix(VAE) {
            let network = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];
            if !network.iter().any(|prefix| rest.starts_with(prefix)) {
                return None; // the discriminator that some trainings left in the file
            }
            return Some(component("vae", self.vae(rest)));
        }
        if let Some(rest) = key.strip_prefix(CLIP) {
            return current_name("text_encoder", rest)
                .map(|name| Named::One(format!("text_encoder.{name}")));
        }
        key.strip_prefix(OPEN_CLIP)
            .and_then(|rest| self.open_clip(rest))
    }

    fn unet(&self, key: &str) -> Option<String> {
        let parts: Vec<&str> = key.split('.').collect();
        let rest = |from: usize| parts[from..].join(".");
        Some(match parts[..] {
            ["time_embed", "0", p] => format!("time_embedding.linear_1.{p}"),
            ["time_embed", "2", p] => format!("time_embedding.linear_2.{p}"),
            ["input_blocks", "0", "0", p] => format!("conv_in.{p}"),
            ["out", "0", p] => format!("conv_norm_out.{p}"),
            ["out", "2", p] => format!("conv_out.{p}"),
            ["middle_block", "0", ..] => format!("mid_block.resnets.0.{}", resnet(&rest(2))?),
            ["middle_block", "1", ..] => format!("mid_block.attentions.0.{}", rest(2)),
            ["middle_block", "2", ..] => format!("mid_block.resnets.1.{}", resnet(&rest(2))?),
            ["input_blocks", n, sub, ..] => {
                let n: usize = n.parse().ok()?;
                let (level, index) = place(&self.downs, n, 1)?;
                let block = format!("down_blocks.{level}");
                match (sub, parts[3]) {
                    ("0", "op") => format!("{block}.downsamplers.0.conv.{}", rest(4)),
                    ("0", _) => format!("{block}.resnets.{index}.{}", resnet(&rest(3))?),
                    ("1", _) => format!("{block}.attentions.{index}.{}", rest(3)),
                    _ => return None,
                }
            }
            ["output_blocks", n, sub, ..] => {
                let n: usize = n.parse().ok()?;
                let (level, index) = place(&self.ups, n, 0)?;
                let block = format!("up_blocks.{level}");
                match (sub, parts[3]) {
                    ("1" | "2", "conv") => format!("{block}.upsamplers.0.conv.{}", rest(4)),
                    ("0", _) => format!("{block}.resnets.{index}.{}", resnet(&rest(3))?),
                    ("1", _) => format!("{block}.attentions.{index}.{}", rest(3)),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    fn vae(&self, key: &str) -> Option<String> {
        let parts: Vec<&str> = key.split('.').collect();
        let rest = |from: usize| parts[from..].join(".");
        let side = parts[0];
        Some(match parts[..] {
            ["quant_conv" | "post_quant_conv", _] => key.into(),
            [_, "conv_in" | "conv_out", _] => key.into(),
            [_, "norm_out", p] => format!("{side}.conv_norm_out.{p}"),
            [_, "mid", "block_1", ..] => {
                format!("{side}.mid_block.resnets.0.{}", vae_resnet(&rest(3)))
            }
            [_, "mid", "block_2", ..] => {
                format!("{side}.mid_block.resnets.1.{}", vae_resnet(&rest(3)))
            }
            [_, "mid", "attn_1", projection, p] => {
                let name = match projection {
                    "norm" => "group_norm",
                    "q" => "to_q",
                    "k" => "to_k",
                    "v" => "to_v",
                    "proj_out" => "to_out.0",
                    _ => return None,
                };
                format!("{side}.mid_block.attentions.0.{name}.{p}")
            }
            ["encoder", "down", level, "block", i, ..] => {
                format!(
                    "encoder.down_blocks.{level}.resnets.{i}.{}",
                    vae_resnet(&rest(5))
                )
            }
            ["encoder", "down", level, "downsample", "conv", p] => {
                format!("encoder.down_blocks.{level}.downsamplers.0.conv.{p}")
            }
            ["decoder", "up", level, "block", i, ..] => {
                let level = self.place_from_inside(level)?;
                format!(
                    "decoder.up_blocks.{level}.resnets.{i}.{}",
                    vae_resnet(&rest(5))
                )
            }
            ["decoder", "up", level, "upsample", "conv", p] => {
                let level = self.place_from_inside(level)?;
                format!("decoder.up_blocks.{level}.upsamplers.0.conv.{p}")
            }
            _ => return None,
        })
    }

    /// The decoder's levels are counted from the outermost in, and diffusers' the other way.
    fn place_from_inside(&self, level: &str) -> Option<usize> {
        let level: usize = level.parse().ok()?;
        self.levels.checked_sub(level.checked_add(1)?)
    }

    fn open_clip(&self, key: &str) -> Option<Named> {
        let parts: Vec<&str> = key.split('.').collect();
        let one = |name: String| Some(Named::One(format!("text_encoder.{name}")));
        match parts[..] {
            ["token_embedding", "weight"] => one("embeddings.token_embedding.weight".into()),
            ["positional_embedding"] => one("embeddings.position_embedding.weight".into()),
            ["ln_final", p] => one(format!("final_layer_norm.{p}")),
            // of the comparison with images
            ["text_projection" | "logit_scale" | "attn_mask"] => None,
            ["visual", ..] => None,
            ["transformer", "resblocks", layer, ..] => {
                let index: usize = layer.parse().ok()?;
                if index >= self.layers {
                    return None;
                }
                let layer = format!("encoder.layers.{index}");
                match parts[3..] {
                    ["ln_1", p] => one(format!("{layer}.layer_norm1.{p}")),
                    ["ln_2", p] => one(format!("{layer}.layer_norm2.{p}")),
                    ["mlp", "c_fc", p] => one(format!("{layer}.mlp.fc1.{p}")),
                    ["mlp", "c_proj", p] => one(format!("{layer}.mlp.fc2.{p}")),
                    ["attn", "out_proj", p] => one(format!("{layer}.self_attn.out_proj.{p}")),
                    ["attn", "in_proj_weight"] => Some(stacked(&layer, "weight")),
                    ["attn", "in_proj_bias"] => Some(stacked(&layer, "bias")),
                    _ => Some(Named::Unknown),
                }
            }
            _ => Some(Named::Unknown),
        }
    }
}

/// Level of a block that is counted through from `first`, and which of the level's it is. `ends`
/// are the last of each level.
fn place(ends: &[usize], n: usize, first: usize) -> Option<(usize, usize)> {
    let level = ends.iter().filter(|end| **end < n).count();
    let start = match level {
        0 => first,
        level => ends[level - 1] + 1,
    };
    Some((level, n.checked_sub(start)?))
}

fn stacked(layer: &str, parameter: &str) -> Named {
    let name = |part: &str| format!("text_encoder.{layer}.self_attn.{part}_proj.{parameter}");
    Named::Stacked(["q", "k", "v"].map(name).to_vec())
}

fn resnet(key: &str) -> Option<String> {
    let (module, parameter) = key.rsplit_once('.')?;
    let module = match module {
        "in_layers.0" => "norm1",
        "in_layers.2" => "conv1",
        "emb_layers.1" => "time_emb_proj",
        "out_layers.0" => "norm2",
        "out_layers.3" => "conv2",
        "skip_connection" => "conv_shortcut",
        _ => return None,
    };
    Some(format!("{module}.{parameter}"))
}

fn vae_resnet(key: &str) -> String {
    key.replace("nin_shortcut", "conv_shortcut")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the second level's first block and its neighbours in SD 1.x (two resnets a
    /// level, four levels).
    #[test]
    fn blocks_are_counted_by_level() {
        let downs = [3, 6, 9].map(|n| format!("{UNET}input_blocks.{n}.0.op.weight"));
        let ups = [(2, 1), (5, 2), (8, 2)]
            .map(|(n, k)| format!("{UNET}output_blocks.{n}.{k}.conv.weight"));
        let more = [
            "first_stage_model.decoder.up.3.block.0.norm1.weight".to_owned(),
            "cond_stage_model.model.transformer.resblocks.23.ln_1.weight".to_owned(),
        ];
        let keys: Vec<&str> = downs
            .iter()
            .chain(&ups)
            .chain(&more)
            .map(String::as_str)
            .collect();
        let mut layout = Layout::of(keys.into_iter());
        assert_eq!(layout.layers, 24);
        layout.layers = 23;
        let one = |name: &str| Some(Named::One(name.into()));
        for (key, named) in [
            (
                "model.diffusion_model.input_blocks.1.0.in_layers.0.bias",
                one("unet.down_blocks.0.resnets.0.norm1.bias"),
            ),
            (
                "model.diffusion_model.input_blocks.3.0.op.bias",
                one("unet.down_blocks.0.downsamplers.0.conv.bias"),
            ),
            (
                "model.diffusion_model.input_blocks.4.0.skip_connection.weight",
                one("unet.down_blocks.1.resnets.0.conv_shortcut.weight"),
            ),
            (
                "model.diffusion_model.input_blocks.5.1.proj_in.weight",
                one("unet.down_blocks.1.attentions.1.proj_in.weight"),
            ),
            (
                "model.diffusion_model.input_blocks.11.0.out_layers.3.weight",
                one("unet.down_blocks.3.resnets.1.conv2.weight"),
            ),
            (
                "model.diffusion_model.output_blocks.2.1.conv.weight",
                one("unet.up_blocks.0.upsamplers.0.conv.weight"),
            ),
            (
                "model.diffusion_model.output_blocks.3.0.emb_layers.1.bias",
                one("unet.up_blocks.1.resnets.0.time_emb_proj.bias"),
            ),
            (
                "model.diffusion_model.output_blocks.11.1.norm.weight",
                one("unet.up_blocks.3.attentions.2.norm.weight"),
            ),
            (
                "model.diffusion_model.label_emb.0.0.weight",
                Some(Named::Unknown),
            ),
            (
                "first_stage_model.decoder.up.3.upsample.conv.bias",
                one("vae.decoder.up_blocks.0.upsamplers.0.conv.bias"),
            ),
            (
                "first_stage_model.encoder.mid.attn_1.proj_out.bias",
                one("vae.encoder.mid_block.attentions.0.to_out.0.bias"),
            ),
            ("first_stage_model.loss.discriminator.main.0.weight", None),
            (
                "cond_stage_model.transformer.text_model.embeddings.position_ids",
                None,
            ),
            (
                "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.bias",
                one("text_encoder.encoder.layers.0.mlp.fc1.bias"),
            ),
            (
                "cond_stage_model.model.transformer.resblocks.23.ln_1.weight",
                None,
            ),
            (
                "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_bias",
                Some(stacked("encoder.layers.22", "bias")),
            ),
            ("cond_stage_model.model.text_projection", None),
            ("model_ema.diffusion_modelinput_blocks00weight", None),
            ("alphas_cumprod", None),
        ] {
            assert_eq!(layout.names(key), named, "{key}");
        }
    }
}
