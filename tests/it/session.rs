//! The session against the practice portal: which token is returned, and when it is renewed or
//! extended. In process, so that the test controls the clock and the keychain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use age_oauth::testing::{Binding, Call, ClientSecret, MemoryStore, Tokens};
use age_oauth::{
    AccessToken, AuthorizationResponse, Clock, Connection, ConnectionStore, Context, Deadline,
    Decision, Environment, Error, Event, ExtendRule, Grant, Identity, Item, ItemKind,
    KeychainError, KeychainReason, MinTtl, Notice, Observer, PendingSignIn, RedirectUri, Refusal,
    Secret, SecretStore, Session, SignInNeeded, SignInOptions, SignedOut, Tls, TokenRequest,
    UsableToken,
};
use serde_json::json;

use crate::support::portal::{
    service_secret, Endpoint, Fault, Gate, Portal, PortalVersion, APP_ID, OTHER_USER, SERVICE_ID,
    USER,
};

/// A store, a keychain, and a portal whose clock the session shares.
struct Fixture {
    portal: Portal,
    folder: tempfile::TempDir,
    keychain: MemoryStore,
    heard: Arc<Mutex<Vec<Event>>>,
    connection: Connection,
}

impl Fixture {
    fn new(manner: PortalVersion) -> Self {
        Self::with(manner, |_| ())
    }

    fn with(manner: PortalVersion, change: impl FnOnce(&mut Connection)) -> Self {
        let portal = Portal::start(manner);
        portal.clock().stop();
        let folder = tempfile::tempdir().unwrap();
        let store = ConnectionStore::open(folder.path().join("store"));
        let mut connection = Connection::new(
            "prod".parse().unwrap(),
            portal.url().parse().unwrap(),
            Grant::User {
                redirect_uri: RedirectUri::OutOfBand,
                pkce: true,
            },
            APP_ID.into(),
        );
        connection.tls = Tls::Ca(store.ca_path(&connection.id));
        change(&mut connection);
        let fixture = Self {
            portal,
            folder,
            keychain: MemoryStore::new(),
            heard: Arc::default(),
            connection,
        };
        let pem = fixture.portal.ca_pem().as_bytes().to_vec();
        let context = fixture.context();
        store
            .add(&fixture.connection, Some(&pem), &context)
            .unwrap();
        fixture.session().bind_settings().unwrap();
        fixture
    }

    fn application(manner: PortalVersion) -> Self {
        let fixture = Self::with(manner, |connection| {
            connection.grant = Grant::Application;
            connection.client_id = SERVICE_ID.into();
        });
        let secret = ClientSecret {
            binding: Binding::of(
                &fixture.connection,
                Some(fixture.portal.ca_pem().as_bytes()),
            ),
            secret: Secret::new(service_secret().into()),
        };
        let item = Item::of(&fixture.connection, ItemKind::ClientSecret);
        fixture.keychain.set(&item, &secret.to_record()).unwrap();
        fixture
    }

    fn signed_in(manner: PortalVersion) -> Self {
        let fixture = Self::new(manner);
        fixture.sign_in(USER);
        fixture
    }

    fn context(&self) -> Context {
        let heard = Arc::clone(&self.heard);
        Context {
            clock: Clock::new(self.portal.clock().reader()),
            environment: Environment::of(Vec::<(String, String)>::new()),
            observer: Observer::new(move |event| heard.lock().unwrap().push(event.clone())),
            ..Context::process()
        }
    }

    fn store(&self) -> ConnectionStore {
        ConnectionStore::open(self.folder.path().join("store"))
    }

    /// A session like that of another process.
    fn session(&self) -> Session {
        let connection = self.store().load(&self.connection.id).unwrap();
        Session::new(
            self.store(),
            connection,
            Arc::new(self.keychain.clone()),
            self.context(),
        )
    }

    fn sign_in(&self, user: &str) {
        let pending = self.pending(user);
        assert_eq!(pending.username(), user);
        self.session().accept(&pending).unwrap();
    }

    fn token(&self) -> String {
        let issued = self
            .session()
            .access_token(&TokenRequest::default())
            .unwrap();
        issued.access.secret.expose().to_owned()
    }

    fn advance_seconds(&self, seconds: u64) {
        self.portal.clock().advance(Duration::from_secs(seconds));
    }

    fn item(&self) -> Item {
        Item::of(&self.connection, ItemKind::Tokens)
    }

    fn record(&self) -> Tokens {
        let record = self.keychain.get(&self.item()).unwrap().unwrap();
        Tokens::from_record(&record).unwrap()
    }

    fn refresh_token(&self) -> String {
        self.record().refresh.unwrap().secret.expose().to_owned()
    }

