//! Image to image, and inpainting: a picture to begin from instead of noise alone.
//!
//! diffusers: `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline` (with a U-Net
//! of four or so input channels, not the nine of inpainting checkpoints). Two things are done
//! otherwise: the latents of the picture are the mean of their distribution, not a sample, so that
//! a seed stands for one image; and pixels outside of the mask come back exactly as they were,
//! where the autoencoder alone would soften them.

use super::Latents;
use super::scheduler::Scheduler;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::tensor::HostTensor;

/// A picture to begin from.
#[derive(Clone, Debug, PartialEq)]
pub struct Img2Img {
    /// As wide and high as the image to be made. Colours become grey in a grey model.
    pub image: Image,
    /// Where to paint, as large as `image` and of 1 channel: 0 keeps the pixel, 255 replaces it,
    /// values between mix the two. `None`: everywhere.
    pub mask: Option<Image>,
    /// Share of the steps to take, above 0 and at most 1: how little of `image` is left.
    pub strength: f64,
}

impl Img2Img {
    /// # Errors
    /// [`Error::Request`] naming what does not fit an image of `width` times `height` pixels.
    pub(crate) fn check(&self, width: usize, height: usize) -> Result<()> {
        let bad = |field, why| Err(Error::request(field, why));
        if !(self.strength > 0.0 && self.strength <= 1.0) {
            let why = format!("must be above 0 and at most 1, not {}", self.strength);
            return bad("strength", why);
        }
        for (field, picture) in [("image", Some(&self.image)), ("mask", self.mask.as_ref())] {
            let Some(picture) = picture else { continue };
            let channels = picture.channels;
            let known = matches!(channels, 1 | 3 | 4) && (field == "image" || channels == 1);
            let size = (picture.width, picture.height);
            let bytes = picture.data.len();
            if size != (width, height) || !known || bytes != width * height * channels {
                let why = format!(
                    "has {}x{} pixels of {channels} channels in {bytes} bytes where the image to be made has {width}x{height}",
                    size.0, size.1
                );
                return bad(field, why);
            }
        }
        Ok(())
    }

    /// The first of `calls` model calls that is to be made, as diffusers' `get_timesteps` counts.
    ///
    /// # Errors
    /// [`Error::Request`] if none is left.
    pub(crate) fn begin(&self, calls: usize) -> Result<usize> {
        let taken = ((calls as f64 * self.strength) as usize).min(calls);
        if taken == 0 {
            let why = format!(
                "{} of {calls} steps is less than one; raise the strength or the steps",
                self.strength
            );
            return Err(Error::request("strength", why));
        }
        Ok(calls - taken)
    }

    /// Whether nothing of the picture is left under the mask: then diffusers starts from noise
    /// alone.
    fn is_new(&self) -> bool {
        self.mask.is_some() && self.strength == 1.0
    }

    /// `[h * w]`: whether a latent is to be painted, which it is if any of its `f` times `f` pixels
    /// is more than half in the mask. (diffusers looks at the upper left one alone and so loses
    /// thin strokes.)
    fn latent_mask(&self, f: usize) -> Option<Vec<bool>> {
        let mask = self.mask.as_ref()?;
        let (w, h) = (mask.width / f, mask.height / f);
        let painted = |i: usize| {
            let (x, y) = (i % w * f, i / w * f);
            (y..y + f).any(|y| {
                let row = &mask.data[y * mask.width..][x..x + f];
                row.iter().any(|&m| m >= 128)
            })
        };
        Some((0..w * h).map(painted).collect())
    }

    /// `painted` `[1, C, H, W]` in -1 to 1 where the mask says so, the picture elsewhere.
    pub(crate) fn keep_outside(&self, painted: &mut HostTensor) {
        let Some(mask) = &self.mask else { return };
        let picture = self.image.to_weight(painted.shape[1]);
        let plane = mask.data.len();
        for (i, (value, kept)) in painted.data.iter_mut().zip(&picture.data).enumerate() {
            let m = f32::from(mask.data[i % plane]) / 255.0;
            *value = m * *value + (1.0 - m) * kept;
        }
    }
}

/// Where denoising begins, and what of a picture is kept on the way.
#[derive(Debug)]
pub(crate) struct Start {
    /// Before the first call of the U-Net.
    pub latents: Latents,
    /// Index of that call's timestep.
    pub begin: usize,
    kept: Option<Kept>,
}

