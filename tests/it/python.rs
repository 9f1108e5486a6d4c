//! The Python package: real Python, Esri's real `arcgis`, the practice portal over TLS with a
//! certificate authority of its own.

mod answers;
mod api_url;
#[cfg(target_os = "linux")] // It needs OpenSSL and nginx.
mod client_certificates;
mod data;
#[cfg(target_os = "linux")] // It needs OpenSSL.
mod environment;
#[cfg(unix)]
mod interrupted;
#[cfg(target_os = "linux")]
mod keyed;
#[cfg(target_os = "linux")]
mod network;
mod notebooks;
#[cfg(target_os = "linux")] // It needs OpenSSL.
mod pinned;
mod pools;
mod pro;
mod types;
#[cfg(target_os = "linux")]
mod windows_sign_in;
mod wire;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::support::home::Home;
use crate::support::portal::{
    service_secret, Endpoint, Fault, ForeignServer, Gate, Portal, PortalVersion, Proxy, APP_ID,
    SERVICE_ID, USER,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{add, add_application, add_with, expire_token, sign_in};
use crate::{home, signed_in};

/// The Python that has `arcgis`, `requests` and `httpx`; `tests/run` makes it.
fn interpreter() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    std::env::var_os("AGE_OAUTH_TEST_PYTHON").map_or(made, PathBuf::from)
}

/// A script of `tests/python` in this home, not yet started.
fn command(home: &Home, name: &str, arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(interpreter());
    command
        .arg(root.join("tests/python").join(name))
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .env("PYTHONPATH", root.join("src/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AGE_OAUTH_BIN", home.program())
        .current_dir(home.path());
    command
}

/// Runs it to its end.
fn script(home: &Home, name: &str, arguments: &[&str]) -> Output {
    command(home, name, arguments)
        .output()
        .unwrap_or_else(|why| panic!("{}: {why}; tests/run makes it", interpreter().display()))
}

/// A script that prints lines and waits to be continued.
pub(crate) struct Dialogue {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Dialogue {
    fn start(home: &Home, name: &str, arguments: &[&str]) -> Self {
        Self::of(command(home, name, arguments))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a Python; see tests/run");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, said }
    }

    /// The next line that it prints; panics with its errors if there is none.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        if line.is_empty() {
            let mut errors = String::new();
            let mut stderr = self.child.stderr.take().expect("a pipe");
            std::io::Read::read_to_string(&mut stderr, &mut errors).expect("its errors");
            panic!("{errors}");
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn tell(&mut self, line: &str) -> &mut Self {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{line}").expect("a listener");
        self
    }

    #[track_caller]
    pub(crate) fn ends(&mut self) {
        assert_eq!(self.line(), "done");
        assert!(self.child.wait().expect("an end").success());
    }
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // The package prints nothing to the script's stdout.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}

/// Checks that requests for non-public resources carried a token.
#[track_caller]
fn none_was_anonymous(portal: &Portal) {
    for endpoint in [Endpoint::CommunitySelf, Endpoint::User, Endpoint::Search] {
        for request in portal.requests_to(endpoint) {
            let header = request.header("x-esri-authorization").unwrap_or_default();
            assert!(header.starts_with("Bearer "), "{endpoint:?} was anonymous");
        }
    }
}

#[test]
fn a_gis_is_signed_in_and_searches() {
    let (portal, home) = signed_in();
    succeeds(&script(&home, "gis.py", &[USER]));
    none_was_anonymous(&portal);
    portal.assert_clean();
}

#[test]
fn a_gis_used_by_four_threads_outlives_its_token() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.user_access_seconds = 4);
    expire_token(&home, "prod");
    let before = portal.grants().len();
    succeeds(&script(&home, "outlives.py", &[]));
    none_was_anonymous(&portal);
    // Ten seconds; each token lives four, and the next is fetched when it has two left. Four
    // threads that renew separately would need twenty.
    let renewals = portal.grants().len() - before;
    assert!((2..=10).contains(&renewals), "{renewals} renewals");
}

/// Four threads are rejected at the same time: one new token for all of them.
fn forgets(portal: &Portal, home: &Home, known_by: &str) {
    let mut script = Dialogue::start(home, "rejected.py", &[known_by]);
    assert_eq!(script.line(), "ready");
    portal.expire_access_tokens();
    let before = portal.grants().len();
    script.tell("go").ends();
    assert_eq!(portal.grants().len(), before + 1);
}

#[test]
fn a_revoked_access_token_is_renewed_once_for_all_threads() {
    let (portal, home) = signed_in();
    forgets(&portal, &home, "user");
}

#[test]
fn a_revoked_access_token_of_an_application_is_renewed_too() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_application(&home, &portal, "prod");
    forgets(&portal, &home, "appInfo");
}

