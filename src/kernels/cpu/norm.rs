//! Normalisations of rows of channels.
//!
//! Variances are those of differences to the mean, in a pass of their own: the difference of two
//! sums of squares loses too many digits where the mean is large.

use super::lanes::{Lanes, vectorized};
use super::math::activate;
use super::tile::{load, store};
use super::{each_chunk, map_chunks, share};
use crate::kernels::activation::Activation;
use pulp::{Simd, WithSimd};

/// Pixels that are summed up in f32 before they go into an f64, and that are in the nearest cache
/// while channels are gone through.
const BLOCK: usize = 64;

/// What a value costs beside a multiply-add, read and written as it is, and with SiLU.
pub const COST: usize = 8;

/// Scale and shift of each channel.
pub struct Affine<'a> {
    /// As many as channels.
    pub gamma: &'a [f32],
    /// As many as channels.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f64,
}

/// What a group normalisation's forward pass leaves for its backward pass, for each image and
/// channel.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "training"), expect(dead_code))]
pub struct Moments {
    /// `[B, C]`, of the channel's group.
    pub mean: Vec<f32>,
    /// `[B, C]`, one over the standard deviation of the channel's group.
    pub scale: Vec<f32>,
}

/// The sum of each column of `[P, C]`: in f32 over a block, in f64 over blocks.
#[cfg(feature = "training")]
pub fn column_sums(x: &[f32], c: usize) -> Vec<f32> {
    totals(x, c, None)
        .into_iter()
        .map(|sum| sum as f32)
        .collect()
}

/// Of each channel the sum of its pixels, or of their squares after `center` is taken from them.
fn totals(x: &[f32], c: usize, center: Option<&[f32]>) -> Vec<f64> {
    let size = (BLOCK * c).max(1);
    let task = share(x.len() / size, COST * size) * size;
    let blocks = map_chunks(x, task, |x| {
        let mut sums = vec![0.0; x.len().div_ceil(size) * c];
        for (x, sums) in x.chunks(size).zip(sums.chunks_exact_mut(c)) {
            vectorized(Lanes::of(c), Sums { x, center, sums });
        }
        sums
    });
    let mut total = vec![0.0; c];
    for block in blocks.iter().flat_map(|blocks| blocks.chunks_exact(c)) {
        for (total, sum) in total.iter_mut().zip(block) {
            *total += f64::from(*sum);
        }
    }
    total
}

/// The mean of each channel's group over the pixels of an image, `[P, C]`, and one over its
/// standard deviation.
pub fn moments(x: &[f32], c: usize, groups: usize, epsilon: f64) -> [Vec<f32>; 2] {
    let size = c / groups;
    let count = (x.len() / groups) as f64;
    let mean = |sums: Vec<f64>| -> Vec<f64> {
        let groups = sums.chunks_exact(size);
        groups
            .flat_map(|sums| std::iter::repeat_n(sums.iter().sum::<f64>() / count, size))
            .collect()
    };
    let center: Vec<f32> = mean(totals(x, c, None)).iter().map(|m| *m as f32).collect();
    let variances = mean(totals(x, c, Some(&center)));
    let scale = variances
        .iter()
        .map(|v| (1.0 / (v + epsilon).sqrt()) as f32);
    [center, scale.collect()]
}

/// An image `[P, C]` with the given moments of each channel to the scaled and shifted one; then
/// SiLU where `activated`.
pub fn group_norm(
    x: &[f32],
    [center, scale]: [&[f32]; 2],
    affine: &Affine<'_>,
    activated: bool,
    out: &mut [f32],
) {
    let c = affine.gamma.len();
    let scale: Vec<f32> = scale.iter().zip(affine.gamma).map(|(s, g)| s * g).collect();
    let block = BLOCK * c;
    let size = share(out.len() / block, COST * block) * block;
    each_chunk(out, size, |i, out| {
        let x = &x[i * size..][..out.len()];
        for (x, out) in x.chunks(block).zip(out.chunks_mut(block)) {
            let scaled = Scaled {
                x,
                center,
                scale: &scale,
                shift: affine.beta,
                activated,
                out,
            };
            vectorized(Lanes::of(c), scaled);
        }
    });
}

