//! `AutoencoderTiny` (diffusers: `models/autoencoders/autoencoder_tiny.py`, `EncoderTiny` and
//! `DecoderTiny` in `vae.py`): TAESD, which imitates another autoencoder's latents with 3x3
//! convolutions and ReLU alone (<https://github.com/madebyollin/taesd>).

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{PaddingConfig2d, Relu};
use burn::prelude::*;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault;
use super::scaling::LatentScaling;
use crate::error::Result;
use crate::kernels::{self, Fused};
use crate::limits::LEVELS;
use crate::nn::conv3x3;

/// Beyond three times this, latents are bent back (`DecoderTiny.forward`).
const LATENT_BOUND: f64 = 3.0;

/// diffusers' `AutoencoderTiny` config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderTinyConfig {
    /// Channels of the image going in: 1 (grey) or 3.
    pub in_channels: usize,
    /// Channels of the image coming out.
    pub out_channels: usize,
    /// Width of each level, from the outermost in; the same for all.
    pub encoder_block_out_channels: Vec<usize>,
    /// Width of each level, from the innermost out; the same for all.
    pub decoder_block_out_channels: Vec<usize>,
    /// `relu`
    pub act_fn: String,
    /// `nearest`
    pub upsample_fn: String,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// 2
    pub upsampling_scaling_factor: usize,
    /// Residual blocks at each level of the encoder.
    pub num_encoder_blocks: Vec<usize>,
    /// Residual blocks at each level of the decoder.
    pub num_decoder_blocks: Vec<usize>,
    /// Latents are multiplied by this before diffusion.
    pub scaling_factor: f64,
    /// Subtracted before the scaling.
    pub shift_factor: f64,
    /// Every other key of the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for AutoencoderTinyConfig {
    /// diffusers' defaults (`AutoencoderTiny.__init__`).
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            act_fn: "relu".into(),
            upsample_fn: "nearest".into(),
            latent_channels: 4,
            upsampling_scaling_factor: 2,
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            shift_factor: 0.0,
            other: Map::new(),
        }
    }
}

/// Encoder and decoder between images in -1 to 1 and latents.
#[derive(Module, Debug)]
pub struct AutoencoderTiny {
    encoder: Sequential,
    decoder: Sequential,
    #[module(skip)]
    pub(super) scaling: LatentScaling,
}

/// PyTorch's `nn.Sequential`, whose activations and interpolations are counted in the names of what
/// follows them.
#[derive(Module, Debug)]
struct Sequential {
    layers: Vec<Layer>,
}

#[allow(clippy::large_enum_variant)] // a module of burn cannot be boxed, and there are a few dozen
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    Block(AutoencoderTinyBlock),
    Activation(Relu),
    Upsample(Nearest),
}

/// `relu(x + conv(relu(conv(relu(conv(x))))))`
#[derive(Module, Debug)]
struct AutoencoderTinyBlock {
    conv: Vec<Inner>,
}

#[allow(clippy::large_enum_variant)] // a module of burn cannot be boxed, and there are a few dozen
#[derive(Module, Debug)]
enum Inner {
    Conv(Conv2d),
    Activation(Relu),
}

/// Doubles the resolution for the convolution that follows.
#[derive(Module, Debug)]
struct Nearest {
    #[module(skip)]
    factor: usize,
}

impl AutoencoderTinyConfig {
    /// How many pixels a latent position stands for, in each direction.
    pub fn downscale(&self) -> usize {
        super::downscale(self.decoder_block_out_channels.len())
    }

    /// Between the encoder's latents and the U-Net's.
    ///
    /// # Errors
    /// As [`LatentScaling::new`].
    pub fn scaling(&self) -> Result<LatentScaling> {
        let shift = Some(self.shift_factor);
        LatentScaling::new(
            self.scaling_factor,
            shift,
            (None, None),
            self.latent_channels,
        )
    }

    fn check(&self) -> Result<()> {
        for (half, channels, blocks) in [
            (
                "encoder",
                &self.encoder_block_out_channels,
                &self.num_encoder_blocks,
            ),
            (
                "decoder",
                &self.decoder_block_out_channels,
                &self.num_decoder_blocks,
            ),
        ] {
            let levels = channels.len();
            if levels == 0 || levels > LEVELS || blocks.len() != levels {
                return Err(fault(format!(
                    "{levels} {half}_block_out_channels and {} num_{half}_blocks must be as many, 1 to {LEVELS}",
                    blocks.len()
                )));
            }
            // Each level's convolutions are as wide as their level, so that another width would not
            // fit.
            if channels[0] == 0 || channels.iter().any(|c| *c != channels[0]) {
                return Err(fault(format!(
                    "{half}_block_out_channels {channels:?} must be equal numbers"
                )));
            }
        }
        if self.encoder_block_out_channels.len() != self.decoder_block_out_channels.len() {
            return Err(fault(
                "encoder and decoder have different numbers of levels".into(),
            ));
        }
        if [self.in_channels, self.out_channels, self.latent_channels].contains(&0) {
            return Err(fault("it describes an empty network".into()));
        }
        let plain = [
            ("act_fn", self.act_fn.to_lowercase(), "relu"),
            ("upsample_fn", self.upsample_fn.clone(), "nearest"),
            (
                "upsampling_scaling_factor",
                self.upsampling_scaling_factor.to_string(),
                "2",
            ),
        ];
        match plain.iter().find(|(_, found, known)| found != known) {
            Some((key, found, known)) => Err(fault(format!(
                "{key} {found} is not supported, only {known}"
            ))),
            None => Ok(()),
        }
    }

