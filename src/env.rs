//! Every environment variable that the program reads: one documented constant each, in one table.
//!
//! `docs/environment.md`, the ENVIRONMENT section of `--help` and of the manual pages, and the list
//! of variables that no child process inherits are made from [`VARIABLES`].

/// One environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence that fits a line of help.
    pub meaning: &'static str,
    /// What else the documentation says about it; empty if that is all.
    pub details: &'static str,
    /// What applies where it is not set.
    pub default: &'static str,
    /// Who defines it.
    pub origin: Origin,
    /// Whether its value is a secret. Secrets are removed from the environment of every child
    /// process.
    pub secret: bool,
}

/// Who defines a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The `age-oauth` program.
    Program,
    /// The Python package, to find the program.
    Package,
    /// Conventions for network programs.
    Network,
    /// Conventions of terminals, desktops and operating systems.
    System,
    /// Scripts and tests that belong to the program; not for people.
    Internal,
}

/// Defines each constant and its line of the table. The first line of a doc comment is the meaning,
/// the rest the details.
macro_rules! variables {
    (@secret secret) => { true };
    (@secret) => { false };
    ($($origin:ident {
        $(
            #[doc = $meaning:literal]
            $(#[doc = $details:literal])*
            $NAME:ident $($secret:ident)? = $default:literal;
        )+
    })+) => {
        $($(
            #[doc = $meaning]
            $(#[doc = $details])*
            pub const $NAME: &str = stringify!($NAME);
        )+)+

        /// All variables, in the order of the documentation.
        pub const VARIABLES: &[EnvironmentVariable] = &[$($(
            EnvironmentVariable {
                name: $NAME,
                meaning: $meaning.trim_ascii(),
                details: concat!($($details),*).trim_ascii(),
                default: $default,
                origin: Origin::$origin,
                secret: variables!(@secret $($secret)?),
            },
        )+)+];
    };
}

variables! {
    Program {
        /// The connection to use where no option names one: a label or an ID.
        /// It takes precedence over the default that `connections use` sets. `export-env` and
        /// `exec` set it too.
        AGE_OAUTH_CONNECTION = "the default connection, else the only one";
        /// The folder that holds all connections.
        /// An absolute path, or one relative to the current folder.
        AGE_OAUTH_HOME = "`age_oauth` in the platform's configuration folder";
        /// The keychain for new connections: `os` or `vault`.
        AGE_OAUTH_KEYCHAIN = "`os`";
        /// The longest wait for one call to the keychain, such as `60s`.
        AGE_OAUTH_KEYCHAIN_TIMEOUT = "`60s` if a person can answer a prompt, else `5s`";
        /// The client secret for `connections add` and `connections edit`.
        /// Options take precedence. It is stored in the keychain, and needed only for that one
        /// command.
        AGE_OAUTH_CLIENT_SECRET secret = "none";
        /// The key of the vault: 32 bytes in hexadecimal digits or base64.
        AGE_OAUTH_VAULT_KEY secret = "the next source of a key";
        /// A file that holds the key of the vault.
        AGE_OAUTH_VAULT_KEY_FILE = "the next source of a key";
        /// The passphrase of the vault.
        AGE_OAUTH_VAULT_PASSPHRASE secret = "the key file of the vault";
        /// The library of a smart card or another PKCS#11 token.
        /// A whole path.
        AGE_OAUTH_PKCS11_MODULE = "that of p11-kit, which knows the system's libraries";
        /// A file that gets one JSON line for each decision and failure.
        /// It never contains a secret, and is rotated at 10 MB.
        AGE_OAUTH_LOG = "no log";
    }
    Package {
        /// The path of the `age-oauth` program for the Python package.
        /// A whole path.
        AGE_OAUTH_BIN = "the program that was installed with the package, else the first in a folder of `PATH` that is a whole path, else where it is usually installed";
    }
    Network {
        /// The proxy for `https` portals.
        /// `https_proxy` works too. A connection's own `--proxy` takes precedence.
        HTTPS_PROXY = "`ALL_PROXY`";
        /// The proxy for all portals.
        /// `all_proxy` works too.
        ALL_PROXY = "the manual proxy setting of Windows, else none";
        /// Hosts to reach without a proxy, separated by commas.
        /// `no_proxy` works too. `example.org`, `.example.org` and `*.example.org` name the domain
        /// and everything below it; an entry may have a port, or be a network such as `10.0.0.0/8`;
        /// `*` is every host. A loopback host is never reached through a proxy.
        NO_PROXY = "none";
        /// A file of certificate authorities to trust in addition to the system's.
        SSL_CERT_FILE = "`REQUESTS_CA_BUNDLE`";
        /// The same, read where `SSL_CERT_FILE` cannot be read.
        REQUESTS_CA_BUNDLE = "`CURL_CA_BUNDLE`";
        /// The same, read where neither of the two can be read.
        CURL_CA_BUNDLE = "none";
        /// A folder of certificate authorities to trust in addition; read on Linux.
        SSL_CERT_DIR = "the system's";
    }
    System {
        /// The browser to open for a sign-in, where the platform's way of opening one reads it.
        BROWSER = "the platform's default browser";
        /// If set, no colors.
        NO_COLOR = "colors on a terminal";
        /// If set, the keychain does not show its own prompt.
        CI = "a prompt where a person can see it";
        /// An X11 display: a browser and a keychain's prompt can be shown.
        DISPLAY = "no display";
        /// A Wayland display: a browser and a keychain's prompt can be shown.
        WAYLAND_DISPLAY = "no display";
        /// Set by WSL, where the browser of Windows can be opened.
        WSL_DISTRO_NAME = "not WSL";
        /// The folder for the page that hands the address of a sign-in to the browser.
        /// It also has the socket for Windows sign-in.
        XDG_RUNTIME_DIR = "the folder for temporary files";
        /// The folder of the user's applications, where the default browser is looked up.
        XDG_DATA_HOME = "`~/.local/share`";
        /// The folders of the system's applications, where the default browser is looked up.
        XDG_DATA_DIRS = "`/usr/local/share:/usr/share`";
        /// The address of the session bus, through which the Secret Service is reached.
        DBUS_SESSION_BUS_ADDRESS = "`$XDG_RUNTIME_DIR/bus`";
        /// The folder in which systemd puts `age-oauth.key`, a key of the vault.
        CREDENTIALS_DIRECTORY = "the next source of a key";
        /// The login shell, for `export-env` where no parent process is a shell.
        SHELL = "PowerShell on Windows, else `sh`";
        /// The file that `export-env --shell github` appends to.
        GITHUB_ENV = "an error in that form";
        /// The home folder, for `~` in paths.
        HOME = "what the platform says";
        /// Where programs are found: by `exec` on Windows, and by `doctor`.
        PATH = "nothing is found";
        /// The endings of programs on Windows, for `exec`.
        PATHEXT = "`.COM;.EXE;.BAT;.CMD`";
        /// The user's configuration folder on Linux; the connection store is in it.
        XDG_CONFIG_HOME = "`~/.config`";
        /// The Kerberos tickets for Windows sign-in on Linux and macOS, as Kerberos reads it.
        KRB5CCNAME = "the default of Kerberos";
        /// The configuration of Kerberos for Windows sign-in on Linux and macOS.
        KRB5_CONFIG = "`/etc/krb5.conf`";
        /// A keytab from which tickets for Windows sign-in are made on Linux.
        /// For tasks without a person; needs Kerberos of MIT.
        KRB5_CLIENT_KTNAME = "no keytab: `kinit` makes tickets";
        /// The time zone in which times are shown.
        TZ = "the system's";
    }
    Internal {
        /// Set by completion scripts, to the shell that asks.
        AGE_OAUTH_COMPLETE = "no completion";
        /// Set by the Python package, to recognize a program that leads back to Python.
        AGE_OAUTH_STARTED_BY_PYTHON = "not started by it";
        /// Where to log the points at which a test build can be ended.
        AGE_OAUTH_CRASH_LOG = "no log";
        /// The number of the point at which a test build ends.
        AGE_OAUTH_CRASH_AT = "none";
    }
}

/// Variables that name a proxy for https portals; the first that is set applies.
pub const PROXY_VARIABLES: [&str; 4] = [HTTPS_PROXY, "https_proxy", ALL_PROXY, "all_proxy"];

/// Variables that list hosts to reach without a proxy; the first that is set applies.
pub const NO_PROXY_VARIABLES: [&str; 2] = [NO_PROXY, "no_proxy"];

/// Variables that name a file of certificates to trust; the first that can be read applies.
pub const CA_BUNDLE_VARIABLES: [&str; 3] = [SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE];

/// What the programs of Kerberos get of this program's environment, and nothing else.
#[cfg_attr(not(unix), allow(dead_code))]
pub const KERBEROS_VARIABLES: [&str; 4] = [HOME, KRB5CCNAME, KRB5_CONFIG, KRB5_CLIENT_KTNAME];

/// What the variables that `export-env` and `exec` set begin with, unless `--prefix` is given.
pub const TOKEN_PREFIX: &str = "ARCGIS_";

/// The variable with the access token, after the prefix.
pub const TOKEN_VARIABLE: &str = "TOKEN";

/// The variable with the end of its life in seconds since 1970, after the prefix.
pub const TOKEN_EPOCH_VARIABLE: &str = "TOKEN_EXPIRES_EPOCH";

/// What they are called after the prefix, in the order of the documentation.
pub const TOKEN_VARIABLES: [&str; 8] = [
    "PORTAL_URL",
    "HOST",
    TOKEN_VARIABLE,
    "TOKEN_EXPIRES_AT",
    TOKEN_EPOCH_VARIABLE,
    "USERNAME",
    "REFERER",
    "VERIFY_SSL",
];

/// Variables that name a terminal, at which a program without one could ask: of `GnuPG`, and of
/// `OpenSSH`.
pub const TERMINAL_VARIABLES: [&str; 2] = ["GPG_TTY", "SSH_TTY"];

/// The names of all variables that hold a secret. The command line removes them from its own
/// environment, so that no child process inherits them.
pub fn secret_names() -> impl Iterator<Item = &'static str> {
    VARIABLES
        .iter()
        .filter(|variable| variable.secret)
        .map(|variable| variable.name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::connection::KeychainKind;
    use crate::policy;

    fn top() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// Files below a folder whose names have one of these endings.
    fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if endings
                    .iter()
                    .any(|end| path.extension().is_some_and(|it| it == *end))
                {
                    found.push(path);
                }
            }
        }
        found
    }

    /// The lines of a source file that are not tests.
    fn production_code(path: &Path) -> String {
        let of_tests = path.ends_with("tests.rs")
            || path.ends_with("json/generate.rs")
            || path
                .components()
                .any(|c| c.as_os_str() == "tests" || c.as_os_str() == "testing");
        if of_tests {
            return String::new();
        }
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("\n#[cfg(test)]").next();
        code.unwrap_or_default().to_owned()
    }

    #[test]
    fn every_variable_is_read_by_its_constant() {
        for path in files(&top().join("src"), &["rs"]) {
            if path == top().join("src/env.rs") {
                continue;
            }
            for line in production_code(&path).lines() {
                let code = line.split("//").next().unwrap_or_default();
                // In help, `<SHELL>` stands for a value, not for a variable.
                if code.contains("value_name") {
                    continue;
                }
                let by_name = ["var(\"", "var_os(\"", "path(\""]
                    .iter()
                    .any(|call| code.contains(call));
                let literal = VARIABLES
                    .iter()
                    .any(|variable| code.contains(&format!("\"{}\"", variable.name)));
                let ours = code
                    .match_indices("AGE_OAUTH_")
                    .any(|(at, _)| !code[..at].ends_with("env::"));
                assert!(
                    !(by_name || literal || ours),
                    "{}: use the constant of src/env.rs: {line}",
                    path.display()
                );
            }
        }
    }

    /// Words that begin with `AGE_OAUTH_` in a text.
    fn names_in(text: &str) -> BTreeSet<String> {
        text.match_indices("AGE_OAUTH_")
            .map(|(at, _)| {
                let rest = text[at..].chars();
                rest.take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
                    .collect()
            })
            .collect()
    }

    #[test]
    fn every_variable_that_is_mentioned_exists() {
        let mut pages = files(&top().join("docs"), &["md"]);
        pages.push(top().join("README.md"));
        pages.extend(files(&top().join("src"), &["rs", "py"]));
        for path in pages {
            for name in names_in(&fs::read_to_string(&path).unwrap()) {
                let known = VARIABLES.iter().any(|variable| variable.name == name);
                // Those of tests/run and of .ci/release are not variables of the program.
                let for_tests = name.starts_with("AGE_OAUTH_TEST_")
                    || name.starts_with("AGE_OAUTH_RELEASE_")
                    || ["AGE_OAUTH_", "AGE_OAUTH_UPDATE_DOCS", "AGE_OAUTH_VAULT_"]
                        .contains(&&*name);
                assert!(known || for_tests, "{}: {name}", path.display());
            }
        }
    }

    #[test]
    fn every_meaning_is_one_sentence_on_one_line() {
        for variable in VARIABLES {
            assert!(variable.meaning.ends_with('.'), "{}", variable.name);
            assert!(variable.meaning.len() <= 90, "{}", variable.name);
            assert!(!variable.default.is_empty(), "{}", variable.name);
        }
        let secrets: Vec<_> = secret_names().collect();
        assert_eq!(
            secrets,
            [
                AGE_OAUTH_CLIENT_SECRET,
                AGE_OAUTH_VAULT_KEY,
                AGE_OAUTH_VAULT_PASSPHRASE
            ]
        );
    }

    fn variable(name: &str) -> &EnvironmentVariable {
        VARIABLES.iter().find(|one| one.name == name).unwrap()
    }

    #[test]
    fn the_texts_name_the_numbers_of_the_policy() {
        let timeout = format!(
            "`{}s` if a person can answer a prompt, else `{}s`",
            policy::KEYCHAIN_TIMEOUT_INTERACTIVE.as_secs(),
            policy::KEYCHAIN_TIMEOUT.as_secs()
        );
        assert_eq!(variable(AGE_OAUTH_KEYCHAIN_TIMEOUT).default, timeout);
        #[cfg(feature = "cli")]
        {
            let size = policy::command_line::MAX_LOG_BYTES / 1_000_000;
            let log = variable(AGE_OAUTH_LOG);
            assert!(log.details.contains(&format!(" {size} MB.")));
        }
    }

    const HEAD: &str = "# Environment variables

