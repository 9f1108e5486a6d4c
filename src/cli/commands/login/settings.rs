//! Settings of a connection that only its files name: the store came from another machine, or the
//! keychain was lost. A person confirms them before a sign-in uses them.

use crate::bound_setting::BoundSetting;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape, shell_quoted};
use crate::cli::hints::flags;
use crate::cli::shared::api_url;
use crate::cli::shared::client_certificate::shown_subject;
use crate::cli::shared::trust::certificate_lines;
use crate::cli::CommandContext;
use crate::connection::{Connection, Tls};
use crate::error::{Error, KeychainError, KeychainReason};
use crate::http;
use crate::session::Session;

/// Asks whether a person chose the settings, and binds the connection's secrets to them.
pub(super) fn confirm(ctx: &mut CommandContext, session: &Session) -> Outcome {
    let settings = session.unconfirmed_settings()?;
    // A file that cannot be read is an error, and not a setting to confirm.
    if settings.is_empty() || !is_readable(session) {
        return Ok(());
    }
    let connection = session.connection();
    // A command runs with all rights of this user. It is chosen by typing it, not by a `y`.
    if !ctx.can_ask() || settings.contains(&BoundSetting::SecretCommand) {
        return Err(unconfirmed(session, &settings));
    }
    ctx.console.print(&format!(
        "The keychain of this machine has no record of `{}`. These settings come from the connection's files alone:",
        escape(connection.label.as_str())
    ));
    for line in lines(session, &settings) {
        ctx.console.print(&format!("  {line}"));
    }
    let question = "Did you choose these settings, and do you want to sign in with them?";
    if !ctx.system.ask.confirm(question, false)? {
        return Err(unconfirmed(session, &settings));
    }
    Ok(session.bind_settings()?)
}

fn is_readable(session: &Session) -> bool {
    match session.connection().tls {
        Tls::System | Tls::Unverified => true,
        Tls::Ca(_) | Tls::Pinned { .. } => session.certificates().is_some(),
    }
}

fn lines(session: &Session, settings: &[BoundSetting]) -> Vec<String> {
    let connection = session.connection();
    let portal = connection.browser_url();
    let mut lines = vec![format!("Portal:    {} ({portal})", portal.host())];
    if connection.grant.kind().has_client_id() {
        lines.push(format!("Client ID: {}", escape(&connection.client_id)));
    }
    for setting in settings {
        match setting {
            BoundSetting::ApiUrl => lines.push(format!(
                "API URL:   {} (receives the authorization code and the tokens)",
                api_url::shown(connection.api_url())
            )),
            BoundSetting::Verification => lines.extend(verification(session)),
            BoundSetting::Proxy => {
                lines.push(format!("Proxy:     {}", escape(connection.proxy.as_str())));
            }
            BoundSetting::Pkce => {
                lines.push("PKCE:      off (a stolen authorization code can be used)".into());
            }
            BoundSetting::ClientCertificate => lines.extend(client_certificate(session)),
            BoundSetting::WebTier => lines.extend(windows_sign_in(connection)),
            BoundSetting::Portal
            | BoundSetting::ClientId
            | BoundSetting::AuthType
            | BoundSetting::SecretCommand
            | BoundSetting::ApiKeyCommand
            | BoundSetting::RedirectUri => {}
        }
    }
    lines
}

/// What it says of itself. If it cannot be read, `meta.json` is not asked whose it is: a person who
/// did not choose it would be told what another wrote.
fn client_certificate(session: &Session) -> Option<String> {
    let setting = session.connection().client_certificate.as_ref()?;
    let source = setting.source.to_string();
    let subject = match session.client_certificate_facts() {
        Ok(Some(facts)) => shown_subject(&facts),
        Ok(None) | Err(_) => "a client certificate that cannot be read now".to_owned(),
    };
    Some(format!(
        "Presents:  {} ({})",
        escape(&subject),
        escape(&source)
    ))
}

fn windows_sign_in(connection: &Connection) -> Option<String> {
    let principal = connection.web_tier.principal()?;
    Some(format!(
        "Windows:   signs in to the web server as {}",
        escape(principal.as_str())
    ))
}

fn verification(session: &Session) -> Vec<String> {
    let tls = &session.connection().tls;
    if *tls == Tls::Unverified {
        return vec!["Trusts:    any certificate (the portal's is not verified)".into()];
    }
    let pinned = matches!(tls, Tls::Pinned { .. });
    let pem = session.certificates().unwrap_or_default();
    let certificates = http::read_certificates(pem).unwrap_or_default();
    let lines = certificates
        .iter()
        .map(|der| certificate_lines(der, pinned));
    lines.flatten().collect()
}

/// The refusal that every command has for these settings, with what helps here.
fn unconfirmed(session: &Session, settings: &[BoundSetting]) -> Failure {
    let connection = session.connection();
    let detail = format!(
        "this machine has no record that a person chose these settings of `{}`: {}",
        connection.label,
        words(settings)
    );
    let name = session.keychain_name();
    let error = KeychainError::new(name, KeychainReason::Mismatch, detail);
    Failure::Hinted {
        hint: hint(connection, settings),
        error: Error::Keychain {
            connection: Some(connection.label.to_string()),
            item: None,
            error: error.concerning(settings.to_vec()),
        },
    }
}

fn hint(connection: &Connection, settings: &[BoundSetting]) -> String {
    if settings.contains(&BoundSetting::SecretCommand) {
        return format!(
            "choose them yourself: age-oauth connections edit {} {}",
            shell_quoted(connection.label.as_str()),
            flags(settings)
        );
    }
    format!(
        "at a terminal, this shows the settings and asks: age-oauth login {}; or choose them yourself: age-oauth connections edit {} {}",
        connection_flag(connection),
        shell_quoted(connection.label.as_str()),
        flags(settings)
    )
}

fn words(settings: &[BoundSetting]) -> String {
    let words: Vec<_> = settings.iter().map(|setting| setting.as_str()).collect();
    words.join(", ")
}
