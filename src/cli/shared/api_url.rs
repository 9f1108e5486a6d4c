//! The API URL of a connection: reading it, and comparing what the portal says about itself at both
//! of its addresses.
//!
//! The comparison finds mistakes and proves nothing, because any server can claim any name. What
//! protects is that a person chooses the API URL and sees its host before anything secret goes
//! there.

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape};
use crate::cli::CommandContext;
use crate::connection::{Connection, PortalUrl, PortalUrls};
use crate::error::{Error, Input};
use crate::http::Http;
use crate::portal::{self, PortalNames};

/// The word that takes the API URL away again.
pub(in crate::cli) const NONE: &str = "none";

/// Reads `--api-url`: an address, or `none`.
pub(in crate::cli) fn read(text: &str) -> Result<Option<PortalUrl>, Error> {
    if text.trim().eq_ignore_ascii_case(NONE) {
        return Ok(None);
    }
    PortalUrl::from_input(text)
        .map(Some)
        .map_err(|error| match error {
            Error::Invalid { why, .. } => Error::Invalid {
                what: Input::ApiUrl,
                why,
            },
            error => error,
        })
}

/// What the names at both addresses say.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Comparison {
    /// They are the same.
    Same(String),
    /// They are those of two portals.
    Different(String),
    /// They do not say.
    Unclear(String),
}

impl Comparison {
    /// What was found, as the end of a sentence about the API URL.
    pub(in crate::cli) fn text(&self) -> &str {
        match self {
            Self::Same(text) | Self::Different(text) | Self::Unclear(text) => text,
        }
    }
}

/// Asks at the browser's address, by `client` and with one request, what the portal says about
/// itself there, and compares it with what it says at the API URL. An error is why that address
/// cannot be asked.
pub(in crate::cli) fn ask_and_compare(
    urls: &PortalUrls,
    client: Result<Http, String>,
    at_api: &PortalNames,
) -> Comparison {
    let names = |http| portal::names(&http).map_err(|error| error.to_string());
    compare(urls, at_api, client.and_then(names))
}

/// Compares the names at the API URL with those at the browser's address, or with that address
/// where it did not say.
fn compare(
    urls: &PortalUrls,
    at_api: &PortalNames,
    at_browser: Result<PortalNames, String>,
) -> Comparison {
    let browser = urls.browser_url();
    let names_browser = gives(at_api, browser);
    let own = || {
        Comparison::Same(format!(
            "the portal there gives {browser} as its own address"
        ))
    };
    let here = named(at_api);
    let at_browser = match at_browser {
        Ok(names) => names,
        Err(_) if names_browser => return own(),
        Err(why) => {
            return Comparison::Unclear(format!(
                "the portal there is {here}, which could not be compared with {browser}: {why}"
            ))
        }
    };
    // A portal without a web context URL gives the address at which it is asked.
    let echoes = gives(at_api, urls.api_url()) && gives(&at_browser, browser);
    let hostnames =
        differ(at_api.hostname.as_ref(), at_browser.hostname.as_ref()).filter(|_| !echoes);
    let there = named(&at_browser);
    match (hostnames, differ(at_api.name.as_ref(), at_browser.name.as_ref())) {
        (_, Some(true)) => Comparison::Different(format!("it is {here}, and {browser} is {there}")),
        (Some(false), _) => Comparison::Same(format!("both addresses are of {here}")),
        _ if names_browser => own(),
        (Some(true), _) => Comparison::Different(format!("it is {here}, and {browser} is {there}")),
        (None, _) => Comparison::Unclear(format!(
            "the portal there is {here}, and {browser} is {there}, which does not say whether they are one"
        )),
    }
}

/// Whether the portal gives this address as its own.
fn gives(names: &PortalNames, address: &PortalUrl) -> bool {
    let own = address.as_str().split_once("://").map(|(_, own)| own);
    own.is_some_and(|own| names.hostname == Some(own.to_lowercase()))
}

fn named(names: &PortalNames) -> String {
    let name = names.name.as_deref().unwrap_or("a portal without a name");
    match &names.hostname {
        Some(hostname) => format!("`{name}` at {hostname}"),
        None => format!("`{name}`"),
    }
}

/// Whether two facts differ; `None` where one of them is not known.
fn differ(one: Option<&String>, other: Option<&String>) -> Option<bool> {
    Some(one? != other?)
}

/// How a person sees the API URL: its host first, as that of the portal.
pub(in crate::cli) fn shown(api: &PortalUrl) -> String {
    format!("{} ({api})", api.host())
}

