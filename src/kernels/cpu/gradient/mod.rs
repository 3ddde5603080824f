//! The kernels of the CPU where gradients are wanted: each operation of [`super::layers`], recorded in burn's autodiff with a
//! backward step of its own.
//!
//! What is saved between the passes is what the backward step reads: inputs, which the graph holds anyway, and what is cheaper kept
//! than computed again (moments of a group normalisation, sums before an activation). Attention's scores are computed again.

mod attention;
mod conv2d;
mod fork;
mod linear;
mod norm;
mod record;
mod rms_norm;
mod steps;
mod transposed;

pub use fork::fork;
pub use record::takes;
pub use rms_norm::{rms_norm, silu};
pub use steps::{attention, concatenate, conv2d, group_norm, layer_norm, linear};
