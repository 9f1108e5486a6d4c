//! Signing in: a user with a browser, an application with its client secret, or whom the web server
//! in front of the portal vouches for.

use std::sync::Mutex;

use super::status::this_machine;
use super::{Locked, Session, TokenRequest, UsableToken};
#[cfg(feature = "cli")]
use crate::bound_setting::BoundSetting;
use crate::connection::Status;
use crate::error::{Overridden, Result};
use crate::event::Decision;
use crate::keychain::{check_writable, ItemKind};
use crate::oauth::{AuthorizationCode, SignInAttempt, SignInOptions};
use crate::portal::{self, AppInfo};
use crate::store::RenewalLock;
use crate::token::Tokens;
use crate::util::lock;

/// A sign-in that the portal has granted and that is not stored yet. Between the two, a person may
/// be asked whether it is the right user. [`Session::accept`] stores it, [`Session::discard`]
/// revokes it.
#[derive(Debug)]
pub struct PendingSignIn {
    /// Taken by what ends the pending state, so that storing and revoking exclude each other.
    tokens: Mutex<Option<Tokens>>,
    username: String,
}

impl PendingSignIn {
    /// The user who signed in.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }
}

impl Session {
    /// Binds the secrets of a connection that was just added to its settings, for a program that
    /// adds connections itself (`connections add` does it). Without it, a sign-in accepts only
    /// verification by the system's authorities, the system's proxy setting and PKCE.
    ///
    /// Settings that differ from those that are bound already are an error of the keychain. So is a
    /// command for the client secret, which only `connections add` and `connections edit` choose.
    pub fn bind_settings(&self) -> Result<()> {
        let Locked { connection, .. } = &self.lock_unchanged()?;
        if connection.secret_command.is_some() || self.stored_binding(connection)?.is_some() {
            return self.check_settings(connection);
        }
        self.write_binding(connection)
    }

    /// The settings that only the connection's files name, because the keychain has no record of
    /// the connection: the files came from another machine, or the keychain was lost. A person can
    /// confirm them with [`Self::bind_settings`]. Empty where there is a record, whatever it says.
    #[cfg(feature = "cli")]
    pub(crate) fn unconfirmed_settings(&self) -> Result<Vec<BoundSetting>> {
        self.unconfirmed(&self.opened)
    }

    /// The certificates that the connection trusts, from the read that its binding is made of.
    #[cfg(feature = "cli")]
    pub(crate) fn certificates(&self) -> Option<&[u8]> {
        self.opened.certificates()
    }

