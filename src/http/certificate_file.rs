//! Reads certificates from files as people have them, and says what a file holds instead.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::certificate::parse;
use super::der;
use crate::secret::Secret;

/// The largest file of a connection's own certificates that is read, in bytes.
pub(crate) const MAX_CERTIFICATES: u64 = 1024 * 1024;

/// The object identifier of PKCS#7's signed data, which `.p7b` files are.
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// The object identifier that PKCS#12's content begins with.
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";

type Certificates = Result<Vec<CertificateDer<'static>>, String>;

/// Reads certificates from a file's bytes: PEM with anything around the certificates, one in DER,
/// or those of a PKCS#7 file (`.p7b`) in either form.
///
/// The error says, for people, what the file holds instead.
pub fn read_certificates(bytes: &[u8]) -> Certificates {
    let text = plain_text(bytes);
    let bytes = text.as_ref().map_or(bytes, |text| text.expose().as_bytes());
    if bytes.trim_ascii().is_empty() {
        return Err("the file is empty".to_owned());
    }
    if contains(bytes, b"-----BEGIN ") {
        return read_pem(bytes);
    }
    // Every DER file of interest begins with a SEQUENCE.
    if bytes.first() == Some(&der::SEQUENCE) {
        return read_der(bytes);
    }
    Err(other_content(bytes).to_owned())
}

/// The text of a file that begins with a byte order mark, as editors and shells write it: UTF-8 or
/// UTF-16, secret or not. `None` for any other file.
pub(super) fn plain_text(bytes: &[u8]) -> Option<Secret> {
    let marked = bytes.starts_with(b"\xef\xbb\xbf")
        || bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff");
    marked.then(|| Secret::from_file(bytes.to_vec())).flatten()
}

/// The certificates of a bundle that serves many programs, read as [`read_certificates`] does.
/// Where that fails, what can be read is used and the rest is skipped.
///
/// The error says why there is nothing to use.
pub(super) fn read_bundle(bytes: &[u8]) -> Certificates {
    read_certificates(bytes).or_else(|why| {
        let text = plain_text(bytes);
        let bytes = text.as_ref().map_or(bytes, |text| text.expose().as_bytes());
        let readable = CertificateDer::pem_slice_iter(bytes).flatten();
        let readable: Vec<_> = readable.filter(|one| parse(one).is_some()).collect();
        if readable.is_empty() {
            return Err(why);
        }
        Ok(readable)
    })
}

fn read_pem(bytes: &[u8]) -> Certificates {
    read_intact_pem(bytes).or_else(|why| {
        let restored = restored_line_ends(bytes).map(|text| read_intact_pem(text.as_bytes()));
        restored
            .and_then(Result::ok)
            .ok_or_else(|| lost_line_ends(bytes).map_or(why, str::to_owned))
    })
}

/// PEM text with real line ends in place of the characters `\n`, as variables of CI and JSON hold
/// it, with each block at the start of a line. `None` where there are none. It may hold a private
/// key.
fn restored_line_ends(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_owned());
    if !text.contains("-----\\n") && !text.contains("-----\\r\\n") {
        return None;
    }
    let text = Zeroizing::new(text.replace("\\r\\n", "\n"));
    let text = Zeroizing::new(text.replace("\\n", "\n"));
    // PEM's lines begin with their dashes; JSON has a name or a quote before them.
    Some(Zeroizing::new(text.replace("-----BEGIN ", "\n-----BEGIN ")))
}

fn read_intact_pem(bytes: &[u8]) -> Certificates {
    let mut certificates = Vec::new();
    for item in CertificateDer::pem_slice_iter(bytes) {
        let number = certificates.len() + 1;
        let certificate = item.map_err(|_| format!("certificate {number} is damaged"))?;
        // Some Windows programs write PKCS#7 between the lines of a certificate.
        if let Some(inner) = signed_data(&certificate) {
            certificates.extend(inner);
        } else if parse(&certificate).is_some() {
            certificates.push(certificate);
        } else {
            return Err(format!("certificate {number} cannot be read"));
        }
    }
    if certificates.is_empty() {
        certificates = read_pem_pkcs7(bytes)?;
    }
    if certificates.is_empty() {
        return Err(other_pem(bytes));
    }
    Ok(certificates)
}

