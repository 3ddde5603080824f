//! Maps that go two ways, and that come together.

use std::sync::{Arc, Mutex};

use super::super::filled_chunks;
use super::record::{Differentiable, Input, mapped, pixels, record, shape, values};
use burn::prelude::*;
use burn_flex::FlexTensor;

/// The same map twice, `[B, C, h, w]`. Both must go into the loss: the first of the two gradients
/// waits for the second and is added where it lies, pixel by pixel, while burn would add views
/// whose values do not follow one another.
pub fn fork(x: &Tensor<4>) -> Option<[Tensor<4>; 2]> {
    let waiting = Arc::default();
    let [one, two] = [&waiting, &waiting].map(|waiting| {
        let input = Input::of(x.clone())?;
        let output = input.tensor.clone();
        let waiting = Way(Arc::clone(waiting));
        Some(record([input], output, || waiting))
    });
    Some([one?, two?])
}

#[derive(Clone, Debug, Default)]
struct Way(Arc<Mutex<Option<FlexTensor>>>);

impl Differentiable<1> for Way {
    fn gradients(self, dy: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut waiting = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let Some(first) = waiting.take() else {
            *waiting = Some(dy);
            return [None];
        };
        let [first, second] = [pixels(&first), pixels(&dy)];
        let (a, b) = (values(&first), values(&second));
        const CHUNK: usize = 1 << 14;
        let sum = filled_chunks(a.len(), CHUNK, |i, sum| {
            let at = i * CHUNK..i * CHUNK + sum.len();
            let terms = a[at.clone()].iter().zip(&b[at]);
            sum.iter_mut()
                .zip(terms)
                .for_each(|(sum, (a, b))| *sum = a + b);
        });
        [Some(mapped(sum, shape(&first)))]
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
        let [b, h, w, width] = shape(&dy);
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
