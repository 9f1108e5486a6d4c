//! The one decision, against the practice portal: which token, when, from where. In process, so that the clock and the
//! keychain are the test's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use age_oauth::testing::{Call, ClientSecret, MemoryStore, Tokens};
use age_oauth::{
    AccessToken, AuthorizationResponse, Clock, Connection, ConnectionStore, Context, Decision,
    Environment, Error, Event, ExtendRule, Grant, Identity, Item, ItemKind, KeychainReason, MinTtl,
    Notice, Observer, PendingSignIn, RedirectUri, Refusal, Secret, SecretStore, Session,
    SignInNeeded, SignInOptions, SignedOut, Tls, TokenRequest, UsableToken,
};
use serde_json::json;

use crate::support::portal::{
    Endpoint, Fault, Portal, PortalVersion, APP_ID, OTHER_USER, SERVICE_ID, SERVICE_SECRET, USER,
};

/// A store, a keychain and a portal whose clock both share.
struct World {
    portal: Portal,
    folder: tempfile::TempDir,
    keychain: MemoryStore,
    heard: Arc<Mutex<Vec<Event>>>,
    connection: Connection,
}

impl World {
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
        let world = Self {
            portal,
            folder,
            keychain: MemoryStore::new(),
            heard: Arc::default(),
            connection,
        };
        let pem = world.portal.ca_pem().as_bytes().to_vec();
        let context = world.context();
        store.add(&world.connection, Some(&pem), &context).unwrap();
        world
    }

    fn application(manner: PortalVersion) -> Self {
        let world = Self::with(manner, |connection| {
            connection.grant = Grant::Application;
            connection.client_id = SERVICE_ID.into();
        });
        let secret = ClientSecret {
            binding: age_oauth::testing::Binding::of(&world.connection),
            secret: Secret::new(SERVICE_SECRET.into()),
        };
        let item = Item::of(&world.connection, ItemKind::ClientSecret);
        world.keychain.set(&item, &secret.to_record()).unwrap();
        world
    }

    fn signed_in(manner: PortalVersion) -> Self {
        let world = Self::new(manner);
        world.sign_in(USER);
        world
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

    /// A session as another process would make one.
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
        self.session().accept(pending).unwrap();
    }

    fn token(&self) -> String {
        let issued = self
            .session()
            .access_token(&TokenRequest::default())
            .unwrap();
        issued.access.secret.expose().to_owned()
    }

    fn pass(&self, seconds: u64) {
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

    /// What was decided so far.
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
        let sign_in = session.begin_sign_in(&SignInOptions::default()).unwrap();
        let pasted = self.portal.authorize(sign_in.url(), user).code();
        let AuthorizationResponse::Code(code) = sign_in.read_pasted(&pasted) else {
            panic!("no code: {pasted}");
        };
        session.exchange_code(sign_in, code).unwrap()
    }

    /// What `want` gets that waits for the lock while `change` happens.
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
fn a_stored_token_is_handed_out_without_a_word_to_anybody() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let requests = world.portal.requests().len();
    let first = world.token();
    assert_eq!(world.token(), first);
    let decided = [Decision::SignedIn, Decision::Cached, Decision::Cached];
    assert_eq!(world.decisions(), decided);
    world.pass(1739);
    assert_eq!(world.token(), first);
    assert_eq!(world.portal.requests().len(), requests);
    world.pass(2);
    assert_ne!(world.token(), first);
    assert_eq!(world.count(Endpoint::Refresh), 1);
}

#[test]
fn rule_20_a_renewal_keeps_the_refresh_token_and_its_end() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let (before, end) = (
        world.refresh_token(),
        world.record().refresh.unwrap().known_or_assumed_expiry(),
    );
    world.pass(2 * HOUR);
    world.token();
    assert_eq!(world.refresh_token(), before);
    assert_eq!(
        world.record().refresh.unwrap().known_or_assumed_expiry(),
        end
    );
    let status = world.store().load(&world.connection.id).unwrap().status;
    assert_eq!(status.username.as_deref(), Some(USER));
    assert_eq!(
        status.refresh_expires_at.map(jiff::Timestamp::as_second),
        Some(end.as_second())
    );
    assert_eq!(status.last_failure, None);
}

