//! Between burn's tensors and the kernels. Each function is `None` for tensors that it cannot take: those of another backend, and
//! those that gradients are wanted of.

use super::attention::{self as heads, Sizes};
use super::cache::{Form, made};
#[cfg(feature = "training")]
use super::gradient;
use super::norm::{self, Affine, Moments};
use super::panels::Panels;
use super::patches::Patches;
use super::product::{Finish, Matrix, product};
use super::winograd;
use super::{filled_chunks, map_chunks, share_images};
use crate::kernels::{Activation, Added, conv2d::zeros_around};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, LayerNorm, Linear};
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use burn_flex::{Flex, FlexTensor, Layout};

/// A tensor that lies here, in f32, without gradients.
fn here<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    if crate::kernels::is_plain() || tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.try_into_primitive::<Flex>().ok()
}

/// Whether a tensor lies here, with gradients or without.
fn lies_here<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "training")]
    if gradient::takes(tensor) {
        return true;
    }
    here(tensor.clone()).is_some()
}

/// The values of a tensor where they follow one another.
pub(super) fn values(tensor: &FlexTensor) -> Option<&[f32]> {
    let (start, end) = tensor.layout().contiguous_offsets()?;
    tensor.storage::<f32>().get(start..end)
}

/// A tensor's values, one after another.
fn dense<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    here(tensor).map(|tensor| tensor.to_contiguous())
}

/// A map's values, pixel by pixel.
fn pixels(x: Tensor<4>) -> Option<FlexTensor> {
    here(x).map(|x| x.permute(&[0, 2, 3, 1]).to_contiguous())
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    let layout = Layout::contiguous(shape.into());
    Tensor::from_primitive::<Flex>(FlexTensor::new(
        Bytes::from_elems(values),
        layout,
        DType::F32,
    ))
}

/// A map of values that lie pixel by pixel, `[B, h, w, C]` to `[B, C, h, w]`.
fn mapped(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    tensor(values, shape).permute([0, 3, 1, 2])
}

/// How a convolution goes over its input.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub batch: usize,
    pub channels: [usize; 2],
    pub size: [usize; 2],
    pub out_size: [usize; 2],
    pub side: usize,
    pub stride: usize,
    pub padding: usize,
    pub doubled: bool,
    /// The weights change from call to call, as in a training.
    pub fresh: bool,
}

impl Geometry {
    /// `None` for a convolution that the kernels do not know.
    pub fn of(conv: &Conv2d, x: &Tensor<4>, doubled: bool) -> Option<Self> {
        let [side, columns] = conv.kernel_size;
        let [stride, across] = conv.stride;
        let [top, left, bottom, right] = zeros_around(conv)?;
        let usual = conv.dilation == [1, 1] && conv.groups == 1 && stride == across;
        if !usual || side != columns || top != left || bottom != right {
            return None;
        }
        let [batch, c_in, h, w] = x.dims();
        let zoom = if doubled { 2 } else { 1 };
        let out = [h, w].map(|n| (n * zoom + top + bottom).checked_sub(side));
        let [Some(out_h), Some(out_w)] = out else {
            return None;
        };
        Some(Self {
            batch,
            channels: [c_in, conv.weight.dims()[0]],
            size: [h, w],
            out_size: [out_h / stride + 1, out_w / stride + 1],
            side,
            stride,
            padding: top,
            doubled,
            fresh: false,
        })
    }

    /// Side of Winograd's tiles, where the convolution can be computed so and gains by it.
    pub fn winograd(&self) -> Option<usize> {
        let zoom = if self.doubled { 2 } else { 1 };
        let same = self.out_size == self.size.map(|n| n * zoom);
        let usual = self.side == 3 && self.stride == 1 && self.padding == 1 && same;
        // Fewer channels do not fill the vectors of the transform.
        let wide = self.channels[0] >= 8;
        winograd::side(self.batch, self.out_size, self.fresh).filter(|_| usual && wide)
    }

    /// What the taps see of the input, `[B, h, w, C_in]`.
    pub fn patches<'a>(&self, images: &'a [f32], outside: &'a [f32]) -> Patches<'a> {
        Patches {
            images,
            size: self.size,
            channels: self.channels[0],
            outside,
            side: self.side,
            stride: self.stride,
            padding: self.padding,
            doubled: self.doubled,
            out_size: self.out_size,
        }
    }

