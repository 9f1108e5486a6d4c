//! `logout`: revokes the sign-in at the portal, then deletes it here, even if the portal did not
//! revoke it.

use clap::Args;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape};
use crate::cli::json::{Identity, LogoutAnswer};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant, GrantKind};
use crate::session::SignedOut;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth logout", "sign out of the default connection"),
    ("age-oauth logout --all", "sign out of every connection"),
]))]
pub(in crate::cli) struct LogoutArgs {
    /// Every connection
    #[arg(long, conflicts_with_all = ["connection", "connection_id"])]
    all: bool,
    /// Delete the sign-in here without revoking it at the portal
    #[arg(long)]
    keep_remote: bool,
    /// Print one JSON object for each connection
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn logout(ctx: &mut CommandContext, args: &LogoutArgs) -> Outcome {
    let store = ctx.store()?;
    if !args.all {
        let connection = ctx.connection(&store)?;
        return one(ctx, connection, args);
    }
    let mut worst = ExitCode::Done;
    let listing = store.list(None)?;
    // Before a machine is handed over, a person has to know that these may be signed in still.
    for error in listing.broken {
        let failure = Failure::from(error);
        ctx.fail(&failure);
        worst = worst.worse(failure.exit_code());
    }
    for connection in listing.connections {
        if let Err(failure) = one(ctx, connection, args) {
            ctx.fail(&failure);
            worst = worst.worse(failure.exit_code());
        }
    }
    match worst {
        ExitCode::Done => Ok(()),
        worst => Err(Failure::Multiple { worst }),
    }
}

fn one(ctx: &mut CommandContext, connection: Connection, args: &LogoutArgs) -> Outcome {
    let store = ctx.store()?;
    let session = ctx.network_session(&store, connection);
    let outcome = session.sign_out(args.keep_remote)?;
    if args.json {
        return ctx.answer_json(&LogoutAnswer {
            identity: Identity::of(session.connection()),
            signed_out: outcome != SignedOut::Nothing,
            revoked: outcome == SignedOut::Revoked,
        });
    }
    let label = escape(session.connection().label.as_str());
    let has_api_key = session.connection().grant.kind() == GrantKind::ApiKey;
    let is_printed = has_api_key && session.connection().secret_command.is_some();
    ctx.answer(&match outcome {
        SignedOut::Nothing if has_api_key => {
            format!("[OK] {label} had no API key; there is nothing to do.")
        }
        _ if is_printed => format!(
            "[OK] Whose API key the command of {label} prints is deleted on this machine; the key itself was not stored."
        ),
        _ if has_api_key => format!("[OK] The API key of {label} is deleted on this machine."),
        SignedOut::Revoked => format!("[OK] Signed out of {label}; the portal has revoked the sign-in."),
        SignedOut::Forgotten => format!("[OK] Signed out of {label} on this machine."),
        SignedOut::NotRevoked => {
            format!("[OK] Signed out of {label} on this machine; the portal did not revoke the sign-in.")
        }
        SignedOut::Nothing => format!("[OK] {label} had no sign-in; there is nothing to do."),
    })?;
    match session.connection().grant {
        Grant::User { .. } | Grant::Application => {}
        Grant::Network | Grant::ApiKey { .. } if outcome == SignedOut::Nothing => {}
        Grant::ApiKey { .. } => ctx.console.info(
            "The key lives on at the portal until it expires. To end it now, revoke it on its page there.",
        ),
        Grant::Network => ctx.console.info(&format!(
            "Tokens that scripts hold live until they expire, because the portal cannot revoke them. No new one is requested until: age-oauth login {}",
            connection_flag(session.connection())
        )),
    }
    Ok(())
}
