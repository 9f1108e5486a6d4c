//! Checks of one connection: its secrets, its sign-in, its portal.

use std::sync::Mutex;
use std::thread;

use jiff::Timestamp;
use url::Url;

use super::machine::Usable;
use super::machine_policy;
use super::{DoctorContext, Finding, Fix, Severity};
use crate::binding::{differences, Binding};
use crate::bound_setting::BoundSetting;
use crate::cli::format::{ago, clock_difference, connection_flag, local_and_left};
use crate::cli::hints::{api_key_again, client_certificate_again, client_secret_again, flags};
use crate::cli::shared::api_key;
use crate::cli::shared::api_url::{ask_and_compare, Comparison};
use crate::cli::shared::client_certificate::{exposed, replace_hint, shown_subject};
use crate::cli::shared::redirect_uris::{problem, remedy, shared_with};
use crate::cli::shared::registration::{registration, Registration};
use crate::connection::{CertificateSource, Connection, Grant, GrantKind, PortalUrl, Tls};
use crate::error::{
    ApiKeyProblem, CertificateFacts, Error, KeychainReason, PrintedSecret, Unreachable,
};
use crate::http::{self, Http, ProxySource};
use crate::keychain::{Item, ItemKind};
use crate::policy;
use crate::policy::command_line::{
    notable_clock_difference, API_KEY_EXPIRES_SOON, CERTIFICATE_EXPIRES_SOON,
    CLIENT_CERTIFICATE_EXPIRES_SOON, DOCTOR_CHECKS_AT_ONCE,
};
use crate::portal::{self, Identity, PortalInfo, PortalNames};
use crate::program;
use crate::session::{binding_in, Session, TokenRequest};
use crate::util::lock;

/// Checks all connections, several at the same time. The findings are in the order of the
/// connections.
pub(super) fn check_all(
    doctor: &DoctorContext,
    connections: &[Connection],
    usable: &Usable,
) -> Vec<Finding> {
    let mut findings: Vec<Vec<Finding>> = connections
        .iter()
        .map(|connection| {
            let mut findings = local_checks(doctor, connection, usable);
            findings.extend(redirect_uri(connection, connections));
            findings
        })
        .collect();
    if !doctor.offline {
        let next = Mutex::new(connections.iter().enumerate());
        let found = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..DOCTOR_CHECKS_AT_ONCE.min(connections.len()) {
                scope.spawn(|| loop {
                    let taken = lock(&next).next();
                    let Some((index, connection)) = taken else {
                        break;
                    };
                    let remote = portal_checks(doctor, connection, usable);
                    lock(&found).push((index, remote));
                });
            }
        });
        for (index, remote) in found.into_inner().unwrap_or_default() {
            if let Some(all) = findings.get_mut(index) {
                all.extend(remote);
            }
        }
    }
    for (found, connection) in findings.iter_mut().zip(connections) {
        for finding in found {
            finding.connection = Some(connection.label.to_string());
        }
    }
    findings.into_iter().flatten().collect()
}

/// The checks that do not need the portal.
fn local_checks(doctor: &DoctorContext, connection: &Connection, usable: &Usable) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(machine_policy::of_connection(doctor, connection));
    if usable.contains(&connection.keychain) {
        for kind in ItemKind::OF_CONNECTION {
            findings.extend(secret(doctor, connection, kind));
        }
    }
    findings.extend(client_certificate(doctor, connection, usable));
    findings.extend(client_certificate_file(doctor, connection));
    let chosen = usable
        .contains(&connection.keychain)
        .then(|| session(doctor, connection).has_chosen_secret_command())
        .flatten();
    findings.extend(secret_command(connection, chosen));
    findings.extend(sign_in(doctor, connection));
    if connection.tls == Tls::Unverified {
        findings.push(Finding::warn(
            "certificates",
            "the portal's certificate is not verified; anyone between you and the portal can read everything",
            format!(
                "age-oauth connections edit {} --verify-ssl true",
                connection_flag(connection)
            ),
        ));
    }
    findings.extend(proxy(doctor, connection));
    // With the portal's answers, the check says more.
    if doctor.offline {
        if let Some(api) = connection.urls.separate_api_url() {
            let is_confirmed = connection.unconfirmed_api_url().is_none();
            findings.push(api_url(connection, api, is_confirmed, None));
        }
    }
    findings
}

