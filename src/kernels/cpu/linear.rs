//! Linear layers.

use super::cache::{PanelLayout, made};
use super::panels::Panels;
use super::product::{Finish, Matrix, product};
use super::tensor::{dense, here, tensor, values};
use crate::kernels::Activation;
use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::DType;
use burn_flex::FlexTensor;

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
    let layout = if gated {
        PanelLayout::Gated
    } else {
        PanelLayout::Linear
    };
    let panels = made(&weight, layout, |w| {
        if gated {
            Panels::gated(c_in, rows, |k, c| w[k * rows + c])
        } else {
            Panels::of_rows(w, [c_in, rows])
        }
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
