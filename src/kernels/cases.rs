//! One operation on one shape, with numbers made for it: what kernels are tested and measured with,
//! natively and in a browser.

#[cfg(feature = "training")]
mod gradients;

use burn::module::{Param, Reparameterizer};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNormConfig, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;

use super::{
    Activation, Fused, Packed, attention, conv2d_fused, geglu, group_norm, layer_norm, linear,
};
use crate::bundle::{BLOCK, Quantized};
use crate::device::Precision;
use crate::error::Result;
use crate::parity::relative_l2;
use crate::tensor::HostTensor;
use half::f16;

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
        upsample: bool,
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

/// Number `i` of a `place` of a case. Hashed (Wellons' lowbias32), as the largest weight has 29
/// million.
fn hash(i: u32, place: u32) -> u32 {
    let mut x = i.wrapping_mul(8).wrapping_add(place);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A number from -1 to 1.
fn even(i: u32, place: u32) -> f32 {
    hash(i, place) as f32 / 2f32.powi(31) - 1.0
}

/// Even numbers from `-scale` to `scale`, other ones for each `place` of a case.
fn values<const D: usize>(shape: [usize; D], scale: f32, place: u32, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u32;
    let values: Vec<f32> = (0..count).map(|i| even(i, place) * scale).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What a case is applied to: such numbers, and those of the layer before lie around a `centre`.
/// f16 has each of them, so that a case has the same ones in either precision.
struct Inputs<'a> {
    precision: Precision,
    device: &'a Device,
}

impl Inputs<'_> {
    fn around<const D: usize>(
        &self,
        centre: f32,
        shape: [usize; D],
        scale: f32,
        place: u32,
    ) -> Tensor<D> {
        let count = shape.iter().product::<usize>() as u32;
        let value = |i| f16::from_f32(centre + even(i, place) * scale).to_f32();
        let values: Vec<f32> = (0..count).map(value).collect();
        let values = Tensor::<D>::from_data(TensorData::new(values, shape), self.device);
        values.cast(self.precision.dtype())
    }

    fn of<const D: usize>(&self, shape: [usize; D], scale: f32, place: u32) -> Tensor<D> {
        self.around(0.0, shape, scale, place)
    }
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
    if transposed {
        let [b, t, c] = x.dims();
        let moved = x.swap_dims(1, 2).reshape([b, c * t]);
        moved.reshape([b, c, t]).swap_dims(1, 2)
    } else {
        x
    }
}

impl Case {
    /// Values of its weight, which may be packed where there are any.
    pub fn weights(&self) -> usize {
        match *self {
            Case::Conv2d {
                shape,
                channels,
                side,
                ..
            } => shape[1] * channels * side * side,
            Case::Linear {
                shape, channels, ..
            } => shape[2] * channels,
            _ => 0,
        }
    }

    /// Runs the case on a device, with a kernel where one can be taken, its weight in f32 or packed
    /// in integers of so many `bits`, what it is applied to in this `precision`.
    pub fn run(
        &self,
        bits: Option<usize>,
        precision: Precision,
        device: &Device,
    ) -> Box<dyn Fn() -> Tensor<1>> {
        let device = device.clone();
        let input = Inputs {
            precision,
            device: &device,
        };
        match *self {
            Case::Conv2d {
                shape,
                channels,
                side,
                stride,
                padding,
                upsample,
                added,
            } => {
                let [b, c_in, h, w] = shape;
                let conv = conv([c_in, channels], [side, stride, padding], bits, &device);
                let x = input.of(shape, 1.0, 1);
                let zoom = if upsample { 2 } else { 1 };
                let more = if padding == 0 && stride == 2 {
                    1
                } else {
                    padding
                };
                let out = |n: usize| (n * zoom + padding + more - side) / stride + 1;
                let fused = Fused {
                    upsample,
                    time: added.then(|| values([b, channels], 1.0, 4, &device)),
                    residual: added.then(|| input.of([b, channels, out(h), out(w)], 1.0, 5)),
                };
                Box::new(move || flat(conv2d_fused(&conv, x.clone(), fused.clone())))
            }
            Case::Linear {
                shape,
                channels,
                activation,
                added,
                transposed,
            } => {
                let [b, t, c_in] = shape;
                let layer = layer(c_in, channels, bits, &device);
                let x = lying(input.of(shape, 1.0, 1), transposed);
                let residual = added.then(|| input.of([b, t, channels], 1.0, 4));
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
                // far from zero, where variances lose digits
                let x = input.around(3.0, shape, 2.0, 1);
                Box::new(move || flat(group_norm(&norm, x.clone(), activated)))
            }
            Case::LayerNorm { shape, transposed } => {
                let c = shape[2];
                let mut norm = LayerNormConfig::new(c).init(&device);
                norm.gamma = param([c], 1.0, 2, &device);
                norm.beta = Some(param([c], 1.0, 3, &device));
                let x = lying(input.around(3.0, shape, 2.0, 1), transposed);
                Box::new(move || flat(layer_norm(&norm, 1e-5, x.clone())))
            }
            Case::Attention {
                shape,
                keys,
                heads,
                is_causal,
            } => {
                let [b, _, c] = shape;
                let q = input.of(shape, 1.5, 1);
                let k = lying(input.of([b, keys, c], 1.5, 2), !is_causal);
                let v = lying(input.of([b, keys, c], 1.0, 3), !is_causal);
                Box::new(move || flat(attention(q.clone(), k.clone(), v.clone(), heads, is_causal)))
            }
        }
    }
}

