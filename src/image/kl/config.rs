//! diffusers' `config.json` of an `AutoencoderKL`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::image::bicubic::EncoderSize;
use crate::image::fault;
use crate::image::scaling::LatentScaling;
use crate::latents::unet::values::{SampleSize, block_type, is_silu};
use crate::limits::LEVELS;

/// diffusers' `AutoencoderKL` config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderKLConfig {
    /// Channels of the image going in: 1 (grey) or 3.
    pub in_channels: usize,
    /// Channels of the image coming out.
    pub out_channels: usize,
    /// `DownEncoderBlock2D` at every level.
    pub down_block_types: Vec<String>,
    /// `UpDecoderBlock2D` at every level.
    pub up_block_types: Vec<String>,
    /// Width of each level, from the outermost in.
    pub block_out_channels: Vec<usize>,
    /// Resnets at each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every normalisation.
    pub norm_num_groups: usize,
    /// Image height and width that the model was trained for.
    pub sample_size: SampleSize,
    /// Latents are multiplied by this before diffusion, so that their variance is about 1.
    pub scaling_factor: f64,
    /// Subtracted before the scaling, where present.
    pub shift_factor: Option<f64>,
    /// Mean of each latent channel, subtracted instead of `shift_factor`; see [`LatentScaling`].
    pub latents_mean: Option<Vec<f64>>,
    /// Standard deviation of each latent channel; there exactly when `latents_mean` is.
    pub latents_std: Option<Vec<f64>>,
    /// See [`EncoderSize`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_sample_size: Option<usize>,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the middle attends.
    pub mid_block_add_attention: bool,
    /// Every other key of the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for AutoencoderKLConfig {
    /// diffusers' defaults (`AutoencoderKL.__init__`).
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec!["DownEncoderBlock2D".into()],
            up_block_types: vec!["UpDecoderBlock2D".into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            sample_size: 32.into(),
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            encoder_sample_size: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            other: Map::new(),
        }
    }
}

impl AutoencoderKLConfig {
    /// How many pixels a latent position stands for, in each direction.
    pub fn downscale(&self) -> usize {
        crate::image::downscale(self.block_out_channels.len())
    }

    pub(super) fn check(&self) -> Result<()> {
        let levels = self.block_out_channels.len();
        if levels > LEVELS {
            return Err(fault(format!(
                "{levels} levels are too many; {LEVELS} are the most"
            )));
        }
        if levels == 0
            || self.down_block_types.len() != levels
            || self.up_block_types.len() != levels
        {
            return Err(fault(format!(
                "{levels} block_out_channels, {} down_block_types and {} up_block_types differ in number",
                self.down_block_types.len(),
                self.up_block_types.len()
            )));
        }
        let known =
            |kind: &&String| !matches!(block_type(kind), "DownEncoderBlock2D" | "UpDecoderBlock2D");
        if let Some(kind) = self
            .down_block_types
            .iter()
            .chain(&self.up_block_types)
            .find(known)
        {
            return Err(fault(format!("block type {kind} is not supported")));
        }
        match self.other.get("act_fn").and_then(Value::as_str) {
            None => {}
            Some(act) if is_silu(act) => {}
            Some(act) => return Err(fault(format!("act_fn {act} is not supported, only silu"))),
        }
        let groups = self.norm_num_groups;
        for &c in &self.block_out_channels {
            if c == 0 || groups == 0 || !c.is_multiple_of(groups) {
                return Err(fault(format!(
                    "block_out_channels {c} is not divisible by norm_num_groups {groups}"
                )));
            }
        }
        if [self.in_channels, self.out_channels, self.latent_channels].contains(&0) {
            return Err(fault("it describes an empty network".into()));
        }
        self.encoder_size().check()
    }

    /// How much detail the encoder is shown.
    pub fn encoder_size(&self) -> EncoderSize {
        EncoderSize {
            encoder_sample_size: self.encoder_sample_size,
            sample_size: Some(self.sample_size.height),
        }
    }

    /// Between the encoder's latents and the U-Net's.
    ///
    /// # Errors
    /// As [`LatentScaling::new`].
    pub fn scaling(&self) -> Result<LatentScaling> {
        let by_channel = (self.latents_mean.as_deref(), self.latents_std.as_deref());
        LatentScaling::new(
            self.scaling_factor,
            self.shift_factor,
            by_channel,
            self.latent_channels,
        )
    }
}
