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
    let mut count = 0;
    for class in [AdapterClass::Software, AdapterClass::Gpu] {
        take_tiles_of(class);
        let mut worst = (0.0, String::new());
        for (i, case) in cases.iter().enumerate() {
            // A packed weight's plain twin decodes it and multiplies in f32. One case in three, in either format by turns.
            let is_packed = case.weights() > 0 && i % 3 == 0;
            let packed = is_packed.then_some([8, 4][i % 2]);
            for bits in std::iter::once(None).chain(packed.map(Some)) {
                let (found, expected) = (case.run(bits, &device)(), case.run(bits, &plain)());
                let error = block_on(distance(found, expected)).unwrap();
                let name = format!("{class:?} {bits:?} {case:?}");
                if error.is_nan() || error > BOUND {
                    failed.push(format!("{name}: {error:.1e}"));
                }
                if error > worst.0 {
                    worst = (error, name);
                }
                count += 1;
            }
        }
        println!("{class:?}: the worst {:.1e} in {}", worst.0, worst.1);
    }
    println!("{count} comparisons of {} cases", cases.len());
    assert!(
        failed.is_empty(),
        "{} of {count}:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