    fn notices(&self) -> Vec<Notice> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter_map(|event| match event {
                Event::Notice(notice) => Some(notice.clone()),
                _ => None,
            })
            .collect()
    }

    /// The decisions so far.
    fn decisions(&self) -> Vec<Decision> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter_map(|event| match event {
                Event::Decision { decision, .. } => Some(*decision),
                _ => None,
            })
            .collect()
    }

    /// Rewrites the stored record.
    fn change(&self, change: impl FnOnce(&mut Tokens)) {
        let mut record = self.record();
        change(&mut record);
        self.keychain
            .set(&self.item(), &record.to_record())
            .unwrap();
    }

    fn pending(&self, user: &str) -> PendingSignIn {
        let session = self.session();
        let mut sign_in = session.begin_sign_in(&SignInOptions::default()).unwrap();
        let pasted = self.portal.authorize(sign_in.url(), user).code();
        let AuthorizationResponse::Code(code) = sign_in.read_pasted(&pasted) else {
            panic!("no code: {pasted}");
        };
        session.exchange_code(&mut sign_in, code).unwrap()
    }

    /// The token for `want` when `change` happens while it waits for the lock.
    fn waiting(&self, want: TokenRequest, change: impl FnOnce()) -> Result<UsableToken, Error> {
        let (lock, _) = self
            .store()
            .lock(&self.connection, Duration::ZERO, &self.context())
            .unwrap();
        let session = self.session();
        let reads = self.keychain.calls(Call::Get);
        let waiting = std::thread::spawn(move || session.access_token(&want));
        while self.keychain.calls(Call::Get) == reads {
            std::thread::yield_now();
        }
        change();
        drop(lock);
        waiting.join().unwrap()
    }

    fn count(&self, endpoint: Endpoint) -> usize {
        self.portal.requests_to(endpoint).len()
    }
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[test]
fn a_cached_token_is_returned_without_a_request() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let requests = fixture.portal.requests().len();
    let first = fixture.token();
    assert_eq!(fixture.token(), first);
    let decided = [Decision::SignedIn, Decision::Cached, Decision::Cached];
    assert_eq!(fixture.decisions(), decided);
    fixture.advance_seconds(1739);
    assert_eq!(fixture.token(), first);
    assert_eq!(fixture.portal.requests().len(), requests);
    fixture.advance_seconds(2);
    assert_ne!(fixture.token(), first);
    assert_eq!(fixture.count(Endpoint::Refresh), 1);
}

#[test]
fn rule_20_a_renewal_keeps_the_refresh_token_and_its_end() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let (before, end) = (
        fixture.refresh_token(),
        fixture.record().refresh.unwrap().known_or_assumed_expiry(),
    );
    fixture.advance_seconds(2 * HOUR);
    fixture.token();
    assert_eq!(fixture.refresh_token(), before);
    assert_eq!(
        fixture.record().refresh.unwrap().known_or_assumed_expiry(),
        end
    );
    let status = fixture.store().load(&fixture.connection.id).unwrap().status;
    assert_eq!(status.username.as_deref(), Some(USER));
    assert_eq!(
        status.refresh_expires_at.map(jiff::Timestamp::as_second),
        Some(end.as_second())
    );
    assert_eq!(status.last_failure, None);
}

#[test]
fn a_min_ttl_of_half_the_granted_life_renews_past_half() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let first = fixture.token();
    fixture.advance_seconds(901);
    assert_eq!(fixture.token(), first);
    let want = TokenRequest::lasting(MinTtl::HalfOfGranted);
    let second = fixture.session().access_token(&want).unwrap();
    assert_ne!(second.access.secret.expose(), first);
}

#[test]
fn a_portal_that_grants_shorter_tokens_than_wanted_is_asked_once_a_minute() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(120);
    let want = || TokenRequest {
        explicit: true,
        ..TokenRequest::lasting(MinTtl::Seconds(7200))
    };
    let issued = fixture.session().access_token(&want()).unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    let again = fixture.session().access_token(&want()).unwrap();
    assert!(issued.access.secret.matches(again.access.secret.expose()));
    assert_eq!(fixture.count(Endpoint::Refresh), 1);
    let short = fixture
        .notices()
        .into_iter()
        .filter(|notice| {
            matches!(
                notice,
                Notice::ShortLived {
                    seconds_wanted: 7200,
                    ..
                }
            )
        })
        .count();
    assert_eq!(short, 2);
}

/// The second that is lost in transit is not worth a warning.
#[test]
fn a_token_that_lives_a_second_less_than_wanted_causes_no_warning() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    for (wanted, said) in [(1800, 0), (1801, 0), (1802, 1)] {
        let want = TokenRequest {
            force: true,
            ..TokenRequest::lasting(MinTtl::Seconds(wanted))
        };
        fixture.session().access_token(&want).unwrap();
        assert_eq!(fixture.notices().len(), said, "{wanted}");
    }
    // A new token is better only if the portal grants the wanted life.
    for (wanted, decision) in [(1800, Decision::Renewed), (1801, Decision::Cached)] {
        fixture.advance_seconds(1);
        let want = TokenRequest::lasting(MinTtl::Seconds(wanted));
        let issued = fixture.session().access_token(&want).unwrap();
        assert_eq!(issued.decision, decision, "{wanted}");
    }
}

/// A process that waited for the lock gets the token that was renewed meanwhile.
#[test]
fn a_token_that_another_process_renewed_during_the_wait_is_used() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let want = TokenRequest {
        force: true,
        ..TokenRequest::default()
    };
    let issued = fixture.waiting(want, || {
        fixture.change(|tokens| {
            tokens.access.as_mut().unwrap().secret = Secret::new("minted-meanwhile".into());
        });
    });
    let issued = issued.unwrap();
    assert_eq!(issued.decision, Decision::RenewedByAnother);
    assert!(issued.access.secret.matches("minted-meanwhile"));
    assert_eq!(fixture.count(Endpoint::Refresh), 0);
}

#[test]
fn a_record_without_a_refresh_token_is_not_a_sign_in() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.change(|tokens| tokens.refresh = None);
    fixture.advance_seconds(2 * HOUR);
    match fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err()
    {
        Error::SignInNeeded { why, .. } => assert_eq!(why, SignInNeeded::Never),
        other => panic!("{other}"),
    }
}

#[test]
fn the_tokens_that_are_read_under_the_lock_are_used() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(2 * HOUR);
    // Meanwhile another process signs in, and the token of that sign-in is stale again.
    let seeded = fixture.portal.seed_user(USER);
    let waiting = fixture.waiting(TokenRequest::default(), || {
        fixture.change(|tokens| {
            let refresh = tokens.refresh.as_mut().unwrap();
            refresh.secret = Secret::new(seeded["refresh_token"].as_str().unwrap().to_owned());
        });
    });
    waiting.unwrap();
    let sent = &fixture.portal.requests_to(Endpoint::Refresh)[0];
    assert_eq!(
        sent.form["refresh_token"],
        seeded["refresh_token"].as_str().unwrap()
    );
}

