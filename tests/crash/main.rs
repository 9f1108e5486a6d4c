//! The process ends between any two effects of a command, as if it were killed. Afterwards every
//! command works, and a sign-in is lost only if the portal no longer accepts it.
//!
//! A command first runs to its end, to count the crash points (see `src/crash.rs`), and then once
//! for each of them, from the same start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that cannot go on should stop.
#![allow(clippy::print_stdout)] // The number of crash points.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use serde_json::Value;
use support::home::{Home, Outcome, Run};
use support::invariants::{
    labels, no_secret_at_rest, sign_in_is_what_the_portal_honours, stored_refresh_token, HomeCopy,
};
use support::legacy::lay_out;
use support::openssl::OpenSsl;
use support::portal::{
    app_secret, service_secret, Endpoint, Portal, PortalVersion, Snapshot, APP_ID, SERVICE_ID, USER,
};
use support::scenario::{add, add_application, add_with, age_sign_in, expire_token, sign_in};

/// What each command starts with: `prod` and `other` are signed in, `service` is an application
/// connection.
struct Fixture {
    portal: Portal,
    home: Home,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self::empty();
        let (home, portal) = (&fixture.home, &fixture.portal);
        add_with(home, portal, "prod", &["--client-secret", app_secret()]);
        sign_in(home, portal, "prod").ok();
        add(home, portal, "other");
        sign_in(home, portal, "other").ok();
        add_application(home, portal, "service");
        fixture
    }

    fn empty() -> Self {
        Self {
            portal: Portal::start(PortalVersion::Enterprise114),
            home: Home::new(env!("CARGO_BIN_EXE_age-oauth")),
        }
    }

    fn add_words(&self, label: &str, service: bool) -> Vec<String> {
        let ca = self.portal.ca_file(self.home.path()).display().to_string();
        let id = if service { SERVICE_ID } else { APP_ID };
        let mut words = [
            "connections",
            "add",
            "--label",
            label,
            "--portal",
            &self.portal.url(),
            "--client-id",
            id,
            "--verify-ssl",
            &ca,
        ]
        .map(str::to_owned)
        .to_vec();
        if service {
            words.extend(["--auth-type", "app", "--client-secret-stdin"].map(str::to_owned));
        }
        words
    }

    /// Adds the connection `keyed`, with an API key from standard input.
    fn add_key_words(&self) -> Vec<String> {
        let mut words = self.add_words("keyed", false);
        let id = words.iter().position(|word| word == "--client-id").unwrap();
        words.drain(id..id + 2);
        let end = end_of_keys();
        let of_key = ["--auth-type", "key", "--expires", &end, "--api-key-stdin"];
        words.extend(of_key.map(str::to_owned));
        words
    }

    /// The connections that the command does not concern still work.
    #[track_caller]
    fn other_connections_work(&self) {
        for label in ["other", "service"] {
            self.home.run(["token", "--force", "-c", label]).done().ok();
        }
    }

    #[track_caller]
    fn prod_matches_the_portal(&self) -> bool {
        sign_in_is_what_the_portal_honours(&self.home, &self.portal, "prod")
    }

    /// `doctor` finds nothing that it cannot fix.
    #[track_caller]
    fn can_be_repaired(&self) {
        self.home
            .run(["doctor", "--offline", "--fix", "--yes"])
            .done();
        let said = self.home.run(["doctor", "--offline", "--json"]).done();
        let report = said.json();
        let checks = report["checks"].as_array().unwrap();
        // A missing sign-in is not damage.
        let damaged = |check: &&Value| check["severity"] == "fail" && check["check"] != "sign-in";
        let damage: Vec<_> = checks.iter().filter(damaged).collect();
        assert!(damage.is_empty(), "{damage:?}");
    }
}

