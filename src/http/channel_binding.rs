//! Binds the sign-in of a web server to the TLS connection that it is made in, by the server's
//! certificate (`tls-server-end-point`, RFC 5929). A server in between has another certificate, so
//! that it cannot use what it gets.

use ring::digest::{digest, Algorithm, SHA256, SHA384, SHA512};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

use super::certificate::parse;

const PREFIX: &[u8] = b"tls-server-end-point:";

/// The binding to a server that showed this certificate. `None` for certificates whose signature
/// has no hash of its own (Ed25519), for which none is defined.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash(&parse(certificate)?.signature_algorithm)?;
    let digest = digest(algorithm, certificate);
    Some([PREFIX, digest.as_ref()].concat())
}

/// The hash of the certificate's signature, but SHA-256 in place of MD5 and SHA-1.
fn hash(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    let id = match SignatureAlgorithm::try_from(signature) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            parameters.hash_algorithm_oid().to_id_string()
        }
        _ => signature.algorithm.to_id_string(),
    };
    match id.as_str() {
        // MD5 and SHA-1, and RSA, ECDSA and DSA with them; SHA-256, and the same with it.
        "1.2.840.113549.2.5"
        | "1.3.14.3.2.26"
        | "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.10040.4.3"
        | "2.16.840.1.101.3.4.2.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2"
        | "2.16.840.1.101.3.4.3.2" => Some(&SHA256),
        "2.16.840.1.101.3.4.2.2" | "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        "2.16.840.1.101.3.4.2.3" | "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use base64::Engine as _;
    use ring::digest::digest;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    #[test]
    fn rule_24f_the_binding_has_the_hash_of_the_certificates_signature() {
        for (made_by, of) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &SHA256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &SHA384),
        ] {
            let key = rcgen::KeyPair::generate_for(made_by).unwrap();
            let made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            let certificate = made.self_signed(&key).unwrap();
            let binding = server_end_point(certificate.der()).unwrap();
            let hash = binding.strip_prefix(b"tls-server-end-point:").unwrap();
            assert_eq!(hash, digest(of, certificate.der()).as_ref());
        }
        assert_eq!(server_end_point(b"x"), None);
    }

    #[test]
    fn md5_and_sha_1_are_replaced_and_what_has_no_hash_has_no_binding() {
        let of = |identifier: &str| {
            let der = STANDARD.decode(identifier).unwrap();
            let (_, identifier) = AlgorithmIdentifier::from_der(&der).unwrap();
            hash(&identifier)
        };
        // RSA with SHA-1, and with SHA-512.
        assert_eq!(of("MA0GCSqGSIb3DQEBBQUA"), Some(&SHA256));
        assert_eq!(of("MA0GCSqGSIb3DQEBDQUA"), Some(&SHA512));
        // RSA-PSS with SHA-384, and without a name, which means SHA-1.
        let with_sha_384 =
            "MDwGCSqGSIb3DQEBCjAvoA8wDQYJYIZIAWUDBAICBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZIAWUDBAICBQA=";
        assert_eq!(of(with_sha_384), Some(&SHA384));
        assert_eq!(of("MA0GCSqGSIb3DQEBCjAA"), Some(&SHA256));
        // Ed25519.
        assert_eq!(of("MAUGAytlcA=="), None);
    }
}
