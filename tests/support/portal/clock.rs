//! The portal's clock: the system's clock, which a test can move forward or backward, so that two
//! weeks pass at once.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// A clock that tests can move. Copies share the same time, so that the code under test can use it,
/// too.
#[derive(Clone, Default)]
pub struct Clock(Arc<Mutex<ClockState>>);

#[derive(Default)]
struct ClockState {
    ahead_ms: i64,
    stopped_at_ms: Option<i64>,
}

impl Clock {
    /// Milliseconds since 1970, UTC.
    pub fn now_ms(&self) -> i64 {
        let hands = self.state();
        hands.stopped_at_ms.unwrap_or_else(system_ms) + hands.ahead_ms
    }

    /// The same as a timestamp.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms()).unwrap()
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        self.state().ahead_ms += i64::try_from(time.as_millis()).unwrap();
    }

    /// Moves the clock by seconds, back where negative.
    pub fn shift_seconds(&self, seconds: i64) {
        self.state().ahead_ms += seconds * 1000;
    }

    /// Stops the clock except for [`Clock::advance`], so that responses can be compared to the
    /// second.
    pub fn stop(&self) {
        self.state().stopped_at_ms = Some(system_ms());
    }

    /// The clock as a function, the form in which the library takes one.
    pub fn reader(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.0.lock().unwrap()
    }
}

fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
