//! Which proxy a request goes through. This module only decides; it opens no connection.
//!
//! The connection's own setting counts first; `system` means the environment, then the manual
//! setting of Windows. Loopback addresses are never reached through a proxy.

use std::fmt;
use std::net::IpAddr;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::intermediary::challenge_schemes;
use crate::connection::{is_loopback, PortalUrl, Proxy};
use crate::context::{Context, Environment};
use crate::env;
use crate::error::{Error, ProxyDemand, Unreachable};
use crate::util::percent_decoded;

/// The proxy to use, and where it is set. Displays neither user name nor password.
pub struct ProxyChoice {
    host: String,
    port: u16,
    /// `user:password`.
    login: Option<Zeroizing<Vec<u8>>>,
    source: ProxySource,
}

/// Where a proxy is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxySource {
    /// The connection's own setting.
    Connection,
    /// This environment variable.
    Variable(&'static str),
    /// The manual setting of Windows.
    Windows,
    /// The policy of this machine.
    Policy,
}

impl fmt::Display for ProxySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "the connection",
            Self::Variable(name) => name,
            Self::Windows => "the Windows settings",
            Self::Policy => "the policy of this machine",
        })
    }
}

impl ProxyChoice {
    /// Where it is set.
    #[must_use]
    pub fn source(&self) -> ProxySource {
        self.source
    }

    /// Reads `[http://][user[:password]@]host[:port]`. The user name and the password may contain
    /// any character, also `@`, `/` and `\\`; both may be percent-encoded.
    /// `src/python/age_oauth/_proxies.py` reads it alike; `tests/proxies.json` is the test of both.
    fn parse(text: &str, source: ProxySource) -> Result<Self, Unreachable> {
        let unusable =
            |what: &str| proxy_error(format!("named by {source}"), what, ProxyDemand::Nothing);
        let text = text.trim();
        let (scheme, rest) = split_scheme(text);
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(unusable("only http:// proxies are supported"));
        }
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (login, address),
            None => ("", rest),
        };
        let unreadable = || unusable(HOW_TO_WRITE);
        let url = Url::parse(&format!("http://{address}")).map_err(|_| unreadable())?;
        let host = url.host_str().ok_or_else(unreadable)?;
        // A host name does not have these. They are the rest of a password, or of a `DOMAIN\user`
        // whose `@` is missing.
        let is_bare = matches!(url.path(), "" | "/") && !address.contains(['\\', '?', '#']);
        if !is_bare {
            return Err(unreadable());
        }
        Ok(Self {
            host: host.to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            login: decoded_login(login),
            source,
        })
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<Zeroizing<String>> {
        let login = self.login.as_ref()?;
        let encoded = Zeroizing::new(STANDARD.encode(login));
        let mut value = Zeroizing::new(String::with_capacity(encoded.len() + 6));
        value.push_str("Basic ");
        value.push_str(&encoded);
        Some(value)
    }

    /// An error about this proxy.
    pub(super) fn error(&self, what: &str) -> Unreachable {
        proxy_error(self.to_string(), what, ProxyDemand::Nothing)
    }

    /// The proxy's 407. `challenges` is what it offers in `Proxy-Authenticate`.
    pub(super) fn authentication_required(&self, challenges: &[&str]) -> Unreachable {
        let schemes = challenge_schemes(challenges);
        let offers_basic = schemes.is_empty()
            || schemes
                .iter()
                .any(|scheme| scheme.eq_ignore_ascii_case("Basic"));
        let (what, demand) = match (offers_basic, &self.login) {
            (false, _) => (
                format!(
                    "it asks for a sign-in by {}, HTTP 407",
                    schemes.join(" or ")
                ),
                ProxyDemand::UnknownScheme,
            ),
            (true, None) => (
                "it asks for a password, HTTP 407".to_owned(),
                ProxyDemand::Password,
            ),
            (true, Some(_)) => (
                "it does not accept the user name or the password, HTTP 407".to_owned(),
                ProxyDemand::OtherPassword,
            ),
        };
        proxy_error(self.to_string(), &what, demand)
    }
}

/// What an address that cannot be read is answered with. It never repeats the address, which may
/// hold a password.
const HOW_TO_WRITE: &str = "its address cannot be read; write http://USER:PASSWORD@HOST:PORT, with special characters of the user name and the password percent-encoded, for example %40 for @ and %5C for \\";

/// The scheme, `http` where there is none, and what follows it. A password may contain `://`.
fn split_scheme(text: &str) -> (&str, &str) {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => (scheme, rest),
        _ => ("http", text),
    }
}

fn proxy_error(proxy: String, what: &str, demand: ProxyDemand) -> Unreachable {
    Unreachable::Proxy {
        proxy,
        what: what.to_owned(),
        demand,
    }
}