/// The certificates of the first block of PKCS#7; empty without one.
fn read_pem_pkcs7(bytes: &[u8]) -> Certificates {
    let text = String::from_utf8_lossy(bytes);
    let Some(kind) = ["PKCS7", "CMS", "PKCS #7 SIGNED DATA"]
        .into_iter()
        .find(|kind| text.contains(&format!("-----BEGIN {kind}-----")))
    else {
        return Ok(Vec::new());
    };
    // The same block, under the name that the PEM reader knows.
    let renamed = text.replace(&format!("{kind}-----"), "CERTIFICATE-----");
    let damaged = || "its PKCS#7 data (.p7b) is damaged".to_owned();
    let block = CertificateDer::from_pem_slice(renamed.as_bytes()).map_err(|_| damaged())?;
    let certificates = signed_data(&block).ok_or_else(damaged)?;
    if certificates.is_empty() {
        return Err("it is a PKCS#7 file (.p7b) without certificates".to_owned());
    }
    Ok(certificates)
}

/// What happened to the line ends of PEM text, where they are gone: copies through variables, JSON
/// and chat programs do that.
pub(super) fn lost_line_ends(bytes: &[u8]) -> Option<&'static str> {
    if contains(bytes, br"-----\n") || contains(bytes, br"-----\r\n") {
        return Some(
            "its line ends are written as the characters \\n; replace them by real line ends",
        );
    }
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines
        .any(|line| {
            contains(line, b"-----BEGIN ") && !line.trim_ascii().ends_with(b"-----")
                || contains(line, b"-----BEGIN ") && contains(line, b"-----END ")
        })
        .then_some("it is PEM text in one line; the line ends are missing")
}

/// What PEM text holds that is not a certificate.
fn other_pem(bytes: &[u8]) -> String {
    let found = |label: &str| contains(bytes, format!("{label}-----").as_bytes());
    let what = if found("PRIVATE KEY") {
        "a private key, not a certificate"
    } else if found("CERTIFICATE REQUEST") {
        "a certificate request (CSR), not the certificate that was issued for it"
    } else if found("PUBLIC KEY") {
        "a public key, not a certificate"
    } else if found("X509 CRL") {
        "a list of revoked certificates, not a certificate"
    } else if found("TRUSTED CERTIFICATE") {
        "a certificate in a form of OpenSSL alone; convert it: openssl x509 -in FILE -out FILE.pem"
    } else {
        "PEM text, but no certificate"
    };
    format!("it holds {what}")
}

