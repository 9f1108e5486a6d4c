//! `get_gis` at a portal whose answers Esri's package cannot use. It reads them without a check of
//! their form; scripts get an error of ours with the exit code that fits.

use serde_json::json;

use super::Dialogue;
use crate::signed_in;
use crate::support::portal::{Endpoint, Fault};

/// What Esri's package asks before there is a `GIS`.
const ASKED: [Endpoint; 3] = [Endpoint::Info, Endpoint::PortalSelf, Endpoint::User];

#[test]
fn whatever_the_portal_answers_get_gis_raises_an_error_with_an_exit_code() {
    let (portal, home) = signed_in();
    home.run(["token"]).done().ok();
    let mut script = Dialogue::start(&home, "answers.py", &[]);
    assert_eq!(script.line(), "ready");
    let mut raises = |endpoint, fault: &Fault| {
        portal.set(|rules| {
            rules.clear_faults();
            rules.fault_always(endpoint, fault.clone());
        });
        script.tell("go").line()
    };
    let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let version = json!({"currentVersion": "11.4"});
    for (fault, expected) in [
        (
            Fault::error(500, "x"),
            "PortalUnreachable 6 the portal {} sent no usable response (connection `prod`): x (Error Code: 500)",
        ),
        (
            Fault::error(403, "Not\u{1b}[1m\nyou"),
            "PortalRefused 7 the portal {} refused (connection `prod`): Not [1m you (Error Code: 403)",
        ),
        (
            Fault::error(429, "Too many"),
            "PortalUnreachable 6 the portal {} sent no usable response (connection `prod`): Too many (Error Code: 429)",
        ),
        (
            Fault::Json(version),
            "PortalUnreachable 6 the portal {} sent no usable response (connection `prod`): KeyError: 'portalName'",
        ),
        (
            Fault::Raw(empty.to_vec()),
            "PortalUnreachable 6 the portal {} sent no usable response (connection `prod`): TypeError: argument of type 'NoneType' is not iterable",
        ),
    ] {
        let expected = expected.replace("{}", &portal.url());
        assert_eq!(raises(Endpoint::PortalSelf, &fault), expected);
    }
    for (name, fault) in Fault::malformed() {
        // These are read to their ends before they are wrong, which takes long.
        if matches!(name, "huge" | "gzip bomb") {
            continue;
        }
        for endpoint in ASKED {
            let said = raises(endpoint, &fault);
            // Some of these answers are not read.
            assert!(
                said == "none" || said.starts_with("PortalUnreachable 6 "),
                "{name}: {said}"
            );
        }
    }
    // The program, which asks for the user, says what is wrong.
    portal.set(|rules| {
        rules.clear_faults();
        rules.fault_always(Endpoint::PortalSelf, Fault::error(403, "x"));
        rules.fault_always(Endpoint::CommunitySelf, Fault::Status(503));
    });
    let said = script.tell("go").line();
    assert!(said.contains("is not available now (HTTP 503)"), "{said}");
    portal.set(|rules| rules.clear_faults());
    assert_eq!(script.tell("last").line(), "none");
    script.ends();
}
