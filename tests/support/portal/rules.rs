//! How this portal behaves: its version, its users and apps, its lifetimes and switches. Changeable
//! while it runs.

use std::sync::LazyLock;

use super::faults::{Endpoint, Fault, Plan};
use super::features::Roads;
use super::fixture::random;
use super::items::{Group, Item};

/// The out-of-band redirect URI: the code is shown on a page and pasted.
pub const OOB: &str = "urn:ietf:wg:oauth:2.0:oob";
/// The app that users sign in with by default.
pub const APP_ID: &str = "AgePracticeApp01";
/// The app that signs in as itself by default.
pub const SERVICE_ID: &str = "AgePracticeApp02";
/// The user who is signed in to the browser by default.
pub const USER: &str = "your.username";
/// Another user.
pub const OTHER_USER: &str = "other.user";

/// The client secret of [`APP_ID`]. It is new for each test program, so that two runs on one
/// machine do not find each other's.
pub fn app_secret() -> &'static str {
    static SECRET: LazyLock<String> = LazyLock::new(|| random("practice-", 24));
    &SECRET
}

/// The client secret of [`SERVICE_ID`], new for each test program.
pub fn service_secret() -> &'static str {
    static SECRET: LazyLock<String> = LazyLock::new(|| random("practice-", 24));
    &SECRET
}

/// The version that the portal simulates. It sets the rules at the start; each can be changed
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortalVersion {
    /// ArcGIS Online: no Enterprise version, portal at the web root.
    Online,
    /// Enterprise 11.4: names its version.
    Enterprise114,
    /// Enterprise 10.9.1: PKCE and `refresh_token_expires_in`, but no version.
    Enterprise1091,
    /// Enterprise 10.6: exchange, but ignores PKCE and does not say how long a refresh token lives.
    Enterprise106,
    /// Enterprise 10.5: no exchange either.
    Enterprise105,
}

impl PortalVersion {
    /// `currentVersion`, an Online-style number even on Enterprise; those of the older ones are
    /// plausible, not captured.
    fn current_version(self) -> &'static str {
        match self {
            Self::Online => "2026.1",
            Self::Enterprise114 => "2024.2",
            Self::Enterprise1091 => "9.3",
            Self::Enterprise106 => "6.1",
            Self::Enterprise105 => "5.1",
        }
    }

    fn knows_pkce(self) -> bool {
        !matches!(self, Self::Enterprise106 | Self::Enterprise105)
    }
}

/// How the portal handles the PKCE parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// Checks them, and refuses a code request without them.
    Required,
    /// Checks them where they are sent. A request without them is still recorded as a violation.
    Checked,
    /// Ignores them (before 10.8.1).
    Ignored,
    /// Supports them and refuses every challenge method.
    MethodRejected,
}

/// How the portal handles a client secret with a code or a refresh token, for which Esri documents
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretCheck {
    Ignored,
    /// A wrong one is refused; it may be absent.
    IfSent,
    Required,
}

/// The header in which a web server in front of the practice portal says who got in. Real portals
/// have ways of their own for that.
pub const VOUCHED_BY: &str = "x-remote-user";

/// What the web server in front of the portal's own address asks for. A browser has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Windows sign-in, as IIS asks for it.
    Negotiate,
    /// A client certificate, as nginx asks for it.
    Certificate,
}

/// A registered app.
#[derive(Clone, Debug)]
pub struct App {
    pub client_id: String,
    pub secret: String,
    pub title: String,
    pub owner: String,
    pub item_id: String,
    pub redirect_uris: Vec<String>,
    /// If not empty, its tokens are valid only with one of these as `Referer`
    /// (`https://*.example.org` for any subdomain).
    pub http_referrers: Vec<String>,
}

impl App {
    pub fn new(client_id: &str, secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            title: format!("Practice app {client_id}"),
            owner: USER.to_owned(),
            item_id: format!("item-of-{client_id}"),
            redirect_uris: vec![OOB.to_owned()],
            http_referrers: Vec::new(),
        }
    }
}

/// A user who can sign in.
#[derive(Clone, Debug)]
pub struct User {
    pub username: String,
    pub full_name: String,
    pub email: String,
    pub role: String,
}