/// Runs `act` once for each crash point. `after` then checks what is left; it gets the portal's
/// state from before the command, and the crash point.
fn at_each_crash_point(
    fixture: &Fixture,
    least: usize,
    act: impl Fn(&Fixture, &dyn Fn(Run) -> Run) -> Outcome,
    after: impl Fn(&Fixture, &str),
) {
    let (snapshot, files): (Snapshot, _) = (fixture.portal.snapshot(), HomeCopy::of(&fixture.home));
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_owned();
    act(fixture, &|run| run.env("AGE_OAUTH_CRASH_LOG", &path)).ok();
    let points = fs::read_to_string(&path).unwrap();
    assert!(points.lines().count() >= least, "{points}");
    for place in points.lines() {
        fixture.portal.finish_requests();
        fixture.portal.restore(&snapshot);
        files.put_back(&fixture.home);
        let number = place.split(' ').next().unwrap();
        let said = act(fixture, &|run| run.env("AGE_OAUTH_CRASH_AT", number));
        assert_eq!(said.code, -1, "at {place}: {}{}", said.stdout, said.stderr);
        fixture.portal.finish_requests();
        after(fixture, place);
    }
    println!("ended at {} crash points", points.lines().count());
}

/// Signs in with a code from the portal as soon as the URL is printed; the process may end before
/// that.
fn login(fixture: &Fixture, wrap: &dyn Fn(Run) -> Run) -> Outcome {
    let mut child = wrap(fixture.home.run(["login", "-c", "prod"])).spawn();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.starts_with("https://") {
            let code = fixture.portal.authorize(&line, USER).code();
            let _ = writeln!(stdin, "{code}");
            break;
        }
        said.push_str(&line);
    }
    drop(stdin);
    said.extend(lines.map_while(Result::ok));
    let out = child.wait_with_output().unwrap();
    Outcome {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: said,
    }
}