/// Whose the client certificate is, and how long it is valid.
fn client_certificate(
    doctor: &DoctorContext,
    connection: &Connection,
    usable: &Usable,
) -> Option<Finding> {
    let check = "client certificate";
    connection.client_certificate.as_ref()?;
    // The keychain has at least what the certificate is bound to.
    if !usable.contains(&connection.keychain) {
        return None;
    }
    let setting = match session(doctor, connection).client_certificate_facts() {
        Ok(setting) => setting?,
        Err(error @ Error::Keychain { .. }) => return Some(Finding::error(check, &error)),
        Err(error) => {
            return Some(Finding::fail(
                check,
                error.to_string(),
                replace_hint(&doctor.context, connection),
            ))
        }
    };
    let (now, end) = (doctor.context.now(), setting.not_after);
    let message = format!(
        "{}, issued by {}, until {}",
        shown_subject(&setting),
        setting.issuer,
        local_and_left(end, now, &doctor.zone)
    );
    Some(if end <= now {
        Finding::fail(check, message, replace_hint(&doctor.context, connection))
    } else if policy::expires_within(end, CLIENT_CERTIFICATE_EXPIRES_SOON, now) {
        Finding::warn(check, message, replace_hint(&doctor.context, connection))
    } else {
        Finding::ok(check, message)
    })
}

/// Whether other users may read the private key in the file that the connection refers to.
fn client_certificate_file(doctor: &DoctorContext, connection: &Connection) -> Option<Finding> {
    let setting = connection.client_certificate.as_ref()?;
    let CertificateSource::File(path) = &setting.source else {
        return None;
    };
    let (warning, hint) = exposed(path, &doctor.context.environment)?;
    Some(Finding::warn("client certificate", warning, hint))
}

/// Whether a person chose the command that prints the client secret or the API key, its program can
/// be started, and only this user and the administrator can change it. It is not run: it may unlock
/// something, or count its uses.
///
/// `chosen` is what the keychain says about the choice; `None` where it cannot be asked.
fn secret_command(connection: &Connection, chosen: Option<bool>) -> Option<Finding> {
    let printed = connection.grant.kind().printed_secret();
    let (check, when, setting) = match printed {
        PrintedSecret::ClientSecret => {
            let setting = BoundSetting::SecretCommand;
            ("client secret", "whenever a token is renewed", setting)
        }
        PrintedSecret::ApiKey => (
            "API key",
            "whenever it is needed",
            BoundSetting::ApiKeyCommand,
        ),
    };
    let command = connection.secret_command.as_ref()?;
    let program = command.program().display();
    Some(match (program::check(command), chosen) {
        (_, Some(false)) => Finding::fail(
            check,
            format!(
                "meta.json names the command {program}, which was not chosen here; it is not run"
            ),
            format!(
                "choose a command yourself: age-oauth connections edit {} {}",
                quoted_label(connection),
                flags(&[setting])
            ),
        ),
        (Ok(()), Some(true)) => Finding::ok(check, format!("{program} prints it {when}")),
        (Ok(()), None) => Finding::new(
            check,
            Severity::Warn,
            format!("{program} prints it, if it was chosen here, which only the keychain can tell"),
        ),
        (Err(why), _) => Finding::error(
            check,
            &Error::SecretCommand {
                connection: Some(connection.label.to_string()),
                secret: printed,
                command: command.name(),
                why,
            },
        ),
    })
}

fn redirect_uri(connection: &Connection, all: &[Connection]) -> Option<Finding> {
    let other = shared_with(connection, all)?;
    Some(Finding::warn(
        "redirect URI",
        problem(connection, other),
        remedy(connection, all),
    ))
}

/// How messages speak of an item, and whether it must exist.
struct ItemWords {
    name: &'static str,
    be: &'static str,
    needed: bool,
}

