//! Mutated bundles: an error or sound weights, never a panic.

use crate::support::*;
use burn::tensor::Device;
use roentgen_web::{
    bundle::{Manifest, Precision, SHARD_BYTES},
    pipeline::PipelineBuilder,
};
use serde_json::Value;
use std::{collections::BTreeMap, ops::Range};

const MUTATIONS: usize = 12_000;

/// Numbers that parsers trip over, as they stand in JSON.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "-1",
    "31",
    "33",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "1e999",
    "0.5",
    "null",
];

/// Words that mean something to the readers.
const WORDS: [&str; 12] = [
    "q8",
    "q4",
    "f16",
    "f32",
    "F16",
    "F32",
    "I8",
    "U8",
    "BF16",
    "I64",
    "BOOL",
    "../bundle.json",
];

/// f16 values that are no scale, and a few that are.
const HALVES: [u16; 8] = [
    0x0000, 0x8000, 0x7e00, 0x7c00, 0xfc00, 0xbc00, 0x0001, 0x7bff,
];

#[test]
fn mutated_bundles_are_errors_or_sound() {
    let originals: Vec<Bundle> = [Precision::F32, Precision::F16, Precision::Q8, Precision::Q4]
        .into_iter()
        .flat_map(|p| [Bundle::written(p, 3000), Bundle::written(p, SHARD_BYTES)])
        .collect();
    let mut random = Random(2026);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..MUTATIONS {
        let original = random.pick(&originals);
        let mut bundle = original.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut bundle, &mut random);
        }
        let fixed = random.below(10) < 7;
        if fixed {
            bundle.fix_hashes();
        }
        let code = match bundle.read() {
            Ok((manifest, weights)) => {
                if !fixed {
                    // Files that the manifest vouches for can only be the original ones.
                    for file in manifest.shards.iter().chain([&manifest.tokenizer]) {
                        let vouched = originals
                            .iter()
                            .any(|o| o.files.get(&file.file) == bundle.files.get(&file.file));
                        assert!(vouched, "round {round}: a changed file passed its hash");
                    }
                }
                assert!(
                    weights.keys().eq(manifest.tensors.keys()),
                    "round {round}: tensors are missing"
                );
                for (name, weight) in &weights {
                    assert_eq!(
                        weight.shape, manifest.tensors[name].shape,
                        "round {round}: {name}"
                    );
                    assert_eq!(
                        weight.data.len(),
                        weight.shape.iter().product::<usize>(),
                        "round {round}: {name}"
                    );
                    assert!(
                        weight.data.iter().all(|x| x.is_finite()),
                        "round {round}: {name}"
                    );
                }
                "ok"
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                error.code()
            }
        };
        *seen.entry(code).or_default() += 1;
    }
    // The mutations reach every layer of the reader; were one missing here, they would have stopped
    // before it.
    for code in [
        "ok",
        "file-name",
        "file-size",
        "hash",
        "json",
        "manifest",
        "missing-tensor",
        "not-finite",
        "quantized",
        "safetensors",
        "scale",
        "schema-version",
        "stored-as",
        "tensor-shape",
        "tokenizer",
        "unknown-tensor",
        "utf8",
    ] {
        assert!(seen.contains_key(code), "no mutation gave {code}: {seen:?}");
    }
}

/// Networks are built from the configurations before the first weight is there to disagree with
/// them.
#[test]
fn mutated_configurations_are_errors_or_networks() {
    let original = Bundle::written(Precision::F16, SHARD_BYTES).json();
    let device = Device::flex();
    let mut random = Random(1895);
    let (mut built, mut refused) = (0, 0);
    for round in 0..2000 {
        let mut bundle = Bundle {
            manifest: Vec::new(),
            files: BTreeMap::new(),
        };
        let mut json = original.clone();
        let component = *random.pick(&["text_encoder", "unet", "unet", "vae", "scheduler"]);
        change_leaf(&mut json["components"][component], &mut random);
        bundle.set_json(&json);
        let network = Manifest::parse(&bundle.manifest)
            .and_then(|manifest| PipelineBuilder::new(manifest.components, tokenizer(), &device));
        match network {
            Ok(_) => built += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty(), "round {round}");
                refused += 1;
            }
        }
    }
    assert!(
        built > 100 && refused > 500,
        "{built} were built, {refused} were refused"
    );
}