fn command<'a>(words: &'a [&'a str]) -> impl Fn(&Fixture, &dyn Fn(Run) -> Run) -> Outcome + 'a {
    move |fixture, wrap| wrap(fixture.home.run(words)).done()
}

#[test]
fn add_creates_a_connection_or_none() {
    let fixture = Fixture::new();
    at_each_crash_point(
        &fixture,
        10,
        |fixture, wrap| wrap(fixture.home.run(fixture.add_words("new", false))).done(),
        |fixture, place| {
            if labels(&fixture.home).contains(&"new".to_owned()) {
                fixture
                    .home
                    .run(fixture.add_words("new", false))
                    .done()
                    .code(4);
            } else {
                fixture
                    .home
                    .run(fixture.add_words("new", false))
                    .done()
                    .ok();
            }
            assert_eq!(
                labels(&fixture.home),
                ["new", "other", "prod", "service"],
                "{place}"
            );
            fixture.home.run(["token", "-c", "new"]).done().code(3);
            assert!(fixture.prod_matches_the_portal(), "{place}");
            fixture.other_connections_work();
            fixture.can_be_repaired();
        },
    );
}

#[test]
fn add_creates_an_application_with_its_secret_or_none() {
    let fixture = Fixture::empty();
    let add = |fixture: &Fixture| {
        fixture
            .home
            .run(fixture.add_words("service", true))
            .input(service_secret())
    };
    at_each_crash_point(
        &fixture,
        14,
        |fixture, wrap| wrap(add(fixture)).done(),
        |fixture, place| {
            if labels(&fixture.home).is_empty() {
                add(fixture).done().ok();
            }
            assert_eq!(labels(&fixture.home), ["service"], "{place}");
            fixture.home.run(["token", "-c", "service"]).done().ok();
            no_secret_at_rest(&fixture.home, &fixture.portal, &[]);
            fixture.can_be_repaired();
        },
    );
}

#[test]
fn the_first_sign_in_is_stored_or_absent() {
    let fixture = Fixture::new();
    fixture.home.run(["logout", "-c", "prod"]).done().ok();
    at_each_crash_point(&fixture, 15, login, |fixture, place| {
        let signed_in = stored_refresh_token(&fixture.home, "prod").is_some();
        assert_eq!(fixture.prod_matches_the_portal(), signed_in, "{place}");
        no_secret_at_rest(&fixture.home, &fixture.portal, &[]);
        fixture.other_connections_work();
        login(fixture, &|run| run).ok();
        assert!(fixture.prod_matches_the_portal(), "{place}");
    });
}

#[test]
fn another_sign_in_leaves_a_working_one_at_every_point() {
    let fixture = Fixture::new();
    at_each_crash_point(&fixture, 20, login, |fixture, place| {
        assert!(fixture.prod_matches_the_portal(), "{place}");
        no_secret_at_rest(&fixture.home, &fixture.portal, &[]);
        fixture.other_connections_work();
        login(fixture, &|run| run).ok();
    });
}

#[test]
fn a_renewal_never_loses_the_sign_in() {
    let fixture = Fixture::new();
    expire_token(&fixture.home, "prod");
    at_each_crash_point(
        &fixture,
        13,
        command(&["token", "-c", "prod"]),
        |fixture, place| {
            let said = fixture.home.run(["token", "-c", "prod"]).done().ok();
            assert!(fixture.portal.accepts_access_token(said.line()), "{place}");
            assert!(fixture.prod_matches_the_portal(), "{place}");
            fixture.other_connections_work();
        },
    );
}

/// The one case in which a sign-in may be lost: the portal has exchanged the refresh token, and the
/// process ended before it stored the response. Exactly one plain refresh finds that out.
#[test]
fn an_exchange_is_lost_only_where_the_portal_has_processed_it() {
    let fixture = Fixture::new();
    expire_token(&fixture.home, "prod");
    age_sign_in(&fixture.home, "prod", 6);
    let old = stored_refresh_token(&fixture.home, "prod").unwrap();
    let lost = std::cell::Cell::new(0);
    at_each_crash_point(
        &fixture,
        16,
        command(&["token", "-c", "prod"]),
        |fixture, place| {
            let stored = stored_refresh_token(&fixture.home, "prod").unwrap();
            let acted = !fixture.portal.accepts_refresh_token(&old);
            if acted && stored == old {
                // The portal cannot know that its response was lost.
                fixture.portal.allow_retry_of_spent(&old);
                fixture
                    .home
                    .run(["token", "-c", "prod"])
                    .done()
                    .code(3)
                    .err_has("age-oauth login -c prod");
                let asked = fixture.portal.requests_to(Endpoint::Token).len();
                fixture.home.run(["token", "-c", "prod"]).done().code(3);
                assert_eq!(
                    fixture.portal.requests_to(Endpoint::Token).len(),
                    asked,
                    "{place}"
                );
                lost.set(lost.get() + 1);
                login(fixture, &|run| run).ok();
            }
            assert!(fixture.prod_matches_the_portal(), "{place}");
            fixture.other_connections_work();
        },
    );
    assert!(
        (1..=8).contains(&lost.get()),
        "lost at {} crash points",
        lost.get()
    );
}

#[test]
fn an_application_gets_its_token_the_next_time() {
    let fixture = Fixture::new();
    at_each_crash_point(
        &fixture,
        12,
        command(&["token", "-c", "service"]),
        |fixture, place| {
            let said = fixture.home.run(["token", "-c", "service"]).done().ok();
            assert!(fixture.portal.accepts_access_token(said.line()), "{place}");
            assert!(fixture.prod_matches_the_portal(), "{place}");
        },
    );
}

#[test]
fn an_edited_connection_is_the_old_one_or_the_new_one() {
    let fixture = Fixture::new();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--referer",
        "https://x.example.org",
    ];
    at_each_crash_point(&fixture, 3, command(&edit), |fixture, place| {
        assert!(fixture.prod_matches_the_portal(), "{place}");
        fixture.home.run(edit).done().ok();
        let shown = fixture
            .home
            .run(["connections", "show", "prod", "--json"])
            .done()
            .ok()
            .json();
        assert_eq!(shown["referer"], "https://x.example.org", "{place}");
        assert!(fixture.prod_matches_the_portal(), "{place}");
        fixture.other_connections_work();
        fixture.can_be_repaired();
    });
}

#[test]
fn an_edited_authority_is_the_old_one_or_the_new_one() {
    let fixture = Fixture::new();
    let other = Portal::start(PortalVersion::Enterprise114);
    let both = fixture.home.path().join("both.pem");
    fs::write(
        &both,
        format!("{}{}", fixture.portal.ca_pem(), other.ca_pem()),
    )
    .unwrap();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        both.to_str().unwrap(),
        "--proxy",
        "http://127.0.0.1:9",
    ];
    let renew = ["token", "--force", "-c", "prod"];
    at_each_crash_point(&fixture, 6, command(&edit), |fixture, place| {
        assert!(fixture.prod_matches_the_portal(), "{place}");
        let said = fixture.home.run(renew).done();
        assert_eq!(said.code, 0, "{place}: {}", said.stderr);
        fixture.home.run(edit).done().ok();
        assert!(fixture.prod_matches_the_portal(), "{place}");
        fixture.can_be_repaired();
    });
}

