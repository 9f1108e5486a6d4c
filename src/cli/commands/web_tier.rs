//! `web-tier`: tells the Python package what its requests present to the web server in front of a
//! portal. Each line of standard input asks, each line of standard output answers; the command ends
//! with its input. One process serves all connections of a Python process.

use std::collections::HashMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::json::{self, PresentedAnswer};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::http::check_exportable;
use crate::secret::Secret;
use crate::session::Session;
use crate::store::Selector;

#[derive(Args, Debug)]
#[command(after_help = examples(&[(
    "age-oauth web-tier",
    "answer lines like: authorization ID",
)]))]
pub(in crate::cli) struct WebTierArgs {}

/// What a line asks for.
enum Question {
    /// The value of `Authorization` for one request.
    Authorization { has_body: bool },
    /// The client certificate and its private key.
    Certificate,
    /// Nothing: the web server refused a request, and has to let in the next one.
    Refused,
}

pub(in crate::cli) fn web_tier(ctx: &mut CommandContext) -> Outcome {
    let mut sessions = HashMap::new();
    while let Some(line) = next_line(ctx)? {
        let answer = match answer(ctx, &mut sessions, line.trim()) {
            Ok(answer) => answer,
            Err(failure) => match failure.text() {
                Some(text) => failure.json_line(&text),
                None => return Err(failure),
            },
        };
        ctx.answer(&answer)?;
        ctx.system.out.flush()?;
    }
    Ok(())
}

/// The next line of standard input; `None` at its end.
fn next_line(ctx: &mut CommandContext) -> Result<Option<String>, Failure> {
    match (ctx.system.read_line)().recv_timeout(ctx.bound(Duration::MAX)) {
        Ok(line) => Ok(line),
        Err(RecvTimeoutError::Disconnected) => Ok(None),
        Err(RecvTimeoutError::Timeout) => Err(Failure::usage_hint(
            "standard input did not end in the time that --timeout allows",
            "allow more time, or leave --timeout out",
        )),
    }
}

fn answer(
    ctx: &mut CommandContext,
    sessions: &mut HashMap<String, Session>,
    line: &str,
) -> Result<String, Failure> {
    let (question, id) = parse(line).ok_or_else(|| {
        Failure::usage("a line is a question and the ID of a connection, with a space between")
    })?;
    // A session reads the certificate once, and its file may have changed. It remembers whether the
    // web server has let it in.
    if matches!(question, Question::Certificate | Question::Refused) {
        sessions.remove(id);
    }
    let session = session(ctx, sessions, id)?;
    match question {
        Question::Authorization { has_body } => authorization(session, has_body),
        Question::Certificate => certificate(session),
        Question::Refused => Ok(json::object(&nothing(session))),
    }
}

fn parse(line: &str) -> Option<(Question, &str)> {
    let (word, id) = line.split_once(' ')?;
    let question = match word {
        "authorization" => Question::Authorization { has_body: false },
        "authorization-with-body" => Question::Authorization { has_body: true },
        "certificate" => Question::Certificate,
        "refused" => Question::Refused,
        _ => return None,
    };
    Some((question, id))
}

/// The session of a connection. It is kept, because it knows whether the web server has let it in;
/// where the settings have changed, it begins anew.
fn session<'a>(
    ctx: &mut CommandContext,
    sessions: &'a mut HashMap<String, Session>,
    id: &str,
) -> Result<&'a Session, Failure> {
    ctx.selector = Some(Selector::Id(id.to_owned()));
    let store = ctx.store()?;
    let connection = store.choose(ctx.selector.as_ref(), &ctx.context.environment)?;
    let kept = sessions.remove(id);
    let session = match kept {
        Some(kept) if !kept.is_outdated(&connection) => kept,
        _ => ctx.session_of(&store, connection),
    };
    session.check_machine_policy()?;
    Ok(sessions.entry(id.to_owned()).or_insert(session))
}

fn authorization(session: &Session, has_body: bool) -> Result<String, Failure> {
    let value = session.authorization_for_another_program(has_body)?;
    Ok(json::object(&PresentedAnswer {
        authorization: value.as_ref().map(Secret::expose),
        ..nothing(session)
    }))
}

fn certificate(session: &Session) -> Result<String, Failure> {
    if let Some(setting) = &session.connection().client_certificate {
        check_exportable(&setting.source)?;
    }
    let Some(certificate) = session.client_certificate()? else {
        return Ok(json::object(&nothing(session)));
    };
    let exported = certificate.export()?;
    Ok(json::object(&PresentedAnswer {
        certificate: Some(&exported.chain),
        private_key: Some(exported.private_key.expose()),
        private_key_password: Some(exported.password.expose()),
        ..nothing(session)
    }))
}

fn nothing(session: &Session) -> PresentedAnswer<'static> {
    PresentedAnswer {
        origin: session
            .connection()
            .api_url()
            .origin()
            .map(|origin| origin.ascii_serialization()),
        authorization: None,
        certificate: None,
        private_key: None,
        private_key_password: None,
    }
}
