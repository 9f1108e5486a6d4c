//! Text from portals, made fit to be shown.

use crate::connection::is_control;

/// `text` in one line of at most `max_chars` characters, without control characters; `…` marks
/// where it was cut. Blanks and control characters between words become one space.
pub(crate) fn one_line(text: &str, max_chars: usize) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || is_control(c))
        .filter(|word| !word.is_empty());
    let mut line = String::new();
    for c in words
        .flat_map(|word| [" ", word])
        .flat_map(str::chars)
        .skip(1)
    {
        if line.chars().count() + 1 >= max_chars {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

/// Removes the marks that a terminal puts around what is pasted (bracketed paste), wherever they
/// are. They arrive as text where an earlier program left that mode switched on.
pub(crate) fn without_escaped_marks(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let length = text.len();
        for mark in ["\u{1b}[200~", "\u{1b}[201~", "\u{9b}200~", "\u{9b}201~"] {
            text = text.replace(mark, "");
        }
        // What is left on both sides of a mark may be one, too.
        if text.len() == length {
            return text;
        }
    }
}

/// The text between paste marks that lost their escape character, or `None` if it does not begin
/// with one. Some readers of keys take away the escape character and what follows it, so that `0~`
/// and `1~` remain.
pub(crate) fn inside_bare_marks(text: &str) -> Option<&str> {
    let (begin, end) = [("[200~", "[201~"), ("200~", "201~"), ("0~", "1~")]
        .into_iter()
        .find(|(begin, _)| text.starts_with(begin))?;
    // A pasted line end comes before the end mark, which then belongs to the next line.
    let inner = text[begin.len()..].trim_end();
    Some(inner.strip_suffix(end).unwrap_or(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_28_text_is_cut_to_one_line_without_control_characters() {
        let long = "x".repeat(1000);
        assert_eq!(one_line(&long, 80).chars().count(), 80);
        assert_eq!(one_line(" a\r\n\u{1b}[31mb\u{202e} ", 80), "a [31mb");
    }
}
