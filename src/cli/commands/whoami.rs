//! `whoami`: asks the portal who the token belongs to. If the portal cannot be asked, that is an
//! error.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::escape;
use crate::cli::json::{self, known, WhoamiAnswer};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant, GrantKind};
use crate::error::{ApiKeyProblem, Error, SignInNeeded};
use crate::portal::{AppInfo, Identity};

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth whoami", "print your user name, as the portal knows it"),
    ("age-oauth whoami -c prod --json", "the same of another connection, as JSON"),
]))]
pub(in crate::cli) struct WhoamiArgs {
    /// Answer from what is stored, without asking the portal
    #[arg(long)]
    offline: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn whoami(ctx: &mut CommandContext, args: &WhoamiArgs) -> Outcome {
    if args.offline {
        return from_store(ctx, args.json);
    }
    let session = ctx.session()?;
    let identity = session.whoami()?;
    let connection = session.connection();
    match identity {
        Identity::User { username } => print_user(ctx, connection, &username, args.json),
        Identity::Application(info) => print_application(ctx, connection, &info, args.json),
    }
}

fn from_store(ctx: &mut CommandContext, json: bool) -> Outcome {
    let store = ctx.store()?;
    let connection = ctx.connection(&store)?;
    let user = match connection.grant.kind() {
        // What `meta.json` says could have been written by anyone.
        GrantKind::ApiKey => ctx.session_of(&store, connection.clone()).api_key_user()?,
        GrantKind::User | GrantKind::Application | GrantKind::Network => {
            connection.status.username.clone()
        }
    };
    match (user, &connection.grant) {
        (Some(username), _) => print_user(ctx, &connection, &username, json),
        (None, Grant::Application) => {
            let info = AppInfo {
                title: String::new(),
                app_id: connection.client_id.clone(),
                item_id: String::new(),
                owner: String::new(),
            };
            print_application(ctx, &connection, &info, json)
        }
        (None, Grant::ApiKey { .. }) => {
            Err(connection.api_key_error(ApiKeyProblem::Missing).into())
        }
        (None, Grant::User { .. } | Grant::Network) => Err(Error::SignInNeeded {
            connection: connection.label.to_string(),
            why: SignInNeeded::Never,
        }
        .into()),
    }
}

fn print_user(
    ctx: &mut CommandContext,
    connection: &Connection,
    username: &str,
    json: bool,
) -> Outcome {
    if !json {
        return ctx.answer(&escape(username));
    }
    ctx.answer_json(&WhoamiAnswer {
        identity: json::Identity::of(connection),
        username: Some(username.to_owned()),
        application: None,
        app_id: None,
        item_id: None,
        owner: None,
    })
}

fn print_application(
    ctx: &mut CommandContext,
    connection: &Connection,
    info: &AppInfo,
    json: bool,
) -> Outcome {
    if json {
        return ctx.answer_json(&WhoamiAnswer {
            identity: json::Identity::of(connection),
            username: None,
            application: known(&info.title),
            app_id: known(&info.app_id),
            item_id: known(&info.item_id),
            owner: known(&info.owner),
        });
    }
    let rows = [
        ("Type", "application"),
        ("Application", &*info.title),
        ("App ID", &*info.app_id),
        ("Item ID", &*info.item_id),
        ("Owner", &*info.owner),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        ctx.answer(&format!("{:<13}{}", format!("{name}:"), escape(value)))?;
    }
    Ok(())
}