impl User {
    pub fn new(username: &str, full_name: &str, role: &str) -> Self {
        Self {
            username: username.to_owned(),
            full_name: full_name.to_owned(),
            email: format!("{username}@example.org"),
            role: role.to_owned(),
        }
    }
}

/// Everything about the portal that a test may set.
#[allow(clippy::struct_excessive_bools)] // Each is a switch of its own, not a state of one machine.
pub struct Rules {
    pub online: bool,
    pub current_version: String,
    /// `enterpriseVersion` at the root; from 11.3 on.
    pub enterprise_version: Option<String>,
    pub org_name: String,
    pub users: Vec<User>,
    pub apps: Vec<App>,

    pub pkce: Pkce,
    /// Whether `exchange_refresh_token` exists.
    pub exchange: bool,
    /// Whether answers carry `refresh_token_expires_in`.
    pub tells_refresh_life: bool,
    /// Whether `revokeToken` exists; otherwise 404.
    pub revoke: bool,
    pub check_secret_on_code: SecretCheck,
    pub check_secret_on_refresh: SecretCheck,

    /// Life of an authorization code, seconds.
    pub code_seconds: u32,
    /// Life of a user's access token, seconds.
    pub user_access_seconds: u32,
    /// Random octets in an access token; each four letters are three of them.
    pub access_octets: usize,
    /// Default life of an app's access token, minutes.
    pub app_minutes: u32,
    /// The most an app may ask for, minutes.
    pub app_minutes_max: u32,
    /// Default life of a refresh token, minutes.
    pub refresh_minutes: u32,
    /// The most a sign-in may ask for, minutes.
    pub refresh_minutes_max: u32,
    /// `maxTokenExpirationMinutes` of the organization: silently limits every token. `None` shows
    /// as -1.
    pub max_token_minutes: Option<u32>,
    /// Seconds by which the `Date` header is ahead of the portal's clock.
    pub date_ahead_seconds: i64,

    /// Whether the browser's session is enough; otherwise the sign-in page is shown.
    pub auto_approve: bool,
    /// Whether the user declines.
    pub decline: bool,
    /// Who is signed in to the browser.
    pub signed_in: String,
    /// Whether the URL of the approval page keeps `state`.
    pub approval_keeps_state: bool,

    /// The items. Where there are some, a search finds those of them that its query means.
    pub items: Vec<Item>,
    pub groups: Vec<Group>,
    /// The features of the feature layer.
    pub roads: Roads,
    /// What the data of every item is.
    pub item_data: Vec<u8>,
    /// How many items a search finds besides the usual two.
    pub more_items: usize,
    /// Whether a search has pages without end.
    pub endless_search: bool,
    /// Whether anonymous callers are refused at `portals/self`.
    pub private: bool,
    /// A host that the portal claims as its own in `portals/self` and `info`.
    pub names_host: Option<String>,
    /// Whether federated servers accept the portal's own tokens; otherwise they answer 498 until
    /// the token is exchanged for a server token.
    pub direct_federated: bool,
    /// The servers for which the portal grants tokens.
    pub federated: Vec<String>,
    /// Whom the web server in front vouches for, by what it writes into [`VOUCHED_BY`], and which
    /// user that is. Empty for a portal that does not ask its web server.
    pub vouched: Vec<(String, String)>,
    /// Credentials for Basic authentication, which protects everything.
    pub basic: Option<(String, String)>,
    /// What guards the portal's own address, but not the one of [`Builder::guarded`].
    ///
    /// [`Builder::guarded`]: super::Builder::guarded
    pub guard: Option<Guard>,

    plan: Plan,
}

