//! Blocks of code of the documentation, run as they are on the pages, and the list of all blocks.

#![allow(clippy::print_stdout)] // Which blocks are run, for `--nocapture`.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::table::{Before, Way, PAGES};
use super::{pages, root};
use crate::home;
use crate::support::home::Home;
use crate::support::portal::{
    service_secret, Guard, Portal, PortalVersion, APP_ID, SERVICE_ID, USER,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{add, sign_in};
use crate::support::secret_scan;

const PORTAL: &str = "https://gis.example.com/portal";
const SERVER: &str = "https://gis.example.com/server";

/// The fenced blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), false);
    for event in Parser::new(page) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                inside = true;
                found.push(String::new());
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(text) if inside => found.last_mut().unwrap().push_str(&text),
            _ => {}
        }
    }
    found
}

fn first_line(block: &str) -> &str {
    block.lines().next().unwrap_or_default()
}

/// The blocks that are run here, each with its page and its way.
fn chosen<T>(way: impl Fn(Way) -> Option<T>) -> Vec<(String, String, T)> {
    let pages = pages();
    let mut found = Vec::new();
    for (name, entries) in PAGES {
        let (_, text) = pages.iter().find(|(page, _)| page == name).unwrap();
        for (block, (_, entry)) in blocks(text).into_iter().zip(*entries) {
            found.extend(way(*entry).map(|way| ((*name).to_owned(), block, way)));
        }
    }
    assert!(!found.is_empty());
    found
}

/// Whether the sources have a test of this name, in the file of its module.
fn exists(test: &str) -> bool {
    let parts: Vec<_> = test.split("::").collect();
    let (name, modules) = parts.split_last().unwrap();
    let text = format!("fn {name}()");
    // A module may be within the file of the one above it.
    (1..=modules.len()).any(|count| {
        let file = format!("{}.rs", modules[..count].join("/"));
        ["tests/it", "src"].iter().any(|folder| {
            let text_of = fs::read_to_string(root().join(folder).join(&file));
            text_of.is_ok_and(|source| {
                let before = source
                    .split(&text)
                    .next()
                    .filter(|b| b.len() < source.len());
                let attributes = before.and_then(|before| before.rsplit("\n\n").next());
                attributes.is_some_and(|lines| lines.contains("#[test]"))
            })
        })
    })
}

/// What is wrong with an entry of the table.
fn fault(way: Way) -> Option<String> {
    match way {
        Way::Test(test) | Way::Like(test) if !exists(test) => {
            Some(format!("there is no test {test}"))
        }
        Way::Script(path, text) => {
            let script = fs::read_to_string(root().join(path)).unwrap_or_default();
            (!script.contains(text)).then(|| format!("{path} has no `{text}`"))
        }
        Way::Not("") => Some("no reason".to_owned()),
        _ => None,
    }
}

