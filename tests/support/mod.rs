//! What the integration tests, the crash tests, the benchmark and the tour share: a practice
//! portal, a temporary home for the program, and real keychains, terminals and browsers.
//!
//! # How to set up a test
//!
//! Most integration tests start with a user who is signed in:
//!
//! ```ignore
//! use crate::signed_in;
//!
//! #[test]
//! fn a_token_is_printed() {
//!     let (portal, home) = signed_in(); // the connection is `prod`
//!     let out = home.run(["token", "-c", "prod"]).done().ok();
//!     assert!(portal.accepts_access_token(out.line()));
//! }
//! ```
//!
//! The parts of it:
//!
//! | what | how |
//! |---|---|
//! | a portal | [`Portal::start`](portal::Portal::start), or [`Portal::builder`](portal::Portal::builder) for certificates, hosts and paths |
//! | another behaviour of the portal | [`Portal::set`](portal::Portal::set): lifetimes, switches, faults (`rules.fault(Endpoint::Refresh, Fault::ResetAfter)`) |
//! | a home | `home()` in `tests/it`, or [`Home::new`](home::Home::new); its keychain is a vault |
//! | a connection, a sign-in | [`scenario::add`], [`scenario::add_application`], [`scenario::sign_in`] |
//! | an old token or sign-in | [`scenario::expire_token`], [`scenario::age_sign_in`], or [`Portal::clock`](portal::Portal::clock) |
//! | an `os` keychain | `SecretService::start(Provider::GnomeKeyring)` in `secret_service`, then `use_in(&mut home)` |
//! | a run of the program | [`Home::run`](home::Home::run), then `input`, `env`, `done`, and checks on the [`Outcome`](home::Outcome) |
//! | a terminal | `Terminal::start(&home, &["login"])` in `pty`, then `expect` and `line` |
//! | a web server in front of a portal | `WebServer::in_front` for nginx with client certificates, or `WebServer::start`, in `web_server` |
//! | a browser | [`Portal::authorize`](portal::Portal::authorize) simulates one; [`browser::Browser`] is a real one |
//! | two processes at one point | a [`Gate`](portal::Gate), which holds requests until the test opens it |
//! | an event in another process | [`until`], which fails after [`TIMEOUT`] |
//!
//! Nothing has to be cleaned up: everything ends and is deleted when it is dropped.
//!
//! Three checks run in every test: a portal that recorded a violation of a rule of
//! `docs/security.md` fails the test
//! ([`Portal::expect_violations`](portal::Portal::expect_violations) if it is intended), a home
//! whose files contain a secret does ([`Home::allow_secrets_in`](home::Home::allow_secrets_in)),
//! and so does a run that prints one ([`secret_scan`]).

#![allow(dead_code, unused_imports)] // Each program that includes this uses only a part of it.
#![allow(unreachable_pub)] // `pub` means: for the programs that include this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A failure here should stop the test.
#![allow(clippy::must_use_candidate, clippy::missing_panics_doc)] // These lints are for published crates.

pub mod browser;
pub mod home;
pub mod invariants;
#[cfg(target_os = "linux")]
pub mod kerberos;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod kwallet;
pub mod legacy;
#[cfg(target_os = "linux")]
pub mod openssl;
pub mod portal;
#[cfg(unix)]
pub mod pty;
#[cfg(target_os = "linux")]
pub mod pwsh;
pub mod scenario;
pub mod secret_scan;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod secret_service;
#[cfg(target_os = "linux")]
pub mod softhsm;
pub mod svg;
#[cfg(target_os = "linux")]
pub mod web_server;

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails. A machine under load may take this long.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Sends a signal (`KILL`, `STOP`) to a process. The shell has `kill` built in; as a program it
/// belongs to a package that not every system has.
#[cfg(unix)]
#[track_caller]
pub fn send_signal(signal: &str, process: u32) {
    let sent = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal])
        .arg(process.to_string())
        .status()
        .expect("a shell");
    assert!(sent.success(), "cannot send {signal} to {process}");
}

/// Waits until the condition holds, which another process or thread brings about.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < TIMEOUT,
            "the condition did not hold in time"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
