//! The terminal while a question is asked: however the program ends or is stopped, the echo and the
//! cursor are as they were before, and a hidden answer is hidden again when the program continues.

use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;

use console::Term;

#[cfg(unix)]
use super::browser;
#[cfg(unix)]
use crate::files;
use crate::policy::command_line::{DELAYED_INTERRUPTION_TIMEOUT, INTERRUPTION_TIMEOUT};
use crate::program;
use crate::util::lock;

pub(super) use platform::ask;
#[cfg(unix)]
pub(super) use platform::restore;

/// Where [`with_cleanup`] waits for an interruption. What is sent is dropped when the cleanup is
/// done.
static CLEANUP: Mutex<Option<Sender<Sender<()>>>> = Mutex::new(None);

/// Runs `body`. If a signal or Ctrl-C ends the program meanwhile, `cleanup` runs first, on another
/// thread.
pub(super) fn with_cleanup<T>(cleanup: impl FnOnce() + Send, body: impl FnOnce() -> T) -> T {
    platform::watch();
    let (interruption, interrupted) = mpsc::channel::<Sender<()>>();
    *lock(&CLEANUP) = Some(interruption);
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok(done) = interrupted.recv() {
                cleanup();
                drop(done);
                // What follows `body` must not begin.
                stay();
            }
        });
        let result = body();
        lock(&CLEANUP).take();
        result
    })
}

/// How many things are under way that must be finished, and whether the program is to end.
static DELAYS: Mutex<Delays> = Mutex::new(Delays {
    count: 0,
    ending: false,
});
/// Notified when [`DELAYS`] has none any more.
static FINISHED: Condvar = Condvar::new();

struct Delays {
    count: usize,
    ending: bool,
}

/// While it exists, a signal or Ctrl-C does not end the program. Where one came, dropping it never
/// returns.
pub(super) struct Delay;

/// The program ends now. Until then, this thread must not go on.
fn stay() -> ! {
    loop {
        thread::park();
    }
}

/// Delays the end of the program until what this returns is dropped. Never returns where the
/// program is already to end: nothing more must begin.
pub(super) fn delay_interruptions() -> Delay {
    platform::watch();
    let mut delays = lock(&DELAYS);
    if delays.ending {
        drop(delays);
        stay();
    }
    delays.count += 1;
    Delay
}

impl Drop for Delay {
    fn drop(&mut self) {
        let mut delays = lock(&DELAYS);
        delays.count -= 1;
        if delays.count == 0 {
            FINISHED.notify_all();
        }
        if delays.ending {
            drop(delays);
            stay();
        }
    }
}

/// Waits for what must be finished. Each thing has limits of its own; this one is for a thread that
/// hangs.
fn wait_for_delays() {
    let mut delays = lock(&DELAYS);
    delays.ending = true;
    if delays.count == 0 {
        return;
    }
    let term = Term::stderr();
    if term.is_term() {
        let _ = term.write_line(
            "Interrupted. Waiting for the portal's answer first, so that no sign-in is lost.",
        );
    }
    let waited = FINISHED.wait_timeout_while(delays, DELAYED_INTERRUPTION_TIMEOUT, |delays| {
        delays.count > 0
    });
    drop(waited);
}

/// Before the program ends early: finishes what must be finished, and removes what must not stay
/// behind.
fn clean_up() {
    wait_for_delays();
    let interruption = lock(&CLEANUP).take();
    if let Some(interruption) = interruption {
        let (done, finished) = mpsc::channel::<()>();
        if interruption.send(done).is_ok() {
            // Nothing is sent: it ends when `done` is dropped.
            let _ = finished.recv_timeout(INTERRUPTION_TIMEOUT);
        }
    }
    program::end_all();
    #[cfg(unix)]
    {
        browser::remove_pages();
        files::remove_temporary_folders();
    }
}

/// Shows the cursor, which a menu hides, and begins a new line.
fn leave_question() {
    let term = Term::stderr();
    if !term.is_term() {
        return;
    }
    // If the terminal was closed, there is nothing to restore.
    let _ = term.show_cursor();
    let _ = term.write_line("");
}

#[cfg(unix)]
mod platform {
    use std::io;
    use std::sync::{Mutex, Once};

    use console::Term;
    use nix::unistd::{getpgrp, getsid, tcgetpgrp};
    use rustix::termios::{tcgetattr, tcsetattr, LocalModes, OptionalActions, Termios};
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use super::{clean_up, leave_question};
    use crate::util::lock;