#[test]
fn an_unreachable_portal_leaves_the_cached_token_in_use() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let first = fixture.token();
    fixture
        .portal
        .set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Status(503)));
    fixture.advance_seconds(1770);
    assert_eq!(fixture.token(), first);
    assert!(matches!(
        fixture.notices()[..],
        [Notice::Unreachable {
            seconds_left: 29..=30,
            ..
        }]
    ));
    let explicit = TokenRequest {
        explicit: true,
        ..TokenRequest::default()
    };
    let error = fixture.session().access_token(&explicit).unwrap_err();
    assert!(error.is_transient());
    fixture.advance_seconds(16);
    let error = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    let failure = fixture
        .store()
        .load(&fixture.connection.id)
        .unwrap()
        .status
        .last_failure;
    assert!(failure.unwrap().contains("503"));
    fixture.portal.set(|rules| {
        rules.clear_faults();
    });
    assert_ne!(fixture.token(), first);
}

#[test]
fn rule_20_only_a_refusal_by_the_portal_means_sign_in_again_and_nothing_is_deleted() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let before = fixture.refresh_token();
    fixture.advance_seconds(2 * HOUR);
    for fault in [
        Fault::Status(500),
        Fault::Html200,
        Fault::ResetAfter,
        Fault::InvalidUtf8,
    ] {
        fixture
            .portal
            .set(|rules| rules.fault_times(Endpoint::Refresh, fault.clone(), 3));
        let error = fixture
            .session()
            .access_token(&TokenRequest::default())
            .unwrap_err();
        let in_front = matches!(
            error,
            Error::Refused {
                why: Refusal::SignInPage { .. },
                ..
            }
        );
        let unreachable = matches!(error, Error::Unreachable { .. });
        assert!(unreachable || in_front, "{error}");
        assert_eq!(fixture.refresh_token(), before);
        fixture.portal.set(|rules| {
            rules.clear_faults();
        });
    }
    // The portal's own errors that are not about the refresh token: only 498 is.
    for (code, message) in [
        (400, "Invalid client_id"),
        (400, "Unable to generate token."),
        (403, "You do not have permissions to access this resource"),
        (499, "Token Required"),
        (500, "Error generating token."),
    ] {
        let answer = json!({"error": {"code": code, "message": message, "details": []}});
        fixture
            .portal
            .set(|rules| rules.fault_times(Endpoint::Refresh, Fault::Json(answer.clone()), 3));
        let error = fixture
            .session()
            .access_token(&TokenRequest::default())
            .unwrap_err();
        assert!(
            !matches!(error, Error::SignInNeeded { .. }),
            "{code} {message}: {error}"
        );
        assert_eq!(fixture.refresh_token(), before);
        fixture.portal.set(|rules| {
            rules.clear_faults();
        });
    }
    fixture.portal.revoke_all();
    let error = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(matches!(
        error,
        Error::SignInNeeded {
            why: SignInNeeded::NoLongerAccepted,
            ..
        }
    ));
    assert_eq!(fixture.refresh_token(), before);
}

#[test]
fn an_expired_sign_in_is_reported_as_expired() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(200 * DAY);
    let error = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::SignInNeeded {
                why: SignInNeeded::Expired,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_rejected_token_is_renewed_once() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let first = fixture.token();
    fixture.portal.expire_access_tokens();
    let identity = fixture.session().whoami().unwrap();
    assert_eq!(
        identity,
        Identity::User {
            username: USER.into()
        }
    );
    assert_ne!(fixture.token(), first);
    assert_eq!(fixture.count(Endpoint::Refresh), 1);
    fixture.portal.set(|rules| {
        rules.app_mut(APP_ID).http_referrers = vec!["https://elsewhere.example".into()];
    });
    let error = fixture.session().whoami().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                why: Refusal::FreshToken,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fixture.count(Endpoint::Refresh), 2);
}

#[test]
fn a_sign_in_past_half_of_its_life_is_extended_when_no_token_is_in_use() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let record = fixture.record();
    let refresh = record.refresh.unwrap();
    let life = refresh
        .known_or_assumed_expiry()
        .duration_since(refresh.issued_at)
        .as_secs()
        .unsigned_abs();
    let before = fixture.refresh_token();
    fixture.advance_seconds(life / 2 + 1);
    let issued = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Extended);
    assert_ne!(fixture.refresh_token(), before);
    assert!(!fixture.portal.accepts_refresh_token(&before));
    assert_eq!(fixture.count(Endpoint::Exchange), 1);
    assert!(!fixture.record().exchange_started);
    assert_eq!(fixture.notices(), []);
}

/// All tokens from the spent refresh token ended with it.
#[test]
fn an_exchange_keeps_no_token_that_it_ended() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let now = fixture.portal.clock().now();
    fixture.change(|tokens| {
        let long = AccessToken {
            secret: Secret::new("for-a-server".into()),
            issued_at: now,
            expires_at: now + jiff::SignedDuration::from_hours(3),
        };
        tokens.access_tokens_valid_until = Some(long.expires_at);
        tokens.cache_server_token("https://server.example.com/arcgis", long, now);
        tokens.exchange_unsupported = true;
        tokens.username = None;
    });
    let old = fixture.record();
    let refreshed = fixture.session().refresh(ExtendRule::Now).unwrap();
    assert_eq!(refreshed.token.decision, Decision::Extended);
    let record = fixture.record();
    let access = record.access.unwrap();
    assert!(!access.secret.matches(old.access.unwrap().secret.expose()));
    assert_eq!(record.access_tokens_valid_until, Some(access.expires_at));
    assert!(record.servers.is_empty() && !record.exchange_unsupported);
    assert_eq!(record.username.as_deref(), Some(USER));
}

/// The life of the sign-in, in seconds.
fn life(fixture: &Fixture) -> u64 {
    let refresh = fixture.record().refresh.unwrap();
    let life = refresh
        .known_or_assumed_expiry()
        .duration_since(refresh.issued_at);
    life.as_secs().unsigned_abs()
}

