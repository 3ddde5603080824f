//! Every tensor of a checkpoint is accounted for: missing, extra and misshapen ones are errors
//! which name them.

mod common;

use burn::prelude::*;
use common::{files, golden};
use roentgen_web::embeddings::CLIPTextConfig;
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::latents::UNet2DConditionConfig;
use roentgen_web::parity;
use roentgen_web::tensor::HostTensor;
use roentgen_web::weights::{Weights, load};
use roentgen_web::{Error, Result};

/// A case's weights, and how to load such weights into its network.
fn case(name: &str, component: &str) -> (Weights, Box<dyn Fn(Weights) -> Result<()>>) {
    let files = files(&golden(name));
    let named = parity::weights(&files, "", component).unwrap().into_iter();
    let bare = |key: String| key[component.len() + 1..].to_owned();
    let weights = named.map(|(key, weight)| (bare(key), weight)).collect();
    let config = files["config.json"].clone();
    fn read<T: serde::de::DeserializeOwned>(config: &[u8]) -> T {
        serde_json::from_slice(config).unwrap()
    }
    let device = Device::flex();
    let loader: Box<dyn Fn(Weights) -> Result<()>> = match component {
        "text_encoder" => {
            let config: CLIPTextConfig = read(&config);
            Box::new(move |weights| load(config.init(&device)?, weights).map(drop))
        }
        "unet" => {
            let config: UNet2DConditionConfig = read(&config);
            Box::new(move |weights| load(config.init(&device)?, weights).map(drop))
        }
        _ => {
            let config: AutoencoderConfig = read(&config);
            Box::new(move |weights| load(config.init(&device)?, weights).map(drop))
        }
    };
    (weights, loader)
}

const CASES: [(&str, &str); 11] = [
    ("text_encoder_sd1", "text_encoder"),
    ("text_encoder_sd2", "text_encoder"),
    ("unet_sd1", "unet"),
    ("unet_sd2", "unet"),
    ("unet_plain", "unet"),
    ("vae_sd", "vae"),
    ("vae_grey", "vae"),
    ("unet_text", "unet"),
    ("vae_dc", "vae"),
    ("vae_dc_conv", "vae"),
    ("vae_tiny", "vae"),
];

#[test]
fn a_missing_tensor_is_named() {
    for (name, component) in CASES {
        let (weights, load) = case(name, component);
        load(weights.clone()).unwrap();
        for key in weights.keys().step_by(7) {
            let mut fewer = weights.clone();
            fewer.remove(key);
            match load(fewer) {
                Err(Error::MissingTensor { name }) => assert_eq!(&name, key),
                other => panic!("{name} without {key}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_extra_tensor_is_named() {
    for (name, component) in CASES {
        let (mut weights, load) = case(name, component);
        let scalar = HostTensor {
            shape: vec![1],
            data: vec![0.0],
        };
        weights.insert("mid_block.resnets.9.conv1.bias".into(), scalar);
        match load(weights) {
            Err(Error::UnknownTensor { name }) => {
                assert_eq!(name, "mid_block.resnets.9.conv1.bias")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_misshapen_tensor_is_named() {
    for (name, component) in CASES {
        let (weights, load) = case(name, component);
        for key in weights.keys().step_by(7) {
            // One row too many; and as many values in another order of dimensions.
            let weight = &weights[key];
            let row = weight.data.len() / weight.shape[0];
            let mut longer = weight.clone();
            longer.shape[0] += 1;
            longer.data.extend(vec![0.0; row]);
            let mut turned = weight.clone();
            turned.shape.reverse();
            for wrong in [longer, turned] {
                if wrong.shape == weight.shape {
                    continue;
                }
                let mut others = weights.clone();
                others.insert(key.clone(), wrong.clone());
                match load(others) {
                    Err(Error::TensorShape { name, found, .. }) => {
                        assert_eq!((&name, found), (key, wrong.shape));
                    }
                    other => panic!("{name} {key} {:?}: {other:?}", wrong.shape),
                }
            }
        }
    }
}
