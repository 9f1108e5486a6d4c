//! The integration tests: the real program against a practice portal and real shells, keychains,
//! browsers and Python packages.
//!
//! `tests/support/mod.rs` says how to set up a portal, a home and a keychain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that cannot go on should stop.
#![allow(clippy::redundant_closure_for_method_calls)] // `set(|rules| rules.x())` reads like its neighbours.
#![allow(clippy::similar_names)] // `mode` and `made`.

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
#[path = "../rehearsal/simulation/mod.rs"]
mod simulation;

mod addresses;
mod api;
#[cfg(target_os = "linux")]
mod api_key;
mod api_url;
mod architecture;
#[cfg(target_os = "linux")]
mod artefacts;
#[cfg(target_os = "linux")]
mod as_account;
mod bad_input;
mod bound_settings;
#[cfg(unix)]
mod browser;
#[cfg(target_os = "linux")]
mod certificate_chains;
mod channel_binding;
#[cfg(target_os = "linux")]
mod client_certificates;
#[cfg(unix)]
mod completions;
mod concurrent_renewal;
mod doctor;
mod documents;
mod event_log;
mod exec;
#[cfg(unix)]
mod guided;
#[cfg(target_os = "linux")]
mod guided_in_front;
#[cfg(unix)]
mod hidden_answers;
#[cfg(unix)]
mod hints;
#[cfg(target_os = "linux")]
mod hostile_files;
#[cfg(unix)]
mod hostile_portal;
mod http;
mod import;
#[cfg(unix)]
mod interruptions;
mod json;
#[cfg(all(unix, not(target_os = "macos")))]
mod keychain;
#[cfg(unix)]
mod kill_at_random;
#[cfg(unix)] // Wine starts too few processes at a time.
mod load;
#[cfg(target_os = "linux")]
mod machine_policy;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod ntlm;
#[cfg(unix)]
mod nu;
mod paths;
#[cfg(target_os = "linux")]
mod pkcs11;
#[cfg(target_os = "linux")]
mod powershell;
mod practice_portal;
mod promises;
#[cfg(unix)]
mod python;
#[cfg(target_os = "linux")] // QGIS as Debian packages it.
mod qgis;
#[cfg(target_os = "linux")]
mod qgis_plugin;
mod quick_start;
mod read_only;
#[cfg(unix)]
mod recipes;
mod refresh;
#[cfg(target_os = "linux")]
mod rehearsal;
mod rules;
#[cfg(target_os = "linux")]
mod secret_command;
#[cfg(target_os = "linux")]
mod secret_managers;
#[cfg(target_os = "linux")]
mod service_accounts;
mod session;
mod share;
#[cfg(unix)]
mod shells;
mod sign_in;
mod signing_in;
mod status;
#[cfg(target_os = "linux")]
mod time_limits;
mod tls;
#[cfg(target_os = "linux")]
mod unattended;
mod usage;
mod variables;
mod vault;
#[cfg(target_os = "linux")] // It watches files with inotify.
mod waiting;
mod web_server;
#[cfg(target_os = "linux")]
mod web_server_certificates;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_powershell;
#[cfg(target_os = "linux")]
mod windows_sign_in;
#[cfg(all(unix, not(target_os = "macos")))]
mod wine;
#[cfg(unix)]
mod xonsh;

use std::alloc::System;

use support::home::Home;
use support::portal::{Portal, PortalVersion};
use support::scenario::{add, sign_in};

/// The allocator of the program itself, for the tests of what stays in memory.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<System> = zeroizing_alloc::ZeroAlloc(System);

/// A throwaway home for the program under test.
fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_age-oauth"))
}

/// A portal, and a home with a connection `prod` to it in which the practice user is signed in.
fn signed_in() -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    (portal, home)
}
