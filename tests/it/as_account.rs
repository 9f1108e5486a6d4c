//! Jobs under service accounts: `doctor --as-task --account`, and a vault key that root gives to
//! named accounts. The accounts exist in a mount namespace of its own for each run, and the
//! processes are really theirs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{chown, lchown, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::home;
use crate::machine_policy::OTHER_ETC;
use crate::support::home::{Home, Outcome, Run};
use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID};
use crate::support::scenario::add_application_arguments;

/// The accounts of jobs. The first one is in the group of those that get the vault key.
const GIS: (&str, u32) = ("gis-jobs", 64001);
const OTHER: (&str, u32) = ("other-jobs", 64002);
const HOMELESS: (&str, u32) = ("homeless-jobs", 64003);
const KEY_GROUP: u32 = 64010;

/// Other lists of accounts and groups, for one process.
const OTHER_ACCOUNTS: &str = r#"given=$1; shift
mount --bind "$given/passwd" /etc/passwd
mount --bind "$given/group" /etc/group
exec "$@""#;

/// Without root, no process can become another account.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// A machine with these accounts, and the program where all of them can run it.
struct Machine {
    home: Home,
    _folder: tempfile::TempDir,
    accounts: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open.clone()).unwrap();
        let program = folder.path().join("age-oauth");
        fs::copy(home().program(), &program).unwrap();
        let home = Home::new(&program);
        fs::set_permissions(home.path(), open).unwrap();
        for (name, user) in [GIS, OTHER] {
            let own = home.path().join(name);
            fs::create_dir(&own).unwrap();
            fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
            chown(&own, Some(user), Some(user)).unwrap();
        }
        let accounts = folder.path().join("accounts");
        fs::create_dir(&accounts).unwrap();
        let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
        let mut group = fs::read_to_string("/etc/group").unwrap();
        for ((name, user), folder, shell) in [
            (GIS, home.path().join(GIS.0), "/usr/sbin/nologin"),
            (OTHER, home.path().join(OTHER.0), "/bin/sh"),
            (HOMELESS, "/nonexistent".into(), "/bin/sh"),
        ] {
            let folder = folder.display();
            passwd.extend([format!("{name}:x:{user}:{user}::{folder}:{shell}\n")]);
            group.extend([format!("{name}:x:{user}:\n")]);
        }
        group.extend([format!("gis-keys:x:{KEY_GROUP}:{}\n", GIS.0)]);
        fs::write(accounts.join("passwd"), passwd).unwrap();
        fs::write(accounts.join("group"), group).unwrap();
        Self {
            home,
            _folder: folder,
            accounts,
        }
    }

    /// A run as root, with nothing of the store that tests usually name.
    fn as_root(&mut self, words: &[&str]) -> Run {
        self.started_by(&[], words)
    }

    /// A run as this account, as `su` starts it, in its own home.
    fn as_account(&mut self, name: &str, words: &[&str]) -> Run {
        let become_it = ["setpriv", "--reuid", name, "--regid", name, "--init-groups"];
        let own = self.home.path().join(name);
        self.started_by(&become_it, words).env("HOME", own)
    }

    fn started_by(&mut self, launcher: &[&str], words: &[&str]) -> Run {
        let accounts = self.accounts.to_str().unwrap();
        let start = ["unshare", "-m", "sh", "-ec", OTHER_ACCOUNTS, "sh", accounts];
        self.home.start_by(&[&start, launcher].concat());
        let run = self.home.run(words);
        run.without("AGE_OAUTH_HOME")
    }

    /// The answer of `doctor --as-task --account`, started by root.
    #[track_caller]
    fn checked(&mut self, name: &str, variables: &[(&str, &Path)]) -> (i32, Value) {
        let words = ["doctor", "--as-task", "--json", "--account", name];
        let mut run = self.as_root(&words);
        for (variable, value) in variables {
            run = run.env(variable, value);
        }
        let out = run.done();
        (out.code, out.json())
    }

    /// Adds an application connection of this account.
    fn add(&mut self, portal: &Portal, name: &str, variables: &[(&str, &Path)]) {
        let ca = portal.ca_file(self.home.path());
        fs::set_permissions(&ca, Permissions::from_mode(0o644)).unwrap();
        let url = portal.url();
        let words = add_application_arguments("jobs", &url, SERVICE_ID, ca.to_str().unwrap());
        let mut run = self.as_account(name, &words).input(service_secret());
        for (variable, value) in variables {
            run = run.env(variable, value);
        }
        run.done().ok();
    }
}

