//! What the portal saw: every request, and every promise of the security notes that one of them broke.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::faults::Endpoint;
use super::http::Request;
use crate::support::secret_scan;

/// Parameters that are secrets whatever their value.
const SECRET_PARAMETERS: [&str; 7] = [
    "client_secret",
    "code_verifier",
    "refresh_token",
    "auth_token",
    "access_token",
    "token",
    "password",
];

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    /// Path and query as on the request line.
    pub target: String,
    pub path: String,
    pub endpoint: Endpoint,
    pub query: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// By the portal's clock.
    pub at: Timestamp,
    /// The port that it came to.
    pub port: u16,
    /// Status of the answer; `None` while there is none, or where none was given.
    pub status: Option<u16>,
}

impl Recorded {
    /// A parameter of the form, or else of the query.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.form
            .get(name)
            .or_else(|| self.query.get(name))
            .map(String::as_str)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A line for a failing test: method, path and parameter names, no values.
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self
            .query
            .keys()
            .chain(self.form.keys())
            .map(String::as_str)
            .collect();
        format!("{} {} [{}]", self.method, self.path, names.join(" "))
    }
}

/// The portal's log book.
#[derive(Default)]
pub struct Log {
    pub requests: Vec<Recorded>,
    /// TCP connections, whether or not a request came of them.
    pub connections: usize,
    /// Handshakes that the client broke off or never began.
    pub broken_handshakes: usize,
    violations: Vec<String>,
    /// Every secret that the portal knows of, given out or received.
    secrets: BTreeSet<String>,
}

impl Log {
    /// Writes a request down and returns its number.
    pub fn record(
        &mut self,
        request: &Request,
        endpoint: Endpoint,
        at: Timestamp,
        port: u16,
    ) -> usize {
        self.requests.push(Recorded {
            method: request.method.clone(),
            target: request.target.clone(),
            path: request.path.clone(),
            endpoint,
            query: request.query.clone(),
            form: request.form.clone(),
            headers: request.headers.clone(),
            at,
            port,
            status: None,
        });
        self.requests.len() - 1
    }

    /// Writes down that a rule was broken. Text names the rule, never a secret.
    pub fn violation(&mut self, text: impl Into<String>) {
        self.violations.push(text.into());
    }

    /// Remembers a secret, to be looked for in every request line before and after.
    pub fn add_secret(&mut self, secret: &str) {
        if secret.len() >= 8 && self.secrets.insert(secret.to_owned()) {
            secret_scan::register(secret);
        }
    }

    /// Every secret learnt so far.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// Everything that was broken, request lines included.
    pub fn violations(&self) -> Vec<String> {
        let mut all = self.violations.clone();
        for request in &self.requests {
            all.extend(self.leak(request));
        }
        all
    }

    fn leak(&self, request: &Recorded) -> Option<String> {
        let by_name = SECRET_PARAMETERS
            .iter()
            .find(|name| request.query.contains_key(**name));
        if let Some(name) = by_name {
            return Some(format!(
                "rule 17: `{name}` in the URL: {}",
                request.summary()
            ));
        }
        // The approval page is reached by the browser, with the code in its URL: that is ArcGIS's own doing.
        let exempt = request.endpoint == Endpoint::Approval;
        let referer = request.header("referer").unwrap_or_default();
        let leaks = |secret: &String| {
            let secret = secret.as_str();
            let mut values = request.query.values();
            request.target.contains(secret)
                || referer.contains(secret)
                || values.any(|value| value.contains(secret))
        };
        (!exempt && self.secrets.iter().any(leaks)).then(|| {
            format!(
                "rule 17: a secret in the URL or the Referer: {}",
                request.summary()
            )
        })
    }
}