impl Rules {
    pub(super) fn new(version: PortalVersion) -> Self {
        let ten_nine = version.knows_pkce();
        Self {
            online: version == PortalVersion::Online,
            current_version: version.current_version().to_owned(),
            enterprise_version: (version == PortalVersion::Enterprise114)
                .then(|| "11.4.0".to_owned()),
            org_name: "Practice Organisation".to_owned(),
            users: vec![
                User::new(USER, "Your Name", "org_publisher"),
                User::new(OTHER_USER, "Other User", "org_user"),
            ],
            apps: vec![
                App::new(APP_ID, app_secret()),
                App::new(SERVICE_ID, service_secret()),
            ],
            pkce: if ten_nine {
                Pkce::Required
            } else {
                Pkce::Ignored
            },
            exchange: version != PortalVersion::Enterprise105,
            tells_refresh_life: ten_nine,
            revoke: true,
            check_secret_on_code: SecretCheck::IfSent,
            check_secret_on_refresh: SecretCheck::IfSent,
            code_seconds: 300,
            user_access_seconds: 1800,
            access_octets: 140,
            app_minutes: 120,
            app_minutes_max: 20160,
            refresh_minutes: 20160,
            refresh_minutes_max: if ten_nine { 129_600 } else { 20160 },
            max_token_minutes: None,
            date_ahead_seconds: 0,
            auto_approve: true,
            decline: false,
            signed_in: USER.to_owned(),
            approval_keeps_state: true,
            items: Vec::new(),
            groups: Vec::new(),
            roads: Roads::default(),
            item_data: Vec::new(),
            more_items: 0,
            endless_search: false,
            private: false,
            names_host: None,
            direct_federated: true,
            federated: Vec::new(),
            vouched: Vec::new(),
            basic: None,
            guard: None,
            plan: Plan::default(),
        }
    }

    /// Plans `fault` for the next request to `endpoint`.
    pub fn fault(&mut self, endpoint: Endpoint, fault: Fault) {
        self.fault_times(endpoint, fault, 1);
    }

    /// Plans `fault` for the next `times` requests.
    pub fn fault_times(&mut self, endpoint: Endpoint, fault: Fault, times: u32) {
        if times > 0 {
            self.plan.add(endpoint, fault, Some(times));
        }
    }

    /// Plans `fault` for every request.
    pub fn fault_always(&mut self, endpoint: Endpoint, fault: Fault) {
        self.plan.add(endpoint, fault, None);
    }

    /// Removes the planned faults.
    pub fn clear_faults(&mut self) {
        self.plan.clear();
    }

    /// How many planned faults, without the lasting ones, are left.
    pub fn faults_pending(&self) -> usize {
        self.plan.pending()
    }

    /// The app with that client ID; panics if there is none.
    pub fn app_mut(&mut self, client_id: &str) -> &mut App {
        let found = self.apps.iter_mut().find(|app| app.client_id == client_id);
        found.expect("no such app")
    }

    /// Registers one more redirect URI with the app that users sign in with.
    pub fn register_redirect(&mut self, uri: &str) {
        self.app_mut(APP_ID).redirect_uris.push(uri.to_owned());
    }

    pub(super) fn take_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        self.plan.take(endpoint)
    }

    pub(super) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    pub(super) fn user(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username == username)
    }

    /// The user whom the web server vouches for by this name.
    pub(super) fn vouched_user(&self, name: &str) -> Option<&User> {
        let found = self.vouched.iter().find(|(known, _)| known == name);
        found.and_then(|(_, username)| self.user(username))
    }

    pub(super) fn knows_pkce(&self) -> bool {
        self.pkce != Pkce::Ignored
    }

    /// Minutes that a refresh token will live: a value that is too large yields the maximum,
    /// without an error; -1 requests the maximum; nothing, or a text that is not a number, is the
    /// default.
    pub(super) fn refresh_minutes_for(&self, asked: Option<&str>) -> u32 {
        clamp(
            asked,
            self.refresh_minutes,
            self.cap(self.refresh_minutes_max),
        )
    }

    /// Minutes that an app's access token will live.
    pub(super) fn app_minutes_for(&self, asked: Option<&str>) -> u32 {
        clamp(asked, self.app_minutes, self.cap(self.app_minutes_max))
    }

    /// Seconds that a user's access token will live.
    pub(super) fn user_seconds(&self) -> u32 {
        let cap = self
            .max_token_minutes
            .map_or(u32::MAX, |minutes| minutes * 60);
        self.user_access_seconds.min(cap)
    }

    /// The lower of a maximum and the organization's limit, in minutes.
    pub(super) fn cap(&self, maximum: u32) -> u32 {
        self.max_token_minutes
            .map_or(maximum, |cap| cap.min(maximum))
    }
}

fn clamp(asked: Option<&str>, default: u32, maximum: u32) -> u32 {
    let minutes = match asked.and_then(|text| text.parse::<i64>().ok()) {
        Some(-1) => maximum,
        Some(minutes) => u32::try_from(minutes.max(1)).unwrap_or(u32::MAX),
        None => default,
    };
    minutes.min(maximum)
}