    /// Begins a user's sign-in.
    ///
    /// Before that, tries everything on this machine that the end of the sign-in needs: the
    /// renewal lock, the client secret, the certificates, a write to the keychain, and a ticket
    /// for Windows sign-in. A person must not go through the portal's pages for a sign-in that
    /// cannot be stored.
    pub fn begin_sign_in(&self, options: &SignInOptions) -> Result<SignInAttempt> {
        let connection = &self.opened;
        self.check_machine_policy()?;
        let policy = &self.context.machine_policy;
        let options = SignInOptions {
            minutes: policy.sign_in_minutes(options.minutes, Overridden::Answer)?,
            ..options.clone()
        };
        let attempt = SignInAttempt::begin(connection, &options)?;
        self.check_settings(connection)?;
        drop(self.lock_unchanged()?);
        self.client_secret(connection)?;
        check_writable(self.keychain.as_ref(), connection.id.as_str())
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))?;
        let http = connection.http(&self.context)?;
        http.check_windows_sign_in()
            .map_err(|error| error.about(connection.label.as_str()))?;
        Ok(attempt)
    }

    /// Whose the stored sign-in is, as the keychain says; as `meta.json` says where the keychain's
    /// record cannot be read, because a sign-in replaces that. `None` without a sign-in.
    #[must_use]
    pub fn stored_user(&self) -> Option<String> {
        let tokens = self.read_tokens(&self.opened).ok().flatten();
        let stored = tokens.and_then(|tokens| tokens.username);
        stored.or_else(|| self.opened.status.username.clone())
    }

    /// Gets tokens for the authorization code, and asks who signed in where the portal did not say.
    /// Stores nothing and takes no lock. A sign-in whose user the portal does not name is revoked.
    pub fn exchange_code(
        &self,
        sign_in: &mut SignInAttempt,
        code: AuthorizationCode,
    ) -> Result<PendingSignIn> {
        let connection = &self.opened;
        self.check_settings(connection)?;
        let http = connection.http(&self.context)?;
        let secret = self.client_secret(connection)?;
        let now = self.context.now();
        let response = sign_in.finish(code, http, connection, secret.as_ref(), now)?;
        let mut tokens = Tokens::new(connection.binding().clone());
        tokens.refresh = response.refresh;
        tokens.signed_in_at = Some(now);
        self.limit_sign_in(&mut tokens);
        let username = match response.username {
            Some(name) => name,
            None => self
                .explain_identity(portal::username(http, &response.access.secret))
                .inspect_err(|_| {
                    self.revoke_in_any_case(connection, &tokens);
                })?,
        };
        tokens.username = Some(username.clone());
        tokens.set_access_token(response.access);
        Ok(PendingSignIn {
            tokens: Mutex::new(Some(tokens)),
            username,
        })
    }

    /// Stores a sign-in, then revokes the one that it replaces. A sign-in that cannot be stored is
    /// revoked, because it would live on at the portal without an owner.
    ///
    /// A [`discard`](Self::discard) on another thread waits until this is done. One that came first
    /// leaves nothing to store, which is an error.
    pub fn accept(&self, pending: &PendingSignIn) -> Result<UsableToken> {
        // The wait for the lock may be long, and may be interrupted.
        let locked = self.lock_unchanged().inspect_err(|_| {
            self.discard(pending);
        })?;
        let mut guard = lock(&pending.tokens);
        let Some(tokens) = guard.take() else {
            return Err(self.never_signed_in(&locked.connection));
        };
        let replaced = self.store_sign_in(&locked, &tokens).inspect_err(|_| {
            self.revoke_in_any_case(&self.opened, &tokens);
        })?;
        let Locked {
            lock, connection, ..
        } = locked;
        self.copy_status(&lock, &connection, &tokens);
        self.record_sign_in(&lock, |status| {
            status.username = Some(pending.username.clone());
        });
        // Revoking may take long, and what it revokes is no longer stored: do not make
        // other processes wait.
        drop(lock);
        if let Some(replaced) = replaced {
            self.revoke_in_any_case(&connection, &replaced);
        }
        self.emit_decision(Decision::SignedIn);
        UsableToken::from_tokens(tokens, Decision::SignedIn)
            .ok_or_else(|| self.never_signed_in(&connection))
    }

    /// Writes the new tokens. Returns those that they replace. Tokens that were granted for other
    /// settings than the present ones are not stored.
    fn store_sign_in(&self, locked: &Locked, tokens: &Tokens) -> Result<Option<Tokens>> {
        let connection = &locked.connection;
        // A stored sign-in that cannot be read is replaced, too.
        let replaced = self.read_tokens(connection).ok().flatten();
        self.write_tokens(connection, tokens)?;
        self.keep_binding(connection);
        Ok(replaced)
    }

    /// Revokes a sign-in that is not wanted. Does nothing where it was stored or revoked already.
    pub fn discard(&self, pending: &PendingSignIn) {
        // Held until the portal has answered: another thread may end the process after this.
        let mut guard = lock(&pending.tokens);
        if let Some(tokens) = guard.take() {
            self.revoke_in_any_case(&self.opened, &tokens);
        }
    }

    /// Gets a token for the user whom the web server in front of the portal vouches for. Stores
    /// nothing: [`Session::accept`] does.
    pub fn sign_in_network(&self) -> Result<PendingSignIn> {
        self.check_machine_policy()?;
        self.check_settings(&self.opened)?;
        check_writable(self.keychain.as_ref(), self.opened.id.as_str())
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))?;
        let tokens = self.vouched_for_sign_in()?;
        let username = tokens.username.clone().unwrap_or_default();
        Ok(PendingSignIn {
            tokens: Mutex::new(Some(tokens)),
            username,
        })
    }

    /// Signs an application in: gets an access token, and asks the portal which application it is
    /// for.
    pub fn sign_in_application(&self) -> Result<(UsableToken, AppInfo)> {
        self.check_machine_policy()?;
        let locked = self.lock_unchanged()?;
        let token = self
            .renew(&locked, None, &TokenRequest::default())
            .inspect_err(|error| self.record_failure(&locked.lock, error))?;
        let Locked {
            lock, connection, ..
        } = locked;
        self.record_sign_in(&lock, |_| ());
        drop(lock);
        self.emit_decision(Decision::SignedIn);
        let http = connection.http(&self.context)?;
        let info = self.explain_identity(portal::app_info(http, &token.access.secret))?;
        self.confirm_api_url();
        Ok((token, info))
    }

    /// Writes to `meta.json` that, when and where this connection signed in. Clears the last
    /// failure.
    fn record_sign_in(&self, lock: &RenewalLock, change: impl FnOnce(&mut Status)) {
        let now = self.context.now();
        self.update_status_best_effort(lock, |status| {
            change(status);
            status.signed_in_at = Some(now);
            status.machine = Some(this_machine());
            status.last_failure = None;
        });
    }
}
