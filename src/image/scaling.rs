//! Latents as an autoencoder makes them, and as diffusion sees them.

use burn::prelude::*;

use super::fault;
use crate::error::Result;

/// `(z - mean) / std * scaling_factor`, with `mean` 0 and `std` 1 where the config names none.
///
/// `latents_mean` and `latents_std` hold a number for each channel; they give all channels one
/// variance, so that one noise level is as strong in each. Formula and keys are those of diffusers'
/// `StableDiffusionXLImg2ImgPipeline` and `LTXPipeline`. `shift_factor` is a mean for all channels
/// alike (`StableDiffusion3Pipeline`).
#[derive(Clone, Debug, PartialEq)]
pub struct LatentScaling {
    /// What is subtracted: one number, or one for each channel.
    mean: Vec<f64>,
    /// What the difference is multiplied by: as many numbers.
    factor: Vec<f64>,
}

impl LatentScaling {
    /// From a config's keys, for latents of so many `channels`. `by_channel` is `latents_mean` and
    /// `latents_std`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a number cannot scale, if only one of the two lists is there, if
    /// they have other lengths than there are channels, or if `shift_factor` is there too.
    pub fn new(
        scaling_factor: f64,
        shift_factor: Option<f64>,
        by_channel: (Option<&[f64]>, Option<&[f64]>),
        channels: usize,
    ) -> Result<Self> {
        let shift = shift_factor.unwrap_or(0.0);
        if !scaling_factor.is_finite() || scaling_factor == 0.0 || !shift.is_finite() {
            return Err(fault(format!(
                "scaling_factor is {scaling_factor} and shift_factor {shift}; finite numbers are needed, the first not 0"
            )));
        }
        let (mean, std) = match by_channel {
            (None, None) => {
                return Ok(Self {
                    mean: vec![shift],
                    factor: vec![scaling_factor],
                });
            }
            (Some(mean), Some(std)) => (mean, std),
            _ => {
                return Err(fault(
                    "it has one of latents_mean and latents_std; give both or none".into(),
                ));
            }
        };
        if shift != 0.0 {
            return Err(fault(
                "it has latents_mean and shift_factor, which mean the same; leave shift_factor out"
                    .into(),
            ));
        }
        if mean.len() != channels || std.len() != channels {
            return Err(fault(format!(
                "latents_mean has {} numbers and latents_std {} for {channels} latent_channels",
                mean.len(),
                std.len()
            )));
        }
        let usable = |std: &f64| std.is_finite() && *std > 0.0;
        if !mean.iter().all(|m| m.is_finite()) || !std.iter().all(usable) {
            return Err(fault(
                "latents_mean must hold finite numbers and latents_std numbers above 0".into(),
            ));
        }
        Ok(Self {
            mean: mean.to_vec(),
            factor: std.iter().map(|std| scaling_factor / std).collect(),
        })
    }

    /// Mean and factor of a channel: diffusion sees `(z - mean) * factor`.
    pub fn of_channel(&self, channel: usize) -> (f64, f64) {
        let at = channel.min(self.mean.len() - 1);
        (self.mean[at], self.factor[at])
    }

    /// As diffusion sees latents `[B, C, h, w]`.
    pub fn scale(&self, latents: Tensor<4>) -> Tensor<4> {
        match (&self.mean[..], &self.factor[..]) {
            ([mean], [factor]) => (latents - *mean) * *factor,
            (mean, factor) => {
                let [mean, factor] = [mean, factor].map(|values| of_channels(values, &latents));
                (latents - mean) * factor
            }
        }
    }

    /// The inverse of [`Self::scale`].
    pub fn unscale(&self, latents: Tensor<4>) -> Tensor<4> {
        match (&self.mean[..], &self.factor[..]) {
            ([mean], [factor]) => latents / *factor + *mean,
            (mean, factor) => {
                let [mean, factor] = [mean, factor].map(|values| of_channels(values, &latents));
                latents / factor + mean
            }
        }
    }
}

/// Numbers as `[1, C, 1, 1]`, beside `latents` and of their type.
fn of_channels(values: &[f64], latents: &Tensor<4>) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1]);
    Tensor::from_data(data, (&latents.device(), latents.dtype()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_scale_is_refused() {
        let two = [1.0, 2.0];
        for (scaling_factor, shift_factor, mean, std, named) in [
            (0.0, None, None, None, "scaling_factor"),
            (f64::NAN, None, None, None, "scaling_factor"),
            (1.0, Some(f64::INFINITY), None, None, "shift_factor"),
            (1.0, None, Some(&two[..]), None, "give both"),
            (1.0, None, None, Some(&two[..]), "give both"),
            (
                1.0,
                Some(0.1),
                Some(&two[..]),
                Some(&two[..]),
                "leave shift_factor out",
            ),
            (
                1.0,
                None,
                Some(&two[..1]),
                Some(&two[..]),
                "2 latent_channels",
            ),
            (1.0, None, Some(&two[..]), Some(&[1.0, 0.0][..]), "above 0"),
            (
                1.0,
                None,
                Some(&[f64::NAN, 0.0][..]),
                Some(&two[..]),
                "finite",
            ),
        ] {
            let error = LatentScaling::new(scaling_factor, shift_factor, (mean, std), 2);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_channel_has_its_own_numbers_or_those_of_all() {
        let (mean, std) = ([0.5, -1.0], [2.0, 4.0]);
        let own = LatentScaling::new(0.5, None, (Some(&mean), Some(&std)), 2).unwrap();
        assert_eq!(
            [own.of_channel(0), own.of_channel(1)],
            [(0.5, 0.25), (-1.0, 0.125)]
        );
        let all = LatentScaling::new(0.5, Some(0.1), (None, None), 2).unwrap();
        assert_eq!([all.of_channel(0), all.of_channel(1)], [(0.1, 0.5); 2]);
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn there_and_back_nothing_changes() {
        let device = Device::flex();
        let z = Tensor::<4>::from_data([[[[3.0f32]], [[7.0]]]], &device);
        let (mean, std) = ([1.0, -1.0], [2.0, 4.0]);
        for (by_channel, expected) in [
            ((None, None), [1.5f32, 3.5]),
            ((Some(&mean[..]), Some(&std[..])), [0.5, 1.0]),
        ] {
            let scaling = LatentScaling::new(0.5, None, by_channel, 2).unwrap();
            let scaled = scaling.scale(z.clone());
            assert_eq!(
                scaled.to_data(),
                TensorData::new(expected.to_vec(), [1, 2, 1, 1])
            );
            assert_eq!(scaling.unscale(scaled).to_data(), z.to_data());
        }
    }
}
