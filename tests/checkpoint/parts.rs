//! What is added to a checkpoint: LoRAs, another decoder.

use crate::support::*;
use roentgen_web::{
    checkpoint::{LoraFile, ModelFolder},
    tensor::HostTensor,
    weights::Weights,
};
use safetensors::Dtype;
use std::path::Path;

#[test]
fn loras_that_do_not_belong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lora.safetensors");
    let open = |tensors: &[(&str, &[usize])]| {
        let weight = |shape: &[usize]| HostTensor {
            shape: shape.to_vec(),
            data: vec![0.1; shape.iter().product()],
        };
        let tensors = tensors
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), weight(shape)));
        save(&file, &tensors.collect(), Dtype::F32);
        ModelFolder::open(&golden()).unwrap().with_lora(&LoraFile {
            path: file.clone(),
            weight: 1.0,
        })
    };
    let (down, up) = ("unet.conv_in.lora_A.weight", "unet.conv_in.lora_B.weight");
    open(&[(down, &[2, 4, 3, 3]), (up, &[16, 2, 1, 1])]).unwrap();
    for (tensors, word) in [
        (&[(down, &[2, 4, 3, 3][..])][..], "missing"),
        (
            &[(down, &[2, 8, 3, 3][..]), (up, &[16, 2, 1, 1])],
            "do not fit",
        ),
        (
            &[(down, &[2, 4, 3, 3][..]), (up, &[16, 3, 1, 1])],
            "do not fit",
        ),
        (&[(down, &[2, 4, 3, 3][..]), (up, &[16])], "do not fit"),
        (&[(down, &[0, 4][..]), (up, &[16, 0])], "no rank"),
        (
            &[
                ("unet.conv_none.lora_A.weight", &[2, 4][..]),
                ("unet.conv_none.lora_B.weight", &[16, 2]),
            ],
            "this model has not",
        ),
        (
            &[("lora_te2_text_model_x.lora_down.weight", &[2, 4][..])],
            "Stable Diffusion XL",
        ),
        (
            &[("unet.conv_in.weight", &[16, 4, 3, 3][..])],
            "not the name of a LoRA",
        ),
    ] {
        let text = open(tensors).unwrap_err().to_string();
        assert!(
            text.contains("lora.safetensors") && text.contains(word),
            "{text}"
        );
    }
    for (text, path, weight) in [
        ("a.safetensors", "a.safetensors", 1.0),
        ("C:/a:0.5", "C:/a", 0.5),
        ("a:b", "a:b", 1.0),
        ("a:-1", "a", -1.0),
    ] {
        let path = path.into();
        assert_eq!(text.parse::<LoraFile>().unwrap(), LoraFile { path, weight });
    }
    for text in ["", ":1", "a:nan", "a:inf"] {
        assert_eq!(text.parse::<LoraFile>().unwrap_err().code(), "request");
    }
}

/// On a bundle, a LoRA is added to what its rounded weights stand for.
#[test]
fn a_lora_on_a_bundle() {
    let lora = golden().with_file_name("lora").join("kohya.safetensors");
    let lora = LoraFile {
        path: lora,
        weight: 0.5,
    };
    let bundle = bundle_of(&ModelFolder::open(&golden()).unwrap());
    let of = |dir: &Path| {
        let model = ModelFolder::open(dir).unwrap().with_lora(&lora).unwrap();
        model
            .weights()
            .flat_map(|part| part.unwrap())
            .collect::<Weights>()
    };
    assert!(of(bundle.path()) == of(&golden()));
    assert!(of(bundle.path()) != weights(&golden()));
}

/// On a bundle, another autoencoder's tensors come instead of its own, whatever shards those lie
/// in.
#[test]
fn another_decoder_on_a_bundle() {
    let decoder = golden().with_file_name("vae_tiny");
    let bundle = bundle_of(&ModelFolder::open(&golden()).unwrap());
    let of = |dir: &Path| {
        let model = ModelFolder::open(dir)
            .unwrap()
            .with_decoder(&decoder)
            .unwrap();
        let class = serde_json::to_value(&model.configs.vae).unwrap()["_class_name"].clone();
        assert_eq!(class, "AutoencoderTiny");
        model
            .weights()
            .flat_map(|part| part.unwrap())
            .collect::<Weights>()
    };
    let found = of(bundle.path());
    assert!(found == of(&golden()));
    let own = component(&weights(&golden()), "vae.");
    let new = component(&found, "vae.");
    assert!(!new.is_empty() && new.keys().all(|key| !own.contains_key(key)));
    assert!(component(&found, "unet.") == component(&weights(&golden()), "unet."));
}
