//! Gradients of a convolution: of its input, the same convolution with the weights turned over; of
//! its weights, a product over positions.

use super::super::conv2d::Geometry;
use super::super::norm::column_sums;
use super::super::panels::Panels;
use super::super::patches::Patches;
use super::super::product::{Finish, Rows, product};
use super::super::{filled_chunks, winograd as forward};
use super::record::{Differentiable, Input, flex, mapped, pixels, present, record, values};
use super::{transposed, winograd};
use crate::kernels::Fused;
use burn::nn::conv::Conv2d;
use burn::prelude::*;
use burn_flex::FlexTensor;

/// As [`crate::kernels::conv2d()`].
pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, fused: &Fused) -> Option<Tensor<4>> {
    let geometry = Geometry {
        fresh: true,
        ..Geometry::of(conv, x, fused.upsample)?
    };
    let inputs = [
        Input::of(x.clone())?,
        Input::of(conv.weight.val())?,
        Input::optional(conv.bias.as_ref().map(|bias| bias.val()))?,
        Input::optional(fused.time.clone())?,
        Input::optional(fused.residual.clone())?,
    ];
    let [x, weight, bias, time, residual] = inputs.each_ref().map(|input| &input.tensor);
    let has_residual = fused.residual.is_some();
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
    panels.give_back();
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
        let [
            wants_x,
            wants_weight,
            wants_bias,
            wants_time,
            wants_residual,
        ] = wanted;
        let [h, w] = g.size;
        let x = wants_x.then(|| {
            let dx = of_input(g, values(&self.weight), lines);
            mapped(dx, [g.batch, h, w, c_in])
        });
        let weight = wants_weight.then(|| {
            let dw = of_weight(g, values(&self.x), lines);
            flex(dw, [c_out, c_in, g.side, g.side])
        });
        let sums: Vec<f32> = if wants_bias || wants_time {
            let images = lines.chunks_exact((lines.len() / g.batch).max(1));
            images.flat_map(|image| column_sums(image, c_out)).collect()
        } else {
            vec![]
        };
        let bias = wants_bias.then(|| flex(column_sums(&sums, c_out), [c_out]));
        let time = wants_time.then(|| flex(sums, [g.batch, c_out]));
        [x, weight, bias, time, wants_residual.then_some(dy)]
    }
}

/// Gradient of the input, `[B, h, w, C_in]`, of that of the output, `[B, H, W, C_out]`.
fn of_input(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    if g.stride == 1 {
        let zoom = if g.upsample { 2 } else { 1 };
        let turned = Geometry {
            channels: [c_out, c_in],
            size: g.out_size,
            out_size: g.size.map(|n| n * zoom),
            padding: g.side - 1 - g.padding,
            upsample: false,
            ..*g
        };
        let panels = match turned.winograd() {
            Some(m) => {
                let filters = weight.as_chunks::<9>().0;
                forward::weights([c_out, c_in], m, true, |k, c| &filters[k * c_in + c])
            }
            None if g.side == 1 => Panels::of_rows(weight, [c_out, c_in]),
            None => {
                let taps = g.side * g.side;
                let tap = |k: usize| taps - 1 - k / c_out;
                let value = |k: usize, c: usize| weight[(k % c_out * c_in + c) * taps + tap(k)];
                Panels::new(taps * c_out, c_in, value)
            }
        };
        let dx = turned.convolve(dy, &panels, Finish::default());
        panels.give_back();
        return if g.upsample {
            halved(&dx, turned.out_size, c_in)
        } else {
            dx
        };
    }
    strided(g, weight, dy)
}

/// The sums of the four pixels that a doubled one became, `[B, 2h, 2w, C]` to `[B, h, w, C]`.
fn halved(dx: &[f32], [h, w]: [usize; 2], c: usize) -> Vec<f32> {
    debug_assert_eq!(h % 2, 0);
    filled_chunks(dx.len() / 4, w / 2 * c, |row, out| {
        let [above, below] = [0, 1].map(|y| &dx[(2 * row + y) * w * c..][..w * c]);
        for (x, out) in out.chunks_exact_mut(c).enumerate() {
            let at = |x: usize| x * c..(x + 1) * c;
            let [a, b] = [above, below].map(|line| (&line[at(2 * x)], &line[at(2 * x + 1)]));
            for (i, out) in out.iter_mut().enumerate() {
                *out = (a.0[i] + a.1[i]) + (b.0[i] + b.1[i]);
            }
        }
    })
}

/// The outputs whose taps saw the pixels of one parity: rows of a product, a piece for each of
/// these taps.
struct Seen<'a> {
    dy: Patches<'a>,
    /// Height and width of the pixels of this parity.
    size: [usize; 2],
    /// The tap, and which output it belongs to: so many rows and columns from the pixel's own.
    taps: Vec<([usize; 2], [isize; 2])>,
}

