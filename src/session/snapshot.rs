//! One read of a connection, and all that is made from it: the HTTP client, the addresses, the
//! client ID and the binding. Whatever sends a secret takes a [`Snapshot`], so that what was
//! checked is what is used.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;

use super::Session;
use crate::binding::{differences, Binding};
use crate::connection::{Connection, RenewalFailureNote};
use crate::context::Context;
use crate::error::Result;
use crate::http::{self, ClientCertificate, Http};
use crate::keychain::SecretStore;
use crate::policy::renewal_lock_timeout;
use crate::store::RenewalLock;

/// A connection as it was read at one moment.
pub(crate) struct Snapshot {
    connection: Connection,
    certificates: OnceLock<Option<Vec<u8>>>,
    binding: OnceLock<Binding>,
    http: OnceLock<Http>,
    pub(super) secrets: Arc<dyn SecretStore>,
    pub(super) read_certificate: OnceLock<Arc<ClientCertificate>>,
}

impl Snapshot {
    pub(super) fn new(connection: Connection, keychain: Arc<dyn SecretStore>) -> Self {
        Self {
            connection,
            certificates: OnceLock::new(),
            binding: OnceLock::new(),
            http: OnceLock::new(),
            secrets: keychain,
            read_certificate: OnceLock::new(),
        }
    }

    /// The content of the connection's certificate file, read once: what is bound is what is
    /// trusted. A file that cannot be read has no content, and no record is bound to that.
    pub(crate) fn certificates(&self) -> Option<&[u8]> {
        self.certificates
            .get_or_init(|| {
                http::read_certificate_file(&self.connection.tls)
                    .ok()
                    .flatten()
            })
            .as_deref()
    }

    /// What this connection's secrets must be bound to.
    pub(crate) fn binding(&self) -> &Binding {
        self.binding
            .get_or_init(|| Binding::of(&self.connection, self.certificates()))
    }

    /// The HTTP client for this connection's portal. Created on first use, because the cached token
    /// needs none.
    pub(super) fn http(&self, context: &Context) -> Result<&Http> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let http = self.new_http(context)?;
        Ok(self.http.get_or_init(|| http))
    }

    /// The same with at least this much time, also where less is left of that of the whole command.
    pub(super) fn http_with_time(&self, time: Duration, context: &Context) -> Result<Http> {
        if context.deadline.bound(time) >= time {
            return self.http(context).cloned();
        }
        self.new_http(&Context {
            deadline: context.deadline.at_least(time),
            ..context.clone()
        })
    }

    fn new_http(&self, context: &Context) -> Result<Http> {
        let connection = &self.connection;
        Http::with_certificates(
            connection.api_url(),
            &connection.tls,
            self.certificates(),
            self.presented(context)?,
            &connection.proxy,
            connection.sent_referer(),
            context,
        )
        .map_err(|error| error.about(connection.label.as_str()))
    }
}

impl Deref for Snapshot {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// The renewal lock, and the connection as it was read under it.
pub(crate) struct Locked {
    pub(crate) lock: RenewalLock,
    pub(crate) connection: Snapshot,
    /// When the wait for the lock began.
    since: Timestamp,
}

impl Locked {
    /// What failed in another process while this one waited.
    pub(super) fn failure_meanwhile(&self, now: Timestamp) -> Option<&RenewalFailureNote> {
        let note = self.connection.status.renewal_failure.as_ref()?;
        // One from the future has the date of another clock.
        (self.since < note.at && note.at <= now).then_some(note)
    }
}

impl Session {
    /// Takes the renewal lock, and reads the connection again: another process may have changed it.
    pub(crate) fn lock(&self) -> Result<Locked> {
        let since = self.context.now();
        let limit = renewal_lock_timeout(self.opened.secret_command.is_some());
        let timeout = self.context.deadline.bound(limit);
        let (lock, connection) = self.store.lock(&self.opened, timeout, &self.context)?;
        // The session reads and writes the keychain that it was opened with.
        if connection.keychain != self.opened.keychain {
            return Err(self.changed("its keychain"));
        }
        Ok(Locked {
            lock,
            connection: Snapshot::new(connection, Arc::clone(&self.keychain)),
            since,
        })
    }

    /// The same for work whose result is used with the connection that the session began with: a
    /// token that is handed out together with its portal's URL. Where the two differ in a setting
    /// that secrets are bound to, that is an error.
    pub(super) fn lock_unchanged(&self) -> Result<Locked> {
        // Read the certificates of the first state before the wait.
        let before = self.opened.binding();
        let locked = self.lock()?;
        let changed = differences(Some(before), locked.connection.binding());
        if changed.is_empty() {
            Ok(locked)
        } else {
            Err(self.changed_meanwhile(&changed))
        }
    }
}