/// What inpainting keeps.
#[derive(Debug)]
struct Kept {
    /// The picture's latents.
    clean: Vec<f32>,
    noise: Vec<f32>,
    /// `[h * w]`, see [`Img2Img::latent_mask`].
    painted: Vec<bool>,
}

impl Start {
    /// From noise of variance 1 alone.
    pub fn from_noise(scheduler: &Scheduler, noise: &Latents) -> Self {
        let sigma = scheduler.init_noise_sigma() as f32;
        Self {
            latents: noise.with(noise.data.iter().map(|v| v * sigma).collect()),
            begin: 0,
            kept: None,
        }
    }

    /// From a picture with the latents `clean`, at call `begin` of the U-Net, where `scheduler`
    /// goes on. `downscale` is the autoencoder's.
    ///
    /// # Errors
    /// As [`Scheduler::begin_at`].
    pub fn from_picture(
        scheduler: &mut Scheduler,
        picture: &Img2Img,
        begin: usize,
        clean: Vec<f32>,
        noise: &Latents,
        downscale: usize,
    ) -> Result<Self> {
        scheduler.begin_at(begin)?;
        let latents = if picture.is_new() {
            Self::from_noise(scheduler, noise).latents
        } else {
            noise.with(scheduler.add_noise(&clean, &noise.data, begin))
        };
        let kept = picture.latent_mask(downscale).map(|painted| Kept {
            clean,
            noise: noise.data.clone(),
            painted,
        });
        Ok(Self {
            latents,
            begin,
            kept,
        })
    }

    /// Puts the picture back, at the noise before call `index`, wherever the mask keeps it.
    pub fn keep(&self, scheduler: &Scheduler, index: usize, latents: &mut Latents) {
        let Some(kept) = &self.kept else { return };
        let picture = scheduler.add_noise(&kept.clean, &kept.noise, index);
        let places = kept.painted.iter().cycle();
        for ((latent, picture), painted) in latents.data.iter_mut().zip(picture).zip(places) {
            if !painted {
                *latent = picture;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, data: Vec<u8>) -> Image {
        Image {
            width,
            height,
            channels: data.len() / (width * height),
            data,
        }
    }

    fn source(strength: f64, mask: Option<Image>) -> Img2Img {
        Img2Img {
            image: image(4, 2, vec![10; 8]),
            mask,
            strength,
        }
    }

    #[test]
    fn strength_is_a_share_of_the_steps() {
        for (strength, calls, begin) in [(1.0, 20, 0), (0.5, 20, 10), (0.34, 5, 4), (0.05, 20, 19)]
        {
            assert_eq!(source(strength, None).begin(calls).unwrap(), begin);
        }
        let error = source(0.04, None).begin(20).unwrap_err();
        assert!(error.to_string().contains("strength"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut wide = source(0.5, None);
        wide.image.width = 8;
        let small_mask = source(0.5, Some(image(2, 2, vec![0; 4])));
        let colour_mask = source(0.5, Some(image(4, 2, vec![0; 24])));
        for (bad, field) in [
            (source(0.0, None), "strength"),
            (source(f64::NAN, None), "strength"),
            (source(1.1, None), "strength"),
            (wide, "image"),
            (small_mask, "mask"),
            (colour_mask, "mask"),
        ] {
            match bad.check(4, 2) {
                Err(Error::Request { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        source(1.0, Some(image(4, 2, vec![0; 8])))
            .check(4, 2)
            .unwrap();
    }

    #[test]
    fn a_thin_stroke_is_painted_and_the_rest_is_kept() {
        let mut mask = image(4, 2, vec![0; 8]);
        mask.data[7] = 255;
        mask.data[6] = 127;
        let source = source(0.5, Some(mask));
        assert_eq!(source.latent_mask(2).unwrap(), [false, true]);
        let mut painted = HostTensor {
            shape: vec![1, 1, 2, 4],
            data: vec![1.0; 8],
        };
        source.keep_outside(&mut painted);
        let kept = 10.0 / 127.5 - 1.0;
        assert_eq!(painted.data[..6], [kept; 6]);
        assert!(painted.data[6] > kept && painted.data[6] < 1.0);
        assert_eq!(painted.data[7], 1.0);
    }
}
