//! diffusers' `config.json` of a U-Net, and the network that it describes.

use burn::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::UNet2DConditionModel;
use super::blocks::{DownBlock2D, MidBlock2D, UpBlock2D};
use super::pooling::TextTimeEmbedding;
use super::time::{TimestepEmbedding, Timesteps};
use super::values::{PerLevel, SampleSize, block_type, fault, is_silu};
use crate::error::Result;
use crate::limits::LEVELS;
use crate::nn::{
    conv3x3, group_norm,
    resample::{Downsample2D, Upsample2D},
    resnet::ResnetBlock2DConfig,
    transformer::Transformer2DModelConfig,
};

/// diffusers' `UNet2DConditionModel` config. Keys that this crate has no code for must have their
/// plain values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UNet2DConditionConfig {
    /// Latent height and width that the model was trained for.
    pub sample_size: Option<SampleSize>,
    /// Channels of the noisy latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Cosines before sines in the time features.
    pub flip_sin_to_cos: bool,
    /// See [`Timesteps::freq_shift`].
    pub freq_shift: f64,
    /// `DownBlock2D` or `CrossAttnDownBlock2D`, from the outermost in.
    pub down_block_types: Vec<String>,
    /// `UNetMidBlock2DCrossAttn`, `UNetMidBlock2D` or null.
    pub mid_block_type: Option<String>,
    /// `UpBlock2D` or `CrossAttnUpBlock2D`, from the innermost out.
    pub up_block_types: Vec<String>,
    /// Width of each level.
    pub block_out_channels: Vec<usize>,
    /// Resnets in each level on the way down; one more on the way up.
    pub layers_per_block: PerLevel,
    /// Padding of the strided convolutions.
    pub downsample_padding: usize,
    /// Groups of every normalisation.
    pub norm_num_groups: usize,
    /// Epsilon of the resnets' normalisations.
    pub norm_eps: f64,
    /// Width of the text embeddings.
    pub cross_attention_dim: PerLevel,
    /// The number of heads, in spite of its name (diffusers keeps it so for Stable Diffusion's
    /// sake).
    pub attention_head_dim: PerLevel,
    /// The number of heads under its right name; wins where present.
    pub num_attention_heads: Option<PerLevel>,
    /// Transformer blocks in each transformer.
    pub transformer_layers_per_block: PerLevel,
    /// `text`, or null: whether the text as a whole is added to the time embedding.
    pub addition_embed_type: Option<String>,
    /// Heads of the attention that makes one vector of the text.
    pub addition_embed_type_num_heads: usize,
    /// Whether the checkpoint stores `proj_in` and `proj_out` as linear layers (SD 2.x) or 1x1
    /// convolutions (SD 1.x).
    pub use_linear_projection: bool,
    /// Every other key of the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for UNet2DConditionConfig {
    /// diffusers' defaults (`UNet2DConditionModel.__init__`).
    fn default() -> Self {
        let cross = |kind: &str| vec![kind.to_string(); 3];
        let mut down_block_types = cross("CrossAttnDownBlock2D");
        down_block_types.push("DownBlock2D".into());
        let mut up_block_types = vec!["UpBlock2D".to_string()];
        up_block_types.extend(cross("CrossAttnUpBlock2D"));
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types,
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            up_block_types,
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerLevel::All(2),
            downsample_padding: 1,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: PerLevel::All(1280),
            attention_head_dim: PerLevel::All(8),
            num_attention_heads: None,
            transformer_layers_per_block: PerLevel::All(1),
            addition_embed_type: None,
            addition_embed_type_num_heads: 64,
            use_linear_projection: false,
            other: Map::new(),
        }
    }
}