impl Rows for Seen<'_> {
    type At = (usize, isize, isize);

    fn pieces(&self) -> usize {
        self.taps.len()
    }

    #[inline(always)]
    fn at(&self, i: usize) -> Self::At {
        let [h, w] = self.size;
        (i / (h * w), (i / w % h) as isize, (i % w) as isize)
    }

    #[inline(always)]
    fn piece(&self, (image, y, x): Self::At, piece: usize) -> &[f32] {
        let [dy, dx] = self.taps[piece].1;
        self.dy.pixel(image, y + dy, x + dx)
    }
}

/// Of a convolution that leaves pixels out: each parity of rows and columns was seen by taps of its
/// own.
fn strided(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    let [h, w] = g.size;
    let s = g.stride;
    let outside = vec![0.0; c_out];
    let image = Patches {
        images: dy,
        size: g.out_size,
        channels: c_out,
        outside: &outside,
        side: 1,
        stride: 1,
        padding: 0,
        upsample: false,
        out_size: g.out_size,
    };
    let mut dx = vec![0.0; g.batch * h * w * c_in];
    // A pixel at `s * y + parity` was seen by tap `t` of output
    // `(s * y + parity + padding - t) / s`.
    let seen = |parity: usize| -> Vec<(usize, isize)> {
        (0..g.side)
            .filter_map(|tap| {
                let place = (parity + g.padding) as isize - tap as isize;
                (place.rem_euclid(s as isize) == 0).then(|| (tap, place.div_euclid(s as isize)))
            })
            .collect()
    };
    for parity in (0..s * s).map(|i| [i / s, i % s]) {
        let size =
            [h.saturating_sub(parity[0]), w.saturating_sub(parity[1])].map(|n| n.div_ceil(s));
        let [rows, columns] = parity.map(seen);
        let taps: Vec<_> = rows
            .iter()
            .flat_map(|(ty, dy)| columns.iter().map(move |(tx, dx)| ([*ty, *tx], [*dy, *dx])))
            .collect();
        if taps.is_empty() || size.contains(&0) {
            continue;
        }
        let value = |k: usize, c: usize| {
            let [ty, tx] = taps[k / c_out].0;
            weight[((k % c_out * c_in + c) * g.side + ty) * g.side + tx]
        };
        let panels = Panels::new(taps.len() * c_out, c_in, value);
        let count = g.batch * size[0] * size[1];
        let rows = Seen {
            dy: image,
            size,
            taps: taps.clone(),
        };
        let out = product(&rows, &panels, Finish::default(), [count, c_in]);
        for (i, pixel) in out.chunks_exact(c_in).enumerate() {
            let (image, y, x) = rows.at(i);
            let [y, x] = [y as usize * s + parity[0], x as usize * s + parity[1]];
            dx[((image * h + y) * w + x) * c_in..][..c_in].copy_from_slice(pixel);
        }
    }
    dx
}

/// Gradient of the weights, `[C_out, C_in, side, side]`, of the input and the gradient of the
/// output.
fn of_weight(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    let outside = vec![0.0; c_in];
    let images = g.patches(x, &outside);
    let taps = g.side * g.side;
    let by_tap = match g.winograd().filter(|_| c_out >= 8) {
        Some(2) => winograd::by_points::<4, 2>(g, &images, dy),
        Some(_) => winograd::by_points::<6, 4>(g, &images, dy),
        None => {
            let count = dy.len() / c_out;
            transposed::product(&images, dy, [count, c_in, c_out])
        }
    };
    by_output(&by_tap, [taps, c_in, c_out])
}

/// `[taps, C_in, C_out]` to `[C_out, C_in, taps]`, as many output channels at a time as a line of
/// the cache has. Its lines are read in even steps, which a processor foresees, and few enough at a
/// time that what is written stays in the cache.
fn by_output(by_tap: &[f32], [taps, c_in, c_out]: [usize; 3]) -> Vec<f32> {
    const LINE: usize = 16;
    const BLOCK: usize = 32;
    let size = c_in * taps;
    filled_chunks(by_tap.len(), LINE * size, |i, out| {
        let first = i * LINE;
        let count = LINE.min(c_out - first);
        for block in (0..c_in).step_by(BLOCK) {
            for tap in 0..taps {
                for k in block..c_in.min(block + BLOCK) {
                    let line = &by_tap[(tap * c_in + k) * c_out + first..][..count];
                    let mut values = [0.0; LINE];
                    match <&[f32; LINE]>::try_from(line) {
                        Ok(line) => values = *line,
                        Err(_) => values[..count].copy_from_slice(line),
                    }
                    for (out, value) in out.chunks_exact_mut(size).zip(values) {
                        out[k * taps + tap] = value;
                    }
                }
            }
        }
    })
}
