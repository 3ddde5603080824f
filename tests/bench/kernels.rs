//! How fast the kernels are, and what they are measured against.
//!
//! ```sh
//! cargo bench --workspace --profile dev --bench kernels -- [part of a case's name] [--tiles software] [--full] [--bits 8|4] [--f16] [--beside]
//! ```
//!
//! The profile does not matter to what runs on the device. Without `--full` maps are as small as in
//! the tests.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::prelude::*;
use burn::tensor::DeviceType;
use clap::{Parser, ValueEnum};
use roentgen_web::device::{AdapterClass, Precision};
use roentgen_web::kernels::cases::Case;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{take_plain, take_tiles_of};

/// Runs of a case, of which the median counts.
const RUNS: usize = 5;

#[derive(Parser)]
struct Options {
    /// Only cases whose names have all of these in them
    names: Vec<String>,
    /// Tiles for which class of adapters
    #[arg(long, value_enum, default_value = "gpu")]
    tiles: Tiles,
    /// The real layers' maps
    #[arg(long)]
    full: bool,
    /// One case in so many
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Weights in integers of so many bits
    #[arg(long)]
    bits: Option<usize>,
    /// Maps and rows in f16
    #[arg(long)]
    f16: bool,
    /// Only burn's own operations
    #[arg(long, conflicts_with = "beside")]
    plain: bool,
    /// Burn's own operations in turn with ours, and a table
    #[arg(long)]
    beside: bool,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tiles {
    Gpu,
    Software,
}

fn main() {
    let options = Options::parse();
    take_tiles_of(match options.tiles {
        Tiles::Gpu => AdapterClass::Gpu,
        Tiles::Software => AdapterClass::Software,
    });
    let Some(device) = Device::enumerate(DeviceType::Wgpu).into_iter().next() else {
        eprintln!("no Vulkan, Metal or DX12 adapter");
        std::process::exit(1);
    };
    println!("{device:?}");
    let mut gains: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for case in cases(!options.full).iter().step_by(options.every) {
        let name = format!("{case:?}");
        let named = options.names.iter().all(|part| name.contains(part));
        if !named || (options.bits.is_some() && case.weights() == 0) {
            continue;
        }
        let ways = match (options.plain, options.beside) {
            (_, true) => &[false, true][..],
            (plain, false) => &[plain][..],
        };
        let medians = measure(case, &options, ways, &device);
        let rate = case.operations() / medians[0] / 1e9;
        print!("{:9.3} ms {rate:8.2} GFLOP/s", medians[0] * 1e3);
        if let [ours, burn] = medians[..] {
            print!(" {:6.2} times as fast as burn", burn / ours);
            gains.entry(operation(case)).or_default().push(burn / ours);
        }
        println!("  {name}");
    }
    if options.beside {
        println!("\n| operation | cases | times as fast as burn's: median | least | most |");
        println!("|---|---|---|---|---|");
    }
    for (operation, mut gains) in gains {
        gains.sort_by(f64::total_cmp);
        let [least, median, most] = [0, gains.len() / 2, gains.len() - 1].map(|i| gains[i]);
        println!(
            "| {operation} | {} | {median:.1} | {least:.1} | {most:.1} |",
            gains.len()
        );
    }
}

/// Median seconds of a case with kernels (`false`) and with burn's own operations (`true`), in
/// turn.
fn measure(case: &Case, options: &Options, ways: &[bool], device: &Device) -> Vec<f64> {
    let precision = if options.f16 {
        Precision::F16
    } else {
        Precision::F32
    };
    let run = case.run(options.bits, precision, device);
    let time = |plain: bool| {
        take_plain(plain);
        let started = Instant::now();
        let first = run().narrow(0, 0, 1).into_data();
        assert!(first.iter::<f32>().all(f32::is_finite)); // reads, and so waits for the device
        started.elapsed().as_secs_f64()
    };
    let mut times = vec![Vec::new(); ways.len()];
    for i in 0..=RUNS {
        for (plain, times) in ways.iter().zip(&mut times) {
            let took = time(*plain);
            if i > 0 {
                times.push(took); // the first one compiles
            }
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    };
    times.iter_mut().map(median).collect()
}

/// What a case's time depends on.
fn operation(case: &Case) -> String {
    match case {
        Case::Conv2d { upsample: true, .. } => "convolution of a doubled map".into(),
        Case::Conv2d { side, stride, .. } => format!("convolution {side}x{side}, stride {stride}"),
        Case::Linear {
            activation: None, ..
        } => "GEGLU".into(),
        Case::Linear { .. } => "linear layer".into(),
        Case::GroupNorm { .. } => "group norm".into(),
        Case::LayerNorm { .. } => "layer norm".into(),
        Case::Attention { is_causal, .. } => {
            if *is_causal {
                "attention, causal".into()
            } else {
                "attention".into()
            }
        }
    }
}
