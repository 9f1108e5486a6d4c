//! What a person pasted after a sign-in: cleaned of what terminals and programs add, and the
//! addresses in it.

use url::Url;

use crate::connection::{is_control, PortalUrl, RedirectUri};
use crate::text::{inside_bare_marks, without_escaped_marks};

/// Quotes and brackets that programs put around copied text.
const AROUND: &str = "\"'`<>()[]“”„‘’«»";

/// Removes what terminals and programs add when text is copied and pasted: paste marks, blanks,
/// quotes, invisible characters, and `&amp;` for `&`.
pub(super) fn clean(pasted: &str) -> String {
    let visible: String = pasted
        .chars()
        .filter(|c| !matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}'))
        .collect();
    let text = without_escaped_marks(&visible);
    // Marks may be inside quotes, and quotes inside marks. Trimming comes first: more quotes and
    // blanks around a text must change nothing.
    let mut text = trim(&text);
    while let Some(inner) = inside_bare_marks(text) {
        text = trim(inner);
    }
    text.replace("&amp;", "&")
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_control(c) || AROUND.contains(c))
}

/// The lines of a text, without blanks around them and without empty ones.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

/// Where the portal may lead a browser at the end of a sign-in.
#[derive(Debug)]
pub(super) enum Destination {
    /// A page of this portal.
    Portal(PortalUrl),
    /// This address.
    Redirect { text: String, url: Option<Url> },
}

/// An address that was pasted.
pub(super) struct Address {
    /// The host, as it is shown. `None` if the address cannot be read.
    pub(super) host: Option<String>,
    /// Whether it is one to which the portal may lead.
    pub(super) expected: bool,
    /// Its query, or its fragment where it has no query.
    pub(super) query: String,
}

impl Destination {
    pub(super) fn of(portal: &PortalUrl, redirect_uri: &RedirectUri) -> Self {
        match redirect_uri {
            RedirectUri::OutOfBand => Self::Portal(portal.clone()),
            other => Self::Redirect {
                text: other.as_str().to_owned(),
                url: Url::parse(other.as_str()).ok(),
            },
        }
    }

    /// The addresses in a pasted text. Browsers may leave out the scheme of what is copied.
    pub(super) fn addresses(&self, text: &str) -> Vec<Address> {
        text.split_whitespace()
            .filter_map(|word| self.address(trim(word)))
            .collect()
    }

    fn address(&self, word: &str) -> Option<Address> {
        if is_parameter(word) {
            return None;
        }
        let (head, tail) = match word.find(['?', '#']) {
            Some(at) => word.split_at(at),
            None => (word, ""),
        };
        let is_complete = word.contains("://") || self.is_redirect(head);
        // The characters of a code include `/`, `.` and `:`, but not `?` and `#`.
        let is_address = is_complete || (!tail.is_empty() && head.contains(['/', '.', ':']));
        if !is_address {
            return None;
        }
        let url = if is_complete {
            Url::parse(word)
        } else {
            Url::parse(&format!(
                "{}://{}",
                self.scheme(),
                word.trim_start_matches('/')
            ))
        };
        let url = url.ok();
        let query = url.as_ref().and_then(|url| url.query().or(url.fragment()));
        Some(Address {
            host: url.as_ref().and_then(Url::host_str).map(str::to_owned),
            expected: self.is_redirect(head) || url.as_ref().is_some_and(|url| self.is_place(url)),
            query: query.unwrap_or_default().to_owned(),
        })
    }

    fn is_redirect(&self, head: &str) -> bool {
        matches!(self, Self::Redirect { text, .. } if text == head)
    }

    fn scheme(&self) -> &str {
        match self {
            Self::Portal(portal) if portal.as_str().starts_with("http://") => "http",
            Self::Redirect { url: Some(url), .. } => url.scheme(),
            _ => "https",
        }
    }

    fn is_place(&self, address: &Url) -> bool {
        match self {
            Self::Portal(portal) => portal.contains(address),
            Self::Redirect { url: Some(url), .. } => {
                url.scheme() == address.scheme()
                    && url.host_str() == address.host_str()
                    && url.port_or_known_default() == address.port_or_known_default()
                    && url.path() == address.path()
            }
            Self::Redirect { url: None, .. } => false,
        }
    }
}

