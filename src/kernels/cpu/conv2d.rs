//! Convolutions: as a product over what the taps see, or by Winograd.

use super::cache::{PanelLayout, made};
use super::panels::Panels;
use super::patches::Patches;
use super::product::{Finish, product};
use super::tensor::{dense, here, mapped, pixels, values};
use super::winograd;
use crate::kernels::fused::Fused;
use crate::kernels::padding::zeros_around;
use burn::nn::conv::Conv2d;
use burn::prelude::*;
use burn::tensor::DType;
use burn_flex::FlexTensor;

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
    pub upsample: bool,
    /// The weights change from call to call, as in a training.
    pub fresh: bool,
}

impl Geometry {
    /// `None` for a convolution that the kernels do not know.
    pub fn of(conv: &Conv2d, x: &Tensor<4>, upsample: bool) -> Option<Self> {
        let [side, columns] = conv.kernel_size;
        let [stride, across] = conv.stride;
        let [top, left, bottom, right] = zeros_around(conv)?;
        let usual = conv.dilation == [1, 1] && conv.groups == 1 && stride == across;
        if !usual || side != columns || top != left || bottom != right {
            return None;
        }
        let [batch, c_in, h, w] = x.dims();
        let zoom = if upsample { 2 } else { 1 };
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
            upsample,
            fresh: false,
        })
    }

    /// Side of Winograd's tiles, where the convolution can be computed so and gains by it.
    pub fn winograd(&self) -> Option<usize> {
        let zoom = if self.upsample { 2 } else { 1 };
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
            upsample: self.upsample,
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
pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, fused: &Fused) -> Option<Tensor<4>> {
    let geometry = Geometry::of(conv, x, fused.upsample)?;
    let x = pixels(x.clone())?;
    let weight = here(conv.weight.val())?;
    let bias = match &conv.bias {
        Some(bias) => dense(bias.val())?,
        None => FlexTensor::zeros([0].into(), DType::F32),
    };
    let time = match &fused.time {
        Some(time) => Some(dense(time.clone())?),
        None => None,
    };
    let residual = match &fused.residual {
        Some(residual) => Some(pixels(residual.clone())?),
        None => None,
    };
    let layout = match geometry.winograd() {
        Some(m) => PanelLayout::Winograd(m),
        None => PanelLayout::Taps,
    };
    let panels = made(&weight, layout, |w| geometry.panels(w));
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
