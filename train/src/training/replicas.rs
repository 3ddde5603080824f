//! Data-parallel gradients: replicas of a module, each with its share of the batch.

use std::panic::resume_unwind;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use roentgen_web::kernels::autocast;

use crate::training::device::alike;
use crate::training::ranks::{self, all_reduce::all_reduce};

/// The values of the `part`-th replica's tensor of `shape`, out of a whole batch.
pub fn share<T, const D: usize>(values: &[T], part: usize, shape: [usize; D]) -> &[T] {
    let size = shape.iter().product::<usize>();
    &values[part * size..(part + 1) * size]
}

/// Threads that each hold one replica, on a core or on a GPU of its own.
///
/// A single replica shares each operation among the cores. With a replica for each core they meet
/// once a step and not at each operation, so small networks train faster, and so does everything on
/// a machine with other work; a single replica transforms its weights once and takes less memory.
/// Only the order of the sums differs.
pub struct Replicas {
    places: Vec<(ThreadPool, Device)>,
}

impl Replicas {
    /// `count` replicas, in turn on each device of the kind of `device`, where the module is. A
    /// single one computes there, on the calling thread, and may use every core.
    ///
    /// # Panics
    /// If the system gives no threads.
    pub fn new(count: usize, device: &Device) -> Self {
        let place = |device| {
            let pool = ThreadPoolBuilder::new().num_threads(1).build();
            (pool.expect("a thread"), device)
        };
        let places = match count {
            0 | 1 => vec![],
            n => alike(device)
                .into_iter()
                .cycle()
                .take(n)
                .map(place)
                .collect(),
        };
        Self { places }
    }

    /// The mean of `loss(replica, part, device)` over the parts, and its gradient, on the module's
    /// device. `loss` gives the mean loss `[1]` of the part-th share of the batch, computed on the
    /// replica's device; the shares are of equal size, and each replica of each rank takes `rounds`
    /// of them, one after another.
    pub fn gradients<M: Module + Send>(
        &self,
        module: &M,
        rounds: usize,
        loss: impl Fn(&M, usize, &Device) -> Tensor<1> + Sync,
    ) -> (f64, GradientsParams) {
        let (ranks, count) = (ranks::world(), self.places.len().max(1));
        let share = 1.0 / (ranks.size() * count * rounds) as f64;
        let work = |replica: &M, index: usize, device: &Device| {
            let mut sum = GradientsAccumulator::new();
            let mut value = 0.0;
            let first = (ranks.rank() * count + index) * rounds;
            for part in first..first + rounds {
                // This work may be done by a thread that waits inside of another one's: it is not
                // to take over its precision.
                let loss = autocast(None, || loss(replica, part, device)) * share;
                value += f64::from(loss.clone().into_scalar::<f32>());
                let grads = GradientsParams::from_grads(loss.backward(), replica);
                sum.accumulate(replica, grads);
            }
            (value, sum.grads())
        };
        let home = module.devices()[0].clone();
        if self.places.is_empty() {
            // On a thread of the pool that the kernels share their work with, so that none waits
            // for the others to wake up.
            let replica = module.clone();
            let (value, grads) = rayon::scope(move |_| work(&replica, 0, &home));
            return all_reduce(ranks, module, value, grads);
        }
        // A fork has leaves of its own, so that the replicas' graphs share nothing and no lock.
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .places
                .iter()
                .enumerate()
                .map(|(index, (pool, device))| {
                    let replica = module.clone().fork(device);
                    let work = &work;
                    scope.spawn(move || pool.install(move || work(&replica, index, device)))
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        let mut sum = GradientsAccumulator::new();
        let mut value = 0.0;
        for (loss, grads) in results {
            value += loss;
            sum.accumulate(module, grads.to_device(&home, module));
        }
        all_reduce(ranks, module, value, sum.grads())
    }
}