/// A pasted query without its address: `code=…&state=…`, `error=…`.
pub(super) fn bare_query(text: &str) -> Option<&str> {
    let last = text.rsplit(char::is_whitespace).next()?;
    let query = last.trim_start_matches('?');
    let is_query = is_parameter(query) && (query.contains('&') || query.starts_with("error="));
    is_query.then_some(query)
}

/// Whether a word begins with a parameter of the portal's response.
fn is_parameter(word: &str) -> bool {
    ["error=", "code=", "state=", "iss="]
        .iter()
        .any(|name| word.trim_start_matches('?').starts_with(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn marks_quotes_and_invisible_characters_are_removed_in_any_nesting() {
        for pasted in [
            "abcd",
            "\u{1b}[200~abcd\u{1b}[201~",
            "“\u{1b}[200~abcd\u{1b}[201~”\r\n",
            "\u{1b}[200~\"abcd\"\u{1b}[201~\n",
            "0~abcd1~",
            "[200~abcd[201~",
            "\u{feff} <200~abcd\u{200b}201~> ",
            "“0~\u{c}[200~abcd201~\u{c}1~”\r\n",
            "0~abcd1~\0",
        ] {
            assert_eq!(clean(pasted), "abcd", "{pasted:?}");
            let quoted = format!(" “{pasted}”\r\n");
            assert_eq!(clean(&quoted), "abcd", "{quoted:?}");
        }
        assert_eq!(clean("a=1&amp;b=2"), "a=1&b=2");
        for marks in [
            "\u{1b}[201~",
            "\u{1b}[200~\u{1b}[201~",
            "\u{1b}\u{1b}[200~[201~",
        ] {
            assert_eq!(clean(marks), "", "{marks:?}");
        }
    }

    #[test]
    fn an_address_is_compared_as_an_address() {
        let portal: PortalUrl = "https://h/portal".parse().unwrap();
        let here = Destination::of(&portal, &RedirectUri::OutOfBand);
        let expected = |text: &str| {
            let all = here.addresses(text);
            all.iter().map(|one| one.expected).collect::<Vec<_>>()
        };
        for ours in [
            "https://h/portal/sharing/rest/oauth2/approval?code=x",
            "https://H:443/Portal/sharing/oauth2/approval?code=x",
            "h/portal/sharing/rest/oauth2/approval?code=x",
            "//h/portal/sharing?code=x",
            "(https://h/portal/sharing?code=x)",
        ] {
            assert_eq!(expected(ours), [true], "{ours}");
        }
        for foreign in [
            "https://h.evil.example/portal/sharing?code=x",
            "https://h@evil.example/portal/sharing?code=x",
            "https://evil.example\\@h/portal/sharing?code=x",
            "https://h:7443/portal/sharing?code=x",
            "http://h/portal/sharing?code=x",
            "https://h/portal2/sharing?code=x",
            "https://h/portal/../other?code=x",
            "evil.example/portal/sharing?code=x",
            "evil.example/approval#code=x",
            "https:\\\\evil.example\\portal?code=x",
            "https:evil.example/portal?code=x",
            "view-source:https://h/portal?code=x",
        ] {
            assert_eq!(expected(foreign), [false], "{foreign}");
        }
        for none in [
            "abc/def+ghi==",
            "SUCCESS code=a.b/c",
            "code=a&state=b",
            "?code=a/b&x=y",
        ] {
            assert_eq!(expected(none), [] as [bool; 0], "{none}");
        }
    }

    #[test]
    fn a_redirect_uri_is_expected_as_it_is_registered() {
        let portal: PortalUrl = "https://h/portal".parse().unwrap();
        let expected = |uri: &str, text: &str| {
            let place = Destination::of(&portal, &uri.parse().unwrap());
            place
                .addresses(text)
                .first()
                .is_some_and(|one| one.expected)
        };
        let loopback = "http://127.0.0.1:53682/callback";
        assert!(expected(loopback, "http://127.0.0.1:53682/callback?code=x"));
        assert!(expected(loopback, "127.0.0.1:53682/callback?code=x"));
        assert!(!expected(
            loopback,
            "http://127.0.0.1:53683/callback?code=x"
        ));
        assert!(!expected(loopback, "https://h/portal/approval?code=x"));
        assert!(expected("myapp:/cb", "myapp:/cb?code=x"));
        assert!(expected(
            "https://example.org/cb?a=b",
            "https://example.org/cb?a=b&code=x"
        ));
    }
}
