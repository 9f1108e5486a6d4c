//! Kerberos tokens by Windows itself (SSPI) for the account that this process runs as; `klist` says
//! whose they are.
//!
//! The package is Kerberos, not Negotiate, so that a token is never one of NTLM.

use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use cross_krb5::{ClientCtx, InitiateFlags};
use windows_result::HRESULT;

use super::windows_sign_in::{service_of, NoToken, TokenMaker, WebServer};
use crate::connection::Principal;
use crate::error::WindowsSignInFailure;
use crate::files::access_list::{run, system_program};
use crate::policy::KERBEROS_TIMEOUT;
use crate::secret::Secret;

type Made<T> = Result<T, NoToken>;

/// What Windows reports (`SEC_E_…`), and what it means.
const NO_CREDENTIALS: u32 = 0x8009_030E;
const NOT_LOGGED_ON: u32 = 0x8009_030C;
const UNKNOWN_CREDENTIALS: u32 = 0x8009_030D;
const TICKET_EXPIRED: u32 = 0x8009_0328;
const TARGET_UNKNOWN: u32 = 0x8009_0303;
const WRONG_PRINCIPAL: u32 = 0x8009_0322;
const NO_AUTHORITY: u32 = 0x8009_0311;
const KDC_UNREACHABLE: u32 = 0x8009_0342;

/// Makes tokens by SSPI.
#[derive(Debug)]
pub(super) struct SspiTokens;

impl TokenMaker for SspiTokens {
    fn token(&self, server: &WebServer<'_>, principal: &Principal) -> Made<Secret> {
        let (token, found) = token_and_client(server)?;
        if !is_same(principal, &found) {
            return Err(NoToken::other_principal(principal, &found));
        }
        Ok(token)
    }

    fn principal(&self, server: &WebServer<'_>) -> Made<Principal> {
        let (_, found) = token_and_client(server)?;
        Ok(found)
    }
}

/// A token, and whose it is. Windows lists the ticket that the token was made with only after the
/// token was made.
fn token_and_client(server: &WebServer<'_>) -> Made<(Secret, Principal)> {
    let service = service_of(server.host);
    let channel_binding = server.channel_binding.map(<[u8]>::to_vec);
    let (sender, receiver) = mpsc::sync_channel(1);
    // Windows waits long for Kerberos servers that do not answer, and cannot be given a limit.
    thread::spawn(move || {
        let made = token(&service, channel_binding.as_deref())
            .and_then(|token| Ok((token, client(&service)?)));
        // The receiver may have given up.
        let _ = sender.send(made);
    });
    let made = receiver.recv_timeout(server.limit);
    made.map_err(|_| over(server.limit))?
}

/// What the end of the time means: Kerberos servers that do not answer, unless the caller had less
/// time than they may need.
fn over(limit: Duration) -> NoToken {
    if limit < KERBEROS_TIMEOUT {
        NoToken::Timeout
    } else {
        NoToken::NoKdc
    }
}

/// A token for one request. Neither delegation nor an answer of the web server is asked for: TLS
/// has verified the server.
fn token(service: &str, channel_binding: Option<&[u8]>) -> Made<Secret> {
    let flags = InitiateFlags::DISABLE_MUTUAL_AUTH | InitiateFlags::DISABLE_CONFIDENTIALITY;
    let (_context, token) = ClientCtx::new(flags, None, service, channel_binding)
        .map_err(|error| why(&format!("{error:#}"), service, system_text))?;
    if !is_of_kerberos(&token) {
        return Err(WindowsSignInFailure::NoToken.into());
    }
    Ok(Secret::new(STANDARD.encode(&*token)))
}

/// Whether a token begins as those of Kerberos do (RFC 4121): with the tag of a first token, its
/// length, and the object identifier of Kerberos.
fn is_of_kerberos(token: &[u8]) -> bool {
    const FIRST_TOKEN: u8 = 0x60;
    const KERBEROS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
    // One byte of a length below 128; above, one that counts the others.
    let length = match token.get(1) {
        Some(count) if *count >= 0x80 => 1 + usize::from(count & 0x7f),
        _ => 1,
    };
    let rest = token.get(1 + length..).unwrap_or_default();
    token.first() == Some(&FIRST_TOKEN) && rest.starts_with(KERBEROS)
}

