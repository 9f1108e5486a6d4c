//! Files that were replaced: links, pipes, folders, other owners, full and read-only file systems,
//! and a `meta.json` that changes between two reads. Nothing is followed, waited for or half
//! written, and nothing outside the store is changed.

#![allow(clippy::print_stdout)] // What could not be tried.

use std::fs;
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{json, Value};

use crate::signed_in;
use crate::support::home::Home;
use crate::support::invariants::{labels, stored_refresh_token};
use crate::support::portal::{service_secret, Endpoint, Portal, PortalVersion, SERVICE_ID};
use crate::support::scenario::{add, folder_of, sign_in};

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Everything that commands open or replace.
const COMMANDS: [&[&str]; 8] = [
    &["token", "--force", "-c", "prod"],
    &["whoami", "-c", "prod"],
    &["status"],
    &["connections", "list"],
    &[
        "connections",
        "edit",
        "prod",
        "--referer",
        "https://x.example.org",
    ],
    &["connections", "use", "prod"],
    &["refresh", "--all"],
    &["doctor", "--offline"],
];

/// Runs all commands; each ends by itself and reports what is wrong.
#[track_caller]
fn all_commands_end(home: &Home, case: &str) {
    for words in COMMANDS {
        let said = home.run(words).done();
        assert!(
            (0..=8).contains(&said.code),
            "{case}, {words:?}: {}",
            said.code
        );
        let explained =
            said.code == 0 || said.stderr.contains("error: ") || words.contains(&"doctor");
        // `status` and `refresh --all` report in their table.
        assert!(explained || !said.stdout.is_empty(), "{case}, {words:?}");
        assert!(
            !said.stderr.contains("panicked"),
            "{case}, {words:?}: {}",
            said.stderr
        );
    }
}

/// Each file of the store in turn is replaced by something else.
#[test]
fn rule_25_nothing_in_place_of_a_file_is_followed_or_waited_for() {
    let (_portal, home) = signed_in();
    home.run(["connections", "use", "prod"]).done().ok();
    let outside = home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let victim = outside.join("precious");
    let precious = b"{\"precious\": true}\n";
    let folder = folder_of(&home, "prod");
    let files = [
        folder.join("meta.json"),
        folder.join("ca.pem"),
        folder.join("lock"),
        home.store().join("vault"),
        home.store().join("vault.lock"),
        home.store().join("default"),
        home.store().join("lock"),
    ];
    for path in &files {
        fs::write(&victim, precious).unwrap();
        let original = fs::read(path).ok();
        let put = |what: &str| {
            let _ = fs::remove_file(path);
            match what {
                "a link" => symlink(&victim, path).unwrap(),
                "a link to nowhere" => symlink(outside.join("nothing"), path).unwrap(),
                "a link to itself" => symlink(path, path).unwrap(),
                "a link to a device" => symlink("/dev/zero", path).unwrap(),
                "a folder" => fs::create_dir(path).unwrap(),
                "a hard link" => fs::hard_link(&victim, path).unwrap(),
                _ => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            }
        };
        for what in [
            "a link",
            "a link to nowhere",
            "a link to itself",
            "a link to a device",
            "a folder",
            "a hard link",
            "a pipe",
        ] {
            let case = format!("{what} for {}", path.display());
            put(what);
            all_commands_end(&home, &case);
            // A hard link looks like a file; it is replaced, never written through.
            assert_eq!(fs::read(&victim).unwrap(), precious, "{case}");
            assert!(!outside.join("nothing").exists(), "{case}");
            if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
                fs::remove_dir(path).unwrap();
            } else {
                let _ = fs::remove_file(path);
            }
            if let Some(original) = &original {
                fs::write(path, original).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    home.run(["token", "--force", "-c", "prod"]).done().ok();
    assert_eq!(labels(&home), ["prod"]);
}

/// A path that a user gives must be a file, except where the process substitution of a shell makes
/// sense.
#[test]
fn a_pipe_named_by_a_user_is_refused_or_read_without_hanging() {
    let (portal, home) = signed_in();
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap()
        .success());
    let name = pipe.to_str().unwrap();
    let said = home
        .run(["connections", "edit", "prod", "--verify-ssl", name])
        .done();
    said.code(2).err_has("not a regular file");
    let said = home
        .run(["api", "content/users/x/addItem", "--input", name])
        .done();
    said.code(1).err_has("not a regular file");
    // A client secret is read from a pipe, but a pipe without a writer is not waited for in vain.
    let said = home
        .run([
            "connections",
            "edit",
            "prod",
            "--client-secret-file",
            name,
            "--timeout",
            "1s",
        ])
        .done();
    said.code(1).err_has("no program ended it within 1 seconds");
    thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, service_secret()).unwrap());
        let (url, ca) = (portal.url(), home.path().join("ca.pem"));
        let words = [
            "connections",
            "add",
            "--label",
            "service",
            "--portal",
            &url,
            "--auth-type",
            "app",
            "--client-id",
            SERVICE_ID,
            "--verify-ssl",
            ca.to_str().unwrap(),
            "--client-secret-file",
            name,
        ];
        home.run(words).done().ok();
    });
    fs::remove_file(&pipe).unwrap();
    home.run(["token", "-c", "service"]).done().ok();
}

