//! `whoami`: by the portal's own word; never a guess.

use serde_json::json;

use crate::cli::args::WhoamiArgs;
use crate::cli::report::Outcome;
use crate::cli::words::escape;
use crate::cli::Desk;
use crate::connection::Connection;
use crate::error::{Error, SignInNeeded};
use crate::portal::{AppInfo, Identity};

pub(in crate::cli) fn whoami(desk: &mut Desk, args: &WhoamiArgs) -> Outcome {
    if args.offline {
        return from_metadata(desk, args.json);
    }
    let session = desk.session()?;
    let identity = session.whoami()?;
    let connection = session.connection();
    match identity {
        Identity::User { username } => tell_user(desk, connection, &username, args.json),
        Identity::Application(info) => tell_application(desk, connection, &info, args.json),
    }
}

fn from_metadata(desk: &mut Desk, json: bool) -> Outcome {
    let store = desk.store()?;
    let connection = desk.connection(&store)?;
    match connection.status.username.clone() {
        Some(username) => tell_user(desk, &connection, &username, json),
        None if connection.grant.is_application() => {
            let info = AppInfo {
                title: String::new(),
                app_id: connection.client_id.clone(),
                item_id: String::new(),
                owner: String::new(),
            };
            tell_application(desk, &connection, &info, json)
        }
        None => Err(Error::SignInNeeded {
            connection: connection.label.to_string(),
            why: SignInNeeded::Never,
        }
        .into()),
    }
}

fn tell_user(desk: &mut Desk, connection: &Connection, username: &str, json: bool) -> Outcome {
    if !json {
        return desk.answer(&escape(username));
    }
    desk.answer_json(&json!({
        "connection": connection.label.as_str(),
        "id": connection.id.as_str(),
        "portal_url": connection.portal.as_str(),
        "auth_type": "user",
        "username": username,
        "format_version": 1,
    }))
}

fn tell_application(
    desk: &mut Desk,
    connection: &Connection,
    info: &AppInfo,
    json: bool,
) -> Outcome {
    if json {
        return desk.answer_json(&json!({
            "connection": connection.label.as_str(),
            "id": connection.id.as_str(),
            "portal_url": connection.portal.as_str(),
            "auth_type": "app",
            "application": info.title,
            "app_id": info.app_id,
            "item_id": info.item_id,
            "owner": info.owner,
            "format_version": 1,
        }));
    }
    let rows = [
        ("Type", "application"),
        ("Application", &*info.title),
        ("App ID", &*info.app_id),
        ("Item ID", &*info.item_id),
        ("Owner", &*info.owner),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        desk.answer(&format!("{:<13}{}", format!("{name}:"), escape(value)))?;
    }
    Ok(())
}
