//! What the portal has issued: codes, refresh tokens, access tokens, and their state.
//!
//! Nothing here speaks HTTP. Lifetimes follow the portal's clock, passed as milliseconds.

use std::collections::BTreeMap;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine as _;
use ring::rand::{SecureRandom, SystemRandom};

use super::clock::Clock;
use super::record::Log;
use super::rules::Rules;

/// Everything behind the portal's lock.
pub struct State {
    pub rules: Rules,
    pub issued: Issued,
    pub log: Log,
    pub place: Location,
    pub clock: Clock,
}

/// The URLs of the portal and its servers.
#[derive(Clone)]
pub struct Location {
    /// `https://localhost:PORT`.
    pub origin: String,
    /// `/portal`, or empty for a portal at the web root.
    pub context: String,
    /// The origin of the federated server that has a host of its own.
    pub server_origin: String,
    /// Where programs reach the portal, if a guard stands before its own address: the origin and
    /// the path.
    pub api: Option<(String, String)>,
}

impl Location {
    /// A location whose ports are not known yet.
    pub fn without_ports(context: &str) -> Self {
        Self {
            origin: String::new(),
            context: context.to_owned(),
            server_origin: String::new(),
            api: None,
        }
    }

    /// The path below the portal's root of a request that came to `origin`.
    pub fn inside<'a>(&self, origin: &str, path: &'a str) -> Option<&'a str> {
        let own = (self.origin.as_str(), self.context.as_str());
        let api = self.api.as_ref();
        let api = api.map(|(origin, context)| (origin.as_str(), context.as_str()));
        let (_, context) = [Some(own), api]
            .into_iter()
            .flatten()
            .find(|(known, _)| *known == origin)?;
        path.strip_prefix(context)
    }

    pub fn portal(&self) -> String {
        format!("{}{}", self.origin, self.context)
    }

    pub fn rest(&self) -> String {
        format!("{}/sharing/rest", self.portal())
    }
}

/// What a browser requested at `authorize`.
#[derive(Clone)]
pub struct Authorization {
    pub client_id: String,
    pub redirect_uri: String,
    pub state: Option<String>,
    pub challenge: Option<Challenge>,
    /// Life of the refresh token to be granted, in minutes.
    pub minutes: u32,
}

/// The PKCE challenge of an authorization.
#[derive(Clone)]
pub struct Challenge {
    pub text: String,
    /// `S256`, or else plain.
    pub s256: bool,
}

/// An authorization code.
#[derive(Clone)]
pub struct Code {
    pub asked: Authorization,
    pub username: String,
    pub born_ms: i64,
    pub used: bool,
}

/// The state of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshState {
    Live,
    /// Exchanged for another.
    Spent,
    Revoked,
}

/// A refresh token.
#[derive(Clone)]
pub struct Refresh {
    pub client_id: String,
    pub username: String,
    pub redirect_uri: String,
    /// The granted life, which an exchange grants again.
    pub minutes: u32,
    pub ends_ms: i64,
    pub fate: RefreshState,
    /// How many plain refreshes may still use it although it is spent: one after the response of an
    /// exchange was lost, or of that one refresh.
    pub retries_allowed: u32,
}

impl Refresh {
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.fate == RefreshState::Live && now_ms < self.ends_ms
    }
}

/// Whom an access token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    User {
        username: String,
        refresh: String,
    },
    App,
    /// The user whom the web server in front vouches for; only with this `Referer`.
    Network {
        username: String,
        referer: String,
    },
    /// Granted by `generateToken` for one server, for another token.
    Server {
        server: String,
        from: String,
    },
}

/// An access token.
#[derive(Clone)]
pub struct Access {
    pub bearer: Bearer,
    pub client_id: String,
    pub ends_ms: i64,
    pub revoked: bool,
}

/// Everything that was issued.
#[derive(Clone, Default)]
pub struct Issued {
    pub codes: BTreeMap<String, Code>,
    pub refreshes: BTreeMap<String, Refresh>,
    pub accesses: BTreeMap<String, Access>,
    /// Open sign-in pages, by `oauth_state`.
    pub pages: BTreeMap<String, Authorization>,
    /// Challenges so far, each with its `state`.
    pub challenges: BTreeMap<String, String>,
}