fn conv(
    [c_in, c_out]: [usize; 2],
    [side, stride, padding]: [usize; 3],
    bits: Option<usize>,
    device: &Device,
) -> Conv2d {
    let more = if padding == 0 && stride == 2 {
        1
    } else {
        padding
    };
    let mut conv = Conv2dConfig::new([c_in, c_out], [side, side])
        .with_stride([stride, stride])
        .with_padding(match padding + more {
            0 => PaddingConfig2d::Valid, // as the networks say it
            _ => PaddingConfig2d::Explicit(padding, padding, more, more),
        })
        .init(device);
    conv.bias = Some(param([c_out], 1.0, 3, device));
    conv.apply_reparameterization(Weights { bits })
}

fn layer(c_in: usize, c_out: usize, bits: Option<usize>, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(c_in, c_out).init(device);
    layer.bias = Some(param([c_out], 1.0, 3, device));
    layer.apply_reparameterization(Weights { bits })
}

/// Gives a layer its weight.
struct Weights {
    bits: Option<usize>,
}

impl Reparameterizer for Weights {
    type Reparam = Packed;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Packed>) {
        if path != "weight" {
            return (param, None);
        }
        let (device, shape) = (param.lazy_device(), param.lazy_shape().dims::<D>());
        let (rows, columns) = match shape[..] {
            [columns, rows] => (rows, columns), // burn's linear layers
            _ => (shape[0], shape[1..].iter().product()),
        };
        let scale = 1.0 / (columns as f32).sqrt();
        let Some(bits) = self.bits else {
            return (Param::from_tensor(values(shape, scale, 2, &device)), None);
        };
        let packed = Packed::new(&integers(rows, columns, bits, scale), D == 2, &device);
        let nothing = Tensor::<1>::zeros([1], &device).expand(shape);
        (Param::from_tensor(nothing), Some(packed))
    }
}

/// A weight of integers with values up to about `scale`.
fn integers(rows: usize, columns: usize, bits: usize, scale: f32) -> Quantized {
    let row_bytes = (columns * bits).div_ceil(8);
    let odd = bits == 4 && columns % 2 == 1;
    let byte = |i: usize| match hash(i as u32, 2) as u8 {
        int if odd && i % row_bytes == row_bytes - 1 => int & 15 | 0x80,
        int => int,
    };
    let ints: Vec<u8> = (0..rows * row_bytes).map(byte).collect();
    let blocks = rows * columns.div_ceil(BLOCK);
    let largest = scale / (1 << (bits - 1)) as f32;
    let step = |i: usize| f16::from_f32(largest * (1 + hash(i as u32, 6) % 4) as f32 / 4.0);
    let scales = (0..blocks).map(step).collect();
    Quantized::new("weight", bits, columns, &ints, scales).expect("numbers made to be right")
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
    let [found, expected] = [
        HostTensor::read(found).await?,
        HostTensor::read(expected).await?,
    ];
    Ok(relative_l2(&found.data, &expected.data))
}
