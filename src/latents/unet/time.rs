//! Timesteps as sines and cosines, and as an embedding (diffusers: `models/embeddings.py`).

use burn::nn::Linear;
use burn::prelude::*;

use crate::kernels::{self, Activation};
use crate::nn::linear;

/// Sinusoidal features of a timestep (`get_timestep_embedding`).
#[derive(Clone, Debug)]
pub struct Timesteps {
    /// Number of features, even.
    pub num_channels: usize,
    /// Cosines first, as Stable Diffusion has it.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the exponent's denominator.
    pub freq_shift: f64,
}

impl Timesteps {
    /// # Shapes
    /// - `timesteps`: `[B]`
    /// - output: `[B, num_channels]`
    pub fn forward(&self, timesteps: Tensor<1>) -> Tensor<2> {
        let half = self.num_channels / 2;
        let scale = -f64::ln(10_000.0) / (half as f64 - self.freq_shift);
        let frequencies: Vec<f32> = (0..half).map(|i| (i as f64 * scale).exp() as f32).collect();
        let device = timesteps.device();
        let frequencies = Tensor::<1>::from_floats(frequencies.as_slice(), &device);
        let angles = timesteps.unsqueeze_dim::<2>(1) * frequencies.unsqueeze::<2>(); // [B, half]
        let (sin, cos) = (angles.clone().sin(), angles.cos());
        if self.flip_sin_to_cos {
            Tensor::cat(vec![cos, sin], 1)
        } else {
            Tensor::cat(vec![sin, cos], 1)
        }
    }
}

/// Two linear layers with SiLU between.
#[derive(Module, Debug)]
pub struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    /// From `channels` sinusoids to an embedding `width` wide.
    pub fn init(channels: usize, width: usize, device: &Device) -> Self {
        Self {
            linear_1: linear(channels, width, device),
            linear_2: linear(width, width, device),
        }
    }

    /// # Shapes
    /// - `x`: `[B, channels]`; output: `[B, width]`, through one more SiLU, which is where every
    ///   block begins
    /// - `addition`: as the output, added before that SiLU
    pub fn forward(&self, x: Tensor<2>, addition: Option<Tensor<2>>) -> Tensor<2> {
        let x = kernels::linear_rows(&self.linear_1, x, Activation::Silu);
        let last = |activation| kernels::linear_rows(&self.linear_2, x, activation);
        match addition {
            None => last(Activation::Silu),
            Some(addition) => Activation::Silu.plain(last(Activation::None) + addition),
        }
    }
}
