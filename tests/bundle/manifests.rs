//! One damage to a manifest, one error.

use crate::errors::{PLAIN, Q8, code_of, manifest_code};
use crate::support::*;
use roentgen_web::bundle::{Manifest, Precision, SHARD_BYTES};
use serde_json::{Value, json};

#[test]
fn a_manifest_that_is_no_manifest() {
    for (bytes, expected) in [
        (&b""[..], "json"),
        (b"{", "json"),
        (b"[]", "json"),
        (b"null", "json"),
        (b"{\"schema_version\": 1}", "json"),
        (b"{\"schema_version\": 1e999}", "json"),
        (b"{\"name\": \"\xff\"}", "utf8"),
        (&[b'['; 100_000], "json"),
    ] {
        assert_eq!(
            Manifest::parse(bytes).unwrap_err().code(),
            expected,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    for version in [json!(0), json!(3), json!(4_294_967_297u64)] {
        assert_eq!(
            manifest_code(|m| m["schema_version"] = version),
            "schema-version"
        );
    }
    assert_eq!(manifest_code(|m| m["schema_version"] = json!(-1)), "json");
    assert_eq!(manifest_code(|m| m["surprise"] = json!(1)), "json");
    assert_eq!(
        manifest_code(|m| m["components"]["unet"] = json!(7)),
        "json"
    );
    let endless = vec![b' '; (16 << 20) + 1];
    assert_eq!(Manifest::parse(&endless).unwrap_err().code(), "too-large");
}

/// A value of another type is one sentence that says where it is.
#[test]
fn values_of_other_types() {
    for (pointer, value) in [
        ("/name", json!(7)),
        ("/license", json!(["MIT"])),
        ("/tokenizer", json!("tokenizer.json")),
        ("/tokenizer/bytes", json!("12")),
        ("/tokenizer/bytes", json!(-1)),
        ("/tokenizer/bytes", json!(1.5)),
        ("/shards", json!({})),
        ("/shards/0", json!(null)),
        ("/shards/0/sha256", json!(0)),
        ("/tensors", json!([])),
        ("/defaults/width", json!("256")),
        ("/defaults/guidance_scale", json!(null)),
        ("/defaults/scheduler", json!(1)),
        ("/examples", json!("a prompt")),
        ("/examples", json!([1])),
        ("/sizes", json!([[256]])),
        ("/components/scheduler", json!([])),
    ] {
        let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
        let mut json = bundle.json();
        match json.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => json[&pointer[1..]] = value,
        }
        bundle.set_json(&json);
        let error = Manifest::parse(&bundle.manifest).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), "json", "{pointer}: {text}");
        assert!(
            text.contains("line") && text.starts_with("bundle.json"),
            "{pointer}: {text}"
        );
    }
}

#[test]
fn names_that_lead_out_of_the_folder() {
    for name in [
        "../weights",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "",
        ".",
        "..",
        ".hidden",
        "C:x",
        "a%2fb",
        "ü",
        "a\0b",
        "a b",
    ] {
        assert_eq!(
            manifest_code(|m| m["shards"][0]["file"] = json!(name)),
            "file-name",
            "{name:?}"
        );
        assert_eq!(
            manifest_code(|m| m["tokenizer"]["file"] = json!(name)),
            "file-name",
            "{name:?}"
        );
        assert_eq!(
            manifest_code(|m| m["model_card"] = json!(name)),
            "file-name",
            "{name:?}"
        );
    }
}

