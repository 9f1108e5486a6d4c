//! Questions on a real terminal, by `dialoguer`. They are printed to stderr; stdout is for answers.

use std::io;
use std::sync::Once;

use console::Term;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};

use super::browser;
use super::system::{Ask, AskError, Check};
use crate::secret::Secret;
use crate::text::without_paste_marks;

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

    fn print_reason(&self, reason: &str) -> Result<(), AskError> {
        self.term
            .write_line(&format!("  {reason}"))
            .map_err(AskError::Io)
    }
}

fn theme() -> ColorfulTheme {
    restore_terminal_on_ctrl_c();
    ColorfulTheme::default()
}

/// Makes Ctrl-C show the cursor, which a menu hides, switch the echo on, which a secret switches
/// off, and end the program with 130. The handler needs a thread, so it is set at the first
/// question only.
fn restore_terminal_on_ctrl_c() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let modes = Modes::now();
        // Without a handler, Ctrl-C still ends the program, but may leave the cursor hidden.
        let _ = ctrlc::set_handler(move || {
            modes.restore();
            browser::remove_pages();
            let term = Term::stderr();
            let _ = term.show_cursor();
            let _ = term.write_line("");
            std::process::exit(130);
        });
    });
}

/// The modes of the terminal, such as the echo.
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
            // If the terminal was closed, there is nothing to restore.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        }
    }
}

/// On Windows, reading a secret does not change the modes.
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
        restore_terminal_on_ctrl_c();
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
            let answer = without_paste_marks(answer.trim());
            match check(answer.trim()) {
                Ok(()) => return Ok(answer.trim().to_owned()),
                Err(reason) => self.print_reason(&reason)?,
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
                .map(|answer| Secret::new(without_paste_marks(&answer)))
                .map_err(failed)?;
            match check(answer.expose()) {
                Ok(()) => return Ok(answer),
                Err(reason) => self.print_reason(&reason)?,
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
    // An interrupted menu leaves the cursor hidden.
    let _ = Term::stderr().show_cursor();
    if error.kind() == io::ErrorKind::Interrupted {
        AskError::Interrupted
    } else {
        AskError::Io(error)
    }
}
