//! What the programs of Kerberos say: lists of tickets, tokens, and reasons for having none.

use std::process::ExitStatus;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use zeroize::Zeroizing;

use super::der;
use super::kerberos::Made;
use super::windows_sign_in::{service_of, NoToken};
use crate::connection::Principal;
use crate::error::{KerberosProblem, WindowsSignInFailure};
use crate::secret::Secret;
use crate::text::one_line;

/// How `curl` ends where it does not know an option, or was built without what an option needs.
const UNKNOWN_OPTION: [i32; 2] = [2, 4];

/// The most that is shown of a principal that cannot be read, in characters.
const MAX_PRINCIPAL_CHARS: usize = 80;

/// One place with the tickets of one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) name: String,
    /// The text where it is not a principal.
    pub(super) principal: Result<Principal, String>,
}

impl Cache {
    /// The principal. It is an error where it cannot be read: another one must not take its place.
    pub(super) fn principal(&self) -> Made<&Principal> {
        Ok(self.principal.as_ref().map_err(|text| {
            let text = one_line(text, MAX_PRINCIPAL_CHARS);
            WindowsSignInFailure::UnreadablePrincipal(text)
        })?)
    }
}

/// What `klist -A` lists: that of MIT (`Ticket cache`, `Default principal`), and that of Heimdal on
/// macOS (`Credentials cache`, `Principal`).
pub(super) fn caches(text: &str) -> Vec<Cache> {
    let mut found = Vec::new();
    let mut name = None;
    for line in text.lines().map(str::trim) {
        let Some((what, value)) = line.split_once(": ") else {
            continue;
        };
        match what {
            "Ticket cache" | "Credentials cache" => name = Some(value.trim().to_owned()),
            "Default principal" | "Principal" => {
                let principal = without_escaped_spaces(value);
                found.extend(name.take().map(|name| Cache {
                    name,
                    principal: principal.parse().map_err(|_| principal),
                }));
            }
            _ => {}
        }
    }
    found
}

/// Heimdal writes a space in a principal as `\ `, MIT as it is.
fn without_escaped_spaces(principal: &str) -> String {
    let mut plain = String::with_capacity(principal.len());
    let mut all = principal.chars();
    while let Some(c) = all.next() {
        let escaped = if c == '\\' { all.next() } else { None };
        if escaped != Some(' ') {
            plain.push(c);
        }
        plain.extend(escaped);
    }
    plain
}

/// Texts of MIT Kerberos and of Heimdal, and what they mean. The first match counts.
const PROBLEMS: [(&[&str], KerberosProblem); 8] = [
    (
        &[
            "no support for encryption type",
            "encryption type not supported",
            "No supported encryption types",
        ],
        KerberosProblem::Encryption,
    ),
    (&["policy rejects"], KerberosProblem::Policy),
    (
        &["reply did not match expectations", "KDC name mismatch"],
        KerberosProblem::Reply,
    ),
    (&["Clock skew too great"], KerberosProblem::Clock),
    (
        &[
            "Server's entry in database has expired",
            "Credentials for server have been revoked",
        ],
        KerberosProblem::ServiceInvalid,
    ),
    (
        &[
            "Client's entry in database has expired",
            "Password has expired",
        ],
        KerberosProblem::AccountExpired,
    ),
    (
        &["credentials have been revoked"],
        KerberosProblem::AccountDisabled,
    ),
    (
        &["does not specify default realm", "Cannot determine realm"],
        KerberosProblem::Realm,
    ),
];

/// What says that no server of Kerberos answers now.
const NO_KDC: [&str; 4] = [
    "Cannot contact any KDC",
    "Cannot find KDC",
    "Cannot resolve",
    "unable to reach any KDC",
];

/// Why `curl` sent no token, by the words of Kerberos. They are not kept: another program wrote
/// them.
pub(super) fn why(errors: &str, status: ExitStatus, host: &str) -> NoToken {
    if status
        .code()
        .is_some_and(|code| UNKNOWN_OPTION.contains(&code))
    {
        return why_not_started(errors).into();
    }
    let has = |words: &[&str]| {
        let mut lines = errors.lines().filter(|line| line.contains("gss_"));
        lines.any(|line| words.iter().any(|words| line.contains(words)))
    };
    if has(&NO_KDC) {
        return NoToken::NoKdc;
    }
    if has(&["not found in Kerberos database", "unknown while looking up"])
        || has(&["numeric host address"])
    {
        return WindowsSignInFailure::UnknownService(service_of(host)).into();
    }
    if let Some((_, problem)) = PROBLEMS.iter().find(|(words, _)| has(words)) {
        return WindowsSignInFailure::Kerberos(*problem).into();
    }
    if has(&[
        "icket expired",
        "redentials have expired",
        "redential has expired",
    ]) {
        return WindowsSignInFailure::TicketExpired.into();
    }
    if has(&["No Kerberos credentials", "No credential", "no credential"]) {
        return WindowsSignInFailure::NoTicket.into();
    }
    WindowsSignInFailure::NoToken.into()
}

