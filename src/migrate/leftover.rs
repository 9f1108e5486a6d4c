//! Completes an import that was interrupted: what the keychain lacks is stored, then the plaintext
//! goes. Of two sign-ins, the newer one stays.

use super::convert::note_sign_in;
use super::execute::Migrated;
use super::note::Note;
use super::package_connection::PackageConnection;
use super::plan::{has_refresh, Leftover, Migration};
use crate::error::{Error, KeychainReason, Result};
use crate::session::{Locked, Session, Snapshot};
use crate::store::RenewalLock;
use crate::token::Tokens;

impl Migration<'_> {
    /// Completes an import that was interrupted: what the keychain lacks is stored, then the
    /// plaintext goes.
    pub fn resume(&self, leftover: Leftover) -> Result<Migrated> {
        let Leftover { connection, old } = leftover;
        let session = Session::new(
            self.store.clone(),
            connection.clone(),
            self.keychains.of(connection.keychain),
            self.context.clone(),
        );
        let Locked {
            lock,
            connection: snapshot,
            ..
        } = session.lock()?;
        session.check_settings(&snapshot)?;
        let mut migrated = Migrated {
            connection: snapshot.clone(),
            resumed: true,
            had_secret: false,
            extend: false,
            stray: None,
            left: None,
            notes: Vec::new(),
        };
        let Some(mut old) = old.filter(|old| old.folder.exists()) else {
            migrated.extend = has_sign_in(&session, &snapshot);
            return Ok(migrated);
        };
        if old.has_env() {
            self.resume_secret(&session, &snapshot, &old)?;
            migrated.had_secret = old.client_secret.is_some();
            self.resume_tokens(&session, (&lock, &snapshot), &mut migrated, &mut old)?;
        } else {
            migrated.extend = has_sign_in(&session, &snapshot);
        }
        migrated.left = self
            .wipe(&migrated.connection, &old, &mut migrated.notes)
            .err();
        Ok(migrated)
    }

    /// Keeps the newer one of the sign-in in the plaintext and that in the keychain.
    fn resume_tokens(
        &self,
        session: &Session,
        (lock, snapshot): (&RenewalLock, &Snapshot),
        migrated: &mut Migrated,
        old: &mut PackageConnection,
    ) -> Result<()> {
        let binding = snapshot.binding();
        let Some(tokens) = self.tokens(old, snapshot, binding.clone(), &mut migrated.notes) else {
            return Ok(());
        };
        match compare(session, snapshot, &tokens, old)? {
            Newer::Plaintext => {
                self.store_secrets(snapshot, binding, None, Some(&tokens))?;
                migrated.connection = self
                    .store
                    .update(lock, |connection| note_sign_in(connection, &tokens))?;
                migrated.extend = true;
            }
            Newer::Neither => migrated.extend = true,
            Newer::Keychain => {
                migrated.notes.push(Note::KeychainIsNewer);
                // This connection's former sign-in is spent; one that was made beside it is still
                // valid.
                if migrated.connection.id.as_str() != old.id {
                    migrated.stray = tokens.refresh.map(|refresh| refresh.secret);
                }
            }
            Newer::Nothing => {}
        }
        Ok(())
    }

    /// Stores a client secret that the keychain lacks. Only a person knows which of the two is
    /// right.
    fn resume_secret(
        &self,
        session: &Session,
        connection: &Snapshot,
        old: &PackageConnection,
    ) -> Result<()> {
        let Some(secret) = &old.client_secret else {
            return Ok(());
        };
        match session.read_client_secret(connection)? {
            Some(kept) if kept.matches(secret.expose()) => Ok(()),
            None => self.store_secrets(connection, connection.binding(), Some(secret), None),
            Some(_) => Err(Error::Corrupt {
                path: old.env_path(),
                why: format!(
                    "its client secret differs from the one in the keychain for `{}`; delete that line, or store this client secret with `age-oauth connections edit`, then import again",
                    connection.label
                ),
            }),
        }
    }
}

/// Whether there is a sign-in that can be exchanged.
fn has_sign_in(session: &Session, connection: &Snapshot) -> bool {
    let kept = session.read_tokens(connection).ok().flatten();
    has_refresh(kept.as_ref())
}

fn compare(
    session: &Session,
    connection: &Snapshot,
    plaintext: &Tokens,
    old: &PackageConnection,
) -> Result<Newer> {
    let Some(theirs) = &plaintext.refresh else {
        return Ok(Newer::Nothing);
    };
    let kept = match session.read_tokens(connection) {
        Err(Error::Keychain { error, .. }) if error.reason == KeychainReason::Lost => None,
        Err(Error::SignInNeeded { .. }) => None,
        other => other?,
    };
    let Some(ours) = kept.and_then(|tokens| tokens.refresh) else {
        return Ok(Newer::Plaintext);
    };
    if ours.secret.matches(theirs.secret.expose()) {
        return Ok(Newer::Neither);
    }
    // A program of the old package that still ran may have extended the sign-in and written its
    // file anew.
    let noted = old.refresh.as_ref().and_then(|refresh| refresh.issued_at);
    let later = noted.is_some_and(|at| at.as_second() > ours.issued_at.as_second());
    Ok(if later && connection.id.as_str() == old.id {
        Newer::Plaintext
    } else {
        Newer::Keychain
    })
}

/// Which sign-in is the newer one.
enum Newer {
    Plaintext,
    Keychain,
    /// They are the same.
    Neither,
    /// The plaintext holds none.
    Nothing,
}
