//! `vault rekey`: seals the vault with another key.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::env;
use crate::error::{Error, FileAction};
use crate::keychain::{OldKey, VaultKey};
use crate::policy::MIN_PASSPHRASE_CHARACTERS;
use crate::secret::Secret;

/// Change the key of the vault
#[derive(Debug, Subcommand)]
#[command(defer = true)]
#[command(after_help = examples(&[("age-oauth vault rekey", "seal the vault with a new key")]))]
pub(in crate::cli) enum VaultCommand {
    /// Encrypt the vault with another key [default: a new key in the vault's key file]
    Rekey(RekeyArgs),
}

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth vault rekey", "a new random key"),
    ("age-oauth vault rekey --passphrase", "asks for a passphrase"),
    ("age-oauth vault rekey --key-file /etc/age-oauth.key --forget-old", "a key file of your own"),
]))]
pub(in crate::cli) struct RekeyArgs {
    #[command(flatten)]
    key: NewKeyArgs,
    /// Erase the old key from its key file; copies of the vault, and other stores with that file,
    /// need it
    #[arg(long)]
    forget_old: bool,
}

// Ways to hand over a new key. Without one, a random key is put in the vault's own key file.
#[derive(Args, Debug, Default)]
#[group(multiple = false)]
struct NewKeyArgs {
    #[arg(
        long,
        value_name = "FILE",
        help = format!("The key in this file (see {}); created if missing", env::AGE_OAUTH_VAULT_KEY_FILE)
    )]
    key_file: Option<PathBuf>,
    #[arg(
        long,
        value_name = "NAME",
        help = format!("The key in this variable: 32 bytes in hexadecimal or base64 (see {})", env::AGE_OAUTH_VAULT_KEY)
    )]
    key_variable: Option<String>,
    /// The key on standard input: 32 bytes in hexadecimal or base64
    #[arg(long)]
    key_stdin: bool,
    /// A passphrase, asked for on a terminal, else read from standard input
    #[arg(long)]
    passphrase: bool,
}

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
            "From now on, only the new key opens the vault. Wherever the vault is used, set {setting}"
        ));
    }
    Ok(())
}

/// The variable to set so that the vault opens; `None` for the vault's own key file, which needs
/// none.
fn setting(key: &VaultKey) -> Option<String> {
    Some(match key {
        VaultKey::NamedFile(path) => format!(
            "{}={}",
            env::AGE_OAUTH_VAULT_KEY_FILE,
            escape(&path.display().to_string())
        ),
        VaultKey::Text(_) => env::AGE_OAUTH_VAULT_KEY.to_owned(),
        VaultKey::Passphrase(_) => env::AGE_OAUTH_VAULT_PASSPHRASE.to_owned(),
        VaultKey::KeyFile => return None,
    })
}

fn new_key(ctx: &mut CommandContext, args: &NewKeyArgs) -> Result<VaultKey, Failure> {
    if let Some(path) = &args.key_file {
        let path = std::path::absolute(path).map_err(|source| Error::File {
            action: FileAction::Locate,
            path: path.clone(),
            source,
        })?;
        return Ok(VaultKey::NamedFile(path));
    }
    if let Some(name) = &args.key_variable {
        let unusable = |why| {
            Failure::usage_hint(
                format!("the environment variable {name} {why}"),
                "set it to 32 random bytes (openssl rand -hex 32), and export it",
            )
        };
        let value = ctx.context.environment.var_os(name);
        let key = value.ok_or_else(|| unusable("is not set"))?;
        let key = key
            .into_string()
            .map_err(|_| unusable("is not valid UTF-8"))?;
        return Ok(VaultKey::Text(Secret::new(key)));
    }
    if args.key_stdin {
        return Ok(VaultKey::Text(read(ctx)?));
    }
    if args.passphrase {
        return passphrase(ctx).map(VaultKey::Passphrase);
    }
    Ok(VaultKey::KeyFile)
}

fn passphrase(ctx: &mut CommandContext) -> Result<Secret, Failure> {
    if !ctx.can_ask() {
        let passphrase = read(ctx)?;
        long_enough(passphrase.expose()).map_err(Failure::usage)?;
        return Ok(passphrase);
    }
    let first = ctx
        .system
        .ask
        .secret("New passphrase (not shown)", &mut long_enough)?;
    ctx.system
        .ask
        .secret("New passphrase again (not shown)", &mut |text| {
            if first.matches(text) {
                Ok(())
            } else {
                Err("the two passphrases differ".into())
            }
        })?;
    Ok(first)
}

fn long_enough(text: &str) -> Result<(), String> {
    if text.chars().count() >= MIN_PASSPHRASE_CHARACTERS {
        Ok(())
    } else {
        Err(format!(
            "a passphrase must have at least {MIN_PASSPHRASE_CHARACTERS} characters"
        ))
    }
}

/// One line of standard input.
fn read(ctx: &mut CommandContext) -> Result<Secret, Failure> {
    let text = ctx.read_input("the passphrase")?;
    let line = text.expose().lines().next().unwrap_or_default();
    Ok(Secret::new(line.to_owned()))
}
