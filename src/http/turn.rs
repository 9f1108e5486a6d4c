//! Calls of the system that cannot be canceled, one after the other, each with a time limit.

use std::sync::{mpsc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::context::Deadline;
use crate::util::lock;

/// How long one wait of the queue lasts, before it looks at the deadline again.
const PAUSE: Duration = Duration::from_secs(60);

/// One call at a time.
pub(super) struct Turn {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Busy,
    /// The caller no longer waits for it, and it has not returned.
    Abandoned,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The call did not return within this time.
    Within(Duration),
    /// Others came first, and the time was over.
    Queue,
    /// An earlier call was given up and still goes on.
    Abandoned,
}

impl Turn {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State::Free),
            changed: Condvar::new(),
        }
    }

    /// Calls `work` in a thread of its own as soon as no other call goes on, and waits as long as
    /// `limit` says at that moment. The time in the queue is not part of it, and ends with
    /// `deadline`. A call that is given up is left alone, and no other begins before it returns: a
    /// second window would open over the first one.
    pub(super) fn call<T: Send + 'static>(
        &'static self,
        deadline: Deadline,
        limit: impl FnOnce() -> Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.begin(deadline)?;
        let limit = limit();
        let (sender, answer) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let _end = End(self);
            // The receiver may have given up.
            let _ = sender.send(work());
        });
        answer.recv_timeout(limit).map_err(|_| {
            self.give_up();
            NoAnswer::Within(limit)
        })
    }

    fn begin(&self, deadline: Deadline) -> Result<(), NoAnswer> {
        let mut state = lock(&self.state);
        loop {
            match *state {
                State::Free => break,
                State::Abandoned => return Err(NoAnswer::Abandoned),
                State::Busy if deadline.is_over() => return Err(NoAnswer::Queue),
                State::Busy => {
                    let pause = deadline.bound(PAUSE);
                    let waited = self.changed.wait_timeout(state, pause);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *state = State::Busy;
        Ok(())
    }

    fn give_up(&self) {
        let mut state = lock(&self.state);
        // It may have returned at the last moment.
        if *state == State::Busy {
            *state = State::Abandoned;
        }
        self.changed.notify_all();
    }
}

/// Lets the next call begin, also where this one panics.
struct End(&'static Turn);

impl Drop for End {
    fn drop(&mut self) {
        *lock(&self.0.state) = State::Free;
        self.0.changed.notify_all();
    }
}

impl NoAnswer {
    /// For people.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Within(limit) => {
                format!("there was no answer within {:.1}s", limit.as_secs_f32())
            }
            Self::Queue => "the time was over before its turn came".into(),
            Self::Abandoned => "Windows still waits for an answer for another private key".into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn the_time_limit_of_a_call_begins_when_its_turn_comes() {
        static TURN: Turn = Turn::new();
        let (begun, has_begun) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let is_finished = Arc::new(AtomicBool::new(false));
        let finished = Arc::clone(&is_finished);
        let first = thread::spawn(move || {
            let work = move || {
                begun.send(()).unwrap();
                may_finish.recv().unwrap();
                finished.store(true, Ordering::SeqCst);
            };
            TURN.call(Deadline::never(), || LONG, work)
        });
        has_begun.recv().unwrap();
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(TURN.call(over, || LONG, || ()), Err(NoAnswer::Queue));
        let second = thread::spawn(move || {
            let limit = || {
                assert!(is_finished.load(Ordering::SeqCst));
                LONG
            };
            TURN.call(Deadline::never(), limit, || "signed")
        });
        finish.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(second.join().unwrap(), Ok("signed"));
    }

    #[test]
    fn no_call_begins_before_one_that_was_given_up_returns() {
        static TURN: Turn = Turn::new();
        let (finish, may_finish) = mpsc::channel::<()>();
        let work = move || may_finish.recv().unwrap();
        let given_up = TURN.call(Deadline::never(), || Duration::ZERO, work);
        let why = given_up.unwrap_err();
        assert_eq!(why.message(), "there was no answer within 0.0s");
        let next = || TURN.call(Deadline::never(), || LONG, || ());
        assert_eq!(next(), Err(NoAnswer::Abandoned));
        finish.send(()).unwrap();
        while next().is_err() {
            thread::yield_now();
        }
    }
}
