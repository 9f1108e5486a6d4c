//! The command that prints a client secret, as a person types it: its words, what is refused in
//! them, and its program.

use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::connection::{is_control, SecretCommand};
use crate::context::Environment;
use crate::error::{Error, PrintedSecret, Result};
use crate::program;

/// What only a shell understands. A person who types it expects one.
const OF_SHELLS: [&str; 8] = ["|", "||", "&&", "&", ";", ">", ">>", "<"];

/// The options of secret managers whose value is a secret itself, without hyphens.
const SECRET_OPTIONS: [&str; 20] = [
    "accesstoken",
    "apikey",
    "authtoken",
    "bearer",
    "bearertoken",
    "clientsecret",
    "masterpassword",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "pin",
    "privatekey",
    "pw",
    "pwd",
    "secretaccesskey",
    "secretkey",
    "session",
    "token",
    "vaulttoken",
];

/// What the tokens of secret managers begin with: of Vault and `OpenBao`, 1Password, GitHub and
/// GitLab; and a JSON Web Token.
const SECRET_BEGINNINGS: [&str; 8] = [
    "hvs.",
    "hvb.",
    "hvr.",
    "ops_",
    "ghp_",
    "github_pat_",
    "glpat-",
    "eyJ",
];

/// Reads the command that prints a client secret, and examines its program. It is not run.
pub(in crate::cli) fn read(text: &str, environment: &Environment) -> Result<SecretCommand> {
    let mut words = split_command(text)?;
    if let Some(name) = words.first_mut() {
        let found = program::find(name, environment)?;
        *name = found.into_os_string().into_string().map_err(|_| {
            Error::invalid("client secret command", "its path is not valid Unicode")
        })?;
    }
    let command = SecretCommand::from_words(words)?;
    program::check(command.program()).map_err(|why| Error::SecretCommand {
        connection: None,
        secret: PrintedSecret::ClientSecret,
        command: command.name(),
        why,
    })?;
    Ok(command)
}

/// Says what gives the client secret from now on.
pub(in crate::cli) fn describe(ctx: &CommandContext, command: &SecretCommand) {
    ctx.console.info(&format!(
        "Client secret: printed by {} whenever a token is renewed; it is not stored.",
        escape(&command.program().display().to_string())
    ));
}

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::invalid("client secret command", why))
}

/// The words of a command as a person types it, the same on all systems: separated by blanks, with
/// single and double quotes, and without any other escape or expansion. A text that begins with `[`
/// is a JSON array of the words.
///
/// A word that looks like a secret is refused: it would stand in `meta.json`, and in the list of
/// processes while the command runs.
fn split_command(text: &str) -> Result<Vec<String>> {
    let words = if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<String>>(text) {
            Ok(words) => words,
            Err(_) => return bad("it begins with `[` and is not a JSON array of texts"),
        }
    } else {
        let words = split(text)?;
        let of_shell = words
            .iter()
            .find(|word| !word.quoted && OF_SHELLS.contains(&&*word.text));
        if let Some(word) = of_shell {
            return bad(format!(
                "it is started without a shell, which `{}` is for; put the line into a script, or put quotes around a word that is meant as it is",
                word.text
            ));
        }
        words.into_iter().map(|word| word.text).collect()
    };
    if words.first().is_none_or(String::is_empty) {
        return bad("it is empty");
    }
    if let Some(what) = looks_like_a_secret(&words) {
        return bad(format!(
            "{what} looks like a secret, which would be stored in a file and shown in the list of processes; let the command read it from a file that only you can read, or from the agent of your secret manager"
        ));
    }
    Ok(words)
}

/// A word, and whether a part of it was in quotes.
#[derive(Default)]
struct Word {
    text: String,
    quoted: bool,
}

fn split(text: &str) -> Result<Vec<Word>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<Word>, None);
    for c in text.trim_matches(['\r', '\n']).chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default().quoted = true;
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, c) if is_control(c) => return bad("it contains a control character"),
            (_, c) => word.get_or_insert_default().text.push(c),
        }
    }
    if quote.is_some() {
        return bad("a quotation mark is not closed");
    }
    words.extend(word);
    Ok(words)
}

