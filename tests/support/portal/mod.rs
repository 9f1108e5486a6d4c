//! The practice portal: an ArcGIS portal on this machine that speaks the sharing API's OAuth 2.0
//! field by field, can fail in every way that portals and networks do, and records each rule that a
//! client violates.
//!
//! It listens on the loopback interface only, with a certificate of an authority that it creates
//! when it starts. Its clock can be moved, so that two weeks pass at once. A portal that is dropped
//! with a recorded violation fails the test, unless the test called [`Portal::expect_violations`].
//!
//! ```ignore
//! let portal = Portal::start(PortalVersion::Enterprise114);
//! portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetAfter));
//! // … the program signs in at portal.url(), trusting portal.ca_pem() …
//! assert_eq!(portal.grants(), ["authorization_code", "exchange_refresh_token"]);
//! ```

mod authorize;
mod browser;
mod certs;
mod client;
mod clock;
mod content;
mod faults;
mod features;
mod federated;
mod fixture;
mod foreign;
mod http;
mod items;
mod maps;
mod oauth;
mod pages;
mod proxy;
mod record;
mod rest;
mod routes;
mod rules;
mod server;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub use browser::Destination;
pub use certs::{Authority, Certificate, Identity};
pub use client::{Client, Reply};
pub use clock::Clock;
pub use faults::{Endpoint, Fault, Gate};
pub use foreign::ForeignServer;
pub use items::{Group, Item, Visibility};
#[cfg(target_os = "linux")]
pub use maps::COLOR;
pub use proxy::Proxy;
pub use record::Recorded;
pub use rules::{
    app_secret, service_secret, App, Guard, Pkce, PortalVersion, Rules, SecretCheck, User, APP_ID,
    OOB, OTHER_USER, SERVICE_ID, USER, VOUCHED_BY,
};

use fixture::{Location, State};
use server::{Acceptor, Shared};

/// The host of [`Portal::api_url`], another name than the portal's own.
const API_HOST: &str = "127.0.0.1";

/// Longest wait of [`Portal::wait_for_requests`].
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Settings of a portal before it starts.
pub struct Builder {
    version: PortalVersion,
    context: Option<String>,
    host: String,
    names: Vec<String>,
    certificate: Certificate,
    demand_client_certificate: bool,
    guard: Option<Guard>,
    identity: Option<Identity>,
}

impl Builder {
    pub fn version(mut self, version: PortalVersion) -> Self {
        self.version = version;
        self
    }

    /// The context path of the portal: `/portal`, `/a/b/portal`, or empty for the web root.
    pub fn context(mut self, context: &str) -> Self {
        self.context = Some(context.trim_end_matches('/').to_owned());
        self
    }

