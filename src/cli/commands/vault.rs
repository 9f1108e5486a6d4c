//! `vault rekey`: another key for the encrypted file.

use crate::cli::args::{RekeyArgs, VaultCommand};
use crate::cli::report::{Failure, Outcome};
use crate::cli::Desk;
use crate::keychain::VaultKey;
use crate::secret::Secret;

/// A shorter passphrase is guessed by those who get hold of a copy.
const SHORTEST: usize = 12;

pub(in crate::cli) fn vault(desk: &mut Desk, command: &VaultCommand) -> Outcome {
    let VaultCommand::Rekey(args) = command;
    let store = desk.store()?;
    let key = new_key(desk, args)?;
    desk.keychains(&store)
        .rekey_vault(&key)
        .map_err(crate::error::Error::from)?;
    desk.answer("[OK] The vault has a new key.")?;
    if let Some(variable) = match key {
        VaultKey::Base64(_) => Some("AGE_OAUTH_VAULT_KEY"),
        VaultKey::Passphrase(_) => Some("AGE_OAUTH_VAULT_PASSPHRASE"),
        _ => None,
    } {
        desk.talk.remark(&format!(
            "From now on it opens with the new one alone: set {variable} wherever it is used."
        ));
    }
    Ok(())
}

fn new_key(desk: &mut Desk, args: &RekeyArgs) -> Result<VaultKey, Failure> {
    if args.key_stdin {
        return Ok(VaultKey::Base64(read(desk)?));
    }
    if !args.passphrase {
        return Ok(VaultKey::File);
    }
    if !desk.person() {
        let passphrase = read(desk)?;
        long_enough(passphrase.expose()).map_err(Failure::usage)?;
        return Ok(VaultKey::Passphrase(passphrase));
    }
    let first = desk
        .host
        .ask
        .secret("New passphrase (not shown)", &mut long_enough)?;
    desk.host.ask.secret("The same again", &mut |text| {
        if first.matches(text) {
            Ok(())
        } else {
            Err("it is not the same".into())
        }
    })?;
    Ok(VaultKey::Passphrase(first))
}

fn long_enough(text: &str) -> Result<(), String> {
    if text.chars().count() >= SHORTEST {
        Ok(())
    } else {
        Err(format!("a passphrase has at least {SHORTEST} characters"))
    }
}

/// One line of standard input.
fn read(desk: &mut Desk) -> Result<Secret, Failure> {
    let text = (desk.host.read_input)()
        .map_err(|why| Failure::usage(format!("standard input could not be read: {why}")))?;
    let line = text.expose().lines().next().unwrap_or_default();
    Ok(Secret::new(line.to_owned()))
}
