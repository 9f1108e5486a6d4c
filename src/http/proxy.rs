//! The way out to a portal: straight, or through an HTTP proxy, as the connection, the environment and (on Windows) the
//! manual setting say. PAC files and macOS settings are not followed.

use url::{Host, Url};

use crate::connection::{is_loopback, Proxy};
use crate::context::Environment;
use crate::error::{Error, Result, Unreachable};

/// How requests leave this machine.
#[derive(Clone)]
pub(super) enum Way {
    Direct,
    Through(Url),
}

impl Way {
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }

    /// The proxy without user and password.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Direct => "none".into(),
            Self::Through(url) => format!(
                "{}:{}",
                url.host_str().unwrap_or_default(),
                url.port_or_known_default().unwrap_or(80)
            ),
        }
    }

    pub(super) fn for_ureq(&self) -> std::result::Result<Option<ureq::Proxy>, ureq::Error> {
        match self {
            Self::Direct => Ok(None),
            // The name is the proxy's to resolve: behind one, this machine often cannot.
            Self::Through(url) => {
                let decoded = |text: &str| {
                    url::form_urlencoded::parse(
                        format!("x={}", text.replace('+', "%2B")).as_bytes(),
                    )
                    .next()
                    .map(|(_, value)| value.into_owned())
                    .unwrap_or_default()
                };
                let mut builder = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
                    .host(url.host_str().unwrap_or_default())
                    .port(url.port_or_known_default().unwrap_or(80))
                    .resolve_target(false);
                if !url.username().is_empty() {
                    builder = builder.username(&decoded(url.username()));
                }
                if let Some(password) = url.password() {
                    builder = builder.password(&decoded(password));
                }
                builder.build().map(Some)
            }
        }
    }
}

/// Chooses the way to `target`.
pub(super) fn choose(proxy: &Proxy, target: &Url, environment: &Environment) -> Result<Way> {
    if is_loopback(target) {
        return Ok(Way::Direct);
    }
    let chosen = match proxy {
        Proxy::None => None,
        Proxy::Url(url) => Some(url.clone()),
        Proxy::System => {
            from_environment(target, environment).unwrap_or_else(|| from_system(target))
        }
    };
    chosen.map_or(Ok(Way::Direct), |text| through(&text))
}

fn through(text: &str) -> Result<Way> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let unusable = |what: &str| Error::Unreachable {
        connection: None,
        url: "the proxy".into(),
        why: Unreachable::Proxy {
            proxy: "configured".into(),
            what: what.into(),
            authentication: false,
        },
    };
    let url = Url::parse(&with_scheme).map_err(|_| unusable("its address cannot be understood"))?;
    if url.scheme() != "http" {
        return Err(unusable("only http:// proxies are supported"));
    }
    if url.host_str().is_none() {
        return Err(unusable("its address names no host"));
    }
    Ok(Way::Through(url))
}

/// `Some(None)`: the environment says "straight".
#[allow(clippy::option_option)]
fn from_environment(target: &Url, environment: &Environment) -> Option<Option<String>> {
    let either = |name: &str| {
        environment
            .var(name)
            .or_else(|| environment.var(&name.to_lowercase()))
    };
    let proxy = either("HTTPS_PROXY").or_else(|| either("ALL_PROXY"))?;
    let exceptions = either("NO_PROXY").unwrap_or_default();
    if is_exempt(target, &exceptions) {
        return Some(None);
    }
    Some(Some(proxy))
}

/// Whether `NO_PROXY` names the target: `*`, a host, a suffix with or without dot, an address, a range, each perhaps with a
/// port.
fn is_exempt(target: &Url, exceptions: &str) -> bool {
    let Some(host) = target.host() else {
        return false;
    };
    exceptions
        .split([',', ' ', ';'])
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .any(|rule| rule == "*" || matches_rule(&host, target.port_or_known_default(), rule))
}

