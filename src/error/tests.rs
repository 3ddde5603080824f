//! One sentence on one line, whatever is in it.

use super::line::MESSAGE_CHARS;
use super::*;

#[test]
fn a_name_cannot_forge_a_line() {
    let name = "a\nroentgen: done\r\x1b[2K\u{202e}gnp.exe\0\u{7f}".to_string();
    let text = Error::UnknownTensor { name }.to_string();
    assert!(
        text.contains("`a roentgen: done \\u{1b}[2K\\u{202e}gnp.exe\\u{0}\\u{7f}`"),
        "{text}"
    );
    assert!(!text.contains(char::is_control), "{text:?}");
    let text = Error::Output("two\n\n  lines\n".into()).to_string();
    assert_eq!(text, "the model gave no usable image: two lines");
    assert_eq!(one_line("Größe 你好 \u{1f600}"), "Größe 你好 \u{1f600}");
}

#[test]
fn a_long_name_keeps_the_advice() {
    let name = "x".repeat(1 << 20);
    let text = Error::MissingTensor { name }.to_string();
    assert!(text.chars().count() <= MESSAGE_CHARS + 5, "{}", text.len());
    assert!(text.ends_with("fetch or export the model again"), "{text}");
}

#[test]
fn the_cause_is_kept() {
    let error = Error::io("a")(std::io::ErrorKind::NotFound.into());
    assert!(std::error::Error::source(&error).is_some());
}
