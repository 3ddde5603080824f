//! A reader joins a bundle, takes the place of another one, and leaves every other file as it is.

use std::path::Path;

use burn::prelude::*;
use roentgen_web::bundle::{BundleWriter, Manifest, Precision};
use roentgen_web::reader::{ClassifierConfig, LabelConfig, ReaderConfig};
use roentgen_web::weights;
use serde_json::{Value, json};

use crate::support::{Bundle, info, tokenizer, weights as model};

fn config() -> ReaderConfig {
    ReaderConfig {
        model: ClassifierConfig {
            size: 16,
            channels: vec![4, 8],
            layers_per_block: 1,
            norm_num_groups: 2,
        },
        temperature: 1.0,
        farthest: 2.0,
        labels: vec![LabelConfig {
            name: "Effusion".into(),
            auroc: 0.8,
            threshold: 0.1,
        }],
    }
}

/// Makes a reader of random weights that of the bundle in `folder`; tensors that `kept` refuses are
/// left out.
fn join(folder: &Path, kept: fn(&str) -> bool) -> roentgen_web::Result<Manifest> {
    let reader = config().init(&Device::flex())?;
    let mut writer = BundleWriter::new(folder, Precision::Q8)?;
    for (name, weight) in weights::collect(&reader) {
        if kept(&name) {
            writer.add(&format!("reader.{name}"), &weight)?;
        }
    }
    writer.join(config())
}

fn bundle() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::new(folder.path(), Precision::Q8).unwrap();
    for (name, weight) in model() {
        writer.add(&name, &weight).unwrap();
    }
    writer.finish(info(), &tokenizer()).unwrap();
    folder
}

#[test]
fn a_reader_joins_and_gives_way_to_another() {
    let folder = bundle();
    let before = Bundle::read_folder(folder.path());
    assert_eq!(before.read().unwrap().0.schema_version, 1);

    let first = join(folder.path(), |_| true).unwrap();
    assert_eq!((first.schema_version, first.shards.len()), (2, 2));
    let second = join(folder.path(), |_| true).unwrap();
    assert_eq!(second.shards.len(), 2);
    assert_ne!(
        first.shards[1], second.shards[1],
        "random weights are others"
    );

    let after = Bundle::read_folder(folder.path());
    for (name, bytes) in &before.files {
        assert_eq!(after.files.get(name), Some(bytes), "{name}");
    }
    assert_eq!(
        after.files.len(),
        before.files.len() + 1,
        "the first reader is gone"
    );
    let (manifest, weights) = after.read().unwrap();
    assert_eq!(manifest.components.reader, Some(config()));
    let of_reader = weights.keys().filter(|name| name.starts_with("reader."));
    assert_eq!(
        of_reader.count(),
        weights::expected(&config().init(&Device::flex()).unwrap()).len()
    );
}

#[test]
fn a_reader_that_is_none_is_refused_and_nothing_is_left() {
    let folder = bundle();
    let before = Bundle::read_folder(folder.path());
    let error = join(folder.path(), |name| !name.contains("resnets")).unwrap_err();
    assert!(error.to_string().contains("components.reader"), "{error}");
    let after = Bundle::read_folder(folder.path());
    assert!(after.manifest == before.manifest && after.files == before.files);
}

#[test]
fn what_a_manifest_says_of_its_reader_is_checked() {
    let folder = bundle();
    join(folder.path(), |_| true).unwrap();
    let bytes = Bundle::read_folder(folder.path()).manifest;
    type Change = (fn(&mut Value), &'static str);
    let changes: [Change; 7] = [
        (|m| m["schema_version"] = json!(1), "version 2"),
        (
            |m| m["components"]["reader"]["temperature"] = json!(0),
            "temperature",
        ),
        (
            |m| m["components"]["reader"]["farthest"] = json!(-1),
            "farthest",
        ),
        (
            |m| m["components"]["reader"]["labels"] = json!([]),
            "labels",
        ),
        (
            |m| m["components"]["reader"]["labels"][0]["auroc"] = json!(1.5),
            "auroc",
        ),
        (
            |m| m["components"]["reader"]["labels"][0]["name"] = json!("<b>"),
            "is no name",
        ),
        (
            |m| m["components"]["reader"]["model"]["channels"] = json!([4, 8, 8, 8, 8, 8, 8]),
            "tensors",
        ),
    ];
    for (change, words) in changes {
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut manifest);
        let error = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}
