//! AdamW in one pass over each parameter.

use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::prelude::*;

use super::host::{are_here, together};

const EPSILON: f32 = 1e-8;

/// Decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2), burn's own
/// where a parameter is on another device than the CPU. burn goes over every parameter some fifteen
/// times a step.
#[derive(Clone)]
pub struct OnePassAdamW {
    stock: AdamW,
    betas: [f32; 2],
    weight_decay: f32,
}

impl OnePassAdamW {
    /// With PyTorch's epsilon.
    pub fn new(betas: [f32; 2], weight_decay: f32) -> Self {
        let config = AdamWConfig::new()
            .with_beta_1(betas[0])
            .with_beta_2(betas[1])
            .with_epsilon(EPSILON)
            .with_weight_decay(weight_decay);
        Self {
            stock: config.build(),
            betas,
            weight_decay,
        }
    }
}

impl Optimizer for OnePassAdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let state = state.unwrap_or_else(|| {
            let zeros = || Tensor::zeros(grad.shape(), &grad.device());
            AdamWState::new(AdaptiveMomentumState::new(0, zeros(), zeros()))
        });
        let AdaptiveMomentumState {
            time,
            moment_1,
            moment_2,
            ..
        } = state.momentum;
        let steps = time as i32 + 1;
        let [beta_1, beta_2] = self.betas;
        let corrected = self.betas.map(|beta| 1.0 / (1.0 - beta.powi(steps)));
        let decay = 1.0 - (rate * f64::from(self.weight_decay)) as f32;
        let rate_here = rate as f32;
        let update = |[w, g, m, v]: [&mut [f32]; 4]| {
            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                *m = beta_1 * *m + (1.0 - beta_1) * *g;
                *v = beta_2 * *v + (1.0 - beta_2) * *g * *g;
                let root = (*v * corrected[1]).sqrt() + EPSILON;
                *w = *w * decay - rate_here * (*m * corrected[0] / root);
            }
        };
        let tensors = [tensor, grad, moment_1, moment_2];
        if !are_here(&tensors) {
            let [tensor, grad, moment_1, moment_2] = tensors;
            let momentum = AdaptiveMomentumState::new(time, moment_1, moment_2);
            let state = (time > 0).then(|| AdamWState::new(momentum));
            return self.stock.step(rate, tensor, grad, state);
        }
        let [tensor, _, moment_1, moment_2] = together(tensors, update);
        let momentum = AdaptiveMomentumState::new(time + 1, moment_1, moment_2);
        (tensor, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        AdamW::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tensors::{floats, values};

    #[test]
    fn it_is_burn_s() {
        let device = Device::flex();
        let number = |i: usize, place: usize| ((i * 7 + place * 13) % 29) as f32 / 14.0 - 1.0;
        let tensor = |place| {
            let numbers: Vec<f32> = (0..35).map(|i| number(i, place)).collect();
            floats(&numbers, [5, 7], &device)
        };
        let ours = OnePassAdamW::new([0.9, 0.99], 0.1);
        let (mut found, mut state) = (tensor(0), None);
        let (mut expected, mut stock) = (tensor(0), None);
        for step in 1..20 {
            (found, state) = ours.step(0.05, found, tensor(step), state);
            (expected, stock) = ours.stock.step(0.05, expected, tensor(step), stock);
        }
        for (found, expected) in values(found).iter().zip(values(expected)) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
