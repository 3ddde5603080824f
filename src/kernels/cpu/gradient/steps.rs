//! Each operation, forward and backward.

use super::super::attention::Sizes;
use super::super::filled_chunks;
use super::super::layers::{Geometry, attend, normalize};
use super::super::norm::{self as norms, Affine, Moments, column_sums};
use super::super::panels::Panels;
use super::super::product::{Finish, Matrix, product};
use super::record::{Differentiable, Input, flex, record, values};
use super::{attention as heads, conv2d as convolution, linear as layer, norm};
use crate::kernels::{Activation, Added};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, LayerNorm, Linear};
use burn::prelude::*;
use burn_flex::FlexTensor;

/// A map's values, pixel by pixel.
fn pixels(x: &FlexTensor) -> FlexTensor {
    x.permute(&[0, 2, 3, 1]).to_contiguous()
}

/// A map of values that lie pixel by pixel, `[B, h, w, C]` to `[B, C, h, w]`.
fn mapped(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    flex(values, shape).permute(&[0, 3, 1, 2])
}

/// The values of a tensor that may be absent, which has none then.
fn present(tensor: &FlexTensor) -> Option<&[f32]> {
    Some(values(tensor)).filter(|values| !values.is_empty())
}

/// As [`crate::kernels::conv2d()`].
pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, doubled: bool, added: &Added) -> Option<Tensor<4>> {
    let geometry = Geometry {
        fresh: true,
        ..Geometry::of(conv, x, doubled)?
    };
    let inputs = [
        Input::of(x.clone())?,
        Input::of(conv.weight.val())?,
        Input::optional(conv.bias.as_ref().map(|bias| bias.val()))?,
        Input::optional(added.time.clone())?,
        Input::optional(added.residual.clone())?,
    ];
    let [x, weight, bias, time, residual] = inputs.each_ref().map(|input| &input.tensor);
    let has_residual = added.residual.is_some();
    let residual = has_residual.then(|| pixels(residual));
    let (x, weight) = (pixels(x), weight.to_contiguous());
    let time = time.to_contiguous();
    let finish = Finish {
        shift: values(bias),
        time: present(&time),
        residual: residual.as_ref().map(values),
        ..Finish::default()
    };
    let panels = geometry.panels(values(&weight));
    let out = geometry.convolve(values(&x), &panels, finish);
    let [h, w] = geometry.out_size;
    let out = mapped(out, [geometry.batch, h, w, geometry.channels[1]]);
    Some(record(inputs, out, || Convolution {
        geometry,
        x,
        weight,
    }))
}

#[derive(Clone, Debug)]
struct Convolution {
    geometry: Geometry,
    x: FlexTensor,
    weight: FlexTensor,
}

impl Differentiable<5> for Convolution {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 5]) -> [Option<FlexTensor>; 5] {
        let g = &self.geometry;
        let [c_in, c_out] = g.channels;
        let lines = pixels(&dy);
        let lines = values(&lines);
        let [of_x, of_weight, of_bias, of_time, of_residual] = wanted;
        let [h, w] = g.size;
        let x = of_x.then(|| {
            let dx = convolution::of_input(g, values(&self.weight), lines);
            mapped(dx, [g.batch, h, w, c_in])
        });
        let weight = of_weight.then(|| {
            let dw = convolution::of_weight(g, values(&self.x), lines);
            flex(dw, [c_out, c_in, g.side, g.side])
        });
        let sums: Vec<f32> = match of_bias || of_time {
            true => {
                let images = lines.chunks_exact((lines.len() / g.batch).max(1));
                images.flat_map(|image| column_sums(image, c_out)).collect()
            }
            false => vec![],
        };
        let bias = of_bias.then(|| flex(column_sums(&sums, c_out), [c_out]));
        let time = of_time.then(|| flex(sums, [g.batch, c_out]));
        [x, weight, bias, time, of_residual.then_some(dy)]
    }
}