/// The answer would be lost, and the sign-in with it.
#[test]
fn rule_21_the_time_of_the_whole_command_ends_no_extension() {
    let out_of_time = |fixture: &Fixture| {
        let connection = fixture.store().load(&fixture.connection.id).unwrap();
        let context = Context {
            deadline: Deadline::after(Duration::ZERO),
            ..fixture.context()
        };
        let keychain = Arc::new(fixture.keychain.clone());
        Session::new(fixture.store(), connection, keychain, context)
    };
    for (tenths, rule, is_extended) in [
        // A later command can extend it as well, so none is begun.
        (6, ExtendRule::PastHalf, false),
        (9, ExtendRule::PastHalf, true),
        (6, ExtendRule::Now, true),
    ] {
        let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
        fixture.advance_seconds(life(&fixture) / 10 * tenths + 60);
        let before = fixture.refresh_token();
        let outcome = out_of_time(&fixture).refresh(rule);
        assert_eq!(
            fixture.count(Endpoint::Exchange),
            usize::from(is_extended),
            "{tenths}"
        );
        assert_eq!(fixture.refresh_token() != before, is_extended, "{tenths}");
        assert!(!fixture.record().exchange_started, "{tenths}");
        assert!(fixture
            .portal
            .accepts_refresh_token(&fixture.refresh_token()));
        match outcome {
            Ok(refreshed) => assert_eq!(refreshed.token.decision, Decision::Extended),
            Err(error) => assert!(
                !is_extended && matches!(error, Error::Unreachable { .. }),
                "{error:?}"
            ),
        }
    }
}

/// A server that does not accept the portal's own tokens.
fn server(fixture: &Fixture) -> String {
    fixture.portal.set(|rules| rules.direct_federated = false);
    fixture.portal.other_server_url()
}

/// It may live longer than the portal's own tokens, and ends with the sign-in as they do.
#[test]
fn an_extension_waits_for_a_servers_token_that_a_script_may_hold() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let server = server(&fixture);
    fixture.advance_seconds(life(&fixture) / 2 - 600);
    let held = fixture
        .session()
        .server_token(&server, &TokenRequest::default())
        .unwrap();
    let portals_own = fixture.record().access.unwrap().expires_at;
    assert!(held.access.expires_at > portals_own);
    // The sign-in is past half of its life, and the portal's own token has expired.
    fixture.advance_seconds(2700);
    assert!(fixture.portal.clock().now() > portals_own);
    let refreshed = fixture.session().refresh(ExtendRule::PastHalf).unwrap();
    assert_eq!(refreshed.token.decision, Decision::Renewed);
    assert!(refreshed.extension_waits_until.is_some());
    assert_eq!(fixture.count(Endpoint::Exchange), 0);
}

#[test]
fn rule_24_a_servers_token_belongs_to_the_user_whose_token_was_sent() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let server = server(&fixture);
    let gate = Gate::new();
    let fault = Fault::HoldAfter(gate.clone());
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::GenerateToken, fault));
    let session = fixture.session();
    let root = server.clone();
    let asking = std::thread::spawn(move || {
        session
            .server_token(&root, &TokenRequest::default())
            .unwrap()
    });
    gate.await_arrivals(1);
    fixture.sign_in(OTHER_USER);
    gate.open();
    let granted = asking.join().unwrap();
    assert_eq!(granted.username.as_deref(), Some(USER));
    // The other user's record has nothing of it.
    let record = fixture.record();
    assert_eq!(record.username.as_deref(), Some(OTHER_USER));
    assert!(record.servers.is_empty());
    let now = fixture
        .session()
        .server_token(&server, &TokenRequest::default())
        .unwrap();
    assert_eq!(now.username.as_deref(), Some(OTHER_USER));
    assert!(!now.access.secret.matches(granted.access.secret.expose()));
    assert_eq!(fixture.record().servers.len(), 1);
}

/// As while another process stores a record in several parts, or signs out.
#[test]
fn a_record_that_cannot_be_read_for_a_moment_costs_no_servers_token() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let server = server(&fixture);
    let session = fixture.session();
    fixture.keychain.fail_next(Call::Get, KeychainReason::Lost);
    let granted = session.server_token(&server, &TokenRequest::default());
    assert_eq!(granted.unwrap().username.as_deref(), Some(USER));
}

#[test]
fn in_the_last_tenth_a_sign_in_is_extended_anyway_with_a_warning() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let refresh = fixture.record().refresh.unwrap();
    let life = refresh
        .known_or_assumed_expiry()
        .duration_since(refresh.issued_at)
        .as_secs()
        .unsigned_abs();
    fixture.advance_seconds(life / 10 * 9 - 600);
    // A script holds a token that lives for another half hour.
    fixture.portal.set(|rules| rules.exchange = false);
    fixture.change(|tokens| tokens.exchange_unsupported = true);
    fixture.token();
    fixture.change(|tokens| tokens.exchange_unsupported = false);
    fixture.portal.set(|rules| rules.exchange = true);
    fixture.advance_seconds(900);
    let want = TokenRequest::lasting(MinTtl::Seconds(1000));
    let issued = fixture.session().access_token(&want).unwrap();
    assert_eq!(issued.decision, Decision::Extended);
    let said = |notice: &Notice| matches!(notice, Notice::ExtendedAnyway { .. });
    assert!(fixture.notices().iter().any(said));
}

