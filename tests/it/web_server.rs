//! A web server in front of the portal that requires its own sign-in (Windows sign-in, passwords,
//! client certificates): `connections add`, every command that sends a request, and `doctor`
//! recognize and report it.

use crate::support::home::{Home, Outcome};
use crate::support::portal::{Endpoint, Fault, Portal, APP_ID};
use crate::support::scenario::{add_application, add_arguments, sign_in, stored};
use crate::{home, signed_in};

/// Its name in messages, and the fault that simulates it.
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

/// The message says what happened, why a browser gets through, and whom to ask.
#[track_caller]
fn is_told(said: &Outcome, kind: &str) {
    for part in [kind, "web server", "a browser can", "administrator"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

fn try_to_add(home: &Home, portal: &Portal) -> Outcome {
    let ca = portal.ca_file(home.path());
    home.run(add_arguments(
        "other",
        &portal.url(),
        APP_ID,
        ca.to_str().unwrap(),
    ))
    .done()
}

#[test]
fn web_tier_authentication_is_reported_by_add() {
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
fn web_tier_authentication_is_reported_by_every_command_and_no_sign_in_is_lost() {
    let (portal, home) = signed_in();
    add_application(&home, &portal, "service");
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
    // Logging out deletes the secrets here, and reports that the portal could not revoke.
    KINDS[0].1(&portal);
    home.run(["logout", "-c", "prod"])
        .done()
        .ok()
        .err_has("Negotiate, NTLM");
}

#[test]
fn doctor_reports_web_tier_authentication_with_a_hint_for_the_administrator() {
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
    // It is also reported where only the token endpoint requires the sign-in.
    portal.set(|rules| rules.fault_always(Endpoint::CommunitySelf, Fault::integrated_windows()));
    let out = home.run(["doctor"]).done().code(1);
    assert!(out.stdout.contains("fail token prod: ") && out.stdout.contains("Negotiate"));
}

#[test]
fn a_request_for_a_client_certificate_is_reported_by_every_command() {
    let portal = Portal::builder().client_certificate_required().start();
    let home = home();
    let asks = "asks for a client certificate";
    let advice = if cfg!(windows) {
        "--client-cert store: (or a file: --client-cert FILE.p12)"
    } else {
        "--client-cert FILE.p12"
    };
    let added = try_to_add(&home, &portal).code(7);
    added.err_has(asks).err_has(advice);
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
        let said = home.run(words).done().code(7);
        said.err_has(asks)
            .err_has(&format!("connections edit pki {advice}"));
    }
    let out = home.run(["doctor"]).done().code(1);
    assert!(out.stdout.contains(asks) && out.stdout.contains(advice));
}

/// A hotel's network cannot be helped by the portal's administrator, and nothing is to be trusted
/// because of its page.
#[test]
fn a_network_that_asks_for_its_own_sign_in_is_named() {
    let (portal, home) = signed_in();
    let redirect = |to: &str| Fault::Redirect {
        status: 302,
        to: to.into(),
    };
    for (fault, said) in [
        (Fault::Status(511), "(HTTP 511)"),
        (
            redirect("http://10.1.0.1:8002/index.php?zone=guests"),
            "(HTTP 302 to 10.1.0.1:8002)",
        ),
    ] {
        for (endpoint, words) in [
            (Endpoint::CommunitySelf, &["whoami"][..]),
            (Endpoint::Refresh, &["token", "--force"]),
        ] {
            portal.set(|rules| rules.fault_always(endpoint, fault.clone()));
            let sent = portal.requests_to(endpoint).len();
            let out = home.run(words).done().code(6).out("");
            let out = out.err_has("the network in between asks for its own sign-in first");
            let out = out.err_has(said).err_has("hint: open a browser");
            for wrong in ["administrator", "later", "--verify-ssl", "--portal"] {
                assert!(!out.stderr.contains(wrong), "{wrong}: {}", out.stderr);
            }
            let asked = portal.requests_to(endpoint).len();
            assert_eq!(asked, sent + 1, "it was asked again");
            let_through(&portal);
        }
    }
    home.run(["token", "--force"]).done().ok();
}

#[test]
fn a_page_in_place_of_the_portal_never_costs_the_sign_in() {
    let (portal, home) = signed_in();
    for (fault, code) in [
        (Fault::Status(404), 6),
        (Fault::Status(503), 6),
        (
            Fault::Redirect {
                status: 302,
                to: "/maintenance.html".into(),
            },
            6,
        ),
        (Fault::Status(403), 7),
        (Fault::Html200, 7),
        (
            Fault::Redirect {
                status: 302,
                to: "https://login.other.example/authorize".into(),
            },
            7,
        ),
        (Fault::Unauthorized(vec!["Bearer".into()]), 7),
        (Fault::Unauthorized(Vec::new()), 7),
    ] {
        let case = format!("{fault:?}");
        for (endpoint, words) in [
            (Endpoint::CommunitySelf, &["whoami"][..]),
            (Endpoint::Refresh, &["token", "--force"]),
        ] {
            portal.set(|rules| rules.fault_always(endpoint, fault.clone()));
            let said = home.run(words).done().code(code).out("");
            assert!(!said.stderr.contains("--portal"), "{case}: {}", said.stderr);
            assert!(said.stderr.contains("hint: "), "{case}: {}", said.stderr);
            let_through(&portal);
        }
    }
    home.run(["token", "--force"]).done().ok();
}

#[test]
fn what_the_portal_says_with_a_failure_is_shown_as_its_cause() {
    let (portal, home) = signed_in();
    let said = serde_json::json!({"error": {"code": 500, "message": "code expired"}});
    for fault in [
        Fault::JsonStatus(500, said.clone()),
        Fault::Json(said.clone()),
    ] {
        portal.set(|rules| rules.fault_always(Endpoint::Code, fault.clone()));
        sign_in(&home, &portal, "prod")
            .code(6)
            .err_has("  cause: code expired");
        portal.set(|rules| rules.fault_always(Endpoint::Exchange, fault));
        home.run(["refresh", "--now"])
            .done()
            .code(7)
            .err_has("could not be extended")
            .err_has("code expired");
        let_through(&portal);
    }
}
