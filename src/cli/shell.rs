//! The shells that `export-env` knows: how each sets a variable to exactly a value, unsets it, and
//! sees a failure.
//!
//! A value arrives exactly and runs nothing, whatever a portal or a label contains. If a form
//! cannot carry a value, that is an error that names the variable; a value never arrives changed.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::format::json_text;

/// A form of output that some shell or program evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// Any POSIX shell
    Sh,
    /// fish
    Fish,
    /// Windows PowerShell and PowerShell
    Powershell,
    /// The Windows command prompt
    Cmd,
    /// Nushell (the JSON form)
    Nu,
    /// xonsh
    Xonsh,
    /// A `.env` file
    Dotenv,
    /// One JSON object
    Json,
    /// GitHub Actions: masks the token, then appends to `$GITHUB_ENV`
    Github,
}

/// A variable and its value; a variable without one is unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// A value that a form cannot carry.
#[derive(Debug, PartialEq, Eq)]
pub struct Unquotable {
    /// Which variable.
    pub name: String,
    /// What it contains that the form cannot carry.
    pub why: &'static str,
}

/// How statements reach the shell or program that reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// They are printed.
    Print,
    /// They are appended to the file that `GITHUB_ENV` names; the token is masked in the job's log
    /// first.
    GithubFile,
}

