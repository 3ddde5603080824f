//! One damage, one error.

use crate::support::*;
use roentgen_web::bundle::{Manifest, Precision, SHARD_BYTES, ShardReader};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

// [6, 5, 3, 3]: 6 rows of 45 columns, 2 blocks
pub const Q8: &str = "unet.mid_block.resnets.0.conv1.weight";
pub const PLAIN: &str = "unet.conv_in.weight";

/// The code of the error after `damage`, whose shards then have the right hashes again.
fn code(damage: impl FnOnce(&mut Bundle)) -> &'static str {
    let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
    damage(&mut bundle);
    bundle.fix_hashes();
    code_of(&bundle)
}

pub fn code_of(bundle: &Bundle) -> &'static str {
    match bundle.read() {
        Ok(_) => "ok",
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() > 20 && !text.contains('\n'), "{text}");
            error.code()
        }
    }
}

/// As [`code`], for a change to the manifest.
pub fn manifest_code(change: impl FnOnce(&mut Value)) -> &'static str {
    code(|bundle| {
        let mut json = bundle.json();
        change(&mut json);
        bundle.set_json(&json);
    })
}

type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// As [`code`], for a change to the tensors of the one shard.
fn shard_code(change: impl FnOnce(&mut Vec<Stored>)) -> &'static str {
    code(|bundle| {
        let name = bundle.shard_of(PLAIN);
        let bytes = bundle.files.get_mut(&name).unwrap();
        let mut tensors: Vec<Stored> = SafeTensors::deserialize(bytes)
            .unwrap()
            .iter()
            .map(|(name, t)| {
                (
                    name.to_owned(),
                    t.dtype(),
                    t.shape().to_vec(),
                    t.data().to_vec(),
                )
            })
            .collect();
        change(&mut tensors);
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        *bytes = safetensors::serialize(views, None).unwrap();
    })
}

fn find<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|t| t.0 == name).expect(name)
}

#[test]
fn an_undamaged_bundle_is_read() {
    assert_eq!(code(|_| ()), "ok");
    assert_eq!(manifest_code(|_| ()), "ok");
    assert_eq!(shard_code(|_| ()), "ok");
}

#[test]
fn files_that_are_not_the_manifests() {
    let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
    let name = bundle.shard_of(PLAIN);
    let whole = bundle.files[&name].clone();
    bundle
        .files
        .get_mut(&name)
        .unwrap()
        .truncate(whole.len() - 1);
    assert_eq!(code_of(&bundle), "file-size");
    *bundle.files.get_mut(&name).unwrap() = whole;
    *bundle.files.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    assert_eq!(code_of(&bundle), "hash");
    bundle.files.remove(&name);
    assert_eq!(code_of(&bundle), "file-size");
    let mut bundle = Bundle::written(Precision::Q8, SHARD_BYTES);
    let tokenizer = bundle.tokenizer();
    bundle.files.get_mut(&tokenizer).unwrap()[5] ^= 1;
    assert_eq!(code_of(&bundle), "hash");
}

#[test]
fn shards_that_are_no_safetensors() {
    let shard = |change: &dyn Fn(&mut Vec<u8>)| {
        code(|b| change(b.files.get_mut(&b.shard_of(PLAIN)).unwrap()))
    };
    for length in [u64::from(u32::MAX), 1 << 32, u64::MAX, 0, 7] {
        assert_eq!(
            shard(&|bytes| bytes[..8].copy_from_slice(&length.to_le_bytes())),
            "safetensors",
            "{length}"
        );
    }
    assert_eq!(shard(&|bytes| bytes.truncate(4)), "safetensors");
    assert_eq!(
        shard(&|bytes| bytes.truncate(bytes.len() - 1)),
        "safetensors"
    );
    assert_eq!(shard(&|bytes| bytes.push(0)), "safetensors");
    assert_eq!(shard(&|bytes| bytes[12] = 0xff), "safetensors");
    assert_eq!(shard(&|bytes| bytes[8] = b'['), "safetensors");
}