#[test]
fn rule_21_after_a_lost_response_one_plain_refresh_decides() {
    // The portal never processed the request: the old token is still valid.
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(60 * DAY);
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetBefore));
    let issued = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    assert_eq!(
        (
            fixture.count(Endpoint::Exchange),
            fixture.count(Endpoint::Refresh)
        ),
        (1, 1)
    );
    assert!(!fixture.record().exchange_started);
    assert!(fixture.notices().iter().any(|notice| matches!(
        notice,
        Notice::ExtensionNotApplied { connection, why: Some(_) } if connection == "prod"
    )));

    // The portal processed the request, and its response was lost: the user must sign in.
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(60 * DAY);
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetAfter));
    // However often a token is requested, the spent refresh token is not sent again.
    for _ in 0..3 {
        let error = fixture
            .session()
            .access_token(&TokenRequest::default())
            .unwrap_err();
        assert!(matches!(
            error,
            Error::SignInNeeded {
                why: SignInNeeded::ExtensionLost,
                ..
            }
        ));
        assert_eq!(
            (
                fixture.count(Endpoint::Exchange),
                fixture.count(Endpoint::Refresh)
            ),
            (1, 1)
        );
    }
    fixture.sign_in(USER);
    fixture.token();
}

#[test]
fn rule_21_after_a_crash_one_plain_refresh_clears_the_exchange_mark() {
    // After half of its life, the sign-in is extended once it is known that it was not.
    for (days, decision, exchanges) in [
        (1, Decision::Renewed, 0),
        (60, Decision::Extended, 1),
        (85, Decision::Extended, 1),
    ] {
        let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
        fixture.advance_seconds(days * DAY);
        let mut record = fixture.record();
        record.exchange_started = true;
        fixture
            .keychain
            .set(&fixture.item(), &record.to_record())
            .unwrap();
        let issued = fixture
            .session()
            .access_token(&TokenRequest::default())
            .unwrap();
        assert_eq!(issued.decision, decision);
        assert_eq!(
            (
                fixture.count(Endpoint::Exchange),
                fixture.count(Endpoint::Refresh)
            ),
            (exchanges, 1)
        );
        assert!(!fixture.record().exchange_started);
        // No script has the token of the plain refresh.
        let ended = |notice: &Notice| matches!(notice, Notice::ExtendedAnyway { .. });
        assert!(!fixture.notices().iter().any(ended));
    }
}

#[test]
fn a_keychain_that_cannot_be_written_prevents_an_exchange() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(60 * DAY);
    fixture
        .keychain
        .fail_always(Call::Set, KeychainReason::Locked);
    let error = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(matches!(error, Error::Keychain { .. }), "{error}");
    assert_eq!(fixture.count(Endpoint::Token), 1, "only the sign-in itself");
    fixture.keychain.heal();
    fixture.token();
}

/// The keychain fails between the two writes of an extension: the new refresh token is lost, and
/// that is an error, not a token that works for half an hour.
#[test]
fn rule_20_an_extension_that_cannot_be_stored_is_an_error() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(60 * DAY);
    let gate = Gate::new();
    let held = Fault::HoldBefore(gate.clone());
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, held));
    let session = fixture.session();
    let asked =
        std::thread::spawn(move || session.access_token(&TokenRequest::default()).map(|_| ()));
    gate.await_arrivals(1);
    fixture
        .keychain
        .fail_always(Call::Set, KeychainReason::Locked);
    gate.open();
    let error = asked.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Keychain { .. }), "{error}");
    fixture.keychain.heal();
    // The mark says that the old token may be spent, so that the loss is reported, not guessed.
    assert!(fixture.record().exchange_started);
}

/// Extends the sign-in. `meanwhile` runs after the mark was stored and before the portal answers.
fn extend_while(
    fixture: &Fixture,
    keychain: Arc<dyn SecretStore>,
    meanwhile: impl FnOnce(),
) -> Result<UsableToken, Error> {
    fixture.advance_seconds(60 * DAY);
    let gate = Gate::new();
    let held = Fault::HoldBefore(gate.clone());
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, held));
    let connection = fixture.store().load(&fixture.connection.id).unwrap();
    let session = Session::new(fixture.store(), connection, keychain, fixture.context());
    let asked = std::thread::spawn(move || session.access_token(&TokenRequest::default()));
    gate.await_arrivals(1);
    meanwhile();
    gate.open();
    asked.join().unwrap()
}

fn said(fixture: &Fixture, text: &str) -> bool {
    fixture
        .notices()
        .iter()
        .any(|notice| matches!(notice, Notice::Other { message } if message.contains(text)))
}

#[test]
fn a_failed_write_of_an_extension_is_repeated() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let old = fixture.refresh_token();
    let keychain = fixture.keychain.clone();
    let token = extend_while(&fixture, Arc::new(keychain.clone()), || {
        keychain.fail_next(Call::Set, KeychainReason::Refused);
    });
    assert_eq!(token.unwrap().decision, Decision::Extended);
    assert_ne!(fixture.refresh_token(), old);
    assert!(fixture
        .portal
        .accepts_refresh_token(&fixture.refresh_token()));
    assert!(!fixture.record().exchange_started);
    assert_eq!(fixture.count(Endpoint::Revoke), 0);
}

#[test]
fn an_extension_that_no_record_has_is_revoked() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let keychain = fixture.keychain.clone();
    let error = extend_while(&fixture, Arc::new(keychain.clone()), || {
        keychain.fail_always(Call::Set, KeychainReason::Refused);
    });
    assert!(matches!(error, Err(Error::Keychain { .. })), "{error:?}");
    assert!(said(&fixture, "was not stored, so it was revoked"));
    assert_eq!(fixture.portal.live_refresh_tokens(), 0);
}

/// Stores every value, but reports that the calls had no answer.
struct LateAnswers {
    inner: MemoryStore,
    late: Arc<AtomicBool>,
    /// Whether reads have no answer, either.
    reads: bool,
}

impl LateAnswers {
    fn answer<T>(&self, value: T, is_late: bool) -> Result<T, KeychainError> {
        if is_late && self.late.load(Ordering::SeqCst) {
            return Err(KeychainError::new(
                "late",
                KeychainReason::Timeout,
                "no answer",
            ));
        }
        Ok(value)
    }
}

