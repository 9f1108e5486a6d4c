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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_one_line_without_control_characters() {
        let long = "x".repeat(1000);
        assert_eq!(one_line(&long, 80).chars().count(), 80);
        assert_eq!(one_line(" a\r\n\u{1b}[31mb\u{202e} ", 80), "a [31mb");
    }
}
