//! A message fit to be shown, whatever a stranger's file put into it.

/// Characters of an error message, so that a name of a megabyte does not fill a terminal.
pub(super) const MESSAGE_CHARS: usize = 600;

/// Text fit for one line of a terminal: white space becomes single spaces, and characters that
/// would move the cursor, reorder the line or not be seen become escapes. A text of more than
/// `MESSAGE_CHARS` loses its middle.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * MESSAGE_CHARS));
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if c.is_control() || is_invisible(c) {
                line.extend(c.escape_unicode())
            } else {
                line.push(c)
            }
        }
    }
    if line.chars().count() <= MESSAGE_CHARS {
        return line;
    }
    let half = MESSAGE_CHARS / 2;
    let end: Vec<char> = line.chars().rev().take(half).collect();
    let start: String = line.chars().take(half).collect();
    format!("{start} ... {}", end.iter().rev().collect::<String>())
}

/// Unicode's directional and other format characters, with which a name can pretend to be another
/// one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
