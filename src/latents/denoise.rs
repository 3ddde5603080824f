//! One step from noise towards latents (diffusers: the loop of `StableDiffusionPipeline.__call__`).
//!
//! ```text
//! latents ─scale_model_input─▶ U-Net(text) ─guidance─▶ prediction ─scheduler─▶ latents of the next timestep
//! ```
//!
//! The scheduler computes on the host: its arithmetic is a few thousand values, and every platform
//! then rounds alike.

use burn::prelude::*;
use burn::tensor::FloatDType;

use super::scheduler::{Scheduler, SchedulerOutput};
use super::{Latents, UNet2DConditionModel};
use crate::embeddings::Embeddings;
use crate::error::Result;
use crate::tensor::HostTensor;

/// A U-Net with classifier-free guidance.
#[derive(Debug)]
pub struct Denoiser<'a> {
    /// The network.
    pub unet: &'a UNet2DConditionModel,
    /// Weight of classifier-free guidance. It applies where the embeddings have two rows for each
    /// latent, those without the prompt first.
    pub guidance_scale: f64,
    /// Where the network is.
    pub device: &'a Device,
    /// What it computes in.
    pub dtype: FloatDType,
}

impl Denoiser<'_> {
    /// Takes `latents` from `timestep` to the scheduler's next one.
    ///
    /// # Shapes
    /// - `latents`: `[B, C, h, w]`; `text`: `[B, T, E]`, or `[2 B, T, E]` with guidance
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device fails; those of [`Scheduler::step`].
    pub async fn step(
        &self,
        scheduler: &mut Scheduler,
        latents: &Latents,
        timestep: f64,
        text: &Embeddings,
    ) -> Result<SchedulerOutput<f32>> {
        let input = latents.with(scheduler.scale_model_input(&latents.data));
        let prediction = HostTensor::read(self.predict(&input, timestep, text))
            .await?
            .data;
        let guided = prediction.len() > latents.data.len();
        let prediction = if guided {
            guide(&prediction, self.guidance_scale as f32)
        } else {
            prediction
        };
        scheduler.step(&prediction, &latents.data)
    }

    /// The U-Net's output for each row of `text`, `[B or 2 B, C, h, w]`, before guidance.
    pub fn predict(&self, input: &Latents, timestep: f64, text: &Embeddings) -> Tensor<4> {
        let [rows, _, _] = text.states.dims();
        let sample = input.to_tensor(self.device, self.dtype);
        let sample = sample.repeat_dim(0, rows / input.shape[0]);
        let timesteps = vec![timestep as f32; rows];
        let timesteps = Tensor::<1>::from_floats(timesteps.as_slice(), self.device);
        self.unet.forward(sample, timesteps, text)
    }
}

/// `unconditional + scale * (conditional - unconditional)` of the two halves (Ho and Salimans 2022,
/// eq. 6, with diffusers' meaning of the scale).
fn guide(prediction: &[f32], scale: f32) -> Vec<f32> {
    let (unconditional, conditional) = prediction.split_at(prediction.len() / 2);
    let pairs = unconditional.iter().zip(conditional);
    pairs.map(|(u, c)| u + scale * (c - u)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_goes_from_the_first_half_beyond_the_second() {
        assert_eq!(guide(&[1.0, 0.0, 3.0, -1.0], 2.0), [5.0, -2.0]);
        assert_eq!(guide(&[1.0, 0.0, 3.0, -1.0], 1.0), [3.0, -1.0]);
    }
}