    /// An autoencoder with random weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub fn init(&self, device: &Device) -> Result<AutoencoderTiny> {
        self.check()?;
        Ok(AutoencoderTiny {
            encoder: self.encoder(device),
            decoder: self.decoder(device),
            scaling: self.scaling()?,
        })
    }

    fn encoder(&self, device: &Device) -> Sequential {
        let c = self.encoder_block_out_channels[0];
        let mut layers = Vec::new();
        for (level, blocks) in self.num_encoder_blocks.iter().enumerate() {
            layers.push(Layer::Conv(match level {
                0 => conv3x3(self.in_channels, c, device),
                _ => Conv2dConfig::new([c, c], [3, 3])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_bias(false)
                    .init(device),
            }));
            layers.extend((0..*blocks).map(|_| block(c, device)));
        }
        layers.push(Layer::Conv(conv3x3(c, self.latent_channels, device)));
        Sequential { layers }
    }

    fn decoder(&self, device: &Device) -> Sequential {
        let c = self.decoder_block_out_channels[0];
        let last = self.num_decoder_blocks.len() - 1;
        let mut layers = vec![
            Layer::Conv(conv3x3(self.latent_channels, c, device)),
            Layer::Activation(Relu::new()),
        ];
        for (level, blocks) in self.num_decoder_blocks.iter().enumerate() {
            layers.extend((0..*blocks).map(|_| block(c, device)));
            if level == last {
                layers.push(Layer::Conv(conv3x3(c, self.out_channels, device)));
                break;
            }
            layers.push(Layer::Upsample(Nearest {
                factor: self.upsampling_scaling_factor,
            }));
            layers.push(Layer::Conv(
                Conv2dConfig::new([c, c], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_bias(false)
                    .init(device),
            ));
        }
        Sequential { layers }
    }
}

fn block(channels: usize, device: &Device) -> Layer {
    let conv = || Inner::Conv(conv3x3(channels, channels, device));
    let act = || Inner::Activation(Relu::new());
    Layer::Block(AutoencoderTinyBlock {
        conv: vec![conv(), act(), conv(), act(), conv()],
    })
}

impl Sequential {
    /// # Shapes
    /// - `x`: `[B, C_in, h, w]`; output: as the layers say
    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        let mut upsample = false;
        for layer in &self.layers {
            x = match layer {
                Layer::Conv(conv) => {
                    let fused = Fused {
                        upsample: std::mem::take(&mut upsample),
                        ..Fused::default()
                    };
                    kernels::conv2d_fused(conv, x, fused)
                }
                Layer::Block(block) => block.forward(x),
                Layer::Activation(_) => relu(x),
                Layer::Upsample(Nearest { factor }) => {
                    debug_assert_eq!(*factor, 2, "checked with the config");
                    upsample = true;
                    x
                }
            };
        }
        x
    }
}

impl AutoencoderTinyBlock {
    /// # Shapes
    /// - `x` and output: `[B, C, h, w]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut hidden = x.clone();
        let last = self.conv.len() - 1;
        for (i, layer) in self.conv.iter().enumerate() {
            hidden = match layer {
                Inner::Activation(_) => relu(hidden),
                Inner::Conv(conv) => {
                    let residual = (i == last).then(|| x.clone());
                    kernels::conv2d_fused(
                        conv,
                        hidden,
                        Fused {
                            residual,
                            ..Fused::default()
                        },
                    )
                }
            };
        }
        relu(hidden)
    }
}

impl AutoencoderTiny {
    /// The latents of an image, before scaling.
    ///
    /// # Shapes
    /// - `image`: `[B, in_channels, H, W]` in -1 to 1
    /// - output: `[B, latent_channels, H/f, W/f]`
    pub fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        self.encoder.forward((image + 1.0) / 2.0)
    }

    /// The image of unscaled latents.
    ///
    /// # Shapes
    /// - `latents`: `[B, latent_channels, h, w]`
    /// - output: `[B, out_channels, h*f, w*f]`, about -1 to 1
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let latents = (latents / LATENT_BOUND).tanh() * LATENT_BOUND;
        self.decoder.forward(latents) * 2.0 - 1.0
    }
}
