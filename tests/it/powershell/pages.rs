//! Every block of PowerShell in the documentation as it stands: it works, stops where there is no
//! token, follows no redirect, and what the pages say about PowerShell's logs is so.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::signed_in;
use crate::support::home::Home;
use crate::support::portal::{Endpoint, Fault, ForeignServer, Portal, PortalVersion, USER};
use crate::support::pwsh::{self, Recorded};
use crate::support::scenario::{add, add_with, sign_in};
use crate::support::secret_scan;

const PORTAL: &str = "https://gis.example.com/portal";
const OTHER_PORTAL: &str = "https://test.example.com/portal";
const LAYER: &str = "https://gis.example.com/server/rest/services/Roads/FeatureServer/0";

/// What is on a page.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// The blocks of PowerShell on all pages.
fn blocks() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .collect();
    names.push("../README.md".into());
    let of_page = |name: &String| -> Vec<String> {
        page(name)
            .split("```powershell\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap().to_owned())
            .collect()
    };
    names.iter().flat_map(of_page).collect()
}

/// Two portals, with the connections `prod` and `test`, and what the blocks need.
struct Setup {
    portal: Portal,
    other: Portal,
    home: Home,
}

impl Setup {
    fn new() -> Self {
        let (portal, home) = signed_in();
        let other = Portal::start(PortalVersion::Enterprise114);
        add_with(&home, &other, "test", &[]);
        sign_in(&home, &other, "test").ok();
        Self::of(portal, other, home)
    }

    fn of(portal: Portal, other: Portal, home: Home) -> Self {
        fs::write(
            home.path().join("nightly.py"),
            "import os\nprint(os.environ['ARCGIS_USERNAME'])\n",
        )
        .unwrap();
        let tools = home.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let python = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("python3"))
            .find(|path| path.is_file())
            .expect("python3");
        symlink(python, tools.join("python")).unwrap();
        let authorities = format!("{}{}", portal.ca_pem(), other.ca_pem());
        fs::write(home.path().join("both.pem"), authorities).unwrap();
        Self {
            portal,
            other,
            home,
        }
    }

    /// The text of a page for these portals.
    fn adapted(&self, text: &str) -> String {
        text.replace(PORTAL, &self.portal.url())
            .replace(OTHER_PORTAL, &self.other.url())
            .replace(LAYER, &self.portal.server_layer_url())
    }

    fn authorities(&self) -> String {
        self.home.path().join("both.pem").display().to_string()
    }

    /// Runs each text as a script file, after one another and each with the environment that the
    /// session began with. What each printed follows a line `=== NUMBER`.
    fn run(&self, texts: &[String]) -> Recorded {
        let mut script = format!(
            "$env:PATH = '{}:' + $env:PATH; $before = @{{}}; Get-ChildItem env: | ForEach-Object {{ $before[$_.Name] = $_.Value }}\n",
            self.home.path().join("tools").display()
        );
        for (number, text) in texts.iter().enumerate() {
            let file = self.home.path().join(format!("block{number}.ps1"));
            fs::write(&file, self.adapted(text)).unwrap();
            _ = writeln!(
                script,
                "'=== {number}'; $global:LASTEXITCODE = 0; try {{ & '{}'; \"code $LASTEXITCODE\" }} catch {{ \"stopped: $_\" }}\n\
                 foreach ($name in 'ARCGIS_TOKEN', 'ARCGIS_USERNAME', 'AGE_OAUTH_CONNECTION', 'AGE_OAUTH_LOG', 'SSL_CERT_FILE') {{ [Environment]::SetEnvironmentVariable($name, $before[$name]) }}",
                file.display()
            );
        }
        let log = self.home.path().join("age-oauth.log");
        pwsh::recorded(
            &self.home,
            &script,
            &[
                ("SSL_CERT_FILE", &self.authorities()),
                ("AGE_OAUTH_LOG", &log.display().to_string()),
            ],
        )
    }
}

/// What each script printed.
fn parts(recorded: &Recorded) -> Vec<String> {
    let printed = pwsh::text(&recorded.out);
    let parts = printed.split("=== ").skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap().1.to_owned())
        .collect()
}

