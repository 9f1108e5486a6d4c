//! `api` and `token --for`: which token is sent where, and how responses are handled.

use serde_json::Value;

use crate::support::portal::{Endpoint, Fault, ForeignServer, Portal, PortalVersion};
use crate::support::scenario::{add_with, sign_in};
use crate::{home, signed_in};

#[test]
fn a_path_relative_to_the_rest_root_is_requested_with_the_token_in_a_header() {
    let (portal, home) = signed_in();
    for path in [
        "community/self",
        "/sharing/rest/community/self",
        &format!("{}/sharing/rest/community/self", portal.url()),
    ] {
        let out = home.run(["api", path]).done().ok();
        assert_eq!(out.json()["username"], "your.username", "{path}");
    }
    let asked = portal.requests_to(Endpoint::CommunitySelf);
    let last = asked.last().unwrap();
    assert!(last.headers["x-esri-authorization"].starts_with("Bearer "));
    assert_eq!(last.query["f"], "json");
    home.run(["api", "search", "-f", "q=a map & more", "-X", "post"])
        .done()
        .ok();
    let search = portal.requests_to(Endpoint::Search);
    assert_eq!(search[0].form["q"], "a map & more");
    home.run(["api", "search?q=x", "-f", "f=pjson"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Search)[1].query["f"], "pjson");
}

#[test]
fn an_error_in_a_response_body_is_an_error_and_a_missing_permission_is_not_retried() {
    let (portal, home) = signed_in();
    home.run(["api", "community/users/nobody"])
        .done()
        .code(7)
        .err_has("does not exist")
        .out("");
    home.run(["api", "no/such/thing"])
        .done()
        .code(7)
        .err_has("there is nothing to call (HTTP 404")
        .err_has("hint: check the path below /sharing/rest");
    let before = portal.requests_to(Endpoint::Federated).len();
    home.run([
        "api",
        &format!(
            "{}/rest/services/Restricted/MapServer",
            portal.other_server_url()
        ),
    ])
    .done()
    .code(7);
    assert_eq!(portal.requests_to(Endpoint::Federated).len(), before + 1);
    // The portal accepted the token each time; a new one would change nothing.
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), 0);
}

#[test]
fn a_rejected_token_is_renewed_and_the_request_repeated_once() {
    let (portal, home) = signed_in();
    portal.expire_access_tokens();
    home.run(["api", "community/self"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), 1);
    // Errors that do not concern the token are reported as they are.
    portal.expire_access_tokens();
    home.run(["api", "community/users/nobody"])
        .done()
        .code(7)
        .err_has("does not exist");
    portal.set(|rules| {
        rules
            .app_mut(crate::support::portal::APP_ID)
            .http_referrers
            .push("https://other.example".into());
    });
    home.run(["api", "community/self"])
        .done()
        .code(7)
        .err_has("--referer");
}

#[test]
fn rule_24_a_server_gets_a_token_that_the_portal_grants_for_it() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.direct_federated = false);
    let service = format!("{}/rest/services/A/MapServer", portal.other_server_url());
    for _ in 0..3 {
        let out = home.run(["api", &service]).done().ok().json();
        assert_eq!(out["grantedFor"], "server");
    }
    assert_eq!(
        portal.requests_to(Endpoint::GenerateToken).len(),
        1,
        "the grant is kept"
    );
    let first = home
        .run(["token", "--for", &service])
        .done()
        .ok()
        .line()
        .to_owned();
    let json = home
        .run(["token", "--for", &service, "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(json["access_token"], *first);
    assert_ne!(home.run(["token"]).done().ok().line(), first);
    let forced = home
        .run(["token", "--for", &service, "--force"])
        .done()
        .ok()
        .line()
        .to_owned();
    assert_ne!(forced, first);
    // The portal's own address gets the portal's own token.
    let own = home
        .run(["token", "--for", &portal.url()])
        .done()
        .ok()
        .stdout;
    assert_eq!(own, home.run(["token"]).done().ok().stdout);
    // A server token that the server no longer accepts is replaced.
    portal.expire_access_tokens();
    home.run(["api", &service]).done().ok();
    home.run(["logout"]).done().ok();
    home.run(["token", "--for", &service]).done().code(3);
}

#[test]
fn rule_24_a_url_without_a_scheme_gets_no_token() {
    let (portal, home) = signed_in();
    let before = portal.requests().len();
    let host = portal.other_server_url().replace("https://", "");
    for address in [
        "tiles.stranger.example/arcgis",
        "//tiles.stranger.example/arcgis",
        "stranger/arcgis",
        &host,
    ] {
        for form in [&["token"][..], &["token", "--header"], &["token", "--json"]] {
            let words = form.iter().copied().chain(["--for", address]);
            home.run(words).done().code(2).out("");
        }
    }
    for address in ["tiles.stranger.example/arcgis", &host] {
        home.run(["api", address])
            .done()
            .code(2)
            .err_has("https://");
    }
    assert_eq!(portal.requests().len(), before);
}

#[test]
fn rule_24_no_connection_is_opened_to_a_foreign_server_whatever_it_claims() {
    let (portal, home) = signed_in();
    for foreign in [
        ForeignServer::start(&portal),
        ForeignServer::claiming(&portal),
    ] {
        let address = format!("{}/rest/services/A", foreign.url());
        let error = home
            .run(["api", &address])
            .done()
            .code(7)
            .err_has("does not issue tokens");
        assert_eq!(error.stdout, "");
        home.run(["token", "--for", &address]).done().code(7);
        foreign.assert_no_connection();
    }
    let standalone = format!("{}/rest/services", portal.standalone_url());
    home.run(["api", &standalone]).done().code(7);
    // Its refusal does not concern the token.
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), 0);
}

