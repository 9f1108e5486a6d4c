//! Answers to the Windows sign-in (`401 Negotiate`) of the web server in front of a portal.
//!
//! Each request of a connection that answers it carries a new token in `Authorization` from the
//! beginning, so that the answer costs no request; the portal's own token is in
//! `X-Esri-Authorization` beside it. Where tokens come from depends on the platform ([`maker`]).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderValue, Method};
use url::{Origin, Url};
use zeroize::Zeroizing;

use super::client_certificate::ClientCertificate;
use super::request::{add_query, Request};
use super::response::{self, ApiResponse, Classified};
use super::retry::Failure;
use super::Http;
use crate::connection::{PortalUrl, Principal, Tls};
use crate::context::{Context, Deadline, Environment};
use crate::error::{Error, Refusal, Result, Unreachable, WindowsSignInFailure};
#[cfg(feature = "cli")]
use crate::policy::CALL_TIMEOUT;
use crate::policy::KERBEROS_TIMEOUT;
use crate::secret::Secret;

/// What a connection presents to the web server in front of its portal.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    /// The client certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// As whom Windows sign-in is answered.
    pub windows: Option<Principal>,
}

/// Makes what answers `401 Negotiate`. One implementation per way in which a platform does that.
pub(super) trait TokenMaker: Send + Sync {
    /// A token for one request to the web server of this name, in base64, as this principal and
    /// no other.
    fn token(
        &self,
        host: &str,
        principal: &Principal,
        environment: &Environment,
        limit: Duration,
    ) -> std::result::Result<Secret, NoToken>;

    /// The principal that would sign in to this web server now.
    fn principal(
        &self,
        host: &str,
        environment: &Environment,
        limit: Duration,
    ) -> std::result::Result<Principal, NoToken>;
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// Something has to change first.
    Failed(WindowsSignInFailure),
    /// No Kerberos server answers now.
    #[cfg_attr(not(unix), allow(dead_code))]
    NoKdc,
    /// The time of the caller was over first.
    #[cfg_attr(not(unix), allow(dead_code))]
    Timeout,
}

impl From<WindowsSignInFailure> for NoToken {
    fn from(why: WindowsSignInFailure) -> Self {
        Self::Failed(why)
    }
}

impl From<NoToken> for Classified {
    fn from(why: NoToken) -> Self {
        match why {
            NoToken::Failed(why) => Self::Refused(Refusal::WindowsSignIn(why)),
            NoToken::NoKdc => Self::Unreachable(Unreachable::NoKdc),
            NoToken::Timeout => Self::Unreachable(Unreachable::Timeout),
        }
    }
}

/// The platform's maker of tokens; `None` where this version has none.
pub(super) fn maker() -> Option<Arc<dyn TokenMaker>> {
    #[cfg(unix)]
    let maker: Option<Arc<dyn TokenMaker>> = Some(Arc::new(super::kerberos::CurlTokens::system()));
    #[cfg(not(unix))]
    let maker = None;
    maker
}

/// Whether this version answers Windows sign-in on this platform.
#[must_use]
pub const fn can_answer_windows_sign_in() -> bool {
    cfg!(unix)
}

/// Lets an interruption remove what makers of tokens keep in files.
pub(super) fn prepare_for_interruptions(context: &Context) {
    // Who delays interruptions handles them from then on.
    drop(context.interruptions.delay());
}

/// The principal that would sign in at this portal's web server now. Nothing is sent there.
pub fn windows_principal(portal: &PortalUrl, context: &Context) -> Result<Principal> {
    prepare_for_interruptions(context);
    let limit = context.deadline.bound(KERBEROS_TIMEOUT);
    maker()
        .ok_or(NoToken::Failed(WindowsSignInFailure::Unsupported))
        .and_then(|maker| maker.principal(portal.host(), &context.environment, limit))
        .map_err(|why| Classified::from(why).into_error(portal.as_str()))
}

/// The name of a web server as Kerberos knows it.
pub(super) fn service_of(host: &str) -> String {
    format!("HTTP/{host}")
}

/// Answers Windows sign-in for the client of one portal.
pub(super) struct WindowsSignIn {
    principal: Principal,
    /// The portal's own origin: https, and verified.
    origin: Option<Origin>,
    maker: Option<Arc<dyn TokenMaker>>,
    /// Whether the web server has accepted a token of this client.
    let_in: AtomicBool,
}