    /// The weights `[C_out, C_in, side, side]` as the products take them.
    pub fn panels(&self, weight: &[f32]) -> Panels {
        let [c_in, c_out] = self.channels;
        match self.winograd() {
            Some(m) => {
                let filters = weight.as_chunks::<9>().0;
                winograd::weights([c_in, c_out], m, false, |k, c| &filters[c * c_in + k])
            }
            None if self.side == 1 => Panels::of_columns(weight, [c_in, c_out]),
            None => {
                let taps = self.side * self.side;
                let value = |k: usize, c: usize| weight[(c * c_in + k % c_in) * taps + k / c_in];
                Panels::new(taps * c_in, c_out, value)
            }
        }
    }

    /// The convolution of `[B, h, w, C_in]`.
    pub fn convolve(&self, x: &[f32], panels: &Panels, finish: Finish<'_>) -> Vec<f32> {
        let [c_in, c_out] = self.channels;
        let outside = vec![0.0; c_in];
        let images = self.patches(x, &outside);
        let finish = Finish {
            pixels: self.out_size[0] * self.out_size[1],
            ..finish
        };
        let pixels = self.batch * finish.pixels;
        match self.winograd() {
            Some(m) => winograd::convolve(&images, panels, m, finish, [self.batch, c_out]),
            None => product(&images, panels, finish, [pixels, c_out]),
        }
    }
}

/// As [`crate::kernels::conv2d()`].
pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, doubled: bool, added: &Added) -> Option<Tensor<4>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::conv2d(conv, x, doubled, added) {
        return Some(out);
    }
    let geometry = Geometry::of(conv, x, doubled)?;
    let x = pixels(x.clone())?;
    let weight = here(conv.weight.val())?;
    let bias = match &conv.bias {
        Some(bias) => dense(bias.val())?,
        None => FlexTensor::zeros([0].into(), DType::F32),
    };
    let time = match &added.time {
        Some(time) => Some(dense(time.clone())?),
        None => None,
    };
    let residual = match &added.residual {
        Some(residual) => Some(pixels(residual.clone())?),
        None => None,
    };
    let form = match geometry.winograd() {
        Some(m) => Form::Winograd(m),
        None => Form::Taps,
    };
    let panels = made(&weight, form, |w| geometry.panels(w));
    let finish = Finish {
        shift: values(&bias)?,
        time: time.as_ref().and_then(values),
        residual: residual.as_ref().and_then(values),
        ..Finish::default()
    };
    let out = geometry.convolve(values(&x)?, &panels, finish);
    let [h, w] = geometry.out_size;
    Some(mapped(out, [geometry.batch, h, w, geometry.channels[1]]))
}

/// As [`crate::kernels::linear()`], and as [`crate::kernels::geglu()`] where it is `gated`.
pub fn linear(
    layer: &Linear,
    x: &Tensor<3>,
    activation: Activation,
    gated: bool,
    residual: Option<&Tensor<3>>,
) -> Option<Tensor<3>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::linear(layer, x, activation, gated, residual) {
        return Some(out);
    }
    let [b, t, c_in] = x.dims();
    let rows = layer.weight.dims()[1];
    let x = dense(x.clone())?;
    let weight = here(layer.weight.val())?;
    let bias = match &layer.bias {
        Some(bias) => dense(bias.val())?,
        None => FlexTensor::zeros([rows].into(), DType::F32),
    };
    let residual = match residual {
        Some(residual) => Some(dense(residual.clone())?),
        None => None,
    };
    let residual = match &residual {
        Some(residual) => Some(values(residual)?),
        None => None,
    };
    let form = if gated { Form::Gated } else { Form::Linear };
    let panels = made(&weight, form, |w| match gated {
        true => Panels::gated(c_in, rows, |k, c| w[k * rows + c]),
        false => Panels::of_rows(w, [c_in, rows]),
    });
    let c_out = if gated { rows / 2 } else { rows };
    let matrix = Matrix {
        values: values(&x)?,
        width: c_in,
    };
    let finish = Finish {
        shift: values(&bias)?,
        residual,
        activation,
        gated,
        ..Finish::default()
    };
    let out = product(&matrix, &panels, finish, [b * t, c_out]);
    Some(tensor(out, [b, t, c_out]))
}

/// As [`crate::kernels::group_norm()`].
pub fn group_norm(norm: &GroupNorm, x: &Tensor<4>, activated: bool) -> Option<Tensor<4>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::group_norm(norm, x, activated) {
        return Some(out);
    }
    let (gamma, beta) = (norm.gamma.as_ref()?, norm.beta.as_ref()?);
    let [b, c, h, w] = x.dims();
    let x = pixels(x.clone())?;
    let (gamma, beta) = (dense(gamma.val())?, dense(beta.val())?);
    let affine = Affine {
        gamma: values(&gamma)?,
        beta: values(&beta)?,
        epsilon: norm.epsilon,
    };
    let (out, _) = normalize(values(&x)?, b, &affine, norm.num_groups, activated);
    Some(mapped(out, [b, h, w, c]))
}

