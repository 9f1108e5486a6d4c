//! One attempt at a request: how far it came, and what its failure means.
//!
//! How far an attempt came decides whether the request may be repeated, and ureq does not report
//! it. So the layers below the request are our own (`connectors`) and record it here.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::Agent;

use super::connectors::{ProxyConnector, ProxyRefusal, ProxyResolver, SendTracker, TlsConnector};
use super::proxy::ProxyChoice;
use super::response::Classified;
use super::retry::Failure;
use super::tls::{CertificateRequest, TlsClient};
use super::windows_sign_in::{Answer, NoToken};
use crate::connection::Principal;
use crate::crash;
use crate::error::{Refusal, Unreachable};
use crate::policy::{CONNECT_TIMEOUT, MAX_ANSWER_HEAD_BYTES};

/// The name and version that this program gives in `User-Agent`.
pub(super) const PROGRAM: &str = concat!("age-oauth/", env!("CARGO_PKG_VERSION"));

/// How far an attempt came; each step is greater than the one before.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

/// The peer, portal or proxy, accepted a connection.
pub(super) const CONNECTED: u8 = 1;
/// There is a connection to the portal, perhaps through a proxy.
pub(super) const PORTAL_REACHED: u8 = 2;
/// The first byte of the request was handed to the network.
pub(super) const SENT: u8 = 3;

impl Progress {
    pub(super) fn reach(&self, step: u8) {
        self.0.fetch_max(step, Ordering::SeqCst);
        crash::point("request on its way");
    }

    fn reached(&self, step: u8) -> bool {
        self.0.load(Ordering::SeqCst) >= step
    }
}

/// One attempt: what all its layers share.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) proxy: Option<Arc<ProxyChoice>>,
    pub(super) tls: TlsClient,
    pub(super) progress: Arc<Progress>,
    /// What answers Windows sign-in.
    pub(super) answer: Option<Answer>,
}

impl Attempt {
    /// ureq with our layers. It reads no proxy from the environment: that was decided before, and
    /// our own layer connects to it.
    pub(super) fn agent(&self, left: Duration) -> Agent {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_response_header_size(MAX_ANSWER_HEAD_BYTES)
            .max_idle_connections(0)
            .timeout_global(Some(left))
            .timeout_resolve(Some(CONNECT_TIMEOUT.min(left)))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(left)))
            .build();
        let connector =
            Connector::<()>::chain(TcpConnector::default(), ProxyConnector(self.clone()))
                .chain(TlsConnector(self.clone()))
                .chain(SendTracker(Arc::clone(&self.progress)));
        Agent::with_parts(config, connector, ProxyResolver(self.clone()))
    }

    /// As whom the request answers Windows sign-in.
    pub(super) fn principal(&self) -> Option<Principal> {
        self.answer.as_ref().map(Answer::principal).cloned()
    }

    /// The proxy, where a problem is the proxy's: the portal was not reached yet.
    fn failed_proxy(&self) -> Option<&ProxyChoice> {
        self.proxy
            .as_deref()
            .filter(|_| !self.progress.reached(PORTAL_REACHED))
    }

    pub(super) fn failure(&self, error: ureq::Error) -> Failure {
        Failure {
            classified: self.classify(error),
            may_have_been_processed: self.progress.reached(SENT),
            retry_after: None,
        }
    }

    /// A failure before the head of the response. Where a web server had asked for a client
    /// certificate, that may be the reason: not each one sends an alert.
    pub(super) fn failure_without_answer(&self, error: ureq::Error) -> Failure {
        let is_cut = matches!(&error, ureq::Error::Io(error) if is_cut(error));
        let mut failure = self.failure(error);
        let subject = match self.tls.certificate_request() {
            CertificateRequest::None => return failure,
            CertificateRequest::Unanswered => None,
            CertificateRequest::Answered(own) => Some(own.facts().subject.clone()),
        };
        failure.classified = match failure.classified {
            Classified::Unreachable(Unreachable::Broken(message)) if is_cut => {
                let why = Unreachable::BrokenAfterCertificateRequest { message, subject };
                Classified::Unreachable(why)
            }
            other => other,
        };
        failure
    }

    fn classify(&self, error: ureq::Error) -> Classified {
        let why = match error {
            ureq::Error::Io(error) => return self.classify_io(&error),
            ureq::Error::Timeout(_) => Unreachable::Timeout,
            ureq::Error::HostNotFound => Unreachable::Dns,
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
                Unreachable::TooLarge
            }
            // ureq's message may repeat what the server sent.
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                Unreachable::Broken("the response is not valid HTTP".to_owned())
            }
            ureq::Error::Decompress(..) => {
                Unreachable::Broken("the compressed answer is damaged".to_owned())
            }
            _ => Unreachable::Broken("the HTTP exchange failed".to_owned()),
        };
        let what = match &why {
            Unreachable::Timeout => "it does not answer in time",
            Unreachable::Dns => "its host name is unknown",
            _ => "it does not speak HTTP",
        };
        Classified::Unreachable(match self.failed_proxy() {
            Some(proxy) => proxy.error(what),
            None => why,
        })
    }

    fn classify_io(&self, error: &io::Error) -> Classified {
        // A refusal by the proxy, and a missing answer to Windows sign-in, out of our own layers.
        if let Some(refused) = source::<ProxyRefusal>(error) {
            return Classified::Unreachable(refused.0.clone());
        }
        if let Some(why) = source::<NoToken>(error) {
            return why.clone().into();
        }
        // IIS and Apache ask for a client certificate when they have read the request, by TLS 1.2
        // renegotiation, which rustls declines. The server then ends the connection.
        let request = self.tls.certificate_request();
        let is_late = matches!(request, CertificateRequest::None);
        if is_late && self.progress.reached(SENT) && is_failed_renegotiation(error) {
            return Classified::Refused(Refusal::LateClientCertificate);
        }
        // TLS, the refused certificate above all.
        if let Some(classified) = self.tls.explain(error) {
            return classified;
        }
        let words = error.to_string();
        Classified::Unreachable(match self.failed_proxy() {
            Some(proxy) => proxy.error(&words),
            None if self.progress.reached(CONNECTED) => Unreachable::Broken(words),
            None => Unreachable::Connect(words),
        })
    }
}

/// Whether the other side ended the connection.
fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// What an I/O error carries of this type.
fn source<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

fn is_failed_renegotiation(error: &io::Error) -> bool {
    matches!(
        source::<rustls::Error>(error),
        Some(rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::NoRenegotiation
        ))
    )
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}