/// Why Windows made no token. The crate passes on some of the numbers as text, and of the others
/// Windows' own words for them, which are in the user's language and compared with the same words.
fn why(error: &str, service: &str, words_for: impl Fn(u32) -> Option<String>) -> NoToken {
    let is = |codes: &[u32]| {
        codes.iter().any(|code| {
            let words = words_for(*code);
            error.contains(&format!("{code:#010X}"))
                || words.is_some_and(|words| error.contains(&words))
        })
    };
    if is(&[NO_CREDENTIALS, NOT_LOGGED_ON, UNKNOWN_CREDENTIALS]) {
        return WindowsSignInFailure::NoTicket.into();
    }
    if is(&[TICKET_EXPIRED]) {
        return WindowsSignInFailure::TicketExpired.into();
    }
    if is(&[TARGET_UNKNOWN, WRONG_PRINCIPAL]) {
        return WindowsSignInFailure::UnknownService(service.to_owned()).into();
    }
    if is(&[NO_AUTHORITY, KDC_UNREACHABLE]) {
        return NoToken::NoKdc;
    }
    WindowsSignInFailure::NoToken.into()
}

/// Windows' words for one of its numbers; `None` where it has none.
fn system_text(code: u32) -> Option<String> {
    // Not by the standard library, which asks for the words in the language of the system, and not
    // in that of the user.
    let text = HRESULT(code.cast_signed()).message();
    let words = text.trim().trim_end_matches('.');
    (!words.is_empty()).then(|| words.to_owned())
}

/// Whose ticket for this service Windows has.
fn client(service: &str) -> Made<Principal> {
    let list = run(&mut Command::new(system_program("klist.exe")))
        .map_err(|_| WindowsSignInFailure::NoProgram("klist"))?;
    let text = String::from_utf8_lossy(&list.stdout);
    Ok(client_in(&text, service).ok_or(WindowsSignInFailure::UnknownPrincipal)?)
}

/// The client of the ticket for this service in what `klist` lists. Each ticket begins with `#N>`
/// and its client; the line after that has the service. The words before the names depend on the
/// language of Windows. `None` where there is not one such client.
fn client_in(list: &str, service: &str) -> Option<Principal> {
    let mut lines = list.lines().map(str::trim);
    let mut clients = Vec::new();
    while let Some(line) = lines.next() {
        let Some((_, client)) = line.strip_prefix('#').and_then(|rest| rest.split_once('>')) else {
            continue;
        };
        let (client, server) = (name_in(client), lines.next().and_then(name_in));
        let is_asked = |(name, _): (&str, &str)| name.eq_ignore_ascii_case(service);
        if server.is_some_and(is_asked) {
            clients.push(client.and_then(principal)?);
        }
    }
    let first = clients.pop()?;
    clients
        .iter()
        .all(|other| is_same(other, &first))
        .then_some(first)
}

/// Name and realm in `Client: ana @ EXAMPLE.COM`. Names may have spaces (`gis admin`): a part of
/// one could be another account.
fn name_in(line: &str) -> Option<(&str, &str)> {
    let (before, realm) = line.rsplit_once(" @ ")?;
    let (_, name) = before.split_once([':', '\u{ff1a}'])?;
    Some((name.trim(), realm.trim()))
}

/// A principal that can be compared: Windows puts a question mark for each letter that `klist`
/// cannot print.
fn principal((name, realm): (&str, &str)) -> Option<Principal> {
    let text = format!("{name}@{realm}");
    let is_whole = !text.contains(['?', char::REPLACEMENT_CHARACTER]);
    is_whole.then(|| text.parse().ok()).flatten()
}