/// A changed `meta.json` comes and goes while tokens are renewed: what was checked is what is used.
#[test]
fn rule_24b_a_meta_json_that_changes_between_two_reads_sends_nothing_elsewhere() {
    let (portal, home) = signed_in();
    let elsewhere = Portal::start(PortalVersion::Enterprise114);
    // Its certificate is trusted, so that it could receive something.
    let both = home.path().join("both.pem");
    fs::write(&both, [portal.ca_pem(), elsewhere.ca_pem()].concat()).unwrap();
    let both = both.to_str().unwrap();
    home.run(["connections", "edit", "prod", "--verify-ssl", both])
        .done()
        .ok();
    let path = folder_of(&home, "prod").join("meta.json");
    let good = fs::read_to_string(&path).unwrap();
    let mut bad: Value = serde_json::from_str(&good).unwrap();
    bad["portal_url"] = json!(elsewhere.url());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let beside = path.with_extension("swap");
            let mut number = 0_u32;
            while !stop.load(Ordering::SeqCst) {
                let text = if number.is_multiple_of(2) {
                    bad.to_string()
                } else {
                    good.clone()
                };
                fs::write(&beside, text).unwrap();
                fs::rename(&beside, &path).unwrap();
                number += 1;
            }
        });
        for _ in 0..60 {
            let said = home.run(["token", "--force", "-c", "prod"]).done();
            assert!(
                matches!(said.code, 0 | 5 | 6),
                "{} {}",
                said.code,
                said.stderr
            );
        }
        stop.store(true, Ordering::SeqCst);
    });
    fs::write(&path, &good).unwrap();
    assert_eq!(elsewhere.connections(), 0);
    home.run(["token", "--force", "-c", "prod"]).done().ok();
    assert!(portal.requests_to(Endpoint::Refresh).len() > 1);
}

/// A world-writable folder, above the store and in it: the program works, `doctor` reports it and
/// makes it private.
#[test]
fn a_world_writable_store_is_found() {
    let (_portal, home) = signed_in();
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&home.store(), 0o777);
    mode(&folder_of(&home, "prod"), 0o777);
    mode(&folder_of(&home, "prod").join("meta.json"), 0o666);
    home.run(["token", "--force"]).done().ok();
    let said = home.run(["doctor", "--offline", "--json"]).done();
    assert_ne!(
        said.json()["fail"].as_u64().unwrap() + said.json()["warn"].as_u64().unwrap(),
        0
    );
    home.run(["doctor", "--offline", "--fix", "--yes"]).done();
    let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(rights(&home.store()), 0o700);
    assert_eq!(rights(&folder_of(&home, "prod").join("meta.json")), 0o600);
}

