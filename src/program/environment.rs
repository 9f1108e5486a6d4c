//! What a command that gives a client secret does not get of this program's environment.

use std::ffi::{OsStr, OsString};

use crate::env;

/// The variables that are withheld: those of this program that hold secrets, the token of a
/// surrounding `exec` or `export-env` with what belongs to it, and what names a terminal at which a
/// person could be asked.
pub(super) fn withheld(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<OsString> {
    let variables: Vec<_> = variables.into_iter().collect();
    let names: Vec<_> = variables.iter().map(|(name, _)| comparable(name)).collect();
    let mut ours: Vec<_> = env::secret_names().map(str::to_owned).collect();
    ours.push(env::AGE_OAUTH_CONNECTION.to_owned());
    ours.extend(env::TERMINAL_VARIABLES.map(str::to_owned));
    let token = |prefix: &str| format!("{prefix}{}", env::TOKEN_VARIABLE);
    ours.push(token(env::TOKEN_PREFIX));
    // With `--prefix`, the names could be any; the token and its end are always there together.
    for name in &names {
        let prefix = name.strip_suffix(env::TOKEN_EPOCH_VARIABLE);
        if let Some(prefix) = prefix.filter(|prefix| names.contains(&token(prefix))) {
            ours.extend(of_token(prefix));
        }
    }
    let is_withheld = |name: &String, value: &OsStr| ours.contains(name) || is_terminal(value);
    names
        .iter()
        .zip(&variables)
        .filter(|(name, (_, value))| is_withheld(name, value))
        .map(|(_, (name, _))| name.clone())
        .collect()
}

/// Without a prefix, the other names are those that Windows uses as well, such as `USERNAME`.
fn of_token(prefix: &str) -> Vec<String> {
    let names = env::TOKEN_VARIABLES
        .into_iter()
        .filter(|name| !prefix.is_empty() || name.starts_with(env::TOKEN_VARIABLE));
    names.map(|name| format!("{prefix}{name}")).collect()
}

/// Windows does not tell small letters from capital ones.
fn comparable(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    if cfg!(windows) {
        name.to_ascii_uppercase()
    } else {
        name.into_owned()
    }
}

/// The device of a terminal, by which a program could ask at it.
fn is_terminal(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    cfg!(unix)
        && (value == "/dev/console"
            || ["/dev/pts/", "/dev/tty"]
                .iter()
                .any(|start| value.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(variables: &[(&str, &str)]) -> String {
        let all = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let withheld = withheld(all);
        let names = variables.iter().map(|(name, _)| *name);
        let left: Vec<_> = names
            .filter(|name| !withheld.contains(&name.into()))
            .collect();
        left.join(" ")
    }

    #[test]
    fn rule_32_tokens_and_terminals_are_withheld() {
        // What a secret manager needs stays, a window included.
        let kept = "PATH HOME DISPLAY OP_SERVICE_ACCOUNT_TOKEN BW_SESSION ARCGIS_USERNAME TOKEN";
        let variables: Vec<_> = kept.split(' ').map(|name| (name, "x")).collect();
        assert_eq!(left(&variables), kept);
        for withheld in [
            &[
                ("AGE_OAUTH_CLIENT_SECRET", "x"),
                ("AGE_OAUTH_VAULT_KEY", "x"),
            ][..],
            &[("AGE_OAUTH_CONNECTION", "prod")],
            &[("ARCGIS_TOKEN", "x")],
            &[
                ("ARCGIS_TOKEN", "x"),
                ("ARCGIS_TOKEN_EXPIRES_EPOCH", "1"),
                ("ARCGIS_TOKEN_EXPIRES_AT", "1"),
                ("ARCGIS_USERNAME", "ana"),
                ("ARCGIS_PORTAL_URL", "x"),
            ],
            &[
                ("GIS_TOKEN", "x"),
                ("GIS_TOKEN_EXPIRES_EPOCH", "1"),
                ("GIS_HOST", "x"),
            ],
            &[("TOKEN", "x"), ("TOKEN_EXPIRES_EPOCH", "1")],
            &[("GPG_TTY", "not a tty"), ("SSH_TTY", "x")],
        ] {
            let mut variables = withheld.to_vec();
            // Without a prefix, these are Windows' own.
            variables.extend([("HOST", "h"), ("USERNAME", "u")]);
            assert_eq!(left(&variables), "HOST USERNAME", "{withheld:?}");
        }
        if cfg!(unix) {
            let terminals = [
                ("A_TTY", "/dev/pts/0"),
                ("B", "/dev/tty1"),
                ("C", "/dev/console"),
            ];
            assert_eq!(left(&terminals), "");
            assert_eq!(
                left(&[("LOG", "/dev/null"), ("arcgis_token", "x")]),
                "LOG arcgis_token"
            );
        }
        if cfg!(windows) {
            assert_eq!(left(&[("Arcgis_Token", "x"), ("LOG", "x")]), "LOG");
        }
    }
}
