//! The program: calls the command line, ends with its code.

use std::process::ExitCode;

use age_oauth::cli::{run, Host};

fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), Host::real()))
}