/// What in the command looks like a secret, as a message names it: never the word itself.
fn looks_like_a_secret(words: &[String]) -> Option<String> {
    for (at, word) in words.iter().enumerate() {
        // The first word is the program; at a shell, a variable could be set before it.
        let previous = at.checked_sub(1).filter(|at| *at > 0);
        let previous = previous.map(|at| &words[at]);
        if let Some(previous) = previous.filter(|one| is_secret_option(one)) {
            if !word.is_empty() {
                return Some(format!("the value of `{previous}`"));
            }
        }
        if let Some((option, value)) = word.split_once('=') {
            let is_secret = is_secret_option(option) || is_secret_variable(option);
            if is_secret && !value.is_empty() {
                return Some(format!("the value of `{option}`"));
            }
        }
        if is_secret_header(word) {
            return Some("a header with a token".into());
        }
        if has_password(word) {
            return Some("the password in an address".into());
        }
        let value = word
            .split_once('=')
            .map_or(word.as_str(), |(_, value)| value);
        if SECRET_BEGINNINGS
            .iter()
            .any(|it| value.starts_with(it) && value.len() > it.len() + 8)
        {
            return Some("a word".into());
        }
    }
    None
}

/// `--password`, `-Token`, `/pwd`: an option whose value is a secret.
fn is_secret_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    name.len() < word.len() && SECRET_OPTIONS.contains(&&*plain)
}

/// `VAULT_TOKEN`, `BW_SESSION`: a variable that holds a secret, for `env`.
fn is_secret_variable(name: &str) -> bool {
    let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let endings = [
        "TOKEN",
        "PASSWORD",
        "PASSPHRASE",
        "SECRET",
        "SESSION",
        "API_KEY",
        "ACCESS_KEY",
    ];
    name.chars().all(is_variable) && endings.iter().any(|ending| name.ends_with(ending))
}

/// `X-Vault-Token: …`, `Authorization: …`: a header line that signs in.
fn is_secret_header(word: &str) -> bool {
    let Some((name, value)) = word.split_once(':') else {
        return false;
    };
    // An option may be in the same word, as in `-HX-Vault-Token: …` or `--header=X-Vault-Token: …`.
    let name = name.to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_= ".contains(c);
    let endings = [
        "authorization",
        "token",
        "api-key",
        "apikey",
        "cookie",
        "-password",
        "-secret",
    ];
    let is_header = endings.iter().any(|ending| name.ends_with(ending));
    !value.trim().is_empty() && !value.starts_with("//") && name.chars().all(is_name) && is_header
}

