//! `connections add` as a set-up script runs it: from files and variables in one line, with
//! standard input closed and without a terminal, for each kind of connection.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::client_certificates::PASSWORD;
use crate::network::Behind;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    app_secret, service_secret, Portal, PortalVersion, APP_ID, SERVICE_ID, USER,
};
use crate::support::scenario::{add_arguments, nothing_was_created};

/// Starts the program in a session without a terminal, and with no standard input at all.
const WITHOUT_INPUT: [&str; 6] = ["setsid", "-w", "sh", "-c", r#"exec "$@" <&-"#, "sh"];

fn home() -> Home {
    let mut home = crate::home();
    home.start_by(&WITHOUT_INPUT);
    home
}

/// A file with a secret, as a server's configuration management puts it there.
fn secret_file(home: &Home, name: &str, secret: &str) -> String {
    let path = home.path().join(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    home.allow_secrets_in(name);
    path.display().to_string()
}

#[track_caller]
fn add(home: &Home, portal: &Portal, label: &str, id: &str, words: &[&str]) -> Outcome {
    let (ca, url) = (portal.ca_file(home.path()), portal.url());
    let given = add_arguments(label, &url, id, ca.to_str().unwrap());
    home.run([&given[..], words].concat()).done()
}

#[test]
fn an_application_connection_gets_its_client_secret_from_each_source() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let app = ["--auth-type", "app"];
    let file = secret_file(&home, "client-secret", service_secret());
    let by_file = [&app[..], &["--client-secret-file", &file]].concat();
    let added = add(&home, &portal, "file", SERVICE_ID, &by_file).ok();
    let added = added.err_has("age-oauth token -c file");
    assert!(
        !added.stderr.contains("age-oauth login"),
        "{}",
        added.stderr
    );
    let line = format!("/bin/cat '{file}'");
    let by_command = [&app[..], &["--client-secret-command", &line]].concat();
    add(&home, &portal, "command", SERVICE_ID, &by_command).ok();
    let (ca, url) = (portal.ca_file(home.path()), portal.url());
    let given = add_arguments("variable", &url, SERVICE_ID, ca.to_str().unwrap());
    let by_variable = [&given[..], &app, &["--json"]].concat();
    let run = home.run(&by_variable);
    let run = run.env("AGE_OAUTH_CLIENT_SECRET", service_secret());
    assert_eq!(run.done().ok().json()["connection"], "variable");
    for label in ["file", "command", "variable"] {
        let token = home.run(["token", "-c", label]).done().ok();
        assert!(portal.accepts_access_token(token.line()), "{label}");
    }
    // Again, as a script that runs at each start of a machine.
    let again = [&by_file[..], &["--replace"]].concat();
    add(&home, &portal, "file", SERVICE_ID, &again).ok();
    home.run(["token", "-c", "file", "--force"]).done().ok();
    // Without the portal's authority: as helpful as the first time.
    let url = portal.url();
    let untrusted = add_arguments("file", &url, SERVICE_ID, "true");
    let said = home.run([&untrusted[..], &again].concat()).done().code(6);
    said.err_has("hint: nothing was changed; if this is your portal")
        .err_has("give --verify-ssl FILE.pem; to change the connection without asking the portal");
}

#[test]
fn a_tag_that_no_connection_has_is_named() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let list = |words: &[&str]| {
        let all = [&["connections", "list"], words].concat();
        home.run(all).done().ok()
    };
    list(&[]).err_has("There are no connections; add one");
    let nightly = ["--tag", "nightly"];
    add(&home, &portal, "prod", APP_ID, &nightly).ok();
    assert!(list(&nightly).stdout.starts_with("prod"));
    let none = list(&["--tag", "weekly"]).out("");
    let none = none.err_has("No connection has the tag `weekly`.");
    assert!(!none.stderr.contains("There are no"), "{}", none.stderr);
}

