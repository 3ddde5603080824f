//! `train import`: a checkpoint gives the same bundle in either of its layouts, and the bundle diffusers' images.

use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use roentgen_web::Error;
use roentgen_web::bundle::{Policy, Precision};
use roentgen_web::checkpoint::{self, LoraFile, ModelFolder, Prediction};
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::parity::{Files, relative_l2, run_request, tensors};
use roentgen_web::pipeline::PipelineBuilder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use train::exchange::import::{self, Import, Target};

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
    import::run(&args(checkpoint, configs, quantize, out.path()))?;
    Ok(out)
}

fn args(
    checkpoint: PathBuf,
    configs: Option<PathBuf>,
    quantize: impl Into<Policy>,
    out: &Path,
) -> Import {
    Import {
        checkpoint,
        configs,
        prediction: None,
        decoder: None,
        lora: vec![],
        to: Target::Bundle,
        quantize: quantize.into(),
        out: out.into(),
        name: Some("Random".into()),
        license: "MIT".into(),
        attribution: String::new(),
    }
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

/// The same file in float32 with as many layers of OpenCLIP, made of the two that are used and their values in turn changed a little,
/// the 24th by a lot.
fn with_layers(dir: &Path, layers: usize) -> PathBuf {
    const PREFIX: &str = "cond_stage_model.model.transformer.resblocks.";
    let bytes = fs::read(original(2)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut stored: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (key, view) in tensors.iter() {
        let own = |key: String, data| (key, view.dtype(), view.shape().to_vec(), data);
        let Some((layer, rest)) = key.strip_prefix(PREFIX).and_then(|key| key.split_once('.'))
        else {
            stored.push(own(key.into(), view.data().to_vec()));
            continue;
        };
        assert_eq!(view.dtype(), Dtype::F32);
        let layer: usize = layer.parse().unwrap();
        for copy in (layer..layers).step_by(2).filter(|_| layer < 2) {
            let by = if copy == 23 {
                7.0
            } else {
                1.0 + 0.01 * copy as f32
            };
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap()) * by);
            stored.push(own(
                format!("{PREFIX}{copy}.{rest}"),
                values.flat_map(f32::to_le_bytes).collect(),
            ));
        }
    }
    let views = stored.iter().map(|(key, dtype, shape, data)| {
        (key, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let path = dir.join(format!("layers{layers}.safetensors"));
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// SD 2.x uses 23 of OpenCLIP's 24 layers, and some files hold those alone: both are the same model, and any other number is
/// refused unless a config says how many are used.
#[test]
fn layers_of_open_clip() {
    let dir = tempfile::tempdir().unwrap();
    let files = [22, 23, 24, 25].map(|layers| with_layers(dir.path(), layers));
    let beside = golden_configs(2);
    let config = beside.path().join("text_encoder/config.json");
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let set = |layers: Option<usize>| match layers {
        None => fs::remove_file(&config).unwrap(),
        Some(layers) => {
            let mut text = text.clone();
            text["num_hidden_layers"] = layers.into();
            fs::write(&config, text.to_string()).unwrap();
        }
    };
    let import = |file: &PathBuf| {
        let out = tempfile::tempdir().unwrap();
        let mut args = args(
            file.clone(),
            Some(beside.path().into()),
            Precision::F32,
            out.path(),
        );
        args.prediction = Some(Prediction::V);
        import::bundle(&args).map(|manifest| (manifest.tensors.len(), contents(out.path())))
    };
    let [_, _, whole, _] = &files;
    set(Some(23));
    let (tensors, expected) = import(whole).unwrap();
    for (file, configured, same) in [
        (&files[1], Some(23), true),
        (&files[1], None, true),
        (&files[2], None, true),
        (&files[1], Some(22), false),
        (&files[2], Some(24), false),
        (&files[0], Some(22), false),
    ] {
        set(configured);
        let (found, contents) =
            import(file).unwrap_or_else(|e| panic!("{file:?} {configured:?}: {e}"));
        let layers = configured.unwrap_or(23);
        assert_eq!(
            found,
            tensors + layers * 16 - 23 * 16,
            "{file:?} {configured:?}"
        );
        let weights = |files: &Files| -> Vec<String> {
            files
                .keys()
                .filter(|name| name.starts_with("weights"))
                .cloned()
                .collect()
        };
        assert_eq!(
            weights(&contents) == weights(&expected),
            same,
            "{file:?} {configured:?}"
        );
        if configured.is_none() {
            fs::write(&config, "").unwrap(); // for the next to remove or replace
        }
    }
    for (file, configured, words) in [
        (&files[0], None, "22 layers"),
        (&files[3], None, "25 layers"),
        (
            &files[0],
            Some(23),
            "22 layers where text_encoder/config.json says 23",
        ),
        (
            &files[2],
            Some(12),
            "24 layers where text_encoder/config.json says 12",
        ),
    ] {
        set(configured);
        let error = import(file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        if configured.is_none() {
            fs::write(&config, "").unwrap();
        }
    }
}

/// A folder with the tokenizer and the configs of a golden and no weights.
fn golden_configs(family: u8) -> TempDir {
    let dir = tokenizer_only(family);
    for component in ["text_encoder", "unet", "vae", "scheduler"] {
        let from = golden(&format!("pipeline_sd{family}")).join(component);
        fs::create_dir(dir.path().join(component)).unwrap();
        for (name, bytes) in contents(&from)
            .into_iter()
            .filter(|(name, _)| name.ends_with("config.json"))
        {
            fs::write(dir.path().join(component).join(name), bytes).unwrap();
        }
    }
    dir
}

/// PyTorch's own file of the same tensors.
#[test]
fn a_ckpt_is_read_without_running_it() {
    let folder = golden("pipeline_sd1");
    let ckpt = golden("original_sd1").join("model.ckpt");
    let expected = contents(
        import(original(1), Some(folder.clone()), Policy::Mixed)
            .unwrap()
            .path(),
    );
    let found = contents(
        import(ckpt.clone(), Some(folder.clone()), Policy::Mixed)
            .unwrap()
            .path(),
    );
    assert!(found.keys().eq(expected.keys()));
    assert!(found.iter().all(|(name, bytes)| bytes == &expected[name]));

    // As .safetensors: every tensor, bit for bit.
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let mut args = args(ckpt.clone(), None, Policy::Mixed, &out);
    args.to = Target::Safetensors;
    import::run(&args).unwrap();
    let (bytes, original) = (fs::read(&out).unwrap(), fs::read(original(1)).unwrap());
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let expected = SafeTensors::deserialize(&original).unwrap();
    assert_eq!(found.len(), expected.len());
    for (key, view) in expected.iter() {
        assert!(found.tensor(key).is_ok_and(|found| found == view), "{key}");
    }
    // Nothing else is left in the folder, and nothing is overwritten by itself.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = checkpoint::to_safetensors(&out, &out).unwrap_err();
    assert_eq!(error.code(), "request");
    args.lora = vec!["a".parse().unwrap()];
    assert_eq!(import::run(&args).unwrap_err().code(), "request");

    // A pickle that would run a command (see `tests/reference/originals.py`).
    let malicious = golden("original_sd1").join("malicious.ckpt");
    for to in [Target::Bundle, Target::Safetensors] {
        let out = dir.path().join("never");
        let mut args = self::args(
            malicious.clone(),
            Some(folder.clone()).filter(|_| to == Target::Bundle),
            Policy::Mixed,
            &out,
        );
        args.to = to;
        let error = import::run(&args).unwrap_err().to_string();
        assert!(
            error.contains("posix.system") && error.contains("nothing was run"),
            "{error}"
        );
        assert!(!out.exists() && !Path::new("it-was-run").exists());
    }
    // Cut off, and not of today's form.
    let whole = fs::read(&ckpt).unwrap();
    let bad = dir.path().join("bad.ckpt");
    for (bytes, word) in [
        (&whole[..whole.len() / 2], "zip archive"),
        (&b"PK\x03\x04"[..], "zip archive"),
        (
            &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."[..],
            "zip archive",
        ),
    ] {
        fs::write(&bad, bytes).unwrap();
        let error = import(bad.clone(), Some(folder.clone()), Policy::Mixed).unwrap_err();
        let text = error.to_string();
        assert!(
            error.code() == "config" && text.contains(word) && text.contains("weights_only=True"),
            "{text}"
        );
    }
}

#[test]
fn a_lora_is_merged_before_quantization() {
    let folder = golden("pipeline_sd1");
    let lora = LoraFile {
        path: golden("lora").join("kohya.safetensors"),
        weight: 0.5,
    };
    let out = tempfile::tempdir().unwrap();
    let mut args = args(folder.clone(), None, Precision::F32, out.path());
    args.lora = vec![lora.clone()];
    args.name = None;
    let manifest = import::bundle(&args).unwrap();
    assert_eq!(manifest.name, "pipeline_sd1 + kohya x 0.5");
    let weights = |model: ModelFolder| {
        let parts: Vec<_> = model.weights().flat_map(|part| part.unwrap()).collect();
        parts
    };
    let expected = ModelFolder::open(&folder)
        .unwrap()
        .with_lora(&lora)
        .unwrap();
    let mut expected = weights(expected);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = weights(ModelFolder::open(out.path()).unwrap());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found == expected);
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
        let config = golden(&format!("pipeline_sd{family}")).join("text_encoder/config.json");
        if family == 2 {
            // Says how many of its layers are used, which only OpenCLIP-H's 24 say by themselves.
            fs::create_dir(beside.path().join("text_encoder")).unwrap();
            fs::copy(config, beside.path().join("text_encoder/config.json")).unwrap();
        }
        let known = ModelFolder::open(&golden(&format!("pipeline_sd{family}")))
            .unwrap()
            .configs;
        let model =
            ModelFolder::open_original(&original(family), beside.path(), Prediction::V).unwrap();
        assert_eq!(model.name, "model");
        let mut found = model.configs;
        assert_eq!(found.unet.sample_size, Some(96.into()));
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
    let beside = golden_configs(2);
    fs::remove_file(beside.path().join("scheduler/scheduler_config.json")).unwrap();
    let (kind, words) = code(original(2), Some(beside.path()));
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
    // A whole CLIP as text encoder.
    let projection = "cond_stage_model.transformer.text_projection.weight";
    let whole_clip = altered(dir.path(), |key| {
        Some(
            if key == "alphas_cumprod" {
                projection
            } else {
                key
            }
            .into(),
        )
    });
    import(whole_clip, Some(sd1.clone()), Precision::Q8).unwrap();
    let no_unet = altered(dir.path(), |key| {
        (!key.starts_with("model.diffusion_model.")).then(|| key.into())
    });
    let (kind, words) = code(no_unet, Some(&sd1));
    assert!(kind == "config" && words.contains("U-Net"), "{words}");
    let bundle = import(sd1, None, Precision::Q8).unwrap();
    let (kind, words) = code(bundle.path().into(), None);
    assert!(kind == "config" && words.contains("bundle"), "{words}");
}
