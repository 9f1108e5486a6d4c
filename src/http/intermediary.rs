//! Recognizes what answers in place of the portal: a web server, an access proxy or a firewall in
//! front of it that redirects, requires a sign-in of its own, or denies access.
//!
//! What it is decides whether trying again can help. A demand for a sign-in stays until an
//! administrator changes something, so it is a refusal; a page about maintenance is not.

use ureq::http::header::{LOCATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::response::{page_title, scrub, Classified, RawResponse, SHORTEST_SECRET};
use super::tls::CertificateRequest;
use super::windows_sign_in::service_of;
use crate::error::{CertificateRejection, ProxyDemand, Refusal, Unreachable, WindowsSignInFailure};
use crate::secret::Secret;
use crate::text::one_line;

/// The longest name of a host or a scheme that is shown, in characters.
const LONGEST_NAME: usize = 300;
/// A longer word is not taken for the name of a scheme.
const LONGEST_SCHEME: usize = 32;
/// More schemes than this are not kept.
const MOST_SCHEMES: usize = 8;
/// Only so much of a page is searched, in bytes.
const SEARCHED: usize = 256 * 1024;

/// Schemes that portals never ask for: the web server in front of one does.
const WEB_TIER: [&str; 5] = ["Negotiate", "NTLM", "Kerberos", "Basic", "Digest"];

/// What nginx, IIS, Apache and the load balancers built on them write if a request comes without a
/// client certificate, or with one that they do not accept. Lower case.
const CERTIFICATE_PAGES: [&str; 9] = [
    "no required ssl certificate",
    "ssl certificate error",
    "client certificate",
    "client-certificate",
    "post-handshake authentication",
    "403.7",
    "403.13",
    "403.16",
    "403.17",
];

/// Words in the host or path of sign-in pages, as they stand between dots, dashes and slashes.
const SIGN_IN_WORDS: [&str; 32] = [
    "login",
    "logon",
    "signin",
    "sign",
    "sso",
    "auth",
    "authn",
    "authorize",
    "authenticate",
    "oauth",
    "oauth2",
    "oidc",
    "openid",
    "saml",
    "saml2",
    "idp",
    "sts",
    "adfs",
    "wsfed",
    "cas",
    "okta",
    "keycloak",
    "accounts",
    "identity",
    "cloudflareaccess",
    "policy",
    "vdesk",
    "vpn",
    "logonpoint",
    "shibboleth",
    "mfa",
    "pingone",
];

/// What only the page of a sign-in contains. Lower case.
const SIGN_IN_PAGES: [&str; 13] = [
    "type=\"password\"",
    "type='password'",
    "type=password",
    "name=\"samlrequest\"",
    "name='samlrequest'",
    "samlrequest=",
    "/adfs/ls",
    "/my.policy",
    "/cdn-cgi/access/",
    "login.microsoftonline.com",
    "/oauth2/v2.0/authorize",
    "/idp/profile/",
    "/.auth/login",
];

/// Titles of sign-in pages in the languages that portals are used in. Lower case.
const SIGN_IN_TITLES: [&str; 26] = [
    "sign in",
    "sign-in",
    "signin",
    "sign on",
    "log in",
    "login",
    "log on",
    "logon",
    "authentication required",
    "cloudflare access",
    "anmeld",
    "connexion",
    "se connecter",
    "identification",
    "iniciar sesi",
    "inicio de sesi",
    "accedi",
    "accesso",
    "iniciar sess",
    "inloggen",
    "aanmelden",
    "logga in",
    "logg inn",
    "log ind",
    "zaloguj",
    "přihl",
];

/// Pages of ArcGIS itself, which may have a form for a password.
const ARCGIS_PAGES: [&str; 4] = [
    "arcgis rest services directory",
    "arcgis portal directory",
    "arcgis server administrator",
    "generate token",
];

/// Network Authentication Required (RFC 6585): of the network between, and never of a portal.
pub(super) const NETWORK_SIGN_IN: u16 = 511;

/// Words by which a redirect leads to a page that will go away.
const MAINTENANCE_WORDS: [&str; 8] = [
    "maintenance",
    "maintenances",
    "wartung",
    "offline",
    "unavailable",
    "sorry",
    "outage",
    "status",
];

/// What the status and the headers say before the body counts: a redirect, or a demand for a
/// sign-in that portals do not have.
pub(super) fn classify_head(
    received: &RawResponse,
    url: &Url,
    secrets: &[&Secret],
) -> Option<Classified> {
    match received.status {
        status @ 300..=399 => Some(redirect(received, status, url, secrets)),
        401 => {
            let schemes = schemes(received, secrets);
            let known = |scheme: &String| WEB_TIER.contains(&scheme.as_str());
            let asked: Vec<_> = schemes.into_iter().filter(known).collect();
            if let Some(refusal) = rejected_windows_sign_in(received, url, &asked) {
                return Some(Classified::Refused(refusal));
            }
            (!asked.is_empty()).then_some(Classified::Refused(Refusal::WebTier(asked)))
        }
        407 => Some(proxy_demand(received)),
        status @ NETWORK_SIGN_IN => Some(Classified::Unreachable(Unreachable::NetworkSignIn {
            status,
            to: None,
        })),
        // nginx's own codes for a certificate that it does not accept, and for a missing one.
        495 | 496 => Some(Classified::Refused(certificate_refusal(received))),
        _ => None,
    }
}

/// The refusal of a request that answered Windows sign-in, where the web server still asks for it.
/// One that asks for something else alone has not looked at the answer.
fn rejected_windows_sign_in(
    received: &RawResponse,
    url: &Url,
    asked: &[String],
) -> Option<Refusal> {
    let principal = received.principal.as_ref()?;
    let asks = |name: &str| asked.iter().any(|scheme| scheme == name);
    (asks("Negotiate") || asks("Kerberos")).then(|| {
        Refusal::WindowsSignIn(WindowsSignInFailure::Rejected {
            principal: principal.to_string(),
            service: service_of(url.host_str().unwrap_or_default()),
            schemes: asked.to_vec(),
        })
    })
}

/// What a response that is neither the portal's answer nor its error says. `None` where it may be
/// anything.
pub(super) fn classify_page(received: &RawResponse, secrets: &[&Secret]) -> Option<Classified> {
    let refusal = if asks_for_certificate(received) {
        certificate_refusal(received)
    } else if is_sign_in_page(received, secrets) {
        Refusal::SignInPage {
            host: None,
            title: page_title(received, secrets),
        }
    } else if received.status == 401 {
        Refusal::WebTier(schemes(received, secrets))
    } else if received.status == 403 {
        Refusal::Forbidden {
            title: page_title(received, secrets),
        }
    } else {
        return None;
    };
    Some(Classified::Refused(refusal))
}

/// A proxy that ends TLS answers 407 in the portal's place.
fn proxy_demand(received: &RawResponse) -> Classified {
    let schemes: Vec<_> = received.header(PROXY_AUTHENTICATE).into_iter().collect();
    let schemes = challenge_schemes(&schemes);
    let is_basic = |scheme: &&str| scheme.eq_ignore_ascii_case("Basic");
    let (what, demand) = if schemes.is_empty() || schemes.iter().any(is_basic) {
        ("a password".to_owned(), ProxyDemand::Password)
    } else {
        let what = format!("a sign-in by {}", schemes.join(" or "));
        (what, ProxyDemand::UnknownScheme)
    };
    let proxy = received.proxy.clone();
    Classified::Unreachable(Unreachable::Proxy {
        proxy: proxy.unwrap_or_else(|| "in between".to_owned()),
        what: format!("it asks for {what}, HTTP 407"),
        demand,
    })
}

/// What a server refuses that does not accept the request without a client certificate, or with the
/// one that it got. IIS says why by a number.
fn certificate_refusal(received: &RawResponse) -> Refusal {
    let page = searched(received);
    let why = if page.contains("403.13") {
        CertificateRejection::Revoked
    } else if page.contains("403.16") {
        CertificateRejection::UnknownAuthority
    } else if page.contains("403.17") {
        CertificateRejection::Expired
    } else {
        CertificateRejection::Unsaid
    };
    // Where the server did not ask in the handshake, these pages say that it did afterwards.
    let is_late = page.contains("403.7") || page.contains("post-handshake");
    match received.certificate_request {
        CertificateRequest::None if !is_late => Refusal::ClientCertificate,
        _ => received.certificate_request.refusal(why),
    }
}

/// Whether the answer is that a client certificate is missing, or not accepted. A server may also
/// ask in the handshake, accept the connection without one, and then refuse each request.
fn asks_for_certificate(received: &RawResponse) -> bool {
    let unanswered = matches!(received.certificate_request, CertificateRequest::Unanswered);
    match received.status {
        400 | 401 | 403 => {
            let page = searched(received);
            CERTIFICATE_PAGES.iter().any(|words| page.contains(words))
                || (unanswered && received.status != 401)
        }
        _ => false,
    }
}

pub(super) fn is_sign_in_page(received: &RawResponse, secrets: &[&Secret]) -> bool {
    if !received.is_html() || received.status >= 429 {
        return false;
    }
    let title = page_title(received, secrets)
        .unwrap_or_default()
        .to_lowercase();
    if ARCGIS_PAGES.iter().any(|words| title.contains(words)) {
        return false;
    }
    SIGN_IN_TITLES.iter().any(|words| title.contains(words)) || {
        let page = searched(received);
        SIGN_IN_PAGES.iter().any(|words| page.contains(words))
    }
}

/// The beginning of a body, in lower case. The body may repeat a secret.
fn searched(received: &RawResponse) -> Zeroizing<String> {
    let start = received.body.get(..SEARCHED).unwrap_or(&received.body);
    let text = Zeroizing::new(String::from_utf8_lossy(start).into_owned());
    Zeroizing::new(text.to_ascii_lowercase())
}

/// A redirect. One that leads to a sign-in, or away to another organization, leads there each time.
fn redirect(received: &RawResponse, status: u16, url: &Url, secrets: &[&Secret]) -> Classified {
    let target = received.header(LOCATION).and_then(|to| url.join(to).ok());
    let host = target.as_ref().and_then(|to| shown_host(to, secrets));
    if target
        .as_ref()
        .is_some_and(|target| is_network_sign_in(url, target))
    {
        return Classified::Unreachable(Unreachable::NetworkSignIn { status, to: host });
    }
    if target.is_some_and(|target| leads_to_sign_in(url, &target)) {
        return Classified::Refused(Refusal::SignInPage { host, title: None });
    }
    Classified::Unreachable(Unreachable::Redirected { status, to: host })
}

/// Whether a redirect leads from https to another organization's page without it. Sign-ins of web
/// servers and of identity providers have https; the pages of guest networks often do not.
fn is_network_sign_in(url: &Url, target: &Url) -> bool {
    let is_foreign = match target.host() {
        Some(Host::Domain(_)) => is_other_organization(url, target),
        address => address.is_some() && address != url.host(),
    };
    (url.scheme(), target.scheme()) == ("https", "http")
        && is_foreign
        && !is_same_resource(url, target)
        && !has_word(target, &MAINTENANCE_WORDS)
}

/// Whether the target is the same resource elsewhere: the portal has moved, or wants https.
fn is_same_resource(url: &Url, target: &Url) -> bool {
    let path = target.path().to_ascii_lowercase();
    path.contains("/sharing/rest") || path == url.path().to_ascii_lowercase()
}

/// Whether one of the words is in the host or path, between dots, dashes and slashes.
fn has_word(target: &Url, sought: &[&str]) -> bool {
    let path = target.path().to_ascii_lowercase();
    let host = target.host_str().unwrap_or_default().to_ascii_lowercase();
    host.split(['.', '-'])
        .chain(path.split(|c: char| !c.is_ascii_alphanumeric()))
        .any(|word| sought.contains(&word))
}

fn leads_to_sign_in(url: &Url, target: &Url) -> bool {
    if is_same_resource(url, target) {
        return false;
    }
    if has_word(target, &SIGN_IN_WORDS) {
        return true;
    }
    if has_word(target, &MAINTENANCE_WORDS) {
        return false;
    }
    leads_back(url, target) || is_other_organization(url, target)
}

/// Whether both hosts have names, and not of one organization.
fn is_other_organization(url: &Url, target: &Url) -> bool {
    match (organization(url), organization(target)) {
        (Some(own), Some(other)) => own != other,
        _ => false,
    }
}

/// Whether the target's query names the address that was requested, to return there afterwards.
fn leads_back(url: &Url, target: &Url) -> bool {
    let path = url.path();
    path.len() > 1 && target.query_pairs().any(|(_, value)| value.contains(path))
}

/// The names below which countries register organizations: `co.uk`, `gov.au`, `go.jp`, `govt.nz` …
const REGISTRIES: [&str; 25] = [
    "ac", "asso", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "gub", "gv", "lg", "ltd",
    "mil", "muni", "ne", "net", "nhs", "or", "org", "plc", "police", "sch", "school",
];

/// The end of a host name which hosts of one organization share: two labels, or three where the
/// second one is a country's registry, such as `gov` in `city.gov.uk`.
///
/// The rule decides only which error names a redirect, so that it does without the list of all
/// registries (publicsuffix.org). Where it does not know one, two organizations count as one, and
/// the redirect is reported as such.
fn organization(url: &Url) -> Option<String> {
    let Some(Host::Domain(name)) = url.host() else {
        return None;
    };
    let name = name.trim_end_matches('.');
    let labels: Vec<_> = name.rsplit('.').take(3).collect();
    // Canada and the United States register by province and state: `qc.ca`, `or.us`.
    let is_registry = |registry: &str, country: &str| {
        (country.len() == 2 && REGISTRIES.contains(&registry))
            || (matches!(country, "ca" | "us") && registry.len() == 2)
    };
    match labels.as_slice() {
        [country, registry, own] if is_registry(registry, country) => {
            Some(format!("{own}.{registry}.{country}"))
        }
        [last, before, ..] => Some(format!("{before}.{last}")),
        _ => None,
    }
}

/// The host that a redirect names, and nothing else of it: its query may hold anything. Nothing
/// where the host repeats a secret.
fn shown_host(target: &Url, secrets: &[&Secret]) -> Option<String> {
    let host = target.host_str()?;
    let repeats = |secret: &&Secret| {
        // Parsing a URL makes its host lower-case.
        let lower = Zeroizing::new(secret.expose().to_ascii_lowercase());
        lower.len() >= SHORTEST_SECRET && host.contains(&**lower)
    };
    if secrets.iter().any(repeats) {
        return None;
    }
    let host = target
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Some(one_line(&host, LONGEST_NAME))
}

/// The schemes with which a server requires a sign-in, those of the web tier as people write them.
fn schemes(received: &RawResponse, secrets: &[&Secret]) -> Vec<String> {
    let values = received.headers.get_all(WWW_AUTHENTICATE).iter();
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut found: Vec<String> = Vec::new();
    for scheme in challenge_schemes(&values) {
        let known = WEB_TIER
            .iter()
            .find(|name| name.eq_ignore_ascii_case(scheme));
        let name = known.map_or_else(
            || one_line(&scrub(scheme, secrets), LONGEST_NAME),
            |name| (*name).to_owned(),
        );
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The schemes in challenges such as `Negotiate, Digest realm="a, b", nonce="x", Bearer` (RFC 9110,
/// section 11.6.1), each of at most a few letters.
pub(super) fn challenge_schemes<'a>(values: &[&'a str]) -> Vec<&'a str> {
    let is_scheme = |word: &&str| {
        word.len() <= LONGEST_SCHEME
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
    };
    let mut found = Vec::new();
    for part in values.iter().flat_map(|value| unquoted_parts(value)) {
        let word = part.split_whitespace().next().filter(is_scheme);
        if let Some(scheme) = word.filter(|word| !found.contains(word)) {
            found.push(scheme);
        }
    }
    found.truncate(MOST_SCHEMES);
    found
}

/// The parts between commas that are not in quotes.
fn unquoted_parts(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    value.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn schemes_are_read_as_the_standard_writes_them() {
        for (value, expected) in [
            ("Negotiate", &["Negotiate"][..]),
            ("Negotiate YII==", &["Negotiate"]),
            ("NTLM, Basic realm=\"Basic, Bearer\"", &["NTLM", "Basic"]),
            (
                "Digest realm=\"a, b\", nonce=\"x\", qop=auth, Bearer error=\"invalid_token\"",
                &["Digest", "Bearer"],
            ),
            ("Bearer resource_metadata=\"https://x/y\"", &["Bearer"]),
            ("", &[]),
            (", ,", &[]),
            ("\u{7f}=, \"open", &[]),
        ] {
            assert_eq!(challenge_schemes(&[value]), expected, "{value}");
        }
    }

    #[test]
    fn a_redirect_to_the_sign_in_of_a_network_is_told_from_that_of_a_web_server() {
        let url = Url::parse("https://gis.city.example/portal/sharing/rest/oauth2/token").unwrap();
        for (location, expected) in [
            (
                "http://login.hotel-wifi.example/?url=https%3A%2F%2Fgis.city.example",
                true,
            ),
            ("http://10.1.0.1:8002/index.php?zone=guests", true),
            ("http://[fd00::1]/login", true),
            ("https://login.hotel-wifi.example/", false),
            ("http://gis.city.example/login", false),
            ("http://www.city.example/", false),
            ("http://maintenance.hoster.example/city", false),
            (
                "http://maps.other.example/portal/sharing/rest/oauth2/token",
                false,
            ),
            ("/login", false),
        ] {
            let target = url.join(location).unwrap();
            assert_eq!(is_network_sign_in(&url, &target), expected, "{location}");
        }
        let local = Url::parse("http://127.0.0.1:1/portal").unwrap();
        assert!(!is_network_sign_in(
            &local,
            &Url::parse("http://10.1.0.1/").unwrap()
        ));
    }

    #[test]
    fn the_organization_of_a_host_is_below_the_registry_of_its_country() {
        for (host, expected) in [
            ("gis.city.example", Some("city.example")),
            ("gis.city.gov.uk", Some("city.gov.uk")),
            ("city.gov.uk.", Some("city.gov.uk")),
            ("gateway.supplier.gov.uk", Some("supplier.gov.uk")),
            ("gis.ville.qc.ca", Some("ville.qc.ca")),
            ("gis.ulm.de", Some("ulm.de")),
            ("gis.pref.go.jp", Some("pref.go.jp")),
            ("gis.council.govt.nz", Some("council.govt.nz")),
            ("carto.ville.gouv.fr", Some("ville.gouv.fr")),
            ("gis.city.com", Some("city.com")),
            ("gis.stadt.de", Some("stadt.de")),
            ("a.b.stadt.de", Some("stadt.de")),
            ("gov.uk", Some("gov.uk")),
            ("portal", None),
            ("10.1.0.1", None),
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(organization(&url).as_deref(), expected, "{host}");
        }
        let own = Url::parse("https://gis.city.gov.uk/portal/sharing/rest/x").unwrap();
        for (target, foreign) in [
            ("https://gateway.supplier.gov.uk/", true),
            ("https://www.city.gov.uk/", false),
        ] {
            let target = Url::parse(target).unwrap();
            assert_eq!(leads_to_sign_in(&own, &target), foreign, "{target}");
        }
    }

    #[test]
    fn a_redirect_to_a_sign_in_is_told_from_other_redirects() {
        let url = Url::parse("https://gis.city.example/portal/sharing/rest/oauth2/token").unwrap();
        for (location, expected) in [
            ("https://login.microsoftonline.com/x/oauth2/v2.0/authorize?client_id=1", true),
            ("https://corp.cloudflareaccess.com/cdn-cgi/access/login/gis.city.example", true),
            ("https://accounts.google.com/o/oauth2/v2/auth", true),
            ("https://fs.city.example/adfs/ls/?wa=wsignin1.0", true),
            ("https://corp.okta.com/app/x", true),
            ("/my.policy", true),
            ("/vpn/index.html", true),
            ("/oauth2/sign_in?rd=%2Fportal", true),
            ("/.auth/login/aad", true),
            ("https://access.city.example/start?rd=https%3A%2F%2Fgis.city.example%2Fportal%2Fsharing%2Frest%2Foauth2%2Ftoken", true),
            ("https://portal.other-organization.example/", true),
            ("http://gis.city.example/portal/sharing/rest/oauth2/token", false),
            ("https://maps.other.example/portal/sharing/rest/oauth2/token", false),
            ("https://gis2.city.example/arcgis/sharing/rest/oauth2/token", false),
            ("https://www.city.example/", false),
            ("https://maintenance.hoster.example/city", false),
            ("https://gis.city.example/sorry.html", false),
        ] {
            let target = url.join(location).unwrap();
            assert_eq!(leads_to_sign_in(&url, &target), expected, "{location}");
        }
    }
}
