//! Bundles, checkpoints, adapters, tokenizers.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use burn::tensor::Device;
use roentgen_web::Error;
use roentgen_web::bundle::{Manifest, Precision, SHARD_BYTES};
use roentgen_web::checkpoint::{LoraFile, ModelFolder, Prediction};

use roentgen_web::pipeline::PipelineBuilder;
use roentgen_web::tokens::ClipTokenizer;

use crate::{Target, copy, golden, goldens, kind, of_kind};

#[path = "../../bundle/support.rs"]
#[allow(dead_code, missing_docs)]
mod support;
use support::Bundle;

const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Q8, Precision::Q4];

/// Checkpoints as diffusers lays them out.
const CHECKPOINTS: [&str; 3] = ["pipeline_sd1", "pipeline_sd2", "pipeline_dc"];

fn bundles() -> &'static [Bundle] {
    static BUNDLES: OnceLock<Vec<Bundle>> = OnceLock::new();
    BUNDLES.get_or_init(|| PRECISIONS.map(|p| Bundle::written(p, SHARD_BYTES)).into())
}

/// An error has a code and a sentence on one line.
fn sentence(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}

fn nothing(_: &Path) {}

pub const MANIFEST: Target = Target {
    name: "manifest",
    prepare: nothing,
    seeds: || {
        let manifest = |(i, bundle): (usize, &Bundle)| of_kind(i, bundle.manifest.clone());
        bundles().iter().enumerate().map(manifest).collect()
    },
    run: |_, bytes| {
        let Some((bundle, manifest)) = kind(bundles(), bytes) else {
            return;
        };
        let mut bundle = bundle.clone();
        bundle.manifest = manifest.to_vec();
        bundle.fix_hashes();
        read(&bundle);
        match Manifest::parse(&bundle.manifest).and_then(|manifest| {
            PipelineBuilder::new(manifest.components, support::tokenizer(), &Device::flex())
        }) {
            Ok(_) => {}
            Err(error) => sentence(&error),
        }
    },
};

pub const SHARD: Target = Target {
    name: "shard",
    prepare: nothing,
    seeds: || {
        let shard =
            |(i, bundle): (usize, &Bundle)| of_kind(i, bundle.files[&shard(bundle)].clone());
        bundles().iter().enumerate().map(shard).collect()
    },
    run: |_, bytes| {
        let Some((bundle, bytes)) = kind(bundles(), bytes) else {
            return;
        };
        let mut bundle = bundle.clone();
        bundle.files.insert(shard(&bundle), bytes.to_vec());
        bundle.fix_hashes();
        read(&bundle);
    },
};

fn shard(bundle: &Bundle) -> String {
    bundle.shard_of("unet.conv_in.weight")
}

fn read(bundle: &Bundle) {
    match bundle.read() {
        Ok((_, weights)) => {
            for (name, weight) in weights {
                let n: usize = weight.shape.iter().product();
                assert_eq!(weight.data.len(), n, "{name}");
                assert!(weight.data.iter().all(|v| v.is_finite()), "{name}");
            }
        }
        Err(error) => sentence(&error),
    }
}

pub const TOKENIZER: Target = Target {
    name: "tokenizer",
    prepare: nothing,
    seeds: || {
        let bundle = bundles()[0].files.get(&bundles()[0].tokenizer()).cloned();
        [golden("pipeline_dc/tokenizer/tokenizer.json")]
            .into_iter()
            .chain(bundle)
            .collect()
    },
    run: |_, bytes| {
        let encoded = ClipTokenizer::from_json(bytes)
            .and_then(|tokenizer| tokenizer.encode("PA chest: a Left effusion, \u{e9}\u{2122}7."));
        match encoded {
            Ok(_) => {}
            Err(error) => sentence(&error),
        }
    },
};

/// Files of a diffusers checkpoint that are JSON.
const CONFIGS: [&str; 6] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
    "tokenizer/tokenizer_config.json",
];

pub const CONFIG: Target = Target {
    name: "config",
    prepare: |folder| copy(&goldens().join(CHECKPOINTS[0]), folder),
    seeds: || {
        let of = |i: usize| {
            CHECKPOINTS.map(|model| of_kind(i, golden(&format!("{model}/{}", CONFIGS[i]))))
        };
        (0..CONFIGS.len()).flat_map(of).collect()
    },
    run: |folder, bytes| {
        let Some((&file, bytes)) = kind(&CONFIGS, bytes) else {
            return;
        };
        let path = folder.join(file);
        let good = fs::read(&path).expect("prepared");
        fs::write(&path, bytes).expect("a file");
        built(ModelFolder::open(folder));
        fs::write(&path, good).expect("a file");
    },
};

/// Reads all weights of a model and builds its networks with them.
fn built(model: Result<ModelFolder, Error>) {
    let built = model.and_then(|model| {
        let (configs, tokenizer) = (model.configs.clone(), model.tokenizer.clone());
        let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex())?;
        for part in model.weights() {
            builder = builder.apply(part?)?;
        }
        builder.finish()
    });
    match built {
        Ok(_) => {}
        Err(error) => sentence(&error),
    }
}

pub const SAFETENSORS: Target = Target {
    name: "safetensors",
    prepare: |folder| copy(&goldens().join(CHECKPOINTS[0]), folder),
    seeds: || vec![golden("original_sd1/model.safetensors")],
    run: |folder, bytes| original(folder, "model.safetensors", bytes),
};

pub const CKPT: Target = Target {
    name: "ckpt",
    prepare: |folder| copy(&goldens().join(CHECKPOINTS[0]), folder),
    seeds: || {
        vec![
            golden("original_sd1/model.ckpt"),
            golden("original_sd1/malicious.ckpt"),
        ]
    },
    run: |folder, bytes| original(folder, "model.ckpt", bytes),
};

fn original(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file");
    built(ModelFolder::open_original(
        &path,
        folder,
        Prediction::Epsilon,
    ));
}

/// Files of adapters.
const LORAS: [&str; 3] = [
    "lora.safetensors",
    "peft/adapter_config.json",
    "peft/adapter_model.safetensors",
];

pub const LORA: Target = Target {
    name: "lora",
    prepare: |folder| {
        copy(&goldens().join(CHECKPOINTS[0]), folder);
        copy(&goldens().join("lora/peft"), &folder.join("peft"));
    },
    seeds: || {
        let files = [
            "diffusers",
            "kohya",
            "training_script",
            "attention_processors",
        ];
        let plain = files.map(|name| of_kind(0, golden(&format!("lora/{name}.safetensors"))));
        let peft = (1..3).map(|i| of_kind(i, golden(&format!("lora/{}", LORAS[i]))));
        plain.into_iter().chain(peft).collect()
    },
    run: |folder, bytes| {
        let Some((&file, bytes)) = kind(&LORAS, bytes) else {
            return;
        };
        let path = folder.join(file);
        let good = fs::read(&path).ok();
        fs::write(&path, bytes).expect("a file");
        let lora = LoraFile {
            path: if file == LORAS[0] {
                path.clone()
            } else {
                folder.join("peft")
            },
            weight: 1.0,
        };
        let model = ModelFolder::open(folder).expect("prepared");
        match model.with_lora(&lora) {
            Ok(model) => model.weights().for_each(|part| drop(part.expect("sound"))),
            Err(error) => sentence(&error),
        }
        if let Some(good) = good {
            fs::write(&path, good).expect("a file");
        }
    },
};
