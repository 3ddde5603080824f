//! What composes a prompt: a statement, the random numbers that choose its words, and how a phrase
//! begins.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::statement::Statement;

/// A prompt in the making.
pub(super) struct Composer<'a> {
    pub said: &'a Statement,
    pub rng: StdRng,
}

impl Composer<'_> {
    pub fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    /// One of a list that is never empty.
    pub fn pick<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words.choose(&mut self.rng).copied().unwrap_or_default()
    }
}

pub(super) fn with_article(phrase: &str) -> String {
    // 8, 11, 18 and 80 to 89 begin with a vowel sound; no other number does.
    let digits: String = phrase.chars().take_while(char::is_ascii_digit).collect();
    let vowel = match digits.as_str() {
        "" => phrase.starts_with(['a', 'e', 'i', 'o', 'u']),
        "11" | "18" => true,
        other => other.starts_with('8'),
    };
    format!("{} {phrase}", if vowel { "an" } else { "a" })
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
