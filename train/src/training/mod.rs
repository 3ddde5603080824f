//! What every training shares: the run file, the optimizer's loop and its checkpoints, the loss,
//! sheets and curves.

pub mod adamw;
pub mod curve;
pub mod device;
pub mod ema;
pub mod folder;
mod host;
pub mod loss;
pub mod objective;
pub mod optimization;
pub mod random;
pub mod ranks;
pub mod replicas;
pub mod run;
pub mod samples;
pub mod sheet;
pub mod start;
pub mod tensors;
pub mod timesteps;
pub mod trainer;
