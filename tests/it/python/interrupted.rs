//! Ctrl-C in a script while the program waits for what must not be lost.

use std::path::Path;

use super::interpreter;
use crate::signed_in;
use crate::support::invariants::stored_refresh_token;
use crate::support::portal::{Endpoint, Fault, Gate};
use crate::support::pty::Terminal;
use crate::support::scenario::{age_sign_in, expire_token};

#[test]
fn ctrl_c_in_a_script_waits_until_an_extension_is_stored() {
    let (portal, mut home) = signed_in();
    age_sign_in(&home, "prod", 6);
    expire_token(&home, "prod");
    let old = stored_refresh_token(&home, "prod").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    home.set("PYTHONPATH", &root.join("src/python").display().to_string());
    home.set("PYTHONDONTWRITEBYTECODE", "1");
    home.set("AGE_OAUTH_BIN", env!("CARGO_BIN_EXE_age-oauth"));
    let gate = Gate::new();
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::HoldAfter(gate.clone())));
    let script = root.join("tests/python/interrupted.py");
    let python = interpreter().display().to_string();
    let mut terminal = Terminal::start_program(&home, &python, &[&script.display().to_string()]);
    gate.await_arrivals(1);
    // The terminal sends the signal to the script and to the program.
    terminal.interrupt().expect("interrupted");
    gate.open();
    terminal.expect("done");
    assert_eq!(terminal.end(), 0);
    assert!(
        !terminal.screen().contains("killed"),
        "{}",
        terminal.screen()
    );
    assert_ne!(stored_refresh_token(&home, "prod").unwrap(), old);
    home.run(["token", "--force"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1);
}
