//! diffusers' `config.json` of an `AutoencoderDC`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::res_block::Activation;
use crate::error::Result;
use crate::image::bicubic::EncoderSize;
use crate::image::fault;
use crate::image::scaling::LatentScaling;

/// A name for every level, or a list with one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// The same at every level.
    All(String),
    /// One for each level, from the outermost in.
    Each(Vec<String>),
}

impl Names {
    /// The name for a level; `key` is theirs, for an error.
    pub(super) fn at(&self, level: usize, key: &str) -> Result<&str> {
        match self {
            Self::All(name) => Ok(name),
            Self::Each(names) => match names.get(level) {
                Some(name) => Ok(name),
                None => Err(fault(format!("{key} names nothing for level {level}"))),
            },
        }
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self::All(name.into())
    }
}

/// diffusers' `AutoencoderDC` config. Blocks are `ResBlock`s; `EfficientViTBlock`s are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderDCConfig {
    /// Channels of the image, in and out: 1 (grey) or 3.
    pub in_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// `ResBlock` at every level.
    pub encoder_block_types: Names,
    /// `ResBlock` at every level.
    pub decoder_block_types: Names,
    /// Width of each level of the encoder, from the outermost in.
    pub encoder_block_out_channels: Vec<usize>,
    /// Width of each level of the decoder, from the outermost in.
    pub decoder_block_out_channels: Vec<usize>,
    /// Blocks at each level of the encoder. The first level may have none: then the image itself is
    /// halved.
    pub encoder_layers_per_block: Vec<usize>,
    /// Blocks at each level of the decoder; as above.
    pub decoder_layers_per_block: Vec<usize>,
    /// `pixel_shuffle`, or `interpolate`: nearest neighbour and a convolution.
    pub upsample_block_type: String,
    /// `pixel_unshuffle`, or `conv`: a strided convolution.
    pub downsample_block_type: String,
    /// `rms_norm` at every level.
    pub decoder_norm_types: Names,
    /// Activation inside the decoder's blocks; the encoder's is `silu`.
    pub decoder_act_fns: Names,
    /// Whether the encoder's last features, averaged by groups of channels, are added to the
    /// latents.
    pub encoder_out_shortcut: bool,
    /// Whether the latents, each channel repeated, are added to the decoder's first features.
    pub decoder_in_shortcut: bool,
    /// Activation before the decoder's last convolution.
    pub decoder_conv_act_fn: String,
    /// Latents are multiplied by this before diffusion, so that their variance is about 1.
    pub scaling_factor: f64,
    /// Mean of each latent channel; see [`LatentScaling`]. diffusers' class ignores it, some of its
    /// pipelines read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents_mean: Option<Vec<f64>>,
    /// Standard deviation of each latent channel; there exactly when `latents_mean` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents_std: Option<Vec<f64>>,
    /// See [`EncoderSize`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_sample_size: Option<usize>,
    /// Image height and width that the model was trained for, where somebody says so; diffusers'
    /// class has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<usize>,
    /// Every other key of the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for AutoencoderDCConfig {
    /// diffusers' defaults (`AutoencoderDC.__init__`).
    fn default() -> Self {
        let channels = vec![128, 256, 512, 512, 1024, 1024];
        Self {
            in_channels: 3,
            latent_channels: 32,
            encoder_block_types: "ResBlock".into(),
            decoder_block_types: "ResBlock".into(),
            encoder_block_out_channels: channels.clone(),
            decoder_block_out_channels: channels,
            encoder_layers_per_block: vec![2, 2, 2, 3, 3, 3],
            decoder_layers_per_block: vec![3; 6],
            upsample_block_type: "pixel_shuffle".into(),
            downsample_block_type: "pixel_unshuffle".into(),
            decoder_norm_types: "rms_norm".into(),
            decoder_act_fns: "silu".into(),
            encoder_out_shortcut: true,
            decoder_in_shortcut: true,
            decoder_conv_act_fn: "relu".into(),
            scaling_factor: 1.0,
            latents_mean: None,
            latents_std: None,
            encoder_sample_size: None,
            sample_size: None,
            other: Map::new(),
        }
    }
}

impl AutoencoderDCConfig {
    /// How many pixels a latent position stands for, in each direction.
    pub fn downscale(&self) -> usize {
        crate::image::downscale(self.encoder_block_out_channels.len())
    }

    /// How much detail the encoder is shown.
    pub fn encoder_size(&self) -> EncoderSize {
        EncoderSize {
            encoder_sample_size: self.encoder_sample_size,
            sample_size: self.sample_size,
        }
    }

    /// Between the encoder's latents and the U-Net's.
    ///
    /// # Errors
    /// As [`LatentScaling::new`].
    pub fn scaling(&self) -> Result<LatentScaling> {
        let by_channel = (self.latents_mean.as_deref(), self.latents_std.as_deref());
        LatentScaling::new(self.scaling_factor, None, by_channel, self.latent_channels)
    }

    /// Whether resolutions are halved by `pixel_unshuffle`, not by a strided convolution.
    pub(super) fn unshuffles(&self) -> Result<bool> {
        match self.downsample_block_type.as_str() {
            "pixel_unshuffle" => Ok(true),
            "conv" | "Conv" => Ok(false),
            kind => Err(fault(format!(
                "downsample_block_type {kind} is not supported, only pixel_unshuffle and conv"
            ))),
        }
    }

    /// Whether resolutions are doubled by `pixel_shuffle`, not by interpolation.
    pub(super) fn shuffles(&self) -> Result<bool> {
        match self.upsample_block_type.as_str() {
            "pixel_shuffle" => Ok(true),
            "interpolate" => Ok(false),
            kind => Err(fault(format!(
                "upsample_block_type {kind} is not supported, only pixel_shuffle and interpolate"
            ))),
        }
    }

    /// The activation of each level of the decoder.
    pub(super) fn activations(&self) -> Result<Vec<Activation>> {
        let levels = self.decoder_block_out_channels.len();
        (0..levels)
            .map(|level| self.decoder_act_fns.at(level, "decoder_act_fns")?.parse())
            .collect()
    }
}
