//! The program: calls the command line, ends with its code.

use std::alloc;
use std::process::ExitCode;

use age_oauth::cli::{run, System};
use zeroizing_alloc::ZeroAlloc;

/// Wipes what it is given back. [`age_oauth::Secret`] does that for itself; the copies that TLS, HTTP and JSON make on the
/// way are wiped by this.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<alloc::System> = ZeroAlloc(alloc::System);

fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), System::real()))
}