/// The findings of a check, as lines.
fn lines(answer: &Value, check: &str) -> String {
    let all = answer["checks"].as_array().unwrap().iter();
    let lines = all.filter(|one| one["check"] == check).map(|one| {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} | {}\n",
            text("severity"),
            text("message"),
            text("hint")
        )
    });
    lines.collect()
}

#[track_caller]
fn has(answer: &Value, check: &str, text: &str) {
    let lines = lines(answer, check);
    assert!(lines.contains(text), "no `{text}` in {lines}\n{answer:#}");
}

#[test]
fn doctor_says_what_a_task_of_another_account_will_find() {
    if !is_root() {
        return;
    }
    let (portal, mut machine) = (Portal::start(PortalVersion::Enterprise114), Machine::new());
    machine.add(&portal, GIS.0, &[]);
    let own = machine.home.path().join(GIS.0);
    // The account has folders of its own.
    machine.home.set("XDG_CONFIG_HOME", "/root/.config");
    let (code, answer) = machine.checked(GIS.0, &[]);
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(answer["account"], GIS.0);
    assert_eq!(answer["fail"], 0);
    let groups = format!(
        "ok checked as the account `{0}` (user ID {1}, groups {0}, gis-keys)",
        GIS.0, GIS.1
    );
    has(&answer, "task", &groups);
    has(
        &answer,
        "task",
        &format!("sudo -H -u {} env AGE_OAUTH_KEYCHAIN=vault COMMAND", GIS.0),
    );
    has(&answer, "task", "ok its shell, /usr/sbin/nologin");
    let store = format!("ok {}/.config/age_oauth; only `{}`", own.display(), GIS.0);
    has(&answer, "store", &store);
    has(
        &answer,
        "vault key",
        "/.local/share/age_oauth/vault.key opens the vault",
    );
    has(&answer, "token", "ok ");
    has(&answer, "program", "its folder is not on PATH");
    // What the checks wrote belongs to the account.
    for file in ["vault", "vault.lock", "connections", "default"] {
        let found = own.join(".config/age_oauth").join(file);
        assert_eq!(found.metadata().unwrap().uid(), GIS.1, "{file}");
    }

    // The same for a person, who sees which account it was.
    let words = ["doctor", "--as-task", "--account", GIS.0, "--offline"];
    let said = machine.as_root(&words).done().ok().stdout;
    assert!(
        said.starts_with("ok   task: checked as the account"),
        "{said}"
    );
    assert!(said.ends_with(" 0 failed\n"), "{said}");
    assert!(!said.contains("portal jobs"), "{said}");
    // The options that say how much is printed reach the checks.
    let verbose = ["doctor", "--as-task", "--account", GIS.0, "-vv"];
    let verbose = machine.as_root(&verbose).done().ok();
    verbose.err_has("oauth2/token: 200");
    let one = [&words[..], &["-c", "none-such"]].concat();
    let said = machine.as_root(&one).done().code(1).stdout;
    assert!(said.contains("fail connection:"), "{said}");
    // The account checks itself in the same way, in the environment of a task.
    let own_run = machine.as_account(GIS.0, &[&words[..], &["--json"]].concat());
    let answer = own_run.done().ok().json();
    has(&answer, "task", &groups);
    has(&answer, "store", &store);
}

