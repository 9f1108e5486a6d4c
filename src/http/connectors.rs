//! The layers between ureq and the network, each for one attempt: name resolution, the proxy, TLS,
//! and the record of whether the request began to be sent.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};
use ureq::config::Config;
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};
use ureq::Timeout;
use zeroize::Zeroizing;

use super::attempt::{Attempt, Progress, CONNECTED, PORTAL_REACHED, PROGRAM, SENT};
use super::intermediary::NETWORK_SIGN_IN;
use super::proxy::ProxyChoice;
use super::tls::{plain_end, read_pending_alert};
use crate::crash;
use crate::error::Unreachable;
use crate::policy::MAX_ANSWER_HEAD_BYTES;

/// The transport as a socket that proxy and TLS can talk over, within what is left of the time for
/// connecting.
fn as_socket(transport: Box<dyn Transport>, details: &ConnectionDetails<'_>) -> TransportAdapter {
    let mut socket = TransportAdapter::new(transport, details.current_time.clone());
    socket.set_timeout(remaining(details));
    socket
}

/// What is left of the time for connecting.
fn remaining(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut timeout = details.timeout;
    let now = (details.current_time)();
    if let (Duration::Exact(limit), Instant::Exact(began), Instant::Exact(now)) =
        (timeout.after, details.now, now)
    {
        let elapsed = now.saturating_duration_since(began);
        timeout.after = Duration::Exact(limit.saturating_sub(elapsed));
    }
    timeout
}

/// Looks up the address of the portal, or of the proxy where there is one: the proxy then looks up
/// the portal.
#[derive(Debug)]
pub(super) struct ProxyResolver(pub(super) Attempt);

impl Resolver for ProxyResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolver = DefaultResolver::default();
        let found = match &self.0.proxy {
            Some(proxy) => {
                let uri = proxy.to_string().parse().map_err(http::Error::from)?;
                resolver.resolve(&uri, config, timeout)
            }
            None => resolver.resolve(uri, config, timeout),
        };
        found.map_err(|error| match error {
            ureq::Error::Timeout(reason) => ureq::Error::Timeout(reason),
            _ => ureq::Error::HostNotFound,
        })
    }
}

/// Asks the proxy, where there is one, to connect to the portal.
#[derive(Debug)]
pub(super) struct ProxyConnector(pub(super) Attempt);

impl<In: Transport> Connector<In> for ProxyConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        self.0.progress.reach(CONNECTED);
        let mut transport = transport.boxed();
        if let Some(proxy) = &self.0.proxy {
            // From here to the portal's first byte, the proxy answers: it may ask for a
            // password or refuse.
            let mut socket = as_socket(transport, details);
            open_tunnel(proxy, details.uri, &mut socket)?;
            transport = socket.into_inner();
        }
        self.0.progress.reach(PORTAL_REACHED);
        Ok(Some(transport))
    }
}

/// `CONNECT` (RFC 9110, section 9.3.6). The proxy sees the portal's host and port, and nothing that
/// is secret.
fn open_tunnel(
    proxy: &ProxyChoice,
    target: &Uri,
    socket: &mut (impl io::Read + io::Write),
) -> Result<(), ureq::Error> {
    let host = target.host().unwrap_or_default();
    let port = target.port_u16().unwrap_or(443);
    let login = match proxy.authorization() {
        Some(value) => Zeroizing::new(format!("Proxy-Authorization: {}\r\n", *value)),
        None => Zeroizing::default(),
    };
    let head = Zeroizing::new(format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {PROGRAM}\r\n{}\r\n",
        *login
    ));
    socket.write_all(head.as_bytes())?;
    let head = tunnel_head(socket)?;
    match tunnel_status(&head) {
        Some(200..300) => Ok(()),
        Some(407) => {
            let asked: Vec<_> = challenges(&head).collect();
            Err(ProxyRefusal(proxy.authentication_required(&asked)).into())
        }
        Some(status @ NETWORK_SIGN_IN) => {
            Err(ProxyRefusal(Unreachable::NetworkSignIn { status, to: None }).into())
        }
        Some(status) => Err(ProxyRefusal(proxy.error(&format!("it answers HTTP {status}"))).into()),
        None => Err(ProxyRefusal(proxy.error("it does not speak HTTP")).into()),
    }
}