#[test]
fn half_of_the_granted_life_is_kept_for_whoever_asks_for_it() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let first = world.token();
    world.pass(901);
    assert_eq!(world.token(), first);
    let want = TokenRequest::lasting(MinTtl::HalfOfGranted);
    let second = world.session().access_token(&want).unwrap();
    assert_ne!(second.access.secret.expose(), first);
}

#[test]
fn a_portal_that_grants_less_than_wanted_is_asked_once_a_minute() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(120);
    let want = || TokenRequest {
        explicit: true,
        ..TokenRequest::lasting(MinTtl::Seconds(7200))
    };
    let issued = world.session().access_token(&want()).unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    let again = world.session().access_token(&want()).unwrap();
    assert!(issued.access.secret.matches(again.access.secret.expose()));
    assert_eq!(world.count(Endpoint::Refresh), 1);
    let short = world
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

/// A second is lost on the way here, which is no reason for a word.
#[test]
fn a_token_that_lives_a_second_less_than_wanted_is_told_by_nobody() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    for (wanted, said) in [(1800, 0), (1801, 0), (1802, 1)] {
        let want = TokenRequest {
            force: true,
            ..TokenRequest::lasting(MinTtl::Seconds(wanted))
        };
        world.session().access_token(&want).unwrap();
        assert_eq!(world.notices().len(), said, "{wanted}");
    }
    // A new one is better where the portal grants all that is wanted, and only there.
    for (wanted, decision) in [(1800, Decision::Renewed), (1801, Decision::Cached)] {
        world.pass(1);
        let want = TokenRequest::lasting(MinTtl::Seconds(wanted));
        let issued = world.session().access_token(&want).unwrap();
        assert_eq!(issued.decision, decision, "{wanted}");
    }
}

/// Whoever waited for the lock to renew gets what was minted while they waited.
#[test]
fn a_token_minted_by_another_while_one_waits_is_new_enough() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let want = TokenRequest {
        force: true,
        ..TokenRequest::default()
    };
    let issued = world.waiting(want, || {
        world.change(|tokens| {
            tokens.access.as_mut().unwrap().secret = Secret::new("minted-meanwhile".into());
        });
    });
    let issued = issued.unwrap();
    assert_eq!(issued.decision, Decision::RenewedByAnother);
    assert!(issued.access.secret.matches("minted-meanwhile"));
    assert_eq!(world.count(Endpoint::Refresh), 0);
}

#[test]
fn a_record_without_a_refresh_token_is_no_sign_in() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.change(|tokens| tokens.refresh = None);
    world.pass(2 * HOUR);
    match world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err()
    {
        Error::SignInNeeded { why, .. } => assert_eq!(why, SignInNeeded::Never),
        other => panic!("{other}"),
    }
}

#[test]
fn the_tokens_read_under_the_lock_are_the_ones_that_are_used() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(2 * HOUR);
    // Meanwhile somebody else signs in, and that sign-in's token is stale again.
    let seeded = world.portal.seed_user(USER);
    let waiting = world.waiting(TokenRequest::default(), || {
        world.change(|tokens| {
            let refresh = tokens.refresh.as_mut().unwrap();
            refresh.secret = Secret::new(seeded["refresh_token"].as_str().unwrap().to_owned());
        });
    });
    waiting.unwrap();
    let sent = &world.portal.requests_to(Endpoint::Refresh)[0];
    assert_eq!(
        sent.form["refresh_token"],
        seeded["refresh_token"].as_str().unwrap()
    );
}

