//! Layer normalisation of rows.

use super::norm::{self, Affine};
use super::tensor::{dense, tensor, values};
use burn::nn::LayerNorm;
use burn::prelude::*;

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
