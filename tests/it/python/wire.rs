//! What leaves a session of Python: the placeholder in place of a token, and requests within this
//! machine.

use super::{got_no_token, script, succeeds};
use crate::support::portal::ForeignServer;
use crate::{home, signed_in};

/// Rule 24c: Esri's own code, on a real `GIS`.
#[test]
fn rule_24c_esris_own_code_gets_a_placeholder() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    let arguments = [foreign.url(), portal.server_url()];
    let token = home.run(["token"]).done().ok().stdout.trim().to_owned();
    succeeds(&script(&home, "esri.py", &[&arguments[0], &arguments[1]]));
    got_no_token(&foreign);
    for request in foreign.requests() {
        let whole = format!("{request:?}");
        assert!(!whole.contains(&token), "{whole}");
        assert!(!whole.contains("age-oauth-placeholder"), "{whole}");
    }
}

/// Rule 24c: each kind of place in a request, for the portal, a server and a foreign host.
#[test]
fn rule_24c_a_placeholder_is_exchanged_by_host_and_place() {
    let output = script(&home(), "test_exchange.py", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Ran 0 tests"), "{said}");
}

#[test]
fn no_request_within_this_machine_goes_through_a_proxy() {
    succeeds(&script(&home(), "loopback.py", &[]));
}

#[test]
fn a_host_that_never_answers_is_waited_for_once() {
    succeeds(&script(&home(), "limits.py", &[]));
}
