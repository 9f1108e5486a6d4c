//! Environment variables and durations: what cannot be used is an error that names it, never
//! ignored.

use crate::support::scenario::ADD_UNCHECKED;
use crate::{home, signed_in};

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_never_ignored() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (_portal, home) = signed_in();
    let bad = OsStr::from_bytes(b"pr\xffod");
    for name in [
        "AGE_OAUTH_CONNECTION",
        "AGE_OAUTH_KEYCHAIN",
        "AGE_OAUTH_KEYCHAIN_TIMEOUT",
    ] {
        let refused = home.run(["token"]).env(name, bad).done().code(2);
        assert!(refused
            .stderr
            .contains(&format!("{name}: its value is not valid UTF-8")));
        assert_eq!(refused.stdout, "");
    }
    let key = home.run(["vault", "rekey"]).env("AGE_OAUTH_VAULT_KEY", bad);
    key.done().ok();
}

/// Ignored, such a variable would let a request take another way, or use another keychain.
#[cfg(unix)]
#[test]
fn a_proxy_or_a_bus_that_cannot_be_read_is_an_error_that_names_the_variable() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (portal, home) = signed_in();
    let bad = OsStr::from_bytes(b"http://pr\xffoxy.example:8080");
    let sent = portal.requests().len();
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        home.run(["token", "--force"])
            .env(name, bad)
            .done()
            .code(2)
            .err_has(&format!("{name}: its value is not valid UTF-8"))
            .out("");
    }
    assert_eq!(portal.requests().len(), sent);
    // A cached token needs no proxy, and neither does a connection with a setting of its own.
    home.run(["token"]).env("HTTPS_PROXY", bad).done().ok();
    home.run(["connections", "edit", "prod", "--proxy", "none"])
        .done()
        .ok();
    home.run(["token", "--force"])
        .env("HTTPS_PROXY", bad)
        .done()
        .ok();
    home.run(["vault", "rekey", "--key-variable", "MY_KEY"])
        .env("MY_KEY", bad)
        .done()
        .code(2)
        .err_has("MY_KEY is not valid UTF-8");
    if cfg!(not(target_os = "macos")) {
        let mut words = vec!["connections", "add", "--label", "x", "--portal"];
        words.extend(["https://h/p", "--client-id", "c", "--no-check"]);
        words.extend(["--keychain", "os"]);
        home.run(words)
            .env("DBUS_SESSION_BUS_ADDRESS", bad)
            .done()
            .code(5)
            .err_has("DBUS_SESSION_BUS_ADDRESS: its value is not valid UTF-8");
    }
}

#[cfg(all(unix, not(target_os = "macos")))] // macOS has no such names.
#[test]
fn a_store_and_a_key_file_may_have_any_path() {
    use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID};
    use crate::support::scenario::add_application_arguments;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let folder = home.path().join(OsStr::from_bytes(b"st\xffore"));
    let key = home.path().join(OsStr::from_bytes(b"k\xffy"));
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let run = |words: &[&str]| {
        home.run(words)
            .env("AGE_OAUTH_HOME", folder.as_os_str())
            .env("AGE_OAUTH_VAULT_KEY_FILE", key.as_os_str())
    };
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let words = add_application_arguments("prod", &url, SERVICE_ID, ca.to_str().unwrap());
    run(&words).input(service_secret()).done().ok();
    run(&["token"]).done().ok();
    run(&["token", "--force"]).done().ok();
    assert!(folder.join("vault").is_file());
}

#[test]
fn a_path_that_only_a_shell_would_expand_is_refused() {
    let home = home();
    for value in ["~/x", "~", "$HOME/x", "${HOME}/x", "%APPDATA%/x"] {
        for name in ["AGE_OAUTH_HOME", "AGE_OAUTH_LOG"] {
            let refused = home.run(["status"]).env(name, value).done().code(2);
            assert!(
                refused.stderr.contains(&format!("{name}: it begins with")),
                "{refused:?}"
            );
        }
    }
    let made: Vec<_> = std::fs::read_dir(home.path()).unwrap().flatten().collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn a_client_secret_that_is_set_but_empty_is_an_error() {
    let home = home();
    home.run(ADD_UNCHECKED)
        .env("AGE_OAUTH_CLIENT_SECRET", "")
        .done()
        .code(2)
        .err_has("AGE_OAUTH_CLIENT_SECRET: it is set but empty");
    let words = [&ADD_UNCHECKED[..], &["--no-client-secret"]].concat();
    home.run(words)
        .env("AGE_OAUTH_CLIENT_SECRET", "")
        .done()
        .ok();
}

#[test]
fn an_unknown_connection_in_the_variable_names_the_variable() {
    let (_portal, home) = signed_in();
    home.run(["token"])
        .env("AGE_OAUTH_CONNECTION", "nope")
        .done()
        .code(4)
        .err_has("no connection `nope`, which AGE_OAUTH_CONNECTION names");
}

#[test]
fn a_lost_label_file_is_not_a_missing_connection() {
    let (_portal, home) = signed_in();
    for entry in std::fs::read_dir(home.store().join("labels"))
        .unwrap()
        .flatten()
    {
        std::fs::remove_file(entry.path()).unwrap();
    }
    home.run(["token", "-c", "prod"])
        .done()
        .code(4)
        .err_has("doctor --fix");
    home.run(["doctor", "--fix", "--yes", "--offline"])
        .done()
        .ok();
    home.run(["token", "-c", "prod"]).done().ok();
}

#[test]
fn every_duration_needs_a_unit_and_the_error_shows_how_to_write_it() {
    let (_portal, home) = signed_in();
    for words in [
        &["login", "--expiration", "20160"][..],
        &["token", "--min-ttl", "20160"],
        &["export-env", "--min-ttl", "20160"],
        &["exec", "--min-ttl", "20160", "--", "true"],
        &["refresh", "--wait", "20160"],
        &["refresh", "--older-than", "20160"],
        &["status", "--check", "--within", "20160"],
        &["whoami", "--timeout", "20160"],
    ] {
        let refused = home.run(words).done().code(2);
        assert!(
            refused.stderr.contains("20160m or 14d"),
            "{words:?}: {}",
            refused.stderr
        );
    }
    home.run(["token"])
        .env("AGE_OAUTH_KEYCHAIN_TIMEOUT", "60")
        .done()
        .code(2)
        .err_has("AGE_OAUTH_KEYCHAIN_TIMEOUT: it has no unit");
}
