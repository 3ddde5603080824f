//! `train import`.

mod bundles;
mod layers;
mod pickles;
mod refused;
mod support;
