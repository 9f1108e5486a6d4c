//! Why a chain of certificates is refused: which certificate has which fault, for people.
//!
//! The verifiers report that there is a fault, each in its own way, and not which certificate has
//! it. This module looks at the chain itself.

use std::collections::HashSet;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Version;

use super::algorithm::{unusable_key, unusable_signature};
use super::certificate::{facts, may_sign, parse, validity};
use crate::error::{CertificateRole, ChainFault, TlsFailure, TlsFailureKind};

/// A chain that no verifier accepted.
pub(super) struct Refused<'a> {
    /// What the verifiers reported.
    pub(super) reported: Vec<TlsFailureKind>,
    pub(super) leaf: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    /// The authorities that the connection trusts itself.
    pub(super) authorities: &'a [CertificateDer<'static>],
    pub(super) name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

/// One certificate on the way from the server to an authority.
struct Link<'a> {
    der: &'a [u8],
    certificate: X509Certificate<'a>,
    role: CertificateRole,
}

/// Where that way ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// At an authority that the connection trusts itself.
    Trusted,
    /// At a certificate that names itself as its issuer.
    SelfSigned,
    /// At an issuer whose certificate is not there.
    Missing,
}

/// A reason, and the certificate that it is about where it is not the server's.
type Reason<'a> = (TlsFailureKind, Option<&'a Link<'a>>);

impl<'a> Refused<'a> {
    pub(super) fn explain(&self) -> TlsFailure {
        let (path, end) = self.path();
        let (kind, link) = self.reason(&path, end);
        let fault = link
            .filter(|link| link.role != CertificateRole::Server)
            .and_then(|link| {
                Some(ChainFault {
                    role: link.role,
                    certificate: facts(link.der)?,
                })
            });
        TlsFailure {
            certificate: facts(self.leaf),
            notes: self.notes(&kind, &path, end),
            authority_helps: self.authority_helps(&kind),
            pin_helps: self.pin_helps(&kind),
            chain: std::iter::once(self.leaf)
                .chain(self.intermediates)
                .map(|certificate| certificate.to_vec())
                .collect(),
            kind,
            fault,
        }
    }

