//! What all names and addresses that a person types have in common.

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