#[test]
fn a_portal_that_is_away_leaves_the_stored_token_in_use() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let first = world.token();
    world
        .portal
        .set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Status(503)));
    world.pass(1770);
    assert_eq!(world.token(), first);
    assert!(matches!(
        world.notices()[..],
        [Notice::Unreachable {
            seconds_left: 29..=30,
            ..
        }]
    ));
    let explicit = TokenRequest {
        explicit: true,
        ..TokenRequest::default()
    };
    let error = world.session().access_token(&explicit).unwrap_err();
    assert!(error.is_transient());
    world.pass(16);
    let error = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    let failure = world
        .store()
        .load(&world.connection.id)
        .unwrap()
        .status
        .last_failure;
    assert!(failure.unwrap().contains("503"));
    world.portal.set(|rules| {
        rules.clear_faults();
    });
    assert_ne!(world.token(), first);
}

#[test]
fn rule_20_only_the_portals_own_refusal_means_sign_in_again_and_nothing_is_deleted() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let before = world.refresh_token();
    world.pass(2 * HOUR);
    for fault in [
        Fault::Status(500),
        Fault::Html200,
        Fault::ResetAfter,
        Fault::InvalidUtf8,
    ] {
        world
            .portal
            .set(|rules| rules.fault_times(Endpoint::Refresh, fault.clone(), 3));
        let error = world
            .session()
            .access_token(&TokenRequest::default())
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert_eq!(world.refresh_token(), before);
        world.portal.set(|rules| {
            rules.clear_faults();
        });
    }
    world.portal.revoke_all();
    let error = world
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
    assert_eq!(world.refresh_token(), before);
}

#[test]
fn an_expired_sign_in_is_told_as_expired() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(200 * DAY);
    let error = world
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
    let world = World::signed_in(PortalVersion::Enterprise114);
    let first = world.token();
    world.portal.expire_access_tokens();
    let identity = world.session().whoami().unwrap();
    assert_eq!(
        identity,
        Identity::User {
            username: USER.into()
        }
    );
    assert_ne!(world.token(), first);
    assert_eq!(world.count(Endpoint::Refresh), 1);
    world.portal.set(|rules| {
        rules.app_mut(APP_ID).http_referrers = vec!["https://elsewhere.example".into()];
    });
    let error = world.session().whoami().unwrap_err();
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
    assert_eq!(world.count(Endpoint::Refresh), 2);
}

#[test]
fn a_sign_in_is_extended_past_half_of_its_life_when_nobody_can_lose_a_token() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let record = world.record();
    let refresh = record.refresh.unwrap();
    let life = refresh
        .known_or_assumed_expiry()
        .duration_since(refresh.issued_at)
        .as_secs()
        .unsigned_abs();
    let before = world.refresh_token();
    world.pass(life / 2 + 1);
    let issued = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Extended);
    assert_ne!(world.refresh_token(), before);
    assert!(!world.portal.accepts_refresh_token(&before));
    assert_eq!(world.count(Endpoint::Exchange), 1);
    assert!(!world.record().exchange_started);
    assert_eq!(world.notices(), []);
}

/// Whatever was minted from the spent refresh token died with it.
#[test]
fn an_exchange_leaves_nothing_of_what_it_ended() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let now = world.portal.clock().now();
    world.change(|tokens| {
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
    let old = world.record();
    let refreshed = world.session().refresh(ExtendRule::Now).unwrap();
    assert_eq!(refreshed.token.decision, Decision::Extended);
    let record = world.record();
    let access = record.access.unwrap();
    assert!(!access.secret.matches(old.access.unwrap().secret.expose()));
    assert_eq!(record.access_tokens_valid_until, Some(access.expires_at));
    assert!(record.servers.is_empty() && !record.exchange_unsupported);
    assert_eq!(record.username.as_deref(), Some(USER));
}

#[test]
fn in_the_last_tenth_a_sign_in_is_extended_anyway_and_that_is_said() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let refresh = world.record().refresh.unwrap();
    let life = refresh
        .known_or_assumed_expiry()
        .duration_since(refresh.issued_at)
        .as_secs()
        .unsigned_abs();
    world.pass(life / 10 * 9 - 600);
    // A script holds a token that lives another half hour.
    world.portal.set(|rules| rules.exchange = false);
    world.change(|tokens| tokens.exchange_unsupported = true);
    world.token();
    world.change(|tokens| tokens.exchange_unsupported = false);
    world.portal.set(|rules| rules.exchange = true);
    world.pass(900);
    let want = TokenRequest::lasting(MinTtl::Seconds(1000));
    let issued = world.session().access_token(&want).unwrap();
    assert_eq!(issued.decision, Decision::Extended);
    let said = |notice: &Notice| matches!(notice, Notice::ExtendedAnyway { .. });
    assert!(world.notices().iter().any(said));
}

