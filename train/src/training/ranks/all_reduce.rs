//! Sums gradients over all ranks, in large buffers.

use std::collections::VecDeque;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::Ranks;
use crate::training::tensors::{floats, values};

/// Values in a buffer, 16 MiB: far beyond the size from which a network's bandwidth counts and not
/// its latency.
const BUFFER: usize = 1 << 22;

/// The sums over all ranks of a loss and of the gradients of `module`, which have the same
/// parameters on every rank.
pub fn all_reduce(
    ranks: &dyn Ranks,
    module: &impl Module,
    loss: f64,
    grads: GradientsParams,
) -> (f64, GradientsParams) {
    if ranks.size() == 1 {
        return (loss, grads);
    }
    let mut pack = Pack {
        grads,
        buffers: VecDeque::from([vec![loss as f32]]),
        tensors: VecDeque::new(),
    };
    module.visit(&mut pack);
    for buffer in &mut pack.buffers {
        ranks.sum(buffer);
    }
    let loss = f64::from(pack.buffers[0][0]);
    let mut unpack = Unpack {
        packed: pack,
        used: 1,
    };
    module.visit(&mut unpack);
    (loss, unpack.packed.grads)
}

/// Moves gradients into buffers.
struct Pack {
    grads: GradientsParams,
    buffers: VecDeque<Vec<f32>>,
    tensors: VecDeque<(ParamId, Device)>,
}

impl ModuleVisitor for Pack {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.remove::<D>(param.id) else {
            return;
        };
        self.tensors.push_back((param.id, grad.device()));
        let values = values(grad);
        let last = self.buffers.back_mut().expect("the first holds the loss");
        if last.len() + values.len() <= BUFFER {
            last.extend(values)
        } else {
            self.buffers.push_back(values)
        }
    }
}

/// Takes gradients out of buffers again.
struct Unpack {
    packed: Pack,
    /// Values taken from the first buffer.
    used: usize,
}

impl ModuleVisitor for Unpack {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let packed = &mut self.packed;
        let Some((_, device)) = packed.tensors.pop_front_if(|(id, _)| *id == param.id) else {
            return;
        };
        if self.used == packed.buffers[0].len() {
            packed.buffers.pop_front();
            self.used = 0;
        }
        let shape = param.val().dims();
        let end = self.used + shape.iter().product::<usize>();
        let grad = floats(&packed.buffers[0][self.used..end], shape, &device);
        self.used = end;
        packed.grads.register(param.id, grad);
    }
}
