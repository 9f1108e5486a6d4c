//! One HTTP exchange: connect, perhaps through a proxy, perhaps with TLS; send, and receive within bounds.
//!
//! The layers are ours where ureq's would not say enough: how far an attempt came decides whether it may be repeated.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};
use ureq::config::Config;
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, REFERER, USER_AGENT};
use ureq::http::{self, HeaderValue, Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use ureq::{Agent, Body, SendBody, Timeout};
use zeroize::Zeroizing;

use super::proxy::ProxyChoice;
use super::response::{Classified, RawResponse};
use super::tls::{last_words, TlsClient};
use super::{Failure, Inner, Request, CONNECT, DOWNLOAD};
use crate::context::Deadline;
use crate::crash;
use crate::error::Unreachable;
use crate::files;

/// What this program calls itself.
const AGENT: &str = concat!("age-oauth/", env!("CARGO_PKG_VERSION"));
/// The largest body, in bytes, after decompression.
const LARGEST_BODY: usize = 1024 * 1024;
/// The largest head of an answer, in bytes; a proxy's too.
const LARGEST_HEAD: usize = 64 * 1024;

/// Sends `request` once and takes in what comes back.
pub(super) fn exchange(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
) -> Result<RawResponse, Failure> {
    let (line, left) = begin(client, proxy, end)?;
    send(request, client, &line, left)
        .and_then(|response| receive(response, &line))
        .map_err(|error| line.failure(error))
}

/// The same, with the body of a success written to `file`. What comes back holds that body once more where it may be an
/// error: a short one in JSON.
pub(super) fn download(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
    file: &mut File,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<RawResponse, Failure> {
    let (line, left) = begin(client, proxy, end)?;
    send(request, client, &line, left)
        .and_then(|response| {
            if !response.status().is_success() {
                return receive(response, &line);
            }
            store(response, &line, file, progress)
        })
        .map_err(|error| line.failure(error))
}

fn store(
    response: Response<Body>,
    line: &Line,
    file: &mut File,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<RawResponse, ureq::Error> {
    let (head, body) = response.into_parts();
    let whole = body.content_length();
    let mut reader = body.into_reader();
    let mut piece = vec![0; 64 * 1024];
    let mut stored = 0_u64;
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why.into()),
        };
        file.write_all(piece.get(..count).unwrap_or_default())?;
        stored += count as u64;
        progress(stored, whole);
    }
    let mut start = Zeroizing::new(Vec::new());
    if stored <= LARGEST_BODY as u64 {
        file.rewind()?;
        file.read_to_end(&mut start)?;
        if !start.trim_ascii_start().starts_with(b"{") {
            start.clear();
        }
    }
    Ok(RawResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        body: start,
        proxy: line.proxy.as_ref().map(ToString::to_string),
    })
}

fn begin(
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
) -> Result<(Line, std::time::Duration), Failure> {
    // The deadline was drawn from the right one of the two bounds.
    let left = end.bound(DOWNLOAD);
    if left.is_zero() {
        return Err(Failure::before(Unreachable::Timeout));
    }
    let line = Line {
        proxy: proxy.map(Arc::new),
        tls: client.tls.clone(),
        progress: Arc::default(),
    };
    Ok((line, left))
}

fn send(
    request: &Request<'_>,
    client: &Inner,
    line: &Line,
    left: std::time::Duration,
) -> Result<Response<Body>, ureq::Error> {
    let agent = line.agent(left);
    let mut head = http::Request::builder()
        .method(&request.method)
        .uri(request.url.as_str())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json");
    if let Some(referer) = &client.referer {
        head = head.header(REFERER, referer);
    }
    if let Some(authorization) = &request.authorization {
        head = head.header("X-Esri-Authorization", authorization);
    }
    match (&request.form, &request.upload) {
        (_, Some(upload)) => {
            let file = files::open_user_file(&upload.path)?;
            let length = file.metadata()?.len();
            let whole = upload.head.len() as u64 + length + upload.tail.len() as u64;
            let kind = format!("multipart/form-data; boundary={}", upload.boundary);
            let mut body = upload
                .head
                .as_slice()
                .chain(file.take(length))
                .chain(upload.tail.as_slice());
            let head = head
                .header(CONTENT_TYPE, kind)
                .header(CONTENT_LENGTH, whole);
            agent.run(head.body(SendBody::from_reader(&mut body))?)
        }
        (Some(form), None) => {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            agent.run(head.header(CONTENT_TYPE, kind).body(form.as_bytes())?)
        }
        (None, None) => agent.run(head.body(())?),
    }
}

fn receive(response: Response<Body>, line: &Line) -> Result<RawResponse, ureq::Error> {
    let (head, body) = response.into_parts();
    Ok(RawResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        body: read_bounded(body.into_reader())?,
        proxy: line.proxy.as_ref().map(ToString::to_string),
    })
}