#[test]
fn rule_17_paths_that_leave_the_root_and_parameters_that_hold_tokens_are_refused() {
    let (portal, home) = signed_in();
    let before = portal.requests().len();
    for arguments in [
        &["api", "../../portaladmin"][..],
        &["api", "community/%2e%2e/self"],
        &["api", "community/self?token=abc"],
        &["api", "community/self", "-f", "token=abc"],
        &["api", "community/self", "-X", "post", "-f", "Token=abc"],
        &["api", "http://gis.example.org/portal/x"],
        &["api", "community/self", "-f", "novalue"],
        &["api", "community/self", "-X", "delete"],
        &["api", "community/self", "--paginate", "-o", "x"],
        &["api"],
    ] {
        home.run(arguments).done().code(2);
    }
    assert_eq!(portal.requests().len(), before);
}

#[test]
fn all_pages_are_fetched_and_an_endless_list_is_reported() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.more_items = 250);
    let all = home
        .run(["api", "search", "-f", "q=*", "--paginate"])
        .done()
        .ok()
        .json();
    assert_eq!(all.as_array().unwrap().len(), 252);
    assert_eq!(portal.requests_to(Endpoint::Search).len(), 3);
    let some = home
        .run([
            "api",
            "search",
            "-f",
            "num=7",
            "-f",
            "start=250",
            "--paginate",
        ])
        .done()
        .ok()
        .json();
    assert_eq!(some.as_array().unwrap().len(), 3);
    let asked = portal.requests().len();
    for start in ["start=0", "start=next"] {
        home.run(["api", "search", "-f", start, "--paginate"])
            .done()
            .code(2)
            .err_has(start);
    }
    assert_eq!(portal.requests().len(), asked);
    // It has several lists, but no pages.
    home.run(["api", "community/self", "--paginate"])
        .done()
        .code(1)
        .out("")
        .err_has("several lists");
    portal.set(|rules| rules.endless_search = true);
    home.run(["api", "search", "-f", "num=100", "--paginate"])
        .done()
        .code(1)
        .err_has("1000 pages")
        .out("");
}

/// No type holds every number, and a map keeps one of two equal names.
#[test]
fn pages_are_joined_without_changing_a_byte_of_the_items() {
    let (portal, home) = signed_in();
    let items = [
        r#"{"id": 12345678901234567890123, "a":1.0,"a":1.50E2}"#,
        r#"{"x":1e400,"half":"\ud800","\u0041" : [ ]}"#,
        "-0.0",
    ];
    let pages = [
        format!(
            r#"{{"folders":[7],"results":[ {} , {}],"nextStart":3}}"#,
            items[0], items[1]
        ),
        format!(r#"{{"results":[{}],"nextStart":-1}}"#, items[2]),
    ];
    for page in &pages {
        let length = page.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        );
        portal.set(|rules| rules.fault(Endpoint::Search, Fault::Raw(answer.into_bytes())));
    }
    home.run(["api", "search", "-f", "q=*", "--paginate"])
        .done()
        .ok()
        .out(&format!("[{}]\n", items.join(",")));
    assert_eq!(portal.requests_to(Endpoint::Search).len(), 2);
}