impl fmt::Display for ProxyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ProxyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyChoice({self})")
    }
}

/// `user:password`, percent-decoded.
fn decoded_login(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.is_empty() {
        return None;
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let mut login = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    login.extend(percent_decoded(user));
    login.push(b':');
    login.extend(percent_decoded(password));
    Some(login)
}

/// The proxy for `url`, by the policy of this machine or else by the setting of a connection;
/// nothing where it is reached directly. The error says why a proxy that is set cannot be used.
pub fn choose(
    proxy: &Proxy,
    url: &Url,
    context: &Context,
) -> Result<Option<ProxyChoice>, Unreachable> {
    // A policy that cannot be used has refused this client already.
    let set = context.machine_policy.proxy().ok().flatten();
    let (proxy, source) = set.map_or((proxy, ProxySource::Connection), |set| {
        (set, ProxySource::Policy)
    });
    // Plain HTTP is for loopback alone, and no proxy can reach this machine's loopback.
    if url.scheme() != "https" || is_loopback(url) {
        return Ok(None);
    }
    match proxy {
        Proxy::None => Ok(None),
        Proxy::Url(text) => ProxyChoice::parse(text, source).map(Some),
        Proxy::System => system(url, &context.environment),
    }
}

/// The proxy on the way to a portal.
pub fn to_portal(
    portal: &PortalUrl,
    proxy: &Proxy,
    context: &Context,
) -> Result<Option<ProxyChoice>, Unreachable> {
    let url = Url::parse(portal.as_str());
    let url = url.map_err(|_| Unreachable::Broken("the portal's URL is not valid".into()))?;
    choose(proxy, &url, context)
}

/// Refuses variables about proxies that cannot be read. Without them, a request would take another
/// way than the one that was chosen.
pub(super) fn check_variables(proxy: &Proxy, environment: &Environment) -> Result<(), Error> {
    if *proxy != Proxy::System {
        return Ok(());
    }
    let names = env::NO_PROXY_VARIABLES.into_iter();
    names
        .chain(env::PROXY_VARIABLES)
        .try_for_each(|name| environment.text(name).map(drop))
}

/// The variables can be read: [`check_variables`] comes before.
fn system(url: &Url, environment: &Environment) -> Result<Option<ProxyChoice>, Unreachable> {
    let first = |names: &[&'static str]| {
        let value = |name| environment.text(name).ok().flatten();
        names.iter().find_map(|name| Some((*name, value(name)?)))
    };
    // 1. A host that is excepted is reached directly, whatever else is set.
    if first(&env::NO_PROXY_VARIABLES).is_some_and(|(_, list)| bypassed(&list, url)) {
        return Ok(None);
    }
    // 2. The environment.
    if let Some((name, text)) = first(&env::PROXY_VARIABLES) {
        return ProxyChoice::parse(&text, ProxySource::Variable(name)).map(Some);
    }
    // 3. The manual setting of Windows, which has its own exceptions.
    windows_setting()
        .and_then(|setting| setting.proxy_for(url))
        .map(|text| ProxyChoice::parse(&text, ProxySource::Windows))
        .transpose()
}

/// Whether a list such as `*`, `.example.org,portal.example.com:7443,10.0.0.0/8` names the URL's
/// host.
fn bypassed(list: &str, url: &Url) -> bool {
    list.split([',', ' '])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || names_host(entry, url))
}

fn names_host(entry: &str, url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::from(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::from(address)),
        _ => None,
    };
    if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
        return in_network(address, network, bits);
    }
    let (name, port) = split_port(entry);
    if port.is_some_and(|port| url.port_or_known_default() != Some(port)) {
        return false;
    }
    match address {
        Some(address) => name.parse() == Ok(address),
        None => has_suffix(url.host_str().unwrap_or_default(), name),
    }
}

/// `host:port`, `[v6]:port`, or either alone; a bare IPv6 address has colons and no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let bare = |name: &'_ str| name.len() > 1 && name.starts_with('[') && name.ends_with(']');
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if bare(name) || !name.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

