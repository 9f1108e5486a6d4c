//! The client certificate that a person gives to `add` and `edit`.

use std::path::PathBuf;

use crate::binding::Binding;
use crate::certificate_record::{CertificateContent, CertificateRecord};
use crate::connection::{
    CertificateSource, ClientCertificateSetting, Connection, PortalUrl, PortalUrls, Tls,
};
use crate::error::{Error, Result};
use crate::http::ClientCertificate;
use crate::secret::Secret;

/// A client certificate to store.
#[derive(Debug)]
pub struct NewClientCertificate {
    /// What `meta.json` says about it.
    pub setting: ClientCertificateSetting,
    /// The file that it was read from; `None` where it is on a token or in the Windows certificate
    /// store.
    pub file: Option<PathBuf>,
    content: CertificateContent,
}

impl NewClientCertificate {
    /// What is stored of a certificate: itself, or the password of the file, or the PIN of the
    /// token, that the connection refers to; nothing secret of one in the Windows certificate
    /// store.
    #[must_use]
    pub fn new(
        certificate: &ClientCertificate,
        source: CertificateSource,
        file: Option<PathBuf>,
        password: Option<Secret>,
    ) -> Self {
        let pem = match source {
            CertificateSource::Keychain => certificate.to_pem(),
            CertificateSource::File(_)
            | CertificateSource::Token(_)
            | CertificateSource::Store(_) => None,
        };
        let content = pem.map_or(
            CertificateContent::Password(password),
            CertificateContent::Pem,
        );
        Self {
            setting: certificate.setting(source),
            file,
            content,
        }
    }

    /// Whether the password of a file, or the PIN of a token, is stored.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self.content, CertificateContent::Password(Some(_)))
    }

    /// The record, with what it replaces as long as `binding` has pending states.
    pub(super) fn to_record(&self, binding: &Binding, former: Vec<CertificateContent>) -> Secret {
        CertificateRecord {
            binding: binding.clone(),
            content: self.content.duplicate(),
            former,
        }
        .to_record()
    }
}

/// What happens to the client certificate of a connection.
#[derive(Debug, Default)]
pub enum CertificateChange {
    /// It stays, as far as [`check_certificate_stays`] allows.
    #[default]
    Keep,
    /// It is replaced.
    Set(Box<NewClientCertificate>),
    /// It is deleted.
    Remove,
}

impl CertificateChange {
    pub(super) fn apply(&self, connection: &mut Connection, former: &PortalUrls) -> Result<()> {
        match self {
            Self::Set(new) => connection.client_certificate = Some(new.setting.clone()),
            Self::Keep if connection.client_certificate.is_some() => {
                check_certificate_stays(former, &connection.urls)?;
            }
            Self::Keep => {}
            Self::Remove => connection.client_certificate = None,
        }
        Ok(())
    }
}

/// Whether what is presented to web servers, and was chosen for the `former` addresses, may be
/// presented at those after a change: at both of them, so that neither may be at an origin that is
/// new. If it may not, the address at such an origin.
pub(super) fn new_origin<'a>(former: &PortalUrls, after: &'a PortalUrls) -> Option<&'a PortalUrl> {
    let is_new = |url: &&PortalUrl| {
        let origin = url.origin();
        origin != former.browser_url().origin() && origin != former.api_url().origin()
    };
    [after.api_url(), after.browser_url()]
        .into_iter()
        .find(is_new)
}

/// Refuses a client certificate that was chosen for the `former` addresses where one of those
/// `after` a change is at another origin. Nor is it deleted, which could lose the only copy of a
/// private key.
pub fn check_certificate_stays(former: &PortalUrls, after: &PortalUrls) -> Result<()> {
    new_origin(former, after).map_or(Ok(()), |place| {
        let why = format!("it was not chosen for {place}, and is presented to no other server");
        Err(Error::invalid("client certificate", why))
    })
}

/// Refuses a client certificate where it would not be presented, or to anyone. TLS does not let a
/// server in between use it elsewhere, but that server would learn whose it is, and get the token
/// that the web server in front lets only its owner send.
pub fn check_client_certificate(api: &PortalUrl, tls: &Tls) -> Result<()> {
    let bad = |why: &str| Err(Error::invalid("client certificate", why));
    if *tls == Tls::Unverified {
        return bad("it is presented only to a portal whose own certificate is verified; trust the portal's certificate (--verify-ssl FILE, or pin:FILE), or take the client certificate away (--client-cert none)");
    }
    if !api.as_str().starts_with("https://") {
        return bad(
            "it is presented over https alone, and the portal's URL for programs begins with http",
        );
    }
    Ok(())
}

/// The same for a connection as it will be.
pub(super) fn check(connection: &Connection) -> Result<()> {
    match connection.client_certificate {
        Some(_) => check_client_certificate(connection.api_url(), &connection.tls),
        None => Ok(()),
    }
}