#[test]
fn rule_21_a_lost_answer_is_decided_by_one_plain_refresh() {
    // The portal never acted: the old token is still good.
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(60 * DAY);
    world
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetBefore));
    let issued = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    assert_eq!(
        (
            world.count(Endpoint::Exchange),
            world.count(Endpoint::Refresh)
        ),
        (1, 1)
    );
    assert!(!world.record().exchange_started);
    assert!(world.notices().contains(&Notice::ExtensionNotApplied {
        connection: "prod".into()
    }));

    // The portal acted, and its answer was lost: a person must sign in.
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(60 * DAY);
    world
        .portal
        .set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetAfter));
    // However often somebody asks: the spent token is sent no more.
    for _ in 0..3 {
        let error = world
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
                world.count(Endpoint::Exchange),
                world.count(Endpoint::Refresh)
            ),
            (1, 1)
        );
    }
    world.sign_in(USER);
    world.token();
}

#[test]
fn rule_21_after_a_crash_the_mark_is_settled_by_one_plain_refresh() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(60 * DAY);
    let mut record = world.record();
    record.exchange_started = true;
    world
        .keychain
        .set(&world.item(), &record.to_record())
        .unwrap();
    let issued = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    assert_eq!(
        (
            world.count(Endpoint::Exchange),
            world.count(Endpoint::Refresh)
        ),
        (0, 1)
    );
    assert!(!world.record().exchange_started);
}

#[test]
fn a_keychain_that_cannot_be_written_stops_an_exchange_before_it_begins() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(60 * DAY);
    world
        .keychain
        .fail_always(Call::Set, KeychainReason::Locked);
    let error = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(matches!(error, Error::Keychain { .. }), "{error}");
    assert_eq!(world.count(Endpoint::Token), 1, "only the sign-in itself");
    world.keychain.heal();
    world.token();
}

#[test]
fn a_new_access_token_that_cannot_be_stored_still_serves() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(HOUR);
    world.keychain.fail_next(Call::Set, KeychainReason::Refused);
    assert!(world.portal.accepts_access_token(&world.token()));
    assert!(matches!(world.notices()[..], [Notice::Other { .. }]));
}

#[test]
fn a_portal_without_exchange_is_remembered_and_its_end_is_announced() {
    let world = World::signed_in(PortalVersion::Enterprise105);
    world.pass(8 * DAY);
    world.token();
    world.pass(HOUR);
    world.token();
    assert_eq!(
        world.count(Endpoint::Exchange),
        1,
        "asked once, then remembered"
    );
    assert_eq!(world.count(Endpoint::Refresh), 2);
    assert!(world.record().exchange_unsupported);
    assert_eq!(world.notices(), []);
    world.pass(4 * DAY);
    world.token();
    assert!(matches!(world.notices()[..], [Notice::ExpiresSoon { .. }]));
    let status = world.store().load(&world.connection.id).unwrap().status;
    assert_eq!(status.extendable, Some(false));
}

#[test]
fn a_portal_that_refuses_to_extend_is_told_with_the_end_of_the_sign_in() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.portal.set(|rules| {
        let refusal = json!({"error": {"code": 400, "error": "invalid_request", "message": "no"}});
        rules.fault_always(Endpoint::Exchange, Fault::Json(refusal));
    });
    world.pass(88 * DAY);
    world.token();
    assert!(
        matches!(
            world.notices()[..],
            [Notice::Other { .. }, Notice::ExpiresSoon { .. }]
        ),
        "{:?}",
        world.notices()
    );
    let status = world.store().load(&world.connection.id).unwrap().status;
    assert_eq!(status.extendable, Some(true), "it may work another time");
}

