//! Which certificates are accepted from a portal: as an option, a card, or the portal itself names
//! them.

use std::io::Write;

use tempfile::NamedTempFile;

use super::connection_fields::FieldArgs;
use crate::connection::{PortalUrl, Tls};
use crate::context::Environment;
use crate::error::{Error, FileAction};
use crate::http;
use crate::manage::{read_ca, TlsChange};

/// Which certificates are accepted: for asking the portal now, and for storing.
pub(in crate::cli) struct Trust {
    pub(in crate::cli) tls: Tls,
    pem: Option<(Vec<u8>, String)>,
    /// Keeps the temporary file with the certificates until they are stored.
    _file: Option<NamedTempFile>,
}

impl Trust {
    pub(in crate::cli) fn system() -> Self {
        Self {
            tls: Tls::System,
            pem: None,
            _file: None,
        }
    }

    pub(in crate::cli) fn unverified() -> Self {
        Self {
            tls: Tls::Unverified,
            ..Self::system()
        }
    }

    /// The certificates in a file (PEM or DER).
    pub(in crate::cli) fn file(text: &str, environment: &Environment) -> Result<Self, Error> {
        let path = environment.expand(text);
        Self::certificates(read_ca(&path)?, path.display().to_string())
    }

    /// Only this certificate, which the portal presented.
    pub(in crate::cli) fn exactly(der: &[u8], portal: &PortalUrl) -> Result<Self, Error> {
        let pem = http::to_pem(&[der]);
        Self::certificates(pem, format!("shown by {}", portal.host()))
    }

    fn certificates(pem: String, source: String) -> Result<Self, Error> {
        let failed = |source| Error::File {
            action: FileAction::Write,
            path: std::env::temp_dir(),
            source,
        };
        let mut file = NamedTempFile::new().map_err(failed)?;
        file.write_all(pem.as_bytes()).map_err(failed)?;
        Ok(Self {
            tls: Tls::Ca(file.path().to_owned()),
            pem: Some((pem.into_bytes(), source)),
            _file: Some(file),
        })
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
            (_, Some((pem, source))) => TlsChange::Ca { pem, source },
            _ => TlsChange::System,
        }
    }
}

/// The trust that an option or a card asks for; none if neither does.
pub(in crate::cli) fn wanted_trust(
    args: &FieldArgs,
    environment: &Environment,
) -> Result<Option<Trust>, Error> {
    match (&args.certificates, &args.verify_ssl) {
        (Some((pem, source)), _) => Trust::certificates(pem.clone(), source.clone()).map(Some),
        (None, Some(text)) => trust(text, environment).map(Some),
        (None, None) => Ok(None),
    }
}

/// Reads `--verify-ssl`: the usual spellings of true and false; any other text is the path of a
/// file.
fn trust(text: &str, environment: &Environment) -> Result<Trust, Error> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Err(Error::Invalid {
            what: "--verify-ssl",
            why: "it is empty; give true, false, or the path of a file".into(),
        }),
        "true" | "yes" | "on" | "1" => Ok(Trust::system()),
        "false" | "no" | "off" | "0" => Ok(Trust::unverified()),
        _ => Trust::file(text.trim(), environment),
    }
}