    /// The host in the portal's URL: `localhost` (the default), `127.0.0.1` or `[::1]`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// One more name or address in the server's certificate.
    pub fn san(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    pub fn certificate(mut self, kind: Certificate) -> Self {
        self.certificate = kind;
        self
    }

    /// Shows this chain, which was made elsewhere.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Guards the portal's own address, and serves the portal at [`Portal::api_url`], too.
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Requires a client certificate; see [`Portal::client_identity`].
    pub fn client_certificate_required(mut self) -> Self {
        self.demand_client_certificate = true;
        self
    }

    pub fn start(self) -> Portal {
        let authority = Authority::new();
        let certificate = match &self.identity {
            Some(identity) => certs::ServerCertificate::read(identity),
            None => authority.server(self.certificate, &self.names),
        };
        let ca_pem = certificate.anchor_pem.clone();
        let demand = self.demand_client_certificate.then_some(&authority);
        let tls = certs::server_config(certificate, demand);
        let shared = Arc::new(Shared::new(self.state(), tls));
        let mut acceptors: Vec<_> = [0, 0].map(|port| listen(&shared, port, &self.host)).into();
        let ports = (acceptors[0].port(), acceptors[1].port());
        let api_port = self.guard.map(|_| {
            acceptors.push(listen(&shared, 0, API_HOST));
            acceptors[2].port()
        });
        let api = api_port.map(|port| (format!("https://{API_HOST}:{port}"), "/arcgis".to_owned()));
        let place = shared.state().set_ports(&self.host, ports, api);
        shared.state().rules.guard = self.guard;
        let clock = shared.state().clock.clone();
        let own = demand.map(|authority| authority.client("practice tests"));
        Portal {
            browser: Client::build(None, own.as_ref()),
            clock,
            shared,
            authority,
            ca_pem,
            host: self.host,
            place,
            ports,
            api_port,
            acceptors: Mutex::new(acceptors),
            allows_violations: AtomicBool::new(false),
        }
    }

    fn state(&self) -> State {
        let usual = if self.version == PortalVersion::Online {
            ""
        } else {
            "/portal"
        };
        let context = self.context.as_deref().unwrap_or(usual);
        State {
            rules: Rules::new(self.version),
            issued: fixture::Issued::default(),
            log: record::Log::default(),
            place: Location::without_ports(context),
            clock: Clock::default(),
        }
    }
}

/// What a portal had issued at one time.
pub struct Snapshot(fixture::Issued);

/// A running portal; it stops when dropped.
pub struct Portal {
    shared: Arc<Shared>,
    authority: Authority,
    ca_pem: String,
    browser: Client,
    host: String,
    place: Location,
    ports: (u16, u16),
    api_port: Option<u16>,
    acceptors: Mutex<Vec<Acceptor>>,
    clock: Clock,
    allows_violations: AtomicBool,
}

impl Portal {
    /// A portal of that version with default settings.
    pub fn start(version: PortalVersion) -> Self {
        Self::builder().version(version).start()
    }

    pub fn builder() -> Builder {
        Builder {
            version: PortalVersion::Enterprise114,
            context: None,
            host: "localhost".to_owned(),
            names: ["localhost", "127.0.0.1", "::1"]
                .map(str::to_owned)
                .to_vec(),
            certificate: Certificate::Trusted,
            demand_client_certificate: false,
            guard: None,
            identity: None,
        }
    }

    /// `https://localhost:PORT/portal`.
    pub fn url(&self) -> String {
        self.place.portal()
    }

    /// `https://localhost:PORT/portal/sharing/rest`, with `path` behind it.
    pub fn rest(&self, path: &str) -> String {
        format!("{}/{path}", self.place.rest())
    }

    /// `https://127.0.0.1:PORT/arcgis`: where programs reach a guarded portal.
    pub fn api_url(&self) -> String {
        self.guarded_url().expect("a guarded portal")
    }

    /// The API URL, if the portal is guarded.
    pub fn guarded_url(&self) -> Option<String> {
        let (origin, context) = self.place.api.as_ref()?;
        Some(format!("{origin}{context}"))
    }

    /// The requests that a guard has refused, or would have: those for the portal that came to its
    /// own address and not from a browser.
    pub fn requests_to_the_guard(&self) -> Vec<Recorded> {
        let mut all = self.requests();
        all.retain(|one| {
            one.port == self.ports.0
                && one.header(browser::BROWSER.0).is_none()
                && !matches!(one.endpoint, Endpoint::Federated | Endpoint::Standalone)
        });
        all
    }

    /// `https://localhost:PORT/server`: federated, on the portal's own host and port.
    pub fn server_url(&self) -> String {
        format!("{}/server", self.place.origin)
    }

    /// `https://localhost:OTHERPORT/server`: federated, at an origin of its own.
    pub fn other_server_url(&self) -> String {
        format!("{}/server", self.place.server_origin)
    }

    /// `https://localhost:OTHERPORT/standalone`: not federated.
    pub fn standalone_url(&self) -> String {
        format!("{}/standalone", self.place.server_origin)
    }

    /// The feature layer that the portal itself serves, in the way of a stored service.
    pub fn portal_layer_url(&self) -> String {
        format!(
            "{}/sharing/servers/0a1b2c3d/rest/services/{}/0",
            self.url(),
            features::SERVICE
        )
    }