/// Reads to the end or to the bound, in memory that is wiped also where it grows.
fn read_bounded(mut body: impl io::Read) -> Result<Zeroizing<Vec<u8>>, ureq::Error> {
    let mut buffer = Zeroizing::new(vec![0; 16 * 1024]);
    let mut filled = 0;
    loop {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        match body.read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why.into()),
        }
        if filled > LARGEST_BODY {
            return Err(ureq::Error::BodyExceedsLimit(LARGEST_BODY as u64));
        }
        if filled == buffer.len() {
            let mut larger = Zeroizing::new(vec![0; 2 * buffer.len()]);
            if let Some(start) = larger.get_mut(..filled) {
                start.copy_from_slice(&buffer);
            }
            buffer = larger;
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// How far an attempt came; each step is greater than the one before.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

/// The peer, portal or proxy, accepted a connection.
const CONNECTED: u8 = 1;
/// The way to the portal is open.
const OPEN: u8 = 2;
/// The request began to be handed to the network.
const SENT: u8 = 3;

impl Progress {
    fn reach(&self, step: u8) {
        self.0.fetch_max(step, Ordering::SeqCst);
        crash::point("request on its way");
    }

    fn reached(&self, step: u8) -> bool {
        self.0.load(Ordering::SeqCst) >= step
    }
}

/// What all layers of one attempt share.
#[derive(Clone)]
struct Line {
    proxy: Option<Arc<ProxyChoice>>,
    tls: TlsClient,
    progress: Arc<Progress>,
}

impl Line {
    /// Never reads a proxy from the environment: that is decided before, and goes through our own tunnel.
    fn agent(&self, left: std::time::Duration) -> Agent {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_response_header_size(LARGEST_HEAD)
            .max_idle_connections(0)
            .timeout_global(Some(left))
            .timeout_resolve(Some(CONNECT.min(left)))
            .timeout_connect(Some(CONNECT.min(left)))
            .build();
        let connector = Connector::<()>::chain(TcpConnector::default(), Tunnel(self.clone()))
            .chain(Encryption(self.clone()))
            .chain(Watch(Arc::clone(&self.progress)));
        Agent::with_parts(config, connector, Names(self.clone()))
    }

    /// Whether a trouble is the proxy's.
    fn at_proxy(&self) -> Option<&ProxyChoice> {
        self.proxy
            .as_deref()
            .filter(|_| !self.progress.reached(OPEN))
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        Failure {
            judgement: self.classify(error),
            may_have_been_processed: self.progress.reached(SENT),
            retry_after: None,
        }
    }

    fn classify(&self, error: ureq::Error) -> Classified {
        let why = match error {
            ureq::Error::Io(error) => return self.judge_io(&error),
            ureq::Error::Timeout(_) => Unreachable::Timeout,
            ureq::Error::HostNotFound => Unreachable::Dns,
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
                Unreachable::TooLarge
            }
            // Their words may repeat what the server sent.
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                Unreachable::Broken("what came is no valid HTTP".to_owned())
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
        Classified::Unreachable(match self.at_proxy() {
            Some(proxy) => proxy.trouble(what),
            None => why,
        })
    }

    fn judge_io(&self, error: &io::Error) -> Classified {
        if let Some(refused) = error.get_ref().and_then(|e| e.downcast_ref::<Refused>()) {
            return Classified::Unreachable(refused.0.clone());
        }
        if let Some(judgement) = self.tls.explain(error) {
            return judgement;
        }
        let words = error.to_string();
        Classified::Unreachable(match self.at_proxy() {
            Some(proxy) => proxy.trouble(&words),
            None if self.progress.reached(CONNECTED) => Unreachable::Broken(words),
            None => Unreachable::Connect(words),
        })
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
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

/// Looks up the portal, or the proxy where there is one: then the proxy looks up the portal.
#[derive(Debug)]
struct Names(Line);

impl Resolver for Names {
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

/// Asks the proxy for a way to the portal.
#[derive(Debug)]
struct Tunnel(Line);

impl<In: Transport> Connector<In> for Tunnel {
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
            let mut socket = TransportAdapter::new(transport, details.current_time.clone());
            socket.set_timeout(remaining(details));
            open_tunnel(proxy, details.uri, &mut socket)?;
            transport = socket.into_inner();
        }
        self.0.progress.reach(OPEN);
        Ok(Some(transport))
    }
}

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
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {AGENT}\r\n{}\r\n",
        *login
    ));
    socket.write_all(head.as_bytes())?;
    match tunnel_status(socket)? {
        Some(200..300) => Ok(()),
        Some(407) => Err(Refused(proxy.wants_password()).into()),
        Some(status) => Err(Refused(proxy.trouble(&format!("it answers HTTP {status}"))).into()),
        None => Err(Refused(proxy.trouble("it does not speak HTTP")).into()),
    }
}

/// Reads the head of the proxy's answer, byte by byte: what follows it is the portal's.
fn tunnel_status(socket: &mut impl io::Read) -> Result<Option<u16>, ureq::Error> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > LARGEST_HEAD || socket.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&byte);
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words
        .next()
        .and_then(|word| word.trim().get(..3)?.parse().ok());
    Ok(status.filter(|_| http))
}

/// A refusal on its way through ureq's errors.
#[derive(Debug)]
struct Refused(Unreachable);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for ureq::Error {
    fn from(refused: Refused) -> Self {
        Self::Io(io::Error::other(refused))
    }
}

/// Puts TLS over the connection where the URL asks for it.
#[derive(Debug)]
struct Encryption(Line);

impl<In: Transport> Connector<In> for Encryption {
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
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(remaining(details));
        let host = details.uri.host().unwrap_or_default();
        let stream = self.0.tls.connect(host, socket)?;
        let (input, output) = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Box::new(Encrypted {
            buffers: LazyBuffers::new(input, output),
            stream,
        })))
    }
}

struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output();
        let output = output.get(..amount).unwrap_or_default();
        let written = self.stream.write_all(output);
        let Err(error) = written.and_then(|()| self.stream.flush()) else {
            return Ok(());
        };
        let StreamOwned { conn, sock } = &mut self.stream;
        Err(last_words(conn, sock, error).into())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
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

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

/// Notes when the request begins to leave.
#[derive(Debug)]
struct Watch(Arc<Progress>);

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|inner| Watched {
            inner,
            progress: Arc::clone(&self.0),
        }))
    }
}

#[derive(Debug)]
struct Watched<T> {
    inner: T,
    progress: Arc<Progress>,
}

impl<T: Transport> Transport for Watched<T> {
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