/// Shows the API URL and what the comparison found, and lets a person confirm what is not clear.
/// Where no person can be asked, two portals are an error, and the rest was chosen on the command
/// line.
pub(in crate::cli) fn confirm(
    ctx: &mut CommandContext,
    urls: &PortalUrls,
    comparison: &Comparison,
) -> Outcome {
    let Some(api) = urls.separate_api_url() else {
        return Ok(());
    };
    announce(ctx, api);
    let text = comparison.text();
    match comparison {
        Comparison::Same(_) => {
            ctx.console
                .info(&format!("[OK] Compared: {}.", escape(text)));
            return Ok(());
        }
        Comparison::Different(_) if !ctx.can_ask() => return Err(two_portals(api, text)),
        Comparison::Different(_) | Comparison::Unclear(_) => ctx.console.warn(text),
    }
    if !ctx.can_ask() {
        return Ok(());
    }
    let question = format!(
        "Is {} an address of the portal {}?",
        shown(api),
        urls.browser_url()
    );
    if ctx.system.ask.confirm(&question, false)? {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the API URL {api} was not confirmed"
    )))
}

/// Shows the API URL, and what it is for.
pub(in crate::cli) fn announce(ctx: &CommandContext, api: &PortalUrl) {
    ctx.console.info(&format!("API URL: {}", shown(api)));
    ctx.console.info(
        "  Programs send authorization codes, tokens and the client secret there; browsers use the portal URL.",
    );
}

/// Says that no token has worked through the API URL of this connection yet.
pub(in crate::cli) fn say_if_unconfirmed(ctx: &CommandContext, connection: &Connection) {
    if let Some(api) = connection.unconfirmed_api_url() {
        ctx.console.info(&format!(
            "The API URL {api} is unconfirmed until `age-oauth whoami` works through it (after a sign-in: age-oauth whoami {}).",
            connection_flag(connection)
        ));
    }
}

fn two_portals(api: &PortalUrl, text: &str) -> Failure {
    Failure::Hinted {
        error: Error::Invalid {
            what: Input::ApiUrl,
            why: format!("{api} seems to be another portal: {text}"),
        },
        hint: "check both addresses; if they are of one portal: --no-check".into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(name: &str, hostname: &str) -> PortalNames {
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        PortalNames {
            name: known(name),
            hostname: known(hostname),
        }
    }

    fn urls() -> PortalUrls {
        PortalUrls::new(
            "https://gis.example.com/Portal".parse().unwrap(),
            Some("https://portal01:7443/arcgis".parse().unwrap()),
        )
        .unwrap()
    }

    fn guarded() -> Result<PortalNames, String> {
        Err("it requires its own sign-in".to_owned())
    }

    #[test]
    fn names_and_hosts_find_mistakes() {
        let same = |a: &PortalNames, b: Result<PortalNames, String>| match compare(&urls(), a, b) {
            Comparison::Same(_) => "same",
            Comparison::Different(_) => "different",
            Comparison::Unclear(_) => "unclear",
        };
        let one = names("GIS", "gis.example.com/portal");
        assert_eq!(same(&one, Ok(one.clone())), "same");
        // The usual name of every portal proves nothing.
        let other = names("GIS", "test.example.com/portal");
        assert_eq!(same(&other, Ok(one.clone())), "different");
        assert_eq!(
            same(&names("Test", "gis.example.com/portal"), Ok(one.clone())),
            "different"
        );
        // Without a web context URL, a portal gives the address at which it was asked.
        let asked = names("GIS", "portal01:7443/arcgis");
        assert_eq!(same(&asked, Ok(one.clone())), "unclear");
        let internal = names("GIS", "internal.example.com/portal");
        assert_eq!(same(&one, Ok(internal)), "same");
        // A guarded address cannot be asked; the portal may name it.
        assert_eq!(same(&one, guarded()), "same");
        assert_eq!(same(&other, guarded()), "unclear");
        assert_eq!(same(&names("", ""), guarded()), "unclear");
        assert_eq!(same(&names("GIS", ""), Ok(names("GIS", ""))), "unclear");
        assert_eq!(same(&names("GIS", ""), Ok(names("Test", ""))), "different");
        let said = compare(&urls(), &one, guarded());
        assert!(said.text().contains("https://gis.example.com/Portal"));
    }

    #[test]
    fn none_takes_the_api_url_away() {
        assert_eq!(read("none").unwrap(), None);
        assert_eq!(read(" None ").unwrap(), None);
        let read_url = read("portal01:7443/arcgis/home").unwrap().unwrap();
        assert_eq!(read_url.as_str(), "https://portal01:7443/arcgis");
        for bad in ["", "http://portal01:7443/arcgis", "https://me:pw@h"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.starts_with("API URL"), "{error}");
        }
    }
}
