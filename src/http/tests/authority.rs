//! A certificate authority, certificates and servers' TLS settings, made at run time.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

pub(super) struct Authority(pub(super) CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        Self(loop {
            let key = KeyPair::generate().unwrap();
            let root = CertifiedIssuer::self_signed(params.clone(), key).unwrap();
            if long_numbers(root.der()) {
                break root;
            }
        })
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn server(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let leaf = loop {
            let leaf = params.signed_by(&key, &self.0).unwrap();
            if long_numbers(leaf.der()) {
                break leaf;
            }
        };
        server_config(vec![leaf.der().clone(), self.0.der().clone()], &key)
    }
}

/// Whether both numbers of a certificate's ECDSA signature have all their 32 bytes. One in 128 has
/// a shorter one, and wine's verifier calls that signature wrong: 13 of 737 chains of two
/// certificates, counted with wine 8.
fn long_numbers(certificate: &CertificateDer<'_>) -> bool {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    // SEQUENCE, its length; INTEGER, its length, the number (after a zero where it would look
    // negative); and once more.
    let signature = &certificate.signature_value.data;
    let long = |at: usize| signature[at] == 33 || signature[at] == 32 && signature[at + 1] != 0;
    long(3) && long(5 + usize::from(signature[3]))
}

pub(super) fn names(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "portal");
    params
}

pub(super) fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// As `openssl req -x509` makes them: the server's certificate claims to be an authority.
pub(super) fn self_signed(mut params: CertificateParams) -> (Arc<ServerConfig>, String) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    (server_config(vec![certificate.der().clone()], &key), pem)
}

/// A CA file; the directory lives as long as the test.
pub(super) fn ca(pem: &str) -> (tempfile::TempDir, Tls) {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    (directory, Tls::Ca(path))
}
