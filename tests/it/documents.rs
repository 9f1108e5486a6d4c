//! The documentation: its links, its blocks, and commands that people copy from it: crontabs, and
//! what to install.

#[cfg(target_os = "linux")] // The blocks for other systems are not run.
mod blocks;
mod contents;
mod links;
mod statements;
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

/// The page about CI: its three variables and its two commands are enough, as they stand there and
/// in the file of each CI system, with the variables that such a file sets.
#[cfg(unix)]
#[test]
fn the_commands_for_ci_work_with_three_variables() {
    use crate::support::portal::service_secret;

    let page = include_str!("../../docs/ci.md");
    let names = [
        "AGE_OAUTH_HOME",
        "AGE_OAUTH_KEYCHAIN",
        "AGE_OAUTH_CLIENT_SECRET",
    ];
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let secret = service_secret();
    let [home, keychain, client_secret] = names;
    let values = [
        (home, "{job}/store"),
        (keychain, "vault"),
        (client_secret, secret),
    ];
    runs_in_ci(&[blocks(page)[0]], &values);
    // Of each system: its part of the page, what precedes a command, and what it sets by itself.
    for (title, key, set) in [
        ("## GitHub Actions", "- run: ", &[][..]),
        (
            "## GitLab",
            "- ",
            &[("AGE_OAUTH_CLIENT_SECRET", secret)][..],
        ),
        ("## Azure Pipelines", "- bash: ", &[][..]),
    ] {
        let (_, part) = page.split_once(title).expect(title);
        let file = part.split("```").nth(1).expect("a block");
        let file = file
            .replace("${{ secrets.GIS_CLIENT_SECRET }}", secret)
            .replace("$(GIS_CLIENT_SECRET)", secret);
        let lines = || file.lines().map(str::trim_start);
        let commands: Vec<_> = lines().filter_map(|line| line.strip_prefix(key)).collect();
        assert!(commands.len() >= 3, "{title}: {commands:?}");
        let named = |line: &'_ str| line.chars().next().is_some_and(|c| c.is_ascii_uppercase());
        let written = lines()
            .filter(|line| named(line))
            .filter_map(|line| line.split_once(": "));
        // `${{ vars.PORTAL }}` is the variable of the same name, which every command gets here.
        let written = written.filter(|(_, value)| !value.contains("vars."));
        let values: Vec<_> = written.chain(set.iter().copied()).collect();
        runs_in_ci(&commands, &values);
    }
}

/// Runs commands of a job one after the other, with these variables and those that the commands set
/// for later ones, and checks that the program of the page gets a token. `{job}` is the job's
/// folder.
#[cfg(unix)]
fn runs_in_ci(commands: &[&str], variables: &[(&str, &str)]) {
    use crate::home;
    use crate::support::portal::{Portal, PortalVersion, SERVICE_ID};

    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let job = home.path().display().to_string();
    let program = home.program().parent().unwrap().display();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    let later = home.path().join("github_env");
    let mut environment: Vec<(String, String)> = [
        ("PATH", &*path),
        ("HOME", &job),
        ("PORTAL", &portal.url()),
        ("CLIENT_ID", SERVICE_ID),
        ("RUNNER_TEMP", &job),
        ("GITHUB_ENV", &later.display().to_string()),
        ("CI_BUILDS_DIR", &job),
        ("CI_JOB_ID", "1"),
        ("AGENT_TEMPDIRECTORY", &job),
        // The practice portal's authority.
        (
            "SSL_CERT_FILE",
            &portal.ca_file(home.path()).display().to_string(),
        ),
    ]
    .iter()
    .chain(variables)
    .map(|(name, value)| ((*name).to_owned(), value.replace("{job}", &job)))
    .collect();
    let mut tokens = 0;
    let mut exported = String::new();
    for command in commands {
        let command = command
            .replace("https://gis.example.com/portal", &portal.url())
            .replace("--client-id ID", &format!("--client-id {SERVICE_ID}"))
            .replace("python publish.py", "sh -c 'echo token=\"$ARCGIS_TOKEN\"'");
        let said = std::process::Command::new("sh")
            .args(["-ec", &format!("{exported}{command}")])
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(said.status.success(), "{command}: {said:?}");
        if command.starts_with("export ") {
            exported = format!("{command}\n");
        }
        let text = String::from_utf8_lossy(&said.stdout);
        let set = text
            .lines()
            .filter_map(|line| line.strip_prefix("##vso[task.setvariable variable="))
            .map(|line| line.replacen(']', "=", 1));
        let mut set: Vec<_> = set.collect();
        set.extend(
            std::fs::read_to_string(&later)
                .unwrap_or_default()
                .lines()
                .map(Into::into),
        );
        for line in set {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            environment.push((name.into(), value.into()));
        }
        for token in text.lines().filter_map(|line| line.strip_prefix("token=")) {
            assert!(portal.accepts_access_token(token), "{said:?}");
            tokens += 1;
        }
    }
    assert_eq!(tokens, 1, "{commands:?}");
}