fn matches_rule(host: &Host<&str>, port: Option<u16>, rule: &str) -> bool {
    match host {
        Host::Ipv4(address) => matches_address((*address).into(), port, rule),
        Host::Ipv6(address) => matches_address((*address).into(), port, rule),
        Host::Domain(name) => {
            let (rule, wanted_port) = split_port(rule);
            let suffix = rule
                .trim_start_matches('*')
                .trim_start_matches('.')
                .to_ascii_lowercase();
            let name = name.trim_end_matches('.');
            let fits = name == suffix
                || name
                    .strip_suffix(&*suffix)
                    .is_some_and(|before| before.ends_with('.'));
            !suffix.is_empty() && fits && wanted_port.is_none_or(|wanted| Some(wanted) == port)
        }
    }
}

fn split_port(rule: &str) -> (&str, Option<u16>) {
    match rule.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (rule, None),
        },
        None => (rule, None),
    }
}

fn matches_address(address: std::net::IpAddr, port: Option<u16>, rule: &str) -> bool {
    use std::net::IpAddr;
    if let Some((network, bits)) = rule.split_once('/') {
        let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
            return false;
        };
        return match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        };
    }
    if let Ok(exact) = rule.trim_matches(['[', ']']).parse::<IpAddr>() {
        return exact == address;
    }
    let (host, wanted_port) = split_port(rule);
    host.trim_matches(['[', ']']).parse::<IpAddr>().ok() == Some(address) && wanted_port == port
}

#[cfg(not(windows))]
fn from_system(_target: &Url) -> Option<String> {
    None
}

#[cfg(windows)]
fn from_system(target: &Url) -> Option<String> {
    let key = windows_registry::CURRENT_USER
        .open(r"Software\Microsoft\Windows\CurrentVersion\Internet Settings")
        .ok()?;
    if key.get_u32("ProxyEnable").unwrap_or(0) == 0 {
        return None;
    }
    let server = key.get_string("ProxyServer").ok()?;
    let exceptions = key.get_string("ProxyOverride").unwrap_or_default();
    manual_setting(target, &server, &exceptions)
}

/// Windows' manual setting: `host:port` for everything, or `http=…;https=…`; exceptions with `*`, and `<local>` for names
/// without a dot.
#[cfg(any(windows, test))]
fn manual_setting(target: &Url, server: &str, exceptions: &str) -> Option<String> {
    let host = target.host_str()?.to_ascii_lowercase();
    let exempt = exceptions
        .split(';')
        .map(|rule| rule.trim().to_ascii_lowercase())
        .filter(|rule| !rule.is_empty())
        .any(|rule| match rule.as_str() {
            "<local>" => !host.contains('.'),
            rule => fits_pattern(&host, rule),
        });
    if exempt {
        return None;
    }
    if !server.contains('=') {
        return Some(server.trim().to_owned()).filter(|server| !server.is_empty());
    }
    server
        .split(';')
        .filter_map(|entry| entry.split_once('='))
        .find(|(scheme, _)| scheme.trim().eq_ignore_ascii_case("https"))
        .map(|(_, proxy)| proxy.trim().to_owned())
}

