//! The option of `add` and `edit` about the sign-in of the web server in front of the portal.

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::format::{argument, escape};
use crate::cli::CommandContext;
use crate::connection::{Connection, PortalUrl, Principal, Tls, WebTier};
use crate::error::Error;
use crate::http;
use crate::manage::check_windows_sign_in;

/// What comes between `windows` and a principal.
const SEPARATOR: char = ':';

// Not a doc comment: clap would take it for the command's description.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct WebTierArgs {
    /// Answer Windows sign-in (Kerberos) in front [default: none]
    #[arg(long, value_name = "none|windows")]
    pub(in crate::cli) web_tier: Option<String>,
}

/// What the option says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum GivenWebTier {
    Nothing,
    None,
    /// As this principal, or as the one that Kerberos has a ticket of.
    Windows(Option<Principal>),
}

impl GivenWebTier {
    /// Reads `none`, `windows`, or `windows:PRINCIPAL`.
    pub(in crate::cli) fn read(args: &WebTierArgs) -> Result<Self, Error> {
        let Some(text) = args.web_tier.as_deref().map(str::trim) else {
            return Ok(Self::Nothing);
        };
        let (word, principal) = match text.split_once(SEPARATOR) {
            Some((word, principal)) => (word, Some(principal.parse()?)),
            None => (text, None),
        };
        match (word.to_ascii_lowercase().as_str(), principal) {
            (WebTier::NONE, None) => Ok(Self::None),
            (WebTier::WINDOWS, principal) => Ok(Self::Windows(principal)),
            _ => Err(invalid(
                "it is `none`, `windows`, or `windows:` and a principal",
            )),
        }
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::invalid("web tier", why)
}

/// Windows sign-in at this portal as the principal that was named, or else as that of the ticket
/// here. The account of a machine or a service is used only where it is named: that ticket may be
/// there for another program.
pub(in crate::cli) fn windows(
    ctx: &CommandContext,
    portal: &PortalUrl,
    tls: &Tls,
    named: Option<Principal>,
) -> Result<WebTier, Failure> {
    check_windows_sign_in(portal, tls)?;
    if let Some(principal) = named {
        return Ok(WebTier::Windows(principal));
    }
    let principal = http::windows_principal(portal, &ctx.context)?;
    if principal.is_of_a_machine() {
        return Err(Failure::usage_hint(
            format!("the Kerberos ticket here is of {principal}, the account of a machine or a service; nothing was sent"),
            format!("{}; or, to use that account: --web-tier {}", get_own_ticket(), argument(&given(&principal))),
        ));
    }
    Ok(WebTier::Windows(principal))
}

/// The value of the option that names this principal.
pub(in crate::cli) fn given(principal: &Principal) -> String {
    format!("{}{SEPARATOR}{principal}", WebTier::WINDOWS)
}

const fn get_own_ticket() -> &'static str {
    if cfg!(windows) {
        "run this as yourself"
    } else {
        "get a ticket of your own: kinit"
    }
}

/// Says whose sign-in the connection uses.
pub(in crate::cli) fn describe(ctx: &CommandContext, connection: &Connection) {
    if let Some(principal) = connection.web_tier.principal() {
        ctx.console.info(&format!(
            "Windows sign-in: as {}, by its Kerberos ticket; no password is stored.",
            escape(principal.as_str())
        ));
    }
}
