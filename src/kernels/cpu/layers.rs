//! Between burn's tensors and the kernels. Each function is `None` for tensors that it cannot take: those of another backend, and
//! those that gradients are wanted of.

use super::attention::{self as heads, Sizes};
use super::cache::{Form, made};
use super::norm::{self, Affine};
use super::panels::Panels;
use super::patches::Patches;
use super::points;
use super::product::{Finish, Matrix, product};
use super::winograd;
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

/// As [`crate::kernels::conv2d()`].
pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, doubled: bool, added: &Added) -> Option<Tensor<4>> {
    let [side, columns] = conv.kernel_size;
    let [stride, across] = conv.stride;
    let [top, left, bottom, right] = zeros_around(conv)?;
    let usual = conv.dilation == [1, 1] && conv.groups == 1 && stride == across;
    if !usual || side != columns || top != left || bottom != right {
        return None;
    }
    let [b, c_in, h, w] = x.dims();
    let c_out = conv.weight.dims()[0];
    let zoom = if doubled { 2 } else { 1 };
    let out_size = [h, w].map(|n| (n * zoom + top + bottom).checked_sub(side));
    let [out_h, out_w] = match out_size {
        [Some(h), Some(w)] => [h / stride + 1, w / stride + 1],
        _ => return None,
    };
    let x = pixels(x.clone())?;
    let weight = here(conv.weight.val())?;
    let bias = match &conv.bias {
        Some(bias) => dense(bias.val())?,
        None => FlexTensor::zeros([c_out].into(), DType::F32),
    };
    let time = match &added.time {
        Some(time) => Some(dense(time.clone())?),
        None => None,
    };
    let residual = match &added.residual {
        Some(residual) => Some(pixels(residual.clone())?),
        None => None,
    };
    let same = side == 3 && stride == 1 && [top, bottom] == [1, 1];
    let tile = winograd::side([out_h, out_w]).filter(|_| same);
    let panels = match tile {
        Some(m) => made(&weight, Form::Winograd(m), |w| {
            points::weights(w, [c_out, c_in], m)
        }),
        None => made(&weight, Form::Taps, |w| {
            let taps = side * side;
            let value = |k: usize, c: usize| w[(c * c_in + k % c_in) * taps + k / c_in];
            vec![Panels::new(taps * c_in, c_out, value)]
        }),
    };

    let image_size = h * w * c_in;
    let out_size = out_h * out_w * c_out;
    let mut out = vec![0.0; b * out_size];
    let outside = vec![0.0; c_in];
    for (i, out) in out.chunks_exact_mut(out_size.max(1)).enumerate() {
        let mut shift = values(&bias)?.to_vec();
        if let Some(time) = &time {
            let time = values(time)?[i * c_out..].iter();
            shift.iter_mut().zip(time).for_each(|(a, b)| *a += b);
        }
        let residual = match &residual {
            Some(residual) => Some(&values(residual)?[i * out_size..][..out_size]),
            None => None,
        };
        let image = Patches {
            image: &values(&x)?[i * image_size..][..image_size],
            size: [h, w],
            channels: c_in,
            outside: &outside,
            side,
            stride,
            padding: top,
            doubled,
            out_width: out_w,
        };
        let finish = Finish {
            shift: &shift,
            residual,
            ..Finish::default()
        };
        match tile {
            Some(m) => winograd::convolve(&image, &panels, m, finish, out, c_out),
            None => product(&image, panels.first()?, finish, out, c_out),
        }
    }
    Some(mapped(out, [b, out_h, out_w, c_out]))
}

/// As [`crate::kernels::linear()`], and as [`crate::kernels::geglu()`] where it is `gated`.
pub fn linear(
    layer: &Linear,
    x: &Tensor<3>,
    activation: Activation,
    gated: bool,
    residual: Option<&Tensor<3>>,
) -> Option<Tensor<3>> {
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
    let panels = made(&weight, form, |w| {
        let value = |k: usize, c: usize| w[k * rows + c];
        vec![match gated {
            true => Panels::gated(c_in, rows, value),
            false => Panels::new(c_in, rows, value),
        }]
    });
    let c_out = if gated { rows / 2 } else { rows };
    let mut out = vec![0.0; b * t * c_out];
    let matrix = Matrix {
        values: values(&x)?,
        width: c_in,
    };
    let finish = Finish {
        shift: values(&bias)?,
        residual,
        activation,
        gated,
    };
    product(&matrix, panels.first()?, finish, &mut out, c_out);
    Some(tensor(out, [b, t, c_out]))
}

/// As [`crate::kernels::group_norm()`].
pub fn group_norm(norm: &GroupNorm, x: &Tensor<4>, activated: bool) -> Option<Tensor<4>> {
    let (gamma, beta) = (norm.gamma.as_ref()?, norm.beta.as_ref()?);
    let [b, c, h, w] = x.dims();
    let x = pixels(x.clone())?;
    let (gamma, beta) = (dense(gamma.val())?, dense(beta.val())?);
    let affine = Affine {
        gamma: values(&gamma)?,
        beta: values(&beta)?,
        epsilon: norm.epsilon,
    };
    let size = (h * w * c).max(1);
    let mut out = vec![0.0; b * h * w * c];
    let images = values(&x)?.chunks_exact(size);
    for (x, out) in images.zip(out.chunks_exact_mut(size)) {
        norm::group_norm(x, &affine, norm.num_groups, activated, out);
    }
    Some(mapped(out, [b, h, w, c]))
}

/// As [`crate::kernels::layer_norm()`].
pub fn layer_norm(norm: &LayerNorm, epsilon: f64, x: &Tensor<3>) -> Option<Tensor<3>> {
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
    let [b, queries, channels] = q.dims();
    let keys = k.dims()[1];
    let [q, k, v] = [dense(q.clone())?, dense(k.clone())?, dense(v.clone())?];
    let sizes = Sizes {
        keys,
        channels,
        heads,
        is_causal,
    };
    let mut out = vec![0.0; b * queries * channels];
    let [of_queries, of_keys] = [queries, keys].map(|n| (n * channels).max(1));
    let keys = values(&k)?.chunks_exact(of_keys);
    let pairs = keys.zip(values(&v)?.chunks_exact(of_keys));
    let images = values(&q)?.chunks_exact(of_queries).zip(pairs);
    for ((q, (k, v)), out) in images.zip(out.chunks_exact_mut(of_queries)) {
        heads::attention(q, k, v, sizes, out);
    }
    Some(tensor(out, [b, queries, channels]))
}

/// As [`crate::kernels::rows()`]: no value moves.
pub fn rows(x: &Tensor<4>) -> Option<Tensor<3>> {
    let [b, c, h, w] = x.dims();
    here(x.clone())?;
    Some(x.clone().permute([0, 2, 3, 1]).reshape([b, h * w, c]))
}

/// As [`crate::kernels::map()`]: no value moves.
pub fn map(rows: &Tensor<3>, [h, w]: [usize; 2]) -> Option<Tensor<4>> {
    let [b, _, c] = rows.dims();
    here(rows.clone())?;
    Some(rows.clone().reshape([b, h, w, c]).permute([0, 3, 1, 2]))
}

/// As [`crate::kernels::concatenate()`].
pub fn concatenate(x: &Tensor<4>, y: &Tensor<4>) -> Option<Tensor<4>> {
    here(x.clone())?;
    let [x, y] = [x, y].map(|x| x.clone().permute([0, 2, 3, 1]));
    Some(Tensor::cat(vec![x, y], 3).permute([0, 3, 1, 2]))
}