#[test]
fn a_file_is_uploaded_as_multipart() {
    let (_portal, home) = signed_in();
    let path = home.path().join("my data.csv");
    std::fs::write(&path, "x,y\n1,2\n").unwrap();
    let words = [
        "api",
        "content/users/your.username/addItem",
        "-f",
        "title=A title",
        "--input",
        path.to_str().unwrap(),
    ];
    let out = home.run(words).done().ok().json();
    assert_eq!(out["success"], true);
    assert_eq!(out["file"], "x,y\n1,2\n");
    assert_eq!(
        (&out["title"], &out["f"]),
        (&Value::from("A title"), &Value::from("json"))
    );
    home.run(["api", "content/users/x/addItem", "--input", "no-such-file"])
        .done()
        .code(1);
    home.run([
        "api",
        "content/users/x/addItem",
        "-X",
        "get",
        "--input",
        path.to_str().unwrap(),
    ])
    .done()
    .code(2);
}

#[test]
fn a_download_is_complete_or_absent() {
    let (portal, home) = signed_in();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    portal.set(|rules| rules.item_data.clone_from(&big));
    let path = home.path().join("data.bin");
    let target = path.to_str().unwrap().to_owned();
    portal.expire_access_tokens();
    home.run(["api", "content/items/1/data", "-o", &target])
        .done()
        .ok()
        .out("");
    assert_eq!(std::fs::read(&path).unwrap(), big);
    home.run(["api", "content/items/1/data"])
        .done()
        .code(1)
        .err_has("-o FILE");
    std::fs::write(&path, "as it was").unwrap();
    home.run(["api", "community/users/nobody", "-o", &target])
        .done()
        .code(7);
    home.run(["api", "no/such/thing", "-o", &target])
        .done()
        .code(7);
    home.run(["api", "community/self", "-o", home.path().to_str().unwrap()])
        .done()
        .code(2);
    drop(portal);
    home.run(["api", "content/items/1/data", "-o", &target])
        .done()
        .code(6);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "as it was");
    let left = std::fs::read_dir(home.path()).unwrap().flatten();
    assert!(!left
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().starts_with(".tmp")));
}

#[test]
fn output_to_a_dash_is_written_to_standard_output_unchanged() {
    let (portal, home) = signed_in();
    let big = vec![b'x'; 3_000_000];
    portal.set(|rules| rules.item_data.clone_from(&big));
    let out = home
        .run(["api", "content/items/1/data", "-o", "-"])
        .done()
        .ok();
    assert_eq!(out.stdout.as_bytes(), big);
    assert!(!home.path().join("-").exists());
    home.run(["api", "no/such/thing", "-o", "-"])
        .done()
        .code(7)
        .out("");
}

#[cfg(unix)]
#[test]
fn output_to_a_device_or_a_fifo_is_written_into_it_and_never_replaces_it() {
    use std::os::unix::fs::{symlink, FileTypeExt, PermissionsExt};
    let (_portal, home) = signed_in();
    let kind = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().file_type();
    let call = |path: &std::path::Path| {
        home.run(["api", "community/self", "-o", path.to_str().unwrap()])
            .done()
    };

    let fifo = home.path().join("fifo");
    run_tool("mkfifo", &[fifo.to_str().unwrap()]);
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || std::fs::read_to_string(fifo).unwrap())
    };
    call(&fifo).ok();
    assert!(reader.join().unwrap().contains("your.username"));
    assert!(kind(&fifo).is_fifo());

    // A device of our own: a broken program must not be able to replace the machine's.
    let null = home.path().join("null");
    if tool("mknod", &[null.to_str().unwrap(), "c", "1", "3"]) {
        call(&null).ok();
        assert!(kind(&null).is_char_device());
    }
    // A regular file behind a link: the file is replaced, the link and the mode stay.
    let file = home.path().join("file");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let link = home.path().join("link");
    symlink(&file, &link).unwrap();
    call(&link).ok();
    assert!(kind(&link).is_symlink());
    assert!(std::fs::read_to_string(&file)
        .unwrap()
        .contains("your.username"));
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let nowhere = home.path().join("nowhere");
    symlink(home.path().join("absent"), &nowhere).unwrap();
    call(&nowhere).code(1).err_has("symbolic link");
    assert!(kind(&nowhere).is_symlink());
    // A socket cannot be opened; it stays.
    let socket = home.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    call(&socket).code(1);
    assert!(kind(&socket).is_socket());
}

#[cfg(unix)]
fn tool(name: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(name)
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(unix)]
fn run_tool(name: &str, arguments: &[&str]) {
    assert!(tool(name, arguments), "{name} {arguments:?}");
}