    /// The way from the server's certificate to an authority, by the names of the issuers.
    fn path(&self) -> (Vec<Link<'_>>, End) {
        let link = |der: &'a [u8], role| {
            let certificate = parse(der)?;
            Some(Link {
                der,
                certificate,
                role,
            })
        };
        let mut path: Vec<_> = link(self.leaf, CertificateRole::Server)
            .into_iter()
            .collect();
        let mut seen = HashSet::new();
        while let Some(last) = path.last() {
            let issuer = last.certificate.issuer().as_raw();
            let named =
                |der: &&'a [u8]| parse(der).is_some_and(|found| found.subject().as_raw() == issuer);
            if last.certificate.subject().as_raw() == issuer {
                return (path, End::SelfSigned);
            }
            let trusted = self.authorities.iter().map(AsRef::as_ref).find(named);
            if let Some(authority) = trusted {
                path.extend(link(authority, CertificateRole::Authority));
                return (path, End::Trusted);
            }
            let mut sent = self.intermediates.iter().map(AsRef::as_ref);
            let Some(next) = sent.find(|der| named(der) && seen.insert(*der)) else {
                return (path, End::Missing);
            };
            let own = parse(next).is_some_and(|found| found.subject() == found.issuer());
            let role = if own {
                CertificateRole::Authority
            } else {
                CertificateRole::Intermediate
            };
            path.extend(link(next, role));
        }
        (path, End::Missing)
    }

    fn reason<'l>(&self, path: &'l [Link<'l>], end: End) -> Reason<'l> {
        let reported = self.reported.iter().min_by_key(|kind| rank(kind)).cloned();
        let reported = reported.unwrap_or(TlsFailureKind::UnknownIssuer);
        match &reported {
            // The platform's own verdict, whatever else is wrong.
            TlsFailureKind::Revoked | TlsFailureKind::Distrusted => return (reported, None),
            _ if path.is_empty() => return (reported, None),
            _ => {}
        }
        self.date_fault(&reported, path)
            .or_else(|| self.name_fault(&reported).map(|kind| (kind, None)))
            .or_else(|| algorithm_fault(path, end))
            .or_else(|| structural_fault(path, end))
            .unwrap_or_else(|| self.trust_fault(reported, path, end))
    }

    /// Dates are checked before trust: an expired certificate is so under every authority. The
    /// dates of intermediates count only if a verifier saw them: it may have gone another way.
    fn date_fault<'l>(
        &self,
        reported: &TlsFailureKind,
        path: &'l [Link<'l>],
    ) -> Option<Reason<'l>> {
        let seen = matches!(
            reported,
            TlsFailureKind::Expired | TlsFailureKind::NotYetValid
        );
        let last = if seen { path.len() } else { 1 };
        let found = path.iter().take(last).find_map(|link| {
            let kind = date_fault(link.der, self.now)?;
            Some((kind, Some(link)))
        });
        found.or_else(|| seen.then(|| (reported.clone(), None)))
    }

    fn name_fault(&self, reported: &TlsFailureKind) -> Option<TlsFailureKind> {
        let no_name = facts(self.leaf).is_some_and(|facts| facts.names.is_empty());
        match reported {
            TlsFailureKind::WrongHost if no_name => Some(TlsFailureKind::NoName),
            TlsFailureKind::WrongHost => Some(TlsFailureKind::WrongHost),
            _ => None,
        }
    }

    /// What is left: the chain is sound, and does not lead to an authority that is trusted.
    fn trust_fault<'l>(
        &self,
        reported: TlsFailureKind,
        path: &'l [Link<'l>],
        end: End,
    ) -> Reason<'l> {
        let last = path.last();
        let kind = match (end, reported) {
            (End::SelfSigned, _) if path.len() == 1 => TlsFailureKind::SelfSigned,
            (End::SelfSigned, _) => TlsFailureKind::UnknownIssuer,
            // An issuer that publishes its own certificate at an address is rarely a root.
            (End::Missing, TlsFailureKind::UnknownIssuer)
                if !self.authorities.is_empty() || last.is_some_and(names_its_issuers_address) =>
            {
                return (TlsFailureKind::IncompleteChain, last)
            }
            // The authority was found, so that the reason is another one.
            (End::Trusted, TlsFailureKind::UnknownIssuer) => {
                let mut reported = self.reported.iter();
                let other = reported.find(|kind| matches!(kind, TlsFailureKind::Other(_)));
                other.cloned().unwrap_or(TlsFailureKind::UnknownIssuer)
            }
            (_, reported) => reported,
        };
        (kind, None)
    }

    fn notes(&self, kind: &TlsFailureKind, path: &[Link<'_>], end: End) -> Vec<String> {
        let missing = matches!(
            kind,
            TlsFailureKind::UnknownIssuer | TlsFailureKind::IncompleteChain
        );
        let issuer = path
            .last()
            .and_then(|link| facts(link.der))
            .filter(|_| missing && end == End::Missing)
            .map(|facts| {
                format!(
                    "the server does not send the certificate of {}",
                    facts.issuer
                )
            });
        let unnamed = self.certificate_without_name(kind);
        issuer.into_iter().chain(unnamed).collect()
    }

    fn certificate_without_name(&self, kind: &TlsFailureKind) -> Option<String> {
        let facts = facts(self.leaf)?;
        (facts.names.is_empty() && *kind != TlsFailureKind::NoName).then(|| {
            "the certificate names no host (a common name alone does not count)".to_owned()
        })
    }

    fn authority_helps(&self, kind: &TlsFailureKind) -> bool {
        matches!(
            kind,
            TlsFailureKind::UnknownIssuer
                | TlsFailureKind::IncompleteChain
                | TlsFailureKind::SelfSigned
                | TlsFailureKind::BadSignature
        ) && unusable_key(self.leaf).is_none()
            && names_host(self.leaf, self.name)
    }

    /// A pinned certificate needs valid dates, and a key that proves that the server owns it.
    fn pin_helps(&self, kind: &TlsFailureKind) -> bool {
        !matches!(kind, TlsFailureKind::Revoked | TlsFailureKind::Distrusted)
            && parse(self.leaf).is_some()
            && date_fault(self.leaf, self.now).is_none()
            && unusable_key(self.leaf).is_none()
    }
}

