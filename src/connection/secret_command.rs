//! The command that gives a client secret.

use std::fmt;
use std::path::Path;

use super::is_control;
use crate::error::{Error, Result};

/// The longest command, in bytes, and the most words.
const LONGEST_COMMAND: usize = 4096;
const MOST_WORDS: usize = 64;

/// The command that gives the client secret of a connection: a program by its absolute path, and
/// its arguments. It is started without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCommand(Vec<String>);

impl SecretCommand {
    /// The command with these words, the first of which is the absolute path of the program.
    pub fn from_words(words: Vec<String>) -> Result<Self> {
        if words.len() > MOST_WORDS
            || words.iter().map(String::len).sum::<usize>() > LONGEST_COMMAND
        {
            return bad("it is too long; put it into a script");
        }
        if words.iter().any(|word| word.contains(is_control)) {
            return bad("it contains a control character");
        }
        match words.first() {
            Some(program) if Path::new(program).is_absolute() => Ok(Self(words)),
            _ => bad("it begins with the absolute path of a program"),
        }
    }

    /// The path of the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        Path::new(self.0.first().map_or("", String::as_str))
    }

    /// Its arguments.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }

    /// All words, the program first.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The file name of the program, as messages name the command.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.program().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// As a JSON array, from which the words can be read again.
impl fmt::Display for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::invalid("client secret command", why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_begins_with_an_absolute_path() {
        let program = if cfg!(windows) {
            r"C:\\p.exe"
        } else {
            "/bin/p"
        };
        let made = |words: &[&str]| {
            SecretCommand::from_words(words.iter().map(|&word| word.to_owned()).collect())
        };
        let command = made(&[program, "a b", ""]).unwrap();
        assert_eq!(command.program(), Path::new(program));
        assert_eq!(command.arguments(), ["a b", ""]);
        let again: Vec<String> = serde_json::from_str(&command.to_string()).unwrap();
        assert_eq!(SecretCommand::from_words(again).unwrap(), command);
        assert!(["p", "p.exe"].contains(&command.name().as_str()));
        let long = "x".repeat(LONGEST_COMMAND);
        for bad in [
            &[][..],
            &["p"],
            &["./p"],
            &[""],
            &[program, "a\nb"],
            &[program, &long],
            &[program; 65],
        ] {
            assert!(made(bad).is_err(), "{bad:?}");
        }
    }
}
