//! Text -> [`Tokens`]: the CLIP byte-pair tokenizer, padded and truncated exactly as `transformers`
//! does it.
//!
//! The work is done by the `tokenizers` crate from a `tokenizer.json`. Older checkpoints hold
//! `vocab.json` and `merges.txt` instead; from these the same `tokenizer.json` is composed that
//! `transformers` composes.

mod accepted;
mod words;

pub use words::{Part, PartTokens, Word};

use crate::{Error, Result, limits};
use serde_json::{Value, json};
use tokenizers::{AddedToken, PaddingParams, PaddingStrategy, Tokenizer, TruncationParams};

/// Tokens per prompt when the tokenizer's files name no other number: CLIP's
/// `max_position_embeddings`. Source:
/// <https://huggingface.co/openai/clip-vit-large-patch14/blob/main/tokenizer_config.json>.
pub const MODEL_MAX_LENGTH: usize = 77;
/// First token of every prompt.
pub const BOS_TOKEN: &str = "<|startoftext|>";
/// Token after the text; also the unknown token, and the padding of SD 1.x (SD 2.x pads with `!`).
pub const EOS_TOKEN: &str = "<|endoftext|>";

/// The words of one prompt as the text encoder reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// `[T]`: BOS, at most `T - 2` text tokens, EOS, then padding. `T` is
    /// [`ClipTokenizer::model_max_length`].
    pub ids: Vec<u32>,
    /// Text tokens that did not fit and were cut from the end. 0 when the whole prompt is in.
    pub truncated: usize,
}

/// What a checkpoint's `tokenizer_config.json` and `special_tokens_map.json` say beside the
/// vocabulary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenizerOptions {
    /// Token after EOS up to the full length. `None`: what `tokenizer.json` says, else
    /// [`EOS_TOKEN`].
    pub pad_token: Option<String>,
    /// Tokens per prompt. `None`: what `tokenizer.json` says, else [`MODEL_MAX_LENGTH`].
    pub model_max_length: Option<usize>,
    /// BOS, EOS, unknown and padding token where a file describes them in full and not only by
    /// their text.
    pub special_tokens: [Option<AddedToken>; 4],
}

/// Keys of [`TokenizerOptions::special_tokens`], in the order in which `transformers` adds them.
const SPECIAL_TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

impl TokenizerOptions {
    /// Reads `tokenizer_config.json` and, for what it leaves open, `special_tokens_map.json`.
    ///
    /// # Errors
    /// [`Error::Json`] if one of them is not a JSON object.
    pub fn from_json(
        tokenizer_config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self> {
        let mut maps = Vec::new();
        let files = [
            ("tokenizer_config.json", tokenizer_config),
            ("special_tokens_map.json", special_tokens_map),
        ];
        for (file, bytes) in files {
            let Some(bytes) = bytes else { continue };
            let map: serde_json::Map<String, Value> =
                serde_json::from_slice(bytes).map_err(|e| Error::Json {
                    file: file.into(),
                    why: e.to_string(),
                })?;
            maps.push(map);
        }
        let value = |key: &str| maps.iter().find_map(|map| map.get(key));
        Ok(Self {
            pad_token: value("pad_token")
                .and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()))
                .map(str::to_owned),
            model_max_length: value("model_max_length")
                .and_then(length)
                .filter(|&n| n <= limits::MODEL_MAX_LENGTH),
            special_tokens: SPECIAL_TOKENS.map(|key| {
                let token = value(key)?;
                let flag = |name: &str| token[name].as_bool();
                Some(
                    AddedToken::from(token.get("content")?.as_str()?, true)
                        .single_word(flag("single_word").unwrap_or(false))
                        .lstrip(flag("lstrip").unwrap_or(false))
                        .rstrip(flag("rstrip").unwrap_or(false))
                        .normalized(flag("normalized").unwrap_or(true)),
                )
            }),
        })
    }
}

/// CLIP's tokenizer: NFC, white space runs to one space, lower case, byte-level BPE with `</w>` at
/// word ends.
#[derive(Clone)]
pub struct ClipTokenizer {
    /// Adds BOS and EOS, and neither cuts nor pads: [`ClipTokenizer::encode`] does.
    tokenizer: Tokenizer,
    pad_token: String,
    pad_id: u32,
    model_max_length: usize,
    vocab_size: usize,
}

