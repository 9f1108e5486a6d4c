//! Talks HTTP to one portal: which certificates and which proxy, limits in size and time, repeated attempts.
//!
//! What comes back is either a JSON object that is no error, the portal's own error, or an [`Error`] that says why
//! there was no answer. It knows nothing of OAuth, follows no redirect, and never puts a token into a URL.

mod certificate;
mod proxy;
mod response;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::fmt::{self, Write as _};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderValue, Method};
use url::{form_urlencoded, Url};
use zeroize::Zeroizing;

pub(crate) use certificate::MAX_CERTIFICATES;
pub use certificate::{facts, fingerprint, read_certificates, to_pem};
pub use proxy::{choose as choose_proxy, has_pac_file, ProxyChoice, ProxySource};
pub use response::{ApiResponse, PortalError};
pub use tls::extra_bundle;

use crate::connection::{is_loopback, PortalUrl, Proxy, Tls};
use crate::context::{Context, Deadline};
use crate::crash;
use crate::error::{CertificateFacts, Error, Result, Unreachable};
use crate::event::{Event, Wait};
use crate::secret::Secret;
use response::Classified;
pub(crate) use response::RawResponse;
use tls::TlsClient;

/// Name resolution and connecting, TLS included, may each take this long.
const CONNECT: Duration = Duration::from_secs(10);
/// One call, with all its attempts and the waits between them, may take this long.
const CALL: Duration = Duration::from_secs(30);
/// A download, and an upload, may take this long.
const DOWNLOAD: Duration = Duration::from_secs(3600);
/// A call is attempted so many times at most.
const ATTEMPTS: u32 = 3;
/// The first wait between two attempts; each further one is twice as long.
const BACKOFF: Duration = Duration::from_millis(500);
/// A portal that asks for a longer wait (`Retry-After`) is not waited for at all.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A client of one portal, as one connection is set up. Clones share TLS sessions.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    portal: PortalUrl,
    referer: Option<HeaderValue>,
    proxy: Proxy,
    tls: TlsClient,
    context: Context,
    exchange: Exchange,
    pause: fn(Duration),
}

/// Sends a request once and takes in what comes back.
type Exchange = fn(
    &Request<'_>,
    &Inner,
    Option<ProxyChoice>,
    Deadline,
) -> std::result::Result<RawResponse, Failure>;

/// The value of a form field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// It may be shown.
    Plain(&'a str),
    /// It must not be shown.
    Secret(&'a Secret),
}

impl Field<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// When a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Whenever that may help: doing it twice does no harm.
    Freely,
    /// Only where the portal cannot have processed it: no byte of the request was written, or it answered 429 or 503 and
    /// said when to come back (`Retry-After`).
    OnlyUnsent,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// There was no answer of a portal.
    Failed {
        /// What happened.
        error: Error,
        /// Whether the portal may have processed the request all the same.
        sent: bool,
    },
    /// The portal answered with an error of its own.
    Portal(Box<PortalError>),
}

impl CallError {
    /// A failure before anything was sent.
    fn unsent(error: Error) -> Self {
        Self::Failed { error, sent: false }
    }
}

impl Http {
    /// Prepares a client. Reads the connection's CA file, opens no connection; what the platform trusts is loaded at
    /// the first handshake.
    pub fn new(
        portal: &PortalUrl,
        tls: &Tls,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Self> {
        let referer = referer
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| Error::invalid("referer", "it cannot be sent in an HTTP header"))?;
        Ok(Self(Arc::new(Inner {
            portal: portal.clone(),
            referer,
            proxy: proxy.clone(),
            tls: TlsClient::new(tls, &context.environment)?,
            context: context.clone(),
            exchange: transport::exchange,
            pause: std::thread::sleep,
        })))
    }