impl SecretStore for LateAnswers {
    fn name(&self) -> &'static str {
        "late"
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        self.answer(self.inner.get(item)?, self.reads)
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        self.inner.set(item, secret)?;
        self.answer((), true)
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        self.inner.delete(item)
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        self.inner.accounts()
    }
}

#[test]
fn an_extension_that_is_stored_without_an_answer_is_good_or_at_least_not_revoked() {
    for reads in [false, true] {
        let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
        let late = Arc::new(AtomicBool::new(false));
        let keychain = LateAnswers {
            inner: fixture.keychain.clone(),
            late: Arc::clone(&late),
            reads,
        };
        let result = extend_while(&fixture, Arc::new(keychain), || {
            late.store(true, Ordering::SeqCst);
        });
        if reads {
            assert!(matches!(result, Err(Error::Keychain { .. })), "{result:?}");
            assert!(said(&fixture, "may not be stored"));
        } else {
            assert_eq!(result.unwrap().decision, Decision::Extended);
        }
        assert_eq!(fixture.count(Endpoint::Revoke), 0, "{reads}");
        // The next process finds the new refresh token.
        fixture.advance_seconds(HOUR);
        fixture.token();
    }
}

#[test]
fn a_new_access_token_that_cannot_be_stored_is_still_returned() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(HOUR);
    fixture
        .keychain
        .fail_next(Call::Set, KeychainReason::Refused);
    assert!(fixture.portal.accepts_access_token(&fixture.token()));
    assert!(matches!(fixture.notices()[..], [Notice::Other { .. }]));
}

#[test]
fn a_portal_without_exchange_is_remembered_and_the_end_of_the_sign_in_is_reported() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise105);
    fixture.advance_seconds(8 * DAY);
    fixture.token();
    fixture.advance_seconds(HOUR);
    fixture.token();
    assert_eq!(
        fixture.count(Endpoint::Exchange),
        1,
        "asked once, then remembered"
    );
    assert_eq!(fixture.count(Endpoint::Refresh), 2);
    assert!(fixture.record().exchange_unsupported);
    assert_eq!(fixture.notices(), []);
    fixture.advance_seconds(4 * DAY);
    fixture.token();
    assert!(matches!(
        fixture.notices()[..],
        [Notice::ExpiresSoon { .. }]
    ));
    let status = fixture.store().load(&fixture.connection.id).unwrap().status;
    assert_eq!(status.extendable, Some(false));
}

#[test]
fn a_portal_that_refuses_to_extend_is_reported_with_the_end_of_the_sign_in() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.portal.set(|rules| {
        let refusal = json!({"error": {"code": 400, "error": "invalid_request", "message": "no"}});
        rules.fault_always(Endpoint::Exchange, Fault::Json(refusal));
    });
    fixture.advance_seconds(88 * DAY);
    fixture.token();
    assert!(
        matches!(
            fixture.notices()[..],
            [Notice::Other { .. }, Notice::ExpiresSoon { .. }]
        ),
        "{:?}",
        fixture.notices()
    );
    let status = fixture.store().load(&fixture.connection.id).unwrap().status;
    assert_eq!(status.extendable, Some(true), "it may work another time");
}

/// A sign-in that will be extended as soon as no token is in use causes no warning, however soon it
/// would end.
#[test]
fn a_postponed_extension_causes_no_warning() {
    let fixture = Fixture::new(PortalVersion::Enterprise114);
    fixture
        .portal
        .set(|rules| rules.refresh_minutes_max = 20_160);
    fixture.sign_in(USER);
    fixture.advance_seconds(11 * DAY + 12 * HOUR);
    let soon = fixture.portal.clock().now() + jiff::SignedDuration::from_mins(30);
    fixture.change(|tokens| tokens.access_tokens_valid_until = Some(soon));
    let issued = fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    assert_eq!(fixture.notices(), []);
}

#[test]
fn a_failure_stays_on_record_until_the_next_sign_in() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let noted = || {
        let status = fixture.store().load(&fixture.connection.id).unwrap().status;
        status.last_failure
    };
    fixture
        .keychain
        .fail_next(Call::Get, KeychainReason::Locked);
    fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(noted().unwrap().contains("is locked"));
    fixture.advance_seconds(HOUR);
    fixture.token();
    assert!(noted().is_some());
    fixture.sign_in(USER);
    assert_eq!(noted(), None);
}

#[test]
fn only_a_sign_in_that_the_portal_ended_is_shown_as_ended() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let status = || fixture.store().load(&fixture.connection.id).unwrap().status;
    #[cfg(unix)]
    {
        let name = std::process::Command::new("uname").arg("-n").output();
        let name = String::from_utf8(name.unwrap().stdout).unwrap();
        assert_eq!(status().machine.as_deref(), Some(name.trim()));
    }
    let end = status().refresh_expires_at.unwrap();
    fixture.advance_seconds(HOUR);
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Refresh, Fault::Status(404)));
    fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert_eq!(status().refresh_expires_at, Some(end));
    fixture.portal.revoke_all();
    fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    let now = fixture.portal.clock().now().as_second();
    assert_eq!(status().refresh_expires_at.unwrap().as_second(), now);
}

#[test]
fn two_weeks_of_jobs_lose_neither_a_sign_in_nor_a_token() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    // Fourteen days, so that the run crosses every stage of a sign-in's life several times.
    fixture
        .portal
        .set(|rules| rules.refresh_minutes_max = 20_160);
    fixture.sign_in(USER);
    let mut held: Vec<(String, i64)> = Vec::new();
    for job in 0..(2 * 14 * 72_u64) {
        fixture.advance_seconds(20 * 60);
        if job % 72 == 0 {
            fixture.session().refresh(ExtendRule::PastHalf).unwrap();
        }
        let now = fixture.portal.clock().now();
        let issued = fixture
            .session()
            .access_token(&TokenRequest::default())
            .unwrap();
        held.push((
            issued.access.secret.expose().to_owned(),
            issued.access.expires_at.as_second(),
        ));
        held.retain(|(_, end)| *end > now.as_second() + 60);
        for (token, _) in &held {
            assert!(
                fixture.portal.accepts_access_token(token),
                "job {job} lost its token"
            );
        }
    }
    assert!(
        fixture.count(Endpoint::Exchange) >= 3,
        "{}",
        fixture.count(Endpoint::Exchange)
    );
    assert_eq!(fixture.notices(), []);
}

