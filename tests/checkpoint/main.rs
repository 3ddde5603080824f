//! Checkpoints of every kind, and what is none.

#[path = "../common/mod.rs"]
mod common;
mod configs;
mod files;
mod parts;
mod strangers;
mod support;
