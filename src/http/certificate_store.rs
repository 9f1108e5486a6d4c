//! The Windows certificate store of the current user, and systems that have none.

use jiff::Timestamp;

#[cfg(windows)]
use super::certificate_store_windows as system;
use super::client_certificate::ClientCertificate;
use super::store_entry::{choose, renewed, StoreChoice};
use crate::connection::{ClientCertificateSetting, StoreCertificate, StoreName};
use crate::context::Attended;
use crate::error::{RenewedCertificate, StoreProblem};

/// The certificate that this name means in the current user's personal store.
pub fn choose_in_store(name: &StoreName, now: Timestamp) -> Result<StoreChoice, StoreProblem> {
    let store = system::Store::open()?;
    Ok(choose(store.entries(), name, now, &|one| {
        store.has_key(one)
    }))
}

/// The certificate that takes the place of this one, which a connection refers to.
pub fn renewed_in_store(
    former: &ClientCertificateSetting,
    now: Timestamp,
) -> Option<RenewedCertificate> {
    let store = system::Store::open().ok()?;
    let found = renewed(store.entries(), former, now, &|one| store.has_key(one))?;
    Some(RenewedCertificate {
        source: found.certificate.to_string(),
        not_after: found.facts.not_after,
    })
}

/// Whether the certificate is in the current user's personal store.
pub fn is_in_store(certificate: &StoreCertificate) -> Result<bool, StoreProblem> {
    let store = system::Store::open()?;
    Ok(store
        .entries()
        .iter()
        .any(|one| one.certificate == *certificate))
}

impl ClientCertificate {
    /// This certificate of the current user's personal store, whose private key signs in Windows or
    /// on a card. `None` if it is not there.
    pub fn in_store(
        certificate: &StoreCertificate,
        attended: Attended,
    ) -> Result<Option<Self>, StoreProblem> {
        system::Store::open()?.load(certificate, attended)
    }
}

/// In place of the store, on systems without one.
#[cfg(not(windows))]
mod system {
    use crate::connection::StoreCertificate;
    use crate::context::Attended;
    use crate::error::StoreProblem;
    use crate::http::client_certificate::ClientCertificate;
    use crate::http::store_entry::StoreEntry;

    /// No store can be opened, so that there is none of these.
    pub(super) enum Store {}

    impl Store {
        pub(super) fn open() -> Result<Self, StoreProblem> {
            Err(StoreProblem::NotWindows)
        }

        pub(super) fn entries(&self) -> Vec<StoreEntry> {
            match *self {}
        }

        pub(super) fn has_key(&self, _: &StoreEntry) -> bool {
            match *self {}
        }

        pub(super) fn load(
            &self,
            _: &StoreCertificate,
            _: Attended,
        ) -> Result<Option<ClientCertificate>, StoreProblem> {
            match *self {}
        }
    }
}