    /// The feature layer on the federated server at an origin of its own.
    pub fn server_layer_url(&self) -> String {
        format!(
            "{}/rest/services/{}/0",
            self.other_server_url(),
            features::SERVICE
        )
    }

    /// The map service on the same server.
    #[cfg(target_os = "linux")] // Only QGIS reads it.
    pub fn server_map_url(&self) -> String {
        format!(
            "{}/rest/services/{}",
            self.other_server_url(),
            maps::SERVICE
        )
    }

    /// Adds items for the services, and the group [`Portal::GROUP`] of the practice user with those
    /// of the server at an origin of its own.
    pub fn publish_services(&self) {
        let at_server = format!("{}/rest/services", self.other_server_url());
        let (roads, land) = (features::SERVICE, maps::SERVICE);
        let items = [
            Item::new("0a01", "Roads", "Feature Service", USER)
                .at(&format!("{at_server}/{roads}"))
                .shared_with(Self::GROUP),
            Item::new("0a02", "Land", "Map Service", USER)
                .at(&format!("{at_server}/{land}"))
                .shared_with(Self::GROUP),
            Item::new("0a03", "Roads of the portal", "Feature Service", OTHER_USER)
                .at(&self.portal_layer_url()),
            Item::new("0a04", "A map of roads", "Web Map", USER).visible_to(Visibility::Public),
            Item::new("0a06", "Hills", "Image Service", USER)
                .at(&format!("{at_server}/{}", maps::IMAGES)),
            Item::new("0a05", "Roads of another", "Feature Service", OTHER_USER)
                .at(&self.portal_layer_url())
                .visible_to(Visibility::Private),
        ];
        let group = Group {
            id: Self::GROUP.to_owned(),
            title: "Streets and land".to_owned(),
            owner: USER.to_owned(),
            members: Vec::new(),
        };
        self.set(|rules| {
            rules.items.extend(items);
            rules.groups.push(group);
        });
    }

    /// The ID of the group of [`Portal::publish_services`].
    pub const GROUP: &str = "0b01";

    pub fn port(&self) -> u16 {
        self.ports.0
    }

    /// PEM of what a client must trust: the authority, or for a self-signed portal its own
    /// certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes [`Portal::ca_pem`] to `ca.pem` in `directory` and returns the path.
    pub fn ca_file(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.pem");
        std::fs::write(&path, self.ca_pem()).expect("cannot write ca.pem");
        path
    }

