//! Gradients of the normalisations.

use super::super::each;
use super::super::group_norm::normalize;
use super::super::lanes::{Lanes, vectorized};
use super::super::math::slope;
use super::super::norm::{Affine, Moments, column_sums, layer_norm as normalize_lines};
use super::super::tile::{load, store};
use super::record::{Differentiable, Input, flex, mapped, pixels, record, shape, values};
use crate::kernels::Activation;
use burn::nn::{GroupNorm, LayerNorm};
use burn::prelude::*;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};

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
        let shape = shape(&self.x);
        let dy = pixels(&dy);
        let [gamma, beta] = &self.parameters;
        let [dx, of_gamma, of_beta] = of_group_norm(
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
    normalize_lines(values(&x), &affine, &mut out);
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
        let shape: [usize; 3] = shape(&self.x);
        let dy = dy.to_contiguous();
        let (x, gamma) = (values(&self.x), values(&self.gamma));
        let [dx, of_gamma, of_beta] = of_layer_norm([x, values(&dy)], gamma, self.epsilon);
        let c = gamma.len();
        let found = [flex(dx, shape), flex(of_gamma, [c]), flex(of_beta, [c])];
        let mut wanted = wanted.into_iter();
        found.map(|gradient| wanted.next().unwrap_or_default().then_some(gradient))
    }
}

/// Gradients of the input, the scale and the shift of a group normalisation, with SiLU after it
/// where it is `activated`, of that of the output; `x` and `dy` are `[B, P, C]`.
fn of_group_norm(
    [x, dy]: [&[f32]; 2],
    moments: &Moments,
    [gamma, beta]: [&[f32]; 2],
    groups: usize,
    activated: bool,
) -> [Vec<f32>; 3] {
    let c = gamma.len();
    let batch = moments.mean.len() / c;
    let size = x.len() / batch.max(1);
    let mut dx = vec![0.0; x.len()];
    let mut sums = vec![0.0; batch * 2 * c];
    let tasks: Vec<_> = dx
        .chunks_exact_mut(size.max(1))
        .zip(sums.chunks_exact_mut(2 * c))
        .collect();
    each(tasks, |i, (dx, sums)| {
        let image = i * size..(i + 1) * size;
        let channels = i * c..(i + 1) * c;
        vectorized(
            Lanes::of(c),
            Image {
                x: &x[image.clone()],
                dy: &dy[image],
                mean: &moments.mean[channels.clone()],
                scale: &moments.scale[channels],
                gamma,
                beta,
                groups,
                activated,
                dx,
                sums,
            },
        );
    });
    let mut of_both = vec![0.0f64; 2 * c];
    for sums in sums.chunks_exact(2 * c) {
        of_both
            .iter_mut()
            .zip(sums)
            .for_each(|(all, sum)| *all += f64::from(*sum));
    }
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    [dx, narrow(&of_both[..c]), narrow(&of_both[c..])]
}

struct Image<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    groups: usize,
    activated: bool,
    dx: &'a mut [f32],
    /// `[2, C]`: of the scale and of the shift.
    sums: &'a mut [f32],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Image {
            x,
            dy,
            mean,
            scale,
            gamma,
            beta,
            groups,
            activated,
            dx,
            sums,
        } = self;
        let c = gamma.len();
        let (of_gamma, of_beta) = sums.split_at_mut(c);
        // The gradient before the activation goes to `dx`; its sums, and those with the normalised
        // values, are the parameters'.
        for channel in (0..c).step_by(S::F32_LANES) {
            let [mean, scale, gamma, beta] =
                [mean, scale, gamma, beta].map(|values| load(simd, values, channel));
            let [mut sum, mut with] = [simd.splat_f32s(0.0); 2];
            let [mut all, mut all_with] = [simd.splat_f32s(0.0); 2];
            let pixels = x.chunks_exact(c).zip(dy.chunks_exact(c));
            for (i, ((x, dy), dx)) in pixels.zip(dx.chunks_exact_mut(c)).enumerate() {
                let normed = simd.mul_f32s(simd.sub_f32s(load(simd, x, channel), mean), scale);
                let mut dz = load(simd, dy, channel);
                if activated {
                    let z = simd.mul_add_e_f32s(normed, gamma, beta);
                    dz = simd.mul_f32s(dz, slope(simd, z, Activation::Silu));
                }
                store(simd, dx, channel, dz);
                sum = simd.add_f32s(sum, dz);
                with = simd.mul_add_e_f32s(dz, normed, with);
                // Sums of a block go to those of all, so that rounding errors grow with the number
                // of blocks only.
                if i % 64 == 63 {
                    (all, sum) = (simd.add_f32s(all, sum), simd.splat_f32s(0.0));
                    (all_with, with) = (simd.add_f32s(all_with, with), simd.splat_f32s(0.0));
                }
            }
            store(simd, of_beta, channel, simd.add_f32s(all, sum));
            store(simd, of_gamma, channel, simd.add_f32s(all_with, with));
        }
        // dx = scale * (gamma dz - mean(gamma dz) - normed * mean(gamma dz * normed)), means over a
        // group.
        let size = c / groups;
        let count = (x.len() / groups) as f64;
        let group_mean = |sums: &[f32], channel: usize| {
            let group = channel / size * size..(channel / size + 1) * size;
            let terms = group.map(|c| f64::from(sums[c]) * f64::from(gamma[c]));
            terms.sum::<f64>() / count
        };
        let mut factors = vec![0.0f32; 3 * c];
        let (times, rest) = factors.split_at_mut(c);
        let (tilt, shift) = rest.split_at_mut(c);
        for channel in 0..c {
            let scale = f64::from(scale[channel]);
            times[channel] = (scale * f64::from(gamma[channel])) as f32;
            tilt[channel] = (-scale * scale * group_mean(of_gamma, channel)) as f32;
            shift[channel] = (-scale * group_mean(of_beta, channel)) as f32;
        }
        for channel in (0..c).step_by(S::F32_LANES) {
            let [mean, times, tilt, shift] =
                [mean, &*times, &*tilt, &*shift].map(|values| load(simd, values, channel));
            for (x, dx) in x.chunks_exact(c).zip(dx.chunks_exact_mut(c)) {
                let centered = simd.sub_f32s(load(simd, x, channel), mean);
                let dz = load(simd, dx, channel);
                let both = simd.mul_add_e_f32s(centered, tilt, shift);
                store(simd, dx, channel, simd.mul_add_e_f32s(dz, times, both));
            }
        }
    }
}

