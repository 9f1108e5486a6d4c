//! The policy of this machine: what an administrator decided for everyone who uses this program on
//! it. It takes precedence over options, variables and `meta.json`.
//!
//! It is read once per process, when something first depends on it. Where there is none, that costs
//! one failed `open`. A policy that cannot be obeyed is an error of everything that depends on it.
//!
//! A new member is added to [`Member`], and to [`Defaults`] or [`Limits`]: the compiler then names
//! every place that has to decide about it.

// On Windows, the values of the registry are read, and no text.
#[cfg_attr(not(unix), allow(dead_code))]
mod document;
#[cfg(unix)]
mod ownership;
#[cfg(unix)]
mod place;
#[cfg(any(windows, test))]
mod registry;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::Span;

use crate::connection::{Connection, GrantKind, KeychainKind, PortalUrl, PortalUrls, Proxy, Tls};
use crate::error::{
    Error, Forbidden, Overridden, PolicyRefusal, PolicyRule, PrintedSecret, Result,
};
use crate::util::enum_with_words;

enum_with_words! {
    /// A member of the policy. The word is the one in the file; the name of the registry value is
    /// the same without the underscores, in any case.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Member {
        /// The proxy of every connection.
        Proxy = "proxy",
        /// Files of certificate authorities to trust in addition to the system's.
        CertificateAuthorities = "certificate_authorities",
        /// The keychain of new connections.
        Keychain = "keychain",
        /// The folder with one event log per account.
        EventLog = "event_log",
        /// The portals that may be used.
        Portals = "portals",
        /// Whether a connection may accept any certificate.
        UnverifiedTls = "unverified_tls",
        /// Whether options may carry secrets.
        SecretsOnCommandLine = "secrets_on_command_line",
        /// Whether a command may print a client secret or an API key.
        SecretCommands = "secret_commands",
        /// Whether connections may have an API key.
        ApiKeys = "api_keys",
        /// The kinds of keychain that may be used.
        Keychains = "keychains",
        /// How long a sign-in may last.
        LongestSignIn = "longest_sign_in",
    }
}

impl Member {
    /// The group that it is in.
    fn group(self) -> &'static str {
        match self {
            Self::Proxy | Self::CertificateAuthorities | Self::Keychain | Self::EventLog => {
                "defaults"
            }
            Self::Portals
            | Self::UnverifiedTls
            | Self::SecretsOnCommandLine
            | Self::SecretCommands
            | Self::ApiKeys
            | Self::Keychains
            | Self::LongestSignIn => "limits",
        }
    }
}

/// What applies in place of what options, variables and `meta.json` say. `None` where the policy
/// leaves it to them.
#[derive(Debug, Default)]
struct Defaults {
    proxy: Option<Proxy>,
    certificate_authorities: Option<Vec<AuthorityFile>>,
    keychain: Option<KeychainKind>,
    event_log: Option<PathBuf>,
}

/// What is allowed. `None` where the policy does not limit it.
#[derive(Debug, Default)]
struct Limits {
    portals: Option<Vec<PortalUrl>>,
    unverified_tls: Option<bool>,
    secrets_on_command_line: Option<bool>,
    secret_commands: Option<bool>,
    api_keys: Option<bool>,
    keychains: Option<Vec<KeychainKind>>,
    longest_sign_in: Option<Duration>,
}

/// A file of certificates that the policy names, as it was when the policy was read.
#[derive(Debug)]
pub(crate) struct AuthorityFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) content: Vec<u8>,
}

/// A policy that can be obeyed.
#[derive(Debug)]
struct Policy {
    /// The file, or the registry key.
    place: String,
    defaults: Defaults,
    limits: Limits,
    /// The lines of the members, where the policy is a file.
    lines: Vec<(Member, usize)>,
}

/// Why a policy cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unusable {
    /// The file and the line, or the registry value.
    place: String,
    why: String,
}

impl From<&Unusable> for Error {
    fn from(unusable: &Unusable) -> Self {
        let Unusable { place, why } = unusable.clone();
        Self::UnusablePolicy { place, why }
    }
}

