//! What the integration tests and the tour share: stand-ins for the outside world, each of which speaks the
//! real protocol and says so when the program breaks it.

#![allow(dead_code, unused_imports)] // Each program that includes this uses a part of it.
#![allow(unreachable_pub)] // `pub` here means: for whichever program includes this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken stand-in should stop its test.
#![allow(clippy::must_use_candidate, clippy::missing_panics_doc)] // Documentation lints for published crates.

pub mod browser;
pub mod home;
pub mod invariants;
pub mod legacy;
pub mod portal;
#[cfg(unix)]
pub mod pty;
pub mod scenario;
pub mod secret_scan;
#[cfg(all(unix, not(target_os = "macos")))]
pub mod secret_service;
pub mod svg;

use std::thread;
use std::time::{Duration, Instant};

/// What never comes within this time never comes.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for what another process does.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < TIMEOUT, "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}
