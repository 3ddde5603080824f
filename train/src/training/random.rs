//! Random numbers of a training step, on the host.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The random choices of one step: a pure function of the run's seed and the step, so that a
/// resumed run goes on exactly as an uninterrupted one.
pub fn step_rng(seed: u64, step: usize) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step as u64)
}

/// `n` standard normal values (Box-Muller).
pub fn normal(rng: &mut StdRng, n: usize) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
        })
        .collect()
}

/// `n` values uniform between 0 and `end`.
pub fn uniform(rng: &mut StdRng, n: usize, end: f32) -> Vec<f32> {
    (0..n).map(|_| rng.random::<f32>() * end).collect()
}