#[test]
fn the_referer_of_a_connection_is_sent_with_every_request() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(
        &home,
        &portal,
        "prod",
        &["--referer", "https://app.example"],
    );
    sign_in(&home, &portal, "prod").ok();
    home.run(["token", "--force"]).done().ok();
    home.run(["refresh", "--now"]).done().ok();
    home.run(["whoami"]).done().ok();
    let service = format!("{}/rest/services/A", portal.other_server_url());
    home.run(["api", &service]).done().ok();
    home.run(["logout"]).done().ok();
    let by_us = portal.requests().into_iter().filter(|request| {
        !matches!(
            request.endpoint,
            Endpoint::Authorize | Endpoint::SignIn | Endpoint::Approval
        )
    });
    for request in by_us {
        assert_eq!(
            request.header("referer"),
            Some("https://app.example"),
            "{}",
            request.path
        );
    }
}

#[cfg(unix)]
#[test]
fn on_a_terminal_json_is_indented_and_control_characters_are_visible() {
    use crate::support::pty::Terminal;
    let (portal, home) = signed_in();
    portal.set(|rules| rules.more_items = 1);
    let mut terminal = Terminal::start(&home, &["api", "search"]);
    terminal
        .expect("  \"results\": [")
        .expect("One more \\u202e");
    assert_eq!(terminal.end(), 0);
}

/// Rule 28: whatever an answer is, a terminal shows its control characters and obeys none.
#[cfg(unix)]
#[test]
fn rule_28_a_terminal_is_not_controlled_by_an_answer_that_is_not_json() {
    use crate::support::portal::Fault;
    use crate::support::pty::Terminal;
    let (portal, home) = signed_in();
    let hostile = "\u{9b}31m\u{202e}\u{2066}\u{7f}\u{85}";
    let bodies = [
        format!("{{\"a\":\"END {hostile}\",\"n\":1e999}}"),
        format!("{{\"a\":\"END {hostile}\",\"s\":\"\\ud800\"}}"),
        format!(
            "{{\"a\":\"END {hostile}\",\"deep\":{}1{}}}",
            "[".repeat(200),
            "]".repeat(200)
        ),
        format!("{{\"a\":\"END {hostile}\",\"a\":2}}"),
    ];
    let mut answers: Vec<Vec<u8>> = bodies.map(String::into_bytes).to_vec();
    answers.push([b"{\"a\":\"END \xff ", hostile.as_bytes(), b"\"}"].concat());
    for body in answers {
        let mut raw = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        raw.extend(&body);
        portal.set(|rules| {
            rules.clear_faults();
            rules.fault_always(Endpoint::Search, Fault::Raw(raw));
        });
        for words in [&["api", "search"][..], &["api", "search", "-o", "-"]] {
            let mut terminal = Terminal::start(&home, words);
            let _ = terminal.end();
            let screen = terminal.screen();
            let controls = |c: &char| "\u{9b}\u{202e}\u{2066}\u{7f}\u{85}".contains(*c);
            assert_eq!(screen.chars().find(controls), None, "{words:?}: {screen:?}");
        }
    }
}

/// What is not text is not written to a terminal.
#[cfg(unix)]
#[test]
fn a_file_is_not_written_to_a_terminal() {
    use crate::support::pty::Terminal;
    let (portal, home) = signed_in();
    portal.set(|rules| rules.item_data = b"PK\x03\x04\xff\xfe\x1b]0;owned\x07".to_vec());
    let mut terminal = Terminal::start(&home, &["api", "content/items/1/data", "-o", "-"]);
    terminal.expect("not text").expect("-o FILE");
    assert_eq!(terminal.end(), 2);
    assert!(!terminal.screen().contains("owned"));
}

/// A download stops before the disk is full, and leaves nothing behind. The disk is a small one
/// in memory, which only this process sees.
#[cfg(target_os = "linux")]
#[test]
fn a_download_does_not_fill_the_disk() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.item_data = vec![b'x'; 7 << 20]);
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let target = disk.join("data");
    let script = r#"mount -t tmpfs -o size=8m none "$2" && "$1" api content/items/1/data -o "$3"; code=$?; ls -A "$2" >&2; df -k "$2" >/dev/null; exit $code"#;
    let run = |size: usize| {
        portal.set(|rules| rules.item_data = vec![b'x'; size]);
        let mut command = std::process::Command::new("unshare");
        command
            .args(["-rm", "sh", "-c", script, "sh"])
            .args([home.program(), disk.as_path(), target.as_path()])
            .env_clear()
            .envs(home.environment());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    };
    let (code, said) = run(4 << 20);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("data"), "{said}");
    // It would fit, but hardly anything would be left.
    for size in [8_200_000, 9 << 20] {
        let (code, said) = run(size);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("cannot write"), "{said}");
        assert!(said.contains("cause: the answer has"), "{said}");
        assert!(said.contains("hint: free some space"), "{said}");
        // The folder is empty: nothing follows the hint.
        assert!(said.trim_end().ends_with("another disk"), "{said}");
    }
}