/// `example.org`, `.example.org` and `*.example.org` name the domain and everything below it.
fn has_suffix(host: &str, name: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let name = name.trim_start_matches('*').trim_matches('.');
    let name = name.to_ascii_lowercase();
    !name.is_empty()
        && host
            .strip_suffix(&name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let differ = u64::from(a.to_bits() ^ n.to_bits());
            differ >> (32 - bits) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let differ = a.to_bits() ^ n.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The manual proxy setting of Windows, as its registry holds it.
#[cfg_attr(not(any(windows, test)), allow(dead_code))]
struct WindowsSetting {
    enabled: bool,
    /// `host:port`, or `http=host:port;https=host:port`.
    server: String,
    /// `*.example.org;10.*;<local>`.
    bypass: String,
}

impl WindowsSetting {
    fn proxy_for(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?.to_ascii_lowercase();
        if !self.enabled
            || self
                .bypass
                .split(';')
                .any(|entry| is_exception(entry, &host))
        {
            return None;
        }
        let server = if self.server.contains('=') {
            self.server
                .split(';')
                .filter_map(|entry| entry.trim().split_once('='))
                .find_map(|(scheme, server)| {
                    (scheme.eq_ignore_ascii_case("https")).then_some(server)
                })?
        } else {
            self.server.as_str()
        };
        let server = server.trim();
        (!server.is_empty()).then(|| server.to_owned())
    }
}

/// Whether an exception names `host`: `<local>` is every name without a dot, `*` is any text.
fn is_exception(entry: &str, host: &str) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    let pattern = entry.split_once("://").map_or(&*entry, |(_, rest)| rest);
    match pattern {
        "" => false,
        "<local>" => !host.contains(['.', ':']),
        pattern => matches_pattern(split_port(pattern).0, host),
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.any(|at| matches_pattern(rest, text.get(at..).unwrap_or_default()))
}

/// Whether Windows is set to configure proxies by a script, which this program does not run.
#[must_use]
pub fn has_pac_file() -> bool {
    #[cfg(windows)]
    {
        settings().is_some_and(|key| {
            key.get_string("AutoConfigURL")
                .is_ok_and(|url| !url.is_empty())
        })
    }
    #[cfg(not(windows))]
    false
}

#[cfg(windows)]
fn settings() -> Option<windows_registry::Key> {
    const KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    windows_registry::CURRENT_USER.open(KEY).ok()
}

#[cfg(windows)]
fn windows_setting() -> Option<WindowsSetting> {
    let key = settings()?;
    Some(WindowsSetting {
        enabled: key.get_u32("ProxyEnable").is_ok_and(|flag| flag != 0),
        server: key.get_string("ProxyServer").ok()?,
        bypass: key.get_string("ProxyOverride").unwrap_or_default(),
    })
}

#[cfg(not(windows))]
fn windows_setting() -> Option<WindowsSetting> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::machine_policy::MachinePolicy;

    fn context(environment: Environment) -> Context {
        Context {
            environment,
            machine_policy: MachinePolicy::given("{}"),
            ..Context::process()
        }
    }

    #[test]
    fn rule_34_the_proxy_of_the_policy_takes_the_place_of_all_others() {
        let chosen = |own: &Proxy, url: &str, set: &str| {
            let environment =
                Environment::of([("HTTPS_PROXY", "http://variable:1"), ("NO_PROXY", "*")]);
            let text = format!(r#"{{"defaults": {{"proxy": "{set}"}}}}"#);
            let context = Context {
                machine_policy: MachinePolicy::given(&text),
                ..context(environment)
            };
            let chosen = choose(own, &Url::parse(url).unwrap(), &context).unwrap();
            chosen.map(|proxy| (proxy.to_string(), proxy.source()))
        };
        let ours = ("http://policy:8080".to_owned(), ProxySource::Policy);
        let other = Proxy::Url("http://other:1".into());
        for own in [Proxy::System, Proxy::None, other] {
            let found = chosen(&own, "https://gis.example.com", "http://policy:8080");
            assert_eq!(found, Some(ours.clone()));
            assert_eq!(chosen(&own, "https://gis.example.com", "none"), None);
            assert_eq!(
                chosen(&own, "https://localhost", "http://policy:8080"),
                None
            );
        }
    }

    fn chosen(proxy: &Proxy, url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let environment = Environment::of(variables.iter().copied());
        let choice = choose(proxy, &Url::parse(url).unwrap(), &context(environment)).unwrap();
        choice.map(|choice| choice.to_string())
    }

    const PORTAL: &str = "https://gis.example.com/portal";

    #[test]
    fn variables_are_taken_in_order() {
        let variables = [
            ("ALL_PROXY", "all:1"),
            ("https_proxy", "low:2"),
            ("HTTPS_PROXY", "http://up:3"),
        ];
        assert_eq!(
            chosen(&Proxy::System, PORTAL, &variables).unwrap(),
            "http://up:3"
        );
        let rest = variables.get(..2).unwrap();
        assert_eq!(
            chosen(&Proxy::System, PORTAL, rest).unwrap(),
            "http://low:2"
        );
        assert_eq!(
            chosen(&Proxy::System, PORTAL, &[("all_proxy", "x")]).unwrap(),
            "http://x:80"
        );
        assert!(chosen(&Proxy::System, PORTAL, &[("HTTP_PROXY", "x:1")]).is_none());
        assert!(chosen(&Proxy::None, PORTAL, &variables).is_none());
        let own = Proxy::Url("http://own:8080".to_owned());
        assert_eq!(chosen(&own, PORTAL, &variables).unwrap(), "http://own:8080");
    }

    #[test]
    fn loopback_is_never_reached_through_a_proxy() {
        let own = Proxy::Url("http://own:8080".to_owned());
        for url in [
            "https://localhost:7443/",
            "https://127.0.0.9/",
            "https://[::1]/",
            "http://localhost/",
        ] {
            assert!(chosen(&own, url, &[]).is_none(), "{url}");
            assert!(
                chosen(&Proxy::System, url, &[("HTTPS_PROXY", "p:1")]).is_none(),
                "{url}"
            );
        }
    }

    #[test]
    fn hosts_can_be_excepted() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/proxies.json")).unwrap();
        let rows = table["excepted"].as_array().unwrap();
        assert!(rows.len() > 20);
        for row in rows {
            let (list, url) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            let excepted = row[2].as_bool().unwrap();
            let variables = [("HTTPS_PROXY", "p:1"), ("NO_PROXY", list)];
            assert_eq!(
                chosen(&Proxy::System, url, &variables).is_none(),
                excepted,
                "{list} {url}"
            );
        }
    }

    #[test]
    fn an_unusable_proxy_is_reported_without_its_password() {
        for value in [
            "socks5://me:canary@p:1",
            "https://me:canary@p",
            "http://me:canary@",
            "me:canary@p:x",
            "http://DOMAIN\\me:canary",
            "http://me:canary/p:8080",
            "http://me@p:canary#x@",
        ] {
            let environment = Environment::of([("HTTPS_PROXY", value)]);
            let error = choose(
                &Proxy::System,
                &Url::parse(PORTAL).unwrap(),
                &context(environment),
            )
            .unwrap_err();
            assert!(matches!(error, Unreachable::Proxy { .. }));
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert!(format!("{error}").contains("HTTPS_PROXY"), "{error}");
        }
    }

    #[test]
    fn a_login_is_decoded_and_never_shown() {
        let choice = ProxyChoice::parse("http://me:p%40%zz@p:1", ProxySource::Connection).unwrap();
        assert_eq!(
            *choice.authorization().unwrap(),
            format!("Basic {}", STANDARD.encode("me:p@%zz"))
        );
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/proxies.json")).unwrap();
        let rows = table["read"].as_array().unwrap();
        assert!(rows.len() > 10);
        for row in rows {
            let text = row[0].as_str().unwrap();
            let choice = ProxyChoice::parse(text, ProxySource::Connection).unwrap();
            let expected = row[1]
                .as_str()
                .map(|login| format!("Basic {}", STANDARD.encode(login)));
            let sent = choice.authorization().map(|value| value.to_string());
            assert_eq!(sent, expected, "{text}");
            assert_eq!(choice.to_string(), row[2].as_str().unwrap(), "{text}");
        }
        for text in table["refused"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            ProxyChoice::parse(text, ProxySource::Connection).unwrap_err();
        }
        assert_eq!(
            format!("{choice} {choice:?}"),
            "http://p:1 ProxyChoice(http://p:1)"
        );
    }

    #[test]
    fn the_setting_of_windows_is_understood() {
        let setting = |server: &str, bypass: &str| WindowsSetting {
            enabled: true,
            server: server.to_owned(),
            bypass: bypass.to_owned(),
        };
        let portal = Url::parse(PORTAL).unwrap();
        let local = Url::parse("https://gis/").unwrap();
        assert_eq!(setting("p:1", "").proxy_for(&portal).unwrap(), "p:1");
        assert_eq!(
            setting("http=a:1;HTTPS=b:2", "")
                .proxy_for(&portal)
                .unwrap(),
            "b:2"
        );
        assert!(setting("http=a:1;socks=c:3", "")
            .proxy_for(&portal)
            .is_none());
        for bypass in [
            "*.example.com;10.*",
            "GIS.*",
            "https://gis.example.com",
            "*",
        ] {
            assert!(
                setting("p:1", bypass).proxy_for(&portal).is_none(),
                "{bypass}"
            );
        }
        for bypass in ["<local>", "example.com", "10.*;;", "*.example.org"] {
            assert!(
                setting("p:1", bypass).proxy_for(&portal).is_some(),
                "{bypass}"
            );
        }
        assert!(setting("p:1", "<local>").proxy_for(&local).is_none());
        let off = WindowsSetting {
            enabled: false,
            ..setting("p:1", "")
        };
        assert!(off.proxy_for(&portal).is_none());
    }
}
