//! The keychain's record of a client certificate.

use serde::{Deserialize, Serialize};

use crate::binding::{Binding, Settings};
use crate::secret::Secret;

/// The version of the record.
const RECORD_VERSION: u32 = 1;

/// A client certificate in the keychain, and what it may be used for.
#[derive(Debug)]
pub struct CertificateRecord {
    /// What it may be used for.
    pub binding: Binding,
    /// The secret itself.
    pub content: CertificateContent,
    /// What it replaces. A change that is interrupted leaves `meta.json` with a source that only
    /// this fits, so that it is stored as long as the binding has pending states.
    pub former: Vec<CertificateContent>,
}

/// What the keychain holds of a client certificate.
#[derive(Debug)]
pub enum CertificateContent {
    /// Certificates and private key, as PEM.
    Pem(Secret),
    /// The password of the file that has them; `None` where the file needs none.
    Password(Option<Secret>),
}

impl CertificateContent {
    fn of(pem: Option<Secret>, password: Option<Secret>) -> Self {
        pem.map_or_else(|| Self::Password(password), Self::Pem)
    }

    /// A second copy. Not `Clone`, so that copies are not made by accident.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Pem(pem) => Self::Pem(pem.duplicate()),
            Self::Password(password) => Self::Password(password.as_ref().map(Secret::duplicate)),
        }
    }
}

impl CertificateRecord {
    /// Takes out this password, wherever the record has it; `false` where it does not.
    pub fn forget(&mut self, password: &Secret) -> bool {
        let mut found = false;
        for content in self.former.iter_mut().chain([&mut self.content]) {
            if let CertificateContent::Password(held) = content {
                let is_it = |held: &mut Secret| held.matches(password.expose());
                found |= held.take_if(is_it).is_some();
            }
        }
        found
    }

    /// The record as the keychain stores it.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        self.to_record_for(&self.binding)
    }

    /// The same with another binding.
    #[must_use]
    pub fn to_record_for(&self, binding: &Binding) -> Secret {
        let content = Content::of(&self.content);
        let former = if binding.pending.is_empty() {
            Vec::new()
        } else {
            self.former.iter().map(Content::of).collect()
        };
        Secret::serialize(&Record {
            version: RECORD_VERSION,
            portal_url: &binding.portal_url,
            client_id: &binding.client_id,
            settings: binding.settings.as_ref(),
            pending: &binding.pending,
            pem: content.pem,
            password: content.password,
            former,
        })
    }

    /// Reads a record. `None` for any other text.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        let record: OwnedRecord = serde_json::from_str(record.expose()).ok()?;
        (record.version == RECORD_VERSION).then_some(())?;
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
                settings: record.settings,
                pending: record.pending,
            },
            content: CertificateContent::of(record.pem, record.password),
            former: record
                .former
                .into_iter()
                .map(|one| CertificateContent::of(one.pem, one.password))
                .collect(),
        })
    }
}

#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    portal_url: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Settings>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pending: &'a [Binding],
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    former: Vec<Content<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

impl<'a> Content<'a> {
    fn of(content: &'a CertificateContent) -> Self {
        let (pem, password) = match content {
            CertificateContent::Pem(pem) => (Some(pem), None),
            CertificateContent::Password(password) => (None, password.as_ref()),
        };
        Self {
            pem: pem.map(Secret::expose),
            password: password.map(Secret::expose),
        }
    }
}

#[derive(Deserialize)]
struct OwnedRecord {
    version: u32,
    portal_url: String,
    client_id: String,
    settings: Option<Settings>,
    #[serde(default)]
    pending: Vec<Binding>,
    pem: Option<Secret>,
    password: Option<Secret>,
    #[serde(default)]
    former: Vec<OwnedContent>,
}

#[derive(Deserialize)]
struct OwnedContent {
    pem: Option<Secret>,
    password: Option<Secret>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::connection::{Connection, Grant};

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let portal = "https://gis.example.com/portal".parse().unwrap();
        let label = "prod".parse().unwrap();
        let connection = Connection::new(label, portal, Grant::Application, "id".into());
        let secret = |text: &str| Secret::new(text.to_owned());
        for content in [
            CertificateContent::Pem(secret("-----BEGIN \"\n")),
            CertificateContent::Password(Some(secret("päss"))),
            CertificateContent::Password(None),
        ] {
            let binding = Binding::of(&connection, None);
            let record = CertificateRecord {
                binding,
                content,
                former: Vec::new(),
            };
            let read = CertificateRecord::from_record(&record.to_record()).unwrap();
            assert_eq!(read.binding, record.binding);
            match (&read.content, &record.content) {
                (CertificateContent::Pem(read), CertificateContent::Pem(written)) => {
                    assert!(read.matches(written.expose()));
                }
                (CertificateContent::Password(read), CertificateContent::Password(written)) => {
                    assert_eq!(
                        read.as_ref().map(Secret::expose),
                        written.as_ref().map(Secret::expose)
                    );
                }
                _ => unreachable!(),
            }
        }
        let mut record = CertificateRecord {
            binding: Binding::of(&connection, None),
            content: CertificateContent::Pem(secret("1234")),
            former: ["1234", "5678"]
                .map(|pin| CertificateContent::Password(Some(secret(pin))))
                .into(),
        };
        assert!(!record.forget(&secret("0000")));
        assert!(record.forget(&secret("1234")) && !record.forget(&secret("1234")));
        assert!(matches!(record.content, CertificateContent::Pem(_)));
        let left = [&record.former[0], &record.former[1]];
        assert!(matches!(
            left,
            [
                CertificateContent::Password(None),
                CertificateContent::Password(Some(_))
            ]
        ));
        let content = || CertificateContent::Pem(secret("new"));
        let former = || vec![CertificateContent::Password(Some(secret("old")))];
        let binding = Binding::of(&connection, None);
        for (binding, kept) in [(binding.with_pending([binding.clone()]), 1), (binding, 0)] {
            let (content, former) = (content(), former());
            let record = CertificateRecord {
                binding,
                content,
                former,
            };
            let read = CertificateRecord::from_record(&record.to_record()).unwrap();
            assert_eq!(read.former.len(), kept);
            assert!(!read
                .former
                .iter()
                .any(|one| matches!(one, CertificateContent::Pem(_))));
        }
        for other in [
            "",
            "{}",
            r#"{"version":2,"portal_url":"a","client_id":"b"}"#,
        ] {
            assert!(CertificateRecord::from_record(&secret(other)).is_none());
        }
    }
}