/// Rows of a layer normalisation that a thread takes.
const ROWS: usize = 64;

/// Gradients of the input, the scale and the shift of a layer normalisation; `x` and `dy` are
/// `[T, C]`.
fn of_layer_norm([x, dy]: [&[f32]; 2], gamma: &[f32], epsilon: f64) -> [Vec<f32>; 3] {
    let c = gamma.len();
    let mut dx = vec![0.0; x.len()];
    let count = x.len().div_ceil(ROWS * c);
    let mut sums = vec![0.0; count * 2 * c];
    let tasks: Vec<_> = dx
        .chunks_mut(ROWS * c)
        .zip(sums.chunks_exact_mut(2 * c))
        .collect();
    each(tasks, |i, (dx, sums)| {
        let part = i * ROWS * c..i * ROWS * c + dx.len();
        vectorized(
            Lanes::of(c),
            Lines {
                x: &x[part.clone()],
                dy: &dy[part],
                gamma,
                epsilon,
                dx,
                sums,
            },
        );
    });
    let both = column_sums(&sums, 2 * c);
    [dx, both[..c].to_vec(), both[c..].to_vec()]
}

struct Lines<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    gamma: &'a [f32],
    epsilon: f64,
    dx: &'a mut [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = self.gamma.len();
        let (of_gamma, of_beta) = self.sums.split_at_mut(c);
        let lines = self.x.chunks_exact(c).zip(self.dy.chunks_exact(c));
        for ((x, dy), dx) in lines.zip(self.dx.chunks_exact_mut(c)) {
            let channels = || (0..c).step_by(S::F32_LANES);
            let mut sum = simd.splat_f32s(0.0);
            for channel in channels() {
                sum = simd.add_f32s(sum, load(simd, x, channel));
            }
            let mean = simd.splat_f32s(simd.reduce_sum_f32s(sum) / c as f32);
            let mut squares = simd.splat_f32s(0.0);
            for channel in channels() {
                let x = centered(simd, x, channel, mean);
                squares = simd.mul_add_e_f32s(x, x, squares);
            }
            let variance = simd.reduce_sum_f32s(squares) / c as f32;
            let scale = (1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32;
            let scales = simd.splat_f32s(scale);
            let [mut sum, mut with] = [simd.splat_f32s(0.0); 2];
            for channel in channels() {
                let normed = simd.mul_f32s(centered(simd, x, channel, mean), scales);
                let dy = load(simd, dy, channel);
                let dn = simd.mul_f32s(dy, load(simd, self.gamma, channel));
                sum = simd.add_f32s(sum, dn);
                with = simd.mul_add_e_f32s(dn, normed, with);
                let of_scale = simd.mul_add_e_f32s(dy, normed, load(simd, of_gamma, channel));
                store(simd, of_gamma, channel, of_scale);
                let of_shift = simd.add_f32s(dy, load(simd, of_beta, channel));
                store(simd, of_beta, channel, of_shift);
            }
            let mean_of = |sum| simd.splat_f32s(simd.reduce_sum_f32s(sum) / c as f32);
            let (sum, with) = (mean_of(sum), mean_of(with));
            for channel in channels() {
                let normed = simd.mul_f32s(centered(simd, x, channel, mean), scales);
                let dy = load(simd, dy, channel);
                let dn = simd.mul_f32s(dy, load(simd, self.gamma, channel));
                let rest = simd.sub_f32s(dn, simd.mul_add_e_f32s(normed, with, sum));
                store(simd, dx, channel, simd.mul_f32s(rest, scales));
            }
        }
    }
}

/// The vector at `channel` without the mean; past the end, where sums want them so, it has zeros.
#[inline(always)]
fn centered<S: Simd>(simd: S, x: &[f32], channel: usize, mean: S::f32s) -> S::f32s {
    let difference = simd.sub_f32s(load(simd, x, channel), mean);
    match x.len() - channel {
        rest if rest < S::F32_LANES => {
            let ones = simd.partial_load_f32s(&[1.0; 16][..rest]);
            simd.mul_f32s(difference, ones)
        }
        _ => difference,
    }
}