/// Of each channel the sum of its pixels, or of their squares after `center` is taken from them.
struct Sums<'a> {
    x: &'a [f32],
    center: Option<&'a [f32]>,
    sums: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sums { x, center, sums } = self;
        let c = sums.len();
        for channel in (0..c).step_by(S::F32_LANES) {
            let mut sum = simd.splat_f32s(0.0);
            match center {
                None => {
                    for x in x.chunks_exact(c) {
                        sum = simd.add_f32s(sum, load(simd, x, channel));
                    }
                }
                Some(center) => {
                    let center = load(simd, center, channel);
                    for x in x.chunks_exact(c) {
                        let x = simd.sub_f32s(load(simd, x, channel), center);
                        sum = simd.mul_add_e_f32s(x, x, sum);
                    }
                }
            }
            store(simd, sums, channel, sum);
        }
    }
}

/// `(x - center) * scale + shift`, channel by channel.
struct Scaled<'a> {
    x: &'a [f32],
    center: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    activated: bool,
    out: &'a mut [f32],
}

impl WithSimd for Scaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = self.scale.len();
        let pixels = || self.x.chunks_exact(c);
        for channel in (0..c).step_by(S::F32_LANES) {
            let center = load(simd, self.center, channel);
            let scale = load(simd, self.scale, channel);
            let shift = load(simd, self.shift, channel);
            for (x, out) in pixels().zip(self.out.chunks_exact_mut(c)) {
                let x = simd.sub_f32s(load(simd, x, channel), center);
                let mut y = simd.mul_add_e_f32s(x, scale, shift);
                if self.activated {
                    y = activate(simd, y, Activation::Silu);
                }
                store(simd, out, channel, y);
            }
        }
    }
}

/// `[T, C]` to the same, each row by itself.
pub fn layer_norm(x: &[f32], affine: &Affine<'_>, out: &mut [f32]) {
    let c = affine.gamma.len();
    let size = share(out.len() / c, COST * c) * c;
    each_chunk(out, size, |i, out| {
        vectorized(
            Lanes::of(c),
            Tokens {
                x: &x[i * size..][..out.len()],
                affine,
                out,
            },
        );
    });
}

struct Tokens<'a> {
    x: &'a [f32],
    affine: &'a Affine<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Tokens<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Affine {
            gamma,
            beta,
            epsilon,
        } = *self.affine;
        let c = gamma.len();
        for (x, out) in self.x.chunks_exact(c).zip(self.out.chunks_exact_mut(c)) {
            let (vectors, rest) = S::as_simd_f32s(x);
            let mut sum = simd.splat_f32s(0.0);
            for x in vectors {
                sum = simd.add_f32s(sum, *x);
            }
            let mean = (simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()) / c as f32;
            let center = simd.splat_f32s(mean);
            let mut squares = simd.splat_f32s(0.0);
            for x in vectors {
                let x = simd.sub_f32s(*x, center);
                squares = simd.mul_add_e_f32s(x, x, squares);
            }
            let rest: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
            let variance = (simd.reduce_sum_f32s(squares) + rest) / c as f32;
            let scale = simd.splat_f32s((1.0 / (f64::from(variance) + epsilon).sqrt()) as f32);
            for channel in (0..c).step_by(S::F32_LANES) {
                let x = simd.sub_f32s(load(simd, x, channel), center);
                let x = simd.mul_f32s(x, scale);
                let gamma = load(simd, gamma, channel);
                let y = simd.mul_add_e_f32s(x, gamma, load(simd, beta, channel));
                store(simd, out, channel, y);
            }
        }
    }
}
