//! Answers to the Windows sign-in (`401 Negotiate`) of the web server in front of a portal.
//!
//! Each request of a connection that answers it carries a new token in `Authorization` from the
//! beginning, so that the answer costs no request; the portal's own token is in
//! `X-Esri-Authorization` beside it. The token is made when the TLS connection stands, because it
//! can be bound to the certificate that the server showed there, and is put into the request below
//! ureq (`connectors`). Where tokens come from depends on the platform ([`maker`]).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ureq::http::Method;
use url::{Origin, Url};
use zeroize::Zeroizing;

use super::channel_binding::server_end_point;
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
use crate::util::lock;

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
    /// A token for one request to this web server, in base64, as this principal and no other.
    fn token(
        &self,
        server: &WebServer<'_>,
        principal: &Principal,
    ) -> std::result::Result<Secret, NoToken>;

    /// The principal that would sign in to this web server now.
    fn principal(&self, server: &WebServer<'_>) -> std::result::Result<Principal, NoToken>;
}

/// The web server that a token is for.
pub(super) struct WebServer<'a> {
    /// Its name in the address, without the port.
    pub(super) host: &'a str,
    /// What binds the token to the TLS connection that it is sent in, for makers that can do that.
    /// `None` where there is no connection yet.
    #[cfg_attr(not(windows), allow(dead_code))]
    pub(super) channel_binding: Option<&'a [u8]>,
    /// The variables of this process.
    #[cfg_attr(windows, allow(dead_code))]
    pub(super) environment: &'a Environment,
    /// How long making the token may take.
    pub(super) limit: Duration,
}

/// Why there is no token. The connection to the web server reports it as the source of its error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// Something has to change first.
    Failed(WindowsSignInFailure),
    /// No Kerberos server answers now.
    NoKdc,
    /// The time of the caller was over first.
    Timeout,
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => why.fmt(f),
            Self::NoKdc => Unreachable::NoKdc.fmt(f),
            Self::Timeout => Unreachable::Timeout.fmt(f),
        }
    }
}

impl std::error::Error for NoToken {}

