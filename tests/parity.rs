//! Every network and a whole run against diffusers, on the CPU and through wgpu, from one table of
//! cases.
//!
//! The goldens and the program which made them are in `tests/reference`; what is compared is in
//! `src/parity.rs`, which the browser tests run too.

mod common;

use std::time::Instant;

use burn::prelude::*;
use common::{block_on, files, golden};
use roentgen_web::parity::{CASES, compare};

/// Bounds of the relative L2 error on the CPU: of a network, and of a whole run.
const MODULE: f64 = 1e-4;
const RUN: f64 = 1e-3;

/// The bound on a GPU, of everything: its exponentials and sums are rounded otherwise.
const GPU: f64 = 1e-3;

fn check(device: &Device, bound: impl Fn(&str) -> f64) {
    for case in CASES {
        let start = Instant::now();
        let errors = block_on(compare(&files(&golden(case)), device)).unwrap();
        println!("{case}, {:.1?}", start.elapsed());
        for (output, error) in errors {
            println!("    {output}: {error:.1e}");
            assert!(error <= bound(case), "{case} {output}: {error:.1e}");
        }
    }
}

#[cfg(feature = "cpu")]
#[test]
fn cpu_equals_diffusers() {
    check(&Device::flex(), |case| {
        if case.starts_with("pipeline") {
            RUN
        } else {
            MODULE
        }
    });
}

#[cfg(feature = "gpu")]
#[test]
fn wgpu_equals_diffusers() {
    use burn::tensor::DeviceType;
    let Some(device) = Device::enumerate(DeviceType::Wgpu).into_iter().next() else {
        println!(
            "skipped: no Vulkan, Metal or DX12 adapter, not even a software one (Debian: mesa-vulkan-drivers)"
        );
        return;
    };
    check(&device, |_| GPU);
}