#[test]
fn rule_24b_a_secret_is_sent_only_to_its_binding() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.advance_seconds(2 * HOUR);
    let path = fixture
        .store()
        .folder(&fixture.connection.id)
        .join("meta.json");
    let meta = std::fs::read_to_string(&path).unwrap();
    let other = Portal::start(PortalVersion::Enterprise114);
    std::fs::write(&path, meta.replace(&fixture.portal.url(), &other.url())).unwrap();
    let requests = fixture.portal.requests().len();
    for attempt in [
        fixture
            .session()
            .access_token(&TokenRequest::default())
            .map(|_| ()),
        fixture.session().whoami().map(|_| ()),
    ] {
        match attempt.unwrap_err() {
            Error::Keychain { error, .. } => assert_eq!(error.reason, KeychainReason::Mismatch),
            other => panic!("{other}"),
        }
    }
    assert_eq!(fixture.portal.requests().len(), requests);
    assert_eq!(other.connections(), 0);
    assert_eq!(
        fixture.session().sign_out(false).unwrap(),
        SignedOut::Forgotten
    );
    assert_eq!(other.connections(), 0);
}

#[test]
fn deleted_and_damaged_records_are_reported() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.keychain.delete(&fixture.item()).unwrap();
    let reason = |fixture: &Fixture| match fixture.session().access_token(&TokenRequest::default())
    {
        Err(Error::Keychain { error, item, .. }) => (error.reason, item),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(&fixture),
        (KeychainReason::Lost, Some(ItemKind::Tokens))
    );
    fixture
        .keychain
        .set(&fixture.item(), &Secret::new("garbage".into()))
        .unwrap();
    assert_eq!(
        reason(&fixture),
        (KeychainReason::Lost, Some(ItemKind::Tokens))
    );
    fixture.sign_in(USER);
    fixture.token();
}

#[test]
fn rule_22_signing_out_deletes_the_secrets_whatever_the_portal_answers() {
    for (fault, expected) in [
        (None, SignedOut::Revoked),
        (Some(Fault::Status(503)), SignedOut::NotRevoked),
        (Some(Fault::Status(404)), SignedOut::NotRevoked),
        (Some(Fault::ResetBefore), SignedOut::NotRevoked),
    ] {
        let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
        let token = fixture.refresh_token();
        if let Some(fault) = fault {
            fixture
                .portal
                .set(|rules| rules.fault_always(Endpoint::Revoke, fault));
        }
        assert_eq!(fixture.session().sign_out(false).unwrap(), expected);
        assert!(fixture.keychain.get(&fixture.item()).unwrap().is_none());
        let warned = matches!(fixture.notices()[..], [Notice::NotRevoked { .. }]);
        assert_eq!(warned, expected == SignedOut::NotRevoked);
        assert_eq!(fixture.portal.accepts_refresh_token(&token), warned);
        assert_eq!(
            fixture.session().sign_out(false).unwrap(),
            SignedOut::Nothing
        );
    }
}

#[test]
fn a_sign_in_that_replaces_another_revokes_it_after_it_is_stored() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let old = fixture.refresh_token();
    fixture.sign_in(OTHER_USER);
    assert!(!fixture.portal.accepts_refresh_token(&old));
    assert!(fixture
        .portal
        .accepts_refresh_token(&fixture.refresh_token()));
    let pending = fixture.pending(USER);
    assert_eq!(fixture.portal.live_refresh_tokens(), 2);
    fixture
        .keychain
        .fail_next(Call::Set, KeychainReason::Locked);
    assert!(fixture.session().accept(&pending).is_err());
    // What could not be stored was revoked.
    assert_eq!(fixture.portal.live_refresh_tokens(), 1);
    assert!(fixture
        .portal
        .accepts_refresh_token(&fixture.refresh_token()));
}

#[test]
fn a_sign_in_that_is_not_stored_is_revoked() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let live = fixture.portal.live_refresh_tokens();
    let pending = fixture.pending(OTHER_USER);
    assert_eq!(fixture.portal.live_refresh_tokens(), live + 1);
    fixture.session().discard(&pending);
    assert_eq!(fixture.portal.live_refresh_tokens(), live);
    let seeded = fixture.portal.seed_user(USER);
    let stray = || Secret::new(seeded["refresh_token"].as_str().unwrap().to_owned());
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Revoke, Fault::Status(404)));
    assert!(!fixture.session().revoke_stray(stray()));
    assert!(matches!(fixture.notices()[..], [Notice::NotRevoked { .. }]));
    assert!(fixture.session().revoke_stray(stray()));
    assert!(!fixture.portal.accepts_refresh_token(stray().expose()));
}

#[test]
fn a_sign_in_that_is_not_stored_in_time_is_revoked_all_the_same() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let old = fixture.refresh_token();
    let late = || {
        let context = Context {
            deadline: Deadline::after(Duration::ZERO),
            ..fixture.context()
        };
        let connection = fixture.store().load(&fixture.connection.id).unwrap();
        let keychain = Arc::new(fixture.keychain.clone());
        Session::new(fixture.store(), connection, keychain, context)
    };
    let pending = fixture.pending(OTHER_USER);
    late().discard(&pending);
    assert_eq!(fixture.portal.live_refresh_tokens(), 1);
    // What was revoked is not stored afterwards.
    assert!(fixture.session().accept(&pending).is_err());
    assert_eq!(fixture.refresh_token(), old);
    // The sign-in that is replaced is stored nowhere, either.
    late().accept(&fixture.pending(OTHER_USER)).unwrap();
    assert!(!fixture.portal.accepts_refresh_token(&old));
    assert_eq!(fixture.notices(), []);
}