/// A variable that reaches the process of the account is named by its checks, or changes them.
#[test]
fn rule_26_another_account_gets_no_secret_of_the_caller() {
    if !is_root() {
        return;
    }
    let (portal, mut machine) = (Portal::start(PortalVersion::Enterprise114), Machine::new());
    machine.add(&portal, GIS.0, &[]);
    let secret = || uuid::Uuid::new_v4().simple().to_string();
    let key = secret().repeat(2);
    let proxy = format!("http://caller:{}@127.0.0.1:1", secret());
    for (name, value) in [
        ("AGE_OAUTH_VAULT_KEY", &key),
        ("AGE_OAUTH_VAULT_PASSPHRASE", &key),
        ("AGE_OAUTH_CLIENT_SECRET", &key),
        ("HTTPS_PROXY", &proxy),
    ] {
        machine.home.set(name, value);
    }
    for name in [GIS.0, "root"] {
        let (code, answer) = machine.checked(name, &[]);
        assert!(name == "root" || code == 0, "{answer:#}");
        let lines = lines(&answer, "task") + &lines(&answer, "proxy");
        assert!(lines.contains("AGE_OAUTH_KEYCHAIN"), "{lines}");
        for gone in ["VAULT_KEY", "VAULT_PASSPHRASE", "HTTPS_PROXY"] {
            assert!(!lines.contains(gone), "{gone}: {lines}");
        }
        let all = answer.to_string();
        assert!(!all.contains(&key) && !all.contains(&proxy), "{all}");
    }
}

/// What root's shell has open, and its session keyring. The account's own programs would find them:
/// here, the command that prints its client secret.
#[test]
fn rule_26_another_account_gets_no_open_file_and_no_keyring_of_the_caller() {
    if !is_root() {
        return;
    }
    let (portal, mut machine) = (Portal::start(PortalVersion::Enterprise114), Machine::new());
    let own = machine.home.path().join(GIS.0);
    let (secret, key) = (
        own.join("secret"),
        uuid::Uuid::new_v4().simple().to_string(),
    );
    machine.home.allow_secrets_in(&secret);
    fs::write(&secret, service_secret()).unwrap();
    let script = own.join("print.sh");
    let text =
        "cd \"$(dirname \"$0\")\"; cat /proc/keys >keys; ls -l /proc/self/fd/ >files; cat secret\n";
    fs::write(&script, text).unwrap();
    for path in [&secret, &script] {
        chown(path, Some(GIS.1), Some(GIS.1)).unwrap();
    }
    let ca = portal.ca_file(machine.home.path());
    fs::set_permissions(&ca, Permissions::from_mode(0o644)).unwrap();
    let command = format!("/bin/sh {}", script.display());
    let url = portal.url();
    let words = [
        "connections",
        "add",
        "--label",
        "jobs",
        "--portal",
        &url,
        "--client-id",
        SERVICE_ID,
        "--auth-type",
        "app",
        "--client-secret-command",
        &command,
        "--verify-ssl",
        ca.to_str().unwrap(),
    ];
    machine.as_account(GIS.0, &words).done().ok();
    let of_root = machine.home.path().join(format!("of-root-{key}"));
    fs::write(&of_root, &key).unwrap();
    for name in ["keys", "files"] {
        let _ = fs::remove_file(own.join(name));
    }

    let launcher = [
        "python3",
        "-c",
        WITH_THINGS_OF_ROOT,
        of_root.to_str().unwrap(),
    ];
    let words = ["doctor", "--as-task", "--json", "--account", GIS.0];
    let answer = machine.started_by(&launcher, &words).done().json();
    has(&answer, "token", "ok ");
    let files = fs::read_to_string(own.join("files")).unwrap();
    assert!(
        files.contains("0 ->") && !files.contains("of-root"),
        "{files}"
    );
    let keys = fs::read_to_string(own.join("keys")).unwrap();
    assert!(!keys.contains(&key), "{keys}");
}

