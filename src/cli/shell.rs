//! How each shell writes "set this variable to exactly this value": pure text in, text out.
//!
//! A value survives exactly and runs nothing, whatever a portal or a label contains. What a form cannot carry is an error
//! that names the variable, never a value that arrives changed.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::format::json_text;

/// A form of output that some shell or program evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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
    /// What is in it.
    pub why: &'static str,
}

impl Shell {
    /// The shell whose program has this name, with or without `.exe`, path or a login shell's `-`.
    #[must_use]
    pub fn of_program(program: &str) -> Option<Self> {
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
        let name = name.trim_start_matches('-').to_ascii_lowercase();
        match name.strip_suffix(".exe").unwrap_or(&name) {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "sh" | "dash" | "ash" | "ksh" | "mksh" | "busybox" => Some(Self::Sh),
            "fish" => Some(Self::Fish),
            "powershell" | "pwsh" | "powershell_ise" => Some(Self::Powershell),
            "cmd" => Some(Self::Cmd),
            "nu" => Some(Self::Nu),
            _ => None,
        }
    }

    /// The line that loads the statements into the shell, for a person who sees them on a terminal.
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
            Self::Dotenv | Self::Json | Self::Github => None,
        }
    }

    /// Whether statements of this form are evaluated by a shell, so that a failure can be one of them.
    #[must_use]
    pub fn is_evaluated(self) -> bool {
        matches!(
            self,
            Self::Bash | Self::Zsh | Self::Sh | Self::Fish | Self::Powershell | Self::Cmd
        )
    }

    /// Everything that this form prints for these variables.
    pub fn render(self, variables: &[Variable]) -> Result<String, Unquotable> {
        if matches!(self, Self::Json | Self::Nu) {
            return Ok(json(variables));
        }
        let mut text = String::new();
        for variable in variables {
            let line = self.statement(variable)?;
            if !line.is_empty() {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// What makes the evaluating shell see a failure. Only where [`Self::is_evaluated`].
    #[must_use]
    pub fn failing_statement(self) -> &'static str {
        match self {
            Self::Powershell => "throw 'age-oauth: no token, see the message above'",
            Self::Cmd => "cmd /c exit 1",
            _ => "false",
        }
    }

    fn statement(self, variable: &Variable) -> Result<String, Unquotable> {
        let name = &variable.name;
        let Some(value) = &variable.value else {
            return Ok(self.unset(name));
        };
        let refuse = |why| Unquotable {
            name: name.clone(),
            why,
        };
        if value.contains('\0') {
            return Err(refuse("a NUL character"));
        }
        Ok(match self {
            Self::Bash | Self::Zsh | Self::Sh => {
                format!("export {name}='{}'", value.replace('\'', "'\\''"))
            }
            Self::Fish => format!(
                "set -gx {name} '{}'",
                value.replace('\\', "\\\\").replace('\'', "\\'")
            ),
            Self::Powershell => format!("$env:{name} = {}", powershell(value)),
            Self::Cmd => match cmd_cannot_carry(value) {
                Some(why) => return Err(refuse(why)),
                None => format!("set \"{name}={value}\""),
            },
            Self::Dotenv => format!("{name}={}", dotenv(value).map_err(refuse)?),
            Self::Github => github(name, value),
            Self::Json | Self::Nu => String::new(),
        })
    }

    fn unset(self, name: &str) -> String {
        match self {
            Self::Bash | Self::Zsh | Self::Sh => format!("unset {name}"),
            // fish calls it a failure where there is nothing to erase.
            Self::Fish => format!("set -eg {name}; or true"),
            Self::Powershell => format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue"),
            Self::Cmd => format!("set \"{name}=\""),
            Self::Github => format!("{name}="),
            Self::Dotenv | Self::Json | Self::Nu => String::new(),
        }
    }
}

/// An expression of printable ASCII alone, because the console's code page is anybody's guess. PowerShell also takes
/// typographic quotes for quotes; they are not ASCII, so they are never written as themselves.
fn powershell(value: &str) -> String {
    if value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return format!("'{}'", value.replace('\'', "''"));
    }
    let units: Vec<_> = value.encode_utf16().map(|unit| unit.to_string()).collect();
    format!("-join [char[]]({})", units.join(","))
}

/// `set "NAME=value"` protects `& | < > ^` and blanks. The rest depends on where the line is evaluated (a batch file
/// doubles `%`, a prompt does not; delayed expansion eats `!`), so that no one spelling is right.
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

/// Readers of `.env` files differ: some expand `${…}` even in single quotes, some undo `\\` and `\'` there, some let a
/// backslash before the closing quote escape it. What all of them read alike goes into single quotes; only what those
/// cannot hold goes into double quotes, and then without anything that a shell which reads the file would run.
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
            "$env:V = 'a''b\"c$d`e\\f'\n"
        );
        assert_eq!(
            one(Shell::Powershell, "ü\n").unwrap(),
            "$env:V = -join [char[]](252,10)\n"
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
            ("python3", None),
            ("", None),
        ] {
            assert_eq!(Shell::of_program(program), shell, "{program}");
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
