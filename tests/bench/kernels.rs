//! How fast the kernels are, and what they are measured against.
//!
//! ```sh
//! cargo bench --profile dev --bench kernels -- [part of a case's name] [--class gpu|software] [--full] [--plain] [--q8|--q4] [--f16]
//! ```
//!
//! The profile does not matter to what runs on the device. Without `--full` maps are as small as in the tests.

use std::time::Instant;

use burn::prelude::*;
use burn::tensor::DeviceType;
use roentgen_web::device::{AdapterClass, Precision};
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{take_plain, take_tiles_of};

/// Runs of a case, of which the median counts.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let given = |name: &str| arguments.iter().any(|a| a == name);
    let class = match given("software") {
        true => AdapterClass::Software,
        false => AdapterClass::Gpu,
    };
    take_tiles_of(class);
    take_plain(given("--plain"));
    let bits = match (given("--q8"), given("--q4")) {
        (true, _) => Some(8),
        (_, true) => Some(4),
        _ => None,
    };
    let precision = match given("--f16") {
        true => Precision::F16,
        false => Precision::F32,
    };
    let named = |case: &String| {
        arguments
            .iter()
            .filter(|a| !a.starts_with("--") && *a != "software" && *a != "gpu")
            .all(|a| case.contains(a.as_str()))
    };
    let Some(device) = Device::enumerate(DeviceType::Wgpu).into_iter().next() else {
        eprintln!("no Vulkan, Metal or DX12 adapter");
        std::process::exit(1);
    };
    println!("{device:?}, {class:?}");
    for case in cases(!given("--full")) {
        let name = format!("{case:?}");
        if !named(&name) || (bits.is_some() && case.weights() == 0) {
            continue;
        }
        let run = case.run(bits, precision, &device);
        let time = || {
            let started = Instant::now();
            let first = run().narrow(0, 0, 1).into_data();
            assert!(first.iter::<f32>().all(f32::is_finite)); // reads, and so waits for the device
            started.elapsed().as_secs_f64()
        };
        time(); // compiles
        let mut times: Vec<f64> = (0..RUNS).map(|_| time()).collect();
        times.sort_by(f64::total_cmp);
        let median = times[RUNS / 2];
        println!(
            "{:9.3} ms {:8.2} GFLOP/s  {name}",
            median * 1e3,
            case.operations() / median / 1e9
        );
    }
}
