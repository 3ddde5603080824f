//! An autoencoder of any class.

use burn::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bicubic::EncoderSize;
use super::dc::{AutoencoderDC, AutoencoderDCConfig};
use super::kl::{AutoencoderKL, AutoencoderKLConfig, DiagonalGaussian};
use super::scaling::LatentScaling;
use super::tiny::{AutoencoderTiny, AutoencoderTinyConfig};
use crate::error::Result;

/// The config of an autoencoder, of the class that its key `_class_name` names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum AutoencoderConfig {
    /// `AutoencoderKL`, which it is without a `_class_name` too.
    KL(AutoencoderKLConfig),
    /// `AutoencoderDC`
    DC(AutoencoderDCConfig),
    /// `AutoencoderTiny`
    Tiny(AutoencoderTinyConfig),
}

/// Encoder and decoder between images in -1 to 1 and latents.
#[derive(Module, Debug)]
pub enum Autoencoder {
    /// `AutoencoderKL`
    KL(AutoencoderKL),
    /// `AutoencoderDC`
    DC(AutoencoderDC),
    /// `AutoencoderTiny`
    Tiny(AutoencoderTiny),
}

/// Log-variance of latents that are certain, as diffusers' `DiagonalGaussianDistribution` bounds
/// it.
const LEAST_LOGVAR: f64 = -30.0;

impl TryFrom<Value> for AutoencoderConfig {
    type Error = String;

    fn try_from(mut config: Value) -> std::result::Result<Self, String> {
        let class = config
            .as_object_mut()
            .and_then(|keys| keys.remove("_class_name"));
        let json = |e: serde_json::Error| e.to_string();
        match class.as_ref().and_then(Value::as_str) {
            None | Some("AutoencoderKL") => {
                Ok(Self::KL(serde_json::from_value(config).map_err(json)?))
            }
            Some("AutoencoderDC") => Ok(Self::DC(serde_json::from_value(config).map_err(json)?)),
            Some("AutoencoderTiny") => {
                Ok(Self::Tiny(serde_json::from_value(config).map_err(json)?))
            }
            Some(class) => Err(format!(
                "the autoencoder {class} is not supported, only AutoencoderKL, AutoencoderDC and AutoencoderTiny"
            )),
        }
    }
}

impl From<AutoencoderConfig> for Value {
    fn from(config: AutoencoderConfig) -> Value {
        let (keys, class) = match config {
            AutoencoderConfig::KL(config) => (json!(config), "AutoencoderKL"),
            AutoencoderConfig::DC(config) => (json!(config), "AutoencoderDC"),
            AutoencoderConfig::Tiny(config) => (json!(config), "AutoencoderTiny"),
        };
        let mut keys = keys;
        keys["_class_name"] = json!(class);
        keys
    }
}

impl From<AutoencoderKLConfig> for AutoencoderConfig {
    fn from(config: AutoencoderKLConfig) -> Self {
        Self::KL(config)
    }
}

impl From<AutoencoderDCConfig> for AutoencoderConfig {
    fn from(config: AutoencoderDCConfig) -> Self {
        Self::DC(config)
    }
}

impl From<AutoencoderTinyConfig> for AutoencoderConfig {
    fn from(config: AutoencoderTinyConfig) -> Self {
        Self::Tiny(config)
    }
}

impl From<AutoencoderKL> for Autoencoder {
    fn from(vae: AutoencoderKL) -> Self {
        Self::KL(vae)
    }
}

impl From<AutoencoderDC> for Autoencoder {
    fn from(vae: AutoencoderDC) -> Self {
        Self::DC(vae)
    }
}

impl From<AutoencoderTiny> for Autoencoder {
    fn from(vae: AutoencoderTiny) -> Self {
        Self::Tiny(vae)
    }
}

impl AutoencoderConfig {
    /// Channels of the image going in: 1 (grey) or 3.
    pub fn in_channels(&self) -> usize {
        match self {
            Self::KL(config) => config.in_channels,
            Self::DC(config) => config.in_channels,
            Self::Tiny(config) => config.in_channels,
        }
    }

    /// Channels of the latents.
    pub fn latent_channels(&self) -> usize {
        match self {
            Self::KL(config) => config.latent_channels,
            Self::DC(config) => config.latent_channels,
            Self::Tiny(config) => config.latent_channels,
        }
    }