/// As [`crate::kernels::linear()`], and as [`crate::kernels::geglu()`] where it is `gated`.
pub fn linear(
    linear: &Linear,
    x: &Tensor<3>,
    activation: Activation,
    gated: bool,
    residual: Option<&Tensor<3>>,
) -> Option<Tensor<3>> {
    let [b, t, c_in] = x.dims();
    let c_out = linear.weight.dims()[1];
    let inputs = [
        Input::of(x.clone())?,
        Input::of(linear.weight.val())?,
        Input::optional(linear.bias.as_ref().map(|bias| bias.val()))?,
        Input::optional(residual.cloned())?,
    ];
    let [x, weight, bias, residual] = inputs.each_ref().map(|input| input.tensor.to_contiguous());
    let panels = {
        let weight = values(&weight);
        Panels::of_rows(weight, [c_in, c_out])
    };
    let bent = gated || activation != Activation::None;
    let finish = Finish {
        shift: values(&bias),
        residual: present(&residual).filter(|_| !bent),
        ..Finish::default()
    };
    let matrix = Matrix {
        values: values(&x),
        width: c_in,
    };
    let sums = product(&matrix, &panels, finish, [b * t, c_out]);
    let width = if gated { c_out / 2 } else { c_out };
    let (out, before) = match bent {
        false => (sums, None),
        true => {
            let mut out = match gated {
                true => layer::gated(&sums, width),
                false => layer::activated(&sums, activation),
            };
            if let Some(residual) = present(&residual) {
                out.iter_mut().zip(residual).for_each(|(out, x)| *out += x);
            }
            (out, Some(flex(sums, [b, t, c_out])))
        }
    };
    Some(record(inputs, flex(out, [b, t, width]), || Layer {
        x,
        weight,
        before,
        activation,
        gated,
    }))
}

#[derive(Clone, Debug)]
struct Layer {
    x: FlexTensor,
    weight: FlexTensor,
    /// The sums, where something was applied to them.
    before: Option<FlexTensor>,
    activation: Activation,
    gated: bool,
}

impl Differentiable<4> for Layer {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [of_x, of_weight, of_bias, of_residual] = wanted;
        let lines = dy.to_contiguous();
        let shape = self.weight.layout().shape();
        let sizes = [shape[0], shape[1]];
        let [c_in, c_out] = sizes;
        let bent = self.before.as_ref().map(|z| match self.gated {
            true => layer::before_gate(values(z), values(&lines), c_out / 2),
            false => layer::before(values(z), values(&lines), self.activation),
        });
        let dz = bent.as_deref().unwrap_or(values(&lines));
        let x_shape: [usize; 3] = std::array::from_fn(|i| self.x.layout().shape()[i]);
        let x = of_x.then(|| flex(layer::of_input(values(&self.weight), dz, sizes), x_shape));
        let weight =
            of_weight.then(|| flex(layer::of_weight(values(&self.x), dz, sizes), [c_in, c_out]));
        let bias = of_bias.then(|| flex(layer::of_bias(dz, c_out), [c_out]));
        [x, weight, bias, of_residual.then_some(dy)]
    }
}

/// As [`crate::kernels::group_norm()`].
pub fn group_norm(norm: &GroupNorm, x: &Tensor<4>, activated: bool) -> Option<Tensor<4>> {
    let [b, c, h, w] = x.dims();
    let inputs = [
        Input::of(x.clone())?,
        Input::of(norm.gamma.as_ref()?.val())?,
        Input::of(norm.beta.as_ref()?.val())?,
    ];
    let [x, gamma, beta] = inputs.each_ref().map(|input| &input.tensor);
    let (x, gamma, beta) = (pixels(x), gamma.to_contiguous(), beta.to_contiguous());
    let affine = Affine {
        gamma: values(&gamma),
        beta: values(&beta),
        epsilon: norm.epsilon,
    };
    let (out, moments) = normalize(values(&x), b, &affine, norm.num_groups, activated);
    let groups = norm.num_groups;
    Some(record(inputs, mapped(out, [b, h, w, c]), || GroupNormed {
        x,
        parameters: [gamma, beta],
        moments,
        groups,
        activated,
    }))
}

#[derive(Clone, Debug)]
struct GroupNormed {
    x: FlexTensor,
    parameters: [FlexTensor; 2],
    moments: Moments,
    groups: usize,
    activated: bool,
}

impl Differentiable<3> for GroupNormed {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let shape: [usize; 4] = std::array::from_fn(|i| self.x.layout().shape()[i]);
        let dy = pixels(&dy);
        let [gamma, beta] = &self.parameters;
        let [dx, of_gamma, of_beta] = norm::group_norm(
            [values(&self.x), values(&dy)],
            &self.moments,
            [values(gamma), values(beta)],
            self.groups,
            self.activated,
        );
        let c = of_gamma.len();
        let found = [mapped(dx, shape), flex(of_gamma, [c]), flex(of_beta, [c])];
        let mut wanted = wanted.into_iter();
        found.map(|gradient| wanted.next().unwrap_or_default().then_some(gradient))
    }
}