/// A new block, a changed first line, a block that is gone, and a test that is gone are reported.
/// With `--nocapture`, the test prints how many blocks of each page are run, and why the others are
/// not.
#[test]
fn every_block_is_in_the_table() {
    let (mut faults, mut rows) = (Vec::new(), Vec::new());
    let (mut all, mut all_run) = (0, 0);
    let mut pages = pages();
    pages.retain(|(_, text)| !blocks(text).is_empty());
    for (name, text) in &pages {
        let blocks = blocks(text);
        let entry = PAGES.iter().find(|(page, _)| page == name);
        let entries = entry.map_or(&[][..], |(_, entries)| *entries);
        let written: Vec<_> = blocks.iter().map(|block| first_line(block)).collect();
        let known: Vec<_> = entries.iter().map(|(line, _)| *line).collect();
        let new = written.iter().filter(|line| !known.contains(line));
        faults.extend(new.map(|line| format!("{name}: not in the table: {line}")));
        let gone = known.iter().filter(|line| !written.contains(line));
        faults.extend(gone.map(|line| format!("{name}: not on the page: {line}")));
        if written != known {
            faults.push(format!(
                "{name}: the table has other blocks, or another order"
            ));
        }
        let wrong = entries.iter().filter_map(|(_, way)| fault(*way));
        faults.extend(wrong.map(|what| format!("{name}: {what}")));
        let is_run = |way: &Way| !matches!(way, Way::Like(_) | Way::Not(_));
        let run = entries.iter().filter(|(_, way)| is_run(way)).count();
        rows.push((name.as_str(), known.len(), run));
        (all, all_run) = (all + known.len(), all_run + run);
    }
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let gone = PAGES.iter().filter(|(page, _)| !names.contains(page));
    faults.extend(gone.map(|(page, _)| format!("{page}: has no blocks")));
    rows.push(("all pages", all, all_run));
    print_table(&rows);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Prints how many blocks each page has and how many are run, then those that are not run.
fn print_table(rows: &[(&str, usize, usize)]) {
    println!(
        "{:28} {:>6} {:>5} {:>8}",
        "page", "blocks", "run", "not run"
    );
    for (name, blocks, run) in rows {
        println!("{name:28} {blocks:>6} {run:>5} {:>8}", blocks - run);
    }
    for (name, entries) in PAGES {
        for (line, way) in *entries {
            match way {
                Way::Like(test) => println!("{name}: {line}\n    in other words by {test}"),
                Way::Not(why) => println!("{name}: {line}\n    not run: {why}"),
                _ => {}
            }
        }
    }
}

/// A portal, and a home with the programs that the blocks call.
struct Place {
    portal: Portal,
    home: Home,
    tools: PathBuf,
}

impl Place {
    fn new(before: Before) -> Self {
        let portal = match before {
            Before::Guarded => Portal::builder().guarded(Guard::Negotiate).start(),
            Before::Certificate => Portal::builder().client_certificate_required().start(),
            _ => Portal::start(PortalVersion::Enterprise114),
        };
        let mut home = home();
        let tools = home.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let ca = portal.ca_file(home.path()).display().to_string();
        home.set("SSL_CERT_FILE", &ca);
        home.set("BROWSER", "true");
        let package = root().join("src/python").display().to_string();
        home.set("PYTHONPATH", &package);
        home.set("PYTHONDONTWRITEBYTECODE", "1");
        let program = home.program().display().to_string();
        home.set("AGE_OAUTH_BIN", &program);
        let path = std::env::var("PATH").unwrap();
        let program = home.program().parent().unwrap().display().to_string();
        home.set("PATH", &format!("{}:{program}:{path}", tools.display()));
        let place = Self {
            portal,
            home,
            tools,
        };
        let python = std::env::split_paths(&path)
            .map(|folder| folder.join("python3"))
            .find(|file| file.is_file());
        symlink(python.expect("python3"), place.tools.join("python")).unwrap();
        place.tool("ssh", &format!("cat '{ca}'"));
        place.tool("docker", "test -n \"$ARCGIS_TOKEN\" && echo \"$*\"");
        let nightly = "import os\nassert os.environ['ARCGIS_TOKEN']\n";
        fs::write(place.home.path().join("nightly.py"), nightly).unwrap();
        fs::write(place.home.path().join("roads.csv"), "name,class\nOak,1\n").unwrap();
        place.portal.set(|rules| rules.roads.editable = true);
        place.prepare(before);
        place
    }

    fn prepare(&self, before: Before) {
        match before {
            Before::Nothing | Before::Guarded => {}
            Before::Added => add(&self.home, &self.portal, "prod"),
            Before::Certificate => self.make_certificate(),
            Before::Revoked => {
                self.prepare(Before::SignedIn);
                self.portal.revoke_all();
            }
            Before::SignedIn => {
                add(&self.home, &self.portal, "prod");
                sign_in(&self.home, &self.portal, "prod").ok();
            }
            Before::Key => self.add_key(),
            Before::Failed => {
                add(&self.home, &self.portal, "prod");
                let log = self.home.path().join("age-oauth.log");
                let token = self.home.run(["token"]).env("AGE_OAUTH_LOG", &log);
                token.done().code(3);
            }
            Before::Card => {
                let colleague = home();
                add(&colleague, &self.portal, "prod");
                let share = ["connections", "share", "prod"];
                let card = colleague.run(share).done().ok().stdout;
                fs::write(self.home.path().join("prod.json"), card).unwrap();
            }
            Before::Both => {
                self.add_key();
                add(&self.home, &self.portal, "tiles-oauth");
            }
        }
    }

    /// A client certificate and its private key, as a person gets them: without a password here.
    fn make_certificate(&self) {
        let own = self.portal.client_identity("ana");
        secret_scan::register_key(&own.key_pem);
        let pem = self.home.path().join("ana.pem");
        fs::write(&pem, own.certificate_pem + &own.key_pem).unwrap();
        self.home.allow_secrets_in("ana.p12");
        let export = "openssl pkcs12 -export -in ana.pem -passout pass: -out ana.p12";
        let words: Vec<_> = export.split(' ').collect();
        let made = self.command(Path::new(words[0])).args(&words[1..]).output();
        succeeded(export, &made.unwrap());
        fs::remove_file(pem).unwrap();
    }

    /// The connection `tiles`.
    fn add_key(&self) {
        let (url, end) = (self.portal.url(), in_days(100));
        let words = ["connections", "add", "--label", "tiles", "--portal", &url];
        let options = ["--auth-type", "key", "--expires", &end, "--api-key-stdin"];
        let run = self.home.run(words.into_iter().chain(options));
        run.input(self.portal.make_api_key(USER, 300)).done().ok();
    }

    /// A program in front of all others, which this script is.
    fn tool(&self, name: &str, script: &str) {
        let path = self.tools.join(name);
        self.home.allow_secrets_in(&path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A block for this portal, its applications, and the present time.
    fn filled(&self, block: &str) -> String {
        let application = if block.contains("--auth-type app") {
            SERVICE_ID
        } else {
            APP_ID
        };
        let block = match self.portal.guarded_url() {
            Some(url) => block.replace("https://portal01:7443/arcgis", &url),
            None => block.to_owned(),
        };
        block
            .replace(PORTAL, &self.portal.url())
            .replace(SERVER, &self.portal.other_server_url())
            .replace("--portal URL", &format!("--portal {}", self.portal.url()))
            .replace("--client-id ID", &format!("--client-id {application}"))
            .replace("YOUR_CLIENT_ID", APP_ID)
            .replace("2027-06-30", &in_days(200))
            .replace("2028-06-30", &in_days(250))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path());
        command
    }

    /// Runs a block in bash, and ends at its first command that fails. Returns what it printed.
    fn bash(&self, block: &str) -> String {
        // What `pass` prints: the secret that the command asks for.
        let key = self.portal.make_api_key(USER, 300);
        let secret = service_secret();
        self.tool(
            "pass",
            &format!("case $2 in arcgis/key) echo '{key}';; *) echo '{secret}';; esac"),
        );
        let script = format!("set -eu -o pipefail\n{}", self.filled(block));
        let mut child = self
            .command(Path::new("bash"))
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What a person pastes. A block that reads nothing may have ended already.
        let mut input = child.stdin.take().unwrap();
        _ = std::io::Write::write_all(&mut input, format!("{key}\n").as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        succeeded(block, &output);
        String::from_utf8(output.stdout).unwrap()
    }
}

fn in_days(days: i64) -> String {
    let end = Timestamp::now() + SignedDuration::from_hours(24 * days);
    format!("{end:.0}")
}

#[track_caller]
fn succeeded(block: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{block}\n{said}\n{errors}");
}

#[test]
fn blocks_for_a_shell_succeed_in_bash() {
    let blocks = chosen(|way| match way {
        Way::Bash(before) => Some((before, "", false)),
        Way::Prints(before, part) => Some((before, part, false)),
        Way::Cron(before) | Way::Lines(before) => Some((before, "", true)),
        _ => None,
    });
    for (page, block, (before, part, by_line)) in blocks {
        println!("{page}: {}", first_line(&block));
        if by_line {
            for line in block.lines() {
                // Where cron would find the program.
                let (_, command) = line.split_once("/usr/local/bin/").unwrap_or(("", line));
                Place::new(before).bash(command);
            }
        } else {
            let said = Place::new(before).bash(&block);
            assert!(said.contains(part), "{block}\n{said}");
        }
    }
}

#[test]
fn blocks_that_show_something_show_what_the_program_prints() {
    let blocks = chosen(|way| match way {
        Way::Shows(before, command) => Some((before, command)),
        _ => None,
    });
    for (page, block, (before, command)) in blocks {
        println!("{page}: {}", first_line(&block));
        let said = Place::new(before).bash(&format!("{command} 2>&1 || true"));
        assert!(is_example(&block, &said), "{block}\n{said}");
    }
}

/// Whether a text is that of the page, where `…` stands for anything within a line.
fn is_example(page: &str, text: &str) -> bool {
    let same = |(page, text): (&str, &str)| {
        let mut parts = page.split('…');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        for part in parts {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.is_empty() || page.ends_with('…')
    };
    page.lines().count() == text.lines().count() && page.lines().zip(text.lines()).all(same)
}

/// Answers what `connections add` asks, if the block has it.
fn answer_questions(terminal: &mut Terminal, place: &Place, block: &str) {
    let add = block
        .lines()
        .find(|line| line.contains("connections add"))
        .unwrap_or("--login");
    if add.contains("--from") {
        terminal.expect("confirm this SHA-256").send("y");
        terminal.expect("Is this your portal").send("y");
    } else if add.ends_with("connections add") || add.ends_with("connections add --login") {
        terminal.expect("Connection label").line("my_portal");
        terminal.expect("Portal URL").line(&place.portal.url());
        terminal.expect("Authentication type").line("");
        terminal.expect("Authorization code").line("");
        terminal.expect("OAuth Client ID").line(APP_ID);
        terminal.expect("OAuth Client Secret").line("");
    }
    if !add.contains("--login") {
        // The block itself goes on with `login`.
        terminal.expect("Sign in now?").send("n");
    }
}

#[test]
fn blocks_with_a_sign_in_succeed_at_a_terminal() {
    let blocks = chosen(|way| match way {
        Way::Terminal(before) => Some(before),
        _ => None,
    });
    for (page, block, before) in blocks {
        println!("{page}: {}", first_line(&block));
        let place = Place::new(before);
        let script = format!("set -eu\n{}", place.filled(&block));
        let words = ["-c", script.as_str()];
        let mut terminal = Terminal::start_sized(&place.home, "bash", &words, 240);
        answer_questions(&mut terminal, &place, &block);
        terminal.expect("press Enter:");
        let url = terminal.word(&place.portal.rest("oauth2/authorize"));
        let code = place.portal.authorize(&url, USER).code();
        terminal.line(&code).expect("Signed in until: ");
        assert_eq!(terminal.end(), 0, "{block}\n{}", terminal.screen());
    }
}

#[test]
fn blocks_that_ask_succeed_at_a_terminal() {
    let blocks = chosen(|way| match way {
        Way::Asks(before, answers) => Some((before, answers)),
        _ => None,
    });
    for (page, block, (before, answers)) in blocks {
        println!("{page}: {}", first_line(&block));
        let place = Place::new(before);
        let key = place.portal.make_api_key(USER, 300);
        let words = ["-c", block.as_str()];
        let mut terminal = Terminal::start_sized(&place.home, "bash", &words, 240);
        for (question, answer) in answers {
            let answer = answer
                .replace("{portal}", &place.portal.url())
                .replace("{key}", &key)
                .replace("{end}", &in_days(200));
            terminal.expect(question).send(&answer);
        }
        assert_eq!(terminal.end(), 0, "{block}\n{}", terminal.screen());
    }
}

/// In a module of this name, because `tests/run` leaves it out where it has not made the Python.
mod python {
    use super::*;

    #[test]
    fn blocks_of_python_succeed() {
        let blocks = chosen(|way| match way {
            Way::Python(first) => Some(first),
            _ => None,
        });
        let made = root().join("target/python/bin/python");
        let python = std::env::var_os("AGE_OAUTH_TEST_PYTHON").map_or(made, PathBuf::from);
        for (page, block, first) in blocks {
            println!("{page}: {}", first_line(&block));
            let place = Place::new(Before::SignedIn);
            let output = place
                .command(&python)
                .args(["-c", &format!("{first}\n{}", place.filled(&block))])
                .output()
                .unwrap();
            succeeded(&block, &output);
        }
    }
}