// Every `match` on a shell lists all of them, so that a new shell does not compile until each place
// has decided.
impl Shell {
    /// The word that `--shell` takes.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// The names of the programs that read this form, without `.exe`.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Bash => &["bash"],
            Self::Zsh => &["zsh"],
            Self::Sh => &["sh", "dash", "ash", "ksh", "mksh", "busybox"],
            Self::Fish => &["fish"],
            Self::Powershell => &["powershell", "pwsh", "powershell_ise"],
            Self::Cmd => &["cmd"],
            Self::Nu => &["nu"],
            Self::Xonsh => &["xonsh"],
            Self::Dotenv | Self::Json | Self::Github => &[],
        }
    }

    /// The shell whose program has this name, with or without `.exe`, a path or the `-` of a login
    /// shell.
    #[must_use]
    pub fn of_program(program: &str) -> Option<Self> {
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
        let name = name.trim_start_matches('-').to_ascii_lowercase();
        let name = name.strip_suffix(".exe").unwrap_or(&name);
        Self::value_variants()
            .iter()
            .copied()
            .find(|shell| shell.programs().contains(&name))
    }

    /// The line that loads the statements into the shell. docs/shells.md shows the same lines.
    #[must_use]
    pub fn loading_line(self) -> Option<&'static str> {
        match self {
            Self::Bash | Self::Zsh | Self::Sh => Some("eval \"$(age-oauth export-env)\""),
            Self::Fish => Some("age-oauth export-env | source"),
            Self::Powershell => Some("age-oauth export-env | Out-String | Invoke-Expression"),
            Self::Cmd => {
                Some("for /f \"delims=\" %i in ('age-oauth export-env --shell cmd') do @%i")
            }
            Self::Nu => Some("age-oauth export-env --shell json | from json | load-env"),
            // Without `@error_ignore`, xonsh evaluates nothing after a failure, and the old token
            // stays. The form is named because the parent process can be called `python`.
            Self::Xonsh => Some("execx($(@error_ignore age-oauth export-env --shell xonsh))"),
            Self::Dotenv | Self::Json | Self::Github => None,
        }
    }

    /// The statement that makes the shell see a failure; none where a failure cannot be one of the
    /// statements.
    #[must_use]
    pub fn failing_statement(self) -> Option<&'static str> {
        match self {
            Self::Bash | Self::Zsh | Self::Sh | Self::Fish => Some("false"),
            Self::Powershell => Some("throw 'age-oauth: no token, see the message above';"),
            Self::Xonsh => Some("raise RuntimeError('age-oauth: no token, see the message above')"),
            Self::Cmd => Some("cmd /c exit 1"),
            Self::Nu | Self::Dotenv | Self::Json | Self::Github => None,
        }
    }

    /// Whether `AGE_OAUTH_CONNECTION` holds the id, because the shell cannot carry every label.
    #[must_use]
    pub fn names_connection_by_id(self) -> bool {
        match self {
            Self::Cmd => true,
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Powershell
            | Self::Nu
            | Self::Xonsh
            | Self::Dotenv
            | Self::Json
            | Self::Github => false,
        }
    }

    /// What to run instead, where this form cannot carry a value.
    #[must_use]
    pub fn alternative(self) -> Option<&'static str> {
        match self {
            Self::Cmd => Some("PowerShell carries it: age-oauth export-env --shell powershell"),
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Powershell
            | Self::Nu
            | Self::Xonsh
            | Self::Dotenv
            | Self::Json
            | Self::Github => None,
        }
    }

    /// The text as one word of a command line; `None` if the shell cannot carry it.
    #[must_use]
    pub(crate) fn word(self, text: &str) -> Option<String> {
        match self {
            Self::Bash | Self::Zsh | Self::Sh => Some(format!("'{}'", text.replace('\'', "'\\''"))),
            Self::Fish => Some(format!(
                "'{}'",
                text.replace('\\', "\\\\").replace('\'', "\\'")
            )),
            Self::Powershell => Some(powershell_word(text)),
            Self::Nu => Some(nu_word(text)),
            Self::Xonsh => Some(format!("'{}'", python(text))),
            // Where cmd evaluates the line decides about `%` and `!`, see `cmd_cannot_carry`.
            Self::Cmd | Self::Dotenv | Self::Json | Self::Github => None,
        }
    }

    /// How the statements reach the shell.
    #[must_use]
    pub(crate) fn delivery(self) -> Delivery {
        match self {
            Self::Github => Delivery::GithubFile,
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Powershell
            | Self::Cmd
            | Self::Nu
            | Self::Xonsh
            | Self::Dotenv
            | Self::Json => Delivery::Print,
        }
    }

    /// Everything that this form prints for these variables.
    pub fn render(self, variables: &[Variable]) -> Result<String, Unquotable> {
        match self {
            Self::Json | Self::Nu => Ok(json(variables)),
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Powershell
            | Self::Cmd
            | Self::Xonsh
            | Self::Dotenv
            | Self::Github => self.statements(variables),
        }
    }

    fn statements(self, variables: &[Variable]) -> Result<String, Unquotable> {
        let statements: Result<Vec<_>, _> = variables
            .iter()
            .map(|variable| self.statement(variable))
            .collect();
        let mut statements = statements?;
        statements.retain(|statement| !statement.is_empty());
        if statements.is_empty() {
            return Ok(String::new());
        }
        Ok(statements.join(self.separator()) + "\n")
    }

    /// What is between two statements. PowerShell evaluates the lines of a program one by one,
    /// joined by blanks or joined by line ends, depending on how the person writes it; one line is
    /// the same in each case.
    fn separator(self) -> &'static str {
        match self {
            Self::Powershell => " ",
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Cmd
            | Self::Nu
            | Self::Xonsh
            | Self::Dotenv
            | Self::Json
            | Self::Github => "\n",
        }
    }

    /// Statements that unset these variables and make the shell see a failure; none where a failure
    /// cannot be one of the statements.
    pub(crate) fn failure(self, unset: &[Variable]) -> Option<String> {
        let failing = self.failing_statement()?;
        let text = self.render(unset).unwrap_or_default();
        let text = text.trim_end();
        let separator = if text.is_empty() {
            ""
        } else {
            self.separator()
        };
        Some(format!("{text}{separator}{failing}\n"))
    }

    /// Whether the statements hold the token. PowerShell can log every text that it evaluates, so
    /// its statements get the token themselves.
    #[must_use]
    pub(crate) fn holds_token(self) -> bool {
        match self {
            Self::Powershell => false,
            Self::Bash
            | Self::Zsh
            | Self::Sh
            | Self::Fish
            | Self::Cmd
            | Self::Nu
            | Self::Xonsh
            | Self::Dotenv
            | Self::Json
            | Self::Github => true,
        }
    }

    fn statement(self, variable: &Variable) -> Result<String, Unquotable> {
        let Some(value) = &variable.value else {
            return Ok(self.unset(&variable.name));
        };
        let statement = if value.contains('\0') {
            Err("a NUL character")
        } else {
            self.set(&variable.name, value)
        };
        statement.map_err(|why| Unquotable {
            name: variable.name.clone(),
            why,
        })
    }

    /// The statement that sets a variable, or what the form cannot carry.
    fn set(self, name: &str, value: &str) -> Result<String, &'static str> {
        Ok(match self {
            Self::Bash | Self::Zsh | Self::Sh => {
                format!("export {name}='{}'", value.replace('\'', "'\\''"))
            }
            Self::Fish => format!(
                "set -gx {name} '{}'",
                value.replace('\\', "\\\\").replace('\'', "\\'")
            ),
            Self::Powershell => format!("$env:{name} = {};", powershell(value)),
            Self::Xonsh => format!("${name} = '{}'", python(value)),
            Self::Cmd => match cmd_cannot_carry(value) {
                Some(why) => return Err(why),
                None => format!("set \"{name}={value}\""),
            },
            Self::Dotenv => format!("{name}={}", dotenv(value)?),
            Self::Github => github(name, value),
            // One object for all variables, see `json`.
            Self::Json | Self::Nu => String::new(),
        })
    }

    fn unset(self, name: &str) -> String {
        match self {
            Self::Bash | Self::Zsh | Self::Sh => format!("unset {name}"),
            // fish calls it a failure where there is nothing to erase.
            Self::Fish => format!("set -eg {name}; or true"),
            Self::Powershell => format!("$env:{name} = $null;"),
            Self::Cmd => format!("set \"{name}=\""),
            // `del` fails if the variable is not set.
            Self::Xonsh => format!("${{...}}.pop('{name}', None)"),
            Self::Github => format!("{name}="),
            Self::Dotenv | Self::Json | Self::Nu => String::new(),
        }
    }
}

