//! A web server in front of the portal that asks for a sign-in of its own (protocol facts: Windows sign-in, passwords, client
//! certificates): recognised when a connection is added, at every call, and by `doctor`, and told as what it is.

use crate::support::home::{Home, Outcome};
use crate::support::portal::{Endpoint, Fault, Portal, APP_ID};
use crate::support::scenario::{add_service, stored};
use crate::{home, signed_in};

/// What it is called in messages, and how it begins.
type Kind = (&'static str, fn(&Portal));

const KINDS: [Kind; 2] = [
    ("Negotiate, NTLM", |portal| {
        portal.set(|rules| rules.fault_always(Endpoint::Any, Fault::integrated_windows()));
    }),
    ("Basic", |portal| {
        portal.set(|rules| rules.basic = Some(("gis".into(), "pw".into())));
    }),
];

fn let_through(portal: &Portal) {
    portal.set(|rules| {
        rules.clear_faults();
        rules.basic = None;
    });
}

/// What happened, why a browser gets through, and whom to ask.
#[track_caller]
fn is_told(said: &Outcome, kind: &str) {
    for part in [kind, "web server", "a browser can", "administrator"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

fn try_to_add(home: &Home, portal: &Portal) -> Outcome {
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "add",
        "--label",
        "other",
        "--client-id",
        APP_ID,
        "--portal",
        &portal.url(),
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .done()
}

#[test]
fn it_is_told_when_a_connection_is_added() {
    for (kind, begin) in KINDS {
        let (portal, home) = (Portal::builder().start(), home());
        begin(&portal);
        let said = try_to_add(&home, &portal).code(7).out("");
        is_told(&said, kind);
        assert!(!home.store().join("connections").exists());
        let_through(&portal);
        try_to_add(&home, &portal).ok();
    }
}

#[test]
fn it_is_told_at_every_call_and_no_sign_in_is_lost() {
    let (portal, home) = signed_in();
    add_service(&home, &portal, "service");
    home.run(["token", "-c", "service"]).done().ok();
    let before = stored(&home, "prod").status.refresh_issued_at;
    for (kind, begin) in KINDS {
        begin(&portal);
        for words in [
            &["token", "--force", "-c", "prod"][..],
            &["token", "--force", "-c", "service"],
            &["whoami", "-c", "prod"],
            &["whoami", "-c", "service"],
            &["refresh", "--now", "-c", "prod"],
            &["api", "community/self", "-c", "prod"],
        ] {
            is_told(&home.run(words).done().code(7).out(""), kind);
        }
        let json = home.run(["whoami", "--json", "-c", "prod"]).done().code(7);
        assert_eq!(json.error_json()["error"]["kind"], "refused");
        let_through(&portal);
        home.run(["token", "--force", "-c", "prod"]).done().ok();
    }
    assert_eq!(stored(&home, "prod").status.refresh_issued_at, before);
    // Logging out forgets what is here, and says that the portal could not be told.
    KINDS[0].1(&portal);
    home.run(["logout", "-c", "prod"])
        .done()
        .ok()
        .err_has("Negotiate, NTLM");
}

#[test]
fn doctor_names_it_with_what_an_administrator_can_do() {
    let (portal, home) = signed_in();
    for (kind, begin) in KINDS {
        begin(&portal);
        let out = home.run(["doctor", "--json"]).done().code(1);
        let checks = out.json()["checks"].clone();
        let found = checks
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["check"] == "portal")
            .unwrap();
        assert_eq!(found["severity"], "fail");
        let text = |name: &str| found[name].as_str().unwrap();
        assert!(text("message").contains(kind), "{found}");
        assert!(text("hint").contains("administrator"), "{found}");
        let_through(&portal);
        home.run(["doctor"]).done().ok();
    }
    // Where the way to the portal is free and that to the tokens is not, it is told, too.
    portal.set(|rules| rules.fault_always(Endpoint::CommunitySelf, Fault::integrated_windows()));
    let out = home.run(["doctor"]).done().code(1);
    assert!(out.stdout.contains("fail token prod: ") && out.stdout.contains("Negotiate"));
}

#[test]
fn a_demand_for_a_client_certificate_is_told_everywhere() {
    let portal = Portal::builder().client_certificate_required().start();
    let home = home();
    is_told(&try_to_add(&home, &portal).code(7), "certificate");
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label",
        "pki",
        "--auth-type",
        "app",
        "--client-id",
        "x",
        "--client-secret-stdin",
        "--portal",
        &portal.url(),
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .input("a-client-secret")
    .done()
    .ok();
    for words in [&["token"][..], &["whoami"], &["api", "portals/self"]] {
        is_told(&home.run(words).done().code(7), "certificate");
    }
    let out = home.run(["doctor"]).done().code(1);
    assert!(out.stdout.contains("certificate") && out.stdout.contains("administrator"));
}
