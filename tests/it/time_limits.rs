//! `--timeout` bounds every wait: also those for pipes, standard input and the programs of the
//! desktop, which have no limit of their own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::home::{Home, Outcome};
use crate::support::portal::{Portal, PortalVersion, SERVICE_ID};
use crate::support::scenario::add;
use crate::support::send_signal;
use crate::{home, signed_in};

fn fifo(home: &Home, name: &str) -> PathBuf {
    let path = home.path().join(name);
    assert!(Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap()
        .success());
    path
}

#[test]
fn an_output_that_nothing_reads_is_given_up_before_the_portal_is_asked() {
    let (portal, home) = signed_in();
    let pipe = fifo(&home, "pipe");
    let before = portal.requests().len();
    let words = ["--timeout", "1s", "api", "community/self", "-o"];
    home.run([&words[..], &[pipe.to_str().unwrap()]].concat())
        .done()
        .code(1)
        .err_has("cannot write `")
        .err_has("no program read it in the time that --timeout allows")
        .err_has("allow more time");
    assert_eq!(portal.requests().len(), before);

    let pages = home.path().join("pages");
    fs::create_dir(&pages).unwrap();
    fifo(&home, "pages/age-oauth.1");
    home.run(["--timeout", "1s", "man", "--dir", "pages"])
        .done()
        .code(1)
        .err_has("no program read it in the time that --timeout allows");
}

/// A reader that stops reading holds the program as long as it likes.
#[test]
fn an_output_whose_reader_waits_is_given_up() {
    let (portal, home) = signed_in();
    let pipe = fifo(&home, "pipe");
    // More than a pipe holds.
    portal.set(|rules| rules.item_data = vec![b'x'; 1 << 20]);
    // Open for reading, so that the program can open it, and never read.
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let words = ["--timeout", "2s", "api", "content/items/1/data", "-o"];
    home.run([&words[..], &[pipe.to_str().unwrap()]].concat())
        .done()
        .code(1)
        .err_has("no program read it in the time that --timeout allows");
    drop(reader);
}

#[test]
fn a_secret_on_standard_input_is_not_waited_for_without_end() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let add = [
        "--timeout",
        "1s",
        "connections",
        "add",
        "--label",
        "service",
        "--portal",
        &url,
        "--verify-ssl",
        ca.to_str().unwrap(),
    ];
    let application = [
        "--auth-type",
        "app",
        "--client-id",
        SERVICE_ID,
        "--client-secret-stdin",
    ];
    let end = crate::api_key::in_days(60);
    let key = ["--auth-type", "key", "--expires", &end, "--api-key-stdin"];
    for (words, what) in [
        (&application[..], "the client secret is not complete"),
        (&key[..], "the API key is not complete"),
    ] {
        let mut child = home.run([&add[..], words].concat()).spawn();
        // The beginning of a secret is not taken for the whole.
        child.stdin.as_mut().unwrap().write_all(b"begin").unwrap();
        Outcome::of(child)
            .code(2)
            .err_has("standard input did not end in the time that --timeout allows")
            .err_has(what)
            .err_has("allow more time");
    }
    let listed = home.run(["connections", "list", "--json"]).done().ok();
    assert_eq!(listed.json(), serde_json::json!([]));
}

#[test]
fn a_pipe_of_the_shell_is_not_waited_for_beyond_the_time_of_the_command() {
    let (portal, home) = signed_in();
    let script =
        "exec \"$0\" --timeout 1s connections edit prod --verify-ssl <(exec sleep 40 2>&-)";
    let mut home_by_shell = home;
    home_by_shell.start_by(&["bash", "-c", script]);
    home_by_shell
        .run([] as [&str; 0])
        .done()
        .code(2)
        .err_has("no program ended it within 1 seconds");
    drop(portal);
}

/// The programs of the desktop may wait for a service that does not answer. The address is shown,
/// and the sign-in goes on.
#[test]
fn a_desktop_that_does_not_answer_does_not_hold_a_sign_in() {
    let (portal, mut home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    let programs = home.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let (program, started) = (programs.join("xdg-settings"), home.path().join("started"));
    let script = format!(
        "#!/bin/sh\necho $$ >>'{}'\nexec sleep 600\n",
        started.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    home.set("PATH", &format!("{}:{path}", programs.display()));
    home.set("DISPLAY", ":999");
    let login = ["--timeout", "2s", "login", "--open-browser"];
    let said = Outcome::of(home.run(login).spawn());
    for process in fs::read_to_string(&started).unwrap().lines() {
        send_signal("KILL", process.parse().unwrap());
    }
    said.code(3)
        .err_has("No browser could be opened. Open the address above on any device.");
}
