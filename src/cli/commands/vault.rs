//! `vault rekey`: another key for the encrypted file.

use crate::cli::args::{NewKeyArgs, VaultCommand};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::error::{Error, FileAction};
use crate::keychain::{OldKey, VaultKey};
use crate::secret::Secret;

/// A shorter passphrase is guessed by those who get hold of a copy.
const SHORTEST: usize = 12;

pub(in crate::cli) fn vault(ctx: &mut CommandContext, command: &VaultCommand) -> Outcome {
    let VaultCommand::Rekey(args) = command;
    let store = ctx.store()?;
    let key = new_key(ctx, &args.key)?;
    let old = if args.forget_old {
        OldKey::Forget
    } else {
        OldKey::Keep
    };
    ctx.keychains(&store)
        .rekey_vault(&key, old)
        .map_err(Error::from)?;
    ctx.answer("[OK] The vault has a new key.")?;
    if let Some(setting) = setting(&key) {
        ctx.console.info(&format!(
            "From now on it opens with the new key alone; wherever it is used, set {setting}"
        ));
    }
    Ok(())
}

/// What must be set for the vault to open; nothing for the key file that is found by itself.
fn setting(key: &VaultKey) -> Option<String> {
    Some(match key {
        VaultKey::Chosen(path) => format!(
            "AGE_OAUTH_VAULT_KEY_FILE={}",
            escape(&path.display().to_string())
        ),
        VaultKey::Base64(_) => "AGE_OAUTH_VAULT_KEY".to_owned(),
        VaultKey::Passphrase(_) => "AGE_OAUTH_VAULT_PASSPHRASE".to_owned(),
        VaultKey::File => return None,
    })
}

fn new_key(ctx: &mut CommandContext, args: &NewKeyArgs) -> Result<VaultKey, Failure> {
    if let Some(path) = &args.key_file {
        let path = std::path::absolute(path).map_err(|source| Error::File {
            action: FileAction::Locate,
            path: path.clone(),
            source,
        })?;
        return Ok(VaultKey::Chosen(path));
    }
    if let Some(name) = &args.key_variable {
        let key = ctx.context.environment.var(name).ok_or_else(|| {
            Failure::usage_hint(
                format!("the environment variable {name} is not set"),
                "put 32 bytes in base64 into it, and export it",
            )
        })?;
        return Ok(VaultKey::Base64(Secret::new(key)));
    }
    if args.key_stdin {
        return Ok(VaultKey::Base64(read(ctx)?));
    }
    if args.passphrase {
        return passphrase(ctx).map(VaultKey::Passphrase);
    }
    Ok(VaultKey::File)
}

fn passphrase(ctx: &mut CommandContext) -> Result<Secret, Failure> {
    if !ctx.person() {
        let passphrase = read(ctx)?;
        long_enough(passphrase.expose()).map_err(Failure::usage)?;
        return Ok(passphrase);
    }
    let first = ctx
        .system
        .ask
        .secret("New passphrase (not shown)", &mut long_enough)?;
    ctx.system.ask.secret("The same again", &mut |text| {
        if first.matches(text) {
            Ok(())
        } else {
            Err("it is not the same".into())
        }
    })?;
    Ok(first)
}

fn long_enough(text: &str) -> Result<(), String> {
    if text.chars().count() >= SHORTEST {
        Ok(())
    } else {
        Err(format!("a passphrase has at least {SHORTEST} characters"))
    }
}

/// One line of standard input.
fn read(ctx: &mut CommandContext) -> Result<Secret, Failure> {
    let text = (ctx.system.read_input)()
        .map_err(|why| Failure::usage(format!("standard input could not be read: {why}")))?;
    let line = text.expose().lines().next().unwrap_or_default();
    Ok(Secret::new(line.to_owned()))
}
