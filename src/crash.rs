//! Places where the process may die, for tests of what it leaves behind.
//!
//! Between any two effects on a file, a keychain or a portal stands a [`point`]. In what is shipped it is nothing at all;
//! with the feature `crash-points`, which is for the tests alone, `AGE_OAUTH_CRASH_AT=N` ends the process at the N-th one
//! that it passes, without any cleaning up, and `AGE_OAUTH_CRASH_LOG` names a file that every point is written to.

/// The process may die here.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
#[allow(clippy::inline_always)] // So that nothing of it is left.
pub(crate) fn point(_name: &str) {}

/// The process may die here.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &str) {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);

    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(log) = std::env::var_os(crate::env::AGE_OAUTH_CRASH_LOG) {
        let opened = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log);
        let _ = opened.and_then(|mut file| writeln!(file, "{number} {name}"));
    }
    let at = std::env::var(crate::env::AGE_OAUTH_CRASH_AT).ok();
    if at.and_then(|at| at.parse().ok()) == Some(number) {
        // Like SIGKILL: no destructor and no handler of ours runs.
        std::process::abort();
    }
}