/// Opens the file for what it starts, and puts a key into its session keyring. A container may have
/// no keyrings.
const WITH_THINGS_OF_ROOT: &str = r#"
import ctypes, os, platform, sys
numbers = {"x86_64": (248, 250), "aarch64": (217, 219)}
add_key, keyctl = numbers[platform.machine()]
call = ctypes.CDLL(None).syscall
name = sys.argv[1].encode()
call(keyctl, 1, None)
call(add_key, b"user", name, name, len(name), -3)
os.dup2(os.open(name, os.O_RDONLY), 7)
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn accounts_that_cannot_be_checked_are_refused_with_what_to_run() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new();
    let doctor = |name| ["doctor", "--as-task", "--offline", "--account", name];
    let unknown = machine.as_root(&doctor("none-such")).done();
    unknown
        .code(2)
        .err_has("this machine has no account `none-such`");
    let words = [&doctor("none-such")[..], &["--json"]].concat();
    let error = machine.as_root(&words).done().code(2).error_json();
    assert_eq!(error["error"]["kind"], "usage");

    let foreign = machine.as_account(OTHER.0, &doctor(GIS.0)).done().code(2);
    let hint = format!(
        "hint: sudo AGE_OAUTH_KEYCHAIN=vault {} doctor --as-task --account {} --offline",
        machine.home.program().display(),
        GIS.0
    );
    foreign.err_has(&hint);
    // All of it, so that root makes the same checks.
    let words = [
        &doctor(GIS.0)[..],
        &["-c", "My Jobs", "--json", "-vv", "--timeout=1h"],
    ]
    .concat();
    let run = machine.as_account(OTHER.0, &words);
    let run = run.env("AGE_OAUTH_HOME", "/srv/of jobs/age_oauth").done();
    let hint = run.code(2).error_json()["error"]["hint"].to_string();
    for part in [
        r#"sudo AGE_OAUTH_HOME=\"/srv/of jobs/age_oauth\" AGE_OAUTH_KEYCHAIN=vault"#,
        r#"--connection=\"My Jobs\" --offline --json -v -v --timeout="#,
    ] {
        assert!(hint.contains(part), "{part}: {hint}");
    }
    let words = [&doctor(GIS.0)[..], &["--entered"]].concat();
    let lie = machine.as_account(OTHER.0, &words).done().code(2);
    lie.err_has("does not run as the account");
    let alone = machine.as_root(&["doctor", "--account", GIS.0]).done();
    alone.code(2).err_has("--as-task");
    let unconfirmed = [&doctor(GIS.0)[..], &["--fix"]].concat();
    let unconfirmed = machine.as_root(&unconfirmed).done();
    let unconfirmed = unconfirmed.code(2).err_has("--yes");
    let unconfirmed = unconfirmed.err_has("--fix cannot ask you with --account");
    assert_eq!(unconfirmed.stdout, "");

    // A program that only root can reach.
    let folder = machine.home.path().join("private");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let program = folder.join("age-oauth");
    fs::copy(machine.home.program(), &program).unwrap();
    machine.home.allow_secrets_in(&program);
    let out = run_program(&machine, &program, &doctor(GIS.0));
    out.code(1)
        .err_has(&format!("cannot run {}", program.display()))
        .err_has("hint: install the program where every account can run it");
}