impl State {
    /// Sets the ports of the portal and of its federated server, and the address for programs.
    pub fn set_ports(
        &mut self,
        host: &str,
        ports: (u16, u16),
        api: Option<(String, String)>,
    ) -> Location {
        self.place.api = api;
        self.place.origin = format!("https://{host}:{}", ports.0);
        self.place.server_origin = format!("https://{host}:{}", ports.1);
        let origins = [&self.place.origin, &self.place.server_origin];
        self.rules.federated = origins.map(|origin| format!("{origin}/server")).to_vec();
        self.place.clone()
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Client secrets are secret before a client sends one.
    pub fn add_client_secrets(&mut self) {
        for app in &self.rules.apps {
            self.log.add_secret(&app.secret);
        }
    }

    pub fn issue_code(&mut self, asked: Authorization, username: &str) -> String {
        let text = random("practice-code.", 32);
        self.log.add_secret(&text);
        let code = Code {
            asked,
            username: username.to_owned(),
            born_ms: self.now_ms(),
            used: false,
        };
        self.issued.codes.insert(text.clone(), code);
        text
    }

    /// A refresh token that lives `minutes`, or as long as the organization allows.
    pub fn issue_refresh(
        &mut self,
        client_id: &str,
        username: &str,
        redirect_uri: &str,
        minutes: u32,
    ) -> String {
        let text = random("practice-refresh.", 96);
        self.log.add_secret(&text);
        let minutes = self.rules.cap(minutes);
        let refresh = Refresh {
            client_id: client_id.to_owned(),
            username: username.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            minutes,
            ends_ms: self.now_ms() + i64::from(minutes) * 60_000,
            fate: RefreshState::Live,
            retries_allowed: 0,
        };
        self.issued.refreshes.insert(text.clone(), refresh);
        text
    }

    pub fn issue_access(&mut self, client_id: &str, bearer: Bearer, seconds: u32) -> String {
        let text = random("practice-access.", self.rules.access_octets);
        self.log.add_secret(&text);
        let access = Access {
            bearer,
            client_id: client_id.to_owned(),
            ends_ms: self.now_ms() + i64::from(seconds) * 1000,
            revoked: false,
        };
        self.issued.accesses.insert(text.clone(), access);
        text
    }

    /// The access token with that text, if it is valid.
    pub fn live_access(&self, text: &str) -> Option<&Access> {
        let now = self.now_ms();
        let access = self.issued.accesses.get(text)?;
        (!access.revoked && access.ends_ms > now).then_some(access)
    }
}

impl Issued {
    /// Ends a refresh token and, at the same time, every access token from it.
    pub fn end_refresh(&mut self, text: &str, fate: RefreshState) {
        if let Some(refresh) = self.refreshes.get_mut(text) {
            refresh.fate = fate;
        }
        let mut ended = Vec::new();
        for (name, access) in &mut self.accesses {
            if matches!(&access.bearer, Bearer::User { refresh, .. } if refresh == text) {
                access.revoked = true;
                ended.push(name.clone());
            }
        }
        for access in self.accesses.values_mut() {
            if matches!(&access.bearer, Bearer::Server { from, .. } if ended.contains(from)) {
                access.revoked = true;
            }
        }
    }

    /// Ends everything, as when the administrator renews the portal's shared key.
    pub fn revoke_all(&mut self) {
        for refresh in self
            .refreshes
            .values_mut()
            .filter(|one| one.fate == RefreshState::Live)
        {
            refresh.fate = RefreshState::Revoked;
        }
        for access in self.accesses.values_mut() {
            access.revoked = true;
        }
    }

    /// Ends every access token; refresh tokens stay valid.
    pub fn expire_accesses(&mut self, now_ms: i64) {
        for access in self.accesses.values_mut() {
            access.ends_ms = access.ends_ms.min(now_ms);
        }
    }

    /// Lets the spent token of an exchange whose response was lost be used once more, in a plain
    /// refresh.
    pub fn allow_retry(&mut self, spent: &str) {
        if let Some(refresh) = self.refreshes.get_mut(spent) {
            refresh.retries_allowed = 1;
        }
    }
}

/// `prefix` and that many random octets, in the alphabet of ArcGIS tokens.
pub fn random(prefix: &str, octets: usize) -> String {
    let mut bytes = vec![0; octets];
    SystemRandom::new().fill(&mut bytes).unwrap();
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}