impl ItemWords {
    /// `None` for an item that exists only while the keychain itself is checked.
    fn of(connection: &Connection, kind: ItemKind) -> Option<Self> {
        let (needs_secret, has_sign_in) = match connection.grant {
            Grant::User { .. } | Grant::Network => (false, true),
            Grant::Application => (connection.secret_command.is_none(), false),
            Grant::ApiKey { .. } => (false, false),
        };
        Some(match kind {
            ItemKind::ClientSecret => Self {
                name: "client secret",
                be: "is",
                needed: needs_secret,
            },
            ItemKind::ClientCertificate => Self {
                name: "client certificate",
                be: "is",
                needed: connection.client_certificate.is_some(),
            },
            ItemKind::ApiKey => Self {
                name: "API key",
                be: "is",
                needed: connection.grant.kind() == GrantKind::ApiKey
                    && connection.status.username.is_some(),
            },
            ItemKind::Tokens => Self {
                name: "tokens",
                be: "are",
                needed: has_sign_in && connection.status.signed_in_at.is_some(),
            },
            ItemKind::Binding => Self {
                name: "settings that secrets are bound to",
                be: "are",
                needed: false,
            },
            ItemKind::Probe => return None,
        })
    }
}

/// The command that writes an item again that is missing or damaged.
fn write_again(doctor: &DoctorContext, connection: &Connection, kind: ItemKind) -> String {
    match kind {
        ItemKind::ClientSecret => {
            let settings = session(doctor, connection).unconfirmed_settings();
            client_secret_again(connection.label.as_str(), &settings.unwrap_or_default())
        }
        ItemKind::ClientCertificate => client_certificate_again(connection.label.as_str()),
        ItemKind::ApiKey => {
            let is_printed = connection.secret_command.is_some();
            api_key_again(connection.label.as_str(), is_printed)
        }
        ItemKind::Binding => format!(
            "age-oauth connections edit {} --portal {}",
            quoted_label(connection),
            connection.browser_url()
        ),
        ItemKind::Tokens | ItemKind::Probe => {
            format!("age-oauth login {}", connection_flag(connection))
        }
    }
}

/// Checks whether a keychain item exists, is intact, and is bound to the connection's settings.
fn secret(doctor: &DoctorContext, connection: &Connection, kind: ItemKind) -> Option<Finding> {
    let item = Item::of(connection, kind);
    let keychain = doctor.keychains.of(connection.keychain);
    let ItemWords { name, be, needed } = ItemWords::of(connection, kind)?;
    let hint = || write_again(doctor, connection, kind);
    let record = match keychain.get(&item) {
        Ok(Some(_)) if kind == ItemKind::ClientSecret && connection.secret_command.is_some() => {
            // An `edit` was interrupted before its last step.
            return Some(Finding::warn(
                "secrets",
                "a client secret is still stored, and not used, because a command prints it",
                format!(
                    "repeat the command that chose it: age-oauth connections edit {} --client-secret-command COMMAND",
                    quoted_label(connection)
                ),
            ));
        }
        Ok(Some(record)) => record,
        Ok(None) => {
            return needed
                .then(|| Finding::fail("secrets", format!("the {name} {be} missing"), hint()));
        }
        Err(error) => {
            let damaged = matches!(
                error.reason,
                KeychainReason::Lost | KeychainReason::Ambiguous
            );
            let finding = Finding::fail("secrets", format!("{name}: {error}"), hint());
            return Some(if damaged {
                finding.fix(Fix::Item(Box::new(connection.clone()), kind))
            } else {
                finding
            });
        }
    };
    let Some(stored) = binding_in(&record, kind) else {
        return Some(
            Finding::fail("secrets", format!("the {name} {be} damaged"), hint())
                .fix(Fix::Item(Box::new(connection.clone()), kind)),
        );
    };
    let certificates = http::read_certificate_file(&connection.tls).ok().flatten();
    let named = Binding::of(connection, certificates.as_deref());
    let differing = differences(Some(&stored), &named);
    if differing.is_empty() {
        return (kind != ItemKind::Binding)
            .then(|| Finding::ok("secrets", format!("the {name} {be} stored")));
    }
    let words: Vec<_> = differing.iter().map(|setting| setting.as_str()).collect();
    Some(Finding::fail(
        "secrets",
        format!(
            "the stored {name} {be} for other settings than meta.json names ({})",
            words.join(", ")
        ),
        format!(
            "choose the settings yourself: age-oauth connections edit {} {}",
            quoted_label(connection),
            flags(&differing)
        ),
    ))
}