fn read_der(bytes: &[u8]) -> Certificates {
    if parse(bytes).is_some() {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    match signed_data(bytes) {
        Some(certificates) if certificates.is_empty() => {
            Err("it is a PKCS#7 file (.p7b) without certificates".to_owned())
        }
        Some(certificates) => Ok(certificates),
        None => Err(other_der(bytes).to_owned()),
    }
}

/// The certificates of PKCS#7's signed data; `None` if it is something else.
fn signed_data(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (content, _) = der::expect(bytes, der::SEQUENCE)?;
    let (kind, rest) = der::expect(content, der::OID)?;
    let (wrapped, _) = der::expect(rest, der::FIELD_0).filter(|_| kind == SIGNED_DATA)?;
    let (fields, _) = der::expect(wrapped, der::SEQUENCE)?;
    // After the version, the digests and the signed content.
    let certificates = der::elements(fields).find(|field| field.tag == der::FIELD_0);
    let certificates = certificates.map_or(&[][..], |field| field.content);
    Some(
        der::elements(certificates)
            .filter(|element| parse(element.whole).is_some())
            .map(|element| CertificateDer::from(element.whole.to_vec()))
            .collect(),
    )
}

/// What a file in DER holds that is not a certificate.
fn other_der(bytes: &[u8]) -> &'static str {
    const OTHER: &str = "it is not a certificate that can be read (PEM is the usual form)";
    let Some((content, _)) = der::expect(bytes, der::SEQUENCE) else {
        return if contains(bytes.get(..64).unwrap_or(bytes), SIGNED_DATA) {
            "it is a PKCS#7 file (.p7b) in a form that cannot be read; convert it: openssl pkcs7 -inform DER -in FILE -print_certs"
        } else {
            OTHER
        };
    };
    let fields: Vec<_> = der::elements(content).take(3).collect();
    let tags: Vec<_> = fields.iter().map(|field| field.tag).collect();
    let begins_with = |index: usize, tag, value| {
        fields
            .get(index)
            .and_then(|field| der::expect(field.content, tag))
            .is_some_and(|(content, _)| content == value)
    };
    match tags.as_slice() {
        [der::INTEGER, der::SEQUENCE, ..] if begins_with(1, der::OID, DATA) => {
            "it is a PKCS#12 file (.pfx, .p12), which also holds a private key; export the certificate alone"
        }
        // PKCS#8, PKCS#1 and SEC 1; encrypted PKCS#8.
        [der::INTEGER, der::SEQUENCE | der::INTEGER | der::OCTET_STRING, ..]
        | [der::SEQUENCE, der::OCTET_STRING] => "it holds a private key, not a certificate",
        [der::SEQUENCE, der::SEQUENCE, der::BIT_STRING] if begins_with(0, der::INTEGER, b"\0") => {
            "it holds a certificate request (CSR), not the certificate that was issued for it"
        }
        [der::SEQUENCE, der::BIT_STRING] => "it holds a public key, not a certificate",
        _ => OTHER,
    }
}

/// What a file holds that is neither PEM nor DER.
pub(super) fn other_content(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if bytes.starts_with(b"\xfe\xed\xfe\xed") || bytes.starts_with(b"\xce\xce\xce\xce") {
        return "it is a Java keystore; export the certificate: keytool -exportcert -rfc";
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x1f\x8b") {
        return "it is an archive; extract the certificate from it";
    }
    if text.starts_with(b"MI")
        && text
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        return "it is base64 without the lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----";
    }
    if text.starts_with(b"<") {
        return "it is a page of HTML or XML; it does not contain a certificate";
    }
    "it does not contain a certificate; one begins with -----BEGIN CERTIFICATE-----"
}

pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::http::to_pem;

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
    fn characters_in_place_of_line_ends_are_read_as_line_ends() {
        let (pem, der, _) = made();
        let escaped = pem.replace("\r\n", "\n").replace('\n', "\\n");
        for text in [
            escaped.clone(),
            escaped.replace("\\n", "\\r\\n"),
            format!("{{\"ca\": \"{escaped}\"}}"),
            format!("CA=\"{escaped}\"\n"),
        ] {
            for read in [read_certificates, read_bundle] {
                let found = read(text.as_bytes()).unwrap();
                assert_eq!(found, [der.as_slice().into()], "{text}");
            }
        }
        let both = format!("{{\"ca\": \"{escaped}{escaped}\"}}");
        assert_eq!(read_certificates(both.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn a_bundle_is_read_as_other_files_and_what_is_unusable_in_it_is_skipped() {
        let (pem, der, key) = made();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in [
            format!("\u{feff}{pem}"),
            format!("{broken}{pem}"),
            format!("\u{feff}{pem}{broken}"),
        ] {
            let found = read_bundle(text.as_bytes()).unwrap();
            assert_eq!(found, [der.as_slice().into()], "{text}");
        }
        let why = |bytes: &[u8]| read_bundle(bytes).unwrap_err();
        assert!(why(key.as_bytes()).contains("private key"));
        assert!(why(broken.as_bytes()).contains("certificate 1"));
        assert!(why(b"").contains("empty"));
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
}
