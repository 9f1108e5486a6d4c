//! Reading the Windows certificate store of the current user.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls_cng::cert::CertContext;
use rustls_cng::error::CngError;
use rustls_cng::store::{CertStore, CertStoreType};

use super::certificate::sha256;
use super::certificate_store_key::{problem, system_text, StoreKey};
use super::client_certificate::ClientCertificate;
use super::store_entry::StoreEntry;
use super::turn::Turn;
use crate::connection::StoreCertificate;
use crate::context::{Attended, Deadline};
use crate::error::{KeyProblem, StoreProblem};

/// The store of certificates with private keys, and that of intermediate authorities.
const PERSONAL: &str = "MY";
const INTERMEDIATE: &str = "CA";

/// A private key is opened and signs for trial: one after the other, because several connections
/// may have the same card.
static LOADING: Turn = Turn::new();

/// Windows' number for a store that does not exist, because nothing was ever put into it.
const NOT_FOUND: u32 = 2;

/// The current user's personal store, as it was when it was opened.
pub(super) struct Store(Vec<CertContext>);

impl Store {
    pub(super) fn open() -> Result<Self, StoreProblem> {
        let contexts = certificates(PERSONAL).map_err(|error| match error {
            CngError::WindowsError(number) => StoreProblem::Unreadable(system_text(number)),
            other => StoreProblem::Unreadable(other.to_string()),
        })?;
        Ok(Self(contexts))
    }

    pub(super) fn entries(&self) -> Vec<StoreEntry> {
        let entries = self.0.iter().map(CertContext::as_der);
        entries.filter_map(StoreEntry::new).collect()
    }

    /// Opens the private key without asking a person. The error says why Windows does not.
    pub(super) fn key(&self, entry: &StoreEntry) -> Result<(), KeyProblem> {
        let found = self.find(&entry.certificate);
        let context = found.ok_or(KeyProblem::Missing)?;
        match context.acquire_key(true) {
            Ok(_) => Ok(()),
            Err(error) => Err(problem(&error)),
        }
    }

    /// Within this time once no other key is loaded, and before the deadline. Windows' calls cannot
    /// be canceled, so that a window without an answer is left alone.
    pub(super) fn load_in_time(
        self,
        certificate: StoreCertificate,
        attended: Attended,
        limit: Duration,
        deadline: Deadline,
    ) -> Result<Option<ClientCertificate>, StoreProblem> {
        let Some(context) = self.find(&certificate) else {
            return Ok(None);
        };
        let name = subject(context.as_der());
        let load = move || self.load(&certificate, attended);
        let loaded = LOADING.call(deadline, || deadline.bound(limit), load);
        loaded.map_err(|why| StoreProblem::Key {
            subject: name,
            why: KeyProblem::Failed(why.message()),
        })?
    }

    fn load(
        &self,
        certificate: &StoreCertificate,
        attended: Attended,
    ) -> Result<Option<ClientCertificate>, StoreProblem> {
        let Some(context) = self.find(certificate) else {
            return Ok(None);
        };
        let leaf = CertificateDer::from(context.as_der().to_vec());
        let problem = |why| StoreProblem::Key {
            subject: subject(&leaf),
            why,
        };
        let key = StoreKey::open(context, &leaf, attended).map_err(problem)?;
        let made = ClientCertificate::with_key(&leaf, &self.authorities(), Arc::new(key));
        let made = made.map_err(|why| problem(KeyProblem::Failed(why)))?;
        Ok(Some(made))
    }

    fn find(&self, certificate: &StoreCertificate) -> Option<&CertContext> {
        let is_wanted = |context: &&CertContext| sha256(context.as_der()) == *certificate.sha256();
        self.0.iter().find(is_wanted)
    }

    /// What may lead from a certificate to its authority. Windows' own search for a chain is not
    /// used, because it may fetch from the network.
    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        // Without them, the certificate goes alone, which many servers accept.
        let intermediate = certificates(INTERMEDIATE).unwrap_or_default();
        let all = intermediate.iter().chain(&self.0);
        all.map(|context| context.as_der().to_vec().into())
            .collect()
    }
}

fn certificates(store: &str) -> Result<Vec<CertContext>, CngError> {
    match CertStore::open(CertStoreType::CurrentUser, store) {
        Ok(store) => store.find_all(),
        Err(CngError::WindowsError(NOT_FOUND)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn subject(der: &[u8]) -> String {
    StoreEntry::new(der).map_or_else(|| "unreadable".to_owned(), |entry| entry.facts.subject)
}
