//! Group normalisation of maps.

use super::norm::{self, Affine, Moments};
use super::tensor::{dense, mapped, pixels, values};
use super::{filled_chunks, map_chunks, share_images};
use burn::nn::GroupNorm;
use burn::prelude::*;

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
    let (out, _) = normalize(values(&x)?, b, &affine, norm.num_groups, activated);
    Some(mapped(out, [b, h, w, c]))
}

/// The group normalisation of `[B, P, C]`, and the moments that its backward pass wants.
pub(super) fn normalize(
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
