//! The steps that most tests start with: a connection to a practice portal, and a sign-in.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Child;

use age_oauth::testing::Tokens;
use age_oauth::{
    Connection, ConnectionStore, Context, Environment, Item, ItemKind, Keychains, Selector,
};

use super::home::{Home, Outcome};
use super::portal::{service_secret, Portal, APP_ID, SERVICE_ID, USER};

/// The arguments of `connections add` for a connection `x` whose portal is not asked, and does not
/// exist.
pub const ADD_UNCHECKED: [&str; 6] = [
    "connections",
    "add",
    "--no-check",
    "--label=x",
    "--portal=https://h/p",
    "--client-id=c",
];

/// The arguments of `connections add` for a user connection.
pub fn add_arguments<'a>(
    label: &'a str,
    portal: &'a str,
    client_id: &'a str,
    verify_ssl: &'a str,
) -> [&'a str; 10] {
    [
        "connections",
        "add",
        "--label",
        label,
        "--portal",
        portal,
        "--client-id",
        client_id,
        "--verify-ssl",
        verify_ssl,
    ]
}

/// The same for an application connection, whose client secret comes on standard input.
pub fn add_application_arguments<'a>(
    label: &'a str,
    portal: &'a str,
    client_id: &'a str,
    verify_ssl: &'a str,
) -> Vec<&'a str> {
    let mut arguments = add_arguments(label, portal, client_id, verify_ssl).to_vec();
    arguments.extend(["--auth-type", "app", "--client-secret-stdin"]);
    arguments
}

/// Adds a user connection to `portal` under this label.
#[track_caller]
pub fn add(home: &Home, portal: &Portal, label: &str) {
    add_with(home, portal, label, &[]);
}

/// The same, with further flags.
#[track_caller]
pub fn add_with(home: &Home, portal: &Portal, label: &str, flags: &[&str]) {
    let ca = portal.ca_file(home.path());
    let url = portal.url();
    let mut arguments = add_arguments(label, &url, APP_ID, ca.to_str().expect("a path")).to_vec();
    arguments.extend(flags);
    home.run(arguments)
        .done()
        .ok()
        .out(&format!("[OK] Created connection: {label}\n"));
}

/// Adds connections with these labels to a portal that is not asked.
#[track_caller]
pub fn add_labels(home: &Home, labels: &[&str]) {
    for label in labels {
        home.run([
            "connections",
            "add",
            "--no-check",
            &format!("--label={label}"),
            "--portal=https://h/p",
            "--client-id=x",
        ])
        .done()
        .ok();
    }
}

/// Adds an application connection to `portal` under this label.
#[track_caller]
pub fn add_application(home: &Home, portal: &Portal, label: &str) {
    add_application_with(home, portal, label, SERVICE_ID, service_secret());
}

/// The same for any application.
#[track_caller]
pub fn add_application_with(home: &Home, portal: &Portal, label: &str, id: &str, secret: &str) {
    let ca = portal.ca_file(home.path());
    let url = portal.url();
    let words = add_application_arguments(label, &url, id, ca.to_str().expect("a path"));
    home.run(words).input(secret).done().ok();
}

/// Signs in as the practice user by pasting the code that the portal shows.
#[track_caller]
pub fn sign_in(home: &Home, portal: &Portal, label: &str) -> Outcome {
    sign_in_as(home, portal, label, USER, &[])
}

/// Signs in as `user`: reads the URL that the program prints, follows it like a browser, pipes the
/// code back.
#[track_caller]
pub fn sign_in_as(
    home: &Home,
    portal: &Portal,
    label: &str,
    user: &str,
    flags: &[&str],
) -> Outcome {
    let mut arguments = vec!["login", "-c", label];
    arguments.extend(flags);
    paste(home, portal, &arguments, user, ("", "\n"))
}

/// The same, with text around the pasted code.
#[track_caller]
pub fn sign_in_wrapped(
    home: &Home,
    portal: &Portal,
    label: &str,
    before: &str,
    after: &str,
) -> Outcome {
    paste(home, portal, &["login", "-c", label], USER, (before, after))
}