/// Another copy of the program, as root.
fn run_program(machine: &Machine, program: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-ec", OTHER_ACCOUNTS, "sh"])
        .arg(&machine.accounts)
        .arg(program)
        .args(words)
        .env_clear()
        .envs(machine.home.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Outcome::of(command.spawn().unwrap())
}

/// The log of root is root's, and nothing that root is told to run replaces a log.
#[test]
fn a_log_of_the_policy_belongs_to_who_started_with_it() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new();
    let given = tempfile::tempdir().unwrap();
    let folder = given.path().join("age-oauth");
    fs::create_dir(&folder).unwrap();
    let policy = r#"{"defaults": {"event_log": "/etc/age-oauth/log"}}"#;
    fs::write(folder.join("policy.json"), policy).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let change = format!(
        "mkdir /etc/age-oauth/log; mount --bind '{}' /etc/age-oauth/log",
        kept.path().display()
    );
    let given = given.path().to_str().unwrap();
    let policy = ["sh", "-ec", OTHER_ETC, "sh", given, &change];
    let become_it = [
        "setpriv",
        "--reuid",
        GIS.0,
        "--regid",
        GIS.0,
        "--init-groups",
    ];
    let as_account = [&policy[..], &become_it].concat();
    let own = machine.home.path().join(GIS.0);
    let set = |mode| fs::set_permissions(kept.path(), Permissions::from_mode(mode)).unwrap();

    set(0o755);
    let run = machine.started_by(&as_account, &["token", "-c", "jobs"]);
    let missing = run.env("HOME", &own).done().code(4);
    let install = format!(
        "install -m 600 -o {0} /dev/null /etc/age-oauth/log/{0}.jsonl",
        GIS.1
    );
    missing.err_has(&install);
    set(0o1777);
    let taken = kept.path().join(format!("{}.jsonl", GIS.1));
    fs::write(&taken, "of root\n").unwrap();
    let run = machine.started_by(&as_account, &["token", "-c", "jobs"]);
    let taken = run.env("HOME", &own).done().code(4);
    let taken = taken.err_has("it belongs to another user");
    assert!(!taken.stderr.contains("install"), "{}", taken.stderr);

    let log = kept.path().join("0.jsonl");
    fs::write(&log, "of root\n").unwrap();
    let only_root = Permissions::from_mode(0o700);
    fs::set_permissions(machine.home.program(), only_root).unwrap();
    let words = ["doctor", "--as-task", "--offline", "--account", GIS.0];
    let out = machine.started_by(&policy, &words).done().code(1);
    let out = out.err_has("cannot run");
    assert!(!out.stderr.contains("event log"), "{}", out.stderr);
    assert_eq!(fs::read_to_string(&log).unwrap(), "of root\n");
}

#[test]
fn homes_and_stores_that_a_task_cannot_use_are_named() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::new();
    let (code, answer) = machine.checked(HOMELESS.0, &[]);
    assert_eq!(code, 1, "{answer:#}");
    has(
        &answer,
        "task",
        "fail its home directory /nonexistent does not exist",
    );
    has(
        &answer,
        "task",
        "AGE_OAUTH_HOME=/var/lib/homeless-jobs/age_oauth",
    );

    // A place that the caller names, as the definition of the task will.
    let place = machine.home.path().join("srv");
    fs::create_dir(&place).unwrap();
    chown(&place, Some(HOMELESS.1), Some(HOMELESS.1)).unwrap();
    let store = place.join("age_oauth");
    let (code, answer) = machine.checked(HOMELESS.0, &[("AGE_OAUTH_HOME", &store)]);
    assert_eq!(code, 0, "{answer:#}");
    has(
        &answer,
        "task",
        "ok its home directory /nonexistent does not exist; AGE_OAUTH_HOME",
    );
    has(
        &answer,
        "store",
        &format!("warn {} does not exist yet", store.display()),
    );
    has(
        &answer,
        "task",
        "set for these checks, but perhaps not for a task: AGE_OAUTH_HOME",
    );

    // Set up with sudo, so that it belongs to root.
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
    let (code, answer) = machine.checked(HOMELESS.0, &[("AGE_OAUTH_HOME", &store)]);
    assert_eq!(code, 1, "{answer:#}");
    let owner = format!("fail {} belongs to `root`", store.display());
    has(&answer, "store", &owner);
    has(
        &answer,
        "store",
        &format!("chown -R {}: {}", HOMELESS.0, store.display()),
    );

    // A link of the account to a store of another one, which root must not give away.
    let link = place.join("link");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    lchown(&link, Some(HOMELESS.1), Some(HOMELESS.1)).unwrap();
    let (code, answer) = machine.checked(HOMELESS.0, &[("AGE_OAUTH_HOME", &link)]);
    assert_eq!(code, 1, "{answer:#}");
    let told = format!("{} is a link to {}", link.display(), store.display());
    has(&answer, "store", &told);
    has(&answer, "store", "belongs to `root`");
    let all = answer.to_string();
    assert!(!all.contains("chown"), "{all}");
    // The same for a folder on the way to it.
    let link = place.join("way");
    std::os::unix::fs::symlink(&place, &link).unwrap();
    lchown(&link, Some(HOMELESS.1), Some(HOMELESS.1)).unwrap();
    let behind = link.join("age_oauth");
    let (_, answer) = machine.checked(HOMELESS.0, &[("AGE_OAUTH_HOME", &behind)]);
    has(
        &answer,
        "store",
        &format!("{} is a link to", link.display()),
    );
    let all = answer.to_string();
    assert!(!all.contains("chown"), "{all}");

    // In a folder that the account cannot enter.
    let closed = machine.home.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let store = closed.join("age_oauth");
    let (code, answer) = machine.checked(HOMELESS.0, &[("AGE_OAUTH_HOME", &store)]);
    assert_eq!(code, 1, "{answer:#}");
    has(&answer, "store", "Permission denied");
}

