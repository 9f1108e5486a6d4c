//! The command that prints a client secret, as a person types it: its words, what is refused in
//! them, and its program.

use super::secret_words::looks_like_a_secret;
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::connection::{is_control, SecretCommand};
use crate::context::Environment;
use crate::error::{Error, PrintedSecret, Result};
use crate::program;

/// What only a shell understands. A person who types it expects one.
const OF_SHELLS: [&str; 8] = ["|", "||", "&&", "&", ";", ">", ">>", "<"];

/// Quotation marks of word processors, which quote nothing here.
const CURLY_QUOTES: [char; 10] = ['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»'];

/// What helps where quotation marks stand in the way.
const AS_ARRAY: &str = "write the words as a JSON array, such as [\"op\", \"read\", \"op://GIS/ArcGIS prod/password\"]";

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
    program::check(&command).map_err(|why| Error::SecretCommand {
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
        let of_shell_in_word = words.iter().find_map(|word| expanded_by_a_shell(word));
        if let Some(word) = of_shell {
            return bad(format!(
                "it is started without a shell, which `{}` is for; put the line into a script, or put quotes around a word that is meant as it is",
                word.text
            ));
        }
        if let Some(what) = of_shell_in_word {
            return bad(format!(
                "it is started without a shell, so that nothing puts in what {what} stands for; write that itself, put the line into a script, or put quotes around a word that is meant as it is"
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
    let mut last = ' ';
    for c in text.trim_matches(['\r', '\n']).chars() {
        let before = std::mem::replace(&mut last, c);
        match (quote, c) {
            // A shell may take it for a quotation mark in the word, and here it would end the word.
            (_, '\'' | '"') if before == '\\' => {
                return bad(format!(
                    "there is a backslash before a quotation mark, which escapes nothing here; {AS_ARRAY}"
                ));
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default().quoted = true;
            }
            (None, c) if CURLY_QUOTES.contains(&c) => {
                return bad(format!(
                    "`{c}` is not a straight quotation mark (' or \"), and quotes nothing; {AS_ARRAY}"
                ));
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, c) if is_control(c) => return bad("it contains a control character"),
            (_, c) => word.get_or_insert_default().text.push(c),
        }
    }
    if quote.is_some() {
        return bad(format!("a quotation mark is not closed; {AS_ARRAY}"));
    }
    words.extend(word);
    Ok(words)
}

/// What a shell would have replaced in a word without quotes: a variable, or the home folder. As a
/// message names it, never the word itself.
fn expanded_by_a_shell(word: &Word) -> Option<&'static str> {
    if word.quoted {
        return None;
    }
    let text = &word.text;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_()".contains(c);
    // `$NAME`, `${NAME}`, `$(command)`, `$env:NAME`
    let after_dollar = text.split('$').skip(1);
    let begins = |c: char| c.is_ascii_alphabetic() || "_{(".contains(c);
    if after_dollar
        .into_iter()
        .any(|rest| rest.starts_with(begins))
    {
        return Some("a variable ($NAME)");
    }
    // `%NAME%`
    let between: Vec<_> = text.split('%').collect();
    let inner = between.get(1..between.len() - 1).unwrap_or_default();
    // Not the letters of a date's format.
    let is_variable = |part: &&str| {
        part.len() > 2
            && part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(is_name)
    };
    if inner.iter().any(is_variable) {
        return Some("a variable (%NAME%)");
    }
    let value = text
        .rsplit_once('=')
        .map_or(text.as_str(), |(_, value)| value);
    value.starts_with("~/").then_some("the home folder (~)")
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
                r"C:\\tools\\x.cmd \n '$HOME' ~ '%PATH%' `x` * 50% 5$ %d%e",
                &[
                    r"C:\\tools\\x.cmd",
                    r"\n",
                    "$HOME",
                    "~",
                    "%PATH%",
                    "`x`",
                    "*",
                    "50%",
                    "5$",
                    "%d%e",
                ],
            ),
            (
                "op read 'op://GIS’s “prod”/x'",
                &["op", "read", "op://GIS’s “prod”/x"],
            ),
            (r#"["a\"b", "c\\", "$x", "‘"]"#, &["a\"b", "c\\", "$x", "‘"]),
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
            // Meant for another reader of quotation marks.
            (r#"op read \"op://GIS/x\""#, "JSON array"),
            (r#"a "b\" c""#, "JSON array"),
            (r"a 'it\'s'", "JSON array"),
            (r#"a "C:\my folder\""#, "JSON array"),
            ("op read “op://GIS/ArcGIS prod/x”", "JSON array"),
            ("op read ‘op://GIS/x’", "JSON array"),
            ("op read «op://GIS/x»", "JSON array"),
            // Meant for a shell.
            ("tool prefix$TOKEN", "a variable ($NAME)"),
            ("tool ${TOKEN}", "a variable ($NAME)"),
            ("tool --x=$env:TOKEN", "a variable ($NAME)"),
            ("tool $(cat file)", "a variable ($NAME)"),
            ("tool %TOKEN%", "a variable (%NAME%)"),
            (r"tool -k %USERPROFILE%\x", "a variable (%NAME%)"),
            ("tool -k ~/x", "the home folder"),
            ("tool --key=~/x", "the home folder"),
        ] {
            assert!(refused(bad).contains(why), "{bad}: {}", refused(bad));
        }
    }

    proptest! {
        #[test]
        fn words_in_quotes_come_back(given in prop::collection::vec("[^\\p{C}\u{2028}\u{2029}']{0,12}", 1..8)) {
            prop_assume!(!given[0].is_empty());
            let is_escape = |word: &String| word.contains("\\\"") || word.ends_with('\\');
            prop_assume!(!given.iter().any(is_escape));
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

    /// What each line of the page is split into.
    const LINES: [(&str, &[&str]); 13] = [
        (
            "pass show arcgis/prod",
            &["pass", "show", "arcgis/prod"],
        ),
        (
            "keepassxc-cli show -q --no-password -k /home/gis/gis.key -s -a Password /home/gis/gis.kdbx prod",
            &["keepassxc-cli", "show", "-q", "--no-password", "-k", "/home/gis/gis.key", "-s", "-a", "Password", "/home/gis/gis.kdbx", "prod"],
        ),
        (
            "systemd-creds decrypt --name=arcgis /etc/age-oauth/arcgis.cred -",
            &["systemd-creds", "decrypt", "--name=arcgis", "/etc/age-oauth/arcgis.cred", "-"],
        ),
        (
            "gopass show -o arcgis/prod",
            &["gopass", "show", "-o", "arcgis/prod"],
        ),
        (
            "op read 'op://GIS/ArcGIS prod/password'",
            &["op", "read", "op://GIS/ArcGIS prod/password"],
        ),
        (
            "bw get password arcgis-prod --nointeraction",
            &["bw", "get", "password", "arcgis-prod", "--nointeraction"],
        ),
        (
            "vault kv get -field=client_secret secret/arcgis",
            &["vault", "kv", "get", "-field=client_secret", "secret/arcgis"],
        ),
        (
            "bao kv get -field=client_secret secret/arcgis",
            &["bao", "kv", "get", "-field=client_secret", "secret/arcgis"],
        ),
        (
            "az keyvault secret show --vault-name NAME --name arcgis --query value -o tsv",
            &["az", "keyvault", "secret", "show", "--vault-name", "NAME", "--name", "arcgis", "--query", "value", "-o", "tsv"],
        ),
        (
            "aws secretsmanager get-secret-value --secret-id arcgis --query SecretString --output text",
            &["aws", "secretsmanager", "get-secret-value", "--secret-id", "arcgis", "--query", "SecretString", "--output", "text"],
        ),
        (
            "gcloud secrets versions access latest --secret=arcgis",
            &["gcloud", "secrets", "versions", "access", "latest", "--secret=arcgis"],
        ),
        (
            "security find-generic-password -w -s arcgis",
            &["security", "find-generic-password", "-w", "-s", "arcgis"],
        ),
        (
            "powershell -NoProfile -Command 'Get-Secret arcgis -AsPlainText'",
            &["powershell", "-NoProfile", "-Command", "Get-Secret arcgis -AsPlainText"],
        ),
    ];

    /// The lines for secret managers on the page.
    fn lines_of_the_page() -> Vec<&'static str> {
        let page = include_str!("../../../docs/secret-managers.md");
        let tables = page
            .split("\n## ")
            .find(|part| part.starts_with("Lines for"));
        let rows = tables.unwrap().lines().filter(|line| line.starts_with('|'));
        let cells = rows.filter_map(|row| row.split(" | ").nth(1));
        let lines = cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        lines.collect()
    }

    #[test]
    fn each_line_of_the_page_is_split_as_it_is_meant_in_every_shell() {
        let expected: Vec<_> = LINES.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines_of_the_page(), expected);
        for (line, words) in LINES {
            assert_eq!(split_command(line).unwrap(), words, "{line}");
            // The page puts it between double quotation marks. There, bash replaces what begins
            // with the first three, cmd the fourth, and PowerShell the first two; Windows
            // PowerShell loses the last one.
            let changed = line.contains(['$', '`', '\\', '%', '!', '"']);
            assert!(!changed, "{line}");
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
            "tool /password:canary123",
            "tool /Token:canary123",
            "tool -Password:canary123",
            "curl -u ana:canary123 https://vault/x",
            "curl -uana:canary123 https://vault/x",
            "curl --user=ana:canary123 https://vault/x",
            "env -i /usr/bin/curl --proxy-user ana:canary123 https://vault/x",
            "curl -d password=canary123 https://vault/x",
            "curl -d 'user=ana&password=canary123' https://vault/x",
            r#"curl -d '{"user": "ana", "password": "canary123"}' https://vault/x"#,
            "curl https://vault/x?token=canary123",
            "tool 'AccountName=a;AccountKey=canary123=='",
            "tool pkcs11:token=GIS;pin-value=canary123",
            "openssl enc -d -pass pass:canary123 -in x",
            "sshpass -p canary123 ssh vault cat x",
            "aws --x AKIACANARY1234567890",
            "tool s.canary12canary12canary12",
            "tool --with=ghs_canary123canary",
            "tool -----BEGIN",
            "lpass show --token canary123 x",
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
            "lpass show --password arcgis",
            "/usr/bin/lpass show --sync=no --password arcgis",
            "gopass show --password arcgis/prod",
            "pass-cli item view pass://GIS/arcgis/password",
            "op item get arcgis --fields label=password",
            "openssl enc -d -pass file:/etc/key -in /etc/secret",
            "tool --token @/run/token --password -",
            "docker exec -u 1000:1000 vault cat x",
            "curl -u ana: https://vault/x",
            "curl --user-agent=tool:1 https://vault/x",
            "p11tool --export pkcs11:object=secret;token=GIS",
            r"tool C:\\pass:x /etc/token:x",
            "sh -c 'PASSWORD=$(pass show x) && printf %s \"$PASSWORD\"'",
            "date +%Y%m%d",
            "jq -r .data.token /run/x.json",
            "curl https://s.example.internal/long-enough-for-a-token",
            "az rest --query \"[?name=='token'].value\"",
            "cyberark GetPassword /p Query='Safe=x;Object=token' /o Password",
        ] {
            assert!(split_command(good).is_ok(), "{good}: {}", refused(good));
        }
    }
}
