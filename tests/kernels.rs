//! Every kernel against its plain reference, on every case of the table: those of the CPU, and
//! those of a GPU for both classes of adapters.

#![cfg(all(feature = "cpu", feature = "gpu"))]

mod common;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::nn::{GroupNormConfig, PaddingConfig2d, conv::Conv2dConfig};
use burn::prelude::*;
use burn::tensor::{DeviceType, Distribution};
use common::block_on;
use roentgen_web::device::{AdapterClass, Precision, watch::Watch};
use roentgen_web::kernels::cases::distance;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{Fused, conv2d_fused, group_norm, take_plain, take_tiles_of};

/// Largest relative L2 distance; sums of some ten thousand terms in another order.
const BOUND: f64 = 1e-5;

/// One test at a time: which kernels are taken is the same for a whole program.
fn alone() -> MutexGuard<'static, ()> {
    static WORKING: Mutex<()> = Mutex::new(());
    WORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn kernels_equal_their_plain_references() {
    let _alone = alone();
    let plain = Device::flex();
    let mut ways = vec![("CPU", plain.clone(), None)];
    match Device::enumerate(DeviceType::Wgpu).into_iter().next() {
        Some(device) => ways.extend([
            ("Software", device.clone(), Some(AdapterClass::Software)),
            ("Gpu", device, Some(AdapterClass::Gpu)),
        ]),
        None => println!(
            "skipped on a GPU: no Vulkan, Metal or DX12 adapter, not even a software one (Debian: mesa-vulkan-drivers)"
        ),
    }
    let cases = cases(true);
    assert!(cases.len() >= 200, "there are {} cases only", cases.len());
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, device, class) in &ways {
        if let Some(class) = class {
            take_tiles_of(*class);
        }
        let mut worst = (0.0, String::new());
        let mut exact: BTreeMap<String, [usize; 2]> = BTreeMap::new(); // of all, for each operation
        for (i, case) in cases.iter().enumerate() {
            // A packed weight's plain reference decodes it and multiplies in f32; on the CPU it is
            // decoded as it is loaded. Some of the cases, in either format by turns: a software
            // adapter takes long to compile tiles of cards that decode.
            let every = class.map(|class| match class {
                AdapterClass::Software => 3,
                AdapterClass::Gpu => 19,
            });
            let every = every.filter(|every| case.weights() > 0 && i % every == 0);
            let packed = every.map(|every| [8, 4][i / every % 2]);
            for bits in std::iter::once(None).chain(packed.map(Some)) {
                take_plain(true);
                let expected = case.run(bits, Precision::F32, &plain)();
                take_plain(false);
                let error =
                    block_on(distance(case.run(bits, Precision::F32, device)(), expected)).unwrap();
                let operation = format!("{case:?}").split(' ').next().map(String::from);
                let [same, all] = exact.entry(operation.unwrap_or_default()).or_default();
                *same += usize::from(error == 0.0);
                *all += 1;
                let name = format!("{name} {bits:?} {case:?}");
                if error.is_nan() || error > BOUND {
                    failed.push(format!("{name}: {error:.1e}"));
                }
                if error > worst.0 {
                    worst = (error, name);
                }
                count += 1;
            }
        }
        // A kernel adds in another order: where most outcomes are the same to the last bit, the
        // plain way was taken.
        let taken = exact.values().all(|[same, all]| same * 2 < *all);
        assert!(taken, "{name}, exact of all: {exact:?}");
        println!("{name}: the worst {:.1e} in {}", worst.0, worst.1);
    }
    println!("{count} comparisons of {} cases", cases.len());
    assert!(
        failed.is_empty(),
        "{} of {count}:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// A map that nobody else has is written over, by the kernels that may; one that somebody has stays
/// as it is.
#[test]
fn kernels_write_over_what_nobody_else_has() {
    let _alone = alone();
    let Some(device) = Device::enumerate(DeviceType::Wgpu).into_iter().next() else {
        println!("skipped: no adapter (Debian: mesa-vulkan-drivers)");
        return;
    };
    let shape = [2, 32, 64, 64];
    let bytes = shape.iter().product::<usize>() as u64 * 4;
    let norm = GroupNormConfig::new(8, 32).init(&device);
    let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
    let conv = Conv2dConfig::new([32, 32], [3, 3])
        .with_padding(padding)
        .init(&device);
    let input = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let added = |residual| Fused {
        residual: Some(residual),
        ..Fused::default()
    };
    type Operation<'a> = Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>;
    let operations: [Operation<'_>; 2] = [
        Box::new(|x| group_norm(&norm, x, true)),
        Box::new(|x| conv2d_fused(&conv, input.clone(), added(x))),
    ];
    let read = |x: Tensor<4>| x.into_data().try_into_vec_as::<f32>().unwrap();
    for operation in operations {
        let shared = Tensor::<4>::random(shape, Distribution::Normal(1.0, 2.0), &device);
        let values = read(shared.clone());
        let beside = operation(shared.clone());
        assert_eq!(read(shared.clone()), values);
        let expected = read(beside);
        let before = Watch::new(&device, false).usage().in_use;
        let watch = Watch::new(&device, false);
        let over = operation(shared);
        let most = watch.usage().in_use;
        assert!(most < before + bytes, "{most} bytes after {before}");
        assert_eq!(read(over), expected);
    }
}
