//! `logout`: revokes the sign-in at the portal, then forgets it here, whatever the portal said.

use serde_json::json;

use crate::cli::args::LogoutArgs;
use crate::cli::report::{worse, Failure, Outcome, DONE};
use crate::cli::words::escape;
use crate::cli::Desk;
use crate::connection::Connection;
use crate::session::SignedOut;

pub(in crate::cli) fn logout(desk: &mut Desk, args: &LogoutArgs) -> Outcome {
    let store = desk.store()?;
    if !args.all {
        let connection = desk.connection(&store)?;
        return one(desk, connection, args);
    }
    let mut worst = DONE;
    for connection in store.list(None)?.connections {
        if let Err(failure) = one(desk, connection, args) {
            desk.fail(&failure);
            worst = worse(worst, failure.code());
        }
    }
    match worst {
        DONE => Ok(()),
        code => Err(Failure::Several(code)),
    }
}

fn one(desk: &mut Desk, connection: Connection, args: &LogoutArgs) -> Outcome {
    desk.warn_of(&connection);
    let store = desk.store()?;
    let session = desk.session_of(&store, connection);
    let outcome = session.sign_out(args.keep_remote)?;
    let label = session.connection().label.as_str();
    if args.json {
        return desk.answer_json(&json!({
            "connection": label,
            "id": session.connection().id.as_str(),
            "signed_out": outcome != SignedOut::Nothing,
            "revoked": outcome == SignedOut::Revoked,
            "format_version": 1,
        }));
    }
    let label = escape(label);
    desk.answer(&match outcome {
        SignedOut::Revoked => format!("[OK] Signed out of {label}; the portal has revoked the sign-in."),
        SignedOut::Forgotten => format!("[OK] Signed out of {label} on this machine."),
        SignedOut::NotRevoked => {
            format!("[OK] Signed out of {label} on this machine; the portal did not revoke the sign-in.")
        }
        SignedOut::Nothing => format!("[OK] Nobody was signed in to {label}."),
    })
}