#[test]
fn a_sign_in_that_is_revoked_during_a_job_raises_its_own_error() {
    let (portal, home) = signed_in();
    let mut script = Dialogue::start(&home, "dies.py", &[]);
    assert_eq!(script.line(), "ready");
    portal.revoke_all();
    script.tell("go").ends();
}

#[test]
fn httpx_requests_get_tokens_and_renew_them() {
    let (portal, home) = signed_in();
    let foreign = sends_searches_away(&portal);
    let ca = portal.ca_file(home.path());
    let arguments = [ca.to_str().unwrap(), &foreign.url()];
    let mut script = Dialogue::start(&home, "with_httpx.py", &arguments);
    assert_eq!(script.line(), "ready");
    portal.expire_access_tokens();
    script.tell("go").ends();
    none_was_anonymous(&portal);
    got_no_token(&foreign);
}

#[test]
fn streamed_bodies_are_not_read() {
    succeeds(&script(&home(), "streams.py", &[]));
}

/// 20 ways of reading, with requests and httpx; `.ci/full` also tries bodies of 40 MB.
#[test]
fn every_way_of_reading_a_body_gives_what_it_gives_without_the_handler() {
    succeeds(&script(&home(), "differential.py", &[]));
}

#[test]
fn asynchronous_and_unrepeatable_requests_are_handled() {
    succeeds(&script(&home(), "asynchronous.py", &[]));
}

#[test]
fn a_portal_that_forgets_all_tokens_at_once_gets_one_issued_after_that() {
    let (portal, home) = signed_in();
    let mut script = Dialogue::start(&home, "restarted.py", &[]);
    for _ in 0..3 {
        assert_eq!(script.line(), "ready");
        home.run(["token", "--force"]).done().ok();
        portal.expire_access_tokens();
        script.tell("go");
    }
    script.ends();
    none_was_anonymous(&portal);
}

#[test]
fn a_gis_whose_sign_in_has_ended_says_so_at_each_call() {
    let (portal, home) = signed_in();
    let mut script = Dialogue::start(&home, "dead.py", &[]);
    assert_eq!(script.line(), "ready");
    portal.revoke_all();
    script.tell("go").ends();
}

#[test]
fn a_portal_that_never_answers_ends_get_gis() {
    let (portal, home) = signed_in();
    let gate = Gate::default();
    portal.set(|rules| {
        for endpoint in [Endpoint::Root, Endpoint::Info, Endpoint::PortalSelf] {
            rules.fault_always(endpoint, Fault::HoldBefore(gate.clone()));
        }
    });
    succeeds(&script(&home, "silent.py", &[]));
    gate.open();
}

#[test]
fn a_notebook_shows_the_address_and_takes_the_code() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let mut script = Dialogue::start(&home, "notebook.py", &[USER]);
    let url = script.line();
    let code = portal.authorize(&url, USER).code();
    script.tell(&code).ends();
}

