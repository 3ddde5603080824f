//! Which of a prompt's tokens are which of its words.

use std::ops::Range;

use tokenizers::Encoding;

use super::{ClipTokenizer, bad};
use crate::Result;
use crate::tensor::HostTensor;

/// What a part of the sequence that the text encoder reads stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// BOS. Causal attention lets it know of no word.
    Start,
    /// A word, and where it stands in the prompt, in bytes. Signs at its edges are left out.
    Word(Range<usize>),
    /// EOS, which has read the whole prompt, and the padding behind it.
    End,
}

/// A part of the sequence, and its places in [`super::Tokens::ids`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTokens {
    /// What it stands for.
    pub part: Part,
    /// Of a word: the tokens that have a letter or a digit.
    pub tokens: Vec<usize>,
}

/// A word of a prompt, as the model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it stands in the prompt, in bytes.
    pub place: Range<usize>,
    /// Whether all of it fits into [`super::Tokens::ids`].
    pub read: bool,
    /// Whether the tokenizer has a token of its own for it: one that was learned from the captions
    /// has one for each word that was not rare in them. With CLIP's own vocabulary, which was
    /// learned from the web, every word counts as known.
    pub known: bool,
}

/// Tokens of CLIP's own vocabulary. Source:
/// <https://huggingface.co/openai/clip-vit-large-patch14/blob/main/config.json> (`vocab_size`).
const CLIP_VOCAB_SIZE: usize = 49_408;

/// What marks a token that ends a word.
const WORD_END: &str = "</w>";

impl ClipTokenizer {
    /// The start, every word that fits, and the end of a prompt, in this order. What stands between
    /// two spaces is a word.
    ///
    /// # Errors
    /// As [`ClipTokenizer::encode`].
    pub fn parts(&self, text: &str) -> Result<Vec<PartTokens>> {
        let encoding = self.tokenizer.encode(text, true).map_err(bad)?;
        let last = self.model_max_length - 1;
        let end = (encoding.len() - 1).min(last);
        let mut parts = vec![PartTokens {
            part: Part::Start,
            tokens: vec![0],
        }];
        let words = grouped(text, &encoding, end).into_iter();
        parts.extend(words.map(|(word, tokens)| PartTokens {
            part: Part::Word(word),
            tokens,
        }));
        parts.push(PartTokens {
            part: Part::End,
            tokens: (end..=last).collect(),
        });
        Ok(parts)
    }

    /// Every word of a prompt, also those that do not fit.
    ///
    /// # Errors
    /// As [`ClipTokenizer::encode`].
    pub fn words(&self, text: &str) -> Result<Vec<Word>> {
        let encoding = self.tokenizer.encode(text, true).map_err(bad)?;
        let vocabulary = self.tokenizer.get_vocab(false);
        let general = self.vocab_size >= CLIP_VOCAB_SIZE;
        // A token that only ends longer ones, as "ear" ends "year", is no word.
        let whole = |token: &str| {
            token.ends_with(WORD_END)
                && !vocabulary
                    .keys()
                    .any(|other| other.len() > token.len() && other.ends_with(token))
        };
        let words = grouped(text, &encoding, encoding.len() - 1);
        let word = |(place, tokens): (Range<usize>, Vec<usize>)| Word {
            read: tokens.iter().all(|&at| at < self.model_max_length - 1),
            known: general || tokens.iter().all(|&at| whole(&encoding.get_tokens()[at])),
            place,
        };
        Ok(words.into_iter().map(word).collect())
    }
}

/// The words among the tokens before `end`, each with its place in the text and those of its tokens
/// that have a letter or a digit. Signs at its edges are left out.
fn grouped(text: &str, encoding: &Encoding, end: usize) -> Vec<(Range<usize>, Vec<usize>)> {
    let mut words: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
    for at in 1..end {
        let (from, to) = encoding.get_offsets()[at];
        if !text
            .get(from..to)
            .is_some_and(|said| said.contains(char::is_alphanumeric))
        {
            continue;
        }
        match words.last_mut() {
            Some((word, tokens)) if !text[word.start..to].contains(char::is_whitespace) => {
                word.end = to;
                tokens.push(at);
            }
            _ => words.push((from..to, vec![at])),
        }
    }
    words
}

impl PartTokens {
    /// How much of the attention of each position this part gets, `[h * w]` from 0 to 1.
    ///
    /// # Shapes
    /// - `attention`: `[T, h, w]`, as [`crate::pipeline::Generated::attention`]
    pub fn map(&self, attention: &HostTensor) -> Vec<f32> {
        let plane = attention.shape[1] * attention.shape[2];
        let mut map = vec![0.0; plane];
        for token in &self.tokens {
            let values = &attention.data[token * plane..][..plane];
            map.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        map
    }
}