/// Decision by decision: who may read a key file for it to be used, each as a real process of the
/// account.
#[test]
fn rule_25_a_key_of_root_opens_the_vaults_of_the_accounts_in_its_group_alone() {
    if !is_root() {
        return;
    }
    let (portal, mut machine) = (Portal::start(PortalVersion::Enterprise114), Machine::new());
    let key = machine.home.path().join("jobs.key");
    let digits = uuid::Uuid::new_v4().simple().to_string().repeat(2);
    fs::write(&key, digits).unwrap();
    let set = |owner: u32, group: u32, mode: u32| {
        chown(&key, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
    };
    set(0, KEY_GROUP, 0o440);
    let by_file = [("AGE_OAUTH_VAULT_KEY_FILE", key.as_path())];
    machine.add(&portal, GIS.0, &by_file);
    let mut token = |name: &str| {
        let run = machine.as_account(name, &["token", "-c", "jobs", "--json"]);
        run.env("AGE_OAUTH_VAULT_KEY_FILE", &key).done()
    };
    for (owner, group, mode) in [
        (0, KEY_GROUP, 0o440),
        (0, KEY_GROUP, 0o640),
        (GIS.1, GIS.1, 0o600),
        (GIS.1, GIS.1, 0o400),
    ] {
        set(owner, group, mode);
        token(GIS.0).ok();
    }
    for (owner, group, mode) in [
        (0, KEY_GROUP, 0o444),
        (0, KEY_GROUP, 0o644),
        (0, KEY_GROUP, 0o660),
        (0, KEY_GROUP, 0o460),
        (0, KEY_GROUP, 0o446),
        (GIS.1, KEY_GROUP, 0o440),
        (GIS.1, KEY_GROUP, 0o640),
        (GIS.1, GIS.1, 0o604),
        (OTHER.1, KEY_GROUP, 0o440),
        (OTHER.1, KEY_GROUP, 0o444),
    ] {
        set(owner, group, mode);
        let error = token(GIS.0).code(5).error_json();
        assert_eq!(
            error["error"]["reason"], "unsafe_key",
            "{owner} {mode:o}: {error}"
        );
    }
    // Accounts outside the group cannot read it at all.
    set(0, KEY_GROUP, 0o440);
    let refused = machine.as_account(
        OTHER.0,
        &["vault", "rekey", "--key-file", key.to_str().unwrap()],
    );
    refused.done().code(5);
    let (code, answer) = machine.checked(GIS.0, &by_file);
    assert_eq!(code, 0, "{answer:#}");
    has(
        &answer,
        "vault key",
        &format!("ok the key in {} opens the vault", key.display()),
    );
    let (code, answer) = machine.checked(OTHER.0, &by_file);
    assert_eq!(code, 1, "{answer:#}");
    has(&answer, "keychain", "Permission denied");
}
