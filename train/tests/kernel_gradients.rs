//! The gradients of every kernel of the CPU against burn's own of the plain operations, on every
//! case of the table.

use burn::prelude::*;
use burn::tensor::FloatDType;
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{autocast, take_plain};

/// Largest relative L2 distance; sums of some ten thousand terms in another order.
const BOUND: f64 = 1e-5;
/// The same of linear layers whose products are in bf16, where half a unit in the last place is
/// 4e-3.
const BF16_BOUND: f64 = 1e-2;

/// Relative L2 distance; of gradients that vanish, as those of a single value's norm, the distance
/// to what others are like.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let pairs = found.iter().zip(expected);
    let difference = norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|v| f64::from(*v))).max(0.1)
}

#[test]
fn gradients_equal_those_of_the_plain_operations() {
    let device = Device::flex().autodiff();
    let cases = cases(true);
    let values = |x: Tensor<1>| -> Vec<f32> { x.into_data().try_into_vec_as().expect("floats") };
    let mut worst = std::collections::BTreeMap::<String, (f64, String)>::new();
    let mut failed = Vec::new();
    let mut exact = 0;
    let mut count = 0;
    for case in &cases {
        take_plain(true);
        let expected = case.gradients(&device);
        take_plain(false);
        let found = case.gradients(&device);
        let operation = format!("{case:?}").split(' ').next().map(String::from);
        let operation = operation.unwrap_or_default();
        for ((name, found), (_, expected)) in found.into_iter().zip(expected) {
            let error = distance(&values(found), &values(expected));
            if error.is_nan() || error > BOUND {
                failed.push(format!("{name} of {case:?}: {error:.1e}"));
            }
            exact += usize::from(error == 0.0);
            count += 1;
            let name = format!("{operation}, {name}");
            let worst = worst.entry(name).or_default();
            if error > worst.0 {
                *worst = (error, format!("{case:?}"));
            }
        }
    }
    // Here and not in a test of its own, as what is taken holds for all threads.
    let layers = cases.iter().filter(|c| {
        let name = format!("{c:?}");
        name.starts_with("Linear") || name.starts_with("Geglu")
    });
    let mut layers_seen = 0;
    for case in layers {
        take_plain(true);
        let expected = case.gradients(&device);
        take_plain(false);
        let found = autocast(Some(FloatDType::BF16), || case.gradients(&device));
        for ((name, found), (_, expected)) in found.into_iter().zip(expected) {
            let error = distance(&values(found), &values(expected));
            if error.is_nan() || error > BF16_BOUND {
                failed.push(format!("{name} of {case:?} in bf16: {error:.1e}"));
            }
            let worst = worst.entry(format!("in bf16, {name}")).or_default();
            if error > worst.0 {
                *worst = (error, format!("{case:?}"));
            }
        }
        layers_seen += 1;
    }
    assert!(layers_seen >= 10, "{layers_seen} linear layers");
    for (name, (error, case)) in &worst {
        println!("{name}: {error:.1e} ({case})");
    }
    println!(
        "{count} gradients of {} cases, {exact} the same to the last bit",
        cases.len()
    );
    assert!(cases.len() >= 100, "there are {} cases only", cases.len());
    assert!(
        failed.is_empty(),
        "{} of {count}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    // Where none of the kernels ran, both sides would be the same.
    assert!(
        exact * 2 < count,
        "{exact} of {count} gradients are the same to the last bit"
    );
}
