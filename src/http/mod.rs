//! Talks HTTP to one portal: which certificates and which proxy, limits in size and time, repeated
//! attempts.
//!
//! What comes back is a JSON object that is not an error, the portal's own error, or an [`Error`]
//! that says why there is no answer. This module does not know OAuth, follows no redirect, and
//! never puts a token into a URL.

mod algorithm;
mod attempt;
mod authorities;
mod certificate;
mod certificate_file;
mod certificate_store;
#[cfg(windows)]
mod certificate_store_key;
#[cfg(windows)]
mod certificate_store_windows;
mod channel_binding;
mod client_certificate;
#[cfg(feature = "cli")]
mod client_certificate_export;
mod client_certificate_file;
mod connectors;
mod der;
mod diagnosis;
mod intermediary;
#[cfg(unix)]
mod kerberos;
#[cfg(unix)]
mod kerberos_folder;
#[cfg(unix)]
mod kerberos_program;
#[cfg(unix)]
mod kerberos_text;
mod key_failure;
#[cfg(any(windows, test))]
mod key_trial;
mod pkcs11;
#[cfg(all(unix, not(target_env = "musl")))]
mod pkcs11_signer;
#[cfg(all(unix, not(target_env = "musl")))]
mod pkcs11_token;
mod proxy;
mod request;
mod response;
mod retry;
mod signatures;
#[cfg(windows)]
mod sspi;
mod store_entry;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
#[cfg(any(windows, test))]
mod turn;
mod verifier;
mod windows_sign_in;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderValue, Method};
use url::Url;

#[cfg(feature = "cli")]
pub use authorities::{bundles, Bundle};
#[cfg(any(feature = "cli", feature = "testing"))]
pub use certificate::facts;
pub use certificate::{fingerprint, to_pem};
pub use certificate_file::read_certificates;
pub(crate) use certificate_file::MAX_CERTIFICATES;
pub use certificate_store::renewed_in_store;
#[cfg(feature = "cli")]
pub use certificate_store::{choose_in_store, find_in_store};
pub use client_certificate::ClientCertificate;
#[cfg(feature = "cli")]
pub(crate) use client_certificate_export::check_exportable;
pub use client_certificate_file::ClientCertificateError;
pub use pkcs11::PinUse;
#[cfg(feature = "cli")]
pub use proxy::{choose as choose_proxy, has_pac_file, ProxySource};
pub use proxy::{to_portal as proxy_to, ProxyChoice};
pub use request::{ApiCall, Destination, Field};
pub(crate) use response::RawResponse;
pub use response::{ApiResponse, PortalError};
pub use retry::{CallError, Retry};
#[cfg(feature = "cli")]
pub use store_entry::{StoreChoice, StoreEntry};
#[cfg(any(test, feature = "testing"))]
pub(crate) use tls::CertificateRequest;
pub use verifier::read_certificate_file;
#[cfg(feature = "cli")]
pub use windows_sign_in::windows_principal;
pub use windows_sign_in::{can_answer_windows_sign_in, KeptTokenMaker, Presented};

use crate::connection::{is_loopback, PortalUrl, Proxy, Tls};
use crate::context::{Context, Deadline};
use crate::crash;
use crate::error::{CertificateFacts, Error, FileAction, Refusal, Result, Unreachable};
use crate::event::{Event, Wait};
use crate::policy::{CALL_TIMEOUT, TRANSFER_TIMEOUT};
use crate::secret::Secret;
use authorities::AddedAuthorities;
use request::{add_query, authorization, encode, Request, Upload};
use response::Classified;
use retry::Failure;
use tls::TlsClient;
use windows_sign_in::WindowsSignIn;

/// A client of one portal, with the TLS and proxy settings of one connection. Clones share TLS
/// sessions.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    portal: PortalUrl,
    referer: Option<HeaderValue>,
    proxy: Proxy,
    tls: TlsClient,
    windows: Option<Arc<WindowsSignIn>>,
    context: Context,
    exchange: Exchange,
    sleep: fn(Duration),
}

/// Sends a request once and reads the response.
type Exchange = fn(
    &Request<'_>,
    &Inner,
    Option<ProxyChoice>,
    Deadline,
) -> std::result::Result<RawResponse, Failure>;

