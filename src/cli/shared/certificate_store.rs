//! The certificates of the Windows certificate store, as a person chooses among them.

use crate::cli::failure::Failure;
use crate::cli::format::{argument, escape, local_and_left};
use crate::cli::CommandContext;
use crate::connection::{StoreCertificate, StoreName};
use crate::error::{Error, StoreProblem};
use crate::http::{choose_in_store, StoreChoice, StoreEntry};

/// The certificate that a person named. Among several, a person at a terminal chooses; elsewhere
/// they are listed as what can be typed.
pub(in crate::cli) fn chosen(ctx: &mut CommandContext, name: &str) -> Result<StoreEntry, Failure> {
    let name = StoreName::from(name);
    let choice = choose_in_store(&name, ctx.context.now());
    match choice.map_err(failed)? {
        StoreChoice::One(entry) => Ok(*entry),
        StoreChoice::None(why) => Err(Failure::usage_hint(
            format!("Windows certificate store: {why}"),
            match name {
                StoreName::Any => "insert the card, or import the certificate with its private key (certmgr.msc, Personal); or give a file: --client-cert FILE.p12",
                StoreName::Sha1(_) | StoreName::Sha256(_) | StoreName::Subject(_) => {
                    "give --client-cert store: to choose among those that can be presented, or a file: --client-cert FILE.p12"
                }
            },
        )),
        StoreChoice::Several(entries) if ctx.can_ask() => {
            let choices: Vec<_> = entries.iter().map(line).collect();
            let chosen = ctx.system.ask.choose(QUESTION, &choices, 0)?;
            let entry = entries.into_iter().nth(chosen);
            entry.ok_or_else(|| Failure::usage("no certificate was chosen"))
        }
        StoreChoice::Several(entries) => Err(several(ctx, &entries)),
    }
}

pub(in crate::cli) const QUESTION: &str = "Client certificate";

/// Those that can be presented, for a question; none on systems without the store.
pub(in crate::cli) fn presentable(ctx: &CommandContext) -> Vec<StoreEntry> {
    match choose_in_store(&StoreName::Any, ctx.context.now()) {
        Ok(StoreChoice::One(entry)) => vec![*entry],
        Ok(StoreChoice::Several(entries)) => entries,
        Ok(StoreChoice::None(_)) | Err(_) => Vec::new(),
    }
}

/// What tells a certificate from others in a question, short enough for a line of a terminal: with
/// the beginning of its thumbprint, as Windows shows it.
pub(in crate::cli) fn line(entry: &StoreEntry) -> String {
    let start = |text: &str, length| text.get(..length).unwrap_or(text).to_owned();
    format!(
        "{}, issued by {}, until {}, thumbprint {}…",
        escape(&entry.name),
        escape(&entry.issuer),
        start(&entry.facts.not_after, "2026-01-01".len()),
        start(&entry.thumbprint, 8)
    )
}

/// Whose it is, who issued it, and its end.
fn description(ctx: &CommandContext, entry: &StoreEntry) -> String {
    format!(
        "{}, issued by {}, until {}",
        escape(&entry.facts.subject),
        escape(&entry.facts.issuer),
        local_and_left(entry.not_after, ctx.context.now(), &ctx.system.zone)
    )
}

/// The error where a name fits several, with what names each of them.
fn several(ctx: &CommandContext, entries: &[StoreEntry]) -> Failure {
    let option = |entry: &StoreEntry| {
        let name = format!("{}{}", StoreCertificate::SCHEME, entry.thumbprint);
        format!("--client-cert {}", argument(&name))
    };
    let lines = entries
        .iter()
        .map(|entry| format!("{}  ({})", option(entry), description(ctx, entry)));
    let message = format!(
        "{} certificates of the Windows certificate store fit, and there is no terminal for a question",
        entries.len()
    );
    if ctx.console.is_json() {
        let lines: Vec<_> = lines.collect();
        return Failure::usage_hint(message, format!("give one of: {}", lines.join("; ")));
    }
    lines.for_each(|line| ctx.console.print(&line));
    Failure::usage_hint(message, "give one of these options")
}

/// A problem of the store, where no connection is concerned yet.
pub(in crate::cli) fn failed(why: StoreProblem) -> Failure {
    match why {
        StoreProblem::NotWindows => Failure::usage_hint(
            "`store:` names a certificate of the Windows certificate store, and this system has none",
            "give a file: --client-cert FILE.p12; or a smart card: --client-cert pkcs11:…",
        ),
        why => Error::ClientCertificate {
            connection: None,
            why,
        }
        .into(),
    }
}
