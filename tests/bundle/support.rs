//! A small bundle made by the writer, held in memory so that it can be damaged.

use roentgen_web::{
    Result,
    bundle::{BundleInfo, BundleWriter, Defaults, MANIFEST_FILE, Manifest, Precision, ShardReader},
    components::ComponentConfigs,
    tensor::HostTensor,
    tokens::{BOS_TOKEN, ClipTokenizer, EOS_TOKEN, TokenizerOptions},
    weights::Weights,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};

/// SplitMix64 (Steele et al. 2014): the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is above 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Bell-shaped, standard deviation 1: the sum of twelve uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (0..12)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32)
            .sum::<f32>()
            - 6.0
    }
}

/// Shapes of every kind: a bias, a matrix, rows that are no multiple of a block or odd,
/// convolutions, a large table.
pub const SHAPES: [(&str, &[usize]); 7] = [
    ("text_encoder.embeddings.token_embedding.weight", &[70, 32]),
    ("unet.conv_in.weight", &[8, 4, 3, 3]),
    ("unet.mid_block.resnets.0.conv1.weight", &[6, 5, 3, 3]),
    ("unet.mid_block.resnets.0.norm1.bias", &[33]),
    ("unet.time_embedding.linear_1.weight", &[16, 64]),
    ("vae.decoder.conv_out.bias", &[1]),
    ("vae.decoder.mid_block.attentions.0.to_q.weight", &[8, 40]),
];

/// Weights like those of a network, with deviations from 0.0005 to 0.5.
pub fn weights() -> Weights {
    let mut random = Random(7);
    let tensor = |(i, (name, shape)): (usize, &(&str, &[usize]))| {
        let deviation = 0.5 / 10f32.powi(i as i32 % 4);
        let data = (0..shape.iter().product())
            .map(|_| random.normal() * deviation)
            .collect();
        (
            name.to_string(),
            HostTensor {
                shape: shape.to_vec(),
                data,
            },
        )
    };
    SHAPES.iter().enumerate().map(tensor).collect()
}

/// Networks without layers, as the few tensors of [`SHAPES`] are no network.
pub fn components() -> ComponentConfigs {
    let components = json!({
        "text_encoder": {
            "vocab_size": 70, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 0,
            "num_attention_heads": 2, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
        },
        "unet": {
            "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": [32, 64], "layers_per_block": 0,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "cross_attention_dim": 32,
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "attention_head_dim": 8,
        },
        "vae": {
            "in_channels": 1, "out_channels": 1, "latent_channels": 4, "block_out_channels": [32, 32],
            "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"], "layers_per_block": 0,
            "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "norm_num_groups": 32,
            "scaling_factor": 0.18215, "sample_size": 16,
        },
        "scheduler": {
            "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_schedule": "scaled_linear",
            "beta_start": 0.00085, "beta_end": 0.012, "prediction_type": "epsilon", "steps_offset": 1,
            "set_alpha_to_one": false, "clip_sample": false,
        },
    });
    serde_json::from_value(components).expect("diffusers' keys")
}

pub fn tokenizer() -> ClipTokenizer {
    let letters = ('a'..='z')
        .map(String::from)
        .chain(('a'..='z').map(|c| format!("{c}</w>")));
    let tokens = letters.chain([BOS_TOKEN.into(), EOS_TOKEN.into()]);
    let vocab: serde_json::Map<_, _> = tokens
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let vocab = serde_json::to_vec(&vocab).expect("json");
    ClipTokenizer::from_vocab_and_merges(&vocab, b"", &TokenizerOptions::default())
        .expect("a tokenizer")
}

pub fn info() -> BundleInfo {
    BundleInfo {
        name: "A small model".into(),
        model_card: Some("MODEL_CARD.md".into()),
        license: "CC-BY-4.0".into(),
        attribution: "Nobody".into(),
        intended_use: "Tests only".into(),
        components: components(),
        defaults: Defaults {
            num_inference_steps: 20,
            guidance_scale: 4.0,
            width: 16,
            height: 16,
            scheduler: None,
        },
        examples: vec!["PA chest radiograph.".into()],
    }
}

/// The files of a bundle.
#[derive(Clone)]
pub struct Bundle {
    pub manifest: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Written with `precision` as policy into shards of at most `shard_bytes`.
    pub fn written(precision: Precision, shard_bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = BundleWriter::with_shard_bytes(folder.path(), precision, shard_bytes)
            .expect("a writer");
        for (name, weight) in weights() {
            writer.add(&name, &weight).expect(&name);
        }
        writer.finish(info(), &tokenizer()).expect("a bundle");
        Self::read_folder(folder.path())
    }

    pub fn read_folder(folder: &std::path::Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a plain name");
            files.insert(name, fs::read(entry.path()).expect("a file"));
        }
        let manifest = files.remove(MANIFEST_FILE).expect("a manifest");
        Self { manifest, files }
    }

    /// Reads all of it as an application does; a file that is not there reads as empty.
    pub fn read(&self) -> Result<(Manifest, Weights)> {
        let manifest = Manifest::parse(&self.manifest)?;
        let file = |name: &str| self.files.get(name).map_or(&[][..], Vec::as_slice);
        let tokenizer = file(&manifest.tokenizer.file);
        manifest.tokenizer.verify(tokenizer)?;
        ClipTokenizer::from_json(tokenizer)?;
        let mut decoder = ShardReader::new(manifest.clone());
        let mut weights = Weights::new();
        for (index, shard) in manifest.shards.iter().enumerate() {
            weights.extend(decoder.decode_shard(index, file(&shard.file))?);
        }
        decoder.finish()?;
        Ok((manifest, weights))
    }

    /// The manifest as JSON, to be changed and put back with [`Self::set_json`].
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.manifest).expect("json")
    }

    pub fn set_json(&mut self, manifest: &Value) {
        self.manifest = serde_json::to_vec(manifest).expect("json");
    }

    /// Makes the manifest say the true size and hash of each file, so that a change is not found by
    /// those.
    pub fn fix_hashes(&mut self) {
        let Ok(mut json) = serde_json::from_slice::<Value>(&self.manifest) else {
            return;
        };
        let fix = |entry: &mut Value| {
            let Some(bytes) = entry["file"].as_str().and_then(|name| self.files.get(name)) else {
                return;
            };
            *entry = serde_json::to_value(roentgen_web::bundle::FileEntry::of(
                entry["file"].as_str().unwrap_or(""),
                bytes,
            ))
            .expect("json");
        };
        if json["tokenizer"].is_object() {
            fix(&mut json["tokenizer"]);
        }
        if let Some(shards) = json.get_mut("shards").and_then(Value::as_array_mut) {
            shards.iter_mut().filter(|s| s.is_object()).for_each(fix);
        }
        self.set_json(&json);
    }

    /// Name of the tokenizer's file.
    pub fn tokenizer(&self) -> String {
        let json = self.json();
        json["tokenizer"]["file"].as_str().expect("a name").into()
    }

    /// Name of the shard that holds `tensor` (the last one if it is split).
    pub fn shard_of(&self, tensor: &str) -> String {
        let json = self.json();
        let index = json["tensors"][tensor]["shards"]
            .as_array()
            .and_then(|s| s.last()?.as_u64())
            .expect("a shard");
        json["shards"][index as usize]["file"]
            .as_str()
            .expect("a name")
            .into()
    }
}
