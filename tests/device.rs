//! Devices: a network equals diffusers on one that has WebGPU's default limits and no optional feature.

#![cfg(feature = "gpu")]

mod common;

use common::{block_on, files, golden};
use roentgen_web::Error;
use roentgen_web::device::{self, Backend, Limits, Options};
use roentgen_web::parity::compare;

#[test]
fn the_default_limits_are_enough() {
    let options = Options {
        limits: Limits::Default,
        ..Options::default()
    };
    let device = match block_on(device::open_with(Backend::Gpu, options)) {
        Ok(device) => device,
        Err(Error::Device(why)) => {
            println!("skipped: {why}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for case in ["unet_sd1", "vae_sd", "text_encoder_sd2"] {
        for (output, error) in block_on(compare(&files(&golden(case)), &device)).unwrap() {
            assert!(error <= 1e-3, "{case} {output}: {error:.1e}");
        }
    }
}