#[test]
fn a_manifest_that_cannot_be() {
    type Damage = Box<dyn FnOnce(&mut Value)>;
    let cases: Vec<(&str, Damage)> = vec![
        ("no name", Box::new(|m| m["name"] = json!(" "))),
        ("no shards", Box::new(|m| m["shards"] = json!([]))),
        ("no tensors", Box::new(|m| m["tensors"] = json!({}))),
        (
            "the manifest as shard",
            Box::new(|m| m["shards"][0]["file"] = json!("bundle.json")),
        ),
        (
            "a file twice",
            Box::new(|m| m["shards"][0]["file"] = m["tokenizer"]["file"].clone()),
        ),
        (
            "a shard for nothing",
            Box::new(|m| {
                let mut more = m["shards"][0].clone();
                more["file"] = json!("more.safetensors");
                m["shards"].as_array_mut().unwrap().push(more);
            }),
        ),
        (
            "a shard that is not there",
            Box::new(|m| m["tensors"][PLAIN]["shards"] = json!([1])),
        ),
        (
            "a shard twice",
            Box::new(|m| m["tensors"][PLAIN]["shards"] = json!([0, 0])),
        ),
        (
            "in no shard",
            Box::new(|m| m["tensors"][PLAIN]["shards"] = json!([])),
        ),
        (
            "no such component",
            Box::new(|m| m["tensors"]["clip.x"] = m["tensors"][PLAIN].clone()),
        ),
        (
            "a zero size",
            Box::new(|m| m["tensors"][PLAIN]["shape"] = json!([0, 4])),
        ),
        (
            "a huge shape",
            Box::new(|m| m["tensors"][PLAIN]["shape"] = json!([1u64 << 40])),
        ),
        (
            "an overflowing shape",
            Box::new(|m| m["tensors"][PLAIN]["shape"] = json!([u64::MAX, u64::MAX, 2])),
        ),
        (
            "one key for two tensors",
            Box::new(|m| {
                let plain = m["tensors"][PLAIN].clone();
                m["tensors"][format!("{Q8}.q8")] = plain;
            }),
        ),
        (
            "a width of 4 G",
            Box::new(|m| m["components"]["unet"]["block_out_channels"][0] = json!(u32::MAX)),
        ),
        (
            "a depth of 4 G",
            Box::new(|m| m["components"]["text_encoder"]["num_hidden_layers"] = json!(u32::MAX)),
        ),
        (
            "more layers than tensors",
            Box::new(|m| m["components"]["text_encoder"]["num_hidden_layers"] = json!(1)),
        ),
        (
            "layers in layers",
            Box::new(|m| {
                m["components"]["unet"]["layers_per_block"] = json!(256);
                m["components"]["unet"]["transformer_layers_per_block"] = json!(256);
            }),
        ),
        (
            "levels without end",
            Box::new(|m| m["components"]["vae"]["layers_per_block"] = json!(1000)),
        ),
        (
            "no steps",
            Box::new(|m| m["defaults"]["num_inference_steps"] = json!(0)),
        ),
        (
            "mad guidance",
            Box::new(|m| m["defaults"]["guidance_scale"] = json!(1e30)),
        ),
        (
            "a mad size",
            Box::new(|m| m["defaults"]["width"] = json!(u32::MAX)),
        ),
    ];
    for (what, change) in cases {
        assert_eq!(manifest_code(change), "manifest", "{what}");
    }
    // A file of 4 GB is refused before anybody makes room for it; a hash has 64 digits.
    for (key, value) in [
        ("bytes", json!(u32::MAX)),
        ("bytes", json!(0)),
        ("sha256", json!("00")),
        ("sha256", json!("A".repeat(64))),
    ] {
        let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
        let mut json = bundle.json();
        json["shards"][0][key] = value;
        bundle.set_json(&json);
        assert_eq!(code_of(&bundle), "manifest");
    }
    let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
    let mut json = bundle.json();
    json["tokenizer"]["bytes"] = json!(17 << 20);
    bundle.set_json(&json);
    assert_eq!(code_of(&bundle), "manifest", "a tokenizer of 17 MB");
    // serde keeps the last of two keys; here that would hide a tensor.
    let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
    let text = String::from_utf8(bundle.manifest.clone()).unwrap();
    bundle.manifest = text.replace(PLAIN, Q8).into_bytes();
    assert_eq!(code_of(&bundle), "json");
}
