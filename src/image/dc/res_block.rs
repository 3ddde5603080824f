//! `ResBlock` of `AutoencoderDC`, and what it is made of.

use std::str::FromStr;

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::activation::{gelu, mish, relu, silu};

use super::order::in_order;
use crate::error::{Error, Result};
use crate::image::fault;
use crate::kernels::{self, Fused};
use crate::nn::conv3x3;

/// `eps` of diffusers' `get_normalization`, and of the decoder's last norm.
const EPS: f64 = 1e-5;

/// Activations by their names in diffusers' `models/activations.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Silu,
    Relu,
    Gelu,
    Mish,
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "silu" | "swish" => Ok(Self::Silu),
            "relu" => Ok(Self::Relu),
            "gelu" => Ok(Self::Gelu),
            "mish" => Ok(Self::Mish),
            _ => Err(fault(format!(
                "activation {name} is not supported, only silu, relu, gelu and mish"
            ))),
        }
    }
}

impl Activation {
    pub(super) fn forward(self, x: Tensor<4>) -> Tensor<4> {
        if self == Self::Silu
            && let Some(out) = kernels::silu(&x)
        {
            return out;
        }
        in_order([x], |[x], _| match self {
            Self::Silu => silu(x),
            Self::Relu => relu(x),
            Self::Gelu => gelu(x),
            Self::Mish => mish(x),
        })
    }
}

/// A convolution and what is added to it.
pub(super) fn convolve(conv: &Conv2d, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
    let fused = Fused {
        residual,
        ..Fused::default()
    };
    kernels::conv2d_fused(conv, x, fused)
}

/// The channels of each pixel over their root mean square (Zhang and Sennrich 2019,
/// arXiv:1910.07467), times `weight`, plus `bias`.
#[derive(Module, Debug)]
pub(super) struct RMSNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl RMSNorm {
    pub(super) fn init(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
        }
    }

    /// # Shapes
    /// - `x`, output: `[B, C, h, w]`; and so is `residual`, which is added
    pub(super) fn forward(&self, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if let Some(out) = kernels::rms_norm([&weight, &bias], EPS, &x, residual.as_ref()) {
            return out;
        }
        let norm = |x: Tensor<4>, axis: usize| {
            let mut shape = [1; 4];
            shape[axis] = x.dims()[axis];
            let dtype = x.dtype();
            let x = x.cast(FloatDType::F32); // squares leave f16's range
            let squares = (x.clone() * x.clone()).mean_dim(axis);
            let scale = (squares + EPS).sqrt().recip();
            let out = x * scale * weight.reshape(shape) + bias.reshape(shape);
            out.cast(dtype)
        };
        match residual {
            Some(residual) => in_order([x, residual], |[x, residual], axis| {
                norm(x, axis) + residual
            }),
            None => in_order([x], |[x], axis| norm(x, axis)),
        }
    }
}

/// Convolution, activation, convolution, norm; plus the input (diffusers: class `ResBlock`).
#[derive(Module, Debug)]
pub(super) struct ResBlock {
    conv1: Conv2d,
    conv2: Conv2d,
    norm: RMSNorm,
    #[module(skip)]
    act: Activation,
}

impl ResBlock {
    pub(super) fn init(channels: usize, act: Activation, device: &Device) -> Self {
        Self {
            conv1: conv3x3(channels, channels, device),
            conv2: Conv2dConfig::new([channels, channels], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device),
            norm: RMSNorm::init(channels, device),
            act,
        }
    }

    /// # Shapes
    /// - `x`, output: `[B, C, h, w]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [x, residual] = kernels::fork(x);
        let h = self.act.forward(convolve(&self.conv1, x, None));
        let h = convolve(&self.conv2, h, None);
        self.norm.forward(h, Some(residual))
    }
}