/// Keys of diffusers' config that change the network, with the only value that this crate has code
/// for. `null` is always fine.
const PLAIN: &[(&str, &str)] = &[
    ("act_fn", "\"silu\""),
    ("attention_type", "\"default\""),
    ("center_input_sample", "false"),
    ("class_embed_type", "null"),
    ("class_embeddings_concat", "false"),
    ("conv_in_kernel", "3"),
    ("conv_out_kernel", "3"),
    ("cross_attention_norm", "null"),
    ("dual_cross_attention", "false"),
    ("encoder_hid_dim", "null"),
    ("encoder_hid_dim_type", "null"),
    ("mid_block_only_cross_attention", "false"),
    ("mid_block_scale_factor", "1"),
    ("num_class_embeds", "null"),
    ("only_cross_attention", "false"),
    ("resnet_out_scale_factor", "1.0"),
    ("resnet_skip_time_act", "false"),
    ("resnet_time_scale_shift", "\"default\""),
    ("reverse_transformer_layers_per_block", "null"),
    ("time_cond_proj_dim", "null"),
    ("time_embedding_act_fn", "null"),
    ("time_embedding_type", "\"positional\""),
    ("timestep_post_act", "null"),
];

/// Whether a value says what `plain` does: numbers as numbers (`1` and `1.0`), a list as all of its
/// values (one for each level), activations under every name that diffusers knows.
fn same(value: &Value, plain: &Value) -> bool {
    match (value, value.as_f64(), plain.as_f64()) {
        (_, Some(a), Some(b)) => a == b,
        (Value::Array(list), ..) => list.iter().all(|value| same(value, plain)),
        (Value::String(act_fn), ..) if plain == "silu" => is_silu(act_fn),
        _ => value == plain,
    }
}

