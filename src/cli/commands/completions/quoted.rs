//! Completers whose words are quoted as the shell needs. fish, zsh and elvish quote what they
//! insert themselves.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::engine::{complete, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter};

use crate::cli::format::json_text;
use crate::cli::shell::Shell;

/// The place of the word that is completed, among the arguments.
pub(super) const INDEX: &str = "_CLAP_COMPLETE_INDEX";

/// What the bash script wants between words.
const SEPARATOR: &str = "_CLAP_IFS";

/// The word as bash has split it: with the quote that the person began with, or colons, which the
/// script of `clap_complete` leaves out.
const WORD: &str = "_COMPLETE_WORD";

/// The script of `clap_complete`, with words that are quoted as the person began to quote them.
pub(super) struct QuotedBash;

impl EnvCompleter for QuotedBash {
    fn name(&self) -> &'static str {
        Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        Bash.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        bin: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut script = Vec::new();
        Bash.write_registration(variable, name, bin, completer, &mut script)?;
        let words = "    local words=(";
        let word = format!("    local -x {WORD}=\"${{COMP_WORDS[COMP_CWORD]}}\"\n");
        let script = String::from_utf8_lossy(&script).replace(words, &(word + words));
        out.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        program: &mut Command,
        arguments: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let split = std::env::var(WORD).unwrap_or_default();
        let line = joined(arguments, index(), &split);
        let found = candidates_at(line.index, program, line.arguments, folder)?;
        let quoted = |one: &CompletionCandidate| {
            let text = one.get_value().to_string_lossy();
            let text = text.strip_prefix(&line.kept)?;
            if split.starts_with('"') {
                in_double_quotes(text)
            } else {
                Some(word(Shell::Bash, text))
            }
        };
        let words: Vec<_> = found.iter().filter_map(quoted).collect();
        let separator = std::env::var(SEPARATOR).unwrap_or_else(|_| "\n".into());
        write!(out, "{}", words.join(&separator))
    }
}

/// A completer for PowerShell that evaluates nothing. The one of `clap_complete` evaluates what was
/// typed, so that TAB runs a command that is only being written.
pub(super) struct PowerShell;

/// Windows PowerShell drops empty arguments, so that the index says where the word is. What comes
/// back is ASCII, because the console's code page decides how PowerShell reads it.
const SCRIPT: &str = r#"
Register-ArgumentCompleter -Native -CommandName 'NAME', 'NAME.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @()
    $index = -1
    foreach ($element in $commandAst.CommandElements) {
        $extent = $element.Extent
        if ($extent.StartOffset -ge $cursorPosition -and $words.Count) { break }
        if ($extent.EndOffset -gt $cursorPosition) {
            # The cursor is inside this word.
            $word = $extent.Text.Substring(0, $cursorPosition - $extent.StartOffset)
        } elseif ($element -is [System.Management.Automation.Language.StringConstantExpressionAst]) {
            $word = $element.Value
        } else {
            $word = $extent.Text
        }
        $words += $word
        if ($extent.EndOffset -ge $cursorPosition) { $index = $words.Count - 1 }
    }
    if ($index -lt 0) { $index = $words.Count }
    $before = $env:VARIABLE
    $place = $env:INDEX
    try {
        $env:VARIABLE = 'powershell'
        $env:INDEX = "$index"
        $lines = @(& COMPLETER -- $words 2>$null)
    } finally {
        $env:VARIABLE = $before
        $env:INDEX = $place
    }
    foreach ($line in $lines) {
        $found = ConvertFrom-Json $line
        if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
            $found.word
        } else {
            [System.Management.Automation.CompletionResult]::new($found.word, $found.text, 'ParameterValue', $found.help)
        }
    }
};
"#;

impl EnvCompleter for PowerShell {
    fn name(&self) -> &'static str {
        "powershell"
    }

    fn is(&self, name: &str) -> bool {
        Shell::of_program(name) == Some(Shell::Powershell)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        _bin: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let completer = Shell::Powershell.word(completer).unwrap_or_default();
        let script = SCRIPT
            .replace("COMPLETER", &completer)
            .replace("VARIABLE", variable)
            .replace("INDEX", INDEX)
            .replace("NAME", name);
        out.write_all(script.trim_start().as_bytes())
    }

    fn write_complete(
        &self,
        program: &mut Command,
        arguments: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for one in candidates(program, arguments, folder)? {
            let text = one.get_value().to_string_lossy().into_owned();
            let help = help(&one);
            let line = serde_json::json!({
                "word": word(Shell::Powershell, &text),
                // PowerShell refuses an empty one.
                "help": if help.is_empty() { &text } else { &help },
                "text": &text,
            });
            writeln!(out, "{}", json_text(&line.to_string()))?;
        }
        Ok(())
    }
}

/// A command line of bash, with the words that it splits at `=` and `:` put together.
struct Joined {
    arguments: Vec<OsString>,
    /// The place of the word that is completed.
    index: usize,
    /// The part of that word that bash keeps: it replaces only what follows the last `:`.
    kept: String,
}

/// Puts `a:b` together, which bash splits into three words, and drops the `=` of `--connection=x`.
fn joined(words: Vec<OsString>, index: usize, split: &str) -> Joined {
    let mut line = Joined {
        arguments: Vec::new(),
        index,
        kept: String::new(),
    };
    let mut continues = false;
    for (number, mut word) in words.into_iter().enumerate() {
        if number == index && is_colons(split.as_bytes()) {
            word = split.into();
        }
        let is_colon = is_colons(word.as_encoded_bytes());
        let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
        match line.arguments.last_mut().filter(|_| number > 1) {
            Some(before) if word == "=" && is_option(before) && number != index => {
                line.index -= usize::from(number < index);
            }
            Some(before) if is_colon || continues && !is_option(&word) => {
                if number == index {
                    line.kept = before.to_string_lossy().into_owned();
                    line.kept.extend(is_colon.then_some(split));
                }
                before.push(&word);
                line.index -= usize::from(number <= index);
            }
            _ => line.arguments.push(word),
        }
        continues = is_colon;
    }
    line
}

fn is_colons(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|c| *c == b':')
}

/// The candidate in double quotes; `None` for one with `!`, which bash would replace inside them.
fn in_double_quotes(text: &str) -> Option<String> {
    if text.contains('!') {
        return None;
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        if "\"\\$`".contains(c) {
            word.push('\\');
        }
        word.push(c);
    }
    Some(word + "\"")
}

fn index() -> usize {
    let index = std::env::var(INDEX).ok();
    index.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What completes the word that the shell names.
pub(super) fn candidates(
    program: &mut Command,
    arguments: Vec<OsString>,
    folder: Option<&Path>,
) -> io::Result<Vec<CompletionCandidate>> {
    candidates_at(index(), program, arguments, folder)
}

fn candidates_at(
    index: usize,
    program: &mut Command,
    mut arguments: Vec<OsString>,
    folder: Option<&Path>,
) -> io::Result<Vec<CompletionCandidate>> {
    if arguments.len() == index {
        arguments.push(OsString::new());
    }
    complete(program, arguments, index, folder)
}

/// The first line of the candidate's help; empty if it has none.
pub(super) fn help(candidate: &CompletionCandidate) -> String {
    let help = candidate.get_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    help.lines().next().unwrap_or_default().to_owned()
}

/// Whether every shell takes the text for one word.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=+".contains(c);
    text.chars().all(plain) && !text.is_empty()
}

/// The text as one word of a command line.
fn word(shell: Shell, text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    shell.word(text).unwrap_or_default()
}
