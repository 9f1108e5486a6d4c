//! The parts of HTTP/1.1 that the portal needs: one request per connection, read within limits, and
//! a response in parts.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::Value;

const HEAD_LIMIT: usize = 64 * 1024;
const BODY_LIMIT: usize = 1024 * 1024;

/// A request, its parameters decoded.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As on the request line: path and query, still encoded.
    pub target: String,
    /// The target's path, decoded no further than it arrived.
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// Empty unless the content type is that of a form.
    pub form: BTreeMap<String, String>,
    /// Names in lower case; of a repeated header the values joined by `, `.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// A parameter from the form, or else from the query, as ArcGIS reads them.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.form.get(name).or_else(|| self.query.get(name));
        found.map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_form(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        kind.split(';').next().map(str::trim) == Some("application/x-www-form-urlencoded")
    }

    /// Whether JSON was requested.
    pub fn wants_json(&self) -> bool {
        matches!(self.param("f"), Some("json" | "pjson"))
    }
}

/// Reads one request. An error if it is not HTTP, too large, or incomplete.
pub fn read_request(stream: &mut impl Read) -> io::Result<Request> {
    let (head, rest) = read_head(stream)?;
    let head = String::from_utf8(head).map_err(|_| malformed())?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let (Some(method), Some(target), Some(_)) = (first.next(), first.next(), first.next()) else {
        return Err(malformed());
    };
    let headers = read_headers(lines);
    let body = read_body(stream, &headers, rest)?;
    Ok(assemble(method, target, headers, body))
}

fn assemble(
    method: &str,
    target: &str,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        path: path.to_owned(),
        query: decode_form(query.as_bytes()),
        form: BTreeMap::new(),
        headers,
        body,
    };
    if request.is_form() {
        request.form = decode_form(&request.body);
    }
    request
}

fn decode_form(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

fn read_head(stream: &mut impl Read) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok((bytes, rest));
        }
        let read = stream.read(&mut piece)?;
        if read == 0 || bytes.len() > HEAD_LIMIT {
            return Err(malformed());
        }
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn read_headers<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let all = headers.entry(name.trim().to_ascii_lowercase()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value.trim());
    }
    headers
}

fn read_body(
    stream: &mut impl Read,
    headers: &BTreeMap<String, String>,
    mut body: Vec<u8>,
) -> io::Result<Vec<u8>> {
    let length = match headers.get("content-length") {
        Some(text) => text.parse::<usize>().map_err(|_| malformed())?,
        None => 0,
    };
    if length > BODY_LIMIT || headers.contains_key("transfer-encoding") {
        return Err(malformed());
    }
    let missing = length.saturating_sub(body.len());
    stream.take(missing as u64).read_to_end(&mut body)?;
    if body.len() == length {
        Ok(body)
    } else {
        Err(malformed())
    }
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// A response in parts. `Date`, `Server`, `Content-Length` and `Connection: close` are added when
/// it is sent.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The refresh token that this response has spent, in case the response is lost.
    pub spent: Option<String>,
    /// Whether it has an access token.
    pub grants: bool,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            spent: None,
            grants: false,
        }
    }

    /// JSON with status 200: the portal sends errors that way, too.
    pub fn json(value: &Value) -> Self {
        Self::new(200, "application/json;charset=UTF-8", value.to_string())
    }

    pub fn html(status: u16, page: impl Into<String>) -> Self {
        Self::new(status, "text/html;charset=UTF-8", page.into())
    }

    pub fn redirect(status: u16, to: &str) -> Self {
        Self::html(status, String::new()).with("Location", to)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The head, blank line included, announcing a body of `length` bytes.
    pub fn head(&self, date: &str, length: usize) -> Vec<u8> {
        let mut lines = vec![
            format!("HTTP/1.1 {} {}", self.status, reason(self.status)),
            format!("Date: {date}"),
            "Server: Practice".to_owned(),
        ];
        let own = self.headers.iter();
        lines.extend(own.map(|(name, value)| format!("{name}: {value}")));
        lines.push(format!("Content-Length: {length}"));
        lines.push("Connection: close\r\n\r\n".to_owned());
        lines.join("\r\n").into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Practice",
    }
}
