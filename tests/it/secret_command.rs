//! The client secret from a command: it is run when a token is renewed, and its output is stored
//! nowhere. Who may choose it, what it gets, and what becomes of its failures.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use age_oauth::testing::Binding;
use age_oauth::{
    ConnectionStore, Context, Environment, Error, Item, ItemKind, KeychainKind, KeychainReason,
    Keychains, Secret, SecretStore, Session,
};
use serde_json::{json, Value};

use crate::concurrent_renewal::{new_token, twelve_that_wait};
use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    service_secret, Endpoint, Fault, Gate, Portal, PortalVersion, SecretCheck, APP_ID, SERVICE_ID,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{
    add, add_application, add_arguments, age_sign_in, expire_token, folder_of, set_token_life,
    sign_in, stored,
};
use crate::support::{send_signal, until};

/// What the herd is made of, as in `concurrent_renewal`.
const PROCESSES: usize = 60;

/// A portal, and a home with a script that prints the secret in a file and counts its runs.
struct Fixture {
    portal: Portal,
    home: Home,
    ca: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        let ca = portal.ca_file(home.path());
        home.allow_secrets_in("manager");
        let manager = home.path().join("manager");
        fs::create_dir(&manager).unwrap();
        set_mode(&manager, 0o755);
        let fixture = Self { portal, home, ca };
        fixture.script("");
        fixture.keep(service_secret());
        fixture
    }

    /// The same, with the application connection `service` that has the script.
    fn added() -> Self {
        let fixture = Self::new();
        fixture.add(&fixture.command()).ok();
        fixture
    }

    fn manager(&self, name: &str) -> PathBuf {
        self.home.path().join("manager").join(name)
    }

    /// The secret that the secret manager has from now on, put there at once.
    fn keep(&self, secret: &str) {
        fs::write(self.manager("new"), format!("{secret}\n")).unwrap();
        fs::rename(self.manager("new"), self.manager("secret")).unwrap();
    }

    /// Another secret at the portal and in the secret manager.
    fn rotate(&self, secret: &str) {
        self.rotate_at_the_portal(SERVICE_ID, secret);
        self.keep(secret);
    }

    fn rotate_at_the_portal(&self, app: &str, secret: &str) {
        self.portal
            .set(|rules| rules.app_mut(app).secret = secret.into());
    }

    /// The script, with something that it does before it prints the secret.
    fn script(&self, first: &str) {
        let folder = self.home.path().join("manager");
        let folder = folder.display();
        let text = format!("echo run >>'{folder}/runs'\n{first}\ncat '{folder}/secret'\n");
        fs::write(self.manager("print.sh"), text).unwrap();
        set_mode(&self.manager("print.sh"), 0o644);
    }

    /// The script as an argument of the shell. The process of another test could have it open for
    /// writing at the moment when it would be started itself.
    fn command(&self) -> String {
        format!("/bin/sh '{}'", self.manager("print.sh").display())
    }

    fn words(&self) -> Value {
        json!(["/bin/sh", self.manager("print.sh")])
    }

    fn runs(&self) -> usize {
        let runs = fs::read_to_string(self.manager("runs")).unwrap_or_default();
        runs.lines().count()
    }

    /// The application connection `service` with this command.
    #[track_caller]
    fn add(&self, command: &str) -> Outcome {
        self.add_with(&["--client-secret-command", command])
    }

    #[track_caller]
    fn add_with(&self, options: &[&str]) -> Outcome {
        let url = self.portal.url();
        let ca = self.ca.to_str().unwrap();
        let mut words = add_arguments("service", &url, SERVICE_ID, ca).to_vec();
        words.extend(["--auth-type", "app"]);
        words.extend(options);
        self.home.run(words).done()
    }

    /// The signed-in user connection `prod` with this command, at a portal that wants the secret.
    #[track_caller]
    fn add_user(&self) {
        self.portal.set(|rules| {
            rules.check_secret_on_code = SecretCheck::Required;
            rules.check_secret_on_refresh = SecretCheck::Required;
        });
        self.rotate_at_the_portal(APP_ID, service_secret());
        let url = self.portal.url();
        let ca = self.ca.to_str().unwrap();
        let mut words = add_arguments("prod", &url, APP_ID, ca).to_vec();
        let command = self.command();
        words.extend(["--client-secret-command", &command]);
        self.home.run(words).done().ok();
        sign_in(&self.home, &self.portal, "prod").ok();
        fs::remove_file(self.manager("runs")).unwrap();
    }

    fn meta_file(&self, label: &str) -> PathBuf {
        folder_of(&self.home, label).join("meta.json")
    }

    fn meta(&self, label: &str) -> Value {
        serde_json::from_slice(&fs::read(self.meta_file(label)).unwrap()).unwrap()
    }

    fn change_meta(&self, label: &str, name: &str, value: &Value) {
        let mut meta = self.meta(label);
        meta[name] = value.clone();
        fs::write(self.meta_file(label), meta.to_string()).unwrap();
    }

    fn vault(&self) -> Arc<dyn SecretStore> {
        Keychains::new(self.home.store(), true, false, &context()).of(KeychainKind::Vault)
    }

    fn item(&self, label: &str, kind: ItemKind) -> Option<Secret> {
        let item = Item::of(&stored(&self.home, label), kind);
        self.vault().get(&item).unwrap()
    }

    /// A token that is renewed in any case.
    #[track_caller]
    fn force(&self) -> Outcome {
        self.home.run(["token", "--force", "-c", "service"]).done()
    }

    #[track_caller]
    fn edit(&self, label: &str, options: &[&str]) -> Outcome {
        let mut words = vec!["connections", "edit", label];
        words.extend(options);
        self.home.run(words).done()
    }
}

fn context() -> Context {
    Context {
        environment: Environment::of(Vec::<(String, String)>::new()),
        ..Context::process()
    }
}

