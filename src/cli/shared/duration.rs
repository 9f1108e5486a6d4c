//! Durations as people type and read them (`90s`, `5m`, `14d`).

use std::time::Duration;

use super::help::with_default;
use crate::policy::MinTtl;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The help of `--min-ttl` where it has this default.
pub(in crate::cli) fn min_ttl_help(default: MinTtl) -> String {
    with_default(
        "How long the token must at least remain valid",
        &default.to_string(),
    )
}

/// A duration in its largest whole unit: `90s`, `5m`, `3d`.
pub(in crate::cli) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=MINUTE => format!("{seconds}s"),
        _ if seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        _ if seconds.is_multiple_of(HOUR) => format!("{}h", seconds / HOUR),
        _ if seconds.is_multiple_of(MINUTE) => format!("{}m", seconds / MINUTE),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_exactly() {
        for (seconds, text) in [
            (0, "0s"),
            (60, "60s"),
            (90, "90s"),
            (300, "5m"),
            (7200, "2h"),
            (3 * DAY, "3d"),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(words(duration), text);
            assert_eq!(crate::duration::parse_duration(text).unwrap(), duration);
        }
    }
}
