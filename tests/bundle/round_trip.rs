//! What comes out is what went in, up to the number format.

use crate::support::*;
use roentgen_web::{
    bundle::{BundleWriter, Precision, SHARD_BYTES, ShardReader},
    tensor::HostTensor,
};
use std::fs;

fn relative(a: &[f32], b: &[f32]) -> f64 {
    let norm = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)))
        / norm(&mut a.iter().map(|a| f64::from(*a)))
}

#[test]
fn every_policy_within_its_bound() {
    // f16: 2^-11 a weight. q8: half of 1/127 of the block's largest, uniformly. q4: the same with
    // 1/8, searched.
    for (policy, bound) in [
        (Precision::F32, 0.0),
        (Precision::F16, 5e-4),
        (Precision::Q8, 8e-3),
        (Precision::Q4, 0.11),
    ] {
        for shard_bytes in [1500, SHARD_BYTES] {
            let bundle = Bundle::written(policy, shard_bytes);
            let (manifest, read) = bundle.read().unwrap();
            let wrote = weights();
            assert_eq!(read.len(), wrote.len());
            for (name, weight) in &wrote {
                assert_eq!(read[name].shape, weight.shape, "{name}");
                let error = relative(&weight.data, &read[name].data);
                assert!(
                    error <= bound,
                    "{policy} {name} {}: {error}",
                    manifest.tensors[name].dtype
                );
            }
            assert!(bundle.files.values().all(|f| f.len() <= SHARD_BYTES));
            if shard_bytes < SHARD_BYTES {
                assert!(
                    manifest
                        .shards
                        .iter()
                        .all(|s| s.bytes <= shard_bytes as u64)
                );
                assert!(
                    manifest.tensors.values().any(|t| t.shards.len() > 1),
                    "no tensor was split"
                );
            }
        }
    }
}

#[test]
fn quantized_bundles_are_small() {
    let bytes = |policy| {
        Bundle::written(policy, SHARD_BYTES)
            .files
            .values()
            .map(|f| f.len())
            .sum::<usize>()
    };
    let (f32, q8, q4) = (
        bytes(Precision::F32),
        bytes(Precision::Q8),
        bytes(Precision::Q4),
    );
    assert!(q4 < q8 && q8 < f32, "{f32} {q8} {q4}");
}

#[test]
fn a_table_larger_than_a_shard_is_split_at_the_real_limit() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<f32> = (0..(9usize << 20))
        .map(|i| (i % 251) as f32 - 125.0)
        .collect();
    let weight = HostTensor {
        shape: vec![9 << 10, 1 << 10],
        data,
    };
    let mut writer = BundleWriter::new(folder.path(), Precision::F32).unwrap();
    writer.add("unet.large.weight", &weight).unwrap();
    let manifest = writer.finish(info(), &tokenizer()).unwrap();
    assert_eq!(manifest.tensors["unet.large.weight"].shards, [0, 1]);
    assert!(manifest.shards.iter().all(|s| s.bytes <= 32 << 20));
    let mut decoder = ShardReader::new(manifest.clone());
    let shard = |i: usize| fs::read(folder.path().join(&manifest.shards[i].file)).unwrap();
    assert!(
        decoder.decode_shard(0, &shard(0)).unwrap().is_empty(),
        "half a tensor came out"
    );
    assert!(decoder.decode_shard(1, &shard(1)).unwrap()["unet.large.weight"] == weight);
}

#[test]
fn a_second_export_replaces_the_first_whole() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::Q8] {
        let mut writer = BundleWriter::with_shard_bytes(folder.path(), precision, 4000).unwrap();
        for (name, weight) in weights() {
            writer.add(&name, &weight).unwrap();
        }
        if precision == Precision::Q8 {
            // Shards of the new bundle are on disk by now, and the old one is still whole.
            assert!(Bundle::read_folder(folder.path()).read().is_ok());
        }
        writer.finish(info(), &tokenizer()).unwrap();
        let bundle = Bundle::read_folder(folder.path());
        let (manifest, _) = bundle.read().unwrap();
        assert_eq!(
            bundle.files.len(),
            manifest.shards.len() + 1,
            "{:?}",
            bundle.files.keys()
        );
    }
}

#[test]
fn the_writer_refuses_what_it_cannot_keep() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::with_shard_bytes(folder.path(), Precision::F16, 1000).unwrap();
    let mut code = |shape: &[usize], data: Vec<f32>| {
        writer
            .add(
                "unet.x.weight",
                &HostTensor {
                    shape: shape.to_vec(),
                    data,
                },
            )
            .unwrap_err()
            .code()
    };
    assert_eq!(code(&[2], vec![1.0, f32::NAN]), "not-finite");
    assert_eq!(code(&[2], vec![1.0, 1e6]), "quantized");
    assert_eq!(code(&[3], vec![1.0, 1.0]), "tensor-shape");
    assert_eq!(code(&[0], vec![]), "tensor-shape");
    assert_eq!(code(&[1, 5000], vec![0.5; 5000]), "quantized");
    writer
        .add(
            "unet.y.weight",
            &HostTensor {
                shape: vec![1],
                data: vec![1.0],
            },
        )
        .unwrap();
    let again = writer.add(
        "unet.y.weight",
        &HostTensor {
            shape: vec![1],
            data: vec![1.0],
        },
    );
    assert_eq!(again.unwrap_err().code(), "duplicate-tensor");
}

/// Only shards that the writer named are removed: a manifest can name anything that lies in its
/// folder.
#[test]
fn files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let write = || {
        let mut writer =
            BundleWriter::with_shard_bytes(folder.path(), Precision::F32, 1500).unwrap();
        for (name, weight) in weights() {
            writer.add(&name, &weight).unwrap();
        }
        writer.finish(info(), &tokenizer()).unwrap()
    };
    let first = write();
    let theirs = [
        "thesis.docx",
        "weights.safetensors",
        "weights-0123456789ABCDEF.safetensors",
        "weights-x.safetensors",
    ];
    let ours = first.shards[4].file.clone();
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("bundle.json")).unwrap()).unwrap();
    for (i, name) in theirs.iter().enumerate() {
        fs::write(folder.path().join(name), "mine").unwrap();
        json["shards"][i]["file"] = (*name).into();
    }
    fs::write(folder.path().join("bundle.json"), json.to_string()).unwrap();
    // Other numbers, so that the old shards are of no use any more.
    let mut writer = BundleWriter::new(folder.path(), Precision::F16).unwrap();
    for (name, weight) in weights() {
        writer.add(&name, &weight).unwrap();
    }
    writer.finish(info(), &tokenizer()).unwrap();
    assert!(!folder.path().join(ours).exists());
    for name in theirs {
        assert_eq!(
            fs::read_to_string(folder.path().join(name)).unwrap(),
            "mine",
            "{name}"
        );
    }
}
