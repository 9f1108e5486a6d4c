//! One client for one connection's portal: TLS policy, limits, retries; JSON or an error that says what happened.
//!
//! It knows ArcGIS's error envelopes, not OAuth. Tokens travel in a header, secrets in a POST body, neither ever in a
//! URL; no redirect is followed; nothing of an answer is printed.

mod answer;
mod proxy;
mod tls;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderValue, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};
use ureq::{Agent, Body};
use url::Url;
use zeroize::Zeroizing;

pub use answer::{Answer, CallError, PortalError};
pub use tls::{facts, fingerprint, read_certificates, to_pem};

use crate::connection::{is_loopback, PortalUrl, Proxy, Tls};
use crate::context::{Context, Event, Wait};
use crate::error::{Error, Refused, Result, TlsFailure, Unreachable};
use crate::secret::Secret;
use proxy::Way;
use tls::{Handshakes, TlsConnector};

const CONNECT_TIME: Duration = Duration::from_secs(10);
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// No JSON of a portal that concerns us is larger.
const MAX_BODY: u64 = 1024 * 1024;
const MAX_HEAD: usize = 64 * 1024;

const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A portal that asks for more patience than this gets it from the next run.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The client for one connection's portal. Clones share what was learnt of TLS.
#[derive(Clone)]
pub struct Http {
    portal: PortalUrl,
    referer: Option<String>,
    way: Way,
    handshakes: Arc<Handshakes>,
    context: Context,
}

/// A field of a form.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// May be seen.
    Plain(&'a str),
    /// Goes into the body and nowhere else.
    Secret(&'a Secret),
}

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Whenever that may help: sending it twice does no harm.
    Freely,
    /// Where no byte of it has left this machine, or the portal says 429 or 503 with `Retry-After`: it must not act twice.
    OnlyUnsent,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("portal", &self.portal)
            .finish_non_exhaustive()
    }
}

struct Request<'a> {
    method: &'static str,
    url: Url,
    body: Option<&'a [u8]>,
    token: Option<&'a Secret>,
}

/// What one attempt brought: a status with its body, or why not.
struct Attempt {
    outcome: std::result::Result<Answer, CallError>,
    retry_after: Option<Duration>,
}

impl Http {
    /// A client for this portal. Reads the files of extra certificates; touches no network.
    pub fn new(
        portal: &PortalUrl,
        tls: &Tls,
        proxy: &Proxy,
        referer: Option<&str>,
        context: &Context,
    ) -> Result<Self> {
        let root = Url::parse(portal.as_str())
            .map_err(|why| Error::invalid("portal URL", why.to_string()))?;
        if root.scheme() != "https" && !is_loopback(&root) {
            return Err(Error::invalid(
                "portal URL",
                "http is not allowed; portals speak https",
            ));
        }
        Ok(Self {
            portal: portal.clone(),
            referer: referer.map(str::to_owned),
            way: proxy::choose(proxy, &root, &context.environment)?,
            handshakes: Arc::new(Handshakes::new(tls, &context.environment)?),
            context: context.clone(),
        })
    }

    /// The portal that this client talks to.
    #[must_use]
    pub fn portal(&self) -> &PortalUrl {
        &self.portal
    }

