//! Which keys and signatures of certificates this program can use, and how people call them.

use rustls::pki_types::AlgorithmIdentifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::der;
use super::signatures;

/// The sizes of RSA keys that ring verifies signatures with, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What this program cannot do with the certificate's key, for people; `None` if it can use it.
pub(super) fn unusable_key(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let key = certificate.public_key();
    let (identifier, _) = der::expect(key.raw, der::SEQUENCE)?;
    let (identifier, _) = der::expect(identifier, der::SEQUENCE)?;
    let bits = match key.parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    };
    let known = signatures::all()
        .iter()
        .any(|known| *known.public_key_alg_id() == *identifier);
    // ring counts whole bytes.
    let long_enough = bits.is_none_or(|bits| RSA_BITS.contains(&bits.next_multiple_of(8)));
    (!known || !long_enough).then(|| key_name(identifier, bits))
}

/// The certificate's signature, for people, if this program cannot verify it with any key.
pub(super) fn unusable_signature(der: &[u8]) -> Option<String> {
    let (certificate, _) = der::expect(der, der::SEQUENCE)?;
    let (_, rest) = der::first(certificate)?;
    let (identifier, _) = der::expect(rest, der::SEQUENCE)?;
    let known = |known: AlgorithmIdentifier| *known == *identifier;
    let usable = signatures::all()
        .iter()
        .any(|verification| known(verification.signature_alg_id()));
    (!usable).then(|| signature_name(identifier))
}

/// The object identifier at the beginning, in digits and points, and what follows it.
fn object_identifier(bytes: &[u8]) -> (String, &[u8]) {
    der::expect(bytes, der::OID).map_or_else(
        || (String::new(), bytes),
        |(content, rest)| (Oid::new(content.into()).to_id_string(), rest),
    )
}

fn key_name(identifier: &[u8], bits: Option<usize>) -> String {
    let (id, parameters) = object_identifier(identifier);
    match (id.as_str(), bits) {
        ("1.2.840.113549.1.1.1", Some(bits)) => format!(
            "an RSA key of {bits} bits (it needs {} to {})",
            RSA_BITS.start(),
            RSA_BITS.end()
        ),
        ("1.2.840.113549.1.1.10", _) => "a key for RSA-PSS alone".to_owned(),
        ("1.2.840.10045.2.1", _) => curve_name(parameters),
        ("1.2.840.10040.4.1", _) => "a DSA key".to_owned(),
        ("1.3.101.113", _) => "an Ed448 key".to_owned(),
        _ => format!("a key of the kind {id}"),
    }
}

fn curve_name(parameters: &[u8]) -> String {
    let (id, _) = object_identifier(parameters);
    let name = match id.as_str() {
        "" => return "a key on an elliptic curve that it describes itself".to_owned(),
        "1.2.840.10045.3.1.1" => "P-192",
        "1.3.132.0.33" => "P-224",
        "1.3.132.0.10" => "secp256k1",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        "1.2.156.10197.1.301" => "SM2",
        other => other,
    };
    format!("a key on the elliptic curve {name}")
}

fn signature_name(identifier: &[u8]) -> String {
    let (id, _) = object_identifier(identifier);
    let name = match id.as_str() {
        "1.2.840.113549.1.1.2" => "RSA and MD2",
        "1.2.840.113549.1.1.4" => "RSA and MD5",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "RSA and SHA-1",
        "1.2.840.113549.1.1.14" => "RSA and SHA-224",
        "1.2.840.113549.1.1.10" => "RSA-PSS and unusual parameters",
        "1.2.840.10045.4.1" => "ECDSA and SHA-1",
        "1.2.840.10045.4.3.1" => "ECDSA and SHA-224",
        "1.2.840.10040.4.3" => "DSA and SHA-1",
        "2.16.840.1.101.3.4.3.1" => "DSA and SHA-224",
        "2.16.840.1.101.3.4.3.2" => "DSA and SHA-256",
        "1.3.101.113" => "Ed448",
        "1.2.156.10197.1.501" => "SM2 and SM3",
        _ => return format!("a signature of the kind {id}"),
    };
    format!("a signature with {name}")
}