#[test]
fn tensors_that_are_not_the_manifests() {
    let extra = |tensors: &mut Vec<Stored>| {
        tensors.push(("unet.extra".into(), Dtype::F16, vec![1], vec![0, 0]))
    };
    assert_eq!(shard_code(extra), "unknown-tensor");
    assert_eq!(shard_code(|t| t.retain(|t| t.0 != PLAIN)), "missing-tensor");
    assert_eq!(
        shard_code(|t| t.retain(|t| t.0 != format!("{Q8}.scale"))),
        "missing-tensor"
    );
    assert_eq!(
        shard_code(|t| find(t, PLAIN).2 = vec![4, 8, 3, 3]),
        "tensor-shape"
    );
    assert_eq!(shard_code(|t| find(t, PLAIN).1 = Dtype::BF16), "stored-as");
    assert_eq!(
        shard_code(|t| find(t, &format!("{Q8}.q8")).1 = Dtype::U8),
        "stored-as"
    );
    assert_eq!(
        shard_code(|t| find(t, &format!("{Q8}.scale")).1 = Dtype::BF16),
        "stored-as"
    );
    for bits in [0x7e00u16, 0x7c00, 0xfc00] {
        assert_eq!(
            shard_code(|t| find(t, PLAIN).3[..2].copy_from_slice(&bits.to_le_bytes())),
            "not-finite"
        );
    }
}

#[test]
fn quantized_tensors_that_do_not_fit() {
    let ints = format!("{Q8}.q8");
    let scale = format!("{Q8}.scale");
    assert_eq!(shard_code(|t| find(t, &ints).2 = vec![45, 6]), "quantized");
    assert_eq!(
        shard_code(|t| find(t, &ints).2 = vec![6, 5, 3, 3]),
        "quantized"
    );
    assert_eq!(shard_code(|t| find(t, &scale).2 = vec![2, 6]), "quantized");
    assert_eq!(shard_code(|t| find(t, &scale).2 = vec![12]), "quantized");
    assert_eq!(
        shard_code(|t| {
            let (_, _, shape, data) = find(t, &scale);
            shape[0] = 5;
            data.truncate(20);
        }),
        "quantized"
    );
    assert_eq!(
        manifest_code(|m| m["tensors"][Q8]["shape"] = json!([6, 44])),
        "quantized"
    );
    assert_eq!(
        manifest_code(|m| m["tensors"][Q8]["dtype"] = json!("q4")),
        "missing-tensor"
    );
    // NaN, infinity, zero, minus zero, minus one.
    for bits in [0x7e00u16, 0x7c00, 0x0000, 0x8000, 0xbc00] {
        let bad =
            |t: &mut Vec<Stored>| find(t, &scale).3[6..8].copy_from_slice(&bits.to_le_bytes());
        assert_eq!(shard_code(bad), "scale", "{bits:04x}");
    }
}

#[test]
fn split_tensors_that_do_not_add_up() {
    let split = Bundle::written(Precision::F16, 1500);
    let json = split.json();
    let parts = |t: &Value| t["shards"].as_array().map_or(0, Vec::len);
    let (name, entry) = json["tensors"]
        .as_object()
        .unwrap()
        .iter()
        .max_by_key(|(_, t)| parts(t))
        .unwrap();
    assert!(parts(entry) > 1);
    // More rows than all parts have, and fewer than the first has.
    for rows in [1000, parts(entry)] {
        let mut bundle = split.clone();
        let mut json = json.clone();
        json["tensors"][name]["shape"] = json!([rows, entry["shape"][1]]);
        bundle.set_json(&json);
        assert_eq!(code_of(&bundle), "tensor-shape", "{rows} rows");
    }
}

#[test]
fn shards_out_of_order() {
    let bundle = Bundle::written(Precision::F16, 1500);
    let manifest = Manifest::parse(&bundle.manifest).unwrap();
    let mut decoder = ShardReader::new(manifest.clone());
    assert_eq!(
        decoder
            .decode_shard(1, &bundle.files[&manifest.shards[1].file])
            .unwrap_err()
            .code(),
        "request"
    );
    assert_eq!(decoder.decode_shard(99, &[]).unwrap_err().code(), "request");
    decoder
        .decode_shard(0, &bundle.files[&manifest.shards[0].file])
        .unwrap();
    assert_eq!(decoder.finish().unwrap_err().code(), "request");
}