#[track_caller]
fn paste(
    home: &Home,
    portal: &Portal,
    arguments: &[&str],
    user: &str,
    (before, after): (&str, &str),
) -> Outcome {
    let mut child = home.run(arguments).spawn();
    let mut stdin = child.stdin.take().expect("a pipe");
    let stderr = child.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else {
            panic!("no address was printed: {said}");
        };
        if line.starts_with("https://") || line.starts_with("http://") {
            break line;
        }
        said.push_str(&line);
        said.push('\n');
    };
    // A browser of these tests goes past what stands in front of the portal.
    let mut direct = url::Url::parse(&url).expect("an address");
    direct.set_port(Some(portal.port())).expect("an address");
    let code = portal.authorize(direct.as_str(), user).code();
    write!(stdin, "{before}{code}{after}").expect("a pipe");
    drop(stdin);
    let rest =
        std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let out = child.wait_with_output().expect("an end");
    said.push_str(&rest.join().expect("a reader"));
    Outcome {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: said,
    }
}

/// The connection of this label, as it is stored now.
pub fn stored(home: &Home, label: &str) -> Connection {
    ConnectionStore::open(home.store())
        .find(&Selector::Name(label.into()))
        .expect("a connection")
}

/// Changes the stored record of a connection in the vault.
pub fn change_tokens(home: &Home, label: &str, change: impl FnOnce(&mut Tokens)) {
    let context = Context {
        environment: Environment::of(Vec::<(String, String)>::new()),
        ..Context::process()
    };
    let connection = stored(home, label);
    let keychain = Keychains::new(home.store(), true, false, &context).of(connection.keychain);
    let item = Item::of(&connection, ItemKind::Tokens);
    let record = keychain.get(&item).expect("a vault").expect("a record");
    let mut tokens = Tokens::from_record(&record).expect("a record");
    change(&mut tokens);
    keychain.set(&item, &tokens.to_record()).expect("a vault");
}

/// Rewrites the stored record as if the access token had expired hours ago.
pub fn expire_token(home: &Home, label: &str) {
    change_tokens(home, label, |tokens| {
        let access = tokens.access.as_mut().expect("an access token");
        for date in [&mut access.issued_at, &mut access.expires_at] {
            *date = date
                .checked_sub(jiff::SignedDuration::from_hours(3))
                .expect("a date");
        }
        tokens.access_tokens_valid_until = Some(access.expires_at);
    });
}

/// Rewrites the stored record as if the access token were from yesterday and lived this many
/// seconds from now.
pub fn set_token_life(home: &Home, label: &str, seconds: i64) {
    let now = jiff::Timestamp::now();
    let end = now + jiff::SignedDuration::from_secs(seconds);
    change_tokens(home, label, |tokens| {
        let access = tokens.access.as_mut().expect("an access token");
        access.issued_at = now - jiff::SignedDuration::from_hours(24);
        access.expires_at = end;
        tokens.access_tokens_valid_until = Some(end);
    });
}

/// Rewrites the stored record as if this many tenths of the sign-in's life were over.
pub fn age_sign_in(home: &Home, label: &str, tenths: i32) {
    change_tokens(home, label, |tokens| {
        let refresh = tokens.refresh.as_mut().expect("a refresh token");
        let life = refresh
            .known_or_assumed_expiry()
            .duration_since(refresh.issued_at);
        let past = life / 10 * tenths;
        refresh.issued_at = refresh.issued_at.checked_sub(past).expect("a date");
        refresh.expires_at = refresh.issued_at.checked_add(life).ok();
    });
}

/// The folder of a connection in the store.
pub fn folder_of(home: &Home, label: &str) -> PathBuf {
    let id = stored(home, label).id.to_string();
    home.store().join("connections").join(id)
}

/// Checks that the store holds no connection, not even a draft or a reserved label.
#[track_caller]
pub fn nothing_was_created(home: &Home) {
    home.run(["connections", "list"]).done().ok().out("");
    for folder in ["connections", "labels"] {
        let entries = fs::read_dir(home.store().join(folder));
        assert_eq!(entries.map_or(0, Iterator::count), 0, "{folder}");
    }
}

/// Starts `login --json` and reads the object with the URL. The rest of its output stays in the
/// pipes.
pub fn start_login(home: &Home, flags: &[&str]) -> (Child, serde_json::Value) {
    let mut child = home.run([flags, &["login", "--json"]].concat()).spawn();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    // A buffer of one byte, so that nothing after the line is consumed.
    let mut reader = BufReader::with_capacity(1, stdout);
    reader.read_line(&mut line).expect("a line");
    (child, serde_json::from_str(&line).expect("JSON"))
}