fn mutate(bundle: &mut Bundle, random: &mut Random) {
    let names: Vec<String> = bundle.files.keys().cloned().collect();
    let other = bundle.files[random.pick(&names)].clone();
    let bytes = match random.below(3) {
        0 => &mut bundle.manifest,
        _ => bundle.files.get_mut(random.pick(&names)).expect("listed"),
    };
    if bytes.is_empty() {
        return;
    }
    // A shard is eight bytes of length, that much JSON, then the tensors; the other files are JSON
    // throughout.
    let length = bytes
        .get(..8)
        .map_or(0, |b| u64::from_le_bytes(b.try_into().expect("eight")));
    let is_shard = bytes.len() > 8 && length < bytes.len() as u64 - 8;
    let json = if is_shard {
        8..length as usize + 8
    } else {
        0..bytes.len()
    };
    let at = random.below(bytes.len());
    match random.below(12) {
        0 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        1 => bytes.truncate(at),
        2 => {
            let from = random.below(other.len());
            let length = random.below((other.len() - from).min(64) + 1);
            let end = (at + random.below(64)).min(bytes.len());
            bytes.splice(at..end, other[from..from + length].iter().copied());
        }
        3 => {
            let end = (at + 1 + random.below(32)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 if is_shard => {
            let lengths = [
                u64::from(u32::MAX),
                1 << 32,
                u64::MAX,
                0,
                length + 1,
                length.wrapping_sub(1),
                length + 8,
            ];
            bytes[..8].copy_from_slice(&random.pick(&lengths).to_le_bytes());
        }
        5 | 6 if is_shard && json.end + 2 < bytes.len() => {
            let at = json.end + random.below((bytes.len() - json.end) / 2) * 2;
            bytes[at..at + 2].copy_from_slice(&random.pick(&HALVES).to_le_bytes());
        }
        7 => {
            let Some(start) = (at..json.end).find(|&i| bytes[i].is_ascii_digit()) else {
                return;
            };
            let end = (start..json.end)
                .find(|&i| !bytes[i].is_ascii_digit())
                .unwrap_or(json.end);
            splice_json(bytes, start..end, random.pick::<&str>(&NUMBERS), is_shard);
        }
        _ => {
            let Ok(mut value) = serde_json::from_slice::<Value>(&bytes[json.clone()]) else {
                return;
            };
            change_leaf(&mut value, random);
            splice_json(bytes, json, &value.to_string(), is_shard);
        }
    }
}

/// Puts other text into the JSON; a shard's header keeps its true length.
fn splice_json(bytes: &mut Vec<u8>, range: Range<usize>, text: &str, is_shard: bool) {
    let cut = range.len() as u64;
    bytes.splice(range, text.bytes());
    if is_shard {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight"));
        bytes[..8].copy_from_slice(&(length - cut + text.len() as u64).to_le_bytes());
    }
}

/// Walks down to a random value and replaces it, removes it, or takes another one's place.
fn change_leaf(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = random.pick(&keys);
            match random.below(12) {
                0 => drop(map.remove(key)),
                1 => {
                    let other = map[random.pick(&keys)].clone();
                    map.insert(key.clone(), other);
                }
                2 => {
                    let moved = map.remove(key).unwrap_or_default();
                    map.insert(format!("{key}.scale"), moved);
                }
                _ => change_leaf(&mut map[key], random),
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(8) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                _ => change_leaf(&mut list[at], random),
            }
        }
        Value::Number(_) => {
            *value = serde_json::from_str(random.pick::<&str>(&NUMBERS)).unwrap_or(Value::Null)
        }
        _ => *value = Value::from(*random.pick::<&str>(&WORDS)),
    }
}