<!-- Made from src/env.rs by `AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib env::`. Do not edit. -->

An empty variable counts as not set, except one that holds a secret: there it is an error. Values are UTF-8; one that
is not is an error, and a path may have any bytes. Nothing
expands `~` or `$HOME` in them, so write whole paths. Options take precedence over variables, and the [policy of the
machine](policy.md) over both. The variables that `export-env` and `exec`
*set* are on [their own page](shells.md); where the vault's key comes from is in [headless.md](headless.md).
";

    fn page() -> String {
        let mut page = String::from(HEAD);
        for (origin, heading) in [
            (Origin::Program, "Of age-oauth"),
            (Origin::Package, "Of the Python package"),
            (Origin::Network, "Of the network"),
            (
                Origin::System,
                "Of terminals, desktops and operating systems",
            ),
        ] {
            write!(
                page,
                "\n## {heading}\n\n| variable | meaning | if not set |\n|---|---|---|\n"
            )
            .unwrap();
            for variable in VARIABLES.iter().filter(|one| one.origin == origin) {
                let mut text = variable.meaning.to_owned();
                if !variable.details.is_empty() {
                    write!(text, " {}", variable.details).unwrap();
                }
                if variable.secret {
                    text.push_str(" **Secret:** no child process inherits it.");
                }
                writeln!(
                    page,
                    "| `{}` | {text} | {} |",
                    variable.name, variable.default
                )
                .unwrap();
            }
        }
        page
    }

    #[test]
    fn the_keychains_are_those_that_exist() {
        let variable = VARIABLES.iter().find(|one| one.name == AGE_OAUTH_KEYCHAIN);
        let words: Vec<_> = KeychainKind::ALL
            .iter()
            .map(|kind| format!("`{}`", kind.as_str()))
            .collect();
        let meaning = format!("The keychain for new connections: {}.", words.join(" or "));
        assert_eq!(variable.unwrap().meaning, meaning);
        let default = format!("`{}`", KeychainKind::default().as_str());
        assert_eq!(variable.unwrap().default, default);
    }

    #[test]
    fn the_page_says_what_the_table_says() {
        let path = top().join("docs/environment.md");
        if std::env::var_os("AGE_OAUTH_UPDATE_DOCS").is_some() {
            fs::write(&path, page()).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        assert_eq!(
            written,
            page(),
            "run: AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib env::"
        );
    }
}