/// `https://user:password@host`.
fn has_password(word: &str) -> bool {
    let after_scheme = word.split_once("://").map(|(_, rest)| rest);
    let authority = after_scheme.and_then(|rest| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        split_command(text).unwrap()
    }

    fn refused(text: &str) -> String {
        split_command(text).unwrap_err().to_string()
    }

    #[test]
    fn a_command_is_split_at_blanks_and_quotes_alone() {
        for (text, expected) in [
            (
                "pass show arcgis/prod",
                &["pass", "show", "arcgis/prod"][..],
            ),
            ("  a \t b  \r\n", &["a", "b"]),
            ("'a b' \"c d\"", &["a b", "c d"]),
            (
                "op read \"op://GIS/it's/secret\"",
                &["op", "read", "op://GIS/it's/secret"],
            ),
            ("a'b c'd\"e\"", &["ab cde"]),
            ("a '' \"\"", &["a", "", ""]),
            // No escapes and no expansion: the same on all systems.
            (
                r"C:\\tools\\x.cmd \n $HOME ~ %PATH% `x` *",
                &[
                    r"C:\\tools\\x.cmd",
                    r"\n",
                    "$HOME",
                    "~",
                    "%PATH%",
                    "`x`",
                    "*",
                ],
            ),
            (r#"a "b\" c"#, &["a", r"b\", "c"]),
            ("a '|' \">\"", &["a", "|", ">"]),
            (r#"["a b", "", "|", "it's"]"#, &["a b", "", "|", "it's"]),
            ("  [\"a\"] ", &["a"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("  ", "empty"),
            ("''", "empty"),
            ("[]", "empty"),
            ("a 'b", "quotation mark"),
            ("a \"b'", "quotation mark"),
            ("a\nb", "control character"),
            ("a\u{202e}b", "control character"),
            ("[\"a\", 1]", "JSON array"),
            ("[\"a\"", "JSON array"),
            ("pass show x | head -1", "without a shell"),
            ("a && b", "without a shell"),
        ] {
            assert!(refused(bad).contains(why), "{bad}: {}", refused(bad));
        }
    }

    proptest! {
        #[test]
        fn words_in_quotes_come_back(given in prop::collection::vec("[^\\p{C}\u{2028}\u{2029}']{0,12}", 1..8)) {
            prop_assume!(!given[0].is_empty());
            prop_assume!(looks_like_a_secret(&given).is_none());
            let typed: Vec<_> = given.iter().map(|word| format!("'{word}'")).collect();
            let text = typed.join(" ");
            prop_assert_eq!(split_command(&text).unwrap(), given.clone());
            let array = serde_json::to_string(&given).unwrap();
            prop_assert_eq!(split_command(&array).unwrap(), given);
        }

        #[test]
        fn any_text_is_split_or_refused_and_no_letter_is_lost(text in ".{0,60}") {
            prop_assume!(!text.trim_start().starts_with('['));
            if let Ok(words) = split_command(&text) {
                let plain = |text: &str| text.replace([' ', '\t', '\r', '\n', '\'', '"'], "");
                let joined: String = words.iter().map(|word| plain(word)).collect();
                prop_assert_eq!(joined, plain(&text));
                prop_assert!(!words.iter().any(|word| word.contains(is_control)));
            }
        }
    }

    #[test]
    fn rule_33_words_that_look_like_secrets_are_refused_and_not_repeated() {
        for bad in [
            "curl -H 'X-Vault-Token: canary123' https://vault/v1/x",
            "curl --header=\"Authorization: Bearer canary123\" https://v",
            "curl -HX-Vault-Token:canary123 https://v",
            "tool --password canary123",
            "tool --password=canary123",
            "tool -Token canary123",
            "tool --access-token canary123",
            "bw get password x --session canary123",
            "env VAULT_TOKEN=canary123 vault read x",
            "VAULT_TOKEN=canary123 vault read x",
            "hvs.canary123canary123",
            "env BW_SESSION=canary123 bw get x",
            "curl https://ana:canary123@vault/x",
            "tool hvs.canary123canary123",
            "tool --with=ops_canary123canary123",
            "tool eyJcanary123canary123.x.y",
            r#"["tool", "--api-key", "canary123"]"#,
        ] {
            let why = refused(bad);
            assert!(why.contains("looks like a secret"), "{bad}: {why}");
            assert!(!why.contains("canary"), "{why}");
        }
        // What secret managers need, and what only names a secret.
        for good in [
            "pass show arcgis/password",
            "gopass show -o arcgis/prod",
            "keepassxc-cli show -q --no-password -k /home/a/key -a Password db.kdbx prod",
            "systemd-creds decrypt --name=secret /etc/creds/secret -",
            "op read \"op://GIS/ArcGIS prod/password\"",
            "bw get password arcgis-prod --nointeraction",
            "vault kv get -field=client_secret secret/arcgis",
            "az keyvault secret show --vault-name v --name s --query value -o tsv",
            "aws secretsmanager get-secret-value --secret-id prod/token --query SecretString --output text",
            "gcloud secrets versions access latest --secret=arcgis",
            "secret-tool lookup service token",
            "tool --password-file /run/x --token-file y",
            "curl https://vault:8200/v1/secret/data/x",
            r"tool C:\Token",
            "tool --no-password -p",
        ] {
            assert!(split_command(good).is_ok(), "{good}: {}", refused(good));
        }
    }
}
