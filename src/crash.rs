//! Crash points: places where tests end the process, to check what it leaves behind.
//!
//! There is a [`point`] between any two effects on a file, a keychain or a portal. In a release
//! build it compiles to nothing. With the feature `crash-points`, which only tests use,
//! `AGE_OAUTH_CRASH_AT=N` ends the process without any cleanup at the N-th point that it passes,
//! and `AGE_OAUTH_CRASH_LOG` names a file to which each point that is passed is appended.

/// Tests may end the process here.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
#[allow(clippy::inline_always)] // So that it compiles to nothing.
pub(crate) fn point(_name: &str) {}

/// Tests may end the process here.
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
        // Like SIGKILL: neither destructors nor handlers run.
        std::process::abort();
    }
}
