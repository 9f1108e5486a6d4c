//! The tests that run the real program against real neighbours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that cannot go on should stop.

#[path = "../support/mod.rs"]
mod support;

mod first_walk;
mod http;
mod practice_portal;
mod tls;

use support::home::Home;

/// A throwaway home for the program under test.
fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_age-oauth"))
}
