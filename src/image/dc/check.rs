//! Whether an `AutoencoderDC` can be built from its config.

use super::config::AutoencoderDCConfig;
use super::res_block::Activation;
use crate::error::Result;
use crate::image::fault;
use crate::limits::LEVELS;

impl AutoencoderDCConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub(super) fn check(&self) -> Result<()> {
        if [self.in_channels, self.latent_channels].contains(&0) {
            return Err(fault("it describes an empty network".into()));
        }
        let (encoder, decoder) = (
            &self.encoder_block_out_channels,
            &self.decoder_block_out_channels,
        );
        if encoder.len() != decoder.len() {
            return Err(fault(format!(
                "encoder_block_out_channels and decoder_block_out_channels differ in number: {} and {}",
                encoder.len(),
                decoder.len()
            )));
        }
        for (half, channels, layers, types) in [
            (
                "encoder",
                encoder,
                &self.encoder_layers_per_block,
                &self.encoder_block_types,
            ),
            (
                "decoder",
                decoder,
                &self.decoder_layers_per_block,
                &self.decoder_block_types,
            ),
        ] {
            check_levels(half, channels, layers)?;
            for level in 0..channels.len() {
                let key = format!("{half}_block_types");
                only("ResBlock", &key, types.at(level, &key)?)?;
            }
        }
        for level in 0..decoder.len() {
            let key = "decoder_norm_types";
            only("rms_norm", key, self.decoder_norm_types.at(level, key)?)?;
        }
        self.check_shuffles()?;
        self.shuffles()?;
        self.activations()?;
        self.decoder_conv_act_fn.parse::<Activation>()?;
        self.scaling()?;
        self.encoder_size().check()
    }

    /// Whether all widths divide as shuffles and shortcuts need it.
    fn check_shuffles(&self) -> Result<()> {
        let (encoder, decoder) = (
            &self.encoder_block_out_channels,
            &self.decoder_block_out_channels,
        );
        if self.unshuffles()?
            && let Some(c) = encoder[1..].iter().find(|c| !c.is_multiple_of(4))
        {
            return Err(fault(format!(
                "encoder_block_out_channels {c} is not divisible by 4, which pixel_unshuffle needs"
            )));
        }
        for (half, channels, layers) in [
            ("encoder", encoder, &self.encoder_layers_per_block),
            ("decoder", decoder, &self.decoder_layers_per_block),
        ] {
            let first = usize::from(layers[0] == 0); // there is no shortcut to or from the image
            if let Some(pair) = channels[first..]
                .windows(2)
                .find(|pair| !(4 * pair[0]).is_multiple_of(pair[1]))
            {
                return Err(fault(format!(
                    "{half}_block_out_channels {} does not divide four times {}, which the shortcut between these levels needs",
                    pair[1], pair[0]
                )));
            }
        }
        let c = self.latent_channels;
        for (key, wanted, channels) in [
            ("encoder_out_shortcut", self.encoder_out_shortcut, encoder),
            ("decoder_in_shortcut", self.decoder_in_shortcut, decoder),
        ] {
            let last = channels[channels.len() - 1];
            if wanted && !last.is_multiple_of(c) {
                return Err(fault(format!(
                    "{key} needs the last level's {last} channels to be a multiple of latent_channels {c}"
                )));
            }
        }
        Ok(())
    }
}

fn check_levels(half: &str, channels: &[usize], layers: &[usize]) -> Result<()> {
    let levels = channels.len();
    if levels == 0 || channels.contains(&0) {
        return Err(fault("it describes an empty network".into()));
    }
    if levels > LEVELS {
        return Err(fault(format!(
            "{levels} levels are too many; {LEVELS} are the most"
        )));
    }
    if layers.len() != levels {
        return Err(fault(format!(
            "{levels} {half}_block_out_channels and {} {half}_layers_per_block differ in number",
            layers.len()
        )));
    }
    // diffusers leaves the change of resolution out with the blocks, so that the levels around such
    // a one do not fit.
    let inner = layers.iter().take(levels - 1).skip(1);
    if inner.clone().any(|n| *n == 0) || layers == [0] {
        return Err(fault(format!(
            "{half}_layers_per_block is 0 at a level that needs blocks; only the first of several levels, or the last, may have none"
        )));
    }
    Ok(())
}

fn only(supported: &str, key: &str, found: &str) -> Result<()> {
    if found == supported {
        Ok(())
    } else {
        Err(fault(format!(
            "{key} {found} is not supported, only {supported}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A config that is right but for `changes`.
    fn config(changes: Value) -> AutoencoderDCConfig {
        let mut keys = json!({
            "in_channels": 1, "latent_channels": 16,
            "encoder_block_out_channels": [16, 32, 64, 128, 256], "encoder_layers_per_block": [0, 1, 1, 1, 1],
            "decoder_block_out_channels": [16, 32, 64, 128, 256], "decoder_layers_per_block": [0, 1, 2, 2, 3],
        });
        for (key, value) in changes.as_object().expect("keys") {
            keys[key] = value.clone();
        }
        serde_json::from_value(keys).expect("a config")
    }

    #[test]
    fn what_diffusers_builds_by_default_is_right() {
        AutoencoderDCConfig::default().check().unwrap();
        config(json!({})).check().unwrap();
    }

    #[test]
    fn what_does_not_fit_or_is_not_supported_is_named() {
        for (changes, named) in [
            (json!({"latent_channels": 0}), "empty"),
            (
                json!({"encoder_block_types": "EfficientViTBlock"}),
                "encoder_block_types EfficientViTBlock",
            ),
            (
                json!({"decoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"]}),
                "decoder_block_types EfficientViTBlock",
            ),
            (
                json!({"decoder_block_types": ["ResBlock"]}),
                "decoder_block_types names nothing",
            ),
            (json!({"decoder_norm_types": "batch_norm"}), "batch_norm"),
            (
                json!({"encoder_layers_per_block": [0, 1, 1, 1]}),
                "differ in number",
            ),
            (
                json!({"encoder_layers_per_block": [0, 1, 0, 1, 1]}),
                "encoder_layers_per_block is 0",
            ),
            (
                json!({"encoder_block_out_channels": [16], "decoder_block_out_channels": [16],
                       "encoder_layers_per_block": [0], "decoder_layers_per_block": [1]}),
                "encoder_layers_per_block is 0",
            ),
            (
                json!({"decoder_block_out_channels": [16, 32, 64], "decoder_layers_per_block": [0, 1, 1]}),
                "5 and 3",
            ),
            (
                json!({"encoder_block_out_channels": [16, 34, 68, 128, 256]}),
                "34 is not divisible by 4",
            ),
            (
                json!({"decoder_block_out_channels": [16, 32, 48, 128, 256]}),
                "48 does not divide",
            ),
            (json!({"latent_channels": 24}), "encoder_out_shortcut"),
            (
                json!({"latent_channels": 24, "encoder_out_shortcut": false}),
                "decoder_in_shortcut",
            ),
            (
                json!({"downsample_block_type": "pool"}),
                "downsample_block_type pool",
            ),
            (
                json!({"upsample_block_type": "bilinear"}),
                "upsample_block_type bilinear",
            ),
            (json!({"decoder_act_fns": "relu6"}), "relu6"),
            (json!({"decoder_conv_act_fn": "tanh"}), "tanh"),
            (json!({"encoder_sample_size": 128}), "which is missing"),
            (
                json!({"encoder_sample_size": 512, "sample_size": 256}),
                "which is 256",
            ),
            (
                json!({"latents_mean": [0.0], "latents_std": [1.0]}),
                "16 latent_channels",
            ),
        ] {
            let error = config(changes).check().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
