//! The process dies between any two effects of a command, as if killed. Afterwards every command works, and a sign-in is
//! lost only where the portal itself no longer honours it.
//!
//! A command is first run to its end, to count the places where it may die (see `src/crash.rs`); then once for each of
//! them, from the same beginning.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that cannot go on should stop.
#![allow(clippy::print_stdout)] // How many places there were.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use serde_json::Value;
use support::home::{Home, Outcome, Run};
use support::invariants::{
    labels, no_secret_at_rest, sign_in_is_what_the_portal_honours, stored_refresh_token, Copy,
};
use support::legacy::lay_out;
use support::portal::{
    Endpoint, Moment, Portal, PortalVersion, APP_ID, APP_SECRET, SERVICE_ID, SERVICE_SECRET, USER,
};
use support::scenario::{add, add_service, add_with, let_it_age, let_it_expire, sign_in};

/// Where a command begins: `prod` and `other` are signed in, `service` is an application.
struct Scene {
    portal: Portal,
    home: Home,
}

impl Scene {
    fn new() -> Self {
        let scene = Self::empty();
        let (home, portal) = (&scene.home, &scene.portal);
        add_with(home, portal, "prod", &["--client-secret", APP_SECRET]);
        sign_in(home, portal, "prod").ok();
        add(home, portal, "other");
        sign_in(home, portal, "other").ok();
        add_service(home, portal, "service");
        scene
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

    /// The connections that a command has nothing to do with work as ever.
    #[track_caller]
    fn others_work(&self) {
        for label in ["other", "service"] {
            self.home.run(["token", "--force", "-c", label]).done().ok();
        }
    }

    #[track_caller]
    fn prod_is_honest(&self) -> bool {
        sign_in_is_what_the_portal_honours(&self.home, &self.portal, "prod")
    }

    /// `doctor` finds nothing that it cannot mend.
    #[track_caller]
    fn can_be_mended(&self) {
        self.home
            .run(["doctor", "--offline", "--fix", "--yes"])
            .done();
        let said = self.home.run(["doctor", "--offline", "--json"]).done();
        let report = said.json();
        let checks = report["checks"].as_array().unwrap();
        // That nobody is signed in is no damage.
        let damaged = |check: &&Value| check["severity"] == "fail" && check["check"] != "sign-in";
        let damage: Vec<_> = checks.iter().filter(damaged).collect();
        assert!(damage.is_empty(), "{damage:?}");
    }
}

/// Runs `act` once for each place where it may die, and looks at what it left: `after` gets what the portal had given out
/// when the command began, and is told the place.
fn wherever_it_dies(
    scene: &Scene,
    least: usize,
    act: impl Fn(&Scene, &dyn Fn(Run) -> Run) -> Outcome,
    after: impl Fn(&Scene, &str),
) {
    let (moment, files): (Moment, _) = (scene.portal.moment(), Copy::of(&scene.home));
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_owned();
    act(scene, &|run| run.env("AGE_OAUTH_CRASH_LOG", &path)).ok();
    let places = fs::read_to_string(&path).unwrap();
    assert!(places.lines().count() >= least, "{places}");
    for place in places.lines() {
        scene.portal.settle();
        scene.portal.go_back_to(&moment);
        files.put_back(&scene.home);
        let number = place.split(' ').next().unwrap();
        let said = act(scene, &|run| run.env("AGE_OAUTH_CRASH_AT", number));
        assert_eq!(said.code, -1, "at {place}: {}{}", said.stdout, said.stderr);
        scene.portal.settle();
        after(scene, place);
    }
    println!("died at {} places", places.lines().count());
}

/// A sign-in that gets its code from the portal once it has printed the address; it may die before.
fn login(scene: &Scene, wrap: &dyn Fn(Run) -> Run) -> Outcome {
    let mut child = wrap(scene.home.run(["login", "-c", "prod"])).spawn();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.starts_with("https://") {
            let code = scene.portal.authorize(&line, USER).code();
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

fn command<'a>(words: &'a [&'a str]) -> impl Fn(&Scene, &dyn Fn(Run) -> Run) -> Outcome + 'a {
    move |scene, wrap| wrap(scene.home.run(words)).done()
}

#[test]
fn add_makes_a_connection_or_none() {
    let scene = Scene::new();
    wherever_it_dies(
        &scene,
        10,
        |scene, wrap| wrap(scene.home.run(scene.add_words("new", false))).done(),
        |scene, place| {
            if labels(&scene.home).contains(&"new".to_owned()) {
                scene.home.run(scene.add_words("new", false)).done().code(4);
            } else {
                scene.home.run(scene.add_words("new", false)).done().ok();
            }
            assert_eq!(
                labels(&scene.home),
                ["new", "other", "prod", "service"],
                "{place}"
            );
            scene.home.run(["token", "-c", "new"]).done().code(3);
            assert!(scene.prod_is_honest(), "{place}");
            scene.others_work();
            scene.can_be_mended();
        },
    );
}

#[test]
fn add_makes_an_application_with_its_secret_or_none() {
    let scene = Scene::empty();
    let add = |scene: &Scene| {
        scene
            .home
            .run(scene.add_words("service", true))
            .input(SERVICE_SECRET)
    };
    wherever_it_dies(
        &scene,
        14,
        |scene, wrap| wrap(add(scene)).done(),
        |scene, place| {
            if labels(&scene.home).is_empty() {
                add(scene).done().ok();
            }
            assert_eq!(labels(&scene.home), ["service"], "{place}");
            scene.home.run(["token", "-c", "service"]).done().ok();
            no_secret_at_rest(&scene.home, &scene.portal, &[]);
            scene.can_be_mended();
        },
    );
}

#[test]
fn the_first_sign_in_is_there_or_not() {
    let scene = Scene::new();
    scene.home.run(["logout", "-c", "prod"]).done().ok();
    wherever_it_dies(&scene, 15, login, |scene, place| {
        let signed_in = stored_refresh_token(&scene.home, "prod").is_some();
        assert_eq!(scene.prod_is_honest(), signed_in, "{place}");
        no_secret_at_rest(&scene.home, &scene.portal, &[]);
        scene.others_work();
        login(scene, &|run| run).ok();
        assert!(scene.prod_is_honest(), "{place}");
    });
}

#[test]
fn another_sign_in_replaces_a_good_one_by_a_good_one() {
    let scene = Scene::new();
    wherever_it_dies(&scene, 20, login, |scene, place| {
        assert!(scene.prod_is_honest(), "{place}");
        no_secret_at_rest(&scene.home, &scene.portal, &[]);
        scene.others_work();
        login(scene, &|run| run).ok();
    });
}

#[test]
fn a_renewal_never_costs_the_sign_in() {
    let scene = Scene::new();
    let_it_expire(&scene.home, "prod");
    wherever_it_dies(
        &scene,
        13,
        command(&["token", "-c", "prod"]),
        |scene, place| {
            let said = scene.home.run(["token", "-c", "prod"]).done().ok();
            assert!(scene.portal.accepts_access_token(said.line()), "{place}");
            assert!(scene.prod_is_honest(), "{place}");
            scene.others_work();
        },
    );
}

/// The one case in which a sign-in may be lost: the portal has exchanged the refresh token, and its answer died with the
/// process. One plain refresh finds that out, and no more than one.
#[test]
fn an_exchange_is_lost_only_where_the_portal_has_acted() {
    let scene = Scene::new();
    let_it_expire(&scene.home, "prod");
    let_it_age(&scene.home, "prod", 6);
    let old = stored_refresh_token(&scene.home, "prod").unwrap();
    let lost = std::cell::Cell::new(0);
    wherever_it_dies(
        &scene,
        16,
        command(&["token", "-c", "prod"]),
        |scene, place| {
            let stored = stored_refresh_token(&scene.home, "prod").unwrap();
            let acted = !scene.portal.accepts_refresh_token(&old);
            if acted && stored == old {
                // The portal cannot know that its answer died.
                scene.portal.forgive_spent(&old);
                scene
                    .home
                    .run(["token", "-c", "prod"])
                    .done()
                    .code(3)
                    .err_has("age-oauth login -c prod");
                let asked = scene.portal.requests_to(Endpoint::Token).len();
                scene.home.run(["token", "-c", "prod"]).done().code(3);
                assert_eq!(
                    scene.portal.requests_to(Endpoint::Token).len(),
                    asked,
                    "{place}"
                );
                lost.set(lost.get() + 1);
                login(scene, &|run| run).ok();
            }
            assert!(scene.prod_is_honest(), "{place}");
            scene.others_work();
        },
    );
    assert!(
        (1..=8).contains(&lost.get()),
        "lost at {} places",
        lost.get()
    );
}

#[test]
fn an_application_gets_its_token_the_next_time() {
    let scene = Scene::new();
    wherever_it_dies(
        &scene,
        12,
        command(&["token", "-c", "service"]),
        |scene, place| {
            let said = scene.home.run(["token", "-c", "service"]).done().ok();
            assert!(scene.portal.accepts_access_token(said.line()), "{place}");
            assert!(scene.prod_is_honest(), "{place}");
        },
    );
}

#[test]
fn an_edited_connection_is_the_old_one_or_the_new_one() {
    let scene = Scene::new();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--referer",
        "https://x.example.org",
    ];
    wherever_it_dies(&scene, 3, command(&edit), |scene, place| {
        assert!(scene.prod_is_honest(), "{place}");
        scene.home.run(edit).done().ok();
        let shown = scene
            .home
            .run(["connections", "show", "prod", "--json"])
            .done()
            .ok()
            .json();
        assert_eq!(shown["referer"], "https://x.example.org", "{place}");
        assert!(scene.prod_is_honest(), "{place}");
        scene.others_work();
        scene.can_be_mended();
    });
}

#[test]
fn an_edited_authority_is_the_old_one_or_the_new_one() {
    let scene = Scene::new();
    let other = Portal::start(PortalVersion::Enterprise114);
    let both = scene.home.path().join("both.pem");
    fs::write(
        &both,
        format!("{}{}", scene.portal.ca_pem(), other.ca_pem()),
    )
    .unwrap();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        both.to_str().unwrap(),
    ];
    wherever_it_dies(&scene, 6, command(&edit), |scene, place| {
        assert!(scene.prod_is_honest(), "{place}");
        scene.home.run(edit).done().ok();
        assert!(scene.prod_is_honest(), "{place}");
        scene.can_be_mended();
    });
}

/// A new client ID makes the stored sign-in worthless; until it is changed, it is worth what it was.
#[test]
fn an_edited_application_never_mixes_two() {
    let scene = Scene::new();
    let edit = ["connections", "edit", "service", "--client-secret-stdin"];
    wherever_it_dies(
        &scene,
        6,
        |scene, wrap| wrap(scene.home.run(edit)).input(SERVICE_SECRET).done(),
        |scene, place| {
            let said = scene.home.run(["token", "--force", "-c", "service"]).done();
            assert_eq!(said.code, 0, "{place}: {}", said.stderr);
            scene.home.run(edit).input(SERVICE_SECRET).done().ok();
            scene.others_work();
            no_secret_at_rest(&scene.home, &scene.portal, &[]);
        },
    );
}

#[test]
fn a_renamed_connection_has_one_name() {
    let scene = Scene::new();
    let rename = ["connections", "rename", "prod", "production"];
    wherever_it_dies(&scene, 8, command(&rename), |scene, place| {
        let name = match labels(&scene.home) {
            all if all.contains(&"prod".to_owned()) => {
                scene.home.run(rename).done().ok();
                "production"
            }
            _ => "production",
        };
        assert_eq!(labels(&scene.home), ["other", name, "service"], "{place}");
        assert!(
            sign_in_is_what_the_portal_honours(&scene.home, &scene.portal, name),
            "{place}"
        );
        // The old name is free again, for another connection too.
        scene.home.run(scene.add_words("prod", false)).done().ok();
        scene.others_work();
        scene.can_be_mended();
    });
}

#[test]
fn the_default_is_the_old_one_or_the_new_one() {
    let scene = Scene::new();
    let choose = ["connections", "use", "other"];
    wherever_it_dies(&scene, 2, command(&choose), |scene, _| {
        scene.home.run(["token"]).done().ok();
        scene.home.run(choose).done().ok();
        scene.others_work();
    });
}

#[test]
fn signing_out_is_done_or_can_be_repeated() {
    let scene = Scene::new();
    wherever_it_dies(
        &scene,
        10,
        command(&["logout", "-c", "prod"]),
        |scene, place| {
            scene.prod_is_honest();
            scene.home.run(["logout", "-c", "prod"]).done().ok();
            assert_eq!(stored_refresh_token(&scene.home, "prod"), None, "{place}");
            scene.home.run(["token", "-c", "prod"]).done().code(3);
            scene.others_work();
            login(scene, &|run| run).ok();
            assert!(scene.prod_is_honest(), "{place}");
        },
    );
}

#[test]
fn removing_is_done_or_can_be_repeated_and_leaves_nothing() {
    let scene = Scene::new();
    let remove = ["connections", "remove", "prod", "--yes"];
    wherever_it_dies(&scene, 12, command(&remove), |scene, place| {
        if labels(&scene.home).contains(&"prod".to_owned()) {
            scene.prod_is_honest();
            scene.home.run(remove).done().ok();
        }
        assert_eq!(labels(&scene.home), ["other", "service"], "{place}");
        let said = scene.home.run(["refresh", "--all"]).done().ok();
        assert!(!said.stderr.contains("warning"), "{place}: {}", said.stderr);
        scene.others_work();
        scene.home.run(scene.add_words("prod", false)).done().ok();
        scene.home.run(["token", "-c", "prod"]).done().code(3);
        scene.can_be_mended();
    });
}

#[test]
fn the_vault_opens_with_the_old_key_or_the_new_one() {
    let scene = Scene::new();
    for words in [&["vault", "rekey"][..], &["vault", "rekey", "--forget-old"]] {
        wherever_it_dies(&scene, 3, command(words), |scene, place| {
            assert!(scene.prod_is_honest(), "{place}");
            scene.others_work();
            scene.home.run(words).done().ok();
            assert!(scene.prod_is_honest(), "{place}");
        });
    }
}

#[test]
fn importing_is_done_or_can_be_repeated() {
    let scene = Scene::empty();
    let old = lay_out(&scene.home.store(), "0.2.1", &scene.home, &scene.portal);
    let import = ["connections", "import"];
    wherever_it_dies(&scene, 40, command(&import), |scene, place| {
        // The exchanged sign-in may have died with the process; everything else is there after the next time.
        scene.portal.forgive_spent(&old.refresh);
        let said = scene.home.run(import).done();
        assert!(
            matches!(said.code, 0 | 3),
            "{place}: {}{}",
            said.stdout,
            said.stderr
        );
        let all = labels(&scene.home);
        assert_eq!(all.len(), 4, "{place}: {all:?}");
        sign_in_is_what_the_portal_honours(&scene.home, &scene.portal, "Prod");
        scene.home.run(["token", "-c", "Nightly"]).done().ok();
        scene.home.run(import).done().ok();
        no_secret_at_rest(&scene.home, &scene.portal, &[] as &[PathBuf]);
    });
}
