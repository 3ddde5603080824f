//! The words themselves: those of the page, and the articles before them.

use super::*;
use crate::data::prompts::composer::with_article;

/// `words.js` of the page offers findings by the words that prompts have for them, sides where
/// boxes are, and sizes.
#[test]
fn the_page_s_words_are_the_training_s() {
    let page = include_str!("../../../../../web/page/words.js");
    let line = |noun: &str| {
        page.lines()
            .find(|l| l.contains(&format!("one: \"{noun}\"")))
    };
    for finding in Finding::ALL {
        let noun = finding.nouns()[0];
        let line = line(noun.one).unwrap_or_else(|| panic!("the page does not offer {noun:?}"));
        let many = format!("many: \"{}\"", noun.many);
        assert!(
            noun.many.is_empty() || !line.contains("many") || line.contains(&many),
            "{line}"
        );
        if line.contains("sided: true") {
            assert!(facts::SIDED.contains(&finding), "{line}");
        }
    }
    assert!(page.contains("one: \"normal chest\"") && NORMAL.contains(&"Normal chest"));
}

#[test]
fn articles_follow_the_sound() {
    for (phrase, article) in [
        ("8-year-old boy", "an"),
        ("11-year-old boy", "an"),
        ("81-year-old man", "an"),
        ("60-year-old man", "a"),
        ("1-year-old girl", "a"),
        ("adult", "an"),
        ("18-year-old man", "an"),
    ] {
        assert_eq!(with_article(phrase), format!("{article} {phrase}"));
    }
}