/// A sign-in that is extended as soon as nobody can lose a token by it is no reason for a word, however soon it would end.
#[test]
fn a_sign_in_whose_extension_waits_is_announced_by_nobody() {
    let world = World::new(PortalVersion::Enterprise114);
    world.portal.set(|rules| rules.refresh_minutes_max = 20_160);
    world.sign_in(USER);
    world.pass(11 * DAY + 12 * HOUR);
    let soon = world.portal.clock().now() + jiff::SignedDuration::from_mins(30);
    world.change(|tokens| tokens.access_tokens_valid_until = Some(soon));
    let issued = world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap();
    assert_eq!(issued.decision, Decision::Renewed);
    assert_eq!(world.notices(), []);
}

#[test]
fn a_failure_stays_on_record_until_the_next_sign_in() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let noted = || {
        let status = world.store().load(&world.connection.id).unwrap().status;
        status.last_failure
    };
    world.keychain.fail_next(Call::Get, KeychainReason::Locked);
    world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert!(noted().unwrap().contains("is locked"));
    world.pass(HOUR);
    world.token();
    assert!(noted().is_some());
    world.sign_in(USER);
    assert_eq!(noted(), None);
}

#[test]
fn a_sign_in_that_the_portal_ended_shows_as_ended_and_another_failure_does_not() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let status = || world.store().load(&world.connection.id).unwrap().status;
    #[cfg(unix)]
    {
        let name = std::process::Command::new("uname").arg("-n").output();
        let name = String::from_utf8(name.unwrap().stdout).unwrap();
        assert_eq!(status().machine.as_deref(), Some(name.trim()));
    }
    let end = status().refresh_expires_at.unwrap();
    world.pass(HOUR);
    world
        .portal
        .set(|rules| rules.fault(Endpoint::Refresh, Fault::Status(404)));
    world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    assert_eq!(status().refresh_expires_at, Some(end));
    world.portal.revoke_all();
    world
        .session()
        .access_token(&TokenRequest::default())
        .unwrap_err();
    let now = world.portal.clock().now().as_second();
    assert_eq!(status().refresh_expires_at.unwrap().as_second(), now);
}

#[test]
fn a_fortnight_of_jobs_loses_no_sign_in_and_no_script_its_token() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    // Fourteen days, so that the run crosses every stage of a sign-in's life several times.
    world.portal.set(|rules| rules.refresh_minutes_max = 20_160);
    world.sign_in(USER);
    let mut held: Vec<(String, i64)> = Vec::new();
    for job in 0..(2 * 14 * 72_u64) {
        world.pass(20 * 60);
        if job % 72 == 0 {
            world.session().refresh(ExtendRule::PastHalf).unwrap();
        }
        let now = world.portal.clock().now();
        let issued = world
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
                world.portal.accepts_access_token(token),
                "job {job} lost its token"
            );
        }
    }
    assert!(
        world.count(Endpoint::Exchange) >= 3,
        "{}",
        world.count(Endpoint::Exchange)
    );
    assert_eq!(world.notices(), []);
}

#[test]
fn rule_24b_a_secret_goes_only_where_it_belongs() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.pass(2 * HOUR);
    let path = world.store().folder(&world.connection.id).join("meta.json");
    let meta = std::fs::read_to_string(&path).unwrap();
    let other = Portal::start(PortalVersion::Enterprise114);
    std::fs::write(&path, meta.replace(&world.portal.url(), &other.url())).unwrap();
    let requests = world.portal.requests().len();
    for attempt in [
        world
            .session()
            .access_token(&TokenRequest::default())
            .map(|_| ()),
        world.session().whoami().map(|_| ()),
    ] {
        match attempt.unwrap_err() {
            Error::Keychain { error, .. } => assert_eq!(error.reason, KeychainReason::Mismatch),
            other => panic!("{other}"),
        }
    }
    assert_eq!(world.portal.requests().len(), requests);
    assert_eq!(other.connections(), 0);
    assert_eq!(
        world.session().sign_out(false).unwrap(),
        SignedOut::Forgotten
    );
    assert_eq!(other.connections(), 0);
}