impl Http {
    /// Prepares a client that presents nothing to a web server in front.
    #[cfg(any(test, feature = "testing"))]
    pub fn new(
        portal: &PortalUrl,
        tls: &Tls,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Self> {
        Self::presenting(Presented::default(), portal, tls, proxy, referer, context)
    }

    /// Prepares a client. Reads the connection's CA file, opens no connection; what the platform
    /// trusts is loaded at the first handshake.
    /// What is `presented` goes to the portal's own origin alone.
    #[cfg(any(feature = "cli", test, feature = "testing"))]
    pub fn presenting(
        presented: Presented,
        portal: &PortalUrl,
        tls: &Tls,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Self> {
        let certificates = read_certificate_file(tls)?;
        Self::with_certificates(
            portal,
            tls,
            certificates.as_deref(),
            presented,
            proxy,
            referer,
            context,
        )
    }

    /// The same with the content of the connection's CA file, which the caller has read.
    pub fn with_certificates(
        portal: &PortalUrl,
        tls: &Tls,
        certificates: Option<&[u8]>,
        presented: Presented,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Self> {
        let referer = referer
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| Error::invalid("referer", "it cannot be sent in an HTTP header"))?;
        // All requests to portals are made by such a client.
        context.machine_policy.check_requests(portal, tls)?;
        let proxy = context.machine_policy.proxy()?.unwrap_or(proxy);
        proxy::check_variables(proxy, &context.environment)?;
        if presented.windows.is_some() {
            windows_sign_in::prepare_for_interruptions(context);
        }
        let windows = presented
            .windows
            .map(|principal| WindowsSignIn::new(principal, portal, tls, windows_sign_in::maker()))
            .transpose()?
            .map(Arc::new);
        Ok(Self(Arc::new(Inner {
            portal: portal.clone(),
            referer,
            proxy: proxy.clone(),
            tls: TlsClient::new(
                portal,
                tls,
                certificates,
                presented.certificate,
                AddedAuthorities::of(context)?,
            )?,
            windows,
            context: context.clone(),
            exchange: transport::exchange,
            sleep: std::thread::sleep,
        })))
    }

    /// The same without a network: [`crate::testing`] supplies the answers and records the waits
    /// instead of waiting.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn offline(portal: &PortalUrl) -> Result<Self> {
        let context = Context::process();
        let mut http = Self::new(portal, &Tls::System, &Proxy::None, None, &context)?;
        if let Some(inner) = Arc::get_mut(&mut http.0) {
            inner.exchange = |_, _, _, _| Ok(crate::testing::next_answer());
            inner.sleep = crate::testing::note_wait;
        }
        Ok(http)
    }

    /// A client that answers Windows sign-in with its channel binding in place of a token.
    #[cfg(any(test, feature = "testing"))]
    pub fn answering_with_channel_bindings(portal: &PortalUrl, tls: &Tls) -> Result<Self> {
        let mut http = Self::new(portal, tls, &Proxy::None, None, &Context::process())?;
        if let Some(inner) = Arc::get_mut(&mut http.0) {
            let sign_in = windows_sign_in::by_channel_bindings(portal, tls)?;
            inner.windows = Some(Arc::new(sign_in));
        }
        Ok(http)
    }

    /// The portal that this client talks to.
    #[must_use]
    pub fn portal(&self) -> &PortalUrl {
        &self.0.portal
    }

    /// The certificates that the portal showed at the last handshake, trusted or not; its own
    /// first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateFacts> {
        self.0.tls.shown()
    }