    /// The same without a network: answers come from [`crate::testing`], which is told of waits instead of waiting.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn offline(portal: &PortalUrl) -> Result<Self> {
        let context = Context::process();
        let mut http = Self::new(portal, &Tls::System, &Proxy::None, None, &context)?;
        if let Some(inner) = Arc::get_mut(&mut http.0) {
            inner.exchange = |_, _, _, _| Ok(crate::testing::next_answer());
            inner.pause = crate::testing::note_wait;
        }
        Ok(http)
    }

    /// The portal it talks to.
    #[must_use]
    pub fn portal(&self) -> &PortalUrl {
        &self.0.portal
    }

    /// Reads `path` below the portal's `/sharing/rest/`, or the absolute address of a server. `f=json` is added to
    /// `query`; `token` goes into a header. Repeated where that may help.
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

    /// A page for people below the portal's `/sharing/rest/`: its status and text, whatever it says, fetched once. Errors are
    /// those of reaching the portal; a web server in front that asks for a sign-in of its own is [`Error::Refused`].
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
        let context = &self.0.context;
        let end = Deadline::after(context.deadline.bound(CALL));
        let failed = |failure: Failure| match failure.into_error(&request.shown(), false) {
            CallError::Failed { error, .. } => error,
            CallError::Portal(_) => Error::invalid("URL", "no page"),
        };
        let proxy = proxy::choose(&self.0.proxy, &request.url, &context.environment)
            .map_err(|why| failed(Failure::before(why)))?;
        let received = (self.0.exchange)(&request, &self.0, proxy, end).map_err(failed)?;
        if matches!(received.status, 401 | 407) {
            if let Err(judgement) = response::classify(received, &request.url, &[]) {
                return Err(failed(Failure::answered(judgement, None)));
            }
            return Ok((401, String::new()));
        }
        let text = String::from_utf8_lossy(&received.body).into_owned();
        Ok((received.status, text))
    }

    /// The certificate that the portal showed at the last handshake, trusted or not.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateFacts> {
        self.0.tls.shown()
    }

    /// Sends a form to `path` below the portal's `/sharing/rest/`, or to the absolute address of a server. `f=json`
    /// is added to `form`; `token` goes into a header.
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

    /// A call of the portal or of a server whose answer is JSON. Repeated where that may help and does no harm.
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
    }

    /// A call whose answer is written to `file`, however large; an error of the portal's is one here, too. `progress` is
    /// told the bytes that have come, and how many there are to be where that is known.
    pub fn download(
        &self,
        call: &ApiCall<'_>,
        token: &Secret,
        file: &mut File,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> std::result::Result<(), CallError> {
        let request = self.request(call, token)?;
        let context = &self.0.context;
        let end = Deadline::after(context.deadline.bound(DOWNLOAD));
        let failed = |failure: Failure| failure.into_error(&request.shown(), true);
        let proxy = proxy::choose(&self.0.proxy, &request.url, &context.environment)
            .map_err(|why| failed(Failure::before(why)))?;
        let started = Instant::now();
        let outcome = transport::download(&request, &self.0, proxy, end, file, progress);
        context.emit(&Event::Http {
            method: request.word(),
            url: request.shown(),
            status: outcome.as_ref().ok().map(|received| received.status),
            took: started.elapsed(),
        });
        let received = outcome.map_err(failed)?;
        if received.body.is_empty() && (200..300).contains(&received.status) {
            return Ok(());
        }
        let whole = (200..300).contains(&received.status);
        match response::classify(received, &request.url, &request.secrets) {
            Err(judgement @ Classified::Portal(_)) => {
                Err(failed(Failure::answered(judgement, None)))
            }
            // A document of another kind, or JSON that is no error: what was asked for.
            _ if whole => Ok(()),
            Err(judgement) => Err(failed(Failure::answered(judgement, None))),
            Ok(_) => Err(failed(Failure::answered(
                Classified::Unreachable(Unreachable::Broken("its status is no success".into())),
                None,
            ))),
        }
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

    fn call(
        &self,
        request: &Request<'_>,
        retry: Retry,
    ) -> std::result::Result<ApiResponse, CallError> {
        let context = &self.0.context;
        let _waiting = Waiting::begin(context, &request.url);
        let patience = if request.upload.is_some() {
            DOWNLOAD
        } else {
            CALL
        };
        let end = Deadline::after(context.deadline.bound(patience));
        let mut may_have_been_processed = false;
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(request, end) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            may_have_been_processed |= failure.may_have_been_processed;
            let Some(wait) = failure.wait(attempt, retry, end) else {
                return Err(failure.into_error(&request.shown(), may_have_been_processed));
            };
            context.emit(&Event::Retrying {
                url: request.shown(),
                after: wait,
            });
            (self.0.pause)(wait);
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        end: Deadline,
    ) -> std::result::Result<ApiResponse, Failure> {
        let context = &self.0.context;
        let proxy = proxy::choose(&self.0.proxy, &request.url, &context.environment)
            .map_err(Failure::before)?;
        let started = Instant::now();
        let outcome = (self.0.exchange)(request, &self.0, proxy, end);
        context.emit(&Event::Http {
            method: request.word(),
            url: request.shown(),
            status: outcome.as_ref().ok().map(|received| received.status),
            took: started.elapsed(),
        });
        let received = outcome?;
        crash::point("answer received");
        let retry_after = received.retry_after(context.now());
        response::classify(received, &request.url, &request.secrets)
            .map_err(|judgement| Failure::answered(judgement, retry_after))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.0.portal)
    }
}

/// One request, ready to be sent any number of times.
struct Request<'a> {
    method: Method,
    url: Url,
    form: Option<Zeroizing<String>>,
    upload: Option<Upload>,
    authorization: Option<HeaderValue>,
    /// What must not appear in an error, should the portal repeat it.
    secrets: Vec<&'a Secret>,
}

impl Request<'_> {
    fn word(&self) -> &'static str {
        if self.form.is_some() || self.upload.is_some() {
            "POST"
        } else {
            "GET"
        }
    }

    fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// The URL as it may be shown: without query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The form as a body, in memory that is wiped and never moved while it grows.
