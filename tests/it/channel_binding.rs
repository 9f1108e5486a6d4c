//! What a token for Windows sign-in is bound to, and where it is in the request.

use age_oauth::testing::{probe, Http};
use age_oauth::Tls;
use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;

use crate::support::portal::{Certificate, Portal};

/// The bindings in the requests to a portal, of a client that sends them in place of tokens.
fn bindings(portal: &Portal) -> Vec<Vec<u8>> {
    let of = |value: &str| {
        let token = value.strip_prefix("Negotiate ").expect("one answer");
        STANDARD.decode(token).unwrap()
    };
    let requests = portal.requests();
    let headers = requests.iter().map(|one| one.header("authorization"));
    headers.map(|value| of(value.expect("an answer"))).collect()
}

/// `tls-server-end-point:` and SHA-256 of the certificate that the client was shown last.
fn expected(http: &Http) -> Vec<u8> {
    let sha256 = &http.certificates()[0].sha256;
    let digest = sha256
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap());
    b"tls-server-end-point:"
        .iter()
        .copied()
        .chain(digest)
        .collect()
}

#[test]
fn rule_24f_a_token_is_bound_to_the_certificate_of_its_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let portal = Portal::builder().certificate(Certificate::Chain).start();
    let tls = Tls::Ca(portal.ca_file(folder.path()));
    let url = portal.url().parse().unwrap();
    let http = Http::answering_with_channel_bindings(&url, &tls).unwrap();
    // The second connection resumes the session of the first, in which no certificate is sent.
    for _ in 0..2 {
        probe(&http).unwrap();
    }
    let found = bindings(&portal);
    assert!(found.len() > 1);
    let expected = expected(&http);
    assert!(found.iter().all(|binding| *binding == expected));
    assert_eq!(expected.len(), "tls-server-end-point:".len() + 32);
}

#[test]
fn rule_24f_no_token_is_made_for_a_server_that_is_not_verified() {
    let portal = Portal::builder()
        .certificate(Certificate::SelfSigned)
        .start();
    let url = portal.url().parse().unwrap();
    let http = Http::answering_with_channel_bindings(&url, &Tls::System).unwrap();
    probe(&http).unwrap_err();
    assert!(portal.requests().is_empty());
}
