//! The kernels of the CPU, for one thread of a browser first of all, and for every core.
//!
//! Maps lie pixel by pixel here, `[B, h, w, C]`, and so are rows of tokens: a pixel's channels
//! follow one another, so that one innermost loop ([`tile`]) multiplies tokens, the pixels under a
//! convolution's taps, the tiles of Winograd's, queries and attention's weights where they lie, and
//! what comes out is a row again. A tensor's shape stays `[B, C, h, w]`, as a view. burn's own
//! backend unfolds its convolutions' input, permutes on the way in and out, and goes over the
//! output again for everything that follows.
//!
//! Each operation is `None` for tensors that it cannot take: those of another backend, and those
//! that gradients are wanted of, which `gradient` takes where the feature `training` is there.

mod attention;
mod cache;
mod conv2d;
#[cfg(feature = "training")]
pub mod gradient;
mod group_norm;
mod lanes;
mod layer_norm;
mod linear;
mod math;
mod norm;
mod panels;
mod patches;
mod points;
#[cfg(any(test, feature = "workers"))]
pub(crate) mod pool;
mod product;
mod tensor;
mod tile;
mod views;
mod winograd;
mod work;

#[cfg(feature = "training")]
use work::each;
use work::{
    each_chunk, filled, filled_chunks, map_chunks, overwritten_chunks, parts, scratch, share,
    share_images, threads,
};

pub use attention::attention;
pub use conv2d::conv2d;
pub use group_norm::group_norm;
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use views::{concatenate, map, rows};
