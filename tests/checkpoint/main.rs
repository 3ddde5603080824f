//! Checkpoints of every kind, and what is none.

mod configs;
mod files;
mod parts;
mod strangers;
mod support;