/// Reads the head of the proxy's answer, byte by byte: what follows it is the portal's.
/// Empty where it does not end.
fn tunnel_head(socket: &mut impl io::Read) -> Result<String, ureq::Error> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_ANSWER_HEAD_BYTES || socket.read(&mut byte)? == 0 {
            return Ok(String::new());
        }
        head.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn tunnel_status(head: &str) -> Option<u16> {
    let mut words = head.split(' ');
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words
        .next()
        .and_then(|word| word.trim().get(..3)?.parse().ok());
    status.filter(|_| http)
}

/// The values of `Proxy-Authenticate`.
fn challenges(head: &str) -> impl Iterator<Item = &str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("proxy-authenticate"))
        .map(|(_, value)| value.trim())
}

/// A proxy's refusal, as the source of an I/O error: ureq's own errors cannot carry it.
#[derive(Debug)]
pub(super) struct ProxyRefusal(pub(super) Unreachable);

impl fmt::Display for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ProxyRefusal {}

impl From<ProxyRefusal> for ureq::Error {
    fn from(refusal: ProxyRefusal) -> Self {
        Self::Io(io::Error::other(refusal))
    }
}

/// Adds TLS where the URL asks for it, and to the request in it what answers Windows sign-in.
#[derive(Debug)]
pub(super) struct TlsConnector(pub(super) Attempt);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() {
            return Ok(Some(transport.boxed()));
        }
        // The handshake is completed here, before the request: a failure then means that nothing
        // was sent.
        let socket = as_socket(transport.boxed(), details);
        let host = details.uri.host().unwrap_or_default();
        let stream = self.0.tls.connect(host, socket)?;
        let header_line = self.header_line(&stream.conn)?;
        let (input, output) = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Box::new(TlsTransport {
            buffers: LazyBuffers::new(input, output),
            stream,
            header_line,
        })))
    }
}

impl TlsConnector {
    /// The line with a token for Windows sign-in, where the request carries one. The token is made
    /// after the handshake: the server is verified then, and has shown its certificate.
    fn header_line(
        &self,
        connection: &ClientConnection,
    ) -> Result<Option<Zeroizing<String>>, ureq::Error> {
        let Some(answer) = &self.0.answer else {
            return Ok(None);
        };
        let shown = connection.peer_certificates().unwrap_or_default();
        let line = answer.header_line(shown.first().map(AsRef::as_ref));
        Ok(Some(line.map_err(io::Error::other)?))
    }
}

const CUT_OFF: &str = "the server closed the connection before its answer was complete";

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
    /// A line that the head of the request gets.
    header_line: Option<Zeroizing<String>>,
}

impl TlsTransport {
    /// Sends the next part of the request: the first one with the header line after the request
    /// line, which ureq always has in the first part as a whole.
    fn send(&mut self, amount: usize) -> io::Result<()> {
        let output = self.buffers.output();
        let output = output.get(..amount).unwrap_or_default();
        let Some(line) = self.header_line.take() else {
            return self.stream.write_all(output);
        };
        let (first, rest) = after_first_line(output)
            .ok_or_else(|| io::Error::other("the request has no request line"))?;
        self.stream.write_all(first)?;
        self.stream.write_all(line.as_bytes())?;
        self.stream.write_all(rest)
    }
}

/// The bytes up to the first end of a line, and those after it.
fn after_first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|two| two == b"\r\n")?;
    bytes.split_at_checked(at + 2)
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let written = self.send(amount);
        let Err(error) = written.and_then(|()| self.stream.flush()) else {
            return Ok(());
        };
        let StreamOwned { conn, sock } = &mut self.stream;
        Err(read_pending_alert(conn, sock, error).into())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf());
        let count = read.map_err(|error| plain_end(error, CUT_OFF))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

/// Records when the first byte of the request is handed to the network. From then on the portal may
/// process it.
#[derive(Debug)]
pub(super) struct SendTracker(pub(super) Arc<Progress>);

impl<In: Transport> Connector<In> for SendTracker {
    type Out = TrackedTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|inner| TrackedTransport {
            inner,
            progress: Arc::clone(&self.0),
        }))
    }
}

#[derive(Debug)]
pub(super) struct TrackedTransport<T> {
    inner: T,
    progress: Arc<Progress>,
}

impl<T: Transport> Transport for TrackedTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if amount > 0 {
            self.progress.reach(SENT);
        }
        self.inner.transmit_output(amount, timeout)?;
        crash::point("request sent");
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(Timeout::Global));
        }
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
