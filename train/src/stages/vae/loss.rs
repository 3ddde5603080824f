//! How far a reconstruction is from the image.

use burn::prelude::*;
use roentgen_web::image::bicubic::resize;
use roentgen_web::tensor::HostTensor;

use super::crops::Crops;
use crate::training::loss::edges;
use crate::training::replicas::share;
use crate::training::tensors::floats;

/// Pixels at the edge of a halved crop whose cubic reaches out of it.
const BORDER: usize = 2;

/// Half the size by the antialiased bicubic that makes the encoder's input, `[B, 1, n, n]` to
/// `[B, 1, n/2, n/2]`.
pub fn halve(x: Tensor<4>) -> Tensor<4> {
    let n = x.dims()[3];
    // The rows of the identity, halved, are the weights of each row of the output.
    let mut identity = vec![0.0; n * n];
    (0..n).for_each(|i| identity[i * n + i] = 1.0);
    let identity = HostTensor {
        shape: vec![1, 1, n, n],
        data: identity,
    };
    weighed(x, &resize(&identity, [n / 2, n]).data)
}

/// The image under a Gaussian of so many pixels' deviation, `[B, 1, n, n]`; past the borders there
/// is nothing.
pub fn blur(x: Tensor<4>, deviation: f64) -> Tensor<4> {
    let n = x.dims()[3];
    let row = |i: usize| {
        let distance = move |k: usize| (i as f64 - k as f64) / deviation;
        let weights = (0..n).map(move |k| (-0.5 * distance(k).powi(2)).exp());
        let sum: f64 = weights.clone().sum();
        weights.map(move |weight| (weight / sum) as f32)
    };
    let weights: Vec<f32> = (0..n).flat_map(row).collect();
    weighed(x, &weights)
}

/// Sums of rows and of columns of an image, `[B, 1, n, n]` to `[B, 1, m, m]`, with `weights` of
/// `[m, n]`.
fn weighed(x: Tensor<4>, weights: &[f32]) -> Tensor<4> {
    let [b, _, n, _] = x.dims();
    let m = weights.len() / n;
    let weights: Tensor<2> = floats(weights, [m, n], &x.device());
    let across = x.reshape([b * n, n]).matmul(weights.clone().transpose());
    let down = weights.unsqueeze::<3>().matmul(across.reshape([b, n, m]));
    down.reshape([b, 1, m, m])
}

/// Mean absolute error plus `edge_weight` times that of differences of neighbouring pixels. Where
/// `crops` has halved images, both at both sizes, those at the full size of sharp images alone.
///
/// # Shapes
/// - `output`: `[n, 1, crop, crop]`, of the `part`-th `n` of the crops
/// - output: `[1]`
pub fn reconstruction(
    output: Tensor<4>,
    crops: &Crops,
    part: usize,
    edge_weight: f64,
) -> Tensor<1> {
    let (size, device) = (output.dims(), output.device());
    let [n, _, h, w] = size;
    let loss =
        |difference: Tensor<4>| difference.clone().abs().mean() + edges(difference) * edge_weight;
    let target = floats(share(&crops.target, part, size), size, &device);
    if crops.half.is_empty() {
        return loss(output - target);
    }
    let sharp = floats(share(&crops.sharp, part, [n]), [n, 1, 1, 1], &device);
    let full = loss((output.clone() - target) * sharp);
    let size = [n, 1, h / 2, w / 2];
    let half = halve(output) - floats(share(&crops.half, part, size), size, &device);
    let inner = [BORDER..h / 2 - BORDER, BORDER..w / 2 - BORDER];
    let [rows, columns] = inner;
    full + loss(half.slice([0..n, 0..1, rows, columns]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tensors::values;

    #[test]
    fn it_is_halved_as_the_encoder_s_input_is() {
        let data: Vec<f32> = (0..2 * 256).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = floats(&data, [2, 1, 16, 16], &Device::flex());
        let whole = HostTensor {
            shape: vec![2, 1, 16, 16],
            data,
        };
        let expected = resize(&whole, [8, 8]).data;
        let found = values(halve(x));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_blurred_point_is_a_gaussian_and_a_plain_image_stays() {
        let device = Device::flex();
        let mut point = vec![0.0; 32 * 32];
        point[16 * 32 + 15] = 1.0;
        let found = values(blur(floats(&point, [1, 1, 32, 32], &device), 2.0));
        let at = |y: usize, x: usize| found[y * 32 + x];
        assert!((at(16, 15) - 1.0 / (8.0 * std::f32::consts::PI)).abs() < 1e-4);
        for (near, squared) in [(at(16, 17), 4.0), (at(18, 17), 8.0), (at(15, 12), 10.0)] {
            let expected = at(16, 15) * f32::exp(-squared / 8.0);
            assert!((near - expected).abs() < 1e-5, "{near} {expected}");
        }
        let plain = values(blur(floats(&[0.5; 256], [1, 1, 16, 16], &device), 3.0));
        assert!(plain.iter().all(|v| (v - 0.5).abs() < 1e-5));
    }

    #[test]
    fn of_an_image_stored_small_only_the_halved_output_counts() {
        let device = Device::flex();
        let crops = |sharp: f32, half: f32| Crops {
            shown: vec![],
            target: vec![0.5; 256],
            half: vec![half; 64],
            sharp: vec![sharp],
        };
        let output = floats(&[0.25; 256], [1, 1, 16, 16], &device);
        let loss =
            |sharp, half| values(reconstruction(output.clone(), &crops(sharp, half), 0, 0.5))[0];
        assert!((loss(1.0, 0.25) - 0.25).abs() < 1e-6);
        assert!(loss(0.0, 0.25) < 1e-6);
        assert!((loss(0.0, 1.0) - 0.75).abs() < 1e-6);
    }
}