#[test]
fn at_a_terminal_the_user_is_asked_for_the_code() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    add(&home, &portal, "prod");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    home.set("PYTHONPATH", &root.join("src/python").display().to_string());
    home.set("AGE_OAUTH_BIN", env!("CARGO_BIN_EXE_age-oauth"));
    // No browser, as on a server.
    home.set("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22");
    let python = interpreter().display().to_string();
    let asks = "import age_oauth; c = age_oauth.Connection(\"prod\"); c.login(); print(\"I am\", c.username)";
    let mut terminal = Terminal::start_program(&home, &python, &["-c", asks]);
    terminal.expect("code");
    let url = terminal.word("https://");
    let code = portal.authorize(&url, USER).code();
    terminal.line(&code).expect(&format!("I am {USER}"));
    assert_eq!(terminal.end(), 0);
}

#[test]
fn without_a_terminal_no_code_is_asked_for() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    // `add` asks whether the portal knows the application.
    let before = portal.requests_to(Endpoint::Authorize).len();
    succeeds(&script(&home, "alone.py", &[]));
    assert_eq!(portal.requests_to(Endpoint::Authorize).len(), before);
}

#[test]
fn without_streams_a_connection_is_added_and_the_error_is_the_documented_one() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    succeeds(&script(
        &home,
        "windowless.py",
        &[&portal.url(), &ca, APP_ID],
    ));
}

#[test]
fn the_module_is_the_same_program() {
    let (_portal, home) = signed_in();
    let run = |arguments: &[&str]| {
        Command::new(interpreter())
            .args(["-m", "age_oauth"])
            .args(arguments)
            .env_clear()
            .envs(home.environment())
            .env(
                "PYTHONPATH",
                Path::new(env!("CARGO_MANIFEST_DIR")).join("src/python"),
            )
            .env("AGE_OAUTH_BIN", home.program())
            .current_dir(home.path())
            .output()
            .unwrap()
    };
    let token = home.run(["token"]).done().ok().stdout;
    let ours = run(&["token"]);
    assert!(ours.status.success());
    assert_eq!(String::from_utf8_lossy(&ours.stdout), token);
    assert_eq!(run(&["token", "-c", "nobody"]).status.code(), Some(4));
    assert_eq!(run(&["whom"]).status.code(), Some(2));
}

#[test]
fn an_expired_token_is_renewed_by_the_first_call() {
    let (portal, home) = signed_in();
    expire_token(&home, "prod");
    succeeds(&script(&home, "gis.py", &[USER]));
    portal.assert_clean();
}

#[test]
fn an_applications_gis_is_signed_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_application(&home, &portal, "service");
    succeeds(&script(&home, "application.py", &[]));
}

#[test]
fn a_gis_of_an_unverified_connection_is_unverified_too() {
    let (portal, home) = signed_in();
    let words = ["connections", "edit", "prod", "--verify-ssl", "false"];
    home.run(words).done().ok();
    succeeds(&script(&home, "gis.py", &[USER]));
    none_was_anonymous(&portal);
}

#[test]
fn a_gis_trusts_the_certificates_of_the_system() {
    let (portal, mut home) = signed_in();
    let words = [
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        "true",
        "--no-check",
    ];
    home.run(words).done().ok();
    succeeds(&script(
        &home,
        "fails.py",
        &["PortalUnreachable", "--verify-ssl FILE.pem"],
    ));
    let ca = portal.ca_file(home.path()).display().to_string();
    home.set("SSL_CERT_FILE", &ca);
    succeeds(&script(&home, "gis.py", &[USER]));
    none_was_anonymous(&portal);
}

#[test]
fn a_gis_uses_the_proxy_of_the_connection() {
    let (portal, mut home) = signed_in();
    let [systems, own] = [Proxy::start(), Proxy::start()];
    home.set("HTTPS_PROXY", &systems.url());
    // How often each is used by a script with this setting.
    let uses = |setting: &str| {
        let edit = ["connections", "edit", "prod", "--proxy", setting];
        home.run(edit).done().ok();
        let before = [systems.hosts().len(), own.hosts().len()];
        succeeds(&script(&home, "gis.py", &[USER]));
        (
            systems.hosts().len() - before[0],
            own.hosts().len() - before[1],
        )
    };
    let system = uses("system");
    let own_alone = uses(&own.url());
    let none = uses("none");
    assert_eq!(system.1, 0);
    assert_eq!(own_alone.0, 0);
    assert!(own_alone.1 > 0);
    assert_eq!(none.1, 0);
    // Before it has a session, `arcgis` probes the URL through the environment's proxy anyway.
    assert!(none.0 < system.0);
    none_was_anonymous(&portal);
}

