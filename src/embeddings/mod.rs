//! Tokens -> Embeddings: the text encoder, and the embeddings that a U-Net attends to.
//!
//! Embeddings may keep a record of how much each latent position attends to each token. It is that
//! of DAAM (Tang et al. 2022, arXiv:2210.04885): cross-attention averaged over heads, layers and
//! steps, each layer resized to the latents. (DAAM sums instead of averaging, and resizes with
//! cubic splines, which can fall below zero.)

mod clip;

pub use clip::{CLIPTextConfig, CLIPTextModel, HiddenAct};

use std::cell::RefCell;

use burn::prelude::*;

/// Embeddings of one prompt, or of the negative prompt and the prompt.
#[derive(Debug)]
pub struct Embeddings {
    /// `[B, T, E]`
    pub states: Tensor<3>,
    record: Option<RefCell<Record>>,
}

#[derive(Debug)]
struct Record {
    /// Height and width of the latents.
    size: [usize; 2],
    /// `[T, h, w]`, the sum of all that was seen.
    sum: Option<Tensor<3>>,
    seen: usize,
}

impl From<Tensor<3>> for Embeddings {
    /// Without a record. `[B, T, E]`.
    fn from(states: Tensor<3>) -> Self {
        Self {
            states,
            record: None,
        }
    }
}

impl Embeddings {
    /// With a record at the `size` (height, width) of the latents, of the last prompt of the batch.
    pub fn recorded(states: Tensor<3>, size: [usize; 2]) -> Self {
        let record = Record {
            size,
            sum: None,
            seen: 0,
        };
        Self {
            states,
            record: Some(RefCell::new(record)),
        }
    }

    /// Adds what a layer of `size` (height, width) attends to, which is computed only where there
    /// is a record.
    ///
    /// # Shapes
    /// - `probabilities` gives `[B, h*w, T]`
    pub(crate) fn attended(&self, size: [usize; 2], probabilities: impl FnOnce() -> Tensor<3>) {
        let Some(record) = &self.record else { return };
        let mut record = record.borrow_mut();
        let probabilities = probabilities();
        let [b, places, t] = probabilities.dims();
        let last = probabilities.slice([b - 1..b, 0..places, 0..t]);
        let maps = last.swap_dims(1, 2).reshape([t, size[0], size[1]]);
        let maps = resize(maps, record.size);
        record.seen += 1;
        record.sum = Some(match record.sum.take() {
            Some(sum) => sum + maps,
            None => maps,
        });
    }

    /// The mean of all that was seen, `[T, h, w]`, which sums to 1 over the tokens; `None` where
    /// nothing was.
    pub(crate) fn mean_attention(&self) -> Option<Tensor<3>> {
        let record = self.record.as_ref()?.borrow();
        Some(record.sum.clone()? / record.seen as f64)
    }
}

/// Linear interpolation, `[T, h, w]` to `[T, H, W]`, as two matrix products (torch: `bilinear`,
/// `align_corners=False`).
fn resize(maps: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
    let [t, h, w] = maps.dims();
    if [h, w] == size {
        return maps;
    }
    let device = maps.device();
    let matrix = |from, to| {
        let weights = TensorData::new(interpolation(from, to), [1, to, from]);
        Tensor::<3>::from_data(weights, &device).repeat_dim(0, t)
    };
    let [rows, columns] = [matrix(h, size[0]), matrix(w, size[1])];
    rows.matmul(maps).matmul(columns.swap_dims(1, 2))
}

/// `[to, from]`: what each of `from` values adds to each of `to` values between them.
fn interpolation(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    for i in 0..to {
        let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
        let below = (at as usize).min(from - 1);
        let above = (below + 1).min(from - 1);
        let part = at - below as f32;
        weights[i * from + below] += 1.0 - part;
        weights[i * from + above] += part;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_two_are_on_their_line() {
        // torch.nn.functional.interpolate(torch.tensor([[[0., 1., 3.]]]), size=6, mode="linear")
        let expected = [0.0, 0.25, 0.75, 1.5, 2.5, 3.0];
        let weights = interpolation(3, 6);
        let found = weights
            .chunks(3)
            .map(|w| w[1] + 3.0 * w[2])
            .collect::<Vec<f32>>();
        assert_eq!(found, expected);
        assert!(interpolation(5, 5).iter().step_by(6).all(|w| *w == 1.0));
    }
}
