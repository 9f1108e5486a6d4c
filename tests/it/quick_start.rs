//! From nothing to a token, on the vault: the walk that the README shows.

use crate::home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add, sign_in};

#[test]
fn from_nothing_to_a_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    home.run(["connections", "list"]).done().ok().out("");
    add(&home, &portal, "my_portal");
    home.run(["whoami"]).done().code(3);
    let signed_in = sign_in(&home, &portal, "my_portal").ok();
    let lines: Vec<_> = signed_in.stdout.lines().collect();
    assert_eq!(lines[0], "New access_token acquired! Expires in: 0:30:00");
    assert_eq!(lines[1], "Token is for user: your.username");
    assert!(lines[2].starts_with("Signed in until: "), "{}", lines[2]);
    home.run(["whoami"]).done().ok().out("your.username\n");
    let token = home.run(["token"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    let exported = home.run(["export-env", "--shell", "bash"]).done().ok();
    assert!(exported
        .stdout
        .contains(&format!("export ARCGIS_TOKEN='{}'", token.line())));
    let out = home.run(["logout"]).done().ok();
    assert_eq!(
        out.stdout,
        "[OK] Signed out of my_portal; the portal has revoked the sign-in.\n"
    );
    assert!(!portal.accepts_access_token(token.line()));
    home.run(["token"])
        .done()
        .code(3)
        .err_has("age-oauth login -c my_portal");
    assert_eq!(
        home.files_containing(token.line()),
        Vec::<std::path::PathBuf>::new()
    );
}
