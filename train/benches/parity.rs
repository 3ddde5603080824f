//! Every case of the kernels' table on a device beside burn's plain operations on the CPU: what it
//! gives, and its gradients.
//!
//! ```sh
//! cargo bench -p train --bench parity -- cpu|cuda [EVERY]
//! ```
//!
//! One row of CSV a comparison, as it is made; `EVERY` takes one case in so many. It fails where a
//! relative L2 distance is above [`BOUND`].

use std::io::Write;
use std::process::ExitCode;

use burn::prelude::*;
use clap::ValueEnum;
use roentgen_web::device::Precision;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::take_plain;
use roentgen_web::parity::relative_l2;
use train::training::device::{self, Kind};
use train::training::tensors::values;

/// Tensor cores may round f32 to ten bits after the point; on the CPU 1e-5 is met
/// (`train/tests/kernel_gradients.rs`).
const BOUND: f64 = 2e-3;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let kind = arguments.next().unwrap_or_else(|| "cpu".into());
    let kind = Kind::from_str(&kind, false).expect("cpu or cuda");
    let every = arguments.next().map_or(1, |n| n.parse().expect("a number"));
    let device = match device::open(kind) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("parity: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plain = Device::flex();
    let (mut count, mut failed, mut worst) = (0, 0, 0.0f64);
    let mut out = std::io::stdout();
    writeln!(out, "what,error,case").expect("an open output");
    for case in cases(true).iter().step_by(every) {
        take_plain(true);
        let expected = case.run(None, Precision::F32, &plain)();
        let slopes = case.gradients(&plain.clone().autodiff());
        take_plain(false);
        let found = case.run(None, Precision::F32, &device)();
        let found = std::iter::once(("output", found));
        let found = found.chain(case.gradients(&device.clone().autodiff()));
        let expected = std::iter::once(expected).chain(slopes.into_iter().map(|(_, slope)| slope));
        for ((what, found), expected) in found.zip(expected) {
            let (found, expected) = (values(found), values(expected));
            // A gradient that vanishes, as that of a single value's norm, has only rounding in it.
            let vanishes = expected.iter().all(|v| v.abs() < 1e-4);
            let error = if vanishes {
                found
                    .iter()
                    .fold(0.0, |most, v| f64::from(v.abs()).max(most))
            } else {
                relative_l2(&found, &expected)
            };
            count += 1;
            failed += u32::from(error.is_nan() || error > BOUND);
            worst = worst.max(error);
            writeln!(out, "{what},{error:.1e},\"{case:?}\"").expect("an open output");
        }
    }
    eprintln!("{count} comparisons, the worst {worst:.1e}, {failed} above {BOUND:.0e}");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