/// An expression of printable ASCII alone, because the code page of the console is unknown.
/// PowerShell also takes typographic quotes for quotes; they are not ASCII, so they are never
/// written as themselves.
fn powershell(value: &str) -> String {
    if value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return format!("'{}'", value.replace('\'', "''"));
    }
    let units: Vec<_> = value.encode_utf16().map(|unit| unit.to_string()).collect();
    format!("-join [char[]]({})", units.join(","))
}

/// The same as one operand or argument.
pub(super) fn powershell_operand(value: &str) -> String {
    let expression = powershell(value);
    if expression.starts_with('\'') {
        return expression;
    }
    format!("({expression})")
}

/// A quote ends the word unless it is doubled, typographic ones too.
fn powershell_word(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// A raw string with more marks than the text has in a row after a quote.
fn nu_word(text: &str) -> String {
    let mut marks = String::from("#");
    while text.contains(&format!("'{marks}")) {
        marks.push('#');
    }
    format!("r{marks}'{text}'{marks}")
}

/// The inside of a Python string literal, in printable ASCII: whatever the encoding of the pipe,
/// and whatever xonsh does to line ends in the output of a program, the value arrives exactly.
fn python(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            // Writing to a String cannot fail.
            _ => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted
}

/// `set "NAME=value"` protects `& | < > ^` and blanks. The rest depends on where the line is
/// evaluated (a batch file doubles `%`, a prompt does not; delayed expansion eats `!`), so that no
/// one spelling is right.
fn cmd_cannot_carry(value: &str) -> Option<&'static str> {
    value.chars().find_map(|c| match c {
        '%' => Some("`%`"),
        '!' => Some("`!`"),
        '"' => Some("a double quote"),
        '\n' | '\r' => Some("a line break"),
        c if c.is_control() => Some("a control character"),
        c if !c.is_ascii() => Some("a letter outside ASCII"),
        _ => None,
    })
}

