//! The API key of a connection: the options of `add` and `edit` about it, its end, and what is said
//! about both.

use std::path::PathBuf;

use clap::Args;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{ago, connection_option, escape, local, local_and_left};
use crate::cli::hints::{another_api_key, hint};
use crate::cli::shared::connection_fields::FieldArgs;
use crate::cli::shared::secret_command;
use crate::cli::shared::secret_file;
use crate::cli::CommandContext;
use crate::connection::{Connection, GrantKind};
use crate::context::Context;
use crate::error::{ApiKeyProblem, Error, Overridden};
use crate::http::Presented;
use crate::machine_policy::MachinePolicy;
use crate::manage::{self, check_api_key, Changes, SecretChange};
use crate::policy;
use crate::secret::Secret;
use crate::session::{verify_api_key, ApiKeySource, VerifiedApiKey};

// Three ways to hand over an API key.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
#[allow(clippy::struct_field_names)] // The names of the options.
pub(in crate::cli) struct ApiKeyArgs {
    /// Read the API key from stdin (or …-file FILE, …-command LINE)
    #[arg(long)]
    api_key_stdin: bool,
    // Hidden, so that the help stays within two screens.
    /// Read the API key from a file
    #[arg(long, value_name = "FILE", hide = true)]
    api_key_file: Option<PathBuf>,
    /// A command that prints it whenever it is needed
    #[arg(long, value_name = "LINE", hide = true)]
    api_key_command: Option<String>,
}

impl ApiKeyArgs {
    /// Refuses the options for the API key that the policy of this machine does not allow.
    pub(in crate::cli) fn check_machine_policy(&self, policy: &MachinePolicy) -> Result<(), Error> {
        let Self {
            api_key_stdin: _,
            api_key_file: _,
            api_key_command,
        } = self;
        if api_key_command.is_some() {
            policy.check_secret_command(
                GrantKind::ApiKey.printed_secret(),
                Overridden::Option("--api-key-command"),
            )?;
        }
        Ok(())
    }

    /// Whether one of the options is given.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.api_key_stdin || self.api_key_file.is_some() || self.api_key_command.is_some()
    }
}

/// The API key that the options give; without one, a person is asked.
pub(in crate::cli) fn given(
    ctx: &mut CommandContext,
    args: &ApiKeyArgs,
) -> Result<ApiKeySource, Failure> {
    if let Some(text) = &args.api_key_command {
        let command = secret_command::read(text, &ctx.context.environment);
        return Ok(ApiKeySource::Command(command.map_err(of_api_key)?));
    }
    if let Some(path) = &args.api_key_file {
        let text = secret_file::read(ctx, path)?;
        return Ok(ApiKeySource::Text(check_api_key(text.expose())?));
    }
    if args.api_key_stdin {
        let text = ctx.read_input("the API key")?;
        return Ok(ApiKeySource::Text(check_api_key(text.expose())?));
    }
    if !ctx.can_ask() {
        return Err(Failure::usage_hint(
            "the API key is missing, and there is no terminal for a prompt",
            how_to_give(),
        ));
    }
    ask(ctx).map(ApiKeySource::Text)
}