fn quoted_label(connection: &Connection) -> String {
    crate::cli::format::shell_quoted(connection.label.as_str())
}

/// Checks how long the sign-in still lives, from what is stored.
fn sign_in(doctor: &DoctorContext, connection: &Connection) -> Option<Finding> {
    let status = &connection.status;
    let login = format!("age-oauth login {}", connection_flag(connection));
    match (&connection.grant, &status.username) {
        (Grant::User { .. }, _) => {}
        (Grant::Application, _) => return None,
        (Grant::Network, Some(user)) => {
            let message = format!("{user}, by the web server in front of the portal");
            return Some(Finding::ok("sign-in", message));
        }
        (Grant::Network, None) => {
            return Some(Finding::fail("sign-in", "there is no sign-in", login))
        }
        (Grant::ApiKey { expires_at }, user) => {
            return Some(api_key_end(doctor, connection, user.as_ref(), *expires_at))
        }
    }
    let now = doctor.context.now();
    let zone = &doctor.zone;
    let (Some(user), Some(end)) = (&status.username, status.refresh_expires_at) else {
        return Some(Finding::fail("sign-in", "there is no sign-in", login));
    };
    if end <= now {
        return Some(Finding::fail(
            "sign-in",
            format!("the sign-in of {user} expired {}", ago(end, now)),
            login,
        ));
    }
    let message = format!("{user}, until {}", local_and_left(end, now, zone));
    let soon = policy::expires_soon(end, now);
    Some(match (soon, status.extendable) {
        (true, Some(false)) => Finding::warn("sign-in", message, login),
        (true, _) => Finding::warn(
            "sign-in",
            message,
            format!("age-oauth refresh {} --now", connection_flag(connection)),
        ),
        (false, _) => Finding::ok("sign-in", message),
    })
}

/// Checks whose the API key is, whether the portal has refused it, and how long it still lives.
fn api_key_end(
    doctor: &DoctorContext,
    connection: &Connection,
    user: Option<&String>,
    end: Option<Timestamp>,
) -> Finding {
    let check = "API key";
    let (user, end) = match (user, end) {
        (Some(user), Some(end)) => (user, end),
        (None, _) => {
            let error = connection.api_key_error(ApiKeyProblem::Missing);
            return Finding::error(check, &error);
        }
        (Some(_), None) => {
            let error = connection.api_key_error(ApiKeyProblem::UnknownEnd);
            return Finding::error(check, &error);
        }
    };
    let now = doctor.context.now();
    // Where the portal is asked now, that answer counts.
    let is_past = connection.status.api_key_refused_at.is_some() && !doctor.offline && end > now;
    match api_key::end_warning(connection, API_KEY_EXPIRES_SOON, now, &doctor.zone) {
        Some(warning) if warning.has_passed && !is_past => {
            Finding::fail(check, warning.message, warning.hint)
        }
        Some(warning) => Finding::warn(check, warning.message, warning.hint),
        None => Finding::ok(
            check,
            format!(
                "that of {user}, until {}",
                local_and_left(end, now, &doctor.zone)
            ),
        ),
    }
}

/// Checks which proxy is used.
fn proxy(doctor: &DoctorContext, connection: &Connection) -> Option<Finding> {
    let url = Url::parse(connection.api_url().as_str()).ok()?;
    let hint = format!(
        "age-oauth connections edit {} --proxy URL|system|none",
        quoted_label(connection)
    );
    match http::choose_proxy(&connection.proxy, &url, &doctor.context) {
        Ok(None) => ignored_settings().map(|what| Finding::warn("proxy", what, hint)),
        Ok(Some(proxy)) => {
            let message = format!("{proxy}, set by {}", proxy.source());
            let may_be_missing =
                doctor.as_task && matches!(proxy.source(), ProxySource::Variable(_));
            Some(if may_be_missing {
                Finding::warn(
                    "proxy",
                    format!(
                        "{message}; a task sees this variable only if it is set for all processes"
                    ),
                    hint,
                )
            } else {
                Finding::ok("proxy", message)
            })
        }
        Err(why) => {
            let error = Error::Unreachable {
                connection: None,
                url: connection.api_url().as_str().to_owned(),
                why,
            };
            Some(Finding::error("proxy", &error))
        }
    }
}

