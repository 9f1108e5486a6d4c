//! Questions on a real terminal, by `dialoguer`. They are printed to stderr; stdout is for answers.

use std::io;
#[cfg(unix)]
use std::sync::mpsc::{self, RecvTimeoutError};
#[cfg(unix)]
use std::thread;
use std::time::Duration;

use console::Term;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};

use super::system::{Ask, AskError, Check};
use super::terminal;
use crate::context::Deadline;
use crate::secret::Secret;
use crate::text::{inside_bare_marks, without_escaped_marks};

/// Asks on the terminal.
pub(super) struct Dialog {
    term: Term,
    deadline: Deadline,
}

impl Dialog {
    pub(super) fn new() -> Self {
        Self {
            term: Term::stderr(),
            deadline: Deadline::never(),
        }
    }

    fn print_reason(&self, reason: &str) -> Result<(), AskError> {
        self.term
            .write_line(&format!("  {reason}"))
            .map_err(AskError::Io)
    }

    /// Asks once. A Windows console is read by this thread, and `--timeout` counts only between
    /// questions: a program whose console another thread has read does not always end.
    #[cfg(not(unix))]
    fn ask<T>(
        &self,
        hidden: Option<&str>,
        read: impl FnOnce(&Term) -> dialoguer::Result<T>,
    ) -> Result<T, AskError> {
        if self.deadline.bound(Duration::MAX).is_zero() {
            return Err(AskError::TimedOut);
        }
        let _asking = terminal::ask(hidden);
        read(&self.term).map_err(failed)
    }

    /// Asks once. The terminal cannot be read with a time limit, so a thread reads it. When the
    /// time is up, the thread is left alone, and the process exits without it.
    #[cfg(unix)]
    fn ask<T: Send + 'static>(
        &self,
        hidden: Option<&str>,
        read: impl FnOnce(&Term) -> dialoguer::Result<T> + Send + 'static,
    ) -> Result<T, AskError> {
        let _asking = terminal::ask(hidden);
        let (sender, answer) = mpsc::channel();
        let term = self.term.clone();
        thread::Builder::new()
            .name("question".into())
            // An error of sending means that the time is up.
            .spawn(move || drop(sender.send(read(&term))))
            .map_err(AskError::Io)?;
        match answer.recv_timeout(self.deadline.bound(Duration::MAX)) {
            Ok(answer) => answer.map_err(failed),
            Err(RecvTimeoutError::Timeout) => {
                terminal::restore();
                Err(AskError::TimedOut)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(AskError::Io(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }
}

impl Ask for Dialog {
    fn limit(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    fn expect_interruption(&mut self) {
        let _ = terminal::ask(None);
    }

    fn text(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: Check<'_>,
    ) -> Result<String, AskError> {
        loop {
            let (question, default) = (question.to_owned(), default.map(str::to_owned));
            let answer = self.ask(None, move |term| {
                let theme = ColorfulTheme::default();
                let mut input = Input::<String>::with_theme(&theme)
                    .with_prompt(question)
                    .allow_empty(true)
                    .report(true);
                if let Some(default) = default {
                    input = input.default(default);
                }
                input.interact_text_on(term)
            })?;
            let answer = without_paste_marks(answer.trim());
            match check(answer.trim()) {
                Ok(()) => return Ok(answer.trim().to_owned()),
                Err(reason) => self.print_reason(&reason)?,
            }
        }
    }

    fn secret(&mut self, question: &str, check: Check<'_>) -> Result<Secret, AskError> {
        loop {
            let text = question.to_owned();
            let answer = self.ask(Some(question), move |term| {
                Password::with_theme(&ColorfulTheme::default())
                    .with_prompt(text)
                    .allow_empty_password(true)
                    .report(false)
                    .interact_on(term)
                    .map(|answer| Secret::new(without_paste_marks(&answer)))
            })?;
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
        let (question, choices) = (question.to_owned(), choices.to_owned());
        self.ask(None, move |term| {
            Select::with_theme(&ColorfulTheme::default())
                .with_prompt(question)
                .items(&choices)
                .default(default)
                .interact_on(term)
        })
    }

    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, AskError> {
        let question = question.to_owned();
        self.ask(None, move |term| {
            Confirm::with_theme(&ColorfulTheme::default())
                .with_prompt(question)
                .default(default)
                .interact_on(term)
        })
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

/// What was pasted, without the paste marks around and in it.
fn without_paste_marks(text: &str) -> String {
    let text = without_escaped_marks(text);
    match inside_bare_marks(text.trim_start()) {
        Some(inner) => inner.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paste_marks_are_removed_with_and_without_their_escape_character() {
        for pasted in [
            "prod",
            "\u{1b}[200~prod\u{1b}[201~",
            "\u{1b}[200~prod",
            "pr\u{1b}[200~od\u{1b}[201~",
            "[200~prod[201~",
            "200~prod201~",
            "0~prod1~",
            "0~prod",
        ] {
            assert_eq!(without_paste_marks(pasted), "prod", "{pasted:?}");
        }
        // Without the first mark, the end belongs to the text.
        assert_eq!(without_paste_marks("prod1~"), "prod1~");
        assert_eq!(without_paste_marks("a0~b"), "a0~b");
    }
}