impl ClipTokenizer {
    /// Reads a `tokenizer.json`. Padding and length are taken from its `padding` and `truncation`
    /// entries.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is no valid `tokenizer.json` or not of CLIP's kind.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::from_json_with(bytes, &TokenizerOptions::default())
    }

    /// As [`Self::from_json`], with the settings that `tokenizer_config.json` gives, which win.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_json_with(bytes: &[u8], options: &TokenizerOptions) -> Result<Self> {
        let mut json: Value = serde_json::from_slice(bytes).map_err(|e| Error::Json {
            file: "tokenizer.json".into(),
            why: e.to_string(),
        })?;
        accepted::check(&json).map_err(bad)?;
        let model_max_length = options
            .model_max_length
            .or_else(|| length(&json["truncation"]["max_length"]))
            .or_else(|| length(&json["padding"]["strategy"]["Fixed"]))
            .unwrap_or(MODEL_MAX_LENGTH);
        let pad_token = options
            .pad_token
            .as_deref()
            .or(json["padding"]["pad_token"].as_str())
            .unwrap_or(EOS_TOKEN)
            .to_owned();
        // Parts that are not needed for encoding are not given to the library, which panics on some
        // damaged ones.
        for part in ["truncation", "padding", "decoder"] {
            json[part] = Value::Null;
        }
        let known = json["added_tokens"].as_array().cloned().unwrap_or_default();
        let mut tokenizer = Tokenizer::from_bytes(json.to_string()).map_err(bad)?;
        if !(3..=limits::MODEL_MAX_LENGTH).contains(&model_max_length) {
            return Err(bad(format!(
                "its model_max_length is {model_max_length}, and 3 to {} is sensible",
                limits::MODEL_MAX_LENGTH
            )));
        }
        let id = |token: &str| {
            let missing = || bad(format!("its vocabulary has no token {token:?}"));
            tokenizer.token_to_id(token).ok_or_else(missing)
        };
        let (bos, eos, pad_id) = (id(BOS_TOKEN)?, id(EOS_TOKEN)?, id(&pad_token)?);

        // `transformers` makes the named tokens special, the pad token included: "!" in a prompt
        // for SD 2.x is then the pad token (id 0) and not the word "!</w>". Tokens described in
        // full are taken so; those that the files only name stay as tokenizer.json has them, or
        // else are found before the text is lower-cased.
        let named = [BOS_TOKEN, EOS_TOKEN, EOS_TOKEN, &pad_token];
        for (name, described) in named.into_iter().zip(&options.special_tokens) {
            let token = match described {
                Some(token) => token.clone(),
                None if known.iter().any(|token| token["content"] == name) => continue,
                None => AddedToken::from(name, true).normalized(false),
            };
            tokenizer.add_special_tokens([token]).map_err(bad)?;
        }
        let empty = tokenizer.encode("", true).map_err(bad)?;
        if empty.get_ids() != [bos, eos] {
            return Err(bad(format!(
                "it does not put {BOS_TOKEN} before and {EOS_TOKEN} after a prompt as CLIP does"
            )));
        }
        let vocab_size = tokenizer
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1);

        Ok(Self {
            tokenizer,
            pad_token,
            pad_id,
            model_max_length,
            vocab_size,
        })
    }

    /// Composes the tokenizer from `vocab.json` and `merges.txt` as `transformers.CLIPTokenizer`
    /// does.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Utf8`] or [`Error::Tokenizer`] if the files are damaged or do not
    /// belong together.
    pub fn from_vocab_and_merges(
        vocab_json: &[u8],
        merges: &[u8],
        options: &TokenizerOptions,
    ) -> Result<Self> {
        let vocab: std::collections::HashMap<String, u32> = serde_json::from_slice(vocab_json)
            .map_err(|e| Error::Json {
                file: "vocab.json".into(),
                why: e.to_string(),
            })?;
        let merges = std::str::from_utf8(merges).map_err(|_| Error::Utf8 {
            file: "merges.txt".into(),
        })?;
        let merges: Vec<&str> = merges
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("#version"))
            .collect();
        let id = |token: &str| {
            vocab
                .get(token)
                .copied()
                .ok_or_else(|| bad(format!("vocab.json has no token {token:?}")))
        };
        // Source of every constant: transformers 5.23, models/clip/tokenization_clip.py.
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": { "type": "Sequence", "normalizers": [
                { "type": "NFC" },
                { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
                { "type": "Lowercase" },
            ]},
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
                { "type": "Split", "behavior": "Removed", "invert": true, "pattern": { "Regex":
                    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
                }},
                { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            ]},
            "post_processor": {
                "type": "RobertaProcessing", "trim_offsets": false, "add_prefix_space": false,
                "sep": [EOS_TOKEN, id(EOS_TOKEN)?],
                "cls": [BOS_TOKEN, id(BOS_TOKEN)?],
            },
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": EOS_TOKEN, "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merges,
            },
        });
        Self::from_json_with(tokenizer.to_string().as_bytes(), options)
    }

    /// The whole tokenizer as one `tokenizer.json`, padding and length included: what a bundle
    /// holds.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut tokenizer = self.tokenizer.clone();
        tokenizer.with_decoder(Some(tokenizers::decoders::byte_level::ByteLevel::default()));
        let truncation = TruncationParams {
            max_length: self.model_max_length,
            ..Default::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(bad)?;
        tokenizer.with_padding(Some(PaddingParams {
            strategy: PaddingStrategy::Fixed(self.model_max_length),
            pad_id: self.pad_id,
            pad_token: self.pad_token.clone(),
            ..Default::default()
        }));
        tokenizer.to_string(false).map_err(bad)
    }

    /// Tokens of a prompt: BOS, text, EOS, padding; what does not fit is cut from the end of the
    /// text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text cannot be split (a limit of the regular expression engine).
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let mut ids = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(bad)?
            .get_ids()
            .to_vec();
        let truncated = ids.len().saturating_sub(self.model_max_length);
        // What is cut are the last words, not the EOS behind them, whose place in the sequence the
        // model looks at.
        let eos = ids.len() - 1;
        ids.drain(eos - truncated..eos);
        ids.resize(self.model_max_length, self.pad_id);
        Ok(Tokens { ids, truncated })
    }

    /// Tokens per prompt, `T`.
    pub fn model_max_length(&self) -> usize {
        self.model_max_length
    }

    /// Largest id plus one: the text encoder needs at least this many embeddings.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Id of the padding token.
    pub fn pad_token_id(&self) -> u32 {
        self.pad_id
    }
}

impl std::fmt::Debug for ClipTokenizer {
    // The vocabulary is long and says nothing in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("ClipTokenizer");
        f.field("vocab_size", &self.vocab_size)
            .field("model_max_length", &self.model_max_length);
        f.field("pad_id", &self.pad_id).finish_non_exhaustive()
    }
}

fn length(json: &Value) -> Option<usize> {
    json.as_u64().and_then(|n| usize::try_from(n).ok())
}

fn bad(why: impl ToString) -> Error {
    Error::Tokenizer {
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests;
