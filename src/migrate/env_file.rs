//! Reads the `.env` files of the Python package, as its versions 0.1.x and 0.2.x, python-dotenv and
//! people write them.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// The `KEY=VALUE` lines of an `.env`. Comments, empty lines and lines without `=` say nothing; of
/// two lines with one key the last counts.
#[must_use]
pub(crate) fn parse_env(text: &str) -> BTreeMap<String, Secret> {
    let mut values = BTreeMap::new();
    for line in text.split(['\n', '\r']) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim();
        if !key.is_empty() {
            values.insert(key.to_owned(), Secret::new(unquote(value.trim())));
        }
    }
    values
}

/// A value without its quotes, and without a comment behind it.
fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        let Some(rest) = value.strip_prefix(quote) else {
            continue;
        };
        let Some(inner) = rest.strip_suffix(quote).or_else(|| {
            // Something stands behind the value: that can only be a comment.
            rest.match_indices(quote)
                .map(|(at, _)| rest.split_at(at))
                .find(|(inner, behind)| !inner.ends_with('\\') && is_comment(&behind[1..]))
                .map(|(inner, _)| inner)
        }) else {
            continue;
        };
        return unescape(inner, quote);
    }
    // The package quotes every value with a blank in it.
    let comment = value
        .find('#')
        .filter(|at| value[..*at].ends_with([' ', '\t']));
    comment
        .map_or(value, |at| value[..at].trim_end())
        .to_owned()
}

fn is_comment(behind: &str) -> bool {
    let trimmed = behind.trim_start();
    trimmed.starts_with('#') && trimmed.len() < behind.len()
}

/// 0.2.x escapes quotes and backslashes, 0.1.x quotes alone; newer and older versions of
/// python-dotenv, which 0.1.x uses where it is installed, differ in the same way. A writer that
/// escapes backslashes escapes every one, so that a single one, as in a Windows path, shows that
/// backslashes are not escaped.
fn unescape(inner: &str, quote: char) -> String {
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some(escaped) if escaped == quote || escaped == '\\' => plain.push(escaped),
            _ => return inner.replace(&format!("\\{quote}"), &quote.to_string()),
        }
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(line: &str) -> String {
        let values = parse_env(line);
        values.get("K").unwrap().expose().to_owned()
    }

    #[test]
    fn values_are_read_as_both_versions_and_people_write_them() {
        for (line, expected) in [
            ("K=plain", "plain"),
            ("  K = plain  ", "plain"),
            ("K=", ""),
            ("K=''", ""),
            ("K=\"\"", ""),
            ("K='single quoted'", "single quoted"),
            ("K=\"with # sign\"", "with # sign"),
            ("K=\"say \\\"hi\\\"\"", "say \"hi\""),
            ("K=\"C:\\\\my certs\\\\ca.pem\"", "C:\\my certs\\ca.pem"),
            // 0.1.x does not escape backslashes.
            ("K=\"C:\\my certs\\ca.pem\"", "C:\\my certs\\ca.pem"),
            (
                "K=\"\\\\server\\my certs\\ca.pem\"",
                "\\\\server\\my certs\\ca.pem",
            ),
            ("K=C:\\certs\\ca.pem", "C:\\certs\\ca.pem"),
            // python-dotenv, which 0.1.x uses where it is installed, writes single quotes always.
            ("K='it\\'s'", "it's"),
            ("K='C:\\certs\\ca.pem'", "C:\\certs\\ca.pem"),
            // Since 1.2 it escapes backslashes, too.
            ("K='C:\\\\my certs\\\\it\\'s.pem'", "C:\\my certs\\it's.pem"),
            ("K=a=b==", "a=b=="),
            ("K=abc # the application", "abc"),
            ("K=\"a b\" # the application", "a b"),
            ("K='a # b' # the \"application\"", "a # b"),
            ("K=a#b", "a#b"),
            ("K=\"", "\""),
            ("K=\"open", "\"open"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_end_as_they_like_and_comments_say_nothing() {
        let text = "# K=old\r\nK=one\r\n\r\nnonsense\r\n=x\r\nL=two\rM=three\nK=last";
        let values = parse_env(text);
        let read: Vec<_> = values
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose()))
            .collect();
        assert_eq!(read, [("K", "last"), ("L", "two"), ("M", "three")]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*", lines in "([A-Z_]{1,9}|\\[x\\])?[=:]?[\"'\\\\# a\\r\\n]{0,12}") {
            for text in [&text, &lines] {
                let _ = parse_env(text);
                let _ = unquote(text);
            }
        }

        /// What 0.2.x quotes is read again.
        #[test]
        fn every_quoted_value_comes_back(value in "[ -~é]{0,40}") {
            let quoted = format!("K=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parse_env(&quoted).remove("K").unwrap().expose().to_owned(), value);
        }
    }
}