impl NoToken {
    pub(super) fn other_principal(expected: &Principal, found: &Principal) -> Self {
        Self::Failed(WindowsSignInFailure::OtherPrincipal {
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }
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

/// The maker of tokens that exists now in this process.
static MAKER: Mutex<Option<Weak<dyn TokenMaker>>> = Mutex::new(None);

/// The platform's maker of tokens; `None` where this version has none. All clients that exist at a
/// time share one, and with it the tickets that it gets by a keytab.
pub(super) fn maker() -> Option<Arc<dyn TokenMaker>> {
    let mut shared = lock(&MAKER);
    if let Some(present) = shared.as_ref().and_then(Weak::upgrade) {
        return Some(present);
    }
    #[cfg(unix)]
    let maker: Option<Arc<dyn TokenMaker>> = Some(Arc::new(super::kerberos::CurlTokens::system()));
    #[cfg(windows)]
    let maker: Option<Arc<dyn TokenMaker>> = Some(Arc::new(super::sspi::SspiTokens));
    #[cfg(not(any(unix, windows)))]
    let maker: Option<Arc<dyn TokenMaker>> = None;
    *shared = maker.as_ref().map(Arc::downgrade);
    maker
}

/// Keeps what makes tokens from one client to the next, for who makes several.
pub struct KeptTokenMaker(#[allow(dead_code)] Option<Arc<dyn TokenMaker>>);

impl KeptTokenMaker {
    /// That of this process. It does nothing before it is asked for a token.
    #[must_use]
    pub fn of_process() -> Self {
        Self(maker())
    }
}

/// Whether this version answers Windows sign-in on this platform.
#[must_use]
pub const fn can_answer_windows_sign_in() -> bool {
    cfg!(any(unix, windows))
}

/// Lets an interruption remove what makers of tokens keep in files.
pub(super) fn prepare_for_interruptions(context: &Context) {
    // Who delays interruptions handles them from then on.
    drop(context.interruptions.delay());
}

/// The principal that would sign in at this portal's web server now. Nothing is sent there.
pub fn windows_principal(portal: &PortalUrl, context: &Context) -> Result<Principal> {
    prepare_for_interruptions(context);
    let host = match portal.origin() {
        Some(Origin::Tuple(_, host, _)) => host.to_string(),
        _ => String::new(),
    };
    let server = WebServer {
        host: &host,
        channel_binding: None,
        environment: &context.environment,
        limit: context.deadline.bound(KERBEROS_TIMEOUT),
    };
    maker()
        .ok_or(NoToken::Failed(WindowsSignInFailure::Unsupported))
        .and_then(|maker| maker.principal(&server))
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

    /// What answers the sign-in in one request to this URL; `None` where the request carries no
    /// token.
    pub(super) fn answer(
        self: &Arc<Self>,
        url: &Url,
        environment: &Environment,
        left: Duration,
    ) -> Option<Answer> {
        self.answers(url)?;
        Some(Answer {
            sign_in: Arc::clone(self),
            host: url.host_str()?.to_owned(),
            environment: environment.clone(),
            limit: left.min(KERBEROS_TIMEOUT),
        })
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
        let answer = windows.answer(&self.address("")?, &context.environment, left);
        answer
            .map_or(Ok(()), |answer| answer.header_line(None).map(drop))
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
        // The other program's TLS connection is not known here, so that nothing binds to it.
        let answer = windows.answer(&url, &context.environment, left);
        answer
            .map(|answer| answer.value(None))
            .transpose()
            .map_err(|why| Classified::from(why).into_error(self.0.portal.as_str()))
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

/// The answer to Windows sign-in in one request.
#[derive(Clone)]
pub(super) struct Answer {
    sign_in: Arc<WindowsSignIn>,
    host: String,
    environment: Environment,
    limit: Duration,
}

impl Answer {
    /// As whom the sign-in is answered.
    pub(super) fn principal(&self) -> &Principal {
        &self.sign_in.principal
    }

    /// The line of the request's head that carries a new token, for a connection in which the
    /// server showed this certificate.
    pub(super) fn header_line(
        &self,
        certificate: Option<&[u8]>,
    ) -> std::result::Result<Zeroizing<String>, NoToken> {
        let value = self.value(certificate)?;
        Ok(Zeroizing::new(format!(
            "Authorization: {}\r\n",
            value.expose()
        )))
    }

    /// The value of `Authorization` with a new token.
    fn value(&self, certificate: Option<&[u8]>) -> std::result::Result<Secret, NoToken> {
        let maker = self.sign_in.maker.as_deref();
        let maker = maker.ok_or(WindowsSignInFailure::Unsupported)?;
        let channel_binding = certificate.and_then(server_end_point);
        let server = WebServer {
            host: &self.host,
            channel_binding: channel_binding.as_deref(),
            environment: &self.environment,
            limit: self.limit,
        };
        let token = maker.token(&server, self.principal())?;
        // A line break would begin another line of the head.
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WindowsSignInFailure::NoToken.into());
        }
        Ok(Secret::new(format!("Negotiate {}", token.expose())))
    }
}

/// What answers with the channel binding in base64 in place of a token, so that a test sees it.
#[cfg(any(test, feature = "testing"))]
pub(super) fn by_channel_bindings(portal: &PortalUrl, tls: &Tls) -> Result<WindowsSignIn> {
    use base64::engine::general_purpose::STANDARD;
    use base64::Engine as _;

    struct Shows;

    impl TokenMaker for Shows {
        fn token(
            &self,
            server: &WebServer<'_>,
            _: &Principal,
        ) -> std::result::Result<Secret, NoToken> {
            let binding = server.channel_binding.unwrap_or_default();
            Ok(Secret::new(STANDARD.encode(binding)))
        }

        fn principal(&self, _: &WebServer<'_>) -> std::result::Result<Principal, NoToken> {
            Err(WindowsSignInFailure::NoTicket.into())
        }
    }

    let principal = "ana@EXAMPLE.COM".parse()?;
    WindowsSignIn::new(principal, portal, tls, Some(Arc::new(Shows)))
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
            server: &WebServer<'_>,
            _: &Principal,
        ) -> std::result::Result<Secret, NoToken> {
            Ok(Secret::new(format!("for-{}", server.host)))
        }

        fn principal(&self, _: &WebServer<'_>) -> std::result::Result<Principal, NoToken> {
            Ok(ana())
        }
    }

    fn ana() -> Principal {
        "ana@EXAMPLE.COM".parse().unwrap()
    }

    fn by(portal: &str, maker: Option<Arc<dyn TokenMaker>>) -> Arc<WindowsSignIn> {
        let portal = portal.parse().unwrap();
        Arc::new(WindowsSignIn::new(ana(), &portal, &Tls::System, maker).unwrap())
    }

    fn towards(portal: &str) -> Arc<WindowsSignIn> {
        by(portal, Some(Arc::new(Ready)))
    }

    fn answer(sign_in: &Arc<WindowsSignIn>, url: &str) -> Option<Answer> {
        let url = Url::parse(url).unwrap();
        let nothing = Environment::of(Vec::<(String, String)>::new());
        sign_in.answer(&url, &nothing, Duration::from_secs(1))
    }

    fn sent(sign_in: &Arc<WindowsSignIn>, url: &str) -> Option<String> {
        let line = answer(sign_in, url)?.header_line(None);
        Some(line.unwrap().to_string())
    }

    #[test]
    fn rule_24f_tokens_go_to_the_portals_origin_alone() {
        let sign_in = towards("https://gis.example.com/portal");
        let own = "https://gis.example.com/portal/sharing/rest";
        assert_eq!(
            sent(&sign_in, own).as_deref(),
            Some("Authorization: Negotiate for-gis.example.com\r\n")
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
        let url = "https://gis.example.com/portal";
        let made = answer(&by(url, None), url).unwrap().header_line(None);
        assert_eq!(
            made.unwrap_err(),
            NoToken::Failed(WindowsSignInFailure::Unsupported)
        );
    }
}