/// What `curl` does not know or does not have.
fn why_not_started(errors: &str) -> WindowsSignInFailure {
    let of = |option: &str| errors.lines().any(|line| line.contains(option));
    if of("--unix-socket") || of("--delegation") || of("--noproxy") {
        return WindowsSignInFailure::CurlTooOld;
    }
    WindowsSignInFailure::CurlWithoutKerberos
}

/// The token in a request's head; `None` where there is none.
pub(super) fn token_in(head: &[u8]) -> Made<Option<Secret>> {
    let Some(token) = negotiate_in(head) else {
        return Ok(None);
    };
    let bytes = Zeroizing::new(STANDARD.decode(token).unwrap_or_default());
    if is_of_kerberos(&bytes).is_none() {
        return Err(WindowsSignInFailure::NotKerberos.into());
    }
    Ok(Some(Secret::new(token.to_owned())))
}

fn negotiate_in(head: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(head).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    let (scheme, token) = value.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("negotiate") && !token.is_empty()).then_some(token)
}

/// The outermost element of a token (RFC 2743, 3.1).
const APPLICATION_0: u8 = 0x60;
/// SPNEGO: 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
/// Kerberos: 1.2.840.113554.1.2.2, and with the number that Windows 2000 wrote.
const KERBEROS: [&[u8]; 2] = [
    b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02",
    b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02",
];