    /// The question that is on the terminal, if any.
    static QUESTION: Mutex<Option<Question>> = Mutex::new(None);

    struct Question {
        /// The modes before it.
        before: Option<Termios>,
        /// The modes at the moment when the program was stopped.
        stopped: Option<Termios>,
        /// The text to show again; none if the answer is not hidden.
        hidden: Option<String>,
    }

    /// Exists while a question is asked.
    pub(in crate::cli) struct Asking;

    /// A question begins. `hidden`: its text, if the answer must not be shown.
    pub(in crate::cli) fn ask(hidden: Option<&str>) -> Asking {
        watch();
        *lock(&QUESTION) = Some(Question {
            before: tcgetattr(io::stdin()).ok(),
            stopped: None,
            hidden: hidden.map(str::to_owned),
        });
        Asking
    }

    impl Drop for Asking {
        fn drop(&mut self) {
            *lock(&QUESTION) = None;
        }
    }

    /// Ends the question before it is answered.
    pub(in crate::cli) fn restore() {
        if let Some(question) = &*lock(&QUESTION) {
            set(question.before.as_ref());
        }
        leave_question();
    }

    fn set(modes: Option<&Termios>) {
        if let (Some(modes), true) = (modes, is_in_foreground()) {
            // If the terminal was closed, there is nothing to restore.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        }
    }

    /// In the background the shell has the terminal, and setting modes would stop this program.
    /// In a container, both groups may have begun outside its PID namespace; then both are 0.
    fn is_in_foreground() -> bool {
        tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
    }

    /// Whether a shell can continue this program. Without job control the program belongs to the
    /// group of the session's leader, and would stay stopped.
    fn has_job_control() -> bool {
        getsid(None).is_ok_and(|session| session != getpgrp())
    }

    /// Prepares for signals. That needs a thread, so it is done only where something must be put in
    /// order before the program ends.
    pub(super) fn watch() {
        static WATCH: Once = Once::new();
        WATCH.call_once(watch_signals);
    }

    fn watch_signals() {
        // Without a handler, signals still end the program, but may leave the terminal changed.
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT]
            .into_iter()
            .filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let Ok(mut signals) = Signals::new(wanted) else {
            return;
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGCONT => resume(),
                    SIGTSTP if !has_job_control() => {}
                    SIGTSTP => {
                        note_modes();
                        restore();
                        let _ = emulate_default_handler(SIGTSTP);
                    }
                    SIGINT => {
                        restore();
                        clean_up();
                        std::process::exit(130);
                    }
                    signal => {
                        restore();
                        clean_up();
                        let _ = emulate_default_handler(signal);
                        std::process::exit(128 + signal);
                    }
                }
            }
        });
    }

    /// The signals that the parent process made this program ignore (`nohup`, `&` in a script), as
    /// bits. A handler would end the ignoring.
    fn ignored_signals() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or_default()
    }

    fn note_modes() {
        if let Some(question) = &mut *lock(&QUESTION) {
            question.stopped = tcgetattr(io::stdin()).ok();
        }
    }

    /// The program continues: hides the answer again. Shells set the modes themselves when they
    /// continue a job, so those of the question are set in any case.
    fn resume() {
        let mut question = lock(&QUESTION);
        let Some(question) = &mut *question else {
            return;
        };
        let stopped = question.stopped.take();
        let Some(text) = &question.hidden else {
            set(stopped.as_ref());
            return;
        };
        if !is_in_foreground() {
            return;
        }
        if let Ok(mut modes) = tcgetattr(io::stdin()) {
            modes.local_modes.remove(LocalModes::ECHO);
            // What was typed in the meantime was visible, so it is discarded.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &modes);
        }
        let _ = Term::stderr().write_str(&format!("{text}: "));
    }
}

#[cfg(not(unix))]
mod platform {
    use std::sync::Once;

    use super::{clean_up, leave_question};

    /// Exists while a question is asked.
    pub(in crate::cli) struct Asking;

    /// A question begins. Reading a hidden answer does not change the modes of a Windows console.
    pub(in crate::cli) fn ask(_hidden: Option<&str>) -> Asking {
        watch();
        Asking
    }

    /// Prepares for Ctrl-C.
    pub(super) fn watch() {
        static SET: Once = Once::new();
        SET.call_once(|| {
            // Without a handler, Ctrl-C still ends the program, but may leave the cursor hidden.
            let _ = ctrlc::set_handler(|| {
                leave_question();
                clean_up();
                std::process::exit(130);
            });
        });
    }
}