#[test]
fn the_referer_that_a_token_is_bound_to_is_sent() {
    let referer = "https://app.example";
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.app_mut(APP_ID).http_referrers = vec![referer.into()]);
    let home = home();
    add_with(&home, &portal, "prod", &["--referer", referer]);
    sign_in(&home, &portal, "prod").ok();
    succeeds(&script(&home, "gis.py", &[USER]));
    none_was_anonymous(&portal);
}

#[test]
fn python_adds_and_changes_connections() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    let url = portal.url();
    let arguments = [
        &*url,
        &*ca,
        APP_ID,
        SERVICE_ID,
        "https://127.0.0.1:1/portal",
    ];
    home.allow_secrets_in("kept");
    std::fs::write(home.path().join("kept"), service_secret()).unwrap();
    let printer = format!("/bin/cat {}", home.path().join("kept").display());
    let arguments = [&arguments[..], &[printer.as_str()]].concat();
    let mut script = Dialogue::start(&home, "adding.py", &arguments);
    script.tell(service_secret()).ends();
}

#[test]
fn names_of_the_predecessor_work_or_say_what_to_use() {
    let (portal, home) = signed_in();
    add(&home, &portal, "second");
    sign_in(&home, &portal, "second").ok();
    // Only a sign-in whose access tokens have all expired is extended at once.
    expire_token(&home, "second");
    succeeds(&script(&home, "names.py", &[USER]));
}

#[test]
fn an_unreachable_portal_and_a_revoked_sign_in_raise_different_errors() {
    let (portal, home) = signed_in();
    home.run(["token"]).done().ok();
    portal.stop();
    succeeds(&script(
        &home,
        "fails.py",
        &["PortalUnreachable", "--proxy URL"],
    ));
    portal.start_again();
    portal.revoke_all();
    succeeds(&script(
        &home,
        "fails.py",
        &["SignInRequired", "age-oauth login"],
    ));
    home.run(["token", "--force"]).done().code(3);
    succeeds(&script(
        &home,
        "fails.py",
        &["SignInRequired", "age-oauth login"],
    ));
}

/// A foreign server to which the portal redirects every search.
fn sends_searches_away(portal: &Portal) -> ForeignServer {
    let foreign = ForeignServer::start(portal);
    let to = format!("{}/caught", foreign.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::Search, Fault::Redirect { status: 302, to });
    });
    foreign
}

#[track_caller]
fn got_no_token(foreign: &ForeignServer) {
    let requests = foreign.requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(request.header("x-esri-authorization").is_none());
        assert!(request.header("authorization").is_none());
    }
}

#[test]
fn tokens_are_not_sent_to_other_hosts() {
    let (portal, home) = signed_in();
    let foreign = sends_searches_away(&portal);
    let federated = format!("{}/rest/services?f=json", portal.server_url());
    succeeds(&script(
        &home,
        "foreign.py",
        &[
            &portal.ca_file(home.path()).display().to_string(),
            &federated,
            &foreign.url(),
        ],
    ));
    got_no_token(&foreign);
    portal.assert_clean();
}

#[test]
fn a_blocked_program_makes_no_request_to_a_federated_server_anonymous() {
    let (portal, home) = signed_in();
    succeeds(&script(&home, "blocked.py", &[&portal.server_layer_url()]));
}

