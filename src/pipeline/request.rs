//! What is asked of a pipeline, and what comes of it.

use super::Pipeline;
use crate::components::{ComponentConfigs, MOST_SIDE};
use crate::error::{Error, Result};
use crate::image::{AutoencoderConfig, Image};
use crate::latents::Latents;
use crate::latents::img2img::Img2Img;
use crate::latents::scheduler::{Scheduler, SchedulerKind};
use crate::tensor::HostTensor;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the radiograph should show.
    pub prompt: String,
    /// What it should not show; only heard with `guidance_scale` above 1.
    pub negative_prompt: String,
    /// Stands for the starting noise.
    pub seed: u64,
    /// Denoising steps, at least 1.
    pub num_inference_steps: usize,
    /// Strength of classifier-free guidance; 1 or less is none.
    pub guidance_scale: f64,
    /// `None`: the one that the checkpoint names.
    pub scheduler: Option<SchedulerKind>,
    /// Image width in pixels.
    pub width: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Starting noise `[1, C, h, w]` of variance 1, instead of the seed's.
    pub latents: Option<HostTensor>,
    /// A picture to begin from; `None`: from noise alone.
    pub source: Option<Img2Img>,
    /// Whether [`Generated::attention`] is wanted.
    pub words: bool,
    /// How many images this one was selected from, 1 where it was not. It changes no image; its
    /// file says so.
    pub selected_from: usize,
}

/// A step that was just done.
#[derive(Debug)]
pub struct Step<'a> {
    /// Calls of the U-Net so far, from 1.
    pub index: usize,
    /// Calls of the U-Net in all.
    pub total: usize,
    /// The clean latents as predicted at this step, for a preview.
    pub pred_original_sample: &'a Latents,
    /// What did it.
    pub(super) pipeline: &'a Pipeline,
}

/// Everything that one run makes.
#[derive(Clone, Debug)]
pub struct Generated {
    /// `[1, T, E]`
    pub prompt_embeds: HostTensor,
    /// Final latents as the scheduler leaves them, `[1, C, h, w]`.
    pub latents: HostTensor,
    /// `[1, 1|3, H, W]` in -1 to 1.
    pub image: HostTensor,
    /// Tokens of the prompt that did not fit.
    pub truncated: usize,
    /// What came of f16, where the image had to be drawn once more in f32.
    pub repeated: Option<String>,
    /// How much of the attention of each latent position each token of the prompt got, `[T, h, w]`,
    /// which sums to 1 over the tokens: the mean over heads, layers and steps
    /// ([`crate::embeddings`]). Where it was wanted.
    pub attention: Option<HostTensor>,
}

impl Request {
    /// Checks what can be checked before a model's weights are read, and before anything is drawn.
    ///
    /// # Errors
    /// [`Error::Request`] naming the setting; [`Error::Config`] where the model's schedule is none.
    pub fn check(&self, configs: &ComponentConfigs) -> Result<()> {
        self.latents_shape(&configs.vae)?;
        let mut scheduler = Scheduler::new(&configs.scheduler, self.scheduler)?;
        scheduler.set_timesteps(self.num_inference_steps)?;
        if let Some(source) = &self.source {
            source.begin(scheduler.timesteps().len())?;
        }
        Ok(())
    }

    /// `[1, C, h, w]` of the latents of the requested image.
    pub(super) fn latents_shape(&self, vae: &AutoencoderConfig) -> Result<[usize; 4]> {
        let f = vae.downscale();
        for (field, pixels) in [("width", self.width), ("height", self.height)] {
            if pixels == 0 || !pixels.is_multiple_of(f) {
                let why =
                    format!("{pixels} pixels are not a multiple of {f}, which this model needs");
                return Err(Error::request(field, why));
            }
            if pixels > MOST_SIDE {
                let why = format!("{pixels} pixels are too many; at most {MOST_SIDE} are drawn");
                return Err(Error::request(field, why));
            }
        }
        if !self.guidance_scale.is_finite() {
            let why = format!("{} is not a number to guide with", self.guidance_scale);
            return Err(Error::request("guidance_scale", why));
        }
        if let Some(source) = &self.source {
            source.check(self.width, self.height)?;
        }
        let shape = [1, vae.latent_channels(), self.height / f, self.width / f];
        if let Some(latents) = &self.latents
            && (latents.shape != shape || latents.data.iter().any(|v| !v.is_finite()))
        {
            let why = format!(
                "finite latents of shape {shape:?} are needed, not {:?}",
                latents.shape
            );
            return Err(Error::request("latents", why));
        }
        Ok(shape)
    }
}

impl Step<'_> {
    /// The image that the model expects.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn preview(&self) -> Result<Image> {
        let image = HostTensor::read(self.pipeline.decode(self.pred_original_sample)).await?;
        Ok(Image::from_weight(&image))
    }
}

impl Generated {
    /// # Errors
    /// [`Error::Output`] if the image is none: numbers that are not finite, or every pixel the
    /// same.
    pub fn check(self) -> Result<Self> {
        if let Some(bad) = self.image.data.iter().find(|v| !v.is_finite()) {
            return Err(Error::Output(format!("a pixel is {bad}")));
        }
        let pixels = self.to_image().data;
        if pixels.iter().all(|value| *value == pixels[0]) {
            return Err(Error::Output(
                "every pixel is equal; try another seed, or the other backend".into(),
            ));
        }
        Ok(self)
    }

    /// The image in 8 bits.
    pub fn to_image(&self) -> Image {
        Image::from_weight(&self.image)
    }
}
