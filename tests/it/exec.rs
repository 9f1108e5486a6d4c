//! `exec`: the child's environment, exit code and signals are the same as without `exec`.

use crate::signed_in;
use crate::support::portal::{app_secret, Endpoint};

/// The default shell of the system, and its command that prints the whole environment.
#[cfg(unix)]
const PRINT: &[&str] = &["sh", "-c", "env"];
#[cfg(windows)]
const PRINT: &[&str] = &["cmd", "/d", "/c", "set"];

#[cfg(unix)]
const EXIT_42: &[&str] = &["sh", "-c", "exit 42"];
#[cfg(windows)]
const EXIT_42: &[&str] = &["cmd", "/d", "/c", "exit 42"];

fn exec<'a>(command: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["exec", "--"];
    words.extend(command);
    words
}

#[test]
fn only_the_child_gets_the_token_and_no_secret() {
    let (portal, home) = signed_in();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let out = home
        .run(exec(PRINT))
        .env("ARCGIS_REFERER", "stale")
        .env("ARCGIS_USERNAME", "stale")
        .env("KEPT", "as it was")
        .env("AGE_OAUTH_CLIENT_SECRET", app_secret())
        // Set where Python has started this program; the command may be Python, too.
        .env("AGE_OAUTH_STARTED_BY_PYTHON", home.program())
        .done()
        .ok();
    let text = out.stdout.replace('\r', "");
    let lines: Vec<_> = text.lines().collect();
    for line in [
        format!("ARCGIS_TOKEN={token}"),
        format!("ARCGIS_PORTAL_URL={}", portal.url()),
        format!("ARCGIS_HOST={}", portal.url()),
        "ARCGIS_USERNAME=your.username".to_owned(),
        "AGE_OAUTH_CONNECTION=prod".to_owned(),
        "KEPT=as it was".to_owned(),
    ] {
        assert!(lines.contains(&&*line), "no {line} in {text}");
    }
    assert!(
        !text.contains("stale") && !text.contains(app_secret()),
        "{text}"
    );
    assert!(!text.contains("ARCGIS_REFERER"), "{text}");
    assert!(!text.contains("AGE_OAUTH_STARTED_BY_PYTHON"), "{text}");
    assert_eq!(out.stderr, "");
}

#[test]
fn streams_arguments_and_the_exit_code_pass_through() {
    let (_portal, home) = signed_in();
    home.run(exec(EXIT_42)).done().code(42);
    if cfg!(unix) {
        let out = home.run(exec(&["cat"])).input("b\n").done().ok();
        assert_eq!(out.stdout, "b\n");
    }
}

#[cfg(unix)]
#[test]
fn on_unix_the_child_replaces_the_process_and_gets_its_signals() {
    use std::os::unix::process::ExitStatusExt;
    let (_portal, home) = signed_in();
    let arguments = exec(&[
        "sh",
        "-c",
        "echo $$; printf '%s|' \"$@\"; kill -TERM $$",
        "x",
        "a b",
        "",
        "*",
        "$x",
    ]);
    let child = home.run(arguments).spawn();
    let id = child.id();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.signal(), Some(15));
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        format!("{id}\na b||*|$x|")
    );
}

#[test]
fn a_command_that_cannot_be_run_ends_with_the_code_that_shells_use() {
    let (portal, home) = signed_in();
    home.run(["exec", "--", "no-such-command-here"])
        .done()
        .code(127)
        .err_has("no-such-command-here");
    if cfg!(unix) {
        let file = home.path().join("plain");
        std::fs::write(&file, "echo").unwrap();
        home.run(["exec", "--", file.to_str().unwrap()])
            .done()
            .code(126);
    }
    home.run(["exec", "echo"]).done().code(2);
    home.run(["exec", "--"]).done().code(2);
    home.run(["exec"]).done().code(2);
    home.run(["exec", "-c", "nobody", "--", "echo"])
        .done()
        .code(4);
    home.run(["logout"]).done().ok();
    let before = portal.requests_to(Endpoint::Refresh).len();
    home.run(exec(PRINT)).done().code(3).out("");
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), before);
}

/// A batch file is found by its name without extension, and its arguments arrive unchanged or are
/// refused.
#[cfg(windows)]
#[test]
fn batch_files_run_as_in_the_shells_of_windows() {
    let (_portal, home) = signed_in();
    let folder = home.path().join("tools and more");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("mytool.cmd"),
        "@echo [%ARCGIS_USERNAME%] [%~1]\r\n@exit /b 7\r\n",
    )
    .unwrap();
    let path = format!("{};{}", folder.display(), std::env::var("PATH").unwrap());
    let out = home
        .run(exec(&["mytool", "a b"]))
        .env("PATH", &path)
        .done()
        .code(7);
    assert_eq!(out.stdout.trim(), "[your.username] [a b]");
}
