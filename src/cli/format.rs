//! Formats for people: times, durations, names, and text from portals and files.

use std::fmt::Write as _;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::shared::current_shell::shell_among;
use super::shell::Shell;
use super::system::ancestors;
use crate::connection::{is_control, Connection, Tls};
use crate::context::Environment;
use crate::store::Plaintext;

/// Text from a portal or a file, with control characters made visible, so that it cannot control
/// the terminal.
pub(super) fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            c if is_control(c) => clean.extend(c.escape_unicode()),
            c => clean.push(c),
        }
    }
    clean
}

/// What tables show in place of the sign-in of a connection that is not imported yet.
pub(super) fn not_imported() -> String {
    format!("plaintext: run {}", Plaintext::IMPORT)
}

/// JSON as it is printed, with control characters escaped, as JSON allows. On Windows it is pure
/// ASCII, because programs that read a pipe there decode it with the console's code page.
pub(super) fn json_text(json: &str) -> String {
    let json = json_for_terminal(json);
    if cfg!(windows) {
        ascii_json(&json)
    } else {
        json
    }
}

/// Escapes all letters outside ASCII. They only occur inside strings, where JSON allows escapes.
fn ascii_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// JSON for a terminal: control characters inside strings are escaped, as JSON allows.
pub(super) fn json_for_terminal(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_control(c) {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// The argument that names a connection in a command line: `prod`, `"My Portal"`, `-c=-dash`.
pub(super) fn shell_quoted(label: &str) -> String {
    if label.starts_with('-') {
        return connection_option(label);
    }
    word(label, hint_shell)
}

/// The option that names a connection: `-c prod`. A label that begins with a dash would be taken
/// for another option.
pub(super) fn connection_option(label: &str) -> String {
    let separator = if label.starts_with('-') { '=' } else { ' ' };
    format!("-c{separator}{}", word(label, hint_shell))
}

/// The option that gives a label: `--label prod`.
pub(super) fn label_option(label: &str) -> String {
    let separator = if label.starts_with('-') { '=' } else { ' ' };
    format!("--label{separator}{}", word(label, hint_shell))
}

/// `-c prod`, as typed in a hint.
pub(super) fn connection_flag(connection: &Connection) -> String {
    connection_option(connection.label.as_str())
}

/// Any other argument of a command line: `ana@EXAMPLE.COM`, `'HOST$@EXAMPLE.COM'`.
pub(super) fn argument(text: &str) -> String {
    argument_for(text, hint_shell)
}

fn argument_for(text: &str, shell: impl FnOnce() -> Shell) -> String {
    // Every shell reads `@` as itself inside of a word, and PowerShell at its beginning does not.
    let is_plain = |c| is_plain(c) || c == '@';
    if !text.is_empty() && !text.starts_with('@') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    word(text, shell)
}

/// What every shell reads as itself.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_./:+".contains(c)
}

/// Text as one word of a command line. Most text has a spelling that every shell reads alike; the
/// rest is quoted for one shell.
fn word(text: &str, shell: impl FnOnce() -> Shell) -> String {
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if !text.contains(|c| is_control(c) || is_special_in_quotes(c)) {
        return format!("\"{text}\"");
    }
    let quoted = shell().word(text);
    quoted.unwrap_or_else(|| "NAME".into())
}

/// What some shell does not read as itself between double quotes. PowerShell takes typographic
/// quotes for quotes.
fn is_special_in_quotes(c: char) -> bool {
    matches!(
        c,
        '"' | '$' | '`' | '\\' | '!' | '%' | '^' | '\u{201c}' | '\u{201d}' | '\u{201e}'
    )
}

/// The shell that runs this program. Looked up only for the rare name that needs it.
fn hint_shell() -> Shell {
    static SHELL: OnceLock<Shell> = OnceLock::new();
    *SHELL.get_or_init(|| shell_among(&ancestors(), &Environment::process()))
}

/// `2026-12-07 16:20 CET`
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%d %H:%M %Z")
        .to_string()
}

/// `2026-12-07 16:20 CET (in 14d)`
pub(super) fn local_and_left(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    format!("{} ({})", local(at, zone), from_now(at, now))
}

/// `in 14d`, `in 42m`, `3h ago`
pub(super) fn from_now(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.duration_since(now).as_secs();
    if seconds >= 0 {
        format!("in {}", humanize(seconds))
    } else {
        format!("{} ago", humanize(-seconds))
    }
}

/// `3h ago`; `just now` for the last two seconds, and for the future after a clock was set back
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    if seconds < 2 {
        "just now".into()
    } else {
        format!("{} ago", humanize(seconds))
    }
}

/// The largest unit of which there are at least two, rounded.
pub(super) fn humanize(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
    for (unit, name) in UNITS {
        if seconds + unit / 2 >= 2 * unit {
            return format!("{}{name}", (seconds + unit / 2) / unit);
        }
    }
    format!("{seconds}s")
}

/// `1:00:00`
pub(super) fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// By how much this machine's clock is ahead of the portal's, or behind it.
pub(super) fn clock_difference(ahead: SignedDuration) -> String {
    let direction = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let difference = humanize(ahead.as_secs().abs());
    format!("this machine's clock is {difference} {direction} the portal's")
}