/// A store that belongs to another user is refused with a message, and stays unchanged.
#[test]
fn another_users_store_is_refused() {
    if !is_root() {
        println!("not tried: only root can be two users");
        return;
    }
    let (_portal, home) = signed_in();
    let program = home.path().join("age-oauth");
    fs::copy(home.program(), &program).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = stored_refresh_token(&home, "prod");
    for words in COMMANDS {
        use std::os::unix::process::CommandExt;
        let out = Command::new(&program)
            .args(words)
            .env_clear()
            .envs(home.environment())
            .uid(65_534)
            .gid(65_534)
            .current_dir("/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_ne!(out.status.code(), Some(0), "{words:?}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
        if !words.contains(&"doctor") {
            assert!(said.contains("error: "), "{words:?}: {said}");
        }
    }
    assert_eq!(stored_refresh_token(&home, "prod"), before);
    // The other way round: root uses another user's store, and files keep their owner.
    let meta = folder_of(&home, "prod").join("meta.json");
    chown(&meta, Some(65_534), None).unwrap();
    home.run(["token", "--force"]).done().ok();
}

/// A small file system of its own, unmounted when dropped.
struct SmallFileSystem(tempfile::TempDir);

impl SmallFileSystem {
    fn mount(pages: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={}k,mode=700", 4 * pages);
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "age-oauth-test"])
            .arg(folder.path())
            .output();
        status
            .is_ok_and(|out| out.status.success())
            .then_some(Self(folder))
    }

    fn change(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.0.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// What is in the store, without locks.
fn contents(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            contents(&path, found);
        } else if !path.to_string_lossy().contains("lock") {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
}

/// A full file system, and a read-only one: existing content stays, and every command ends with a
/// message.
#[test]
fn full_and_read_only_file_systems_keep_what_was_there() {
    let Some(small) = SmallFileSystem::mount(64) else {
        println!("not tried: nothing can be mounted here");
        return;
    };
    let (portal, mut home) = (Portal::start(PortalVersion::Enterprise114), crate::home());
    let store = small.0.path().join("store");
    home.set("AGE_OAUTH_HOME", store.to_str().unwrap());
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let now = || {
        let mut found = Vec::new();
        contents(&store, &mut found);
        found
    };
    let before = now();
    let changes: [&[&str]; 4] = [
        &[
            "connections",
            "edit",
            "prod",
            "--referer",
            "https://x.example.org",
        ],
        &["connections", "rename", "prod", "production"],
        &[
            "connections",
            "add",
            "--label",
            "new",
            "--portal",
            "https://gis.example.com/portal",
            "--client-id",
            "x",
            "--no-check",
        ],
        &["vault", "rekey"],
    ];
    let filler = small.0.path().join("filler");
    for (state, hint) in [
        ("full", "hint: free some space"),
        ("read-only", "AGE_OAUTH_HOME=FOLDER"),
    ] {
        if state == "full" {
            let mut size = 1 << 20;
            // To the last byte.
            while size > 0 {
                let mut all = fs::read(&filler).unwrap_or_default();
                all.resize(all.len() + size, b'x');
                if fs::write(&filler, all).is_err() {
                    size /= 2;
                }
            }
        } else {
            fs::remove_file(&filler).unwrap();
            small.change("ro");
        }
        for words in changes {
            let said = home.run(words).done();
            assert!(
                matches!(said.code, 1 | 5),
                "{state}, {words:?}: {} {}",
                said.code,
                said.stderr
            );
            assert!(said.stderr.contains("error: "), "{state}, {words:?}");
            // Also where the vault's file is the one that cannot be written.
            assert!(
                said.stderr.contains(hint),
                "{state}, {words:?}: {}",
                said.stderr
            );
            assert_eq!(now(), before, "{state}, {words:?}");
        }
        // A token is still returned.
        let token = home.run(["token", "-c", "prod"]).done().ok();
        assert!(portal.accepts_access_token(token.line()), "{state}");
        home.run(["connections", "list"]).done().ok();
        home.run(["whoami"]).done().ok();
        assert_eq!(now(), before, "{state}");
    }
    small.change("rw");
    home.run(["token", "--force"]).done().ok();
    home.run(changes[0]).done().ok();
}
