//! Signing in and choosing a connection without a terminal: what is refused, with which exit code
//! and which hint.

use std::path::PathBuf;

use crate::support::home::Home;
use crate::support::portal::{service_secret, Portal, PortalVersion, OTHER_USER, SERVICE_ID, USER};
use crate::support::scenario::{
    add, add_application_arguments, add_with, sign_in, sign_in_as, sign_in_wrapped,
};
use crate::{home, signed_in};

fn folder(home: &Home) -> PathBuf {
    let shown = home
        .run(["connections", "show", "prod", "--json"])
        .done()
        .ok()
        .json();
    PathBuf::from(shown["folder"].as_str().unwrap())
}

#[test]
fn connections_are_found_by_label_id_and_unique_prefix() {
    let (portal, home) = signed_in();
    add(&home, &portal, "My Portal");
    let id = folder(&home)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for name in ["prod", "PROD", &id, &id[..id.find('_').unwrap() + 5]] {
        home.run(["connections", "show", name]).done().ok();
    }
    home.run(["token", "--connection-id", &id]).done().ok();
    home.run(["token", "--connection-id", "prod"])
        .done()
        .code(4);
    home.run(["connections", "show", "pro"])
        .done()
        .code(4)
        .err_has("existing connections: My Portal, prod");
    home.run(["connections", "show", &id[..id.find('_').unwrap() + 4]])
        .done()
        .code(4);
    let error = home
        .run(["token", "--json", "-c", "nobody"])
        .done()
        .code(4)
        .error_json();
    assert_eq!(error["error"]["kind"], "no_connection");
    assert_eq!(error["error"]["hint"], "age-oauth connections list");
    home.run(["connections", "use", "--unset"]).done().ok();
    let error = home.run(["token", "--json"]).done().code(4).error_json();
    assert_eq!(error["error"]["kind"], "ambiguous");
    home.run(["token"])
        .env("AGE_OAUTH_CONNECTION", "prod")
        .done()
        .ok();
    home.run(["connections", "use", "My Portal"])
        .env("AGE_OAUTH_CONNECTION", "prod")
        .done()
        .ok()
        .out("[OK] Active connection set: My Portal\n")
        .err_has("AGE_OAUTH_CONNECTION");
    home.run(["token"])
        .done()
        .code(3)
        .err_has("-c \"My Portal\"");
}

#[test]
fn invalid_codes_leave_the_stored_sign_in_unchanged() {
    let (portal, home) = signed_in();
    let before = home.run(["token"]).done().ok().stdout;
    let login = |input: &str| home.run(["login"]).input(input).done();
    login("wrong-code-12345\n")
        .code(7)
        .err_has("age-oauth login -c prod");
    login("two words\n").code(3);
    login("error=access_denied\n").code(7).err_has("declined");
    let approval = portal.rest("oauth2/approval?code=abcdefgh&state=other");
    login(&format!("{approval}\n"))
        .code(3)
        .err_has("another sign-in");
    assert_eq!(home.run(["token"]).done().ok().stdout, before);
    // Without input, a stored sign-in that can still be renewed is renewed.
    login("").ok().err_has("renewed instead");
    portal.revoke_all();
    login("").code(3);
}

#[test]
fn an_expired_code_is_refused() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    portal.set(|rules| rules.code_seconds = 0);
    sign_in(&home, &portal, "prod")
        .code(7)
        .err_has("a code works only once");
}

#[test]
fn rule_7_another_user_is_not_replaced_without_consent() {
    let (portal, home) = signed_in();
    sign_in_as(&home, &portal, "prod", OTHER_USER, &[])
        .code(3)
        .err_has("--switch-user");
    assert_eq!(
        portal.live_refresh_tokens(),
        1,
        "the discarded one was revoked"
    );
    home.run(["whoami"]).done().ok().out(&format!("{USER}\n"));
    sign_in_as(&home, &portal, "prod", OTHER_USER, &["--switch-user"]).ok();
    home.run(["whoami"])
        .done()
        .ok()
        .out(&format!("{OTHER_USER}\n"));
    assert_eq!(portal.live_refresh_tokens(), 1);
}

