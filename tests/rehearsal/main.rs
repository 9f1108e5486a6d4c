//! Weeks of nightly work on one machine in minutes; `tests/rehearsal/run` builds and starts this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A failed step should stop the run.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The tables are the purpose.

#[cfg(target_os = "linux")]
mod simulation;

#[cfg(target_os = "linux")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod command;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("the rehearsal needs libfaketime, which is for Linux");
    ExitCode::from(2)
}
