//! Certificates made at run time: the portal's own authority, and valid and invalid server
//! certificates.
//!
//! Validity follows the system's clock, which the program under test uses for TLS, not the portal's
//! clock.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

/// The kind of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Signed by the portal's authority, for the right hosts.
    Trusted,
    /// The same through an intermediate authority, which the server sends along.
    Chain,
    /// Through an intermediate that the server does not send.
    BrokenChain,
    /// Self-signed and marked as an authority, as `openssl req -x509` creates it.
    SelfSigned,
    /// Signed by the authority, ended in 2002.
    Expired,
    /// Signed by the authority, valid from 2100.
    NotYetValid,
    /// Signed by the authority, for another host.
    WrongHost,
    /// Signed by an authority that [`Authority::pem`] does not name.
    UnknownAuthority,
}

/// A certificate with its key, both as PEM: what a user would have in two files.
#[derive(Clone)]
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// A certificate authority that lives as long as its portal.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
}

/// What a listener needs: a chain, leaf first, and the leaf's key.
pub struct ServerCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// What a client must trust to accept it (or, for the invalid ones, would have to).
    pub anchor_pem: String,
}

impl ServerCertificate {
    /// A chain, leaf first, and its key.
    pub fn read(identity: &Identity) -> Self {
        let pem = identity.certificate_pem.as_bytes();
        Self {
            chain: CertificateDer::pem_slice_iter(pem)
                .map(Result::unwrap)
                .collect(),
            key: PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap(),
            anchor_pem: identity.certificate_pem.clone(),
        }
    }
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Practice Root CA")
    }

    fn named(name: &str) -> Self {
        let root =
            CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap())
                .unwrap();
        Self { root }
    }

    /// The authority's certificate.
    pub fn pem(&self) -> String {
        self.root.pem()
    }

    /// The authority's certificate for a client's root store.
    pub fn der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// A server certificate of the given kind for `hosts` (DNS names or addresses).
    pub fn server(&self, kind: Certificate, hosts: &[String]) -> ServerCertificate {
        match kind {
            Certificate::Trusted => self.signed(&leaf_params(hosts)),
            Certificate::Chain => self.through_intermediate(hosts, true),
            Certificate::BrokenChain => self.through_intermediate(hosts, false),
            Certificate::SelfSigned => self_signed(hosts),
            Certificate::Expired => self.signed(&valid_between(hosts, 2001, 2002)),
            Certificate::NotYetValid => self.signed(&valid_between(hosts, 2100, 2101)),
            Certificate::WrongHost => {
                self.signed(&leaf_params(&["elsewhere.example.org".to_owned()]))
            }
            Certificate::UnknownAuthority => ServerCertificate {
                anchor_pem: self.pem(),
                ..Self::named("Unheard-of Root CA").signed(&leaf_params(hosts))
            },
        }
    }

    /// A client certificate for a portal that requires one.
    pub fn client(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = dated(CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.root).unwrap();
        Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn signed(&self, params: &CertificateParams) -> ServerCertificate {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.root).unwrap();
        ServerCertificate {
            chain: vec![leaf.der().clone()],
            key: private(&key),
            anchor_pem: self.pem(),
        }
    }

    fn through_intermediate(&self, hosts: &[String], send: bool) -> ServerCertificate {
        let middle = CertifiedIssuer::signed_by(
            authority_params("Practice Intermediate CA"),
            KeyPair::generate().unwrap(),
            &self.root,
        )
        .unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = leaf_params(hosts).signed_by(&key, &middle).unwrap();
        let mut chain = vec![leaf.der().clone()];
        if send {
            chain.push(middle.der().clone());
        }
        ServerCertificate {
            chain,
            key: private(&key),
            anchor_pem: self.pem(),
        }
    }
}

/// The TLS configuration of a listener. With `demand`, clients must send a certificate signed by
/// that authority.
pub fn server_config(certificate: ServerCertificate, demand: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let keys = provider.key_provider;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match demand {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    // Unlike `with_single_cert`, this does not look into the certificate, so that a portal can show
    // a wrong one.
    let key = keys.load_private_key(certificate.key).unwrap();
    let certified = CertifiedKey::new(certificate.chain, key);
    builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

fn self_signed(hosts: &[String]) -> ServerCertificate {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(hosts);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = Vec::new();
    params.extended_key_usages = Vec::new();
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key).unwrap();
    ServerCertificate {
        chain: vec![certificate.der().clone()],
        key: private(&key),
        anchor_pem: certificate.pem(),
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf_params(hosts: &[String]) -> CertificateParams {
    let mut params = dated(CertificateParams::new(hosts.to_vec()).unwrap());
    let name = hosts.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn valid_between(hosts: &[String], from_year: i32, to_year: i32) -> CertificateParams {
    let mut params = leaf_params(hosts);
    params.not_before = rcgen::date_time_ymd(from_year, 1, 1);
    params.not_after = rcgen::date_time_ymd(to_year, 1, 1);
    params
}

/// From the day before yesterday for 90 days: some platforms refuse server certificates of more
/// than 398.
fn dated(mut params: CertificateParams) -> CertificateParams {
    let (year, month, day) = date_in_days(-2);
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date_in_days(88);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params
}

fn date_in_days(days: i64) -> (i32, u8, u8) {
    let moment = Timestamp::now() + SignedDuration::from_hours(24 * days);
    let date = TimeZone::UTC.to_datetime(moment).date();
    let month = u8::try_from(date.month()).unwrap();
    (
        i32::from(date.year()),
        month,
        u8::try_from(date.day()).unwrap(),
    )
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
