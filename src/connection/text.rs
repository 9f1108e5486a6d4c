//! What all names and addresses that a person types have in common.

use crate::error::{Error, Input, Result};

/// Control characters, and those that change the direction of text or separate lines. A name or
/// address with them could show something else on a terminal than it is, so it is refused.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Characters that show nothing: zero-width ones, soft hyphens, marks of direction, variation
/// selectors, tags. Programs insert them into copied text, so that two names look the same and
/// differ.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Marks that change the direction of the text after them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text of a field as a person pasted it, without invisible characters, and without blanks at
/// its ends. What cannot be removed safely is refused, with its name and its position (counted from
/// one, in the text as it was given).
pub fn clean(what: impl Into<Input>, text: &str) -> Result<String> {
    let at_end = |c: char| c.is_whitespace() || is_invisible(c) || is_direction(c);
    let start = text.len() - text.trim_start_matches(at_end).len();
    let mut position = text[..start].chars().count();
    let mut clean = String::with_capacity(text.len());
    for c in text.trim_matches(at_end).chars() {
        position += 1;
        if is_invisible(c) {
            continue;
        }
        if is_control(c) {
            let name = match c {
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "a mark of text direction",
                '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => "a line break",
                '\t' => "a tab",
                _ => "a control character",
            };
            let code = u32::from(c);
            let why = format!("it contains {name} (U+{code:04X}) at position {position}");
            return Err(Error::invalid(what, why));
        }
        clean.push(c);
    }
    Ok(clean)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed_and_others_refused_with_their_position() {
        for pasted in [
            "prod",
            " prod\u{a0}",
            "prod\u{200b}",
            "\u{feff}prod\r\n",
            "\u{202a}prod\u{202c}",
            "pr\u{ad}o\u{2060}d",
            "p\u{200d}r\u{200e}od\u{fe0f}",
            "prod\u{e0041}\u{e007f}",
        ] {
            assert_eq!(clean("label", pasted).unwrap(), "prod", "{pasted:?}");
        }
        for (pasted, why) in [
            (
                "pr\u{202e}od",
                "a mark of text direction (U+202E) at position 3",
            ),
            (" pr\u{1b}od", "a control character (U+001B) at position 4"),
            ("p\nd", "a line break (U+000A) at position 2"),
            ("\u{7}prod", "a control character (U+0007) at position 1"),
        ] {
            let error = clean("label", pasted).unwrap_err().to_string();
            assert!(
                error.starts_with("label: ") && error.ends_with(why),
                "{error}"
            );
        }
    }
}