/// A new client ID makes the stored sign-in invalid; until then the sign-in works.
#[test]
fn an_edited_application_never_mixes_old_and_new() {
    let fixture = Fixture::new();
    let edit = ["connections", "edit", "service", "--client-secret-stdin"];
    at_each_crash_point(
        &fixture,
        6,
        |fixture, wrap| wrap(fixture.home.run(edit)).input(service_secret()).done(),
        |fixture, place| {
            let said = fixture
                .home
                .run(["token", "--force", "-c", "service"])
                .done();
            assert_eq!(said.code, 0, "{place}: {}", said.stderr);
            fixture.home.run(edit).input(service_secret()).done().ok();
            fixture.other_connections_work();
            no_secret_at_rest(&fixture.home, &fixture.portal, &[]);
        },
    );
}

/// The client secret is in the keychain or printed by a command, and there is one at every point.
#[test]
fn a_client_secret_goes_to_a_command_and_back_at_once() {
    let fixture = Fixture::new();
    fixture.home.allow_secrets_in("kept");
    fs::write(fixture.home.path().join("kept"), service_secret()).unwrap();
    let line = format!("/bin/cat '{}'", fixture.home.path().join("kept").display());
    let to = [
        "connections",
        "edit",
        "service",
        "--client-secret-command",
        &line,
    ];
    let back = ["connections", "edit", "service", "--client-secret-stdin"];
    let works = |fixture: &Fixture, place: &str| {
        let words = ["token", "--force", "-c", "service"];
        let said = fixture.home.run(words).done();
        assert_eq!(said.code, 0, "{place}: {}", said.stderr);
        fixture.other_connections_work();
    };
    at_each_crash_point(&fixture, 6, command(&to), |fixture, place| {
        works(fixture, place);
        fixture.home.run(to).done().ok();
        works(fixture, place);
        fixture.can_be_repaired();
    });
    fixture.home.run(to).done().ok();
    at_each_crash_point(
        &fixture,
        6,
        |fixture, wrap| wrap(fixture.home.run(back)).input(service_secret()).done(),
        |fixture, place| {
            works(fixture, place);
            fixture.home.run(back).input(service_secret()).done().ok();
            works(fixture, place);
            fixture.can_be_repaired();
        },
    );
}

/// When the API keys of these tests end.
fn end_of_keys() -> String {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 200);
    format!("{end:.0}")
}

#[test]
fn add_creates_a_connection_with_its_api_key_or_none() {
    let fixture = Fixture::new();
    let key = fixture.portal.make_api_key(USER, 300);
    let words = fixture.add_key_words();
    at_each_crash_point(
        &fixture,
        10,
        |fixture, wrap| wrap(fixture.home.run(&words)).input(key.clone()).done(),
        |fixture, place| {
            if !labels(&fixture.home).contains(&"keyed".to_owned()) {
                fixture.home.run(&words).input(key.clone()).done().ok();
            }
            let said = fixture.home.run(["token", "--force", "-c", "keyed"]).done();
            assert_eq!(said.stdout, format!("{key}\n"), "{place}: {}", said.stderr);
            fixture.other_connections_work();
            fixture.can_be_repaired();
        },
    );
}

/// The API key is in the keychain or printed by a command, the former one or the new one, and there
/// is one at every point.
#[test]
fn an_api_key_is_replaced_and_goes_to_a_command_and_back_at_once() {
    let fixture = Fixture::new();
    let (first, second) = (
        fixture.portal.make_api_key(USER, 300),
        fixture.portal.make_api_key(USER, 300),
    );
    fixture.home.allow_secrets_in("kept");
    fs::write(fixture.home.path().join("kept"), &first).unwrap();
    let line = format!("/bin/cat '{}'", fixture.home.path().join("kept").display());
    let end = end_of_keys();
    let add_key = fixture.add_key_words();
    fixture.home.run(add_key).input(first.clone()).done().ok();
    let edit = ["connections", "edit", "keyed", "--expires", &end];
    let stored = [&edit[..], &["--api-key-stdin"]].concat();
    let printed = [&edit[..], &["--api-key-command", &line]].concat();
    let works = |fixture: &Fixture, place: &str| {
        let token = ["token", "--force", "-c", "keyed"];
        let said = fixture.home.run(token).done();
        assert_eq!(said.code, 0, "{place}: {}", said.stderr);
    };
    for step in [&stored, &printed, &stored] {
        let act = |fixture: &Fixture, wrap: &dyn Fn(Run) -> Run| {
            wrap(fixture.home.run(step)).input(second.clone()).done()
        };
        at_each_crash_point(&fixture, 6, act, |fixture, place| {
            works(fixture, place);
            act(fixture, &|run| run).ok();
            works(fixture, place);
            fixture.other_connections_work();
            fixture.can_be_repaired();
        });
        act(&fixture, &|run| run).ok();
    }
}