fn encode(form: &[(&str, Field<'_>)]) -> Zeroizing<String> {
    let longest = |text: &str| 3 * text.len();
    let capacity: usize = form
        .iter()
        .map(|(name, field)| longest(name) + longest(field.text()) + 2)
        .sum();
    let mut body = Zeroizing::new(String::with_capacity(capacity + "f=json".len()));
    for (name, field) in form {
        body.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        body.push('=');
        body.extend(form_urlencoded::byte_serialize(field.text().as_bytes()));
        body.push('&');
    }
    if form.iter().any(|(name, _)| *name == "f") {
        body.pop();
    } else {
        body.push_str("f=json");
    }
    body
}

/// Adds `query`, and `f=json` unless it says otherwise.
fn add_query<'a>(url: &mut Url, query: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut pairs = url.query_pairs_mut();
    let mut has_form = false;
    for (name, value) in query {
        has_form |= name == "f";
        pairs.append_pair(name, value);
    }
    if !has_form {
        pairs.append_pair("f", "json");
    }
}

/// A call as a person puts it.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// The whole address, without query.
    pub address: &'a str,
    /// Sent as a form, not in the query.
    pub post: bool,
    /// Parameters; `f=json` is added unless they say otherwise.
    pub fields: &'a [(String, String)],
    /// Sent along as the part `file` of a multipart form.
    pub file: Option<&'a Path>,
}

/// A file on its way, between the parts of a multipart form.
struct Upload {
    path: PathBuf,
    boundary: String,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Upload {
    fn new(path: &Path, fields: &[(String, String)]) -> Self {
        let boundary = format!("age-oauth-{}", uuid::Uuid::new_v4());
        let mut head = String::new();
        let json = ("f".to_owned(), "json".to_owned());
        let has_form = fields.iter().any(|(name, _)| name == "f");
        for (name, value) in fields.iter().chain((!has_form).then_some(&json)) {
            // Writing to a String cannot fail.
            let _ = write!(
                head,
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n",
                quoted(name)
            );
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(
            head,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            quoted(&name)
        );
        Self {
            path: path.to_owned(),
            head: head.into_bytes(),
            tail: format!("\r\n--{boundary}--\r\n").into_bytes(),
            boundary,
        }
    }
}

/// As browsers write names into a multipart form.
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// `X-Esri-Authorization` carries the token, since `Authorization` belongs to the web server in front of the portal.
fn authorization(token: Option<&Secret>) -> Result<Option<HeaderValue>> {
    let Some(token) = token else { return Ok(None) };
    let mut text = Zeroizing::new(String::with_capacity(token.expose().len() + 7));
    text.push_str("Bearer ");
    text.push_str(token.expose());
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::invalid("token", "it cannot be sent in an HTTP header"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// One attempt's failure, and what decides whether there is another.
struct Failure {
    judgement: Classified,
    /// Whether the portal may have processed the request.
    may_have_been_processed: bool,
    /// What the portal asks for.
    retry_after: Option<Duration>,
}

impl Failure {
    /// Nothing was sent.
    fn before(error: Unreachable) -> Self {
        Self {
            judgement: Classified::Unreachable(error),
            may_have_been_processed: false,
            retry_after: None,
        }
    }

    /// There was an answer. "Come back later" with a time means that nothing was done.
    fn answered(judgement: Classified, retry_after: Option<Duration>) -> Self {
        let put_off = match &judgement {
            Classified::Unreachable(Unreachable::Status(429 | 503)) => retry_after.is_some(),
            _ => false,
        };
        Self {
            judgement,
            may_have_been_processed: !put_off,
            retry_after,
        }
    }

    /// How long to wait before the next attempt; nothing where there is none.
    fn wait(&self, attempt: u32, retry: Retry, end: Deadline) -> Option<Duration> {
        let passing = matches!(
            self.judgement,
            Classified::Unreachable(
                Unreachable::Connect(_) | Unreachable::Broken(_) | Unreachable::Status(_)
            )
        );
        let allowed = retry == Retry::Freely || !self.may_have_been_processed;
        if !passing || !allowed || attempt >= ATTEMPTS {
            return None;
        }
        let wait = self.retry_after.unwrap_or_else(|| backoff(attempt));
        (wait <= LONGEST_WAIT && wait < end.bound(CALL)).then_some(wait)
    }

    fn into_error(self, url: &str, sent: bool) -> CallError {
        let (connection, url) = (None, url.to_owned());
        let error = match self.judgement {
            Classified::Portal(error) => return CallError::Portal(error),
            Classified::Unreachable(why) => Error::Unreachable {
                connection,
                url,
                why,
            },
            Classified::Refused(why) => Error::Refused {
                connection,
                url,
                why,
            },
        };
        CallError::Failed { error, sent }
    }
}

/// Half a second, then a second, each longer by up to a quarter, so that many processes do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let base = BACKOFF * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let [part, ..] = *uuid::Uuid::new_v4().as_bytes();
    base + base / 4 * u32::from(part) / 255
}

/// Tells the observer that a wait began, and when dropped that it is over.
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
