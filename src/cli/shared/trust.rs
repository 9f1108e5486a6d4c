//! Which certificates are accepted from a portal: as an option, a card, or the portal itself names
//! them.

use std::path::PathBuf;

use super::connection_fields::FieldArgs;
use crate::cli::format::escape;
use crate::connection::{Connection, PortalUrl, Proxy, Tls};
use crate::context::Context;
use crate::error::Error;
use crate::http::{self, Http, Presented};
use crate::manage::{read_ca, TlsChange};
use crate::store::SHOWN_BY;

/// What `--verify-ssl` begins with where exactly one certificate is trusted.
const PIN: &str = "pin:";

/// Which certificates are accepted: for asking the portal now, and for storing.
#[derive(Clone)]
pub(in crate::cli) struct Trust {
    /// Its path only says where the certificates came from: what is trusted is in `pem`.
    pub(in crate::cli) tls: Tls,
    pem: Option<(Vec<u8>, String)>,
}

/// Certificates that came in a card.
#[derive(Clone, Debug)]
pub(in crate::cli) struct CardCertificates {
    pub(in crate::cli) pem: String,
    /// Where they came from.
    pub(in crate::cli) source: String,
    /// Whether it is one certificate that is trusted by itself.
    pub(in crate::cli) pinned: bool,
}

impl Trust {
    pub(in crate::cli) fn system() -> Self {
        Self {
            tls: Tls::System,
            pem: None,
        }
    }

    /// What a stored connection accepts.
    pub(in crate::cli) fn of(connection: &Connection) -> Result<Self, Error> {
        let source = connection.ca_source.clone().unwrap_or_default();
        Ok(Self {
            pem: http::read_certificate_file(&connection.tls)?.map(|pem| (pem, source)),
            tls: connection.tls.clone(),
        })
    }

    pub(in crate::cli) fn unverified() -> Self {
        Self {
            tls: Tls::Unverified,
            ..Self::system()
        }
    }

    /// The certificates in a file (PEM, DER or PKCS#7), as authorities.
    pub(in crate::cli) fn file(text: &str, context: &Context) -> Result<Self, Error> {
        let path = context.environment.expand(text);
        Ok(Self::authorities(
            read_ca(&path, context.deadline)?,
            path.display().to_string(),
        ))
    }

    /// Only the certificate in a file, for the portal's host.
    fn pinned_file(text: &str, portal: &PortalUrl, context: &Context) -> Result<Self, Error> {
        let path = context.environment.expand(text);
        Self::pinned(
            read_ca(&path, context.deadline)?,
            path.display().to_string(),
            portal,
        )
    }

    /// Only this certificate, which the portal presented.
    pub(in crate::cli) fn exactly(der: &[u8], portal: &PortalUrl) -> Result<Self, Error> {
        let source = format!("{SHOWN_BY}{}", portal.host());
        Self::pinned(http::to_pem(&[der]), source, portal)
    }

    fn authorities(pem: String, source: String) -> Self {
        Self::certificates(pem, source, Tls::Ca)
    }

    fn pinned(pem: String, source: String, portal: &PortalUrl) -> Result<Self, Error> {
        if pem.matches("-----BEGIN ").count() != 1 {
            return Err(Error::Invalid {
                what: "certificate file".into(),
                why: "it holds several certificates; to pin one, give a file with that one alone"
                    .into(),
            });
        }
        Ok(Self::certificates(pem, source, |path| Tls::Pinned {
            path,
            host: portal.host().to_owned(),
        }))
    }

    fn certificates(pem: String, source: String, tls: impl FnOnce(PathBuf) -> Tls) -> Self {
        Self {
            tls: tls(PathBuf::from(&source)),
            pem: Some((pem.into_bytes(), source)),
        }
    }

    /// A client that accepts these certificates. They stay in memory: a file would outlive a
    /// process that is ended while it asks. What is presented goes to the portal's origin alone.
    pub(in crate::cli) fn http(
        &self,
        portal: &PortalUrl,
        presented: Presented,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Http, Error> {
        let certificates = self.pem().map(|(pem, _)| pem);
        Http::with_certificates(
            portal,
            &self.tls,
            certificates,
            presented,
            proxy,
            referer,
            context,
        )
    }

    /// The certificates to store, and where they came from.
    pub(in crate::cli) fn pem(&self) -> Option<(&[u8], &str)> {
        self.pem
            .as_ref()
            .map(|(pem, source)| (pem.as_slice(), source.as_str()))
    }

    pub(in crate::cli) fn into_change(self) -> TlsChange {
        match (self.tls, self.pem) {
            (Tls::Unverified, _) => TlsChange::Unverified,
            (Tls::Pinned { host, .. }, Some((pem, source))) => {
                TlsChange::Pinned { pem, source, host }
            }
            (_, Some((pem, source))) => TlsChange::Ca { pem, source },
            _ => TlsChange::System,
        }
    }
}

/// What a person decides about before a certificate is trusted.
pub(in crate::cli) fn certificate_lines(der: &[u8], pinned: bool) -> Vec<String> {
    let Some(facts) = http::facts(der) else {
        return Vec::new();
    };
    let what = if pinned { "Trusts only:" } else { "Trusts:   " };
    vec![
        format!("{what} {}", escape(&facts.subject)),
        format!("           until {}", facts.not_after),
        format!("           SHA-256 {}", facts.sha256),
    ]
}

/// The trust that an option or a card asks for at this portal; none if neither does.
pub(in crate::cli) fn wanted_trust(
    args: &FieldArgs,
    portal: &PortalUrl,
    context: &Context,
) -> Result<Option<Trust>, Error> {
    match (&args.certificates, &args.verify_ssl) {
        (Some(card), _) => card_trust(card, portal).map(Some),
        (None, Some(text)) => trust(text, portal, context).map(Some),
        (None, None) => Ok(None),
    }
}

/// Whether a value of `--verify-ssl` accepts any certificate.
pub(in crate::cli) fn is_false(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    matches!(text.as_str(), "false" | "no" | "off" | "0")
}

fn card_trust(card: &CardCertificates, portal: &PortalUrl) -> Result<Trust, Error> {
    let (pem, source) = (card.pem.clone(), card.source.clone());
    if card.pinned {
        Trust::pinned(pem, source, portal)
    } else {
        Ok(Trust::authorities(pem, source))
    }
}

/// Reads `--verify-ssl`: the usual spellings of true and false, or `pin:` and the path of a file;
/// any other text is the path of a file.
fn trust(text: &str, portal: &PortalUrl, context: &Context) -> Result<Trust, Error> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "" => Err(Error::Invalid {
            what: "--verify-ssl".into(),
            why: "it is empty; give true, false, or the path of a file".into(),
        }),
        "true" | "yes" | "on" | "1" => Ok(Trust::system()),
        _ if is_false(text) => Ok(Trust::unverified()),
        _ => match text.strip_prefix(PIN) {
            Some(path) => Trust::pinned_file(path.trim(), portal, context),
            None => Trust::file(text, context),
        },
    }
}
