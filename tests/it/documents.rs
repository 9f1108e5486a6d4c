//! The documentation: its links, its blocks, and commands that people copy from it: crontabs, and
//! what to install.

#[cfg(target_os = "linux")] // The blocks for other systems are not run.
mod blocks;
mod links;
#[cfg(target_os = "linux")]
mod table;

use std::path::Path;

/// The README and the pages of `docs`, each by its path in the repository, sorted.
fn pages() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|end| end == "md") {
            names.push(format!("docs/{}", entry.file_name().to_str().unwrap()));
        }
    }
    names.sort();
    names.into_iter().map(|name| page(&name)).collect()
}

/// A page, with its path in the repository.
fn page(name: &str) -> (String, String) {
    let text = std::fs::read_to_string(root().join(name)).unwrap();
    (name.to_owned(), text.replace("\r\n", "\n"))
}

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of code on a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```").skip(1).step_by(2).collect()
}

/// Whether a line begins like one of a crontab: five fields of time.
fn is_cron(line: &str) -> bool {
    let fields: Vec<_> = line.split_whitespace().take(6).collect();
    let is_time = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_digit() || "*/,-".contains(c))
    };
    fields.len() == 6 && fields[..5].iter().all(is_time)
}

/// cron searches `/usr/bin` and `/bin` only, and expands nothing in its variables.
#[test]
fn lines_for_cron_find_the_program() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page) {
            let mut finds = false;
            for line in block.lines() {
                finds |= line.starts_with("PATH=/");
                if let Some((variable, value)) = line.split_once('=').filter(|_| finds) {
                    let is_variable = variable.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                    assert!(
                        !is_variable || !value.contains(['~', '$']),
                        "{name}: {line}"
                    );
                }
                if !is_cron(line) {
                    continue;
                }
                let words = line.split_whitespace().skip(5);
                for word in words.filter(|word| word.ends_with("age-oauth")) {
                    seen += 1;
                    assert!(finds || word.starts_with('/'), "{name}: {line}");
                }
            }
        }
    }
    assert!(seen >= 4, "only {seen} lines were found");
}

/// Without a version, pip installs the predecessor while `PyPI` has nothing newer.
#[test]
fn pip_is_told_the_version() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in page.split('`') {
            let Some((_, what)) = block.split_once("pip install ") else {
                continue;
            };
            // The README names the wrong command, to warn of it.
            if what.contains("age-oauth") && block != "pip install age-oauth" {
                seen += 1;
                let bounded = what.contains("age-oauth>=") || what.contains("]>=");
                assert!(bounded, "{name}: {block}");
            }
        }
    }
    assert!(seen >= 3, "only {seen} commands were found");
}

/// The page about CI: its three variables and its two commands are enough.
#[cfg(unix)]
#[test]
fn the_commands_for_ci_work_with_three_variables() {
    use crate::home;
    use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID};

    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let page = include_str!("../../docs/ci.md");
    let script = blocks(page)[0]
        .replace("https://gis.example.com/portal", &portal.url())
        .replace("--client-id ID", &format!("--client-id {SERVICE_ID}"))
        .replace("python publish.py", "sh -c 'echo \"$ARCGIS_TOKEN\"'");
    let program = home.program().parent().unwrap().display();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    for name in [
        "AGE_OAUTH_HOME",
        "AGE_OAUTH_KEYCHAIN",
        "AGE_OAUTH_CLIENT_SECRET",
    ] {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let said = std::process::Command::new("sh")
        .args(["-ec", &script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("AGE_OAUTH_HOME", home.store())
        .env("AGE_OAUTH_KEYCHAIN", "vault")
        .env("AGE_OAUTH_CLIENT_SECRET", service_secret())
        // The practice portal's authority.
        .env("SSL_CERT_FILE", portal.ca_file(home.path()))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8_lossy(&said.stdout);
    let token = text.lines().last().unwrap();
    assert!(portal.accepts_access_token(token), "{said:?}");
}
