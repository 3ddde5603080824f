//! Measuring a model.

pub mod metrics;