#[test]
fn a_file_with_a_secret_that_other_users_may_read_is_warned_about_and_used() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let file = secret_file(&home, "client-secret", service_secret());
    let words = [
        "--auth-type",
        "app",
        "--replace",
        "--client-secret-file",
        &file,
    ];
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (folder, mode, is_open) in [
        (0o755, 0o644, true),
        (0o755, 0o600, false),
        (0o711, 0o604, true),
        // Others do not get that far.
        (0o700, 0o644, false),
    ] {
        set_mode(home.path(), folder);
        set_mode(Path::new(&file), mode);
        let said = add(&home, &portal, "file", SERVICE_ID, &words).ok().stderr;
        let warned = said.matches("other users may read").count();
        assert_eq!(warned, usize::from(is_open), "{folder:o} {mode:o}: {said}");
        let command = format!("(mode {mode:04o}), which holds a secret: chmod 6");
        assert_eq!(said.contains(&command), is_open, "{said}");
    }
    home.run(["token", "-c", "file"]).done().ok();
}

#[test]
fn a_user_connection_is_complete_and_its_sign_in_follows() {
    let (portal, mut home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod", APP_ID, &[]).ok();
    let file = secret_file(&home, "client-secret", app_secret());
    let words = ["--client-secret-file", &file];
    add(&home, &portal, "secret", APP_ID, &words).ok();
    home.run(["login", "-c", "prod", "--no-browser"])
        .done()
        .code(3)
        .err_has("age-oauth login");
    home.run(["token", "-c", "prod"]).done().code(3);
    // `add --login` leaves the connection, too.
    let added = add(&home, &portal, "later", APP_ID, &["--login"]).code(3);
    assert!(added.stdout.contains("[OK] Created connection: later"));
    home.start_by::<&str>(&[]);
    for label in ["prod", "secret", "later"] {
        crate::support::scenario::sign_in(&home, &portal, label).ok();
    }
    home.start_by(&WITHOUT_INPUT);
    let said = home.run(["whoami", "-c", "later"]).done().ok().stdout;
    assert!(said.contains(USER), "{said}");
}

#[test]
fn a_network_connection_gets_its_certificate_and_password_from_files() {
    let mut behind = Behind::nginx();
    behind.home.start_by(&WITHOUT_INPUT);
    let password = secret_file(&behind.home, "certificate-password", PASSWORD);
    let added = behind.home.run([
        "connections",
        "add",
        "--label",
        "net",
        "--portal",
        &behind.url,
        "--verify-ssl",
        &behind.ca,
        "--auth-type",
        "network",
        "--client-cert",
        &behind.certificate,
        "--client-cert-password-file",
        &password,
    ]);
    added.done().ok();
    // Nothing is typed at the sign-in, either.
    behind.home.run(["login"]).done().ok();
    let token = behind.home.run(["token"]).done().ok();
    assert!(behind.portal.accepts_access_token(token.line()));
}

#[test]
fn what_is_missing_is_named_and_nothing_is_waited_for() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let url = portal.url();
    let run = |words: &[&str]| {
        let all = [&["connections", "add"], words].concat();
        home.run(all).done()
    };
    let app = ["--label", "x", "--portal", &url, "--auth-type", "app"];
    run(&app)
        .code(2)
        .err_has("--client-id, --client-secret-stdin are missing")
        .err_has("--client-secret-file")
        .err_has("AGE_OAUTH_CLIENT_SECRET");
    run(&[]).code(2).err_has("--label, --portal, --client-id");
    let network = ["--label", "x", "--portal", &url, "--auth-type", "network"];
    let ca = portal.ca_file(home.path()).display().to_string();
    run(&[&network[..], &["--verify-ssl", &ca]].concat())
        .code(2)
        .err_has("--client-cert");
    // A standard input that does not exist gives no secret.
    let by_input = ["--client-id", SERVICE_ID, "--client-secret-stdin"];
    run(&[&app[..], &by_input, &["--verify-ssl", &ca]].concat())
        .code(2)
        .err_has("client secret");
    let by_file = ["--client-id", SERVICE_ID, "--client-secret-file", "/none"];
    run(&[&app[..], &by_file, &["--verify-ssl", &ca]].concat())
        .code(1)
        .err_has("/none");
    // A certificate authority that the system does not know is not a question here.
    let unverified = ["--label", "x", "--portal", &url, "--client-id", APP_ID];
    run(&unverified).code(6).err_has("--verify-ssl");
    nothing_was_created(&home);
}
