//! The parts of a help text that all commands have in common.

use std::fmt::Write as _;

use clap::Arg;

/// The heading of the options that every command has.
pub(in crate::cli) const GLOBAL_OPTIONS: &str = "Global options";

/// The widest line of help, in columns.
pub(in crate::cli) const WIDTH: usize = 100;

/// What the examples in a help text begin with.
pub(in crate::cli) const EXAMPLES: &str = "Examples:";

/// A command line, and what it does in a few words.
type Example<'a> = (&'a str, &'a str);

/// The last section of a command's help.
pub(in crate::cli) fn examples(list: &[Example<'_>]) -> String {
    let width = list.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let mut text = String::from(EXAMPLES);
    for (line, purpose) in list {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {line:width$}  # {purpose}");
    }
    text
}

/// Where people read about the program: the homepage that `Cargo.toml` names, else the repository.
/// None as long as it names neither.
pub(in crate::cli) const DOCUMENTATION: Option<&str> =
    documentation(env!("CARGO_PKG_HOMEPAGE"), env!("CARGO_PKG_REPOSITORY"));

const fn documentation<'a>(homepage: &'a str, repository: &'a str) -> Option<&'a str> {
    match (homepage.is_empty(), repository.is_empty()) {
        (false, _) => Some(homepage),
        (true, false) => Some(repository),
        (true, true) => None,
    }
}

/// The last line of the program's help, with an empty line before it. Nothing without an address.
pub(in crate::cli) fn documentation_line(address: Option<&str>) -> String {
    address.map_or_else(String::new, |address| {
        format!("\n\nDocumentation: {address}")
    })
}

/// The help of an option that has a default.
pub(in crate::cli) fn with_default(help: &str, default: &str) -> String {
    format!("{help}{DEFAULT}{default}]")
}

/// How the help of an option begins to name its default.
const DEFAULT: &str = " [default: ";

/// The same option in a command that leaves the value as it is when the option is absent.
pub(in crate::cli) fn without_default(option: Arg) -> Arg {
    let help = option.get_help().map(ToString::to_string);
    match help.as_deref().and_then(|help| help.split_once(DEFAULT)) {
        Some((text, _)) if !option.is_positional() => option.help(text.to_owned()),
        _ => option,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_the_homepage_or_the_repository_or_neither() {
        let line = |homepage, repository| documentation_line(documentation(homepage, repository));
        assert_eq!(line("", ""), "");
        assert_eq!(line("", "https://b"), "\n\nDocumentation: https://b");
        assert_eq!(
            line("https://a", "https://b"),
            "\n\nDocumentation: https://a"
        );
    }
}