#[test]
fn errors_about_the_registration_name_the_field_to_correct() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, "prod", &[]);
    home.run(["connections", "edit", "prod", "--client-id", "unknown-app"])
        .done()
        .ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["client_id"], "unknown-app");
    home.run(["login"])
        .input("some-code-123\n")
        .done()
        .code(7)
        .err_has("--client-id");
    portal.expect_violations();

    let portal = Portal::start(PortalVersion::Enterprise114);
    let ca = portal.ca_file(home.path());
    home.run(add_application_arguments(
        "jobs",
        &portal.url(),
        SERVICE_ID,
        ca.to_str().unwrap(),
    ))
    .input("not-the-secret")
    .done()
    .ok();
    home.run(["token", "-c", "jobs"])
        .done()
        .code(7)
        .err_has("--client-secret-stdin");
}

#[test]
fn rule_26_errors_and_details_show_no_secret() {
    let (portal, home) = signed_in();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let mut said = String::new();
    for arguments in [
        vec!["-vv", "whoami"],
        vec!["-vv", "token", "--json", "--force"],
        vec!["-vv", "connections", "show"],
        vec!["-vv", "login"],
        vec!["-vv", "logout"],
        vec!["-vv", "token"],
    ] {
        let keep_out = arguments.contains(&"--json");
        let out = home.run(arguments).input("wrong-code-1234\n").done();
        said.push_str(&out.stderr);
        if !keep_out {
            said.push_str(&out.stdout);
        }
    }
    assert!(said.contains("POST "), "{said}");
    assert!(!said.contains(&token));
    portal.assert_no_secret("what was said", said.as_bytes());
}

/// Windows' shells end lines with CRLF, begin a pipe with a byte order mark, and write files in
/// UTF-16.
#[test]
fn what_windows_adds_to_a_secret_or_a_code_is_removed() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path());
    let file = home.path().join("secret.txt");
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    std::fs::write(&file, utf16(&format!("\u{feff}{}\r\n", service_secret()))).unwrap();
    home.allow_secrets_in(&file);
    let flags = |label: &str| {
        [
            "connections",
            "add",
            "--auth-type",
            "app",
            "--client-id",
            SERVICE_ID,
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(["--portal".to_owned(), portal.url()])
        .chain(["--verify-ssl".to_owned(), ca.display().to_string()])
        .chain(["--label".to_owned(), label.to_owned()])
        .collect::<Vec<_>>()
    };
    let mut by_file = flags("by file");
    by_file.extend([
        "--client-secret-file".to_owned(),
        file.display().to_string(),
    ]);
    home.run(by_file).done().ok();
    for (label, ending) in [("cr", "\r"), ("crlf", "\r\n"), ("two", "\r\n\r\n")] {
        let mut by_pipe = flags(label);
        by_pipe.push("--client-secret-stdin".to_owned());
        home.run(by_pipe)
            .input(format!("\u{feff}{}{ending}", service_secret()))
            .done()
            .ok();
        home.run(["login", "-c", label]).done().ok();
    }
    home.run(["login", "-c", "by file"]).done().ok();

    add(&home, &portal, "person");
    for (before, after) in [
        ("", "\r"),
        ("\u{feff}", "\r\n"),
        ("\u{feff}  \"", "\" \r\n"),
    ] {
        sign_in_wrapped(&home, &portal, "person", before, after).ok();
    }
}

#[test]
fn a_port_in_use_is_reported_with_the_connection_to_edit() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let redirect_uri = format!("http://{address}/callback");
    add_with(
        &home,
        &portal,
        "My Portal",
        &["--redirect-uri", &redirect_uri],
    );
    home.run(["login", "--no-browser"])
        .done()
        .code(1)
        .err_has(&format!("cannot listen on `{address}`"))
        .err_has("another program uses the port")
        .err_has("connections edit \"My Portal\" --redirect-uri urn:ietf:wg:oauth:2.0:oob");
}
