//! `train import`: a checkpoint gives the same bundle in either of its layouts, and the bundle diffusers' images.

use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use roentgen_web::Error;
use roentgen_web::bundle::{Policy, Precision};
use roentgen_web::checkpoint::{ModelFolder, Prediction};
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::parity::{Files, relative_l2, run_request, tensors};
use roentgen_web::pipeline::PipelineBuilder;
use safetensors::SafeTensors;
use tempfile::TempDir;
use train::exchange::import::{self, Import};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/goldens")
        .join(name)
}

fn original(family: u8) -> PathBuf {
    golden(&format!("original_sd{family}")).join("model.safetensors")
}

/// Into a folder of its own.
fn import(
    checkpoint: PathBuf,
    configs: Option<PathBuf>,
    quantize: impl Into<Policy>,
) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    let args = Import {
        checkpoint,
        configs,
        prediction: None,
        quantize: quantize.into(),
        out: out.path().into(),
        name: Some("Random".into()),
        license: "MIT".into(),
        attribution: String::new(),
    };
    import::run(&args)?;
    Ok(out)
}

/// All of a folder's files with their contents.
fn contents(dir: &Path) -> Files {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn both_layouts_give_the_same_bundle() {
    for family in [1, 2] {
        let folder = golden(&format!("pipeline_sd{family}"));
        for policy in [
            Policy::Mixed,
            Precision::F16.into(),
            Precision::Q8.into(),
            Precision::Q4.into(),
        ] {
            let diffusers = import(folder.clone(), None, policy).unwrap();
            let single = import(original(family), Some(folder.clone()), policy).unwrap();
            let (diffusers, single) = (contents(diffusers.path()), contents(single.path()));
            assert!(diffusers.len() >= 3, "{:?}", diffusers.keys());
            assert!(
                diffusers.keys().eq(single.keys()),
                "{family} {policy:?}: {:?} {:?}",
                diffusers.keys(),
                single.keys()
            );
            for (name, bytes) in &diffusers {
                assert!(
                    bytes == &single[name],
                    "{family} {policy:?}: {name} differs"
                );
            }
        }
    }
}

#[test]
fn an_imported_file_gives_diffusers_images() {
    for family in [1, 2] {
        let folder = golden(&format!("pipeline_sd{family}"));
        let bundle = import(original(family), Some(folder.clone()), Precision::F32).unwrap();
        let model = ModelFolder::open(bundle.path()).unwrap();
        let (configs, tokenizer) = (model.configs.clone(), model.tokenizer.clone());
        let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex()).unwrap();
        for part in model.weights() {
            builder = builder.apply(part.unwrap()).unwrap();
        }
        let pipeline = builder.finish().unwrap();
        let case = contents(&folder);
        let request = run_request(&case).unwrap();
        let generated = pollster::block_on(pipeline.generate(&request, async |_| Ok(()))).unwrap();
        let expected = &tensors(&case["case.safetensors"]).unwrap()["output.image"];
        let error = relative_l2(&generated.image.data, &expected.data);
        println!("original_sd{family}: {error:.1e}");
        assert!(error <= 1e-3, "{family}: {error:.1e}");
    }
}

/// A folder with the tokenizer of a golden and nothing else.
fn tokenizer_only(family: u8) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = golden(&format!("pipeline_sd{family}")).join("tokenizer");
    fs::create_dir(dir.path().join("tokenizer")).unwrap();
    for (name, bytes) in contents(&from) {
        fs::write(dir.path().join("tokenizer").join(name), bytes).unwrap();
    }
    dir
}

/// But for heads, groups and sizes, which are Stable Diffusion's and not those of these tiny networks.
#[test]
fn shapes_say_the_configuration() {
    for family in [1, 2] {
        let beside = tokenizer_only(family);
        let known = ModelFolder::open(&golden(&format!("pipeline_sd{family}")))
            .unwrap()
            .configs;
        let model =
            ModelFolder::open_original(&original(family), beside.path(), Prediction::V).unwrap();
        assert_eq!(model.name, "model");
        let mut found = model.configs;
        assert_eq!(found.unet.sample_size, Some(96));
        assert_eq!(found.scheduler.0["prediction_type"], "v_prediction");
        found.text_encoder.num_attention_heads = known.text_encoder.num_attention_heads;
        assert_eq!(found.text_encoder, known.text_encoder);
        found.unet.attention_head_dim = known.unet.attention_head_dim.clone();
        found.unet.norm_num_groups = known.unet.norm_num_groups;
        found.unet.sample_size = known.unet.sample_size;
        found.unet.other = known.unet.other.clone(); // keys with diffusers' own defaults
        assert_eq!(found.unet, known.unet);
        let (AutoencoderConfig::KL(mut found), AutoencoderConfig::KL(known)) =
            (found.vae, known.vae)
        else {
            panic!("another class");
        };
        found.norm_num_groups = known.norm_num_groups;
        found.sample_size = known.sample_size;
        found.other = known.other.clone();
        assert_eq!(found, known);
    }
}

/// A copy of an original file with its tensors renamed, or left out.
fn altered(dir: &Path, rename: impl Fn(&str) -> Option<String>) -> PathBuf {
    let bytes = fs::read(original(1)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views: Vec<_> = tensors
        .iter()
        .filter_map(|(key, view)| Some((rename(key)?, view)))
        .collect();
    let path = dir.join("altered.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sd1 = golden("pipeline_sd1");
    let code = |checkpoint: PathBuf, configs: Option<&Path>| {
        let error = import(checkpoint, configs.map(Path::to_path_buf), Precision::Q8).unwrap_err();
        (error.code(), error.to_string())
    };
    let tokenizer = tokenizer_only(2);
    let (kind, words) = code(original(2), Some(tokenizer.path()));
    assert!(
        kind == "request" && words.starts_with("prediction"),
        "{words}"
    );
    let (kind, words) = code(original(1), None);
    assert!(kind == "request" && words.starts_with("configs"), "{words}");
    let pickle = dir.path().join("model.ckpt");
    fs::write(&pickle, b"PK").unwrap();
    let (kind, words) = code(pickle, Some(&sd1));
    assert!(
        kind == "config" && words.contains("weights_only=True"),
        "{words}"
    );
    // Inferred for the real Stable Diffusion, whose 32 groups these widths have not.
    let (kind, words) = code(original(1), Some(tokenizer_only(1).path()));
    assert!(
        kind == "config" && words.contains("norm_num_groups"),
        "{words}"
    );

    let out_weight = "model.diffusion_model.out.2.weight";
    for (rename, kind, word) in [
        (None, "missing-tensor", "unet.conv_out.weight"),
        (
            Some("model.diffusion_model.out.3.weight"),
            "unknown-tensor",
            "out.3",
        ),
    ] {
        let file = altered(dir.path(), |key| match key == out_weight {
            true => rename.map(str::to_owned),
            false => Some(key.into()),
        });
        let (found, words) = code(file, Some(&sd1));
        assert!(found == kind && words.contains(word), "{words}");
    }
    let no_unet = altered(dir.path(), |key| {
        (!key.starts_with("model.diffusion_model.")).then(|| key.into())
    });
    let (kind, words) = code(no_unet, Some(&sd1));
    assert!(kind == "config" && words.contains("U-Net"), "{words}");
    let bundle = import(sd1, None, Precision::Q8).unwrap();
    let (kind, words) = code(bundle.path().into(), None);
    assert!(kind == "config" && words.contains("bundle"), "{words}");
}
