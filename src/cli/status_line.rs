//! The line at the end of a terminal that shows what the program is waiting for, or how far it is.
//!
//! `indicatif` would need the mathematical library, which then is loaded at every start: a
//! twentieth of the memory of a cached token, for a line that most runs never show.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::{truncate_str, Term};

use crate::policy::command_line::SPINNER_INTERVAL;
use crate::util::lock;

/// The fonts of every console have these.
const FRAMES: [char; 4] = ['-', '\\', '|', '/'];
const BAR_WIDTH: u64 = 20;
const MEGABYTE: f64 = 1_000_000.0;

/// What the line shows.
#[derive(Clone, Debug)]
pub(super) enum Status {
    /// What the program is waiting for.
    Waiting(String),
    /// How many of several are done, and the name of the last.
    Count {
        done: usize,
        total: usize,
        last: String,
    },
    /// How many bytes have arrived, and of how many, where that is known.
    Download { received: u64, total: Option<u64> },
}

/// The place of the line. Clones share it, and everything for the terminal passes through it.
#[derive(Clone)]
pub(super) struct StatusLine {
    term: Term,
    shown: Arc<Mutex<Option<Shown>>>,
}

struct Shown {
    status: Status,
    since: Instant,
    frame: usize,
}

/// The line is shown until this is dropped.
pub(super) struct Showing {
    line: StatusLine,
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatusLine {
    pub(super) fn new(term: Term) -> Self {
        Self {
            term,
            shown: Arc::default(),
        }
    }

    /// Shows `status`, and moves its spinner. One line is shown at a time; while there is one, this
    /// does nothing.
    pub(super) fn show(&self, status: Status) -> Showing {
        let mut showing = Showing {
            line: self.clone(),
            over: None,
            thread: None,
        };
        if !self.begin(status) {
            return showing;
        }
        let (over, ended) = mpsc::channel();
        let line = self.clone();
        showing.over = Some(over);
        showing.thread = thread::Builder::new()
            .name("status line".into())
            .spawn(move || line.spin(&ended))
            .ok();
        showing
    }

    /// Shows `status` until `ended` says so.
    pub(super) fn show_until(&self, status: Status, ended: &Receiver<()>) {
        if self.begin(status) {
            self.spin(ended);
            self.end();
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        lock(&self.shown).is_some()
    }

    /// Changes what is shown, if there is a line. It is painted with the next move of the spinner.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        if let Some(shown) = &mut *lock(&self.shown) {
            change(&mut shown.status);
        }
    }

    /// Hides the line, if there is one, while `write` prints.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut shown = lock(&self.shown);
        let Some(shown) = &mut *shown else {
            return write();
        };
        self.clear();
        let written = write();
        shown.paint(&self.term);
        written
    }

    /// Whether the line is this one's to show.
    fn begin(&self, status: Status) -> bool {
        let mut shown = lock(&self.shown);
        if shown.is_some() {
            return false;
        }
        shown
            .insert(Shown {
                status,
                since: Instant::now(),
                frame: 0,
            })
            .paint(&self.term);
        true
    }

    fn spin(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(SPINNER_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if let Some(shown) = &mut *lock(&self.shown) {
                shown.frame += 1;
                shown.paint(&self.term);
            }
        }
    }

    fn end(&self) {
        let mut shown = lock(&self.shown);
        if shown.take().is_some() {
            self.clear();
        }
    }

    fn clear(&self) {
        // If stderr is closed, there is nowhere left to report that.
        let _ = self.term.clear_line();
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        let Some(over) = self.over.take() else {
            return;
        };
        drop(over);
        if let Some(thread) = self.thread.take() {
            // The thread ends at once.
            let _ = thread.join();
        }
        self.line.end();
    }
}

impl Shown {
    fn paint(&self, term: &Term) {
        let frame = FRAMES[self.frame % FRAMES.len()];
        let text = format!("{frame} {}", self.status.text(self.since.elapsed()));
        // A line that wraps could not be cleared.
        let width = usize::from(term.size().1.saturating_sub(1));
        // If stderr is closed, there is nowhere left to report that.
        let _ = term.clear_line();
        let _ = term.write_str(&truncate_str(&text, width, "…"));
        let _ = term.flush();
    }
}

impl Status {
    fn text(&self, since: Duration) -> String {
        match self {
            Self::Waiting(text) => text.clone(),
            Self::Count { done, total, last } => {
                let bar = bar(*done as u64, *total as u64);
                format!("{bar} {done} of {total} {last}")
            }
            Self::Download {
                received,
                total: Some(total),
            } => {
                let bar = bar(*received, *total);
                let (part, whole) = (megabytes(*received), megabytes(*total));
                format!(
                    "{bar} {part} of {whole} MB ({} MB/s)",
                    rate(*received, since)
                )
            }
            Self::Download {
                received,
                total: None,
            } => {
                let part = megabytes(*received);
                format!("{part} MB ({} MB/s)", rate(*received, since))
            }
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = (done.saturating_mul(BAR_WIDTH))
        .checked_div(total)
        .map_or(0, |filled| filled.min(BAR_WIDTH));
    (0..BAR_WIDTH)
        .map(|at| if at < filled { '█' } else { '░' })
        .collect()
}

#[allow(clippy::cast_precision_loss)] // One decimal place is shown.
fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MEGABYTE)
}

#[allow(clippy::cast_precision_loss)] // One decimal place is shown.
fn rate(bytes: u64, since: Duration) -> String {
    let seconds = since.as_secs_f64().max(f64::EPSILON);
    format!("{:.1}", bytes as f64 / MEGABYTE / seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_how_far_the_work_is() {
        let second = Duration::from_secs(2);
        let text = |status: Status| status.text(second);
        assert_eq!(text(Status::Waiting("waiting …".into())), "waiting …");
        let count = |done, total| {
            text(Status::Count {
                done,
                total,
                last: "a".into(),
            })
        };
        assert_eq!(count(1, 2), "██████████░░░░░░░░░░ 1 of 2 a");
        assert_eq!(count(0, 0), "░░░░░░░░░░░░░░░░░░░░ 0 of 0 a");
        let download = |received, total| text(Status::Download { received, total });
        assert_eq!(download(3_000_000, None), "3.0 MB (1.5 MB/s)");
        assert_eq!(
            download(4_000_000, Some(4_000_000)),
            "████████████████████ 4.0 of 4.0 MB (2.0 MB/s)"
        );
        // A portal that sends more than it has announced.
        assert!(download(u64::MAX, Some(1)).starts_with("████████████████████ "));
    }

    // On Windows, `console` writes to the two standard streams only.
    #[cfg(unix)]
    #[test]
    fn one_line_is_shown_at_a_time() {
        let file = || tempfile::tempfile().unwrap();
        let line = StatusLine::new(Term::read_write_pair(file(), file()));
        assert!(line.begin(Status::Waiting("one".into())));
        assert!(!line.begin(Status::Waiting("two".into())));
        drop(line.show(Status::Waiting("three".into())));
        assert!(line.is_shown(), "the second ends without ending the first");
        line.end();
        assert!(!line.is_shown());
        assert_eq!(line.suspend(|| 1), 1);
    }
}