fn ask(ctx: &mut CommandContext) -> Result<Secret, Failure> {
    let question = "API key (not shown while you type)";
    let answer = ctx.system.ask.secret(question, &mut |text| {
        check_api_key(text)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    let key = check_api_key(answer.expose())?;
    ctx.console.info("[OK] API key captured.");
    Ok(key)
}

/// Names the option in an error about the command.
fn of_api_key(error: Error) -> Error {
    match error {
        Error::Invalid { why, .. } => Error::invalid("API key command", why),
        Error::SecretCommand {
            connection,
            command,
            why,
            ..
        } => Error::SecretCommand {
            connection,
            secret: GrantKind::ApiKey.printed_secret(),
            command,
            why,
        },
        other => other,
    }
}

/// The hint where an API key is missing and cannot be asked for.
pub(in crate::cli) fn how_to_give() -> &'static str {
    "give --api-key-stdin, --api-key-file or --api-key-command"
}

/// When the API key expires, by the option or by a person.
pub(in crate::cli) fn expires_at(
    ctx: &mut CommandContext,
    given: Option<&str>,
) -> Result<Timestamp, Failure> {
    let (zone, now) = (ctx.system.zone.clone(), ctx.context.now());
    if let Some(text) = given {
        return Ok(read_end(text, &zone, now)?);
    }
    if !ctx.can_ask() {
        return Err(Failure::usage_hint(
            "it is not known when the API key expires, because the portal does not say it",
            "give --expires DATE (2027-06-30), the date on the page of the key at the portal",
        ));
    }
    let question =
        "Expires on (the date on the page of the key at the portal, for example 2027-06-30)";
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        read_end(text, &zone, now)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(read_end(&answer, &zone, now)?)
}

/// The end that an option gives.
pub(in crate::cli) fn given_end(
    ctx: &CommandContext,
    given: Option<&str>,
) -> Result<Option<Timestamp>, Error> {
    let now = ctx.context.now();
    given
        .map(|text| read_end(text, &ctx.system.zone, now))
        .transpose()
}

/// A date, `2027-06-30`, counts from its first moment in this time zone: then the key may end. A
/// moment is written as in JSON, `2027-06-30T12:00:00Z`.
fn read_end(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, Error> {
    let bad = |why: &str| Err(Error::invalid("end of the API key", why));
    let text = text.trim();
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let end = match date {
        Some(date) => zone.to_timestamp(date.to_datetime(Time::MIN)),
        None => text.parse::<Timestamp>(),
    };
    let Ok(end) = end else {
        return bad("it is a date such as 2027-06-30, or a moment such as 2027-06-30T12:00:00Z");
    };
    if end <= now {
        return bad("it has passed");
    }
    if end.duration_since(now) > policy::LONGEST_BELIEVABLE_LIFE {
        return bad("it is more than ten years away");
    }
    Ok(end)
}

/// Asks the portal whose API key this is, before the connection is added: without its key, it would
/// be of no use.
pub(in crate::cli) fn verify_first(
    ctx: &CommandContext,
    connection: &Connection,
    certificates: Option<&[u8]>,
    presented: Presented,
    given: ApiKeySource,
) -> Result<VerifiedApiKey, Failure> {
    let context = Context {
        attended: ctx.attended(),
        ..ctx.context.clone()
    };
    verify_api_key(connection, certificates, presented, given, &context).map_err(not_added)
}

/// The failure of a connection that was not added.
fn not_added(error: Error) -> Failure {
    match error {
        Error::ApiKey { .. } => Failure::Hinted {
            error,
            hint: "no connection was added; copy the key again, or make another one at the portal, and add the connection again".into(),
        },
        other => other.into(),
    }
}

/// Adds the API key that the options give to the changes of a connection, if they give one. The
/// portal is asked whose it is, as the changes make the connection, and before any of them is made.
pub(in crate::cli) fn add_to_changes(
    ctx: &mut CommandContext,
    connection: &Connection,
    args: &FieldArgs,
    changes: &mut Changes,
    presented: Presented,
) -> Outcome {
    if !args.api_key.is_given() {
        return Ok(());
    }
    changes.expires_at = Some(expires_at(ctx, args.expires.as_deref())?);
    let given = given(ctx, &args.api_key)?;
    match &given {
        ApiKeySource::Command(command) => changes.secret = SecretChange::Command(command.clone()),
        ApiKeySource::Text(_) if connection.secret_command.is_some() => {
            changes.secret = SecretChange::Remove;
        }
        ApiKeySource::Text(_) => {}
    }
    let store = ctx.store()?;
    let session = ctx.session_of(&store, connection.clone());
    let key =
        manage::verify_api_key_after(&session, &ctx.keychains(&store), changes, presented, given);
    changes.api_key = Some(key?);
    Ok(())
}

/// Says that the API key is another one now, and whose it is.
pub(in crate::cli) fn say_replaced(
    ctx: &mut CommandContext,
    connection: &Connection,
    key: &VerifiedApiKey,
) -> Outcome {
    if !ctx.console.is_json() {
        ctx.answer(&format!(
            "[OK] The API key of {} is replaced; it is that of {}.",
            escape(connection.label.as_str()),
            escape(key.user())
        ))?;
    }
    describe(ctx, connection);
    Ok(())
}

/// Says what an API key is, and what there is in its place.
pub(in crate::cli) fn describe(ctx: &CommandContext, connection: &Connection) {
    if let Some(command) = &connection.secret_command {
        ctx.console.info(&format!(
            "API key: printed by {} whenever it is needed; it is not stored.",
            escape(&command.program().display().to_string())
        ));
    }
    warn_long_lived(ctx, connection);
}

/// Warns that what is handed out is a key that lives long.
pub(in crate::cli) fn warn_long_lived(ctx: &CommandContext, connection: &Connection) {
    let Some(end) = connection.grant.api_key_expires_at() else {
        return;
    };
    ctx.console.warn(&format!(
        "the API key of `{}` is long-lived: everyone who reads it can use it until {}, or until it is revoked at the portal; a sign-in with OAuth (--auth-type user or app) hands out tokens that end by themselves",
        connection.label,
        local(end, &ctx.system.zone)
    ));
}

/// What a person must do about the end of an API key, now or soon.
pub(in crate::cli) struct EndWarning {
    pub(in crate::cli) message: String,
    pub(in crate::cli) hint: String,
    pub(in crate::cli) has_passed: bool,
}

/// A warning where the API key has ended, or expires within this time. What the portal has said
/// about it comes first.
pub(in crate::cli) fn end_warning(
    connection: &Connection,
    within: SignedDuration,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<EndWarning> {
    let end = connection.grant.api_key_expires_at()?;
    let label = &connection.label;
    if let Some(refused_at) = connection.status.api_key_refused_at {
        return Some(EndWarning {
            message: format!(
                "the portal did not accept the API key of `{label}` on {} ({})",
                local(refused_at, zone),
                ago(refused_at, now)
            ),
            hint: hint(&connection.api_key_error(ApiKeyProblem::Refused))?,
            has_passed: true,
        });
    }
    if !policy::expires_within(end, within, now) {
        return None;
    }
    let has_passed = end <= now;
    let message = if has_passed {
        format!(
            "the API key of `{label}` expired {} ({})",
            local(end, zone),
            ago(end, now)
        )
    } else {
        format!(
            "the API key of `{label}` expires on {}",
            local_and_left(end, now, zone)
        )
    };
    Some(EndWarning {
        message,
        hint: replace_hint(connection),
        has_passed,
    })
}

/// How to give another API key.
pub(in crate::cli) fn replace_hint(connection: &Connection) -> String {
    another_api_key(
        connection.label.as_str(),
        connection.secret_command.is_some(),
    )
}

/// The failure of a command that signs in or renews.
pub(in crate::cli) fn nothing_to_sign_in(connection: &Connection) -> Failure {
    Failure::usage_hint(
        format!(
            "`{}` has an API key: there is nothing to sign in to and nothing to renew",
            escape(connection.label.as_str())
        ),
        format!(
            "use it: age-oauth token {}; to give another key, {}",
            connection_option(connection.label.as_str()),
            replace_hint(connection)
        ),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_date_counts_from_its_first_moment_in_the_time_zone_of_the_machine() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let read = |text: &str| read_end(text, &zone, now);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(read("2027-06-30").unwrap(), at("2027-06-29T22:00:00Z"));
        assert_eq!(read(" 2027-06-30 ").unwrap(), at("2027-06-29T22:00:00Z"));
        assert_eq!(
            read("2027-06-30T12:00:00Z").unwrap(),
            at("2027-06-30T12:00:00Z")
        );
        for (bad, why) in [
            ("", "such as"),
            ("30.06.2027", "such as"),
            ("2027-13-01", "such as"),
            ("2027-06-30T12:00:00", "such as"),
            ("14d", "such as"),
            ("2026-11-27", "passed"),
            ("2026-11-27T11:59:59Z", "passed"),
            ("2046-01-01", "ten years"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
