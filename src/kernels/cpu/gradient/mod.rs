//! The kernels of the CPU where gradients are wanted: each operation, recorded in burn's autodiff
//! with a backward step of its own.
//!
//! What is saved between the passes is what the backward step reads: inputs, which the graph holds
//! anyway, and what is cheaper kept than computed again (moments of a group normalisation, sums
//! before an activation). Attention's scores are computed again.

mod attention;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod conv2d;
mod linear;
mod norm;
mod precision;
mod record;
mod rms_norm;
mod transposed;
mod views;
mod winograd;

pub use attention::attention;
pub use conv2d::conv2d;
pub use linear::linear;
pub use norm::{group_norm, layer_norm};
pub use record::takes;
pub use rms_norm::{rms_norm, silu};
pub use views::{concatenate, fork};
