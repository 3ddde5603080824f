//! The networks' operations, each in three ways: a plain one of burn's own operations, a kernel of
//! ours for the GPU, and one for the CPU.
//!
//! Where gradients are wanted, the CPU's kernels run forward and backward (feature `training`,
//! `cpu/gradient`), and elsewhere the plain way does. The GPU's kernels are written in CubeCL, so
//! that one source serves WebGPU, native wgpu and CUDA. burn's stock operations there are naive
//! where there is no tensor core that they know (3x3 convolutions), one thread a row (norms), or
//! materialise the scores (attention), and many: a browser spends more time on launching than on
//! computing. Ours fuse what follows into the pass over the output.
//!
//! A bundle's q8 and q4 weights stay integers on a GPU, see [`Packed`].
//!
//! Dimension letters as in the crate, and `P` for the pixels of a map, `h * w`.
//!
//! On a GPU features lie channel by channel, `[B, C, P]`, also where diffusers has rows of tokens,
//! `[B, T, C]`: a linear layer is then a 1x1 convolution, neighbouring threads read neighbouring
//! pixels in every kernel, and the permutations between the two are views that copy nothing. On the
//! CPU they lie pixel by pixel, for the same reason.

mod activation;
pub mod attention;
mod autocast;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod cases;
pub(crate) mod choice;
pub mod conv2d;
#[cfg(feature = "cpu")]
pub(crate) mod cpu;
pub mod embedding;
mod fused;
#[cfg(feature = "gpu")]
mod gpu;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod packed;
mod padding;
pub mod rms_norm;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod table;
mod views;

pub use activation::Activation;
pub use attention::attention;
pub use autocast::autocast;
#[cfg(feature = "testing")]
pub use choice::{take_plain, take_tiles_of};
pub use conv2d::{conv2d, conv2d_fused};
pub use embedding::embedding;
pub use fused::Fused;
pub use group_norm::group_norm;
pub use layer_norm::layer_norm;
pub use linear::{geglu, linear, linear_rows};
pub use packed::Packed;
pub use rms_norm::{rms_norm, silu};
pub use views::{concatenate, fork, map, rows};

use burn::tensor::Device;

/// Whether kernels for a GPU run on a device.
pub(crate) fn is_gpu(_device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    return gpu::on_gpu(&burn::tensor::Tensor::<1>::empty([1], _device)).is_some();
    #[cfg(not(feature = "gpu"))]
    false
}
