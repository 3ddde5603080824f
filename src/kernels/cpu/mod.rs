//! The kernels of the CPU, for one thread of a browser first of all, and for every core natively.
//!
//! Maps lie pixel by pixel here, `[B, h, w, C]`, and so are rows of tokens: a pixel's channels follow one another, so that one
//! innermost loop ([`tile`]) multiplies tokens, the pixels under a convolution's taps, the tiles of Winograd's, queries and
//! attention's weights where they lie, and what comes out is a row again. A tensor's shape stays `[B, C, h, w]`, as a view. burn's
//! own backend unfolds its convolutions' input, permutes on the way in and out, and goes over the output again for everything
//! that follows.

mod attention;
mod cache;
mod layers;
mod math;
mod norm;
mod panels;
mod patches;
mod points;
mod product;
mod tile;
mod winograd;

use pulp::WithSimd;

pub use layers::{attention, concatenate, conv2d, group_norm, layer_norm, linear, map, rows};

/// Runs with this processor's vectors: AVX2, NEON, or a browser's SIMD. (AVX-512's are too wide for layers of 48 channels.)
fn vectorized<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, op);
    }
    pulp::Arch::new().dispatch(op)
}

/// Runs over pieces of `size`, the last of which may be shorter, on every core where there are threads.
fn each_chunk(out: &mut [f32], size: usize, run: impl Fn(usize, &mut [f32]) + Sync + Send) {
    if out.is_empty() {
        return;
    }
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        out.par_chunks_mut(size)
            .enumerate()
            .for_each(|(i, chunk)| run(i, chunk));
    }
    #[cfg(not(feature = "threads"))]
    for (i, chunk) in out.chunks_mut(size).enumerate() {
        run(i, chunk);
    }
}

/// What comes of each piece of `size`, in their order.
fn map_chunks<T: Send>(x: &[f32], size: usize, run: impl Fn(&[f32]) -> T + Sync + Send) -> Vec<T> {
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        x.par_chunks(size).map(run).collect()
    }
    #[cfg(not(feature = "threads"))]
    x.chunks(size).map(run).collect()
}