type Reading = std::result::Result<Option<Policy>, Unusable>;

/// The policy of this machine, or none.
#[derive(Clone)]
pub struct MachinePolicy(Source);

#[derive(Clone)]
enum Source {
    Machine,
    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
    Given(Arc<Reading>),
}

impl fmt::Debug for MachinePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachinePolicy")
    }
}

/// The longest life of a sign-in, and the member that sets it.
#[derive(Clone, Debug)]
pub(crate) struct SignInLimit {
    /// How long it may last from the moment when a person signed in.
    pub(crate) longest: Duration,
    /// The member of the policy.
    pub(crate) rule: PolicyRule,
}

/// One member that a policy sets, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    /// Which one.
    pub(crate) member: Member,
    /// What it is set to.
    pub(crate) value: String,
    /// Where that is written.
    pub(crate) rule: PolicyRule,
}

impl MachinePolicy {
    /// The policy of this machine, read once per process, when something first depends on it.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self(Source::Machine)
    }

    /// The policy that this text would be, in place of a file.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn given(text: &str) -> Self {
        let reading = document::parse(text, "policy.json", document::read_nothing);
        Self(Source::Given(Arc::new(reading.map(Some))))
    }

    fn get(&self) -> Result<Option<&Policy>> {
        static MACHINE: OnceLock<Reading> = OnceLock::new();
        let reading = match &self.0 {
            Source::Machine => MACHINE.get_or_init(read),
            Source::Given(reading) => reading,
        };
        match reading {
            Ok(policy) => Ok(policy.as_ref()),
            Err(unusable) => Err(unusable.into()),
        }
    }

    /// An error where there is a policy that cannot be obeyed.
    pub fn check(&self) -> Result<()> {
        self.get().map(drop)
    }

    /// Where the policy is, if there is one.
    pub(crate) fn place(&self) -> Result<Option<&str>> {
        Ok(self.get()?.map(|policy| policy.place.as_str()))
    }

    /// The proxy of every connection, if the policy sets one.
    pub(crate) fn proxy(&self) -> Result<Option<&Proxy>> {
        let policy = self.get()?;
        Ok(policy.and_then(|policy| policy.defaults.proxy.as_ref()))
    }

    /// The files of certificate authorities that apply in place of those that variables name, and
    /// the member that names them.
    pub(crate) fn certificate_authorities(&self) -> Result<Option<(&[AuthorityFile], PolicyRule)>> {
        Ok(self.get()?.and_then(|policy| {
            let files = policy.defaults.certificate_authorities.as_ref()?;
            Some((&**files, policy.rule(Member::CertificateAuthorities)))
        }))
    }

    /// The folder with one event log per account.
    pub(crate) fn event_log(&self) -> Result<Option<&Path>> {
        let policy = self.get()?;
        Ok(policy.and_then(|policy| policy.defaults.event_log.as_deref()))
    }

    /// How long a sign-in may last.
    pub(crate) fn longest_sign_in(&self) -> Result<Option<SignInLimit>> {
        Ok(self.get()?.and_then(|policy| {
            Some(SignInLimit {
                longest: policy.limits.longest_sign_in?,
                rule: policy.rule(Member::LongestSignIn),
            })
        }))
    }

    /// The minutes to ask for with a new sign-in, where `asked` is what was chosen and `None` the
    /// longest life that the portal allows. More than the policy allows is refused.
    pub(crate) fn sign_in_minutes(
        &self,
        asked: Option<i64>,
        overridden: Overridden,
    ) -> Result<Option<i64>> {
        let Some(policy) = self.get()? else {
            return Ok(asked);
        };
        let Some(longest) = policy.limits.longest_sign_in else {
            return Ok(asked);
        };
        let allowed = i64::try_from(longest.as_secs() / 60).unwrap_or(i64::MAX);
        match asked {
            // Portals take a negative number for the longest life that they allow.
            Some(minutes) if !(0..=allowed).contains(&minutes) => {
                let what = Forbidden::LongSignIn {
                    longest: duration(longest),
                };
                Err(policy.refuse(Member::LongestSignIn, what, overridden))
            }
            Some(minutes) => Ok(Some(minutes)),
            None => Ok(Some(allowed)),
        }
    }

    /// The keychain of a new connection, if the policy sets it. One that an option chose is refused
    /// where it is another one.
    pub(crate) fn new_keychain(&self, asked: Option<KeychainKind>) -> Result<Option<KeychainKind>> {
        const OPTION: Overridden = Overridden::Option("--keychain");
        let Some(policy) = self.get()? else {
            return Ok(asked);
        };
        if let Some(asked) = asked {
            policy.check_keychain(asked, OPTION)?;
        }
        match (policy.defaults.keychain, asked) {
            (Some(set), Some(asked)) if set != asked => {
                let what = Forbidden::Keychain(asked.as_str());
                Err(policy.refuse(Member::Keychain, what, OPTION))
            }
            (set, asked) => Ok(asked.or(set)),
        }
    }

    /// The keychain of a new connection where the policy sets none: by `variable`, else the usual
    /// one if it is allowed, else the first that is.
    pub(crate) fn usual_keychain(
        &self,
        variable: Option<(&'static str, KeychainKind)>,
    ) -> Result<KeychainKind> {
        let usual = KeychainKind::default();
        let policy = self.get()?;
        if let Some((name, kind)) = variable {
            let checked =
                policy.map(|policy| policy.check_keychain(kind, Overridden::Variable(name)));
            return checked.unwrap_or(Ok(())).map(|()| kind);
        }
        let allowed = policy.and_then(|policy| policy.limits.keychains.as_ref());
        let instead = allowed.filter(|kinds| !kinds.contains(&usual));
        Ok(instead
            .and_then(|kinds| kinds.first().copied())
            .unwrap_or(usual))
    }

    /// Refuses a connection whose portal, verification or keychain the policy does not allow.
    pub(crate) fn check_connection(&self, connection: &Connection) -> Result<()> {
        let Some(policy) = self.get()? else {
            return Ok(());
        };
        // Whatever the limits are about, each of them is decided here or where its comment says.
        let Limits {
            portals: _,
            unverified_tls: _,
            secret_commands: _,
            api_keys: _,
            keychains: _,
            // Where the options are read: `cli/shared/connection_fields.rs`.
            secrets_on_command_line: _,
            // Where a sign-in begins, is read and is stored: `session`.
            longest_sign_in: _,
        } = &policy.limits;
        let overridden = Overridden::Connection;
        policy
            .check_urls(&connection.urls, overridden, overridden)
            .and_then(|()| policy.check_tls(&connection.tls, overridden))
            .and_then(|()| policy.check_keychain(connection.keychain, overridden))
            .and_then(|()| match &connection.secret_command {
                Some(_) => {
                    let secret = connection.grant.kind().printed_secret();
                    policy.check_secret_command(secret, overridden)
                }
                None => Ok(()),
            })
            .and_then(|()| policy.check_kind(connection.grant.kind(), overridden))
            .map_err(|error| error.about(connection.label.as_str()))
    }

    /// Refuses requests to an address, or without verification, that the policy does not allow.
    pub(crate) fn check_requests(&self, to: &PortalUrl, tls: &Tls) -> Result<()> {
        let Some(policy) = self.get()? else {
            return Ok(());
        };
        policy.check_portal(to, Overridden::Answer)?;
        policy.check_tls(tls, Overridden::Answer)
    }

    /// Refuses a portal at one of these addresses.
    pub(crate) fn check_urls(
        &self,
        urls: &PortalUrls,
        browser: Overridden,
        api: Overridden,
    ) -> Result<()> {
        let policy = self.get()?;
        policy.map_or(Ok(()), |policy| policy.check_urls(urls, browser, api))
    }

    /// Refuses to accept any certificate.
    pub(crate) fn check_tls(&self, tls: &Tls, overridden: Overridden) -> Result<()> {
        let policy = self.get()?;
        policy.map_or(Ok(()), |policy| policy.check_tls(tls, overridden))
    }

    /// Refuses a proxy that an option names, where the policy sets another one.
    pub(crate) fn check_proxy(&self, asked: &Proxy, overridden: Overridden) -> Result<()> {
        let Some(policy) = self.get()? else {
            return Ok(());
        };
        match &policy.defaults.proxy {
            Some(set) if set != asked => Err(policy.refuse(
                Member::Proxy,
                Forbidden::OtherProxy {
                    instead_of: set.as_str().to_owned(),
                },
                overridden,
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a secret that is the value of an option.
    pub(crate) fn check_secret_argument(&self, option: &'static str) -> Result<()> {
        let Some(policy) = self.get()? else {
            return Ok(());
        };
        if policy.limits.secrets_on_command_line == Some(false) {
            return Err(policy.refuse(
                Member::SecretsOnCommandLine,
                Forbidden::SecretArgument,
                Overridden::Option(option),
            ));
        }
        Ok(())
    }

    /// Refuses a command that prints a client secret or an API key.
    pub(crate) fn check_secret_command(
        &self,
        secret: PrintedSecret,
        overridden: Overridden,
    ) -> Result<()> {
        let policy = self.get()?;
        policy.map_or(Ok(()), |policy| {
            policy.check_secret_command(secret, overridden)
        })
    }

    /// Refuses a kind of connection.
    pub(crate) fn check_kind(&self, kind: GrantKind, overridden: Overridden) -> Result<()> {
        let policy = self.get()?;
        policy.map_or(Ok(()), |policy| policy.check_kind(kind, overridden))
    }

    /// All that the policy sets, in the order of its documentation.
    pub(crate) fn in_force(&self) -> Result<Vec<InForce>> {
        let policy = self.get()?;
        Ok(policy.map_or_else(Vec::new, Policy::in_force))
    }
}

impl Policy {
    fn rule(&self, member: Member) -> PolicyRule {
        let line = self.lines.iter().find(|(of, _)| *of == member);
        PolicyRule {
            member: member.as_str(),
            place: self.place.clone(),
            line: line.map(|(_, line)| *line),
        }
    }

    fn refuse(&self, member: Member, what: Forbidden, overridden: Overridden) -> Error {
        Error::Forbidden(Box::new(PolicyRefusal {
            connection: None,
            what,
            rule: self.rule(member),
            overridden,
        }))
    }

    fn check_urls(&self, urls: &PortalUrls, browser: Overridden, api: Overridden) -> Result<()> {
        self.check_portal(urls.browser_url(), browser)?;
        self.check_portal(urls.api_url(), api)
    }

    fn check_portal(&self, portal: &PortalUrl, overridden: Overridden) -> Result<()> {
        match &self.limits.portals {
            Some(allowed) if !allowed.iter().any(|one| one.covers(portal)) => {
                let what = Forbidden::Portal(portal.to_string());
                Err(self.refuse(Member::Portals, what, overridden))
            }
            _ => Ok(()),
        }
    }

    fn check_tls(&self, tls: &Tls, overridden: Overridden) -> Result<()> {
        let is_verified = match tls {
            Tls::System | Tls::Ca(_) | Tls::Pinned { .. } => true,
            Tls::Unverified => false,
        };
        if is_verified || self.limits.unverified_tls != Some(false) {
            return Ok(());
        }
        Err(self.refuse(Member::UnverifiedTls, Forbidden::UnverifiedTls, overridden))
    }

    fn check_secret_command(&self, secret: PrintedSecret, overridden: Overridden) -> Result<()> {
        if self.limits.secret_commands != Some(false) {
            return Ok(());
        }
        let what = Forbidden::SecretCommand(secret);
        Err(self.refuse(Member::SecretCommands, what, overridden))
    }

    fn check_kind(&self, kind: GrantKind, overridden: Overridden) -> Result<()> {
        let has_api_key = match kind {
            GrantKind::ApiKey => true,
            GrantKind::User | GrantKind::Application | GrantKind::Network => false,
        };
        if !has_api_key || self.limits.api_keys != Some(false) {
            return Ok(());
        }
        Err(self.refuse(Member::ApiKeys, Forbidden::ApiKey, overridden))
    }

    fn check_keychain(&self, kind: KeychainKind, overridden: Overridden) -> Result<()> {
        match &self.limits.keychains {
            Some(allowed) if !allowed.contains(&kind) => {
                let what = Forbidden::Keychain(kind.as_str());
                Err(self.refuse(Member::Keychains, what, overridden))
            }
            _ => Ok(()),
        }
    }

    fn in_force(&self) -> Vec<InForce> {
        let Defaults {
            proxy,
            certificate_authorities,
            keychain,
            event_log,
        } = &self.defaults;
        let Limits {
            portals,
            unverified_tls,
            secrets_on_command_line,
            secret_commands,
            api_keys,
            keychains,
            longest_sign_in,
        } = &self.limits;
        let value = |member| match member {
            Member::Proxy => proxy.as_ref().map(|proxy| proxy.as_str().to_owned()),
            Member::CertificateAuthorities => {
                let files = certificate_authorities.as_ref()?;
                Some(list(files.iter().map(|file| file.path.display())))
            }
            Member::Keychain => keychain.map(|kind| kind.as_str().to_owned()),
            Member::EventLog => event_log.as_ref().map(|path| path.display().to_string()),
            Member::Portals => portals.as_ref().map(list),
            Member::UnverifiedTls => unverified_tls.map(allowed),
            Member::SecretsOnCommandLine => secrets_on_command_line.map(allowed),
            Member::SecretCommands => secret_commands.map(allowed),
            Member::ApiKeys => api_keys.map(allowed),
            Member::Keychains => {
                let kinds = keychains.as_ref()?;
                Some(list(kinds.iter().map(|kind| kind.as_str())))
            }
            Member::LongestSignIn => longest_sign_in.map(duration),
        };
        let set = Member::ALL.iter().filter_map(|member| {
            Some(InForce {
                member: *member,
                value: value(*member)?,
                rule: self.rule(*member),
            })
        });
        set.collect()
    }
}

/// Where the policy of a machine is. Nothing moves it.
#[cfg(unix)]
pub(crate) const PLACE: &str = place::FILE;
#[cfg(windows)]
pub(crate) const PLACE: &str = registry::PLACE;
#[cfg(not(any(unix, windows)))]
pub(crate) const PLACE: &str = "none on this system";

/// Why no event log is written to a folder, in words for people.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) struct UnusableFolder {
    /// What is wrong.
    pub(crate) why: String,
    /// What an administrator can do.
    pub(crate) remedy: String,
}

/// Whether the folder of the policy's event log can be used: only root can replace it, and accounts
/// cannot change each other's files in it.
#[cfg(unix)]
pub(crate) fn check_log_folder(folder: &Path) -> std::result::Result<(), UnusableFolder> {
    ownership::check_shared_folder(folder)
}

/// On other systems, no policy names an event log.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // As on Unix.
pub(crate) fn check_log_folder(_: &Path) -> std::result::Result<(), UnusableFolder> {
    Ok(())
}

/// A duration for people: `14 days`.
pub(crate) fn duration(duration: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let seconds = duration.as_secs();
    let span = Span::new()
        .try_days(number(seconds / (24 * HOUR)))
        .and_then(|span| span.try_hours(number(seconds / HOUR % 24)))
        .and_then(|span| span.try_minutes(number(seconds / 60 % 60)))
        .and_then(|span| span.try_seconds(number(seconds % 60)));
    span.map_or_else(
        // Longer than a calendar.
        |_| format!("{seconds} seconds"),
        |span| PEOPLE.span_to_string(&span),
    )
}

static PEOPLE: SpanPrinter = SpanPrinter::new()
    .designator(Designator::Verbose)
    .spacing(Spacing::BetweenUnitsAndDesignators);

fn allowed(is_allowed: bool) -> String {
    if is_allowed { "allowed" } else { "not allowed" }.to_owned()
}

fn list<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let words: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

#[cfg(unix)]
fn read() -> Reading {
    place::read()
}

#[cfg(windows)]
fn read() -> Reading {
    registry::read_machine()
}

#[cfg(not(any(unix, windows)))]
fn read() -> Reading {
    Ok(None)
}

#[cfg(test)]
mod tests;
