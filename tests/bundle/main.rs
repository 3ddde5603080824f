//! Bundles: what is written can be read, and whatever is wrong with one has its own error.

mod errors;
mod fuzz;
mod manifests;
mod readers;
mod round_trip;
mod support;