#[test]
fn a_sign_in_that_cannot_be_revoked_is_deleted_here() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    let token = fixture.refresh_token();
    assert_eq!(
        fixture.session().sign_out(true).unwrap(),
        SignedOut::Forgotten
    );
    assert!(fixture.portal.accepts_refresh_token(&token));
    assert_eq!(fixture.count(Endpoint::Revoke), 0);
    assert_eq!(fixture.decisions().last(), Some(&Decision::SignedOut));
    assert_eq!(
        fixture.session().sign_out(true).unwrap(),
        SignedOut::Nothing
    );
    assert_eq!(
        fixture.decisions(),
        [Decision::SignedIn, Decision::SignedOut]
    );
}

#[test]
fn rule_5_portals_of_every_version_sign_in() {
    for manner in [
        PortalVersion::Online,
        PortalVersion::Enterprise106,
        PortalVersion::Enterprise1091,
        PortalVersion::Enterprise114,
    ] {
        let fixture = Fixture::signed_in(manner);
        assert_eq!(
            fixture.session().whoami().unwrap(),
            Identity::User {
                username: USER.into()
            }
        );
        fixture.advance_seconds(HOUR);
        fixture.token();
    }
}

#[test]
fn rule_12_a_code_of_one_portal_does_not_finish_a_sign_in_to_another() {
    let (one, other) = (
        Fixture::new(PortalVersion::Enterprise114),
        Fixture::new(PortalVersion::Enterprise114),
    );
    let mut sign_in = one
        .session()
        .begin_sign_in(&SignInOptions::default())
        .unwrap();
    let foreign = other
        .session()
        .begin_sign_in(&SignInOptions::default())
        .unwrap();
    let landing = other.portal.authorize(foreign.url(), USER);
    if let Some(url) = landing.url() {
        if url.contains("state=") {
            assert!(matches!(
                sign_in.read_pasted(url),
                AuthorizationResponse::OtherPortal(_)
            ));
        }
    }
    let AuthorizationResponse::Code(code) = sign_in.read_pasted(&landing.code()) else {
        panic!("a bare code");
    };
    let error = one.session().exchange_code(&mut sign_in, code).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                why: Refusal::Code(_),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_application_gets_tokens_by_its_secret_and_keeps_no_refresh_token() {
    let fixture = Fixture::application(PortalVersion::Enterprise114);
    let (issued, info) = fixture.session().sign_in_application().unwrap();
    assert_eq!(info.app_id, SERVICE_ID);
    assert!(issued.username.is_none() && issued.sign_in_expires_at.is_none());
    assert!(fixture.record().refresh.is_none());
    assert_eq!(fixture.token(), issued.access.secret.expose());
    assert!(
        matches!(fixture.session().whoami().unwrap(), Identity::Application(app) if app.app_id == SERVICE_ID)
    );
    fixture.advance_seconds(3 * HOUR);
    assert_ne!(fixture.token(), issued.access.secret.expose());
    let long = TokenRequest {
        explicit: true,
        ..TokenRequest::lasting(MinTtl::Seconds(6 * 3600))
    };
    let issued = fixture.session().access_token(&long).unwrap();
    assert!(issued.access.seconds_granted() >= 6 * 3600);
    let item = Item::of(&fixture.connection, ItemKind::ClientSecret);
    fixture.keychain.delete(&item).unwrap();
    fixture.advance_seconds(20 * HOUR);
    match fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err()
    {
        Error::Keychain { item, error, .. } => {
            assert_eq!(item, Some(ItemKind::ClientSecret));
            assert!(error.detail.contains("client secret"), "{error}");
        }
        other => panic!("{other}"),
    }
}

/// Two hours are granted by default. A longer life is requested in full minutes, with one minute to
/// spare.
#[test]
fn an_application_requests_the_life_that_is_wanted() {
    for (seconds, minutes) in [
        (6600, None),
        (6601, Some("112")),
        (6 * 3600, Some("362")),
        (100 * 24 * 3600, Some("20160")),
    ] {
        let fixture = Fixture::application(PortalVersion::Enterprise114);
        let want = TokenRequest::lasting(MinTtl::Seconds(seconds));
        fixture.session().access_token(&want).unwrap();
        let sent = fixture.portal.requests_to(Endpoint::Token);
        assert_eq!(sent[0].param("expiration"), minutes, "{seconds}");
    }
}

#[test]
fn a_sign_in_of_another_machine_is_reported_as_such() {
    let fixture = Fixture::signed_in(PortalVersion::Enterprise114);
    fixture.keychain.delete(&fixture.item()).unwrap();
    let (lock, _) = fixture
        .store()
        .lock(&fixture.connection, Duration::ZERO, &fixture.context())
        .unwrap();
    let machine = || Some("another-machine".to_owned());
    fixture
        .store()
        .update(&lock, |c| c.status.machine = machine())
        .unwrap();
    drop(lock);
    match fixture
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err()
    {
        Error::SignInNeeded { why, .. } => {
            assert_eq!(why, SignInNeeded::OtherMachine("another-machine".into()));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn rule_23_endpoints_come_only_from_the_stored_url() {
    let fixture = Fixture::new(PortalVersion::Enterprise114);
    let foreign = crate::support::portal::ForeignServer::start(&fixture.portal);
    let host = foreign.url().replace("https://", "").replace("/server", "");
    fixture.portal.set(|rules| rules.names_host = Some(host));
    fixture.sign_in(USER);
    fixture.advance_seconds(HOUR);
    fixture.session().whoami().unwrap();
    fixture.session().sign_out(false).unwrap();
    foreign.assert_no_connection();
}