/// `*` stands for any text, also in the middle.
#[cfg(any(windows, test))]
fn fits_pattern(host: &str, pattern: &str) -> bool {
    let pattern = pattern
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = host.strip_prefix(first) else {
        return false;
    };
    let mut ends_open = false;
    let mut last = "";
    for piece in pieces {
        ends_open = piece.is_empty();
        last = piece;
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    ends_open || rest.is_empty() || (!last.is_empty() && host.ends_with(last))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn way(proxy: &Proxy, target: &str, variables: &[(&str, &str)]) -> Result<String> {
        let environment = Environment::of(variables.iter().map(|(n, v)| (*n, *v)));
        choose(proxy, &url(target), &environment).map(|way| way.name())
    }

    #[test]
    fn the_environment_chooses_by_scheme_and_exceptions() {
        let target = "https://gis.example.org/portal";
        let system = |variables: &[(&str, &str)]| way(&Proxy::System, target, variables).unwrap();
        assert_eq!(system(&[]), "none");
        assert_eq!(system(&[("HTTP_PROXY", "http://a:1")]), "none");
        assert_eq!(system(&[("HTTPS_PROXY", "http://a:1")]), "a:1");
        assert_eq!(system(&[("https_proxy", "b:2")]), "b:2");
        assert_eq!(system(&[("ALL_PROXY", "c:3")]), "c:3");
        assert_eq!(
            system(&[("HTTPS_PROXY", "a:1"), ("ALL_PROXY", "c:3")]),
            "a:1"
        );
        for exempt in [
            "*",
            "gis.example.org",
            ".example.org",
            "example.org",
            "*.example.org",
            "x, gis.example.org:443",
        ] {
            assert_eq!(
                system(&[("HTTPS_PROXY", "a:1"), ("NO_PROXY", exempt)]),
                "none",
                "{exempt}"
            );
        }
        for other in ["ample.org", "gis.example.org:8443", "example.com", ""] {
            assert_eq!(
                system(&[("HTTPS_PROXY", "a:1"), ("NO_PROXY", other)]),
                "a:1",
                "{other}"
            );
        }
    }

    #[test]
    fn addresses_are_exempt_one_by_one_or_by_range() {
        let system = |target: &str, exempt: &str| {
            way(
                &Proxy::System,
                target,
                &[("HTTPS_PROXY", "a:1"), ("NO_PROXY", exempt)],
            )
            .unwrap()
        };
        assert_eq!(system("https://10.1.2.3/p", "10.0.0.0/8"), "none");
        assert_eq!(system("https://11.1.2.3/p", "10.0.0.0/8"), "a:1");
        assert_eq!(system("https://10.1.2.3/p", "10.1.2.3"), "none");
        assert_eq!(system("https://10.1.2.3/p", "10.1.2.3:443"), "none");
        assert_eq!(system("https://[fd00::1]/p", "fd00::/8"), "none");
        assert_eq!(system("https://[fd00::1]/p", "0.0.0.0/0"), "a:1");
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let through = Proxy::Url("http://a:1".into());
        for target in [
            "https://localhost/p",
            "https://127.0.0.1:7443/p",
            "https://[::1]/p",
        ] {
            assert_eq!(way(&through, target, &[]).unwrap(), "none");
        }
        assert_eq!(way(&through, "https://h/p", &[]).unwrap(), "a:1");
        assert_eq!(
            way(&Proxy::None, "https://h/p", &[("HTTPS_PROXY", "a:1")]).unwrap(),
            "none"
        );
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let environment = Environment::of([("HTTPS_PROXY", "http://me:p%40ss@a:1")]);
        let way = choose(&Proxy::System, &url("https://h/p"), &environment).unwrap();
        assert_eq!(way.name(), "a:1");
        let proxy = way.for_ureq().unwrap().unwrap();
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("me"), Some("p@ss"))
        );
    }

    #[test]
    fn proxies_of_other_kinds_are_told() {
        for bad in ["socks5://a:1", "https://a:1", "http://"] {
            let error = way(&Proxy::System, "https://h/p", &[("HTTPS_PROXY", bad)]).unwrap_err();
            assert!(matches!(
                error,
                Error::Unreachable {
                    why: Unreachable::Proxy { .. },
                    ..
                }
            ));
        }
    }

    #[test]
    fn the_manual_setting_of_windows_is_understood() {
        let setting = |target: &str, server: &str, exceptions: &str| {
            manual_setting(&url(target), server, exceptions)
        };
        assert_eq!(
            setting("https://h.org/p", "a:1", "").as_deref(),
            Some("a:1")
        );
        assert_eq!(
            setting("https://h.org/p", "http=x:1;https=a:1", "").as_deref(),
            Some("a:1")
        );
        assert_eq!(setting("https://h.org/p", "http=x:1", ""), None);
        assert_eq!(setting("https://h/p", "a:1", "<local>"), None);
        assert_eq!(setting("https://gis.h.org/p", "a:1", "10.*;*.h.org"), None);
        assert_eq!(
            setting("https://gis.h.org/p", "a:1", "*.x.org;gis.h.com").as_deref(),
            Some("a:1")
        );
        assert_eq!(setting("https://10.2.3.4/p", "a:1", "10.*"), None);
    }
}