/// Of the reasons that several verifiers gave, the one with the lowest rank counts: the reason of
/// an authority that knows the chain says more than "unknown issuer".
fn rank(kind: &TlsFailureKind) -> u8 {
    match kind {
        TlsFailureKind::Revoked | TlsFailureKind::Distrusted => 0,
        TlsFailureKind::Expired | TlsFailureKind::NotYetValid => 1,
        TlsFailureKind::WrongHost | TlsFailureKind::NoName => 2,
        TlsFailureKind::SelfSigned | TlsFailureKind::UnknownIssuer => 4,
        // Of a platform, for example that it could not ask whether a certificate is revoked.
        TlsFailureKind::Other(_) => 5,
        _ => 3,
    }
}

/// Whether the certificate is out of its dates.
pub(super) fn date_fault(der: &[u8], now: UnixTime) -> Option<TlsFailureKind> {
    let (from, until) = validity(der)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < from {
        Some(TlsFailureKind::NotYetValid)
    } else {
        (now > until).then_some(TlsFailureKind::Expired)
    }
}

pub(super) fn names_host(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(leaf).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// The first key or signature that cannot be used. The signature of the last certificate does not
/// matter: it is trusted by itself, or its issuer is missing.
fn algorithm_fault<'l>(path: &'l [Link<'l>], end: End) -> Option<Reason<'l>> {
    let signed = if end == End::Missing {
        path.len()
    } else {
        path.len().saturating_sub(1)
    };
    path.iter().enumerate().find_map(|(index, link)| {
        let signature = || unusable_signature(link.der).filter(|_| index < signed);
        let name = unusable_key(link.der).or_else(signature)?;
        Some((TlsFailureKind::Algorithm(name), Some(link)))
    })
}

/// Certificates that are used for what they are not made for.
fn structural_fault<'l>(path: &'l [Link<'l>], end: End) -> Option<Reason<'l>> {
    let (leaf, rest) = path.split_first()?;
    let own = end == End::SelfSigned && rest.is_empty();
    // Certificates of version 1 have no extensions, where the names would be.
    if !own && leaf.certificate.version() != X509Version::V3 {
        return Some((TlsFailureKind::NoName, None));
    }
    if !for_servers(&leaf.certificate) {
        return Some((TlsFailureKind::Purpose, None));
    }
    if let Some(link) = path.iter().find(|link| has_unknown_rule(link)) {
        return Some((TlsFailureKind::UnknownRule, Some(link)));
    }
    let sent = rest
        .iter()
        .filter(|link| link.role == CertificateRole::Intermediate);
    let may_sign = |certificate: &X509Certificate<'_>| {
        certificate.version() == X509Version::V3 && may_sign(certificate)
    };
    if let Some(link) = sent.into_iter().find(|link| !may_sign(&link.certificate)) {
        return Some((TlsFailureKind::NotAnAuthority, Some(link)));
    }
    (!own && is_authority(&leaf.certificate)).then_some((TlsFailureKind::AuthorityAsServer, None))
}

/// Whether the certificate says that it is an authority's.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    matches!(certificate.basic_constraints(), Ok(Some(extension)) if extension.value.ca)
}

/// Whether servers may use the certificate. One that names no purposes is for all.
fn for_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(extension)) => extension.value.server_auth,
        _ => true,
    }
}

/// Whether the certificate has a critical extension that the verifiers do not know.
fn has_unknown_rule(link: &Link<'_>) -> bool {
    const KNOWN: [&str; 6] = [
        "2.5.29.15", // key usage
        "2.5.29.17", // subject alternative name
        "2.5.29.19", // basic constraints
        "2.5.29.30", // name constraints
        "2.5.29.31", // CRL distribution points
        "2.5.29.37", // extended key usage
    ];
    let trusted = link.role == CertificateRole::Authority;
    let mut extensions = link.certificate.extensions().iter();
    !trusted && extensions.any(|one| one.critical && !KNOWN.contains(&&*one.oid.to_id_string()))
}

/// Whether the certificate says where its issuer's certificate can be fetched.
fn names_its_issuers_address(link: &Link<'_>) -> bool {
    const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
    link.certificate.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::AuthorityInfoAccess(access)
            if access.accessdescs.iter().any(|one| one.access_method.to_id_string() == CA_ISSUERS))
    })
}