    /// Reads `path` below the portal's `/sharing/rest/`, or the absolute address of a server.
    /// `f=json` is added to `query`; `token` goes into a header. Repeated where that may help.
    pub fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: Option<&Secret>,
    ) -> std::result::Result<ApiResponse, CallError> {
        let mut url = self.address(path).map_err(CallError::unsent)?;
        add_query(&mut url, query.iter().copied());
        let request = Request {
            method: Method::GET,
            url,
            form: None,
            upload: None,
            authorization: authorization(token).map_err(CallError::unsent)?,
            secrets: token.into_iter().collect(),
        };
        self.call(&request, Retry::Freely)
    }

    /// A page for people below the portal's `/sharing/rest/`: its status and text, whatever it
    /// says. It is fetched once.
    ///
    /// Errors are those of reaching the portal. If a web server in front of it requires its own
    /// sign-in, that is [`Error::Refused`].
    pub fn page(&self, path: &str, query: &[(&str, &str)]) -> Result<(u16, String)> {
        let mut url = self.address(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = Request {
            method: Method::GET,
            url,
            form: None,
            upload: None,
            authorization: None,
            secrets: Vec::new(),
        };
        let failed = |classified: Classified| classified.into_error(&request.shown());
        let end = Deadline::after(self.0.context.deadline.bound(CALL_TIMEOUT));
        let proxy = self
            .proxy_for(&request.url)
            .map_err(|why| failed(Classified::Unreachable(why)))?;
        let received = (self.0.exchange)(&request, &self.0, proxy, end)
            .map_err(|failure| failed(failure.classified))?;
        // A redirect and the portal's own error are pages like any other; a demand for a sign-in is
        // not.
        if matches!(received.status, 401 | 407) {
            if let Some(demand) = intermediary::classify_head(&received, &request.url, &[]) {
                return Err(failed(demand));
            }
        }
        let text = String::from_utf8_lossy(&received.body).into_owned();
        Ok((received.status, text))
    }

    /// Sends a form to `path` below the portal's `/sharing/rest/`, or to the absolute address of a
    /// server. `f=json` is added to `form`; `token` goes into a header.
    pub fn post(
        &self,
        path: &str,
        form: &[(&str, Field<'_>)],
        token: Option<&Secret>,
        retry: Retry,
    ) -> std::result::Result<ApiResponse, CallError> {
        let secrets = form.iter().filter_map(|(_, field)| match field {
            Field::Plain(_) => None,
            Field::Secret(secret) => Some(*secret),
        });
        let request = Request {
            method: Method::POST,
            url: self.address(path).map_err(CallError::unsent)?,
            form: Some(encode(form)),
            upload: None,
            authorization: authorization(token).map_err(CallError::unsent)?,
            secrets: secrets.chain(token).collect(),
        };
        self.call(&request, retry)
    }

    /// A call of the portal or of a server whose answer is JSON. Repeated where that may help and
    /// does no harm.
    pub fn api(
        &self,
        call: &ApiCall<'_>,
        token: &Secret,
    ) -> std::result::Result<ApiResponse, CallError> {
        let retry = if call.post {
            Retry::OnlyUnsent
        } else {
            Retry::Freely
        };
        self.call(&self.request(call, token)?, retry)
            .map_err(CallError::of_callers_own)
    }

    /// A call whose answer is written to a file, however large. An error that the portal answers
    /// with is [`CallError::Portal`] here, too.
    pub fn download(
        &self,
        call: &ApiCall<'_>,
        token: &Secret,
        to: &mut Destination<'_>,
    ) -> std::result::Result<(), CallError> {
        let request = self.request(call, token)?;
        let end = Deadline::after(self.0.context.deadline.bound(TRANSFER_TIMEOUT));
        let failed = |failure: Failure| failure.into_error(&request.shown(), true);
        let proxy = self
            .proxy_for(&request.url)
            .map_err(|why| failed(Failure::before(why)))?;
        self.open_the_way(&request, end)
            .map_err(|failure| failure.into_error(&request.shown(), false))?;
        let started = Instant::now();
        let outcome = transport::download(&request, &self.0, proxy, end, to);
        self.report(&request, &outcome, started);
        if let Some(source) = to.failure.take() {
            return Err(CallError::Failed {
                error: Error::file(FileAction::WriteOutput, to.path)(source),
                sent: true,
            });
        }
        let received = outcome.map_err(failed)?;
        let success = (200..300).contains(&received.status);
        // The body is left out where it cannot be an error.
        if received.body.is_empty() && success {
            return Ok(());
        }
        // A page of a sign-in in place of the document. Where the call names a format, it may be
        // the document itself.
        let names_format = call.fields.iter().any(|(name, _)| name == "f");
        let refused = match response::classify(received, &request.url, &request.secrets) {
            Err(classified @ Classified::Portal(_)) => classified,
            Err(classified @ Classified::Refused(Refusal::SignInPage { .. })) if !names_format => {
                classified
            }
            // A document of another kind, or JSON that is not an error: what was asked for.
            _ if success => return Ok(()),
            Err(classified) => classified,
            Ok(_) => {
                Classified::Unreachable(Unreachable::Broken("its status is not a success".into()))
            }
        };
        Err(failed(Failure::answered(refused, None)).of_callers_own())
    }

    fn request<'a>(
        &self,
        call: &ApiCall<'_>,
        token: &'a Secret,
    ) -> std::result::Result<Request<'a>, CallError> {
        let mut url = self.address(call.address).map_err(CallError::unsent)?;
        let pairs = || call.fields.iter().map(|(name, value)| (&**name, &**value));
        let upload = call.file.map(|path| Upload::new(path, call.fields));
        let form = (call.post && upload.is_none()).then(|| {
            let fields: Vec<_> = pairs()
                .map(|(name, value)| (name, Field::Plain(value)))
                .collect();
            encode(&fields)
        });
        if !call.post {
            add_query(&mut url, pairs());
        }
        Ok(Request {
            method: if call.post { Method::POST } else { Method::GET },
            url,
            form,
            upload,
            authorization: authorization(Some(token)).map_err(CallError::unsent)?,
            secrets: vec![token],
        })
    }

    /// https everywhere, http only for this machine; checked here again whatever `meta.json` says.
    fn address(&self, path: &str) -> Result<Url> {
        let text = if path.contains("://") {
            path.to_owned()
        } else {
            self.0.portal.rest(path)
        };
        let url = Url::parse(&text).map_err(|why| Error::invalid("URL", why.to_string()))?;
        let allowed = match url.scheme() {
            "https" => url.host_str().is_some(),
            "http" => is_loopback(&url),
            _ => false,
        };
        if !allowed {
            return Err(Error::invalid("URL", "portals are reached by https only"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid(
                "URL",
                "a user name or password has no place in it",
            ));
        }
        Ok(url)
    }

    fn proxy_for(&self, url: &Url) -> std::result::Result<Option<ProxyChoice>, Unreachable> {
        proxy::choose(&self.0.proxy, url, &self.0.context)
    }

    /// Attempts the call until there is an answer, or an error after which another attempt does not
    /// help or is not allowed.
    fn call(
        &self,
        request: &Request<'_>,
        retry: Retry,
    ) -> std::result::Result<ApiResponse, CallError> {
        let context = &self.0.context;
        let _waiting = Waiting::begin(context, &request.url);
        let timeout = if request.upload.is_some() {
            TRANSFER_TIMEOUT
        } else {
            CALL_TIMEOUT
        };
        // One deadline for all attempts and the waits between them.
        let end = Deadline::after(context.deadline.bound(timeout));
        let mut may_have_been_processed = false;
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(request, end) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // One attempt that reached the portal counts for the whole call, also where a later one
            // did not.
            may_have_been_processed |= failure.may_have_been_processed;
            let Some(wait) = failure.wait(attempt, retry, end) else {
                return Err(failure.into_error(&request.shown(), may_have_been_processed));
            };
            context.emit(&Event::Retrying {
                url: request.shown(),
                after: wait,
            });
            (self.0.sleep)(wait);
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        end: Deadline,
    ) -> std::result::Result<ApiResponse, Failure> {
        self.open_the_way(request, end)?;
        let received = self.exchange(request, end)?;
        // The portal has answered, and may have done what was asked.
        crash::point("answer received");
        let retry_after = received.retry_after(self.0.context.now());
        let classified = response::classify(received, &request.url, &request.secrets);
        self.note_whether_let_in(request, &classified);
        classified.map_err(|classified| Failure::answered(classified, retry_after))
    }

    /// Sends the request once.
    fn exchange(
        &self,
        request: &Request<'_>,
        end: Deadline,
    ) -> std::result::Result<RawResponse, Failure> {
        let proxy = self.proxy_for(&request.url).map_err(Failure::before)?;
        let started = Instant::now();
        let outcome = (self.0.exchange)(request, &self.0, proxy, end);
        self.report(request, &outcome, started);
        outcome
    }

    /// Reports one attempt to the observer.
    fn report(
        &self,
        request: &Request<'_>,
        outcome: &std::result::Result<RawResponse, Failure>,
        started: Instant,
    ) {
        self.0.context.emit(&Event::Http {
            method: request.method_name(),
            url: request.shown(),
            status: outcome.as_ref().ok().map(|received| received.status),
            took: started.elapsed(),
        });
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.0.portal)
    }
}

/// Emits that a wait began, and when dropped that it is over.
struct Waiting<'a>(&'a Context);

impl<'a> Waiting<'a> {
    fn begin(context: &'a Context, url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        context.emit(&Event::Waiting(Wait::Portal {
            host: url
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
        }));
        Self(context)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.emit(&Event::WaitOver);
    }
}