impl WindowsSignIn {
    /// Answers as `principal` to the portal, if the portal's own certificate is verified: a server
    /// in between could use a token that it gets.
    pub(super) fn new(
        principal: Principal,
        portal: &PortalUrl,
        tls: &Tls,
        maker: Option<Arc<dyn TokenMaker>>,
    ) -> Result<Self> {
        if *tls == Tls::Unverified {
            return Err(unverified_server());
        }
        Ok(Self {
            principal,
            origin: portal.origin().filter(is_https),
            maker,
            let_in: AtomicBool::default(),
        })
    }

    /// The principal, where a request to this URL carries a token: at the portal's origin alone.
    pub(super) fn answers(&self, url: &Url) -> Option<&Principal> {
        let is_own = self.origin.as_ref() == Some(&url.origin());
        is_own.then_some(&self.principal)
    }

    /// The value of `Authorization` for one request to this URL; `None` where it carries none.
    pub(super) fn authorization(
        &self,
        url: &Url,
        environment: &Environment,
        left: Duration,
    ) -> std::result::Result<Option<HeaderValue>, NoToken> {
        let (Some(principal), Some(host)) = (self.answers(url), url.host_str()) else {
            return Ok(None);
        };
        let maker = self
            .maker
            .as_deref()
            .ok_or(WindowsSignInFailure::Unsupported)?;
        let limit = left.min(KERBEROS_TIMEOUT);
        let token = maker.token(host, principal, environment, limit)?;
        let text = Zeroizing::new(format!("Negotiate {}", token.expose()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| WindowsSignInFailure::NoToken)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whether a request with a body may go to this URL: the web server has let this client in, or
    /// is not asked to.
    pub(super) fn may_send_a_body(&self, url: &Url) -> bool {
        self.answers(url).is_none() || self.let_in.load(Ordering::Relaxed)
    }

    /// Remembers whether the web server lets this client in.
    pub(super) fn note(&self, url: &Url, let_in: bool) {
        if self.answers(url).is_some() {
            self.let_in.store(let_in, Ordering::Relaxed);
        }
    }
}

impl Http {
    /// Whether Windows sign-in can be answered now, where this client answers it. Nothing is sent.
    pub fn check_windows_sign_in(&self) -> Result<()> {
        let Some(windows) = &self.0.windows else {
            return Ok(());
        };
        let context = &self.0.context;
        let left = context.deadline.bound(KERBEROS_TIMEOUT);
        windows
            .authorization(&self.address("")?, &context.environment, left)
            .map(drop)
            .map_err(|why| Classified::from(why).into_error(self.0.portal.as_str()))
    }

    /// The value of `Authorization` for the next request that another program sends to the portal:
    /// it serves one request. `None` where this client answers no Windows sign-in. Before a request
    /// with a body, the web server has to let this client in.
    #[cfg(feature = "cli")]
    pub(crate) fn authorization_for_another_program(
        &self,
        has_body: bool,
    ) -> Result<Option<Secret>> {
        let Some(windows) = &self.0.windows else {
            return Ok(None);
        };
        let (context, url) = (&self.0.context, self.address("")?);
        let end = Deadline::after(context.deadline.bound(CALL_TIMEOUT));
        if has_body && !windows.may_send_a_body(&url) {
            self.ask_to_be_let_in(end)
                .map_err(|failure| failure.classified.into_error(self.0.portal.as_str()))?;
        }
        let left = end.bound(KERBEROS_TIMEOUT);
        let value = windows
            .authorization(&url, &context.environment, left)
            .map_err(|why| Classified::from(why).into_error(self.0.portal.as_str()))?;
        Ok(value.and_then(|value| Some(Secret::new(value.to_str().ok()?.to_owned()))))
    }

    /// Where Windows sign-in is answered, a request with a body waits until the web server has let
    /// this client in: it could refuse the sign-in when it has the body already. So a request
    /// without a body, a token or an effect goes before.
    pub(super) fn open_the_way(
        &self,
        request: &Request<'_>,
        end: Deadline,
    ) -> std::result::Result<(), Failure> {
        match &self.0.windows {
            Some(windows) if request.has_body() && !windows.may_send_a_body(&request.url) => {
                self.ask_to_be_let_in(end)
            }
            _ => Ok(()),
        }
    }

    fn ask_to_be_let_in(&self, end: Deadline) -> std::result::Result<(), Failure> {
        let mut url = self.address("").map_err(|_| {
            Failure::before(Unreachable::Broken("the portal's URL is not valid".into()))
        })?;
        add_query(&mut url, std::iter::empty());
        let before = Request {
            method: Method::GET,
            url,
            form: None,
            upload: None,
            authorization: None,
            secrets: Vec::new(),
        };
        let received = self.exchange(&before, end).map_err(Failure::unprocessed)?;
        let retry_after = received.retry_after(self.0.context.now());
        let classified = response::classify(received, &before.url, &[]);
        self.note_whether_let_in(&before, &classified);
        match classified {
            // An error of the portal itself came through the web server, and says nothing about
            // the request that counts.
            Ok(_) | Err(Classified::Portal(_)) => Ok(()),
            Err(why) => Err(Failure::answered(why, retry_after).unprocessed()),
        }
    }

    /// Remembers whether a portal answered, and not the web server in front of it.
    pub(super) fn note_whether_let_in(
        &self,
        request: &Request<'_>,
        answer: &std::result::Result<ApiResponse, Classified>,
    ) {
        if let Some(windows) = &self.0.windows {
            let let_in = matches!(answer, Ok(_) | Err(Classified::Portal(_)));
            windows.note(&request.url, let_in);
        }
    }
}

fn is_https(origin: &Origin) -> bool {
    matches!(origin, Origin::Tuple(scheme, _, _) if scheme == "https")
}

fn unverified_server() -> Error {
    Error::invalid(
        "web tier",
        "Windows sign-in is answered only to a portal whose certificate is verified",
    )
}

impl fmt::Debug for WindowsSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowsSignIn({})", self.principal)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A maker that always has a token.
    struct Ready;

    impl TokenMaker for Ready {
        fn token(
            &self,
            host: &str,
            _: &Principal,
            _: &Environment,
            _: Duration,
        ) -> std::result::Result<Secret, NoToken> {
            Ok(Secret::new(format!("for-{host}")))
        }

        fn principal(
            &self,
            _: &str,
            _: &Environment,
            _: Duration,
        ) -> std::result::Result<Principal, NoToken> {
            Ok(ana())
        }
    }

    fn ana() -> Principal {
        "ana@EXAMPLE.COM".parse().unwrap()
    }

    fn towards(portal: &str) -> WindowsSignIn {
        let portal = portal.parse().unwrap();
        WindowsSignIn::new(ana(), &portal, &Tls::System, Some(Arc::new(Ready))).unwrap()
    }

    fn sent(sign_in: &WindowsSignIn, url: &str) -> Option<String> {
        let url = Url::parse(url).unwrap();
        let nothing = Environment::of(Vec::<(String, String)>::new());
        let value = sign_in.authorization(&url, &nothing, Duration::from_secs(1));
        let value = value.unwrap()?;
        assert!(value.is_sensitive());
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn rule_24f_tokens_go_to_the_portals_origin_alone() {
        let sign_in = towards("https://gis.example.com/portal");
        let own = "https://gis.example.com/portal/sharing/rest";
        assert_eq!(
            sent(&sign_in, own).as_deref(),
            Some("Negotiate for-gis.example.com")
        );
        for other in [
            "https://gis.example.com:7443/arcgis/sharing/rest",
            "https://server.example.com/server/rest",
            "https://gis.example.com.evil.example/portal/sharing/rest",
            "http://gis.example.com/portal/sharing/rest",
        ] {
            assert_eq!(sent(&sign_in, other), None, "{other}");
        }
        assert_eq!(
            sent(
                &towards("http://localhost:7080/portal"),
                "http://localhost:7080/portal"
            ),
            None
        );
    }

    #[test]
    fn rule_24f_a_server_that_is_not_verified_gets_no_token() {
        let portal: PortalUrl = "https://gis.example.com/portal".parse().unwrap();
        let made = WindowsSignIn::new(ana(), &portal, &Tls::Unverified, Some(Arc::new(Ready)));
        assert!(made.is_err());
    }

    #[test]
    fn rule_24f_a_body_waits_until_the_web_server_lets_in() {
        let sign_in = towards("https://gis.example.com/portal");
        let own = Url::parse("https://gis.example.com/portal/x").unwrap();
        let server = Url::parse("https://server.example.com/x").unwrap();
        assert!(!sign_in.may_send_a_body(&own));
        assert!(sign_in.may_send_a_body(&server));
        sign_in.note(&server, true);
        assert!(!sign_in.may_send_a_body(&own));
        sign_in.note(&own, true);
        assert!(sign_in.may_send_a_body(&own));
        sign_in.note(&own, false);
        assert!(!sign_in.may_send_a_body(&own));
    }

    #[test]
    fn a_platform_without_a_maker_says_so() {
        let portal: PortalUrl = "https://gis.example.com/portal".parse().unwrap();
        let sign_in = WindowsSignIn::new(ana(), &portal, &Tls::System, None).unwrap();
        let url = Url::parse("https://gis.example.com/portal/x").unwrap();
        let made = sign_in.authorization(&url, &Environment::process(), Duration::ZERO);
        assert_eq!(
            made.unwrap_err(),
            NoToken::Failed(WindowsSignInFailure::Unsupported)
        );
    }
}
