//! Questions on a real terminal, by `dialoguer`. All of it goes to stderr; stdout is for answers.

use std::io;
use std::sync::Once;

use console::Term;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};

use super::system::{Ask, AskError, Check};
use crate::secret::Secret;

/// Asks on the terminal.
pub(super) struct Dialog {
    term: Term,
}

impl Dialog {
    pub(super) fn new() -> Self {
        Self {
            term: Term::stderr(),
        }
    }

    fn again(&self, reason: &str) -> Result<(), AskError> {
        self.term
            .write_line(&format!("  {reason}"))
            .map_err(AskError::Io)
    }
}

fn theme() -> ColorfulTheme {
    leave_tidily_on_ctrl_c();
    ColorfulTheme::default()
}

/// Ctrl-C shows the cursor again, which a menu hides, and what is typed, which a secret hides, and ends the program with
/// 130. A signal handler is set only once somebody is asked something, since it needs a thread.
fn leave_tidily_on_ctrl_c() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let modes = Modes::now();
        // Without a handler Ctrl-C still ends the program; it only leaves a hidden cursor.
        let _ = ctrlc::set_handler(move || {
            modes.restore();
            let term = Term::stderr();
            let _ = term.show_cursor();
            let _ = term.write_line("");
            std::process::exit(130);
        });
    });
}

/// How the terminal treats what is typed.
#[cfg(unix)]
struct Modes(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Modes {
    fn now() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    fn restore(&self) {
        use rustix::termios::{tcsetattr, OptionalActions};
        if let Some(modes) = &self.0 {
            // A terminal that is gone needs no modes.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        }
    }
}

/// Windows reads a secret key by key and leaves the modes alone.
#[cfg(not(unix))]
struct Modes;

#[cfg(not(unix))]
impl Modes {
    fn now() -> Self {
        Self
    }

    #[allow(clippy::unused_self)] // As on Unix.
    fn restore(&self) {}
}

impl Ask for Dialog {
    fn expect_interruption(&mut self) {
        leave_tidily_on_ctrl_c();
    }

    fn text(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: Check<'_>,
    ) -> Result<String, AskError> {
        let theme = theme();
        loop {
            let mut input = Input::<String>::with_theme(&theme)
                .with_prompt(question)
                .allow_empty(true)
                .report(true);
            if let Some(default) = default {
                input = input.default(default.to_owned());
            }
            let answer = input.interact_text_on(&self.term).map_err(failed)?;
            match check(answer.trim()) {
                Ok(()) => return Ok(answer.trim().to_owned()),
                Err(reason) => self.again(&reason)?,
            }
        }
    }

    fn secret(&mut self, question: &str, check: Check<'_>) -> Result<Secret, AskError> {
        let theme = theme();
        loop {
            let answer = Password::with_theme(&theme)
                .with_prompt(question)
                .allow_empty_password(true)
                .report(false)
                .interact_on(&self.term)
                .map(Secret::new)
                .map_err(failed)?;
            match check(answer.expose()) {
                Ok(()) => return Ok(answer),
                Err(reason) => self.again(&reason)?,
            }
        }
    }

    fn choose(
        &mut self,
        question: &str,
        choices: &[String],
        default: usize,
    ) -> Result<usize, AskError> {
        Select::with_theme(&theme())
            .with_prompt(question)
            .items(choices)
            .default(default)
            .interact_on(&self.term)
            .map_err(failed)
    }

    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, AskError> {
        Confirm::with_theme(&theme())
            .with_prompt(question)
            .default(default)
            .interact_on(&self.term)
            .map_err(failed)
    }
}

fn failed(error: dialoguer::Error) -> AskError {
    let dialoguer::Error::IO(error) = error;
    // A menu hides the cursor and leaves it hidden where it is interrupted.
    let _ = Term::stderr().show_cursor();
    if error.kind() == io::ErrorKind::Interrupted {
        AskError::Interrupted
    } else {
        AskError::Io(error)
    }
}