/// `Some` where a token is of Kerberos, by itself or as what SPNEGO offers first: only a token of
/// the first mechanism is in it (RFC 4178, 4.2.1).
fn is_of_kerberos(token: &[u8]) -> Option<()> {
    let (content, _) = der::expect(token, APPLICATION_0)?;
    let (mechanism, rest) = der::expect(content, der::OID)?;
    if mechanism != SPNEGO {
        return KERBEROS.contains(&mechanism).then_some(());
    }
    let (init, _) = der::expect(rest, der::FIELD_0)?;
    let (fields, _) = der::expect(init, der::SEQUENCE)?;
    let (mechanisms, _) = der::expect(fields, der::FIELD_0)?;
    let (mechanisms, _) = der::expect(mechanisms, der::SEQUENCE)?;
    let (first, _) = der::expect(mechanisms, der::OID)?;
    KERBEROS.contains(&first).then_some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn failed(error: WindowsSignInFailure) -> NoToken {
        NoToken::Failed(error)
    }

    #[test]
    fn the_lists_of_both_kinds_of_kerberos_are_read() {
        let mit = "Ticket cache: DIR::/run/tkt1\nDefault principal: ana@EXAMPLE.COM\n\n\
                   Valid starting     Expires            Service principal\n\
                   11/27/26 11:40:00  11/27/26 21:40:00  HTTP/localhost@\n\
                   \tTicket server: HTTP/localhost@EXAMPLE.COM\n\n\
                   Ticket cache: KCM:0:2\nDefault principal: gis admin@EXAMPLE.COM\n";
        let heimdal = "Credentials cache: API:5A1C\n        Principal: gis\\ admin@EXAMPLE.COM\n\n\
                       Issued                Expires               Principal\n\
                       Nov 27 11:40:00 2026  Nov 27 21:40:00 2026  krbtgt/EXAMPLE.COM@EXAMPLE.COM\n";
        let cache = |name: &str, text: &str| Cache {
            name: name.to_owned(),
            principal: Ok(text.parse().unwrap()),
        };
        assert_eq!(
            caches(mit),
            [
                cache("DIR::/run/tkt1", "ana@EXAMPLE.COM"),
                cache("KCM:0:2", "gis admin@EXAMPLE.COM")
            ]
        );
        assert_eq!(
            caches(heimdal),
            [cache("API:5A1C", "gis admin@EXAMPLE.COM")]
        );
        for other in [
            "",
            "Default principal: ana@R",
            "Ticket cache: x\nPrincipal: \n",
        ] {
            assert_eq!(caches(other), [], "{other}");
        }
        assert_eq!(without_escaped_spaces(r"a\\ b\@c\ d"), r"a\\ b\@c d");
    }

    #[test]
    fn a_principal_that_cannot_be_read_is_not_skipped() {
        let long = "x".repeat(300);
        let list = format!(
            "Ticket cache: FILE:/a\nDefault principal: {long}@R\n\n\
             Ticket cache: FILE:/b\nDefault principal: ana@R\n"
        );
        let found = caches(&list);
        assert_eq!(found.len(), 2);
        let shown = format!("{}…", "x".repeat(MAX_PRINCIPAL_CHARS - 1));
        assert_eq!(
            found[0].principal().unwrap_err(),
            failed(WindowsSignInFailure::UnreadablePrincipal(shown))
        );
        assert_eq!(found[1].principal().unwrap().as_str(), "ana@R");
    }

    fn ended(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn of_kerberos(words: &str) -> NoToken {
        let errors = format!(
            "* Connected to gis (/run/s) port 80\n* gss_init_sec_context() failed: {words}. \n"
        );
        why(&errors, ended(0), "gis.example.com")
    }

    #[test]
    fn the_words_of_kerberos_are_recognized() {
        let service = || WindowsSignInFailure::UnknownService("HTTP/gis.example.com".to_owned());
        for (words, expected) in [
            (
                "No credentials were supplied, or the credentials were unavailable or inaccessible. SPNEGO cannot find mechanisms to negotiate",
                WindowsSignInFailure::NoTicket,
            ),
            ("Ticket expired", WindowsSignInFailure::TicketExpired),
            ("The referenced credentials have expired", WindowsSignInFailure::TicketExpired),
            ("Server HTTP/x@EXAMPLE.COM not found in Kerberos database", service()),
            ("Server (HTTP/x@EXAMPLE.COM) unknown while looking up 'x'", service()),
            ("A reason of its own", WindowsSignInFailure::NoToken),
        ] {
            assert_eq!(of_kerberos(words), failed(expected), "{words}");
        }
        for words in [
            "Cannot contact any KDC for realm 'EXAMPLE.COM'",
            "Cannot find KDC for realm \"EXAMPLE.COM\"",
            "Cannot resolve servers for KDC in realm \"EXAMPLE.COM\"",
            "unable to reach any KDC in realm EXAMPLE.COM",
        ] {
            assert_eq!(of_kerberos(words), NoToken::NoKdc, "{words}");
        }
        // Only what Kerberos says counts.
        assert_eq!(
            why("* Connected to expired.example.com\n", ended(0), "x"),
            failed(WindowsSignInFailure::NoToken)
        );
    }

    #[test]
    fn what_a_kerberos_server_refuses_is_not_taken_for_silence_or_for_an_old_ticket() {
        for (words, expected) in [
            (
                "KDC has no support for encryption type",
                KerberosProblem::Encryption,
            ),
            ("KDC policy rejects request", KerberosProblem::Policy),
            (
                "KDC reply did not match expectations",
                KerberosProblem::Reply,
            ),
            ("Clock skew too great in KDC reply", KerberosProblem::Clock),
            (
                "Server's entry in database has expired",
                KerberosProblem::ServiceInvalid,
            ),
            (
                "Credentials for server have been revoked",
                KerberosProblem::ServiceInvalid,
            ),
            (
                "Client's entry in database has expired",
                KerberosProblem::AccountExpired,
            ),
            ("Password has expired", KerberosProblem::AccountExpired),
            (
                "Client's credentials have been revoked",
                KerberosProblem::AccountDisabled,
            ),
            (
                "Configuration file does not specify default realm",
                KerberosProblem::Realm,
            ),
        ] {
            let expected = failed(WindowsSignInFailure::Kerberos(expected));
            assert_eq!(of_kerberos(words), expected, "{words}");
        }
    }

    #[test]
    fn a_curl_that_cannot_do_it_is_named_for_what_it_lacks() {
        for code in UNKNOWN_OPTION {
            let of = |errors: &str| why(errors, ended(code), "x");
            for (errors, expected) in [
                ("", WindowsSignInFailure::CurlWithoutKerberos),
                (
                    "curl: option --negotiate: the installed libcurl version doesn't support this\n",
                    WindowsSignInFailure::CurlWithoutKerberos,
                ),
                (
                    "curl: option --unix-socket: is unknown\n",
                    WindowsSignInFailure::CurlTooOld,
                ),
            ] {
                assert_eq!(of(errors), failed(expected), "{errors}");
            }
        }
    }

    /// One element of DER, with a short length.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    }

    /// SPNEGO that offers these mechanisms.
    fn spnego(mechanisms: &[&[u8]]) -> Vec<u8> {
        let mechanisms: Vec<_> = mechanisms
            .iter()
            .map(|one| element(der::OID, one))
            .collect();
        let list = element(der::SEQUENCE, &mechanisms.concat());
        let fields = element(der::SEQUENCE, &element(der::FIELD_0, &list));
        let init = element(der::FIELD_0, &fields);
        element(APPLICATION_0, &[element(der::OID, SPNEGO), init].concat())
    }

    const NTLM: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

    #[test]
    fn rule_24f_only_a_token_of_kerberos_is_taken() {
        let head = |scheme: &str, token: &[u8]| {
            let token = STANDARD.encode(token);
            format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {scheme} {token}\r\n\r\n")
        };
        let raw = element(APPLICATION_0, &element(der::OID, KERBEROS[0]));
        for good in [&raw, &spnego(&KERBEROS), &spnego(&[KERBEROS[1], NTLM])] {
            let head = head("Negotiate", good);
            let token = token_in(head.as_bytes()).unwrap().unwrap();
            assert_eq!(token.expose(), STANDARD.encode(good));
        }
        for other in [
            &b"NTLMSSP\0\x01\0\0\0"[..],
            &spnego(&[NTLM, KERBEROS[0]]),
            &spnego(&[]),
            b"\x60",
            b"x",
        ] {
            let head = head("Negotiate", other);
            assert_eq!(
                token_in(head.as_bytes()).unwrap_err(),
                failed(WindowsSignInFailure::NotKerberos),
                "{other:?}"
            );
        }
        for none in [
            head("Basic", &raw),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nAuthorization: Negotiate \r\n\r\n".to_owned(),
            "\u{1}".to_owned(),
        ] {
            assert!(token_in(none.as_bytes()).unwrap().is_none(), "{none}");
        }
    }
}