/// The portal rejects the token, and redirects the repeated request.
#[test]
fn a_rejected_token_is_not_sent_to_another_host_either() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    let to = format!("{}/caught", foreign.url());
    let rejection = serde_json::json!({"error": {"code": 498, "message": "Invalid token."}});
    portal.set(|rules| {
        for _ in 0..5 {
            rules.fault(Endpoint::Search, Fault::Json(rejection.clone()));
            let to = to.clone();
            rules.fault(Endpoint::Search, Fault::Redirect { status: 302, to });
        }
    });
    let ca = portal.ca_file(home.path()).display().to_string();
    succeeds(&script(&home, "foreign_again.py", &[&ca, &foreign.url()]));
    // Each request was sent twice.
    assert_eq!(portal.requests_to(Endpoint::Search).len(), 10);
    assert_eq!(foreign.requests().len(), 5);
    got_no_token(&foreign);
}

/// Every row of the migration table is tried: each name and command behaves as it says.
#[test]
fn every_row_of_the_migration_table_is_true() {
    let (portal, mut home) = signed_in();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/python");
    home.set("PYTHONPATH", &root.display().to_string());
    home.set("AGE_OAUTH_BIN", env!("CARGO_BIN_EXE_age-oauth"));
    let python = |code: &str| {
        let output = Command::new(interpreter())
            .args([
                "-c",
                &format!("import age_oauth\nfrom age_oauth import *\n{code}"),
            ])
            .env_clear()
            .envs(home.environment())
            .output()
            .expect("the Python that tests/run makes");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{code}: {errors}");
    };
    let gone = |call: &str, instead: &str| {
        python(&format!(
            "try: {call}\nexcept AgeOAuthError as e: assert {instead:?} in str(e), e\nelse: raise AssertionError({call:?})"
        ));
    };
    let text = include_str!("../../docs/migrate.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    for row in rows.clone() {
        match row.split(" | ").next().unwrap_or_default() {
            "| `get_gis(connection=\"prod\")`" => {
                python("assert get_gis(connection='prod').users.me.username == get_gis('prod').users.me.username");
            }
            "| `Connection(\"prod\").get_gis()`, `.id`, `.label`, `.portal_url`, `.auth_type`, `.meta`, `.get_identity(gis)`" => {
                python(
                    "c = Connection('prod'); g = c.get_gis()\n\
                     assert c.meta.id == c.id and c.label == 'prod' and c.auth_type == 'user'\n\
                     assert c.get_identity(g).username == g.users.me.username and c.portal_url == c.meta.portal_url",
                );
            }
            "| `list_connections()`" => python("assert [c.label for c in list_connections()] == ['prod']"),
            "| `ConnectionStore().list()`, `.resolve()`, `.get_default()`, `.set_active()`, `.load_meta()`" => {
                python(
                    "s = ConnectionStore(); i = s.resolve(connection='prod')\n\
                     assert s.list()[0].id == i == s.get_default() == s.load_meta(i).id; s.set_active(i)",
                );
            }
            "| `ConnectionStore().create()`, `.delete()`, `.reset_all()`" => {
                gone("ConnectionStore().create()", "connections add");
                gone("ConnectionStore().delete('x')", "connections remove");
                gone("ConnectionStore().reset_all()", "connections remove");
            }
            "| `ConnectionStore(base_dir)`" => gone("ConnectionStore('x')", "AGE_OAUTH_HOME"),
            "| `resolve_identity(gis, connection=…)`" => {
                python("from age_oauth.oauth import resolve_identity as r; assert r(None, connection='prod').username");
            }
            "| `maybe_rotate_refresh_token(…)`" => {
                python("from age_oauth.tokens import maybe_rotate_refresh_token as r; assert not r(connection='prod').rotated");
            }
            "| `OAuthConfig`, `AGEOAuth`" => {
                gone("OAuthConfig(portal_url='x')", "connections add");
                gone("AGEOAuth(None)", "token()");
            }
            "| `age-oauth connections add`, `list`, `show`, `use`, `remove`, `info`" => {
                add(&home, &portal, "other");
                for words in [&["list"][..], &["show", "other"], &["use", "prod"], &["info"]] {
                    home.run([&["connections"], words].concat()).done().ok();
                }
                let remove = ["connections", "remove", "other", "--yes"];
                home.run(remove).done().ok();
            }
            "| `age-oauth connections add --verify-ssl`: default `true`" => {
                let url = portal.url();
                let words = ["connections", "add", "--label", "x", "--portal", &url, "--client-id", "y"];
                // Its authority is unknown, so that verification would fail.
                home.run(words).done().code(6);
            }
            "| `age-oauth login --connection prod`" => {
                home.run(["login", "--connection", "nobody"]).done().code(4);
                sign_in(&home, &portal, "prod").ok();
            }
            "| `age-oauth whoami`" => {
                home.run(["whoami"]).done().ok().out(&format!("{USER}\n"));
            }
            "| `age-oauth token --rotate-refresh-token --portal prod`" => {
                let words = ["token", "--rotate-refresh-token", "--portal", "prod"];
                let said = home.run(words).done().ok();
                assert!(said.stdout.contains("rotation not needed"), "{}", said.stdout);
            }
            "| `.env` with secrets in each connection's folder" => {
                for secret in portal.secrets() {
                    assert!(home.files_containing(&secret).is_empty());
                }
            }
            other => panic!("no test for this row: {other}"),
        }
    }
    assert_eq!(rows.count(), 15);
}