impl UNet2DConditionConfig {
    fn check(&self) -> Result<()> {
        for (key, plain) in PLAIN {
            let plain: Value = serde_json::from_str(plain).expect("PLAIN holds JSON");
            match self.other.get(*key) {
                None | Some(Value::Null) => {}
                Some(value) if same(value, &plain) => {}
                Some(value) => {
                    return Err(fault(format!(
                        "{key} {value} is not supported, only {plain}"
                    )));
                }
            }
        }
        let levels = self.block_out_channels.len();
        if levels > LEVELS {
            return Err(fault(format!(
                "{levels} levels are too many; {LEVELS} are the most"
            )));
        }
        if levels == 0 || self.in_channels == 0 || self.out_channels == 0 {
            return Err(fault("it describes an empty network".into()));
        }
        if self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err(fault(format!(
                "{levels} block_out_channels, {} down_block_types and {} up_block_types differ in number",
                self.down_block_types.len(),
                self.up_block_types.len()
            )));
        }
        let groups = self.norm_num_groups;
        for &c in &self.block_out_channels {
            if c == 0 || groups == 0 || !c.is_multiple_of(groups) {
                return Err(fault(format!(
                    "block_out_channels {c} is not divisible by norm_num_groups {groups}"
                )));
            }
        }
        let first = self.block_out_channels[0];
        if !first.is_multiple_of(2) {
            return Err(fault("block_out_channels[0] is odd".into()));
        }
        let width = self.other.get("time_embedding_dim").and_then(Value::as_u64);
        if width.is_some_and(|width| width != first as u64 * 4) {
            return Err(fault(format!(
                "only a time_embedding_dim of 4 times {first} is supported"
            )));
        }
        Ok(())
    }

    /// What adds the text, whose embeddings are `cross[0]` wide, to time embeddings that are `temb`
    /// wide.
    fn text_embedding(
        &self,
        cross: &[usize],
        temb: usize,
        device: &Device,
    ) -> Result<TextTimeEmbedding> {
        let (width, heads) = (cross[0], self.addition_embed_type_num_heads);
        if cross.iter().any(|dim| *dim != width) {
            return Err(fault(
                "addition_embed_type text needs one cross_attention_dim for all levels".into(),
            ));
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(fault(format!(
                "addition_embed_type_num_heads {heads} does not divide cross_attention_dim {width}"
            )));
        }
        Ok(TextTimeEmbedding::init(width, temb, heads, device))
    }

    /// A U-Net with random weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub fn init(&self, device: &Device) -> Result<UNet2DConditionModel> {
        self.check()?;
        let channels = &self.block_out_channels;
        let levels = channels.len();
        let last = levels - 1;
        let layers = self.layers_per_block.resolve("layers_per_block", levels)?;
        let cross = self
            .cross_attention_dim
            .resolve("cross_attention_dim", levels)?;
        let heads = self
            .num_attention_heads
            .as_ref()
            .unwrap_or(&self.attention_head_dim);
        let heads = heads.resolve("attention_head_dim", levels)?;
        let depth = self
            .transformer_layers_per_block
            .resolve("transformer_layers_per_block", levels)?;
        let temb = channels[0] * 4;

        let add_embedding = match self.addition_embed_type.as_deref() {
            None => None,
            Some("text") => Some(self.text_embedding(&cross, temb, device)?),
            Some(kind) => {
                return Err(fault(format!(
                    "addition_embed_type {kind} is not supported, only text"
                )));
            }
        };

        let resnet = |cin: usize, cout: usize| {
            ResnetBlock2DConfig {
                in_channels: cin,
                out_channels: cout,
                temb_channels: Some(temb),
                groups: self.norm_num_groups,
                eps: self.norm_eps,
            }
            .init(device)
        };
        let transformer = |level: usize| {
            let (c, h) = (channels[level], heads[level]);
            if h == 0 || !c.is_multiple_of(h) {
                return Err(fault(format!(
                    "{h} attention heads do not divide {c} channels"
                )));
            }
            Ok(Transformer2DModelConfig {
                channels: c,
                cross_attention_dim: cross[level],
                heads: h,
                layers: depth[level],
                groups: self.norm_num_groups,
            }
            .init(device))
        };
        let transformers = |level: usize, n: usize, kind: &str| -> Result<Vec<_>> {
            match block_type(kind) {
                "DownBlock2D" | "UpBlock2D" | "UNetMidBlock2D" => Ok(vec![]),
                "CrossAttnDownBlock2D" | "CrossAttnUpBlock2D" | "UNetMidBlock2DCrossAttn" => {
                    (0..n).map(|_| transformer(level)).collect()
                }
                other => Err(fault(format!("block type {other} is not supported"))),
            }
        };

        let mut down_blocks = Vec::with_capacity(levels);
        for level in 0..levels {
            let cin = channels[level.saturating_sub(1)];
            let cout = channels[level];
            down_blocks.push(DownBlock2D {
                resnets: (0..layers[level])
                    .map(|i| resnet(if i == 0 { cin } else { cout }, cout))
                    .collect(),
                attentions: transformers(level, layers[level], &self.down_block_types[level])?,
                downsamplers: (level != last)
                    .then(|| Downsample2D::init(cout, self.downsample_padding, device))
                    .into_iter()
                    .collect(),
            });
        }
        let mid_block = match &self.mid_block_type {
            None => None,
            Some(kind) => Some(MidBlock2D {
                // diffusers makes the attention-free middle with `num_layers=0`: one resnet instead
                // of two.
                resnets: (0..if kind == "UNetMidBlock2D" { 1 } else { 2 })
                    .map(|_| resnet(channels[last], channels[last]))
                    .collect(),
                attentions: transformers(last, 1, kind)?,
            }),
        };
        let mut up_blocks = Vec::with_capacity(levels);
        for (i, level) in (0..levels).rev().enumerate() {
            let cout = channels[level];
            let below = channels[(level + 1).min(last)]; // what comes up from the level below
            // the last skip was made before this level widened
            let above = channels[level.saturating_sub(1)];
            let n = layers[level] + 1;
            up_blocks.push(UpBlock2D {
                resnets: (0..n)
                    .map(|j| {
                        let x = if j == 0 { below } else { cout };
                        let skip = if j == n - 1 { above } else { cout };
                        resnet(x + skip, cout)
                    })
                    .collect(),
                attentions: transformers(level, n, &self.up_block_types[i])?,
                upsamplers: (level != 0)
                    .then(|| Upsample2D::init(cout, device))
                    .into_iter()
                    .collect(),
            });
        }

        Ok(UNet2DConditionModel {
            time_proj: Timesteps {
                num_channels: channels[0],
                flip_sin_to_cos: self.flip_sin_to_cos,
                freq_shift: self.freq_shift,
            },
            time_embedding: TimestepEmbedding::init(channels[0], temb, device),
            add_embedding,
            conv_in: conv3x3(self.in_channels, channels[0], device),
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: group_norm(self.norm_num_groups, channels[0], self.norm_eps, device),
            conv_out: conv3x3(channels[0], self.out_channels, device),
        })
    }
}
