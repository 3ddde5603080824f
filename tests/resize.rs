//! Bicubic resizing against PyTorch's, and the detail that an encoder is shown.

mod common;

use common::{files, golden};
use roentgen_web::image::bicubic::{EncoderSize, resize};
use roentgen_web::parity::{relative_l2, tensors};
use roentgen_web::tensor::HostTensor;

/// The bound of the relative L2 error: PyTorch rounds places and shares to f32.
const TOLERANCE: f64 = 1e-5;

#[test]
fn images_are_resized_as_by_pytorch() {
    let tensors = tensors(&files(&golden("resize"))["case.safetensors"]).unwrap();
    let image = &tensors["input.image"];
    let half = resize(image, [12, 18]);
    let front = EncoderSize {
        encoder_sample_size: Some(128),
        sample_size: Some(256),
    };
    for (output, found) in [
        ("half", &half),
        ("back", &front.shown(image.clone())),
        ("odd", &resize(image, [7, 41])),
    ] {
        let expected = &tensors[&format!("output.{output}")];
        assert_eq!(found.shape, expected.shape);
        let error = relative_l2(&found.data, &expected.data);
        println!("{output}: {error:.1e}");
        assert!(error <= TOLERANCE, "{output}: {error:.1e}");
    }
}

#[test]
fn an_encoder_without_a_size_is_shown_everything() {
    let image = HostTensor {
        shape: vec![1, 1, 3, 2],
        data: vec![-1.0, 1.0, 0.5, -0.5, 0.25, 0.0],
    };
    for (encoder_sample_size, sample_size) in [(None, Some(256)), (None, None), (Some(8), Some(8))]
    {
        let size = EncoderSize {
            encoder_sample_size,
            sample_size,
        };
        assert_eq!(size.shown(image.clone()), image);
    }
}
