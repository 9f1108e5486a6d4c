//! Durations as people type them: `90s`, `45m`, `12h`, `14d`.

use std::time::Duration;

const EXAMPLES: &str = "examples: 90s, 45m, 12h, 14d";

/// Reads a duration. The reason where it is none is a sentence for the person who typed it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Esri's own tools count minutes.
        return Err(format!(
            "it has no unit; write {} for minutes, or {text}s for seconds",
            in_minutes(text)
        ));
    }
    humantime::parse_duration(text).map_err(|_| format!("it is not a duration; {EXAMPLES}"))
}

/// `20160m or 14d`
fn in_minutes(digits: &str) -> String {
    let minutes = digits.parse::<u64>().ok();
    let whole = |unit: u64| minutes.filter(|count| *count > 0 && count.is_multiple_of(unit));
    match (whole(24 * 60), whole(60)) {
        (Some(minutes), _) => format!("{digits}m or {}d", minutes / (24 * 60)),
        (None, Some(minutes)) => format!("{digits}m or {}h", minutes / 60),
        (None, None) => format!("{digits}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit_and_the_error_shows_how_to_write_it() {
        for (text, seconds) in [
            ("90s", 90),
            (" 5m ", 300),
            ("1h 30m", 5400),
            ("14d", 1_209_600),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for (text, advice) in [
            ("20160", "20160m or 14d"),
            ("120", "120m or 2h"),
            ("90", "write 90m for minutes, or 90s for seconds"),
            ("99999999999999999999", "99999999999999999999m"),
            ("", EXAMPLES),
            ("soon", EXAMPLES),
            ("-5m", EXAMPLES),
            ("5 lightyears", EXAMPLES),
        ] {
            let why = parse_duration(text).err().unwrap_or_default();
            assert!(why.contains(advice), "{text}: {why}");
        }
    }
}