/// Proxy settings of the system that other programs use and this one ignores.
fn ignored_settings() -> Option<&'static str> {
    if http::has_pac_file() {
        return Some("none; age-oauth ignores the automatic proxy configuration (PAC) of Windows");
    }
    if cfg!(target_os = "macos") {
        return Some("none; age-oauth ignores the proxies in System Settings");
    }
    None
}

/// The checks that ask the portal.
fn portal_checks(doctor: &DoctorContext, connection: &Connection, usable: &Usable) -> Vec<Finding> {
    let client = client_for(doctor, connection, connection.api_url());
    let client = match client {
        Ok(client) => client,
        Err(error) => return vec![Finding::error("portal", &error)],
    };
    let label = connection.label.as_str();
    let info = match portal::probe(&client) {
        Ok(info) => info,
        Err(error) => {
            let check = match &error {
                Error::Unreachable {
                    why: Unreachable::Tls(_),
                    ..
                } => "certificates",
                _ => "portal",
            };
            return vec![Finding::error(check, &error.about(label))];
        }
    };
    let mut findings = vec![portal_info(connection, &info)];
    let now = doctor.context.now();
    findings.extend(clock(&info, now));
    if connection.tls != Tls::Unverified {
        findings.extend(certificates(&client.certificates(), now));
    }
    let signed_in = match connection.grant {
        Grant::User { .. } => {
            findings.push(check_registration(&client, connection));
            connection.status.username.is_some()
        }
        Grant::Application => true,
        Grant::Network | Grant::ApiKey { .. } => connection.status.username.is_some(),
    };
    let token =
        (signed_in && usable.contains(&connection.keychain)).then(|| identity(doctor, connection));
    if let Some(api) = connection.urls.separate_api_url() {
        let works = token.as_ref().map(|token| token.severity == Severity::Ok);
        let is_confirmed = works.unwrap_or(connection.unconfirmed_api_url().is_none());
        let comparison = compared(doctor, connection, &info.names());
        findings.push(api_url(connection, api, is_confirmed, Some(&comparison)));
    }
    findings.extend(token);
    findings
}

/// The client for one of the portal's addresses, with the client certificate of the connection.
fn client_for(
    doctor: &DoctorContext,
    connection: &Connection,
    at: &PortalUrl,
) -> Result<Http, Error> {
    Http::presenting(
        session(doctor, connection).presented()?,
        at,
        &connection.tls,
        &connection.proxy,
        connection.sent_referer(),
        &doctor.context,
    )
}

/// Compares what the portal says about itself at its two addresses.
fn compared(doctor: &DoctorContext, connection: &Connection, at_api: &PortalNames) -> Comparison {
    let client = client_for(doctor, connection, connection.browser_url());
    let client = client.map_err(|error| error.to_string());
    ask_and_compare(&connection.urls, client, at_api)
}

/// Checks whether the API URL is known to work, and to be one of this portal.
fn api_url(
    connection: &Connection,
    api: &PortalUrl,
    is_confirmed: bool,
    comparison: Option<&Comparison>,
) -> Finding {
    let compared = comparison.map_or_else(String::new, |found| format!("; {}", found.text()));
    if let Some(Comparison::Different(_)) = comparison {
        return Finding::fail(
            "API URL",
            format!("{api} seems to be another portal{compared}"),
            format!(
                "age-oauth connections edit {} --api-url URL",
                quoted_label(connection)
            ),
        );
    }
    if is_confirmed {
        return Finding::ok(
            "API URL",
            format!("{api} is confirmed: the portal accepts tokens there{compared}"),
        );
    }
    Finding::warn(
        "API URL",
        format!("{api} is unconfirmed: no token has worked through it yet{compared}"),
        format!("age-oauth whoami {}", connection_flag(connection)),
    )
}