    /// GET below `/sharing/rest/`, as JSON. Sent again where that may help.
    pub fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: Option<&Secret>,
    ) -> std::result::Result<Answer, CallError> {
        let mut url = self.address(path).map_err(CallError::unsent)?;
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("f", "json");
        let request = Request {
            method: "GET",
            url,
            body: None,
            token,
        };
        self.call(&request, Retry::Freely)
    }

    /// POST of a form below `/sharing/rest/`; JSON comes back.
    pub fn post(
        &self,
        path: &str,
        form: &[(&str, Field<'_>)],
        token: Option<&Secret>,
        retry: Retry,
    ) -> std::result::Result<Answer, CallError> {
        let body = encode(form);
        let request = Request {
            method: "POST",
            url: self.address(path).map_err(CallError::unsent)?,
            body: Some(body.as_bytes()),
            token,
        };
        self.call(&request, retry)
    }

    fn address(&self, path: &str) -> Result<Url> {
        Url::parse(&self.portal.rest(path))
            .map_err(|why| Error::invalid("portal URL", why.to_string()))
    }

    fn call(&self, request: &Request<'_>, retry: Retry) -> std::result::Result<Answer, CallError> {
        self.context.tell(&Event::Waiting(Wait::Portal {
            host: self.portal.host().to_owned(),
        }));
        let mut number = 1;
        let outcome = loop {
            let attempt = self.attempt(request);
            let pause = match &attempt.outcome {
                Err(CallError::Failed { error, sent }) if number < ATTEMPTS => {
                    pause(error, *sent, attempt.retry_after, retry, number)
                }
                _ => None,
            };
            match pause.filter(|pause| self.context.deadline.bound(*pause) == *pause) {
                Some(pause) => {
                    self.context.tell(&Event::Retrying {
                        url: bare(&request.url),
                        after: pause,
                    });
                    std::thread::sleep(pause);
                    number += 1;
                }
                None => break attempt.outcome,
            }
        };
        self.context.tell(&Event::WaitOver);
        outcome
    }

    fn attempt(&self, request: &Request<'_>) -> Attempt {
        let begun = Instant::now();
        let sent = Arc::new(AtomicBool::new(false));
        let response = self.send(request, &sent);
        let status = response.as_ref().ok().map(|r| r.status().as_u16());
        let attempt = match response {
            Ok(response) => self.receive(response, request),
            Err(error) => Attempt {
                outcome: Err(self.failed(&error, request, sent.load(Ordering::Relaxed))),
                retry_after: None,
            },
        };
        self.context.tell(&Event::Http {
            method: request.method,
            url: bare(&request.url),
            status,
            took: begun.elapsed(),
        });
        attempt
    }

    /// A connection of its own for each request, so that "did anything leave this machine" has one answer. TLS sessions
    /// are resumed.
    fn send(
        &self,
        request: &Request<'_>,
        sent: &Arc<AtomicBool>,
    ) -> std::result::Result<Response<Body>, ureq::Error> {
        let bound = self.context.deadline.bound(ANSWER_TIME);
        if bound.is_zero() {
            return Err(ureq::Error::Timeout(ureq::Timeout::Global));
        }
        let config = Agent::config_builder()
            .user_agent(concat!("age-oauth/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .https_only(request.url.scheme() == "https")
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEAD)
            .max_idle_connections(0)
            .timeout_connect(Some(bound.min(CONNECT_TIME)))
            .timeout_global(Some(bound))
            .proxy(self.way.for_ureq()?)
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(TlsConnector::new(
                    Arc::clone(&self.handshakes),
                    request.url.host_str().unwrap_or_default(),
                    Arc::clone(sent),
                ));
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        let mut builder = ureq::http::Request::builder()
            .method(request.method)
            .uri(request.url.as_str())
            .header("Accept", "application/json")
            .header("Connection", "close");
        if let Some(referer) = &self.referer {
            builder = builder.header("Referer", referer);
        }
        if let Some(token) = request.token {
            let line = Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value = HeaderValue::from_str(&line).map_err(ureq::http::Error::from)?;
            value.set_sensitive(true);
            builder = builder.header("X-Esri-Authorization", value);
        }
        match request.body {
            Some(body) => {
                let builder = builder.header("Content-Type", "application/x-www-form-urlencoded");
                agent.run(builder.body(body)?)
            }
            None => agent.run(builder.body(())?),
        }
    }

    fn receive(&self, mut response: Response<Body>, request: &Request<'_>) -> Attempt {
        let head = answer::Head::of(&response);
        let retry_after = head.retry_after(self.context.now());
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let read = response
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .reader()
            .take(MAX_BODY + 1)
            .read_to_end(&mut body);
        let outcome = match read {
            Err(why) => Err(self.failed(&ureq::Error::from(why), request, true)),
            Ok(_) if body.len() as u64 > MAX_BODY => {
                Err(self.unreachable(request, Unreachable::TooLarge, true))
            }
            Ok(_) => answer::judge(&head, body).map_err(|no| match no {
                answer::No::Unreachable(why) => self.unreachable(request, why, true),
                answer::No::Refused(why) => CallError::Failed {
                    error: Error::Refused {
                        connection: None,
                        url: bare(&request.url),
                        why,
                    },
                    sent: true,
                },
                answer::No::Portal(error) => CallError::Portal(error),
            }),
        };
        Attempt {
            outcome,
            retry_after,
        }
    }

    fn unreachable(&self, request: &Request<'_>, why: Unreachable, sent: bool) -> CallError {
        CallError::Failed {
            error: Error::Unreachable {
                connection: None,
                url: bare(&request.url),
                why,
            },
            sent,
        }
    }

    /// What a transport error means for a person.
    fn failed(&self, error: &ureq::Error, request: &Request<'_>, sent: bool) -> CallError {
        if let Some(failure) = tls::failure_in(error) {
            return match failure {
                tls::Trouble::Certificate(failure) => {
                    self.unreachable(request, Unreachable::Tls(failure), sent)
                }
                tls::Trouble::WantsCertificate => CallError::Failed {
                    error: Error::Refused {
                        connection: None,
                        url: bare(&request.url),
                        why: Refused::WebTier(vec!["client certificate".into()]),
                    },
                    sent,
                },
            };
        }
        let why = match error {
            ureq::Error::HostNotFound if self.way.is_direct() => Unreachable::Dns,
            ureq::Error::Io(why) if self.way.is_direct() && is_unknown_host(why) => {
                Unreachable::Dns
            }
            ureq::Error::Timeout(_) => Unreachable::Timeout,
            ureq::Error::ConnectProxyFailed(words) => self.proxy_trouble(words),
            ureq::Error::HostNotFound => self.proxy_trouble("unknown host name"),
            ureq::Error::LargeResponseHeader(..) | ureq::Error::BodyExceedsLimit(_) => {
                Unreachable::TooLarge
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) if sent => Unreachable::NotAPortal {
                status: 0,
                title: None,
            },
            other if sent => Unreachable::Broken(words(other)),
            other if !self.way.is_direct() => self.proxy_trouble(&words(other)),
            other => Unreachable::Connect(words(other)),
        };
        self.unreachable(request, why, sent)
    }

    fn proxy_trouble(&self, words: &str) -> Unreachable {
        Unreachable::Proxy {
            proxy: self.way.name(),
            what: crate::oauth::one_line(words),
            authentication: words.contains("407"),
        }
    }
}

/// The resolver's "no such name"; its "try again" is trouble with the network. Neither has an error kind of its own.
fn is_unknown_host(why: &io::Error) -> bool {
    if cfg!(windows) {
        // WSAHOST_NOT_FOUND, WSANO_DATA
        return matches!(why.raw_os_error(), Some(11001 | 11004));
    }
    let text = why.to_string().to_lowercase();
    text.contains("lookup address information")
        && !text.contains("temporary")
        && !text.contains("try again")
}

/// The system's words, without the libraries' own prefixes.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
            "it was closed too early".into()
        }
        ureq::Error::Io(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// The address without its query, for messages.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// How long to wait before the next attempt; nothing where there shall be none.
fn pause(
    error: &Error,
    sent: bool,
    retry_after: Option<Duration>,
    retry: Retry,
    number: u32,
) -> Option<Duration> {
    let Error::Unreachable { why, .. } = error else {
        return None;
    };
    let status_with_wish = matches!(why, Unreachable::Status(429 | 503)) && retry_after.is_some();
    let may = match retry {
        Retry::Freely => matches!(
            why,
            Unreachable::Connect(_) | Unreachable::Broken(_) | Unreachable::Status(_)
        ),
        Retry::OnlyUnsent => status_with_wish || (!sent && matches!(why, Unreachable::Connect(_))),
    };
    let own = jittered(FIRST_PAUSE * 2_u32.pow(number - 1));
    let pause = retry_after.map_or(own, |wish| wish.max(Duration::from_millis(10)));
    (may && pause <= LONGEST_PAUSE).then_some(pause)
}

/// Three quarters to five quarters, so that many machines do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause * (192 + random / 2) / 256
}

/// `application/x-www-form-urlencoded`, in memory that is wiped and never moved: room for the worst case is made first.
fn encode(form: &[(&str, Field<'_>)]) -> Zeroizing<String> {
    let text = |field: &Field<'_>| match *field {
        Field::Plain(text) => text.len(),
        Field::Secret(secret) => secret.expose().len(),
    };
    let room: usize = form
        .iter()
        .map(|(name, field)| name.len() + 3 * text(field) + 2)
        .sum();
    let mut body = Zeroizing::new(String::with_capacity(room + 8));
    for (name, field) in form.iter().chain([("f", Field::Plain("json"))].iter()) {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        let value = match field {
            Field::Plain(text) => text,
            Field::Secret(secret) => secret.expose(),
        };
        body.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
    }
    body
}

impl CallError {
    fn unsent(error: Error) -> Self {
        Self::Failed { error, sent: false }
    }
}

impl From<TlsFailure> for Unreachable {
    fn from(failure: TlsFailure) -> Self {
        Self::Tls(Box::new(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_from_a_resolver_that_is_away() {
        let said = |text: &str| {
            is_unknown_host(&io::Error::other(format!(
                "failed to lookup address information: {text}"
            )))
        };
        if cfg!(unix) {
            assert!(said("Name or service not known"));
            assert!(said("nodename nor servname provided, or not known"));
            assert!(!said("Temporary failure in name resolution"));
            assert!(!said("Try again"));
        }
        assert!(!is_unknown_host(&io::Error::other("Connection refused")));
    }
}