/// The logs and the transcripts hold the scripts, and no secret.
#[track_caller]
fn is_clean(recorded: &Recorded) {
    let log = String::from_utf8_lossy(&recorded.log);
    assert!(log.contains("Invoke-RestMethod"), "{log}");
    let transcript = String::from_utf8_lossy(&recorded.transcript);
    assert!(transcript.contains("=== 0"), "{transcript}");
    assert_eq!(secret_scan::find(&recorded.log), [], "{log}");
    assert_eq!(secret_scan::find(&recorded.transcript), [], "{transcript}");
}

/// What tells the block that reads the log from the others.
const READS_LOG: &str = "Get-Content $env:AGE_OAUTH_LOG";

#[test]
fn rule_31_every_block_works_and_no_log_or_transcript_has_the_token() {
    let setup = Setup::new();
    let log = setup.home.path().join("age-oauth.log");
    let failing = setup.home.run(["token", "-c", "nobody"]);
    failing.env("AGE_OAUTH_LOG", &log).done().code(4);
    let blocks = blocks();
    assert!(blocks.len() >= 12, "{blocks:#?}");
    let recorded = setup.run(&blocks);
    let errors = String::from_utf8_lossy(&recorded.out.stderr);
    assert_eq!(errors, "", "{}", pwsh::text(&recorded.out));
    let parts = parts(&recorded);
    assert_eq!(parts.len(), blocks.len());
    for (block, said) in blocks.iter().zip(&parts) {
        let wanted = if block.contains(READS_LOG) {
            "nobody"
        } else if block.contains(LAYER) {
            "Ginkgo Street"
        } else {
            USER
        };
        assert!(said.contains(wanted), "{block}\n{said}");
        assert!(said.ends_with("code 0\n"), "{block}\n{said}");
        if block.contains("-Parallel") {
            assert_eq!(said.matches(USER).count(), 2, "{block}\n{said}");
        }
    }
    is_clean(&recorded);
    setup.portal.assert_clean();
    setup.other.assert_clean();
}

/// No script goes on without a token, or sends a request without one.
#[test]
fn every_block_stops_where_there_is_no_token() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), crate::home());
    let other = Portal::start(PortalVersion::Enterprise114);
    add(&home, &portal, "prod");
    add_with(&home, &other, "test", &[]);
    let setup = Setup::of(portal, other, home);
    let mut blocks = blocks();
    blocks.retain(|block| !block.contains(READS_LOG));
    let recorded = setup.run(&blocks);
    for (block, said) in blocks.iter().zip(&parts(&recorded)) {
        let stopped = said.contains("stopped: ") || said.ends_with("code 3\n");
        // What a block of `-Parallel` throws is an error of that block alone.
        assert!(stopped || block.contains("-Parallel"), "{block}\n{said}");
        assert!(
            !said.contains(USER) && !said.contains("Street"),
            "{block}\n{said}"
        );
    }
    for portal in [&setup.portal, &setup.other] {
        assert_eq!(portal.requests_to(Endpoint::CommunitySelf).len(), 0);
    }
}

#[test]
fn no_block_follows_a_redirect_to_another_host() {
    let setup = Setup::new();
    let foreign = ForeignServer::start(&setup.portal);
    for portal in [&setup.portal, &setup.other] {
        let fault = Fault::Redirect {
            status: 302,
            to: foreign.url(),
        };
        portal.set(|rules| rules.fault_always(Endpoint::CommunitySelf, fault));
    }
    let mut blocks = blocks();
    blocks.retain(|block| block.contains("Invoke-RestMethod"));
    // The same request without the option does follow, so that the test would notice.
    let careless = "$headers = @{ 'X-Esri-Authorization' = 'Bearer x' }; Invoke-RestMethod 'https://gis.example.com/portal/sharing/rest/community/self?f=json' -Headers $headers";
    let recorded = setup.run(&blocks);
    foreign.assert_no_connection();
    for (block, said) in blocks.iter().zip(&parts(&recorded)) {
        let stopped = said.contains("stopped: ") || block.contains("-Parallel");
        assert!(stopped, "{block}\n{said}");
    }
    is_clean(&recorded);
    setup.run(&[careless.to_owned()]);
    let sent = foreign.requests();
    assert_eq!(sent[0].header("x-esri-authorization"), Some("Bearer x"));
}