#[test]
fn tokens_deleted_behind_our_back_and_garbage_are_told() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.keychain.delete(&world.item()).unwrap();
    let reason = |world: &World| match world.session().access_token(&TokenRequest::default()) {
        Err(Error::Keychain { error, item, .. }) => (error.reason, item),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(&world),
        (KeychainReason::Lost, Some(ItemKind::Tokens))
    );
    world
        .keychain
        .set(&world.item(), &Secret::new("garbage".into()))
        .unwrap();
    assert_eq!(
        reason(&world),
        (KeychainReason::Lost, Some(ItemKind::Tokens))
    );
    world.sign_in(USER);
    world.token();
}

#[test]
fn rule_22_signing_out_forgets_whatever_the_portal_says() {
    for (fault, expected) in [
        (None, SignedOut::Revoked),
        (Some(Fault::Status(503)), SignedOut::NotRevoked),
        (Some(Fault::Status(404)), SignedOut::NotRevoked),
        (Some(Fault::ResetBefore), SignedOut::NotRevoked),
    ] {
        let world = World::signed_in(PortalVersion::Enterprise114);
        let token = world.refresh_token();
        if let Some(fault) = fault {
            world
                .portal
                .set(|rules| rules.fault_always(Endpoint::Revoke, fault));
        }
        assert_eq!(world.session().sign_out(false).unwrap(), expected);
        assert!(world.keychain.get(&world.item()).unwrap().is_none());
        let told = matches!(world.notices()[..], [Notice::NotRevoked { .. }]);
        assert_eq!(told, expected == SignedOut::NotRevoked);
        assert_eq!(world.portal.accepts_refresh_token(&token), told);
        assert_eq!(world.session().sign_out(false).unwrap(), SignedOut::Nothing);
    }
}

#[test]
fn a_sign_in_that_replaces_another_revokes_it_after_it_is_stored() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let old = world.refresh_token();
    world.sign_in(OTHER_USER);
    assert!(!world.portal.accepts_refresh_token(&old));
    assert!(world.portal.accepts_refresh_token(&world.refresh_token()));
    world.keychain.fail_next(Call::Set, KeychainReason::Locked);
    let pending = world.pending(USER);
    assert!(world.session().accept(pending).is_err());
    assert!(world.portal.accepts_refresh_token(&world.refresh_token()));
}

#[test]
fn a_sign_in_that_nobody_wants_goes_back_to_the_portal() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let live = world.portal.live_refresh_tokens();
    let pending = world.pending(OTHER_USER);
    assert_eq!(world.portal.live_refresh_tokens(), live + 1);
    world.session().discard(&pending);
    assert_eq!(world.portal.live_refresh_tokens(), live);
    let seeded = world.portal.seed_user(USER);
    let stray = || Secret::new(seeded["refresh_token"].as_str().unwrap().to_owned());
    world
        .portal
        .set(|rules| rules.fault(Endpoint::Revoke, Fault::Status(404)));
    assert!(!world.session().revoke_stray(stray()));
    assert!(matches!(world.notices()[..], [Notice::NotRevoked { .. }]));
    assert!(world.session().revoke_stray(stray()));
    assert!(!world.portal.accepts_refresh_token(stray().expose()));
}

#[test]
fn a_sign_in_that_the_portal_keeps_is_forgotten_here_alone() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    let token = world.refresh_token();
    assert_eq!(
        world.session().sign_out(true).unwrap(),
        SignedOut::Forgotten
    );
    assert!(world.portal.accepts_refresh_token(&token));
    assert_eq!(world.count(Endpoint::Revoke), 0);
    assert_eq!(world.decisions().last(), Some(&Decision::SignedOut));
    assert_eq!(world.session().sign_out(true).unwrap(), SignedOut::Nothing);
    assert_eq!(world.decisions(), [Decision::SignedIn, Decision::SignedOut]);
}

