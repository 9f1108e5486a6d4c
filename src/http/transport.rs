//! One HTTP exchange: send a request, and receive the response within bounds.

use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, REFERER, USER_AGENT};
use ureq::http::{self, HeaderValue, Response};
use ureq::{Body, SendBody};
use zeroize::Zeroizing;

use super::attempt::{Attempt, PROGRAM};
use super::proxy::ProxyChoice;
use super::request::{Destination, Request};
use super::response::RawResponse;
use super::retry::Failure;
use super::Inner;
use crate::context::Deadline;
use crate::error::Unreachable;
use crate::files;
use crate::policy::{MAX_ANSWER_BYTES, TRANSFER_TIMEOUT};

/// Sends `request` once and reads the response.
pub(super) fn exchange(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
) -> Result<RawResponse, Failure> {
    let (attempt, response) = respond(request, client, proxy, end)?;
    receive(response, &attempt).map_err(|error| attempt.failure(error))
}

/// The same, with the body of a success written to `file`. The response holds that body once more
/// where it may be an error: a short one in JSON or HTML.
pub(super) fn download(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
    to: &mut Destination<'_>,
) -> Result<RawResponse, Failure> {
    let (attempt, response) = respond(request, client, proxy, end)?;
    let received = if response.status().is_success() {
        save(response, &attempt, to)
    } else {
        receive(response, &attempt)
    };
    received.map_err(|error| attempt.failure(error))
}

fn save(
    response: Response<Body>,
    attempt: &Attempt,
    to: &mut Destination<'_>,
) -> Result<RawResponse, ureq::Error> {
    let (head, body) = response.into_parts();
    let total = body.content_length();
    let mut reader = body.into_reader();
    let mut buffer = vec![0; 64 * 1024];
    let mut stored = 0_u64;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why.into()),
        };
        stored += count as u64;
        if !to.write(buffer.get(..count).unwrap_or_default(), stored, total) {
            // The destination knows the reason.
            return Err(io::Error::other("the answer cannot be written").into());
        }
    }
    // An error in place of a document is short and JSON. It may hold a token, so it is wiped.
    let mut start = Zeroizing::new(Vec::new());
    if stored <= MAX_ANSWER_BYTES as u64 {
        to.file.rewind()?;
        to.file.read_to_end(&mut start)?;
        // JSON, or a page: of a sign-in, perhaps.
        if !start.trim_ascii_start().starts_with(b"{")
            && !start.trim_ascii_start().starts_with(b"<")
        {
            start.clear();
        }
    }
    Ok(RawResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        body: start,
        proxy: attempt.proxy.as_ref().map(ToString::to_string),
        certificate_request: attempt.tls.certificate_request(),
        principal: attempt.principal(),
    })
}

/// Sends the request, and returns the attempt with the head of its response.
fn respond(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
) -> Result<(Attempt, Response<Body>), Failure> {
    let (attempt, left) = begin(request, client, proxy, end)?;
    let response = send(request, client, &attempt, left)
        .map_err(|error| attempt.failure_without_answer(error))?;
    Ok((attempt, response))
}

fn begin(
    request: &Request<'_>,
    client: &Inner,
    proxy: Option<ProxyChoice>,
    end: Deadline,
) -> Result<(Attempt, Duration), Failure> {
    // The caller has chosen the deadline by the kind of call; this is the longer of the two bounds.
    let left = end.bound(TRANSFER_TIMEOUT);
    if left.is_zero() {
        return Err(Failure::before(Unreachable::Timeout));
    }
    let attempt = Attempt {
        // The token for Windows sign-in is one of this attempt, because it is good for one request.
        answer: client
            .windows
            .as_ref()
            .and_then(|windows| windows.answer(&request.url, &client.context.environment, left)),
        proxy: proxy.map(Arc::new),
        tls: client.tls.towards(&request.url),
        progress: Arc::default(),
    };
    Ok((attempt, left))
}

fn send(
    request: &Request<'_>,
    client: &Inner,
    attempt: &Attempt,
    left: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let agent = attempt.agent(left);
    let mut head = http::Request::builder()
        .method(&request.method)
        .uri(request.url.as_str())
        .header(USER_AGENT, PROGRAM)
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
            let total = upload.head.len() as u64 + length + upload.tail.len() as u64;
            let kind = format!("multipart/form-data; boundary={}", upload.boundary);
            // The length was announced: a file that grows meanwhile is cut there.
            let mut body = upload
                .head
                .as_slice()
                .chain(file.take(length))
                .chain(upload.tail.as_slice());
            let head = head
                .header(CONTENT_TYPE, kind)
                .header(CONTENT_LENGTH, total);
            agent.run(head.body(SendBody::from_reader(&mut body))?)
        }
        (Some(form), None) => {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            agent.run(head.header(CONTENT_TYPE, kind).body(form.as_bytes())?)
        }
        (None, None) => agent.run(head.body(())?),
    }
}

fn receive(response: Response<Body>, attempt: &Attempt) -> Result<RawResponse, ureq::Error> {
    let (head, body) = response.into_parts();
    Ok(RawResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        body: read_bounded(body.into_reader())?,
        proxy: attempt.proxy.as_ref().map(ToString::to_string),
        certificate_request: attempt.tls.certificate_request(),
        principal: attempt.principal(),
    })
}

/// Reads to the end or to the bound. Memory that grows leaves its old place behind, so that each is
/// wiped.
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
        if filled > MAX_ANSWER_BYTES {
            return Err(ureq::Error::BodyExceedsLimit(MAX_ANSWER_BYTES as u64));
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