/// As [`crate::kernels::layer_norm()`].
pub fn layer_norm(norm: &LayerNorm, epsilon: f64, x: &Tensor<3>) -> Option<Tensor<3>> {
    let shape = x.dims();
    let inputs = [
        Input::of(x.clone())?,
        Input::of(norm.gamma.val())?,
        Input::of(norm.beta.as_ref()?.val())?,
    ];
    let [x, gamma, beta] = inputs.each_ref().map(|input| input.tensor.to_contiguous());
    let affine = Affine {
        gamma: values(&gamma),
        beta: values(&beta),
        epsilon,
    };
    let mut out = vec![0.0; shape.iter().product()];
    norms::layer_norm(values(&x), &affine, &mut out);
    Some(record(inputs, flex(out, shape), || LayerNormed {
        x,
        gamma,
        epsilon,
    }))
}

#[derive(Clone, Debug)]
struct LayerNormed {
    x: FlexTensor,
    gamma: FlexTensor,
    epsilon: f64,
}

impl Differentiable<3> for LayerNormed {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let shape: [usize; 3] = std::array::from_fn(|i| self.x.layout().shape()[i]);
        let dy = dy.to_contiguous();
        let (x, gamma) = (values(&self.x), values(&self.gamma));
        let [dx, of_gamma, of_beta] = norm::layer_norm([x, values(&dy)], gamma, self.epsilon);
        let c = gamma.len();
        let found = [flex(dx, shape), flex(of_gamma, [c]), flex(of_beta, [c])];
        let mut wanted = wanted.into_iter();
        found.map(|gradient| wanted.next().unwrap_or_default().then_some(gradient))
    }
}

/// As [`crate::kernels::attention()`].
pub fn attention(
    [q, k, v]: [&Tensor<3>; 3],
    heads: usize,
    is_causal: bool,
) -> Option<Tensor<3>> {
    let [b, queries, channels] = q.dims();
    let keys = k.dims()[1];
    let inputs = [
        Input::of(q.clone())?,
        Input::of(k.clone())?,
        Input::of(v.clone())?,
    ];
    let operands = inputs.each_ref().map(|input| input.tensor.to_contiguous());
    let sizes = Sizes {
        keys,
        channels,
        heads,
        is_causal,
    };
    let out = attend(operands.each_ref().map(values), b, sizes);
    let out = flex(out, [b, queries, channels]);
    Some(record(inputs, out, || Attended {
        operands,
        batch: b,
        sizes,
    }))
}

#[derive(Clone, Debug)]
struct Attended {
    operands: [FlexTensor; 3],
    batch: usize,
    sizes: Sizes,
}

impl Differentiable<3> for Attended {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let dy = dy.to_contiguous();
        let [q, k, v] = self.operands.each_ref().map(values);
        let found = heads::attention([q, k, v, values(&dy)], self.batch, self.sizes);
        let shapes = self.operands.each_ref().map(|operand| {
            let shape = operand.layout().shape();
            [shape[0], shape[1], shape[2]]
        });
        let mut wanted = wanted.into_iter().zip(shapes);
        found.map(|gradient| {
            let (wanted, shape) = wanted.next()?;
            wanted.then(|| flex(gradient, shape))
        })
    }
}

/// As [`crate::kernels::concatenate()`].
pub fn concatenate(x: &Tensor<4>, y: &Tensor<4>) -> Option<Tensor<4>> {
    let [b, left, h, w] = x.dims();
    let right = y.dims()[1];
    let inputs = [Input::of(x.clone())?, Input::of(y.clone())?];
    let [x, y] = inputs.each_ref().map(|input| pixels(&input.tensor));
    let (x, y) = (values(&x), values(&y));
    let width = left + right;
    let out = filled_chunks(b * h * w * width, w * width, |row, out| {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let pixel = row * w + i;
            out[..left].copy_from_slice(&x[pixel * left..][..left]);
            out[left..].copy_from_slice(&y[pixel * right..][..right]);
        }
    });
    let out = mapped(out, [b, h, w, width]);
    Some(record(inputs, out, || Joined([left, right])))
}

#[derive(Clone, Debug)]
struct Joined([usize; 2]);

impl Differentiable<2> for Joined {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let dy = pixels(&dy);
        let shape = dy.layout().shape();
        let [b, h, w, width] = std::array::from_fn(|i| shape[i]);
        let dy = values(&dy);
        let [left, right] = self.0;
        let part = |first: usize, count: usize| {
            let out = filled_chunks(b * h * w * count, w * count, |row, out| {
                for (i, out) in out.chunks_exact_mut(count).enumerate() {
                    let at = (row * w + i) * width + first;
                    out.copy_from_slice(&dy[at..at + count]);
                }
            });
            mapped(out, [b, h, w, count])
        };
        [
            wanted[0].then(|| part(0, left)),
            wanted[1].then(|| part(left, right)),
        ]
    }
}