/// The package as pip installs it, in an environment outside of the checkout; `tests/run` creates
/// it and names its Python.
mod installed {
    use super::*;

    fn python(home: &Home, code: &str) -> Output {
        let python = std::env::var_os("AGE_OAUTH_TEST_INSTALLED").expect("a Python; see tests/run");
        // Esri's package comes from the other environment, where ours is not.
        let there = Command::new(interpreter())
            .args([
                "-c",
                "import sysconfig; print(sysconfig.get_path('purelib'))",
            ])
            .output()
            .expect("the Python that tests/run makes");
        Command::new(python)
            .args(["-c", code])
            .env_clear()
            .envs(home.environment())
            .env("PYTHONPATH", String::from_utf8_lossy(&there.stdout).trim())
            .current_dir(home.path())
            .output()
            .expect("a Python")
    }

    #[track_caller]
    fn says(output: &Output) -> String {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The first block of Python in the README.
    fn readme() -> String {
        let text = include_str!("../../README.md");
        let (_, after) = text.split_once("```python\n").expect("a block");
        after.split_once("```").expect("its end").0.to_owned()
    }

    #[test]
    #[ignore = "needs an environment with the wheel, which tests/run makes"]
    fn the_lines_of_the_readme_run() {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        add(&home, &portal, "my_portal");
        sign_in(&home, &portal, "my_portal").ok();
        let said = says(&python(&home, &readme()));
        assert_eq!(said.lines().next(), Some(USER));
        none_was_anonymous(&portal);
        portal.assert_clean();
    }

    #[test]
    #[ignore = "needs an environment with the wheel, which tests/run makes"]
    fn the_example_of_the_predecessor_runs_unchanged() {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        for label in ["connection label", "some user"] {
            add(&home, &portal, label);
            sign_in(&home, &portal, label).ok();
        }
        add_application(&home, &portal, "some application");
        let said = says(&python(&home, include_str!("../python/example_0_2_1.py")));
        assert!(said.contains("some application"));
        none_was_anonymous(&portal);
    }

    #[test]
    #[ignore = "needs an environment with the wheel, which tests/run makes"]
    fn the_program_comes_with_the_package() {
        let home = home();
        let asks = "import sys, age_oauth, age_oauth._program as p, importlib.metadata as m; \
                    d = m.distribution('age-oauth'); print(p.find().startswith(sys.prefix), age_oauth.__version__, \
                    'Tag: py3-none-' in d.read_text('WHEEL'), [r for r in d.requires if 'extra' not in r])";
        let expected = format!("True {} True []\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(says(&python(&home, asks)), expected);
        let module = "import runpy, sys; sys.argv = ['age-oauth', '--version']; runpy.run_module('age_oauth', run_name='__main__')";
        let said = says(&python(&home, module));
        assert_eq!(said, format!("age-oauth {}\n", env!("CARGO_PKG_VERSION")));
    }
}
