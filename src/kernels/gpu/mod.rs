//! The kernels of a GPU, in CubeCL: one source serves WebGPU, native wgpu and CUDA. Each function
//! is `None` for tensors that it cannot take: those of another backend, and those that gradients
//! are wanted of.

mod attention;
mod conv2d;
mod decode;
mod group_norm;
mod launch;
mod layer_norm;
mod linear;
mod product;
mod tile;
mod weight;

pub use attention::attention;
pub use conv2d::conv2d;
pub use decode::decode;
pub use group_norm::{group_norm, takes_group_norm};
pub use launch::on_gpu;
pub use layer_norm::layer_norm;
pub use linear::linear;