/// A connection to a portal that lets nothing through without a client certificate, and files with
/// certificates: `ana`, which the connection has, and `otto`.
struct WithCertificate {
    fixture: Fixture,
    files: OpenSsl,
}

impl WithCertificate {
    fn new() -> Self {
        let fixture = Fixture {
            portal: Portal::builder().client_certificate_required().start(),
            home: Home::new(env!("CARGO_BIN_EXE_age-oauth")),
        };
        let files = OpenSsl::new();
        for name in ["ana", "otto"] {
            let own = fixture.portal.client_identity(name);
            fs::write(files.certificate(name), own.certificate_pem + &own.key_pem).unwrap();
            fs::write(files.certificate(&format!("{name}-password")), name).unwrap();
            files.run(&format!(
                "pkcs12 -export -in {name}.pem -passout file:{name}-password.pem -out {name}.p12.pem"
            ));
        }
        let with = Self { fixture, files };
        let file = with.files.file("ana");
        add_with(
            &with.fixture.home,
            &with.fixture.portal,
            "prod",
            &["--client-cert", &file],
        );
        sign_in(&with.fixture.home, &with.fixture.portal, "prod").ok();
        with
    }

    /// `connections edit` that presents this file, in the way that `prefix` names.
    fn edit(&self, prefix: &str, file: &str) -> Vec<String> {
        let name = file.split('.').next().unwrap();
        let password = self.files.file(&format!("{name}-password"));
        let path = format!("{prefix}{}", self.files.file(file));
        [
            "connections",
            "edit",
            "prod",
            "--client-cert",
            &path,
            "--client-cert-password-file",
            &password,
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

#[test]
fn a_changed_client_certificate_is_the_old_one_or_the_new_one() {
    let with = WithCertificate::new();
    let renew = ["token", "--force", "-c", "prod"];
    // In the keychain, and in a file that is referred to: each to each.
    for (before, after) in [
        (("", "ana"), ("", "otto")),
        (("", "ana"), ("file:", "otto.p12")),
        (("file:", "ana.p12"), ("file:", "otto.p12")),
        (("file:", "ana.p12"), ("", "otto")),
    ] {
        with.fixture
            .home
            .run(with.edit(before.0, before.1))
            .done()
            .ok();
        let edit = with.edit(after.0, after.1);
        let words: Vec<&str> = edit.iter().map(String::as_str).collect();
        at_each_crash_point(&with.fixture, 4, command(&words), |fixture, place| {
            let said = fixture.home.run(renew).done();
            assert_eq!(
                said.code, 0,
                "{before:?} {after:?} {place}: {}",
                said.stderr
            );
            fixture.home.run(&words).done().ok();
            fixture.home.run(renew).done().ok();
            fixture.can_be_repaired();
        });
    }
}

#[test]
fn a_client_certificate_that_is_taken_away_goes_as_a_whole() {
    let with = WithCertificate::new();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--no-check",
        "--client-cert",
        "none",
    ];
    at_each_crash_point(&with.fixture, 4, command(&edit), |fixture, place| {
        // With the certificate, or without it; never an error of the keychain.
        let code = fixture
            .home
            .run(["token", "--force", "-c", "prod"])
            .done()
            .code;
        assert!([0, 7].contains(&code), "{place}: {code}");
        fixture.home.run(edit).done().ok();
        fixture
            .home
            .run(["token", "--force", "-c", "prod"])
            .done()
            .code(7);
        fixture.can_be_repaired();
    });
}

#[test]
fn a_renamed_connection_has_one_name() {
    let fixture = Fixture::new();
    let rename = ["connections", "rename", "prod", "production"];
    at_each_crash_point(&fixture, 8, command(&rename), |fixture, place| {
        let name = match labels(&fixture.home) {
            all if all.contains(&"prod".to_owned()) => {
                fixture.home.run(rename).done().ok();
                "production"
            }
            _ => "production",
        };
        assert_eq!(labels(&fixture.home), ["other", name, "service"], "{place}");
        assert!(
            sign_in_is_what_the_portal_honours(&fixture.home, &fixture.portal, name),
            "{place}"
        );
        // The old name is free again, for another connection too.
        fixture
            .home
            .run(fixture.add_words("prod", false))
            .done()
            .ok();
        fixture.other_connections_work();
        fixture.can_be_repaired();
    });
}

#[test]
fn the_default_is_the_old_one_or_the_new_one() {
    let fixture = Fixture::new();
    let choose = ["connections", "use", "other"];
    at_each_crash_point(&fixture, 2, command(&choose), |fixture, _| {
        fixture.home.run(["token"]).done().ok();
        fixture.home.run(choose).done().ok();
        fixture.other_connections_work();
    });
}

#[test]
fn signing_out_is_complete_or_can_be_repeated() {
    let fixture = Fixture::new();
    at_each_crash_point(
        &fixture,
        10,
        command(&["logout", "-c", "prod"]),
        |fixture, place| {
            fixture.prod_matches_the_portal();
            fixture.home.run(["logout", "-c", "prod"]).done().ok();
            assert_eq!(stored_refresh_token(&fixture.home, "prod"), None, "{place}");
            fixture.home.run(["token", "-c", "prod"]).done().code(3);
            fixture.other_connections_work();
            login(fixture, &|run| run).ok();
            assert!(fixture.prod_matches_the_portal(), "{place}");
        },
    );
}

#[test]
fn removing_is_complete_or_can_be_repeated_and_leaves_nothing() {
    let fixture = Fixture::new();
    let remove = ["connections", "remove", "prod", "--yes"];
    at_each_crash_point(&fixture, 12, command(&remove), |fixture, place| {
        if labels(&fixture.home).contains(&"prod".to_owned()) {
            fixture.prod_matches_the_portal();
            fixture.home.run(remove).done().ok();
        }
        assert_eq!(labels(&fixture.home), ["other", "service"], "{place}");
        let said = fixture.home.run(["refresh", "--all"]).done().ok();
        assert!(!said.stderr.contains("warning"), "{place}: {}", said.stderr);
        fixture.other_connections_work();
        fixture
            .home
            .run(fixture.add_words("prod", false))
            .done()
            .ok();
        fixture.home.run(["token", "-c", "prod"]).done().code(3);
        fixture.can_be_repaired();
    });
}

#[test]
fn the_vault_opens_with_the_old_key_or_the_new_one() {
    let fixture = Fixture::new();
    for words in [&["vault", "rekey"][..], &["vault", "rekey", "--forget-old"]] {
        at_each_crash_point(&fixture, 3, command(words), |fixture, place| {
            assert!(fixture.prod_matches_the_portal(), "{place}");
            fixture.other_connections_work();
            fixture.home.run(words).done().ok();
            assert!(fixture.prod_matches_the_portal(), "{place}");
        });
    }
}

#[test]
fn importing_is_complete_or_can_be_repeated() {
    let fixture = Fixture::empty();
    let old = lay_out(
        &fixture.home.store(),
        "0.2.1",
        &fixture.home,
        &fixture.portal,
    );
    let import = ["connections", "import"];
    at_each_crash_point(&fixture, 40, command(&import), |fixture, place| {
        // The extended sign-in may be lost with the process; everything else is there after the
        // next run.
        fixture.portal.allow_retry_of_spent(&old.refresh);
        let said = fixture.home.run(import).done();
        assert!(
            matches!(said.code, 0 | 3),
            "{place}: {}{}",
            said.stdout,
            said.stderr
        );
        let all = labels(&fixture.home);
        assert_eq!(all.len(), 4, "{place}: {all:?}");
        sign_in_is_what_the_portal_honours(&fixture.home, &fixture.portal, "Prod");
        fixture.home.run(["token", "-c", "Nightly"]).done().ok();
        fixture.home.run(import).done().ok();
        no_secret_at_rest(&fixture.home, &fixture.portal, &[] as &[PathBuf]);
    });
}
