//! Certificates as data: reads what people supply, writes PEM, describes the content. Decides
//! nothing about trust.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::connection::is_control;
use crate::error::CertificateFacts;
use crate::secret::Secret;

/// The largest file of a connection's own certificates that is read, in bytes.
pub(crate) const MAX_CERTIFICATES: u64 = 1024 * 1024;

/// Reads certificates from a file's bytes: PEM with anything around the certificates, or one in
/// DER.
///
/// The error says, for people, what the file holds instead.
pub fn read_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // `Secret::from_file` decodes what editors and shells write (UTF-8 with a mark, UTF-16), secret
    // or not.
    let marked = bytes.starts_with(b"\xef\xbb\xbf")
        || bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff");
    let text = marked.then(|| Secret::from_file(bytes.to_vec())).flatten();
    let bytes = text.as_ref().map_or(bytes, |text| text.expose().as_bytes());
    if bytes.trim_ascii().is_empty() {
        return Err("the file is empty".to_owned());
    }
    if contains(bytes, b"-----BEGIN ") {
        return read_pem(bytes);
    }
    // Every DER certificate begins with a SEQUENCE of more than 255 bytes' length.
    if bytes.first() == Some(&0x30) {
        let certificate = CertificateDer::from(bytes.to_vec());
        return match parse(&certificate) {
            Some(_) => Ok(vec![certificate]),
            None => {
                Err("it is not a certificate that can be read (PEM is the usual form)".to_owned())
            }
        };
    }
    Err("it does not contain a certificate; one begins with -----BEGIN CERTIFICATE-----".to_owned())
}

fn read_pem(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut certificates = Vec::new();
    for item in CertificateDer::pem_slice_iter(bytes) {
        let number = certificates.len() + 1;
        let certificate = item.map_err(|_| format!("certificate {number} is damaged"))?;
        if parse(&certificate).is_none() {
            return Err(format!("certificate {number} cannot be read"));
        }
        certificates.push(certificate);
    }
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    Err(if contains(bytes, b"PRIVATE KEY-----") {
        "it holds a private key, not a certificate".to_owned()
    } else {
        "it holds PEM text, but no certificate".to_owned()
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

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
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
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

/// What a certificate says, without control characters. `None` if it cannot be read.
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

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
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

fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_control(*c)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn made() -> (String, Vec<u8>, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = made.cert.der().to_vec();
        (made.cert.pem(), der, made.signing_key.serialize_pem())
    }

    #[test]
    fn what_people_give_is_read() {
        let (pem, der, key) = made();
        let crlf = pem.replace('\n', "\r\n");
        for text in [
            pem.clone(),
            crlf.clone(),
            format!("\u{feff}{crlf}"),
            format!("subject=CN = x\n{pem}\nnoise\n{key}"),
        ] {
            assert_eq!(
                read_certificates(text.as_bytes()).unwrap(),
                [der.as_slice().into()]
            );
        }
        let utf16: Vec<_> = format!("\u{feff}{pem}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(read_certificates(&utf16).unwrap(), [der.as_slice().into()]);
        assert_eq!(read_certificates(&der).unwrap().len(), 1);
        let two = format!("{pem}\n{pem}");
        assert_eq!(read_certificates(two.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_a_certificate_is_named() {
        let (pem, der, key) = made();
        let broken = pem.replace(
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nAAAA",
        );
        let torn = der.get(..der.len() - 1).unwrap();
        for (bytes, expected) in [
            (b" \n".as_slice(), "empty"),
            (key.as_bytes(), "private key"),
            (b"<html>", "not contain a certificate"),
            (broken.as_bytes(), "certificate 1"),
            (torn, "not a certificate that can be read"),
            (b"-----BEGIN CERTIFICATE-----\nMIIB", "damaged"),
        ] {
            let error = read_certificates(bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (pem, der, _) = made();
        let written = to_pem(&[der.as_slice()]);
        assert_eq!(written, pem.replace("\r\n", "\n"));
        assert_eq!(
            read_certificates(written.as_bytes()).unwrap(),
            [der.as_slice().into()]
        );
    }

    #[test]
    fn facts_have_no_control_characters() {
        let mut params =
            rcgen::CertificateParams::new(["localhost".to_owned(), "::1".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "a\u{1b}[31mb");
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = facts(certificate.der()).unwrap();
        assert_eq!(facts.not_before, "2020-01-02T00:00:00Z");
        assert_eq!(facts.names, ["localhost", "::1"]);
        assert!(facts.subject.contains("CN=") && !facts.subject.contains('\u{1b}'));
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