/// The rows of the table: the line, and whether the logs and the transcript have the token.
fn table() -> Vec<(String, bool, bool)> {
    let page = page("powershell.md");
    let (_, table) = page.split_once("| line | the two logs |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let records = |cell: &str| match cell {
            "**the token**" => true,
            "nothing" => false,
            other => panic!("{other}: {row}"),
        };
        let line = cells[0].trim_matches('`').replace('\u{1}', "|");
        (line, records(cells[1]), records(cells[2]))
    })
    .collect()
}

/// Each line gets a token of its own, so that one session is enough for all of them.
#[test]
fn rule_31_the_table_of_what_is_logged_is_so() {
    let setup = Setup::new();
    // A token in a URL.
    setup.portal.expect_violations();
    let rows = table();
    assert!(rows.len() > 15, "{rows:#?}");
    let asks = |line: &str| line.contains("age-oauth token") || line.contains("export-env");
    let name = |number: usize| format!("canary{number:02}of16chars");
    let scripts: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(number, (line, ..))| {
            format!(
                "$token = {}\n$env:ARCGIS_TOKEN = $token\n$headers = @{{ 'X-Esri-Authorization' = \"Bearer $token\" }}\n$url = '{PORTAL}/sharing/rest/community/self?f=json'\n{line}\n",
                // As text in parts, because the script itself is logged.
                name(number).replace("of16", "' + 'of16").replace("canary", "'canary") + "'",
            )
        })
        .collect();
    // What asks for a token gets the real one. Only one of these may be looked at in a session.
    let split = |wanted: &dyn Fn(&(String, bool, bool)) -> bool| -> Vec<String> {
        let chosen = rows.iter().zip(&scripts).filter(|(row, _)| wanted(row));
        chosen.map(|(_, script)| script.clone()).collect()
    };
    let safe = split(&|(_, log, transcript)| !log && !transcript);
    let recorded = setup.run(&safe);
    is_clean(&recorded);
    for said in parts(&recorded) {
        assert!(said.trim_end().ends_with("code 0"), "{said}");
    }
    let in_transcript = setup.run(&split(&|(line, log, _)| asks(line) && !log));
    assert_eq!(secret_scan::find(&in_transcript.log), []);
    assert_ne!(secret_scan::find(&in_transcript.transcript), []);
    let in_log = setup.run(&split(&|(line, log, _)| !asks(line) || *log));
    assert_ne!(secret_scan::find(&in_log.log), []);
    assert_eq!(secret_scan::find(&in_log.transcript), []);
    let holds = |bytes: &[u8], number| String::from_utf8_lossy(bytes).contains(&name(number));
    for (number, (line, log, transcript)) in rows.iter().enumerate() {
        if !asks(line) {
            assert_eq!(holds(&in_log.log, number), *log, "log: {line}");
            let seen = holds(&in_log.transcript, number);
            assert_eq!(seen, *transcript, "transcript: {line}");
        }
    }
}

/// `python -c` as the page writes it, in both of PowerShell's ways of passing arguments.
#[test]
fn quotes_in_arguments_arrive_as_the_page_says() {
    let setup = Setup::new();
    let quotes = blocks()
        .into_iter()
        .find(|block| block.contains("-c \"import"));
    let quotes = quotes.expect("the block");
    let page = page("powershell.md");
    let (_, escaped) = page.split_once("alone otherwise:\n`").unwrap();
    let escaped = escaped.split('`').next().unwrap();
    let unescaped = escaped.replace('\\', "");
    let tools = setup.home.path().join("tools");
    let begin = format!("$env:PATH = '{}:' + $env:PATH\n", tools.display());
    let legacy = "$PSNativeCommandArgumentPassing = 'Legacy'\n";
    let script = format!("{begin}{quotes}{unescaped}\n{legacy}{quotes}{escaped}\n");
    let wanted = [USER, "text", USER, "text"];
    assert_eq!(pwsh::lines(&setup.home, &script), wanted);
    // Why the page is needed.
    let lost = pwsh::run(&setup.home, &format!("{begin}{legacy}{unescaped}"));
    assert!(String::from_utf8_lossy(&lost.stderr).contains("NameError"));
}
