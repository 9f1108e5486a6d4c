//! What the portal received: every request, and every security rule that one of them violated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::faults::Endpoint;
use super::http::Request;
use crate::support::secret_scan;

/// Parameters whose values are always secret.
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
    /// The time of the portal's clock.
    pub at: Timestamp,
    /// The port that received it.
    pub port: u16,
    /// Status of the response; `None` before or without a response.
    pub status: Option<u16>,
    /// Whether the portal issued an access token for it, received or not.
    pub granted: bool,
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

/// The log of the portal.
#[derive(Default)]
pub struct Log {
    pub requests: Vec<Recorded>,
    /// TCP connections, whether or not a request came of them.
    pub connections: usize,
    /// Handshakes that the client broke off or never started.
    pub broken_handshakes: usize,
    violations: Vec<String>,
    /// Every secret that the portal knows, issued or received.
    secrets: BTreeSet<String>,
}

impl Log {
    /// Records a request and returns its number.
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
            granted: false,
        });
        self.requests.len() - 1
    }

    /// Records a violation. The text names the rule, never a secret.
    pub fn violation(&mut self, text: impl Into<String>) {
        self.violations.push(text.into());
    }

    /// Adds a secret, which is searched for in all earlier and later request lines.
    pub fn add_secret(&mut self, secret: &str) {
        if secret.len() >= 8 && self.secrets.insert(secret.to_owned()) {
            secret_scan::register(secret);
        }
    }

    /// Every secret so far.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// Every violation, those in request lines included.
    pub fn violations(&self) -> Vec<String> {
        let mut all = self.violations.clone();
        for request in &self.requests {
            all.extend(self.leak(request));
        }
        all
    }

    /// Removes the requests so far, and keeps their violations.
    pub fn take_requests(&mut self) -> Vec<Recorded> {
        self.violations = self.violations();
        std::mem::take(&mut self.requests)
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
        // The approval page is reached by the browser, with the code in its URL: that is how ArcGIS
        // works.
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
