//! What is sent: the URL, the form or file, and the header that carries the token. Tokens never go
//! into a URL.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ureq::http::{HeaderValue, Method};
use url::{form_urlencoded, Url};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The value of a form field.
#[derive(Clone, Copy, Debug)]
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

/// One request, ready to be sent any number of times.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) form: Option<Zeroizing<String>>,
    pub(super) upload: Option<Upload>,
    pub(super) authorization: Option<HeaderValue>,
    /// What must not appear in an error, also where the portal repeats it.
    pub(super) secrets: Vec<&'a Secret>,
}

impl Request<'_> {
    /// Whether it carries a form or a file.
    pub(super) fn has_body(&self) -> bool {
        self.form.is_some() || self.upload.is_some()
    }

    /// As the log names it.
    pub(super) fn method_name(&self) -> &'static str {
        if self.form.is_some() || self.upload.is_some() {
            "POST"
        } else {
            "GET"
        }
    }

    /// The URL as it may be shown.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// The URL as it may be shown: without query, which may hold anything.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The form as a body, in memory that is wiped and allocated once: a string that grows leaves
/// copies behind.
pub(super) fn encode(form: &[(&str, Field<'_>)]) -> Zeroizing<String> {
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
pub(super) fn add_query<'a>(url: &mut Url, query: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut pairs = url.query_pairs_mut();
    let mut has_format = false;
    for (name, value) in query {
        has_format |= name == "f";
        pairs.append_pair(name, value);
    }
    if !has_format {
        pairs.append_pair("f", "json");
    }
}

/// A call of `age-oauth api`.
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

/// Called with the number of bytes that were received so far, and the total where it is known. An
/// error ends the download.
pub type DownloadProgress<'a> = dyn FnMut(u64, Option<u64>) -> io::Result<()> + 'a;

/// Where a download goes.
pub struct Destination<'a> {
    pub(super) file: &'a mut File,
    pub(super) path: &'a Path,
    pub(super) progress: &'a mut DownloadProgress<'a>,
    /// Why it could not be written there: an error of this machine, not of the network.
    pub(super) failure: Option<io::Error>,
}

impl<'a> Destination<'a> {
    /// A file that is open for writing and reading, and the path that errors name.
    pub fn new(file: &'a mut File, path: &'a Path, progress: &'a mut DownloadProgress<'a>) -> Self {
        Self {
            file,
            path,
            progress,
            failure: None,
        }
    }

    /// Writes what was received; `stored` is how much that is in all.
    pub(super) fn write(&mut self, bytes: &[u8], stored: u64, total: Option<u64>) -> bool {
        let written = self.file.write_all(bytes);
        self.failure = written.and_then(|()| (self.progress)(stored, total)).err();
        self.failure.is_none()
    }
}

impl fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({})", self.path.display())
    }
}

/// A file to upload. It is read while it is sent, between what comes before and after it in a
/// multipart form.
pub(super) struct Upload {
    pub(super) path: PathBuf,
    pub(super) boundary: String,
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl Upload {
    pub(super) fn new(path: &Path, fields: &[(String, String)]) -> Self {
        let boundary = format!("age-oauth-{}", uuid::Uuid::new_v4());
        let mut head = String::new();
        let json = ("f".to_owned(), "json".to_owned());
        let has_format = fields.iter().any(|(name, _)| name == "f");
        for (name, value) in fields.iter().chain((!has_format).then_some(&json)) {
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

/// Escapes a name as browsers do in a multipart form.
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// `X-Esri-Authorization` carries the token, since `Authorization` belongs to the web server in
/// front of the portal.
pub(super) fn authorization(token: Option<&Secret>) -> Result<Option<HeaderValue>> {
    let Some(token) = token else { return Ok(None) };
    let mut text = Zeroizing::new(String::with_capacity(token.expose().len() + 7));
    text.push_str("Bearer ");
    text.push_str(token.expose());
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::invalid("token", "it cannot be sent in an HTTP header"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