/// Windows does not distinguish upper and lower case in names.
fn is_same(one: &Principal, other: &Principal) -> bool {
    one.as_str().to_lowercase() == other.as_str().to_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIST: &str = "\r\nCurrent LogonId is 0:0x5c1b4\r\n\r\nCached Tickets: (3)\r\n\r\n\
        #0>\tClient: Ana @ EXAMPLE.COM\r\n\tServer: krbtgt/EXAMPLE.COM @ EXAMPLE.COM\r\n\
        \tKerbTicket Encryption Type: AES-256-CTS-HMAC-SHA1-96\r\n\
        \tStart Time: 11/27/2026 9:00:00 (local)\r\n\tKdc Called: DC1\r\n\r\n\
        #1>\tClient: Ana @ EXAMPLE.COM\r\n\tServer: HTTP/gis.example.com @ EXAMPLE.COM\r\n\r\n\
        #2>\tClient: otto @ EXAMPLE.COM\r\n\tServer: HTTP/other.example.com @ EXAMPLE.COM\r\n";

    fn client(list: &str, service: &str) -> Option<String> {
        client_in(list, service).map(|one| one.to_string())
    }

    #[test]
    fn the_client_is_that_of_the_ticket_for_the_web_server() {
        let own = client(LIST, "HTTP/GIS.example.com");
        assert_eq!(own.as_deref(), Some("Ana@EXAMPLE.COM"));
        let other = client(LIST, "HTTP/other.example.com");
        assert_eq!(other.as_deref(), Some("otto@EXAMPLE.COM"));
        assert_eq!(client(LIST, "HTTP/example.com"), None);
        assert_eq!(client("", "HTTP/gis.example.com"), None);
        // Two tickets of different clients, of which one was used.
        let both = LIST.replace("other.", "gis.");
        assert_eq!(client(&both, "HTTP/gis.example.com"), None);
        let twice = both.replace("otto", "ANA");
        assert!(client(&twice, "HTTP/gis.example.com").is_some());
        // A name with a space is not taken for a part of it.
        let spaced = LIST.replace("Ana", "gis admin");
        let whole = client(&spaced, "HTTP/gis.example.com");
        assert_eq!(whole.as_deref(), Some("gis admin@EXAMPLE.COM"));
        // A letter that cannot be printed could be any.
        let unclear = LIST.replace("Ana", "An?");
        assert_eq!(client(&unclear, "HTTP/gis.example.com"), None);
    }

    #[test]
    fn the_words_before_the_names_may_be_of_any_language() {
        for (client_word, server_word) in [
            ("Client :", "Serveur :"),
            ("Client\u{a0}:", "Serveur\u{a0}:"),
            ("クライアント:", "サーバー:"),
            ("客户端：", "服务器："),
        ] {
            let list = LIST
                .replace("Client:", client_word)
                .replace("Server:", server_word);
            let found = client(&list, "HTTP/gis.example.com");
            assert_eq!(found.as_deref(), Some("Ana@EXAMPLE.COM"), "{client_word}");
        }
    }

    #[test]
    fn the_time_of_the_caller_is_not_taken_for_silence_of_kerberos() {
        assert_eq!(over(Duration::from_secs(1)), NoToken::Timeout);
        assert_eq!(over(KERBEROS_TIMEOUT), NoToken::NoKdc);
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let principal = |text: &str| text.parse::<Principal>().unwrap();
        let ana = principal("ana@EXAMPLE.COM");
        assert!(is_same(&ana, &principal("Ana@example.com")));
        assert!(!is_same(&ana, &principal("anna@EXAMPLE.COM")));
    }

    #[test]
    fn only_a_token_of_kerberos_is_sent() {
        let kerberos = b"\x60\x82\x02\xbe\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00\x6e";
        assert!(is_of_kerberos(kerberos));
        assert!(is_of_kerberos(
            b"\x60\x0d\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01"
        ));
        for other in [
            &b"NTLMSSP\0\x01\0\0\0"[..],
            // SPNEGO, which may hold a token of NTLM.
            b"\x60\x28\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x1e",
            &kerberos[..8],
            b"\x60",
            b"",
        ] {
            assert!(!is_of_kerberos(other), "{other:?}");
        }
    }

    #[test]
    fn the_words_of_windows_are_recognized_in_every_language() {
        let words_for = |code: u32| match code {
            NO_CREDENTIALS => {
                Some("Im Sicherheitspaket sind keine Anmeldeinformationen".to_owned())
            }
            TARGET_UNKNOWN => Some("Das angegebene Ziel ist unbekannt".to_owned()),
            NO_AUTHORITY => Some("Es konnte keine Domäne erreicht werden".to_owned()),
            _ => None,
        };
        let of = |error: &str| why(error, "HTTP/gis", words_for);
        let failed = |why| NoToken::Failed(why);
        assert_eq!(
            of("ClientCtx::step failed Das angegebene Ziel ist unbekannt.\r\n"),
            failed(WindowsSignInFailure::UnknownService("HTTP/gis".into()))
        );
        assert_eq!(
            of("ClientCtx::step failed Im Sicherheitspaket sind keine Anmeldeinformationen"),
            failed(WindowsSignInFailure::NoTicket)
        );
        assert_eq!(
            of("acquiring credentials: x (0x8009030E)"),
            failed(WindowsSignInFailure::NoTicket)
        );
        assert_eq!(
            of("ClientCtx::step failed Es konnte keine Domäne erreicht werden"),
            NoToken::NoKdc
        );
        assert_eq!(
            of("ClientCtx::step failed "),
            failed(WindowsSignInFailure::NoToken)
        );
    }
}