/// Readers of `.env` files differ: some expand `${…}` even in single quotes, some undo `\\` and
/// `\'` there, some let a backslash before the closing quote escape it. What all of them read alike
/// goes into single quotes; only what those cannot hold goes into double quotes, and then without
/// anything that a shell which reads the file would run.
fn dotenv(value: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    if value.contains("${") {
        return Err("`${`");
    }
    if value.ends_with('\\') {
        return Err("a backslash at its end");
    }
    if !value.contains(['\'', '\n', '\r']) && !value.contains("\\\\") {
        return Ok(format!("'{value}'"));
    }
    if value.contains(['$', '`']) {
        return Err("`$` or a backtick together with a quote, two backslashes or a line break");
    }
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// A here-document whose end cannot occur in the value.
fn github(name: &str, value: &str) -> String {
    let mut end = String::from("age_oauth_end");
    while value.contains(&end) {
        end.push('_');
    }
    format!("{name}<<{end}\n{value}\n{end}")
}

/// One object; a variable that does not apply is `null`, so that a reader can unset it.
fn json(variables: &[Variable]) -> String {
    let mut text = String::from("{");
    for (index, variable) in variables.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let name = serde_json::Value::from(&*variable.name);
        let value = variable
            .value
            .as_deref()
            .map_or(serde_json::Value::Null, serde_json::Value::from);
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}\n  {name}: {value}");
    }
    text.push_str("\n}\n");
    json_text(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(shell: Shell, value: &str) -> Result<String, Unquotable> {
        shell.render(&[Variable {
            name: "V".into(),
            value: Some(value.into()),
        }])
    }

    #[test]
    fn each_shell_has_its_own_quotes() {
        let nasty = "a'b\"c$d`e\\f";
        assert_eq!(
            one(Shell::Bash, nasty).unwrap(),
            "export V='a'\\''b\"c$d`e\\f'\n"
        );
        assert_eq!(
            one(Shell::Fish, nasty).unwrap(),
            "set -gx V 'a\\'b\"c$d`e\\\\f'\n"
        );
        assert_eq!(
            one(Shell::Powershell, nasty).unwrap(),
            "$env:V = 'a''b\"c$d`e\\f';\n"
        );
        assert_eq!(
            one(Shell::Powershell, "ü\n").unwrap(),
            "$env:V = -join [char[]](252,10);\n"
        );
        assert_eq!(
            one(Shell::Xonsh, "a'b\\c\nü").unwrap(),
            "$V = 'a\\'b\\\\c\\U0000000a\\U000000fc'\n"
        );
        assert_eq!(
            one(Shell::Cmd, "a&b|c<d>e^f").unwrap(),
            "set \"V=a&b|c<d>e^f\"\n"
        );
        assert_eq!(
            one(Shell::Dotenv, "https://h/p").unwrap(),
            "V=https://h/p\n"
        );
        assert_eq!(one(Shell::Dotenv, "a b $c").unwrap(), "V='a b $c'\n");
        assert_eq!(one(Shell::Dotenv, "a'b\n").unwrap(), "V=\"a'b\\n\"\n");
        assert_eq!(
            one(Shell::Dotenv, "C:\\new\\ca.pem").unwrap(),
            "V='C:\\new\\ca.pem'\n"
        );
        assert_eq!(
            one(Shell::Json, "a\"b").unwrap(),
            "{\n  \"V\": \"a\\\"b\"\n}\n"
        );
        assert_eq!(
            one(Shell::Github, "a\nage_oauth_end\nb").unwrap(),
            "V<<age_oauth_end_\na\nage_oauth_end\nb\nage_oauth_end_\n"
        );
    }

    #[test]
    fn what_a_form_cannot_carry_is_an_error_that_names_the_variable() {
        for value in ["%PATH%", "a!b", "a\"b", "a\nb", "a\rb", "ü"] {
            assert_eq!(one(Shell::Cmd, value).unwrap_err().name, "V", "{value}");
        }
        for shell in Shell::value_variants() {
            let nul = one(*shell, "a\0b");
            assert!(
                nul.is_err() || matches!(shell, Shell::Json | Shell::Nu),
                "{shell:?}"
            );
        }
        for value in ["$a'b", "`a`'b", "${a}", "a b\\"] {
            assert!(one(Shell::Dotenv, value).is_err(), "{value}");
        }
    }

    #[test]
    fn programs_are_recognised_as_systems_name_them() {
        for (program, shell) in [
            ("bash", Some(Shell::Bash)),
            ("-zsh", Some(Shell::Zsh)),
            ("/usr/bin/fish", Some(Shell::Fish)),
            ("C:\\Windows\\System32\\cmd.exe", Some(Shell::Cmd)),
            ("pwsh.EXE", Some(Shell::Powershell)),
            ("dash", Some(Shell::Sh)),
            ("nu", Some(Shell::Nu)),
            ("xonsh", Some(Shell::Xonsh)),
            ("python3", None),
            ("", None),
        ] {
            assert_eq!(Shell::of_program(program), shell, "{program}");
        }
    }

    /// The name in the table of docs/shells.md; none for forms that no shell loads.
    fn title(shell: Shell) -> Option<&'static str> {
        match shell {
            Shell::Bash => Some("bash"),
            Shell::Zsh => Some("zsh"),
            Shell::Sh => Some("sh"),
            Shell::Fish => Some("fish"),
            Shell::Powershell => Some("PowerShell"),
            Shell::Cmd => Some("cmd"),
            Shell::Nu => Some("nu"),
            Shell::Xonsh => Some("xonsh"),
            Shell::Dotenv | Shell::Json | Shell::Github => None,
        }
    }

    /// The table of loading lines; shells with the same line share a row.
    fn table() -> String {
        let mut rows: Vec<(Vec<&str>, &str)> = Vec::new();
        for shell in Shell::value_variants() {
            let (Some(title), Some(line)) = (title(*shell), shell.loading_line()) else {
                assert_eq!((title(*shell), shell.loading_line()), (None, None));
                continue;
            };
            match rows.iter_mut().find(|(_, known)| *known == line) {
                Some((titles, _)) => titles.push(title),
                None => rows.push((vec![title], line)),
            }
        }
        let rows = rows.iter().map(|(titles, line)| {
            format!(
                "| {} | `{}` |\n",
                titles.join(", "),
                line.replace('|', "\\|")
            )
        });
        rows.collect()
    }

    #[test]
    fn the_page_shows_the_loading_lines() {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(top.join("docs/shells.md")).unwrap();
        let text = text.replace("\r\n", "\n");
        assert!(text.contains(&table()), "the page lacks:\n{}", table());
    }

    #[test]
    fn every_form_is_on_the_page() {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(top.join("docs/shells.md")).unwrap();
        for shell in Shell::value_variants() {
            let named = title(*shell).map_or_else(|| format!("`{}`", shell.name()), Into::into);
            assert!(text.contains(&named), "{named}");
        }
    }

    proptest! {
        #[test]
        fn powershell_output_is_ascii_and_one_line(value in "\\PC*[\\n\\r\u{2018}\u{201b}]?\\PC*") {
            let text = one(Shell::Powershell, &value).unwrap();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(text.matches('\n').count(), 1);
        }

        #[test]
        fn json_is_read_back_exactly(value in ".*") {
            let text = one(Shell::Json, &value).unwrap();
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read["V"].as_str().unwrap(), value);
        }
    }
}