    /// A client certificate for a portal that requires one.
    pub fn client_identity(&self, name: &str) -> Identity {
        self.authority.client(name)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client for tests that trusts the portal.
    pub fn client(&self) -> Client {
        Client::trusting(self.ca_pem())
    }

    /// Changes the rules while the portal runs.
    pub fn set<T>(&self, change: impl FnOnce(&mut Rules) -> T) -> T {
        change(&mut self.shared.state().rules)
    }

    /// The clock for the life of tokens and the `Date` header.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    // — the user of the browser —

    /// Opens a sign-in URL as `username` and approves.
    pub fn authorize(&self, url: &str, username: &str) -> Destination {
        browser::open(&self.browser, url, browser::Decision::Approve(username))
    }

    /// Opens a sign-in URL and declines.
    pub fn decline(&self, url: &str) -> Destination {
        browser::open(&self.browser, url, browser::Decision::Decline)
    }

    // — the administrator —

    /// Ends every token at once, as renewing the portal's shared key does.
    pub fn revoke_all(&self) {
        self.shared.state().issued.revoke_all();
    }

    /// Ends every access token; refresh tokens stay valid.
    pub fn expire_access_tokens(&self) {
        let mut state = self.shared.state();
        let now = state.now_ms();
        state.issued.expire_accesses(now);
    }

    /// The answer of a finished sign-in of `username` with the default app, without a browser:
    /// `access_token`, `expires_in`, `refresh_token` and so on. For tests that start signed in.
    pub fn seed_user(&self, username: &str) -> Value {
        let mut state = self.shared.state();
        let minutes = state.rules.refresh_minutes;
        oauth::seed(&mut state, APP_ID, username, minutes)
    }

    /// The same for any app and any life of the refresh token, in minutes.
    pub fn seed(&self, client_id: &str, username: &str, minutes: u32) -> Value {
        oauth::seed(&mut self.shared.state(), client_id, username, minutes)
    }

    /// A new API key of this user that lives so many days. As at a real portal, it is a token of an
    /// application that the user owns, which the user made on the page of its item.
    pub fn make_api_key(&self, owner: &str, days: u32) -> String {
        let mut state = self.shared.state();
        let knows_keys = state.rules.online || state.rules.enterprise_version.is_some();
        assert!(knows_keys, "there are no API keys before 11.4");
        let client_id = format!("AgePracticeKeyOf-{owner}");
        if state.rules.app(&client_id).is_none() {
            let app = App {
                owner: owner.to_owned(),
                ..App::new(&client_id, &fixture::random("practice-", 24))
            };
            state.log.add_secret(&app.secret);
            state.rules.apps.push(app);
        }
        state.issue_access(&client_id, fixture::Bearer::App, days * 24 * 60 * 60)
    }

    /// Ends an API key, as its owner does on the page of the item.
    pub fn revoke_api_key(&self, key: &str) {
        let mut state = self.shared.state();
        let held = state.issued.accesses.get_mut(key).expect("an API key");
        held.revoked = true;
    }

    /// Takes that back, so that the same key is good again.
    pub fn accept_api_key_again(&self, key: &str) {
        let mut state = self.shared.state();
        let held = state.issued.accesses.get_mut(key).expect("an API key");
        held.revoked = false;
    }

    /// Whether the portal would accept that access token now.
    pub fn accepts_access_token(&self, token: &str) -> bool {
        self.shared.state().live_access(token).is_some()
    }

    /// Whether the portal would accept that refresh token now.
    pub fn accepts_refresh_token(&self, token: &str) -> bool {
        let state = self.shared.state();
        let found = state.issued.refreshes.get(token);
        found.is_some_and(|held| held.is_live(state.now_ms()))
    }

    /// How many refresh tokens are valid now.
    pub fn live_refresh_tokens(&self) -> usize {
        let state = self.shared.state();
        let (now, all) = (state.now_ms(), state.issued.refreshes.values());
        all.filter(|held| held.is_live(now)).count()
    }

    /// Waits until the portal knows that the response to the exchange of this refresh token was
    /// lost; panics after a minute.
    pub fn wait_until_retry_allowed(&self, spent: &str) {
        let met = |state: &State| {
            state
                .issued
                .refreshes
                .get(spent)
                .is_some_and(|held| held.retries_allowed > 0)
        };
        assert!(
            self.shared.wait_until(WAIT_LIMIT, met),
            "the answer of the exchange was not lost"
        );
    }

    /// Lets `spent` be sent once more in a plain refresh: for a client that was killed before it
    /// stored the response of an exchange, which the portal cannot know.
    pub fn allow_retry_of_spent(&self, spent: &str) {
        self.shared.state().issued.allow_retry(spent);
    }

    // — what was received —

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().log.requests.clone()
    }

    /// Waits until every request so far has been processed, and removes them all, so that a long
    /// run does not keep them. Their violations stay.
    pub fn take_requests(&self) -> Vec<Recorded> {
        self.finish_requests();
        let mut state = self.shared.state();
        state.add_client_secrets();
        state.log.take_requests()
    }

    /// The requests to one endpoint; [`Endpoint::Token`] stands for every grant.
    pub fn requests_to(&self, endpoint: Endpoint) -> Vec<Recorded> {
        let mut all = self.requests();
        all.retain(|one| endpoint.covers(one.endpoint));
        all
    }