#[test]
fn rule_5_portals_of_every_age_sign_in() {
    for manner in [
        PortalVersion::Online,
        PortalVersion::Enterprise106,
        PortalVersion::Enterprise1091,
        PortalVersion::Enterprise114,
    ] {
        let world = World::signed_in(manner);
        assert_eq!(
            world.session().whoami().unwrap(),
            Identity::User {
                username: USER.into()
            }
        );
        world.pass(HOUR);
        world.token();
    }
}

#[test]
fn rule_12_a_code_of_one_portal_does_not_finish_a_sign_in_to_another() {
    let (one, other) = (
        World::new(PortalVersion::Enterprise114),
        World::new(PortalVersion::Enterprise114),
    );
    let sign_in = one
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
                AuthorizationResponse::Foreign
            ));
        }
    }
    let AuthorizationResponse::Code(code) = sign_in.read_pasted(&landing.code()) else {
        panic!("a bare code");
    };
    let error = one.session().exchange_code(sign_in, code).unwrap_err();
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
    let world = World::application(PortalVersion::Enterprise114);
    let (issued, info) = world.session().sign_in_application().unwrap();
    assert_eq!(info.app_id, SERVICE_ID);
    assert!(issued.username.is_none() && issued.sign_in_expires_at.is_none());
    assert!(world.record().refresh.is_none());
    assert_eq!(world.token(), issued.access.secret.expose());
    assert!(
        matches!(world.session().whoami().unwrap(), Identity::Application(app) if app.app_id == SERVICE_ID)
    );
    world.pass(3 * HOUR);
    assert_ne!(world.token(), issued.access.secret.expose());
    let long = TokenRequest {
        explicit: true,
        ..TokenRequest::lasting(MinTtl::Seconds(6 * 3600))
    };
    let issued = world.session().access_token(&long).unwrap();
    assert!(issued.access.seconds_granted() >= 6 * 3600);
    let item = Item::of(&world.connection, ItemKind::ClientSecret);
    world.keychain.delete(&item).unwrap();
    world.pass(20 * HOUR);
    match world
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

/// Two hours are granted unasked. A longer wish is rounded up to minutes, with a minute to spare.
#[test]
fn an_application_asks_for_the_life_that_is_wanted() {
    for (seconds, minutes) in [
        (6600, None),
        (6601, Some("112")),
        (6 * 3600, Some("362")),
        (100 * 24 * 3600, Some("20160")),
    ] {
        let world = World::application(PortalVersion::Enterprise114);
        let want = TokenRequest::lasting(MinTtl::Seconds(seconds));
        world.session().access_token(&want).unwrap();
        let sent = world.portal.requests_to(Endpoint::Token);
        assert_eq!(sent[0].param("expiration"), minutes, "{seconds}");
    }
}

#[test]
fn a_sign_in_of_another_machine_is_told_as_that() {
    let world = World::signed_in(PortalVersion::Enterprise114);
    world.keychain.delete(&world.item()).unwrap();
    let (lock, _) = world
        .store()
        .lock(&world.connection, Duration::ZERO, &world.context())
        .unwrap();
    let machine = || Some("another-machine".to_owned());
    world
        .store()
        .update(&lock, |c| c.status.machine = machine())
        .unwrap();
    drop(lock);
    match world
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
fn rule_23_endpoints_come_from_the_stored_address_alone() {
    let world = World::new(PortalVersion::Enterprise114);
    let foreign = crate::support::portal::Foreign::start(&world.portal);
    world
        .portal
        .set(|rules| rules.names_host = Some(foreign.url()));
    world.sign_in(USER);
    world.pass(HOUR);
    world.session().whoami().unwrap();
    world.session().sign_out(false).unwrap();
    foreign.assert_untouched();
}
