//! `connections remove`: revokes the sign-in, deletes the keychain items, then the folder.

use clap::Args;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, plural};
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::connection_text::broken_folder;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Connection, GrantKind, KeychainKind};
use crate::error::{Error, KeychainReason};
use crate::keychain::Item;
use crate::manage;
use crate::store::{ConnectionStore, Listing};

/// What the user must type to remove everything.
const CONFIRMATION: &str = "DELETE";

#[derive(Args, Debug)]
#[command(after_help = examples(&[
    ("age-oauth connections remove prod", "asks before it removes anything"),
    ("age-oauth connections remove --all", "every connection and every secret"),
]))]
pub(in crate::cli) struct RemoveArgs {
    /// Label or ID
    #[arg(conflicts_with = "all", add = labels())]
    name: Option<String>,
    /// Remove every connection and every secret
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Continue if the keychain cannot be reached; the secrets stay in it
    #[arg(long)]
    leave_secrets: bool,
}

pub(super) fn remove(ctx: &mut CommandContext, args: &RemoveArgs) -> Outcome {
    let store = ctx.store()?;
    if args.all {
        if ctx.selector.is_some() {
            return Err(Failure::usage(
                "give either --all or the name of a connection, not both",
            ));
        }
        return all(ctx, &store, args);
    }
    // Removing cannot be undone, so the default connection must be named, too.
    if args.name.is_none() && ctx.selector.is_none() {
        return Err(Failure::usage_hint(
            "the name of the connection to remove is missing",
            "age-oauth connections remove NAME",
        ));
    }
    let connection = named(ctx, &store, args.name.as_ref())?;
    confirm(ctx, args, &connection)?;
    one(ctx, &store, connection, args)
}

fn confirm(ctx: &mut CommandContext, args: &RemoveArgs, connection: &Connection) -> Outcome {
    if args.yes {
        return Ok(());
    }
    let label = escape(connection.label.as_str());
    require_terminal(ctx, "--yes")?;
    let secrets = match connection.grant.kind() {
        GrantKind::ApiKey => "its API key, which lives on at the portal",
        GrantKind::User | GrantKind::Application | GrantKind::Network => {
            "its client secret and its tokens"
        }
    };
    ctx.console.print(&format!(
        "This removes the connection `{label}` ({}), {secrets}{}{}.",
        escape(connection.browser_url().as_str()),
        if connection.client_certificate.is_some() {
            ", its client certificate"
        } else {
            ""
        },
        match &connection.status.username {
            _ if connection.grant.kind() == GrantKind::ApiKey => String::new(),
            Some(user) => format!(
                ", and revokes the sign-in of `{}` at the portal",
                escape(user)
            ),
            None => String::new(),
        }
    ));
    if ctx.system.ask.confirm("Remove it?", false)? {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the connection `{label}` was not removed"
    )))
}

fn require_terminal(ctx: &CommandContext, flag: &str) -> Outcome {
    if ctx.can_ask() {
        return Ok(());
    }
    Err(Failure::usage_hint(
        "removing deletes secrets and must be confirmed, and there is no terminal for a prompt",
        format!("give {flag}"),
    ))
}

fn one(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    connection: Connection,
    args: &RemoveArgs,
) -> Outcome {
    let label = escape(connection.label.as_str());
    let session = ctx.network_session(store, connection);
    manage::remove(&session, args.leave_secrets).map_err(|error| match error {
        error @ Error::Keychain { .. } => Failure::Hinted {
            error,
            hint: "nothing was removed; to remove the connection and leave its secrets in the keychain: --leave-secrets".into(),
        },
        error => error.into(),
    })?;
    ctx.answer(&format!("[OK] Removed connection: {label}"))
}

fn all(ctx: &mut CommandContext, store: &ConnectionStore, args: &RemoveArgs) -> Outcome {
    let listing = store.list(None)?;
    confirm_all(ctx, args, &listing)?;
    let used = |kind| listing.connections.iter().any(|one| one.keychain == kind);
    let kinds: Vec<_> = KeychainKind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.outlives_connections() || used(*kind))
        .collect();
    let mut worst = ExitCode::Done;
    for connection in listing.connections {
        if let Err(failure) = one(ctx, store, connection, args) {
            ctx.fail(&failure);
            worst = worst.worse(failure.exit_code());
        }
    }
    for error in &listing.broken {
        if let Some(folder) = broken_folder(error) {
            store.remove_broken(folder, &ctx.context)?;
        }
    }
    if worst != ExitCode::Done {
        return Err(Failure::Multiple { worst });
    }
    delete_all_items(ctx, store, &kinds)?;
    ctx.answer("[OK] Removed all connections.")
}

fn confirm_all(ctx: &mut CommandContext, args: &RemoveArgs, listing: &Listing) -> Outcome {
    if args.yes {
        return Ok(());
    }
    require_terminal(ctx, "--yes")?;
    ctx.console.print(&format!(
        "This removes {}, and every secret and token that age-oauth has stored:",
        plural(listing.connections.len(), "connection")
    ));
    for connection in &listing.connections {
        ctx.console
            .print(&format!("  {}", escape(connection.label.as_str())));
    }
    let question = format!("Type {CONFIRMATION} to remove them all");
    let answer = ctx
        .system
        .ask
        .text(&question, Some("no"), &mut |_| Ok(()))?;
    if answer == CONFIRMATION {
        return Ok(());
    }
    Err(Failure::failed("no connection was removed"))
}

/// Deletes every keychain item of this program, whichever connection it belongs to.
fn delete_all_items(
    ctx: &CommandContext,
    store: &ConnectionStore,
    kinds: &[KeychainKind],
) -> Outcome {
    let keychains = ctx.keychains(store);
    for kind in kinds {
        let keychain = keychains.of(*kind);
        let accounts = match keychain.accounts() {
            Ok(accounts) => accounts,
            // Without a keychain, there is nothing to delete.
            Err(error) if error.reason == KeychainReason::Missing => continue,
            Err(error) => return Err(Error::from(error).into()),
        };
        for item in accounts
            .iter()
            .filter_map(|account| Item::from_account(account))
        {
            keychain.delete(&item).map_err(Error::from)?;
        }
    }
    Ok(())
}