fn portal_info(connection: &Connection, info: &PortalInfo) -> Finding {
    let name = info.name.as_deref().unwrap_or("a portal without a name");
    Finding::ok(
        "portal",
        format!("{}: {name} ({})", connection.api_url(), info.version),
    )
}

fn clock(info: &PortalInfo, now: Timestamp) -> Option<Finding> {
    let Some(ahead) = notable_clock_difference(now, info.clock?) else {
        return Some(Finding::ok("clock", "it agrees with the portal's clock"));
    };
    Some(Finding::warn(
        "clock",
        clock_difference(ahead),
        "set the clock of this machine",
    ))
}

/// The certificate of the chain that expires first. A root that is sent along does not count: only
/// the copy on this machine matters.
fn certificates(chain: &[CertificateFacts], now: Timestamp) -> Option<Finding> {
    let (server, others) = chain.split_first()?;
    let end = |facts: &CertificateFacts| facts.not_after.parse::<Timestamp>().ok();
    let intermediates = others.iter().filter(|facts| !facts.self_signed);
    let first = std::iter::once(server)
        .chain(intermediates)
        .min_by_key(|facts| end(facts))?;
    let role = if first.sha256 == server.sha256 {
        ""
    } else {
        "the intermediate certificate of "
    };
    let message = format!("{role}{}, until {}", first.subject, first.not_after);
    let soon = end(first).is_some_and(|end| end.duration_since(now) <= CERTIFICATE_EXPIRES_SOON);
    Some(if soon {
        Finding::warn(
            "certificates",
            message,
            "ask the portal's administrator to renew the certificate, which expires soon",
        )
    } else {
        Finding::ok("certificates", message)
    })
}

/// Checks whether the portal knows the client ID and the redirect URI.
fn check_registration(client: &Http, connection: &Connection) -> Finding {
    let edit = |flag: &str| {
        format!(
            "age-oauth connections edit {} {flag}",
            quoted_label(connection)
        )
    };
    match registration(client, connection) {
        Ok(Registration::UnknownClientId) => Finding::fail(
            "registration",
            format!(
                "the portal does not know the client ID {}",
                connection.client_id
            ),
            edit("--client-id ID"),
        ),
        Ok(Registration::UnknownRedirectUri) => Finding::fail(
            "registration",
            "the redirect URI is not registered with the application",
            format!(
                "register it at the portal, or: {}",
                edit("--redirect-uri URI")
            ),
        ),
        Ok(Registration::Known) => Finding::ok(
            "registration",
            "the portal knows the client ID and the redirect URI",
        ),
        Ok(Registration::Unclear(status)) => Finding::new(
            "registration",
            Severity::Warn,
            format!("the sign-in page answers with HTTP status {status}"),
        ),
        Err(error) => Finding::error("registration", &error.about(connection.label.as_str())),
    }
}

fn session(doctor: &DoctorContext, connection: &Connection) -> Session {
    Session::new(
        doctor.store.clone(),
        connection.clone(),
        doctor.keychains.of(connection.keychain),
        doctor.context.clone(),
    )
}

/// Checks whether the portal accepts the token, and for whom.
fn identity(doctor: &DoctorContext, connection: &Connection) -> Finding {
    let session = session(doctor, connection);
    let renewed = match connection.grant {
        Grant::User { .. } | Grant::ApiKey { .. } => Ok(()),
        // A cached token does not prove that the client secret still works, or that the web server
        // still vouches for the user.
        Grant::Application | Grant::Network => {
            let request = TokenRequest {
                force: true,
                ..TokenRequest::default()
            };
            session.access_token(&request).map(|_| ())
        }
    };
    match renewed.and_then(|()| session.whoami()) {
        Ok(Identity::User { username }) => {
            Finding::ok("token", format!("the portal accepts it, for {username}"))
        }
        Ok(Identity::Application(info)) => Finding::ok(
            "token",
            format!("the portal accepts it, for the application {info}"),
        ),
        Err(error) => Finding::error("token", &error),
    }
}
