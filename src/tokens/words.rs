//! Which of a prompt's tokens are which of its words.

use std::ops::Range;

use super::{ClipTokenizer, bad};
use crate::Result;
use crate::weights::Weight;

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

impl ClipTokenizer {
    /// The start, every word that fits, and the end of a prompt, in this order. What stands between two spaces is a word.
    ///
    /// # Errors
    /// As [`ClipTokenizer::encode`].
    pub fn parts(&self, text: &str) -> Result<Vec<PartTokens>> {
        let encoding = self.tokenizer.encode(text, true).map_err(bad)?;
        let last = self.model_max_length - 1;
        let end = (encoding.len() - 1).min(last);
        let said = |at: usize| {
            let (start, end) = encoding.get_offsets()[at];
            let word = text.get(start..end).unwrap_or("");
            word.contains(char::is_alphanumeric).then_some(start..end)
        };
        let mut parts = vec![PartTokens {
            part: Part::Start,
            tokens: vec![0],
        }];
        for (at, range) in (1..end).filter_map(|at| Some((at, said(at)?))) {
            match parts.last_mut() {
                Some(PartTokens {
                    part: Part::Word(word),
                    tokens,
                }) if !text[word.start..range.end].contains(char::is_whitespace) => {
                    word.end = range.end;
                    tokens.push(at);
                }
                _ => parts.push(PartTokens {
                    part: Part::Word(range),
                    tokens: vec![at],
                }),
            }
        }
        parts.push(PartTokens {
            part: Part::End,
            tokens: (end..=last).collect(),
        });
        Ok(parts)
    }
}

impl PartTokens {
    /// How much of the attention of each position this part gets, `[h * w]` from 0 to 1.
    ///
    /// # Shapes
    /// - `attention`: `[T, h, w]`, as [`crate::pipeline::Generated::attention`]
    pub fn map(&self, attention: &Weight) -> Vec<f32> {
        let plane = attention.shape[1] * attention.shape[2];
        let mut map = vec![0.0; plane];
        for token in &self.tokens {
            let values = &attention.data[token * plane..][..plane];
            map.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        map
    }
}
