//! Durations as people type them (`90s`, `5m`, `14d`).

use std::time::Duration;

use crate::token::MinTtl;

/// The value of `--min-ttl`, in whole seconds.
pub(in crate::cli) fn min_ttl(duration: Duration) -> MinTtl {
    MinTtl::Seconds(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}