    /// `grant_type` of each token request, in order.
    pub fn grants(&self) -> Vec<String> {
        let all = self.requests_to(Endpoint::Token);
        all.iter()
            .map(|one| one.param("grant_type").unwrap_or_default().to_owned())
            .collect()
    }

    /// TCP connections so far, whether or not a request came of them.
    pub fn connections(&self) -> usize {
        self.shared.state().log.connections
    }

    /// TLS handshakes so far that failed.
    pub fn broken_handshakes(&self) -> usize {
        self.shared.state().log.broken_handshakes
    }

    /// Waits until `endpoint` has had that many requests; panics after a minute.
    pub fn wait_for_requests(&self, endpoint: Endpoint, count: usize) {
        let met = |state: &State| {
            let all = state.log.requests.iter();
            all.filter(|one| endpoint.covers(one.endpoint)).count() >= count
        };
        let came = self.shared.wait_until(WAIT_LIMIT, met);
        assert!(came, "fewer than {count} requests to {endpoint:?}");
    }

    /// Every secret that the portal has issued or received, and the client secrets of its apps.
    pub fn secrets(&self) -> Vec<String> {
        let mut state = self.shared.state();
        state.add_client_secrets();
        state.log.secrets().map(str::to_owned).collect()
    }

    /// Panics if `bytes` hold a secret, and names `place` but not the secret.
    #[track_caller]
    pub fn assert_no_secret(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let found = self
            .secrets()
            .iter()
            .any(|secret| text.contains(secret.as_str()));
        assert!(!found, "{place} holds a secret");
    }

    /// The violations so far, each as a sentence with the number of the rule.
    pub fn violations(&self) -> Vec<String> {
        let mut state = self.shared.state();
        state.add_client_secrets();
        state.log.violations()
    }

    /// Panics if there is a violation.
    #[track_caller]
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(
            violations.is_empty(),
            "the portal saw violations:\n{}",
            violations.join("\n")
        );
    }

    /// Says that this test violates rules on purpose and checks [`Portal::violations`] itself.
    pub fn expect_violations(&self) {
        self.allows_violations.store(true, Ordering::SeqCst);
    }

    /// Waits until every request so far has been processed, also those of killed clients.
    pub fn finish_requests(&self) {
        for acceptor in &*self.acceptors.lock().unwrap() {
            acceptor.finish_requests();
        }
    }

    /// What has been issued so far, for [`Portal::restore`].
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.shared.state().issued.clone())
    }

    /// Forgets everything that was issued or revoked since.
    pub fn restore(&self, moment: &Snapshot) {
        self.shared.state().issued = moment.0.clone();
    }

    // — stopping —

    /// Stops listening: connections are refused from now on. What was received stays.
    pub fn stop(&self) {
        self.acceptors.lock().unwrap().clear();
    }

    /// Listens again, at the same URL and with the same state.
    pub fn start_again(&self) {
        let mut acceptors = self.acceptors.lock().unwrap();
        if acceptors.is_empty() {
            let ports = [self.ports.0, self.ports.1];
            acceptors.extend(ports.map(|port| listen(&self.shared, port, &self.host)));
            let api = self
                .api_port
                .map(|port| listen(&self.shared, port, API_HOST));
            acceptors.extend(api);
        }
    }
}

/// Listens on `port` (0: any) as `host`. The origin of a connection follows from the port that
/// received it.
fn listen(shared: &Arc<Shared>, port: u16, host: &str) -> Acceptor {
    let (shared, host) = (Arc::clone(shared), host.to_owned());
    let serve = move |tcp: TcpStream| {
        let port = tcp.local_addr().map_or(0, |address| address.port());
        server::connection(&shared, &format!("https://{host}:{port}"), port, tcp);
    };
    Acceptor::start(port, serve).expect("no port for the portal")
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.stop();
        if !thread::panicking() && !self.allows_violations.load(Ordering::SeqCst) {
            self.assert_clean();
        }
    }
}
