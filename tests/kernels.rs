//! Every kernel against its plain twin, on every case of the table, for both classes of adapters.

#![cfg(all(feature = "cpu", feature = "gpu"))]

mod common;

use burn::prelude::*;
use burn::tensor::DeviceType;
use common::block_on;
use roentgen_web::device::AdapterClass;
use roentgen_web::kernels::cases::distance;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::take_tiles_of;

/// Largest relative L2 distance; sums of some ten thousand terms in another order.
const BOUND: f64 = 1e-5;

#[test]
fn kernels_equal_their_plain_twins() {
    let Some(device) = Device::enumerate(DeviceType::Wgpu).into_iter().next() else {
        println!(
            "skipped: no Vulkan, Metal or DX12 adapter, not even a software one (Debian: mesa-vulkan-drivers)"
        );
        return;
    };
    let plain = Device::flex();
    let cases = cases(true);
    assert!(cases.len() >= 200, "there are {} cases only", cases.len());
    let mut failed = Vec::new();
    for class in [AdapterClass::Software, AdapterClass::Gpu] {
        take_tiles_of(class);
        let mut worst = (0.0, String::new());
        for case in &cases {
            let error = block_on(distance(case.run(&device)(), case.run(&plain)())).unwrap();
            if error.is_nan() || error > BOUND {
                failed.push(format!("{class:?} {case:?}: {error:.1e}"));
            }
            if error > worst.0 {
                worst = (error, format!("{case:?}"));
            }
        }
        println!(
            "{class:?}: {} cases, the worst {:.1e} in {}",
            cases.len(),
            worst.0,
            worst.1
        );
    }
    assert!(
        failed.is_empty(),
        "{} of {}:\n{}",
        failed.len(),
        2 * cases.len(),
        failed.join("\n")
    );
}
