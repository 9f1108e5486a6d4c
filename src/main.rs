//! The program: calls the command line, ends with its code.

use std::alloc;
use std::process::ExitCode;

use age_oauth::cli::{run, System};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed. [`age_oauth::Secret`] wipes its own; TLS, HTTP and JSON make
/// copies that only the allocator can wipe.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<alloc::System> = ZeroAlloc(alloc::System);

fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), System::real()))
}