#[test]
fn rule_32_the_secret_is_printed_once_for_each_token_and_stored_nowhere() {
    let fixture = Fixture::new();
    let (portal, home) = (&fixture.portal, &fixture.home);
    let said = fixture.add(&fixture.command()).ok().stderr;
    assert!(said.contains("printed by /bin/sh"), "{said}");
    assert_eq!(fixture.runs(), 0, "`add` examines it, and does not run it");
    // The first token, and the same from the keychain, for which nothing is run.
    let token = home.run(["token", "-c", "service"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    let again = home.run(["token", "-c", "service"]).done().ok();
    again.out(&token.stdout);
    assert_eq!(fixture.runs(), 1);
    fixture.force().ok();
    assert_eq!(fixture.runs(), 2);
    // Only the words are stored, as an array with the whole path of the program.
    assert_eq!(
        fixture.meta("service")["client_secret_command"],
        fixture.words()
    );
    assert!(fixture.item("service", ItemKind::ClientSecret).is_none());
    assert!(fixture.item("service", ItemKind::Binding).is_some());
    assert_eq!(
        home.files_containing(service_secret()),
        [fixture.manager("secret")]
    );
    let shown = home
        .run(["connections", "show", "service"])
        .done()
        .ok()
        .stdout;
    assert!(
        shown.contains("Client secret:   printed by /bin/sh "),
        "{shown}"
    );
    for words in [
        &["connections", "show", "service", "--json"][..],
        &["connections", "list", "--json"],
    ] {
        let answer: Value = serde_json::from_str(&home.run(words).done().ok().stdout).unwrap();
        let one = answer.get(0).unwrap_or(&answer);
        assert_eq!(one["client_secret_command"], fixture.words());
    }
    let stored = home.run(["status", "--keychain", "--json"]).done().ok();
    assert!(
        stored.stdout.contains("\"secret_stored\":true"),
        "{}",
        stored.stdout
    );
    // A changed secret is used for the next token.
    fixture.rotate("rotated-once-a1");
    fixture.force().ok();
    assert_eq!(fixture.runs(), 3);
    home.run(["connections", "remove", "service", "--yes"])
        .done()
        .ok();
    assert!(home.run(["connections", "list"]).done().stdout.is_empty());
}

#[test]
fn a_refused_secret_is_asked_for_once_more() {
    let fixture = Fixture::added();
    let (portal, manager) = (&fixture.portal, fixture.manager(""));
    let asked = || portal.requests_to(Endpoint::AppToken).len();
    // Refused, and the same again: it is not sent twice.
    fixture.rotate_at_the_portal(SERVICE_ID, "rotated-away-b1");
    let said = fixture.force().code(7).stderr;
    assert!(
        said.contains("does not accept this client secret, which the command `sh` printed"),
        "{said}"
    );
    // What helps is not another way to give the secret.
    assert!(
        said.contains("--client-secret-command COMMAND") && !said.contains("--client-secret-stdin"),
        "{said}"
    );
    assert_eq!((fixture.runs(), asked()), (2, 1));
    // Refused, and then the new one, for each form of the refusal.
    let folder = manager.display();
    for (number, refusal) in [
        None,
        Some(json!({"error": {"code": 400, "error": "invalid_client", "error_description": "no", "message": "no", "details": []}})),
        Some(json!({"error": "invalid_client", "error_description": "no"})),
    ]
    .into_iter()
    .enumerate()
    {
        let (runs, requests) = (fixture.runs(), asked());
        let (former, next) = (format!("former-b{number}"), format!("next-b{number}"));
        fixture.script(&format!(
            "if [ -e '{folder}/first' ]; then rm '{folder}/first'; echo {former}; exit; fi"
        ));
        fs::write(fixture.manager("first"), "").unwrap();
        fixture.rotate(&next);
        if let Some(refusal) = refusal {
            fixture.rotate_at_the_portal(SERVICE_ID, &next);
            portal.set(|rules| rules.fault(Endpoint::AppToken, Fault::Json(refusal)));
        }
        fixture.force().ok();
        assert_eq!((fixture.runs() - runs, asked() - requests), (2, 2), "{number}");
    }
    // Another refusal of the portal does not lead to a second run.
    let runs = fixture.runs();
    portal.set(|rules| rules.fault(Endpoint::AppToken, Fault::error(403, "no right")));
    fixture.force().code(7);
    assert_eq!(fixture.runs() - runs, 1);
}

#[test]
fn users_send_the_secret_of_the_command_with_every_grant() {
    let fixture = Fixture::new();
    fixture.add_user();
    let (portal, home) = (&fixture.portal, &fixture.home);
    assert!(fixture.item("prod", ItemKind::ClientSecret).is_none());
    home.run(["token", "-c", "prod"]).done().ok();
    assert_eq!(fixture.runs(), 0);
    expire_token(home, "prod");
    home.run(["token", "-c", "prod"]).done().ok();
    assert_eq!(fixture.runs(), 1);
    // A secret that is replaced between the run and the request, at each grant.
    let folder = fixture.home.path().join("manager");
    let folder = folder.display();
    for (number, (words, endpoint)) in [
        (&["token", "--force", "-c", "prod"][..], Endpoint::Refresh),
        (&["refresh", "--now", "-c", "prod"], Endpoint::Exchange),
    ]
    .into_iter()
    .enumerate()
    {
        let (runs, requests) = (fixture.runs(), portal.requests_to(endpoint).len());
        fixture.script(&format!(
            "if [ -e '{folder}/first' ]; then rm '{folder}/first'; echo former-c{number}; exit; fi"
        ));
        fs::write(fixture.manager("first"), "").unwrap();
        let next = format!("next-c{number}");
        fixture.rotate_at_the_portal(APP_ID, &next);
        fixture.keep(&next);
        let said = home.run(words).done().ok();
        assert!(
            !said.stderr.contains("could not be extended"),
            "{}",
            said.stderr
        );
        let asked = portal.requests_to(endpoint).len() - requests;
        assert_eq!((fixture.runs() - runs, asked), (2, 2), "{words:?}");
    }
    // The sign-in is as good as before, also when it is due to be extended.
    age_sign_in(home, "prod", 6);
    expire_token(home, "prod");
    home.run(["token", "-c", "prod"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 3);
}

#[test]
fn a_failing_command_costs_a_user_neither_the_sign_in_nor_the_page() {
    let fixture = Fixture::new();
    fixture.add_user();
    let (portal, home) = (&fixture.portal, &fixture.home);
    let before = portal.connections();
    fixture.script("exit 3");
    for words in [
        &["token", "--force", "-c", "prod"][..],
        &["refresh", "--now", "-c", "prod"],
        // Before a person is sent to the portal's page.
        &["login", "-c", "prod"],
    ] {
        let said = home.run(words).done().code(5);
        assert!(
            said.stderr.contains("failed (exit code 3)"),
            "{}",
            said.stderr
        );
        assert!(said.stdout.is_empty(), "{}", said.stdout);
    }
    assert_eq!(portal.connections(), before);
    fixture.script("");
    home.run(["token", "--force", "-c", "prod"]).done().ok();
}

#[test]
fn sixty_processes_lose_no_job_while_the_secret_is_replaced() {
    let fixture = Fixture::added();
    let (portal, home) = (&fixture.portal, &fixture.home);
    let mut rotated = 0;
    for round in 0..3 {
        let runs = fixture.runs();
        let requests = portal.requests_to(Endpoint::AppToken).len();
        // The first request has the old secret, and is held before the portal compares it.
        let gate = Gate::new();
        portal.set(|rules| rules.fault(Endpoint::AppToken, Fault::HoldBefore(gate.clone())));
        let children: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let mut child = home.run(["token", "--force", "-c", "service"]).spawn();
                drop(child.stdin.take());
                child
            })
            .collect();
        gate.await_arrivals(1);
        fixture.rotate(&format!("rotated-d{round}"));
        rotated += 1;
        gate.open();
        for child in children {
            let token = Outcome::of(child).ok();
            assert!(portal.accepts_access_token(token.line()));
        }
        // Each process that asks the portal runs the command once, and the one that was refused
        // once more.
        let asked = portal.requests_to(Endpoint::AppToken).len() - requests;
        assert_eq!(fixture.runs() - runs, asked);
        assert!(asked < PROCESSES, "{asked}");
    }
    assert_eq!(rotated, 3);
}

#[test]
fn those_who_wait_outlast_two_runs_of_a_slow_command() {
    let fixture = Fixture::added();
    let (portal, home) = (&fixture.portal, &fixture.home);
    let folder = fixture.home.path().join("manager");
    let folder = folder.display();
    // Two runs of two seconds each, the first with a secret that is refused.
    fixture.script(&format!(
        "sleep 2; if [ -e '{folder}/first' ]; then rm '{folder}/first'; echo former-e; exit; fi"
    ));
    fs::write(fixture.manager("first"), "").unwrap();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut child = home.run(["token", "-c", "service"]).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    let tokens: Vec<_> = children
        .into_iter()
        .map(|child| Outcome::of(child).ok().stdout)
        .collect();
    assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(portal.requests_to(Endpoint::AppToken).len(), 2);
    assert_eq!(fixture.runs(), 2);
}

/// Every way to use the connection is refused, and the command is not run.
#[track_caller]
fn nothing_is_run(fixture: &Fixture, label: &str, case: &str) {
    let requests = fixture.portal.connections();
    for words in [
        &["token", "-c", label][..],
        &["token", "--force", "-c", label],
        &["refresh", "-c", label],
        &["whoami", "-c", label],
        &["exec", "-c", label, "--", "true"],
        &["login", "-c", label],
        &[
            "connections",
            "edit",
            label,
            "--proxy",
            "none",
            "--no-check",
        ],
    ] {
        let said = fixture.home.run(words).done().code(5).stderr;
        assert!(
            said.contains("client secret command"),
            "{case} {words:?} {said}"
        );
        assert!(
            said.contains("--client-secret-command COMMAND"),
            "{case} {words:?} {said}"
        );
    }
    let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
    assert!(
        found.contains("was not chosen here; it is not run"),
        "{case} {found}"
    );
    assert!(!found.contains("prints it whenever"), "{case} {found}");
    assert_eq!(fixture.runs(), 0, "{case}");
    assert_eq!(fixture.portal.connections(), requests, "{case}");
}

#[test]
fn rule_33_a_command_that_only_a_file_names_is_not_run() {
    let fixture = Fixture::new();
    let (portal, home) = (&fixture.portal, &fixture.home);
    add_application(home, portal, "service");
    let item = Item::of(&stored(home, "service"), ItemKind::Binding);
    let vault = fixture.vault();
    let bound = vault.get(&item).unwrap().unwrap();
    let old = {
        let mut old = Binding::from_record(&bound).unwrap();
        old.settings = None;
        old.to_record()
    };
    fixture.change_meta("service", "client_secret_command", &fixture.words());
    // Whatever the keychain says: bound without a command, by a version that bound less, nothing.
    nothing_is_run(&fixture, "service", "bound");
    vault.set(&item, &old).unwrap();
    nothing_is_run(&fixture, "service", "an old record");
    for kind in ItemKind::OF_CONNECTION {
        vault
            .delete(&Item::of(&stored(home, "service"), kind))
            .unwrap();
    }
    nothing_is_run(&fixture, "service", "no record");
    let said = home.run(["status", "--check", "--keychain"]).done().code(5);
    let said = format!("{}{}", said.stdout, said.stderr);
    assert!(
        said.contains("a person chose the client secret command"),
        "{said}"
    );
    assert!(said.contains("--client-secret-command COMMAND"), "{said}");
    // Nor does a program that uses the library bind it by the way.
    let store = ConnectionStore::open(home.store());
    let session = Session::new(store, stored(home, "service"), vault, context());
    match session.bind_settings().unwrap_err() {
        Error::Keychain { error, .. } => assert_eq!(error.reason, KeychainReason::Mismatch),
        other => panic!("{other}"),
    }
    // Chosen by a person, it is run.
    let (command, ca) = (fixture.command(), fixture.ca.to_str().unwrap());
    let chosen = ["--client-secret-command", &command, "--verify-ssl", ca];
    fixture.edit("service", &chosen).ok();
    fixture.force().ok();
    assert_eq!(fixture.runs(), 1);
}

#[test]
fn rule_33_another_command_in_the_file_is_not_run() {
    let fixture = Fixture::added();
    let print = fixture.manager("print.sh");
    for other in [
        json!(["/bin/sh", print, "more"]),
        json!(["/bin/sh", "-c", format!("/bin/sh '{}'", print.display())]),
        json!(["/bin/dash", print]),
    ] {
        fixture.change_meta("service", "client_secret_command", &other);
        nothing_is_run(&fixture, "service", &other.to_string());
    }
    // Anything that cannot be a command is a damaged file.
    let (path, good) = (fixture.meta_file("service"), fixture.meta("service"));
    for other in [json!([]), json!(["sh"]), json!("sh"), json!(["/bin/sh", 1])] {
        let mut meta = good.clone();
        meta["client_secret_command"] = other;
        fs::write(&path, meta.to_string()).unwrap();
        let said = fixture.home.run(["token", "-c", "service"]).done().code(1);
        assert!(said.stderr.contains("is not valid"), "{}", said.stderr);
    }
    fs::write(&path, good.to_string()).unwrap();
    assert_eq!(fixture.runs(), 0);
    // Without a command, there is no client secret; it is not asked for elsewhere.
    fixture.change_meta("service", "client_secret_command", &Value::Null);
    fixture.home.run(["token", "-c", "service"]).done().code(5);
}

#[test]
fn rule_33_a_user_connection_runs_no_command_of_a_file() {
    let fixture = Fixture::new();
    add(&fixture.home, &fixture.portal, "prod");
    sign_in(&fixture.home, &fixture.portal, "prod").ok();
    fixture.change_meta("prod", "client_secret_command", &fixture.words());
    nothing_is_run(&fixture, "prod", "user");
}

#[test]
fn rule_33_no_question_at_a_sign_in_confirms_a_command() {
    let fixture = Fixture::new();
    let home = &fixture.home;
    add(home, &fixture.portal, "prod");
    let vault = fixture.vault();
    for kind in ItemKind::OF_CONNECTION {
        vault
            .delete(&Item::of(&stored(home, "prod"), kind))
            .unwrap();
    }
    fixture.change_meta("prod", "client_secret_command", &fixture.words());
    let mut terminal = Terminal::start(home, &["login", "-c", "prod", "--no-browser"]);
    terminal.expect("--client-secret-command COMMAND");
    assert_eq!(terminal.end(), 5);
    let screen = terminal.screen();
    assert!(!screen.contains("Did you choose"), "{screen}");
    assert_eq!(fixture.runs(), 0);
}

#[test]
fn rule_33_cards_carry_no_command() {
    let fixture = Fixture::added();
    let home = &fixture.home;
    let card = home.path().join("card.json");
    let shared = home.run(["connections", "share", "service"]).done().ok();
    let text = shared.stdout;
    assert!(
        !text.contains("print.sh") && !text.contains("command"),
        "{text}"
    );
    // One that was put in is refused with the whole card.
    let with = text.replacen('{', "{\"client_secret_command\": [\"/bin/sh\"],", 1);
    fs::write(&card, with).unwrap();
    let words = [
        "connections",
        "add",
        "--yes",
        "--label",
        "other",
        "--from",
        card.to_str().unwrap(),
    ];
    let said = home.run(words).done().code(2);
    assert!(
        said.stderr.contains("client_secret_command"),
        "{}",
        said.stderr
    );
    assert_eq!(fixture.runs(), 0);
}

/// A program that prints the secret, in `folder`. It is put there by another process: no process of
/// a test can have it open for writing.
fn install(folder: &Path, fixture: &Fixture, mode: &str) -> PathBuf {
    install_as(&folder.join("print-secret"), fixture, "#!/bin/sh", mode)
}

/// The same as a script with this first line.
fn install_as(target: &Path, fixture: &Fixture, first: &str, mode: &str) -> PathBuf {
    let source = fixture.manager("source");
    fs::write(&source, format!("{first}\nexec {}\n", fixture.command())).unwrap();
    let done = Command::new("install")
        .args(["-m", mode])
        .arg(&source)
        .arg(target)
        .status();
    assert!(done.unwrap().success());
    target.to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn rule_32_a_program_that_others_can_change_is_not_run() {
    let fixture = Fixture::new();
    let folder = fixture.home.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let program = install(&folder, &fixture, "755");
    let text = program.to_str().unwrap();
    // When it is chosen.
    set_mode(&program, 0o757);
    let said = fixture.add(text).code(5).stderr;
    assert!(
        said.contains("other users could replace it") && said.contains("(mode 0757)"),
        "{said}"
    );
    set_mode(&program, 0o755);
    fixture.add(text).ok();
    fixture.force().ok();
    assert_eq!(fixture.runs(), 1);
    // And at each run.
    for (path, unsafe_mode, mode) in [
        (&program, 0o777, 0o755),
        (&folder, 0o757, 0o755),
        (&folder, 0o777, 0o755),
    ] {
        set_mode(path, unsafe_mode);
        let said = fixture.force().code(5).stderr;
        assert!(said.contains("other users could replace it"), "{said}");
        assert!(said.contains("chmod go-w"), "{said}");
        // A token that is good enough does not ask for it.
        let cached = fixture.home.run(["token", "-c", "service"]);
        cached.done().ok();
        let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
        assert!(found.contains("other users could replace it"), "{found}");
        set_mode(path, mode);
    }
    assert_eq!(fixture.runs(), 1);
    fixture.force().ok();
    let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
    assert!(
        found.contains("prints it whenever a token is renewed"),
        "{found}"
    );
    // It cannot be started.
    set_mode(&program, 0o644);
    let said = fixture.force().code(5).stderr;
    assert!(
        said.contains("could not be started: permission denied"),
        "{said}"
    );
    let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
    assert!(
        found.contains("could not be started: permission denied"),
        "{found}"
    );
    assert!(!found.contains("prints it whenever"), "{found}");
    set_mode(&program, 0o755);
    // The file that the command names, and the interpreter of its script.
    let script = fixture.manager("print.sh");
    let tool = fixture.home.path().join("bin/tool");
    let done = Command::new("install")
        .args(["-m", "755", "/bin/sh"])
        .arg(&tool)
        .status();
    assert!(done.unwrap().success());
    let first = format!("#!{}", tool.display());
    let second = install_as(&folder.join("second"), &fixture, &first, "755");
    for (path, command) in [
        (&script, fixture.command()),
        (&tool, second.display().to_string()),
    ] {
        let edit = |command| fixture.edit("service", &["--client-secret-command", command]);
        edit(&command).ok();
        let runs = fixture.runs();
        set_mode(path, 0o777);
        let said = fixture.force().code(5).stderr;
        let named = format!("or what it names: `{}`", path.display());
        assert!(said.contains(&named), "{said}");
        let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
        assert!(found.contains(&named), "{found}");
        assert_eq!(fixture.runs(), runs);
        set_mode(path, 0o755);
        fixture.force().ok();
        assert_eq!(fixture.runs(), runs + 1);
    }
    fixture
        .edit("service", &["--client-secret-command", text])
        .ok();
    // It went away.
    fs::remove_file(&program).unwrap();
    let said = fixture.force().code(5).stderr;
    assert!(said.contains("is not there any more"), "{said}");
}

#[test]
fn rule_32_a_program_of_the_present_folder_is_not_found() {
    let fixture = Fixture::new();
    // Planted where the command is typed; `PATH` has the present folder in three spellings.
    install(fixture.home.path(), &fixture, "755");
    let url = fixture.portal.url();
    let ca = fixture.ca.to_str().unwrap();
    let mut words = add_arguments("service", &url, SERVICE_ID, ca).to_vec();
    words.extend(["--auth-type", "app", "--client-secret-command"]);
    let home = &fixture.home;
    for named in ["print-secret", "./print-secret", "sub/../print-secret"] {
        let mut words = words.clone();
        words.push(named);
        let said = home.run(words).env("PATH", ":.:/usr/bin:").done().code(2);
        assert!(said.stderr.contains("whole path"), "{}", said.stderr);
    }
    // The same name in an absolute folder is found, and stored with it.
    let folder = home.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let program = install(&folder, &fixture, "755");
    words.push("print-secret 'a b'");
    let path = format!(":.:{}:/usr/bin:/bin", folder.display());
    home.run(words).env("PATH", path).done().ok();
    assert_eq!(
        fixture.meta("service")["client_secret_command"],
        json!([program, "a b"])
    );
    fixture.force().ok();
}

#[test]
fn rule_33_a_word_that_looks_like_a_secret_is_refused_when_it_is_chosen() {
    let fixture = Fixture::new();
    let home = &fixture.home;
    for command in [
        "/bin/echo --password canary-f1",
        "/bin/echo -H 'X-Vault-Token: canary-f1'",
        r#"["/bin/echo", "--token=canary-f1"]"#,
        "/usr/bin/env VAULT_TOKEN=canary-f1 /bin/echo",
        "/bin/echo /password:canary-f1",
        "/bin/echo password=canary-f1",
    ] {
        let said = fixture.add(command).code(2).stderr;
        assert!(said.contains("looks like a secret"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert!(home
        .run(["connections", "list"])
        .done()
        .ok()
        .stdout
        .is_empty());
    // What cannot be meant, and two ways at once.
    for (options, why) in [
        (
            &["--client-secret-command", "/bin/echo x | head"][..],
            "without a shell",
        ),
        (
            &["--client-secret-command", "/bin/echo %TOKEN%"],
            "a variable (%NAME%)",
        ),
        (
            &["--client-secret-command", r#"/bin/echo \"a b\""#],
            "JSON array",
        ),
        (
            &["--client-secret-command", "/bin/echo “a b”"],
            "JSON array",
        ),
        (
            &["--client-secret-command", "no-such-program-here"],
            "in no folder of PATH",
        ),
        // The secret itself, pasted in place of the command, is not repeated.
        (
            &["--client-secret-command", "0f3b9dd2aa11canary"],
            "in no folder of PATH",
        ),
        (
            &["--client-secret-command", "/no/such/program"],
            "there is no program",
        ),
        (&["--client-secret-command", ""], "it is empty"),
        (
            &[
                "--client-secret-command",
                "/bin/echo x",
                "--client-secret-stdin",
            ],
            "cannot be used with",
        ),
        (
            &[
                "--client-secret-command",
                "/bin/echo x",
                "--no-client-secret",
            ],
            "cannot be used with",
        ),
    ] {
        let said = fixture.add_with(options).code(2).stderr;
        assert!(
            said.contains(why) && !said.contains("canary"),
            "{options:?}: {said}"
        );
    }
}

#[test]
fn rule_32_what_a_failing_command_says_is_shown_and_stored_nowhere() {
    const CANARY: &str = "canary-g7";
    let fixture = Fixture::added();
    let log = fixture.home.path().join("log.jsonl");
    fixture.script(&format!(
        "printf 'sign in first: \\033[31m{CANARY}\\033[0m\\nmore {CANARY}\\n' >&2; exit 4"
    ));
    let run = |words: &[&str]| {
        let run = fixture.home.run(words).env("AGE_OAUTH_LOG", &log);
        run.done().code(5)
    };
    // A person sees the first line, as text.
    let said = run(&["token", "-c", "service"]).stderr;
    assert!(
        said.contains("`sh` failed (exit code 4) (connection `service`)"),
        "{said}"
    );
    assert!(
        said.contains(&format!("  it said: sign in first: [31m{CANARY} [0m\n")),
        "{said}"
    );
    assert!(!said.contains("more") && !said.contains('\u{1b}'), "{said}");
    // Programs do not.
    for words in [
        &["token", "--json", "-c", "service"][..],
        &["whoami", "--json", "-c", "service"],
        &["refresh", "--json", "-c", "service"],
    ] {
        let said = run(words);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(
            text.contains("secret_command") && !text.contains(CANARY),
            "{text}"
        );
    }
    run(&["refresh", "--all"]);
    run(&["-vv", "token", "--force", "-c", "service"]);
    fixture
        .home
        .run(["doctor", "--json"])
        .env("AGE_OAUTH_LOG", &log)
        .done();
    let status = fixture.home.run(["status", "--json"]).done().stdout;
    assert!(
        status.contains("exit code 4") && !status.contains(CANARY),
        "{status}"
    );
    let kept = fixture.meta("service")["last_failure"].to_string();
    assert!(kept.contains("failed (exit code 4)"), "{kept}");
    let logged = fs::read_to_string(&log).unwrap();
    assert!(
        logged.contains("\"decision\":\"secret_command\""),
        "{logged}"
    );
    let found = fixture.home.files_containing(CANARY);
    assert_eq!(found, [fixture.manager("print.sh")]);
}

#[test]
fn output_that_is_no_client_secret_is_not_sent() {
    let fixture = Fixture::added();
    let requests = fixture.portal.requests_to(Endpoint::AppToken).len();
    for (output, why) in [
        (String::new(), "is empty"),
        ("\n".to_owned(), "is empty"),
        ("canary-h1\nlogin: ana\n".to_owned(), "has several lines"),
        ("Error: canary-h1\n".to_owned(), "contains a blank"),
        (format!("{SERVICE_ID}\n"), "is the client ID"),
        (
            "c\0a\0n\0a\0r\0y\0".to_owned(),
            "contains a control character",
        ),
        ("\u{feff}canary-h1\n".to_owned(), "or a byte order mark"),
        ("x".repeat(17_000), "is longer than 16 KiB"),
    ] {
        fs::write(fixture.manager("secret"), output).unwrap();
        let said = fixture.force().code(5).stderr;
        assert!(said.contains(why) && !said.contains("canary"), "{said}");
    }
    assert_eq!(
        fixture.portal.requests_to(Endpoint::AppToken).len(),
        requests
    );
    // Windows' line end is one, too.
    fs::write(
        fixture.manager("secret"),
        format!("{}\r\n", service_secret()),
    )
    .unwrap();
    fixture.force().ok();
}

#[test]
fn rule_32_a_command_that_hangs_ends_in_time_with_all_that_it_started() {
    let mut fixture = Fixture::added();
    // What was started in the background of a script ignores Ctrl-C from the start.
    fixture.home.start_by(&["env", "--default-signal=INT"]);
    let held = fixture.manager("held");
    fs::write(&held, "").unwrap();
    fixture.script(&format!(
        "exec 9<'{}'; flock 9; sleep 1000 & sleep 1000",
        held.display()
    ));
    let words = ["--timeout", "2s", "token", "-c", "service"];
    let said = fixture.home.run(words).done().code(5).stderr;
    assert!(said.contains("did not end within"), "{said}");
    assert!(said.contains("unlock your secret manager"), "{said}");
    let is_free = || fs::File::open(&held).unwrap().try_lock().is_ok();
    until(is_free);
    // Ctrl-C ends it, too.
    let mut child = fixture.home.run(["token", "-c", "service"]).spawn();
    drop(child.stdin.take());
    until(|| !is_free());
    send_signal("INT", child.id());
    let outcome = Outcome::of(child);
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    until(is_free);
}

#[test]
fn rule_32_the_command_gets_neither_our_secrets_nor_a_terminal_nor_input() {
    let fixture = Fixture::added();
    let seen = fixture.manager("seen");
    fixture.script(&format!(
        "{{ env; echo \"input: $(cat)\"; (: </dev/tty) 2>/dev/null && echo terminal; pwd; }} >'{}'",
        seen.display()
    ));
    let run = fixture.home.run(["token", "--force", "-c", "service"]);
    // Not a key of the vault, which has one of its own.
    run.env("AGE_OAUTH_CLIENT_SECRET", "canary-i1")
        .env("MANAGER_ADDRESS", "https://vault")
        .input("canary-i2\n")
        .done()
        .ok();
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("MANAGER_ADDRESS=https://vault"), "{seen}");
    assert!(
        seen.contains("input: \n") && !seen.contains("terminal"),
        "{seen}"
    );
    assert!(
        !seen.contains("canary") && !seen.contains("AGE_OAUTH_CLIENT_SECRET"),
        "{seen}"
    );
    // A folder that others cannot fill, and not the one that the person is in.
    assert!(seen.ends_with("/bin\n"), "{seen}");
}

#[test]
fn rule_32_the_command_cannot_ask_at_the_terminal_of_its_caller() {
    let fixture = Fixture::added();
    let seen = fixture.manager("seen");
    fixture.script(&format!(
        "(: </dev/tty) 2>/dev/null && echo terminal >'{}'",
        seen.display()
    ));
    let mut terminal = Terminal::start(&fixture.home, &["refresh", "-c", "service"]);
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert_eq!(fixture.runs(), 1);
    assert!(!seen.exists());
}

#[test]
fn rule_32_no_variable_leads_the_command_to_a_terminal() {
    let fixture = Fixture::added();
    let seen = fixture.manager("seen");
    fixture.script(&format!(
        "env >'{}'; echo canary-question >\"${{GPG_TTY:-/dev/null}}\"",
        seen.display()
    ));
    let line = format!(
        "export GPG_TTY=$(tty) SSH_TTY=$(tty) MY_TERMINAL=$(tty); test -c \"$GPG_TTY\" && '{}' refresh -c service",
        fixture.home.program().display()
    );
    let mut terminal = Terminal::start_program(&fixture.home, "/bin/sh", &["-c", &line]);
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert!(
        !terminal.screen().contains("canary"),
        "{}",
        terminal.screen()
    );
    let seen = fs::read_to_string(seen).unwrap();
    for name in ["GPG_TTY", "SSH_TTY", "MY_TERMINAL", "/dev/pts"] {
        assert!(!seen.contains(name), "{seen}");
    }
}

#[test]
fn rule_32_the_command_gets_no_token_of_its_caller() {
    let fixture = Fixture::added();
    let seen = fixture.manager("seen");
    fixture.script(&format!("env >'{}'", seen.display()));
    // As in a program that `exec` or `export-env --prefix GIS_` started.
    let mut run = fixture.home.run(["token", "--force", "-c", "service"]);
    run = run
        .env("AGE_OAUTH_CONNECTION", "service")
        .env("ARCGIS_PRO", "kept");
    for prefix in ["ARCGIS_", "GIS_"] {
        for name in [
            "PORTAL_URL",
            "TOKEN",
            "TOKEN_EXPIRES_AT",
            "TOKEN_EXPIRES_EPOCH",
            "USERNAME",
        ] {
            run = run.env(&format!("{prefix}{name}"), "canary-i3");
        }
    }
    run.done().ok();
    let seen = fs::read_to_string(seen).unwrap();
    assert!(
        !seen.contains("canary") && !seen.contains("AGE_OAUTH_CONNECTION"),
        "{seen}"
    );
    assert!(seen.contains("ARCGIS_PRO=kept"), "{seen}");
}

#[test]
fn those_who_wait_for_a_command_get_its_failure() {
    let fixture = Fixture::added();
    fixture.force().ok();
    fixture.script("exit 3");
    let before = fixture.runs();
    let run = |number| fixture.home.run(new_token(number));
    let outcomes = twelve_that_wait(&fixture.home, "service", run);
    let mut by_others = 0;
    for outcome in outcomes {
        let said = outcome.code(5).stderr;
        assert!(said.contains("failed (exit code 3)"), "{said}");
        by_others += usize::from(said.contains("in another process, for which this one waited"));
    }
    assert_eq!((fixture.runs() - before, by_others), (1, 11));
    let kept = fixture.meta("service")["last_failure"].to_string();
    assert!(!kept.contains("in another process"), "{kept}");
    // Who begins to wait afterwards runs it again.
    fixture.script("");
    fixture.force().ok();
    assert_eq!(fixture.runs() - before, 2);
}

#[test]
fn a_shorter_time_of_one_process_does_not_count_for_the_others() {
    let fixture = Fixture::added();
    let first = fixture.manager("first");
    fixture.script(&format!(
        "if mkdir '{}' 2>/dev/null; then sleep 1000; fi",
        first.display()
    ));
    let spawn = |words: &[&str]| {
        let mut child = fixture.home.run(words).spawn();
        drop(child.stdin.take());
        child
    };
    let short = spawn(&["--timeout", "10s", "token", "-c", "service"]);
    until(|| first.exists());
    let other = spawn(&["token", "-c", "service"]);
    let said = Outcome::of(short).code(5).stderr;
    assert!(said.contains("did not end within"), "{said}");
    Outcome::of(other).ok();
    assert_eq!(fixture.runs(), 2);
}

#[test]
fn a_failing_command_leaves_a_living_token_in_use() {
    let fixture = Fixture::added();
    let home = &fixture.home;
    let token = home.run(["token", "-c", "service"]).done().ok().stdout;
    let folder = fixture.manager("");
    // Less than scripts want, and more than none.
    let age = || set_token_life(home, "service", 58);
    for (script, words, why) in [
        (
            "exit 3",
            &["token", "-c", "service"][..],
            "failed (exit code 3)",
        ),
        (
            "echo two; echo lines",
            &["token", "-c", "service"],
            "has several lines",
        ),
        (
            "sleep 1000",
            &["token", "-c", "service"],
            "did not end within 20 seconds",
        ),
    ] {
        age();
        fixture.script(script);
        let outcome = home.run(words).done().ok();
        assert_eq!(outcome.stdout, token, "{script}");
        let said = outcome.stderr;
        assert!(
            said.contains(why) && said.contains("this is the cached token"),
            "{said}"
        );
        let kept = fixture.meta("service")["last_failure"].to_string();
        assert!(kept.contains(why), "{kept}");
    }
    fixture.script("exit 3");
    age();
    let shown = [
        "exec",
        "-c",
        "service",
        "--",
        "sh",
        "-c",
        "echo \"$ARCGIS_TOKEN\"",
    ];
    home.run(shown).done().ok().out(&token);
    // Who wants a new token, or a longer life, gets the failure.
    for words in [
        &["token", "--force", "-c", "service"][..],
        &["token", "--min-ttl", "5m", "-c", "service"],
        &["refresh", "-c", "service"],
    ] {
        age();
        home.run(words).done().code(5);
    }
    set_token_life(home, "service", 10);
    home.run(["token", "-c", "service"]).done().code(5);
    // That others could have changed the program is an error in any case.
    let program = install(&folder, &fixture, "755");
    fixture.script("");
    fixture
        .edit(
            "service",
            &["--client-secret-command", program.to_str().unwrap()],
        )
        .ok();
    home.run(["token", "--force", "-c", "service"]).done().ok();
    age();
    set_mode(&program, 0o777);
    home.run(["token", "-c", "service"]).done().code(5);
}

#[test]
fn an_extension_sends_as_many_requests_as_those_who_wait_allow_for() {
    let fixture = Fixture::new();
    fixture.add_user();
    let (portal, home) = (&fixture.portal, &fixture.home);
    let refused = || Fault::error(403, "no right");
    // An exchange without an answer, of which nothing can be found out.
    portal.set(|rules| {
        rules.fault(Endpoint::Exchange, Fault::ResetBefore);
        rules.fault(Endpoint::Refresh, refused());
    });
    home.run(["refresh", "--now", "-c", "prod"]).done();
    let requests = |endpoint| portal.requests_to(endpoint).len();
    let before = (requests(Endpoint::Refresh), requests(Endpoint::Exchange));
    // The next process finds it out with a secret that has just been replaced, and its own
    // extension gets no answer, either.
    let folder = fixture.manager("");
    fixture.script(&format!(
        "if mkdir '{}first' 2>/dev/null; then echo former-k1; exit; fi",
        folder.display()
    ));
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetBefore));
    home.run(["refresh", "--now", "-c", "prod"]).done().code(7);
    let sent = (
        requests(Endpoint::Refresh) - before.0,
        requests(Endpoint::Exchange) - before.1,
    );
    // `RENEWAL_REQUESTS` of src/policy.rs, and one more with the second secret.
    assert_eq!(sent, (3, 1));
}

#[test]
fn rule_32_ctrl_c_ends_the_second_run_of_an_extension() {
    let fixture = Fixture::new();
    fixture.add_user();
    let (first, second) = (fixture.manager("first"), fixture.manager("second"));
    fs::write(&second, "").unwrap();
    fixture.script(&format!(
        "if mkdir '{}' 2>/dev/null; then echo former-k2; exit; fi; exec 9<'{}'; flock 9; sleep 1000",
        first.display(),
        second.display()
    ));
    let mut terminal = Terminal::start(&fixture.home, &["refresh", "--now", "-c", "prod"]);
    let is_free = || fs::File::open(&second).unwrap().try_lock().is_ok();
    until(|| !is_free());
    terminal.interrupt();
    assert_eq!(terminal.end(), 130, "{}", terminal.screen());
    // No sign-in depends on the run.
    let screen = terminal.screen();
    assert!(
        !screen.contains("Waiting for the portal's answer"),
        "{screen}"
    );
    until(is_free);
    fixture.script("");
    fixture
        .home
        .run(["refresh", "--now", "-c", "prod"])
        .done()
        .ok();
}

#[test]
fn edit_replaces_a_stored_secret_by_a_command_and_back() {
    let fixture = Fixture::new();
    let (portal, home) = (&fixture.portal, &fixture.home);
    add_application(home, portal, "service");
    assert!(fixture.item("service", ItemKind::ClientSecret).is_some());
    let said = fixture.edit("service", &["--client-secret-command", &fixture.command()]);
    assert!(said.ok().stderr.contains("printed by /bin/sh"));
    assert!(fixture.item("service", ItemKind::ClientSecret).is_none());
    fixture.force().ok();
    assert_eq!(fixture.runs(), 1);
    // It stays with what does not concern it: tags, a proxy, the label, the keychain's other items.
    fixture.edit("service", &["--tag", "x"]).ok();
    fixture.edit("service", &["--proxy", "none"]).ok();
    fixture.edit("service", &["--label", "other"]).ok();
    fixture.edit("other", &["--label", "service"]).ok();
    fixture.force().ok();
    assert_eq!(fixture.runs(), 2);
    // It does not go to another portal or client ID.
    for options in [
        &["--portal", "https://gis.example.com/portal", "--no-check"][..],
        &["--client-id", "another"],
    ] {
        let said = fixture.edit("service", options).code(2).stderr;
        assert!(
            said.contains("belongs to the former portal or client ID"),
            "{said}"
        );
    }
    let command = fixture.command();
    let both = [
        "--client-id",
        "another",
        "--client-secret-command",
        &command,
    ];
    fixture.edit("service", &both).ok();
    let both = [
        "--client-id",
        SERVICE_ID,
        "--client-secret-command",
        &command,
    ];
    fixture.edit("service", &both).ok();
    fixture.force().ok();
    // And back to a stored secret.
    let words = ["connections", "edit", "service", "--client-secret-stdin"];
    home.run(words).input(service_secret()).done().ok();
    assert_eq!(
        fixture.meta("service")["client_secret_command"],
        Value::Null
    );
    assert!(fixture.item("service", ItemKind::ClientSecret).is_some());
    let runs = fixture.runs();
    fixture.force().ok();
    assert_eq!(fixture.runs(), runs);
}

#[test]
fn a_user_connection_can_do_without_a_command_again() {
    let fixture = Fixture::new();
    fixture.add_user();
    let home = &fixture.home;
    fixture.portal.set(|rules| {
        rules.check_secret_on_refresh = SecretCheck::IfSent;
    });
    fixture.edit("prod", &["--no-client-secret"]).ok();
    home.run(["token", "--force", "-c", "prod"]).done().ok();
    assert_eq!(fixture.runs(), 0);
    // As an application, it keeps the command of the same client ID.
    fixture
        .edit("prod", &["--client-secret-command", &fixture.command()])
        .ok();
    fixture.edit("prod", &["--auth-type", "app"]).ok();
    home.run(["token", "-c", "prod"]).done().ok();
    assert_eq!(fixture.runs(), 1);
    // A network connection has neither.
    let said = fixture.edit(
        "prod",
        &[
            "--auth-type",
            "network",
            "--client-secret-command",
            "/bin/true",
        ],
    );
    assert!(said
        .code(2)
        .stderr
        .contains("a network connection has neither"));
}

#[test]
fn an_interrupted_edit_leaves_the_command_and_doctor_names_the_rest() {
    let fixture = Fixture::added();
    // As after a crash between the last two steps.
    let item = Item::of(&stored(&fixture.home, "service"), ItemKind::ClientSecret);
    let bound = fixture.item("service", ItemKind::Binding).unwrap();
    let record = age_oauth::testing::ClientSecret {
        binding: Binding::from_record(&bound).unwrap(),
        secret: Secret::new("former-j1".into()),
    };
    fixture.vault().set(&item, &record.to_record()).unwrap();
    fixture.force().ok();
    assert_eq!(fixture.runs(), 1);
    let found = fixture.home.run(["doctor", "--offline"]).done().stdout;
    assert!(
        found.contains("a client secret is still stored, and not used"),
        "{found}"
    );
    fixture
        .edit("service", &["--client-secret-command", &fixture.command()])
        .ok();
    assert!(fixture.item("service", ItemKind::ClientSecret).is_none());
}
