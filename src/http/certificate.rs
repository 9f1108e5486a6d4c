//! Certificates as data: writes PEM, describes the content. Decides nothing about trust.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use jiff::Timestamp;
#[cfg(any(windows, test))]
use ring::digest::SHA1_FOR_LEGACY_USE_ONLY;
use ring::digest::{digest, SHA256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use crate::connection::{is_control, is_invisible};
use crate::error::CertificateFacts;

/// The certificates as PEM text.
#[must_use]
pub fn to_pem<D: AsRef<[u8]>>(certificates: &[D]) -> String {
    let mut pem = String::new();
    for der in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(der);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// SHA-256 of the DER form, upper-case hexadecimal in pairs with colons.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let digest = digest(&SHA256, der);
    let mut text = String::with_capacity(3 * digest.as_ref().len());
    for byte in digest.as_ref() {
        if !text.is_empty() {
            text.push(':');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// SHA-256 of the DER form.
#[cfg(any(windows, test))]
pub(super) fn sha256(der: &[u8]) -> [u8; 32] {
    digest(&SHA256, der).as_ref().try_into().unwrap_or_default()
}

/// SHA-1 of the DER form. It only names a certificate, as Windows does.
#[cfg(any(windows, test))]
pub(super) fn sha1(der: &[u8]) -> [u8; 20] {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
    digest.as_ref().try_into().unwrap_or_default()
}

/// What a certificate says, without control characters and without invisible ones. `None` if it
/// cannot be read.
#[must_use]
pub fn facts(der: &[u8]) -> Option<CertificateFacts> {
    let certificate = parse(der)?;
    Some(CertificateFacts {
        subject: clean(&certificate.subject().to_string()),
        issuer: clean(&certificate.issuer().to_string()),
        not_before: time(certificate.validity().not_before),
        not_after: time(certificate.validity().not_after),
        names: names(&certificate),
        sha256: fingerprint(der),
        self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
    })
}

/// The times, in seconds since 1970, from which and until which a certificate is valid.
pub(super) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    Some((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// Whether the certificate may sign others, as OpenSSL decides it: it says so, or it is older than
/// the field that says so.
pub(super) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = match certificate.key_usage() {
        Ok(Some(usage)) => Some(usage.value.key_cert_sign()),
        _ => None,
    };
    match certificate.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca && usage != Some(false),
        _ => usage.unwrap_or(certificate.version() != X509Version::V3),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names.filter_map(name).map(|name| clean(&name)).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn time(time: ASN1Time) -> String {
    Timestamp::from_second(time.timestamp())
        .map_or_else(|_| clean(&time.to_string()), |time| time.to_string())
}

/// Without what controls a terminal, and without what shows nothing.
pub(super) fn clean(text: &str) -> String {
    let is_shown = |c: &char| !is_control(*c) && !is_invisible(*c);
    text.chars().filter(is_shown).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn facts_have_no_control_characters() {
        let mut params =
            rcgen::CertificateParams::new(["localhost".to_owned(), "::1".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "a\u{1b}\u{200d}\u{ad}[31mb");
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = facts(certificate.der()).unwrap();
        assert_eq!(facts.not_before, "2020-01-02T00:00:00Z");
        assert_eq!(facts.names, ["localhost", "::1"]);
        assert_eq!(facts.subject, "CN=a[31mb");
        assert!(facts.self_signed);
        assert_eq!(facts.sha256.len(), 95);
        assert!(super::facts(b"x").is_none());
    }

    #[test]
    fn a_fingerprint_is_sha_256() {
        let expected = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:\
                        27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
        assert_eq!(fingerprint(b""), expected);
    }
}