/// `1 connection`, `2 connections`
pub(super) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// Splits the last failure, as `meta.json` has it, into its time and its text. The time is absent
/// if it cannot be read.
pub(super) fn split_failure(line: &str) -> (Option<Timestamp>, &str) {
    line.split_once(' ')
        .and_then(|(at, what)| Some((Some(at.parse().ok()?), what)))
        .unwrap_or((None, line))
}

/// `true`, `false` or a path: always text, in JSON too.
pub(super) fn verify_ssl(tls: &Tls) -> String {
    match tls {
        Tls::System => "true".into(),
        Tls::Unverified => "false".into(),
        Tls::Ca(path) | Tls::Pinned { path, .. } => path.display().to_string(),
    }
}

/// Rows in columns as wide as their widest cell. The last column is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| console::measure_text_width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&console::pad_str(
                cell,
                *width,
                console::Alignment::Left,
                None,
            ));
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_in_ascii_means_the_same() {
        let value = serde_json::json!({ "ü": "Zürich \u{1f5fa} \" \\ \n" });
        let text = ascii_json(&value.to_string());
        assert!(text.is_ascii());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).ok(),
            Some(value)
        );
    }

    #[test]
    fn json_plays_with_no_terminal() {
        let value = serde_json::json!({ "a\u{9b}31m": "\u{202e}\u{7f}\u{1b}ü" });
        let text = json_text(&value.to_string());
        assert!(!text.chars().any(is_control), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).ok(),
            Some(value)
        );
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (seconds, text) in [
            (0, "0s"),
            (89, "89s"),
            (90, "2m"),
            (42 * 60, "42m"),
            (3 * 3600, "3h"),
            (14 * 86_400 - 1, "14d"),
            (86_400, "24h"),
        ] {
            assert_eq!(humanize(seconds), text);
        }
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, text) in [
            (1, "just now"),
            (0, "just now"),
            (-30, "30s ago"),
            (-7200, "2h ago"),
        ] {
            let at = Timestamp::from_second(seconds).unwrap();
            assert_eq!(ago(at, now), text);
        }
        assert_eq!(clock(3600), "1:00:00");
        assert_eq!(clock(-4), "0:00:00");
    }

    #[test]
    fn times_carry_their_zone() {
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let at: Timestamp = "2026-12-07T15:20:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-23T15:20:04Z".parse().unwrap();
        assert_eq!(
            local_and_left(at, now, &zone),
            "2026-12-07 16:20 CET (in 14d)"
        );
        assert_eq!(local(at, &TimeZone::UTC), "2026-12-07 15:20 UTC");
    }

    #[test]
    fn rule_28_control_characters_become_visible() {
        assert_eq!(
            escape("a\u{1b}]8;;x\u{7}b\r\n\u{202e}"),
            "a\\u{1b}]8;;x\\u{7}b\\r\\n\\u{202e}"
        );
        assert_eq!(escape("Zürich 🗺"), "Zürich 🗺");
    }

    #[test]
    fn names_in_hints_can_be_pasted() {
        assert_eq!(shell_quoted("prod"), "prod");
        assert_eq!(shell_quoted("My Portal"), "\"My Portal\"");
        assert_eq!(shell_quoted("it's (2)"), "\"it's (2)\"");
        assert_eq!(shell_quoted("-x"), "-c=-x");
        assert_eq!(connection_option("-x y"), "-c=\"-x y\"");
        assert_eq!(connection_option("prod"), "-c prod");
    }

    #[test]
    fn principals_in_hints_can_be_pasted() {
        let sh = |text: &str| argument_for(text, || Shell::Bash);
        assert_eq!(sh("ana@EXAMPLE.COM"), "ana@EXAMPLE.COM");
        assert_eq!(sh("gis admin@EXAMPLE.COM"), "\"gis admin@EXAMPLE.COM\"");
        assert_eq!(sh("@EXAMPLE.COM"), "\"@EXAMPLE.COM\"");
        let machine = "windows:BUILD01$@EXAMPLE.COM";
        for shell in [Shell::Bash, Shell::Fish, Shell::Powershell] {
            assert_eq!(argument_for(machine, || shell), format!("'{machine}'"));
        }
        assert_eq!(sh(r"EXAMPLE\ana@EXAMPLE.COM"), r"'EXAMPLE\ana@EXAMPLE.COM'");
    }

    #[test]
    fn a_name_that_shells_read_differently_is_quoted_for_one_shell() {
        let name = "\\'; touch x; #$(y)\u{201d}";
        for (shell, quoted) in [
            (Shell::Bash, "'\\'\\''; touch x; #$(y)\u{201d}'"),
            (Shell::Fish, "'\\\\\\'; touch x; #$(y)\u{201d}'"),
            (Shell::Powershell, "'\\''; touch x; #$(y)\u{201d}'"),
            (Shell::Nu, "r#'\\'; touch x; #$(y)\u{201d}'#"),
            (Shell::Cmd, "NAME"),
        ] {
            assert_eq!(word(name, || shell), quoted, "{shell:?}");
        }
        assert_eq!(
            word("a\u{2019}$", || Shell::Powershell),
            "'a\u{2019}\u{2019}$'"
        );
        assert_eq!(word("$a'#", || Shell::Nu), "r##'$a'#'##");
    }
}