    /// How many pixels a latent position stands for, in each direction.
    pub fn downscale(&self) -> usize {
        match self {
            Self::KL(config) => config.downscale(),
            Self::DC(config) => config.downscale(),
            Self::Tiny(config) => config.downscale(),
        }
    }

    /// How much detail the encoder is shown.
    pub fn encoder_size(&self) -> EncoderSize {
        match self {
            Self::KL(config) => config.encoder_size(),
            Self::DC(config) => config.encoder_size(),
            Self::Tiny(_) => EncoderSize::default(),
        }
    }

    /// Between the encoder's latents and the U-Net's.
    ///
    /// # Errors
    /// As [`LatentScaling::new`].
    pub fn scaling(&self) -> Result<LatentScaling> {
        match self {
            Self::KL(config) => config.scaling(),
            Self::DC(config) => config.scaling(),
            Self::Tiny(config) => config.scaling(),
        }
    }

    /// An autoencoder with random weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub fn init(&self, device: &Device) -> Result<Autoencoder> {
        Ok(match self {
            Self::KL(config) => config.init(device)?.into(),
            Self::DC(config) => config.init(device)?.into(),
            Self::Tiny(config) => config.init(device)?.into(),
        })
    }
}

impl Autoencoder {
    /// The distribution of latents of an image, before scaling; a point where the class knows none.
    ///
    /// # Shapes
    /// - `image`: `[B, in_channels, H, W]` in -1 to 1, with the detail of [`EncoderSize::shown`]
    /// - output: mean and logvar, `[B, latent_channels, H/f, W/f]`
    pub fn encode(&self, image: Tensor<4>) -> DiagonalGaussian {
        let mean = match self {
            Self::KL(vae) => return vae.encode(image),
            Self::DC(vae) => vae.encode(image),
            Self::Tiny(vae) => vae.encode(image),
        };
        let logvar = mean.full_like(LEAST_LOGVAR);
        DiagonalGaussian { mean, logvar }
    }

    /// The image of unscaled latents.
    ///
    /// # Shapes
    /// - `latents`: `[B, latent_channels, h, w]`
    /// - output: `[B, out_channels, h*f, w*f]`, about -1 to 1
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        match self {
            Self::KL(vae) => vae.decode(latents),
            Self::DC(vae) => vae.decode(latents),
            Self::Tiny(vae) => vae.decode(latents),
        }
    }

    fn scaling(&self) -> &LatentScaling {
        match self {
            Self::KL(vae) => &vae.scaling,
            Self::DC(vae) => &vae.scaling,
            Self::Tiny(vae) => &vae.scaling,
        }
    }

    /// Latents as diffusion sees them, from latents as the encoder makes them.
    pub fn scale(&self, latents: Tensor<4>) -> Tensor<4> {
        self.scaling().scale(latents)
    }

    /// The inverse of [`Self::scale`].
    pub fn unscale(&self, latents: Tensor<4>) -> Tensor<4> {
        self.scaling().unscale(latents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_by_its_name_and_written_with_it() {
        let read = |json: Value| serde_json::from_value::<AutoencoderConfig>(json);
        let kl = read(json!({"latent_channels": 8})).unwrap();
        assert!(matches!(&kl, AutoencoderConfig::KL(config) if config.latent_channels == 8));
        assert_eq!(json!(kl)["_class_name"], "AutoencoderKL");
        let dc = read(json!({"_class_name": "AutoencoderDC", "latent_channels": 16, "ours": 1}));
        let dc = dc.unwrap();
        assert!(matches!(&dc, AutoencoderConfig::DC(config) if config.other["ours"] == 1));
        assert_eq!((dc.latent_channels(), dc.downscale()), (16, 32));
        let tiny = read(json!({"_class_name": "AutoencoderTiny", "block_out_channels": [64]}));
        let tiny = tiny.unwrap();
        assert_eq!((tiny.latent_channels(), tiny.downscale()), (4, 8));
        for config in [kl, dc, tiny] {
            assert_eq!(read(json!(config)).unwrap(), config);
        }
    }

    #[test]
    fn another_class_and_a_wrong_type_are_refused() {
        for (json, named) in [
            (
                json!({"_class_name": "VQModel"}),
                "VQModel is not supported",
            ),
            (json!({"latent_channels": "four"}), "expected usize"),
            (json!("a string"), "expected struct"),
        ] {
            let error = serde_json::from_value::<AutoencoderConfig>(json).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
