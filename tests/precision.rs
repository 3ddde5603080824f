//! f16 between the layers, where the adapter has shader-f16.

#![cfg(all(feature = "cpu", feature = "gpu"))]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use burn::tensor::{DType, DeviceType, FloatDType};
use common::block_on;
use roentgen_web::device::{AdapterClass, Precision};
use roentgen_web::kernels::cases::distance;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{take_plain, take_tiles_of};

/// A device that computes in f16, for one test at a time: which kernels are taken is the same for a whole program.
fn able() -> Option<(Device, MutexGuard<'static, ()>)> {
    static WORKING: Mutex<()> = Mutex::new(());
    let working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let found = Device::enumerate(DeviceType::Wgpu).into_iter().next();
    let able = found.filter(|device| device.supports_dtype(FloatDType::F16));
    if able.is_none() {
        println!("skipped: no adapter with shader-f16 (Debian: mesa-vulkan-drivers)");
    }
    able.map(|device| (device, working))
}

/// Every tenth case in f16, against its plain twin in f32 with the same inputs. All sums are f32, so that only the outcome is rounded, each
/// number by half of the last of its 11 digits at the most; and 1e-5 for sums in another order, as in f32.
#[test]
fn a_kernel_rounds_its_outcome_and_nothing_else() {
    let Some((device, _working)) = able() else {
        return;
    };
    let plain = Device::flex();
    let (mut failed, mut worst, mut count) = (Vec::new(), 0.0f64, 0);
    for (i, case) in cases(true).iter().enumerate().step_by(10) {
        let class = [AdapterClass::Software, AdapterClass::Gpu][i / 10 % 2];
        take_tiles_of(class);
        take_plain(true);
        let expected = case.run(None, Precision::F32, &plain)();
        take_plain(false);
        let found = case.run(None, Precision::F16, &device)();
        assert_eq!(found.dtype(), DType::F16, "{case:?}");
        let error = block_on(distance(found, expected)).unwrap();
        if error.is_nan() || error > 2f64.powi(-11) + 1e-5 {
            failed.push(format!("{class:?} {case:?}: {error:.1e}"));
        }
        worst = worst.max(error);
        count += 1;
    }
    take_tiles_of(AdapterClass::Software);
    println!("{count} cases: the worst {worst:.1e}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
