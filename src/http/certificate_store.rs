//! The Windows certificate store of the current user, and systems that have none.

use jiff::Timestamp;

#[cfg(windows)]
use super::certificate_store_windows as system;
use super::client_certificate::ClientCertificate;
use super::store_entry::{choose, renewed, StoreChoice, StoreEntry};
use crate::connection::{ClientCertificateSetting, StoreCertificate, StoreName};
use crate::context::{Attended, Context};
use crate::error::{RenewedCertificate, StoreProblem};
use crate::event::{Event, Wait};
use crate::policy::{KEYCHAIN_TIMEOUT_INTERACTIVE, TOKEN_TIMEOUT};

/// The certificate that this name means in the current user's personal store.
pub fn choose_in_store(name: &StoreName, now: Timestamp) -> Result<StoreChoice, StoreProblem> {
    let store = system::Store::open()?;
    Ok(choose(store.entries(), name, now, &|one| store.key(one)))
}

/// The certificate that takes the place of this one, which a connection refers to.
pub fn renewed_in_store(
    former: &ClientCertificateSetting,
    now: Timestamp,
) -> Option<RenewedCertificate> {
    let store = system::Store::open().ok()?;
    let found = renewed(store.entries(), former, now, &|one| store.key(one).is_ok())?;
    Some(RenewedCertificate {
        source: found.certificate.to_string(),
        not_after: found.facts.not_after,
    })
}

/// This certificate of the current user's personal store. `None` if it is not there.
pub fn find_in_store(certificate: &StoreCertificate) -> Result<Option<StoreEntry>, StoreProblem> {
    let store = system::Store::open()?;
    let mut entries = store.entries().into_iter();
    Ok(entries.find(|one| one.certificate == *certificate))
}

impl ClientCertificate {
    /// This certificate of the current user's personal store, whose private key signs in Windows or
    /// on a card. `None` if it is not there.
    ///
    /// The key signs once, so that Windows asks for a PIN before a server waits, and so that a key
    /// that does not sign or belongs to another certificate is found out.
    pub fn in_store(
        certificate: &StoreCertificate,
        context: &Context,
    ) -> Result<Option<Self>, StoreProblem> {
        let store = system::Store::open()?;
        let attended = context.attended_at_desktop();
        let limit = match attended {
            Attended::Yes => KEYCHAIN_TIMEOUT_INTERACTIVE,
            Attended::No => TOKEN_TIMEOUT,
        };
        let asks = attended == Attended::Yes;
        if asks {
            context.emit(&Event::Waiting(Wait::PrivateKey));
        }
        let loaded = store.load_in_time(*certificate, attended, limit, context.deadline);
        if asks {
            context.emit(&Event::WaitOver);
        }
        loaded
    }
}

/// In place of the store, on systems without one.
#[cfg(not(windows))]
mod system {
    use std::time::Duration;

    use crate::connection::StoreCertificate;
    use crate::context::{Attended, Deadline};
    use crate::error::{KeyProblem, StoreProblem};
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

        pub(super) fn key(&self, _: &StoreEntry) -> Result<(), KeyProblem> {
            match *self {}
        }

        pub(super) fn load_in_time(
            self,
            _: StoreCertificate,
            _: Attended,
            _: Duration,
            _: Deadline,
        ) -> Result<Option<ClientCertificate>, StoreProblem> {
            match self {}
        }
    }
}