/// The group normalisation of `[B, P, C]`, and the moments that its backward pass wants.
pub(in crate::kernels::cpu) fn normalize(
    x: &[f32],
    batch: usize,
    affine: &Affine<'_>,
    groups: usize,
    activated: bool,
) -> (Vec<f32>, Moments) {
    let c = affine.gamma.len();
    let size = (x.len() / batch.max(1)).max(1);
    let images = share_images(batch, norm::COST * size);
    let moments = map_chunks(x, images * size, |x| {
        let images = x.chunks(size);
        let moments = images.map(|x| norm::moments(x, c, groups, affine.epsilon));
        moments.collect::<Vec<_>>()
    });
    let moments = moments.concat();
    let out = filled_chunks(x.len(), images * size, |i, out| {
        let x = x[i * images * size..].chunks(size);
        for ((x, out), [mean, scale]) in x.zip(out.chunks_mut(size)).zip(&moments[i * images..]) {
            norm::group_norm(x, [mean, scale], affine, activated, out);
        }
    });
    let all = |which: usize| {
        moments
            .iter()
            .flat_map(|m| m[which].iter().copied())
            .collect()
    };
    let [mean, scale] = [0, 1].map(all);
    (out, Moments { mean, scale })
}

/// As [`crate::kernels::layer_norm()`].
pub fn layer_norm(norm: &LayerNorm, epsilon: f64, x: &Tensor<3>) -> Option<Tensor<3>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::layer_norm(norm, epsilon, x) {
        return Some(out);
    }
    let shape = x.dims();
    let x = dense(x.clone())?;
    let (gamma, beta) = (dense(norm.gamma.val())?, dense(norm.beta.as_ref()?.val())?);
    let affine = Affine {
        gamma: values(&gamma)?,
        beta: values(&beta)?,
        epsilon,
    };
    let mut out = vec![0.0; shape.iter().product()];
    norm::layer_norm(values(&x)?, &affine, &mut out);
    Some(tensor(out, shape))
}

/// As [`crate::kernels::attention()`].
pub fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Option<Tensor<3>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::attention([q, k, v], heads, is_causal) {
        return Some(out);
    }
    let [b, queries, channels] = q.dims();
    let keys = k.dims()[1];
    let [q, k, v] = [dense(q.clone())?, dense(k.clone())?, dense(v.clone())?];
    let sizes = Sizes {
        keys,
        channels,
        heads,
        is_causal,
    };
    let out = attend([values(&q)?, values(&k)?, values(&v)?], b, sizes);
    Some(tensor(out, [b, queries, channels]))
}

/// Attention of `[B, Tq, C]` to `[B, Tk, C]`.
pub(in crate::kernels::cpu) fn attend(
    [q, k, v]: [&[f32]; 3],
    batch: usize,
    sizes: Sizes,
) -> Vec<f32> {
    let of_queries = (q.len() / batch.max(1)).max(1);
    let of_keys = (sizes.keys * sizes.channels).max(1);
    let images = share_images(batch, 2 * of_queries * sizes.keys);
    filled_chunks(q.len(), images * of_queries, |i, out| {
        let images = i * images..;
        for (image, out) in images.zip(out.chunks_mut(of_queries)) {
            let [k, v] = [k, v].map(|all| &all[image * of_keys..][..of_keys]);
            heads::attention(&q[image * of_queries..][..of_queries], k, v, sizes, out);
        }
    })
}

/// As [`crate::kernels::rows()`]: no value moves.
pub fn rows(x: &Tensor<4>) -> Option<Tensor<3>> {
    let [b, c, h, w] = x.dims();
    lies_here(x).then_some(())?;
    Some(x.clone().permute([0, 2, 3, 1]).reshape([b, h * w, c]))
}

/// As [`crate::kernels::map()`]: no value moves.
pub fn map(rows: &Tensor<3>, [h, w]: [usize; 2]) -> Option<Tensor<4>> {
    let [b, _, c] = rows.dims();
    lies_here(rows).then_some(())?;
    Some(rows.clone().reshape([b, h, w, c]).permute([0, 3, 1, 2]))
}

/// As [`crate::kernels::concatenate()`].
pub fn concatenate(x: &Tensor<4>, y: &Tensor<4>) -> Option<Tensor<4>> {
    #[cfg(feature = "training")]
    if let Some(out) = gradient::concatenate(x, y) {
        return Some(out);
    }
    here(x.clone())?;
    let [x, y] = [x, y].map(|x| x.clone().permute([0, 2, 3, 1]));
    Some(Tensor::cat(vec![x, y], 3).permute([0, 3, 1, 2]))
}
