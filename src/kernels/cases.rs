//! One operation on one shape, with numbers made for it: what kernels are tested and measured with, natively and in a browser.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNormConfig, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;

use super::{Activation, Added, attention, conv2d, geglu, group_norm, layer_norm, linear};
use crate::error::{Error, Result};
use crate::parity::relative_l2;

/// An operation and the shapes that it is for.
#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// `[B, C_in, h, w]` to `C_out` channels.
    Conv2d {
        /// `[B, C_in, h, w]`
        shape: [usize; 4],
        /// `C_out`
        channels: usize,
        /// Taps in a row.
        side: usize,
        /// 1 or 2.
        stride: usize,
        /// Zeros above and on the left; there is one row more below where it is 0 and the stride 2.
        padding: usize,
        /// Of the input at twice its resolution.
        doubled: bool,
        /// With time embedding and residual.
        added: bool,
    },
    /// `[B, T, in]` to `out`.
    Linear {
        /// `[B, T, in]`
        shape: [usize; 3],
        /// `out`; half of them where it is gated.
        channels: usize,
        /// `None` for GEGLU.
        activation: Option<Activation>,
        /// With a residual.
        added: bool,
        /// The input lies channel by channel.
        transposed: bool,
    },
    /// `[B, C, h, w]`
    GroupNorm {
        /// `[B, C, h, w]`
        shape: [usize; 4],
        /// Groups.
        groups: usize,
        /// With SiLU.
        activated: bool,
    },
    /// `[B, T, C]`
    LayerNorm {
        /// `[B, T, C]`
        shape: [usize; 3],
        /// The input lies channel by channel.
        transposed: bool,
    },
    /// `[B, Tq, C]` to `Tk` keys.
    Attention {
        /// `[B, Tq, C]`
        shape: [usize; 3],
        /// `Tk`
        keys: usize,
        /// Heads.
        heads: usize,
        /// Keys up to the query's own place.
        is_causal: bool,
    },
}

/// Even numbers from `-scale` to `scale`, other ones for each `place` of a case. Hashed (Wellons' lowbias32), as the largest weight
/// has 29 million.
fn values<const D: usize>(shape: [usize; D], scale: f32, place: u32, device: &Device) -> Tensor<D> {
    let value = |i: u32| {
        let mut x = i.wrapping_mul(8).wrapping_add(place);
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        (x as f32 / 2f32.powi(31) - 1.0) * scale
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u32)
        .map(value)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn param<const D: usize>(
    shape: [usize; D],
    scale: f32,
    place: u32,
    device: &Device,
) -> Param<Tensor<D>> {
    Param::from_tensor(values(shape, scale, place, device))
}

/// A tensor that lies transposed in memory.
fn lying(x: Tensor<3>, transposed: bool) -> Tensor<3> {
    match transposed {
        true => {
            let [b, t, c] = x.dims();
            let moved = x.swap_dims(1, 2).reshape([b, c * t]);
            moved.reshape([b, c, t]).swap_dims(1, 2)
        }
        false => x,
    }
}

impl Case {
    /// Runs the case on a device, with a kernel where one can be taken.
    pub fn run(&self, device: &Device) -> Box<dyn Fn() -> Tensor<1>> {
        let device = device.clone();
        match *self {
            Case::Conv2d {
                shape,
                channels,
                side,
                stride,
                padding,
                doubled,
                added,
            } => {
                let [b, c_in, h, w] = shape;
                let conv = conv(c_in, channels, side, stride, padding, &device);
                let x = values(shape, 1.0, 1, &device);
                let zoom = if doubled { 2 } else { 1 };
                let more = if padding == 0 && stride == 2 {
                    1
                } else {
                    padding
                };
                let out = |n: usize| (n * zoom + padding + more - side) / stride + 1;
                let added = match added {
                    true => Added {
                        time: Some(values([b, channels], 1.0, 4, &device)),
                        residual: Some(values([b, channels, out(h), out(w)], 1.0, 5, &device)),
                    },
                    false => Added::default(),
                };
                Box::new(move || flat(conv2d(&conv, x.clone(), doubled, added.clone())))
            }
            Case::Linear {
                shape,
                channels,
                activation,
                added,
                transposed,
            } => {
                let [b, t, c_in] = shape;
                let layer = layer(c_in, channels, &device);
                let x = lying(values(shape, 1.0, 1, &device), transposed);
                let residual = added.then(|| values([b, t, channels], 1.0, 4, &device));
                Box::new(move || {
                    flat(match activation {
                        Some(activation) => linear(&layer, x.clone(), activation, residual.clone()),
                        None => geglu(&layer, x.clone()),
                    })
                })
            }
            Case::GroupNorm {
                shape,
                groups,
                activated,
            } => {
                let c = shape[1];
                let mut norm = GroupNormConfig::new(groups, c)
                    .with_epsilon(1e-6)
                    .init(&device);
                norm.gamma = Some(param([c], 1.0, 2, &device));
                norm.beta = Some(param([c], 1.0, 3, &device));
                let x = values(shape, 2.0, 1, &device) + 3.0; // far from zero, where variances lose digits
                Box::new(move || flat(group_norm(&norm, x.clone(), activated)))
            }
            Case::LayerNorm { shape, transposed } => {
                let c = shape[2];
                let mut norm = LayerNormConfig::new(c).init(&device);
                norm.gamma = param([c], 1.0, 2, &device);
                norm.beta = Some(param([c], 1.0, 3, &device));
                let x = lying(values(shape, 2.0, 1, &device) + 3.0, transposed);
                Box::new(move || flat(layer_norm(&norm, 1e-5, x.clone())))
            }
            Case::Attention {
                shape,
                keys,
                heads,
                is_causal,
            } => {
                let [b, _, c] = shape;
                let q = values(shape, 1.5, 1, &device);
                let k = lying(values([b, keys, c], 1.5, 2, &device), !is_causal);
                let v = lying(values([b, keys, c], 1.0, 3, &device), !is_causal);
                Box::new(move || flat(attention(q.clone(), k.clone(), v.clone(), heads, is_causal)))
            }
        }
    }
}

fn conv(
    c_in: usize,
    c_out: usize,
    side: usize,
    stride: usize,
    padding: usize,
    device: &Device,
) -> Conv2d {
    let more = if padding == 0 && stride == 2 {
        1
    } else {
        padding
    };
    let mut conv = Conv2dConfig::new([c_in, c_out], [side, side])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, more, more))
        .init(device);
    let scale = 1.0 / ((c_in * side * side) as f32).sqrt();
    conv.weight = param([c_out, c_in, side, side], scale, 2, device);
    conv.bias = Some(param([c_out], 1.0, 3, device));
    conv
}

fn layer(c_in: usize, c_out: usize, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(c_in, c_out).init(device);
    layer.weight = param([c_in, c_out], 1.0 / (c_in as f32).sqrt(), 2, device);
    layer.bias = Some(param([c_out], 1.0, 3, device));
    layer
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.shape().num_elements();
    x.reshape([n])
}

/// The relative L2 distance of a case's results on two devices.
///
/// # Errors
/// [`Error::Device`] if a device fails.
pub async fn distance(found: Tensor<1>, expected: Tensor<1>) -> Result<f64> {
    let read = async |x: Tensor<1>| -> Result<Vec<f32>> {
        let data = x
            .into_data_async()
            .await
            .map_err(|e| Error::Device(format!("{e:?}")))?;
        data.try_into_vec_as()
            .map_err(|e| Error::Device(format!("{e:?}")))
    };
    Ok(relative_l2(&read(found).await?, &read(expected).await?))
}
