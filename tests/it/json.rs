//! Every `--json` answer of the program has exactly the fields, types and words of `docs/json.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::home::Home;
use crate::support::legacy::lay_out;
use crate::support::portal::{Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add, add_application, add_arguments, sign_in};
use crate::{home, signed_in};

/// A section of the page: its fields with their types, and the words of those that have fixed words.
#[derive(Default)]
struct Section {
    fields: BTreeMap<String, String>,
    words: BTreeMap<String, BTreeSet<String>>,
}

/// The name between the first two backticks.
fn name(cell: &str) -> String {
    cell.trim().trim_matches('`').to_owned()
}

fn page() -> BTreeMap<String, Section> {
    let mut sections = BTreeMap::new();
    for text in include_str!("../../docs/json.md").split("\n## ").skip(1) {
        let mut section = Section::default();
        let mut word_field = None;
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            match (cells.len(), &word_field) {
                (3, _) if cells[0].trim() != "field" => {
                    let known = section
                        .fields
                        .insert(name(cells[0]), cells[1].trim().to_owned());
                    assert_eq!(known, None, "{line}");
                }
                (2, _) if cells[1].trim().is_empty() => word_field = Some(name(cells[0])),
                (2, Some(field)) => {
                    let words: &mut BTreeSet<_> = section.words.entry(field.clone()).or_default();
                    words.insert(name(cells[0]));
                }
                _ => {}
            }
        }
        let title = text.lines().next().unwrap_or_default().to_owned();
        if let Some((_, described)) = text.split_once("It has the fields of [") {
            let described = described.split(']').next().unwrap_or_default();
            let described: &Section = &sections[described];
            section.fields.extend(described.fields.clone());
            section.words.extend(described.words.clone());
        }
        assert!(!section.fields.is_empty(), "{title}");
        sections.insert(title, section);
    }
    sections
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "time" => value
            .as_str()
            .is_some_and(|text| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()),
        _ => match (
            name.strip_suffix(" or null"),
            name.strip_prefix("array of "),
        ) {
            (Some(inner), _) => value.is_null() || is_of_type(value, inner),
            (None, Some(inner)) => value
                .as_array()
                .is_some_and(|all| all.iter().all(|one| is_of_type(one, inner))),
            (None, None) => false,
        },
    }
}

#[track_caller]
fn is_as_documented(title: &str, value: &Value) {
    let page = page();
    let section = page
        .get(title)
        .unwrap_or_else(|| panic!("no section {title}"));
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("{title}: {value}"));
    for (field, json_type) in &section.fields {
        let Some(value) = object.get(field) else {
            assert!(
                title == "The log",
                "{title}: {field} is missing in {object:?}"
            );
            continue;
        };
        assert!(
            is_of_type(value, json_type),
            "{title}: {field} is {value}, not {json_type}"
        );
        if let (Some(words), Some(word)) = (section.words.get(field), value.as_str()) {
            assert!(words.contains(word), "{title}: {field} is {word}");
        }
    }
    for field in object.keys() {
        assert!(
            section.fields.contains_key(field),
            "{title}: {field} is not documented"
        );
    }
}

/// Each line of the answer.
#[track_caller]
fn lines(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let out = home.run(arguments).input("").done().ok();
    let lines = out.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

/// The only line of the answer; each element if it is an array.
#[track_caller]
fn answers(home: &Home, title: &str, arguments: &[&str]) -> usize {
    let all = lines(home, arguments);
    assert_eq!(all.len(), 1, "{all:?}");
    let all = match &all[0] {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    for one in &all {
        is_as_documented(title, one);
    }
    all.len()
}

#[test]
fn every_answer_has_the_documented_fields() {
    let (portal, home) = signed_in();
    add_application(&home, &portal, "service");
    add(&home, &portal, "other");
    for connection in ["prod", "service"] {
        let with = |words: &[&str]| {
            let mut all = words.to_vec();
            all.extend(["-c", connection, "--json"]);
            all.iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        for (title, words) in [
            ("`token`", &["token"][..]),
            ("`refresh`", &["refresh"]),
            ("`whoami`", &["whoami"]),
            ("`whoami`", &["whoami", "--offline"]),
            ("`connections show`", &["connections", "show"]),
            ("`doctor`", &["doctor"]),
        ] {
            let words = with(words);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(answers(&home, title, &words), 1);
        }
    }
    assert_eq!(answers(&home, "`status`", &["status", "--json"]), 3);
    let with_keychain = ["status", "--keychain", "--json"];
    assert_eq!(answers(&home, "`status`", &with_keychain), 3);
    let list = ["connections", "list", "--json"];
    assert_eq!(answers(&home, "`connections list`", &list), 3);
    let edit = ["connections", "edit", "other", "--tag", "x", "--json"];
    assert_eq!(answers(&home, "`connections edit`", &edit), 1);
    let url = portal.url();
    let mut again = add_arguments("other", &url, APP_ID, "true").to_vec();
    again.extend(["--no-check", "--replace", "--json"]);
    assert_eq!(answers(&home, "`connections add`", &again), 1);
    let mut another = add_arguments("another", &url, APP_ID, "true").to_vec();
    another.extend(["--no-check", "--json"]);
    assert_eq!(answers(&home, "`connections add`", &another), 1);
    let remove = ["connections", "remove", "another", "--yes"];
    home.run(remove).done().ok();
    let choose = ["connections", "use", "prod", "--json"];
    assert_eq!(answers(&home, "`connections use`", &choose), 1);
    let info = ["connections", "info", "--json"];
    assert_eq!(answers(&home, "`connections info`", &info), 1);
    let doctor = lines(&home, &["doctor", "--json", "-c", "prod"]);
    for check in doctor[0]["checks"].as_array().unwrap() {
        is_as_documented("`doctor`, each of `checks`", check);
    }
    let login = lines(&home, &["login", "--json", "-c", "prod"]);
    is_as_documented("`login`, first line", &login[0]);
    is_as_documented("`login`, last line", &login[1]);
    let login = lines(&home, &["login", "--json", "-c", "service"]);
    is_as_documented("`login`, last line", &login[0]);
    let signed_out = lines(&home, &["logout", "--all", "--json"]);
    assert_eq!(signed_out.len(), 3);
    for one in &signed_out {
        is_as_documented("`logout`", one);
    }
}

#[test]
fn an_import_has_the_documented_fields() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    lay_out(&home.store(), "0.2.1", &home, &portal);
    for flags in [&["--dry-run"][..], &[]] {
        let mut words = vec!["connections", "import", "--json"];
        words.extend(flags);
        assert!(answers(&home, "`connections import`", &words) > 1);
    }
}

#[test]
fn errors_and_warnings_have_the_documented_fields() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let edit = ["connections", "edit", "prod", "--verify-ssl", "false"];
    home.run(edit).done().ok();
    for (words, kind, code) in [
        (&["token", "--json"][..], "sign_in_needed", 3),
        (&["token", "--json", "-c", "none"], "no_connection", 4),
        (&["token", "--json", "--min-ttl", "soon"], "usage", 2),
        (&["status", "--json", "--check"], "sign_in_needed", 3),
    ] {
        let out = home.run(words).done().code(code);
        let lines: Vec<Value> = out
            .stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
            .collect();
        let (error, warnings) = lines.split_last().unwrap();
        is_as_documented("Errors", error);
        is_as_documented("Errors, `error`", &error["error"]);
        assert_eq!(error["error"]["kind"], kind);
        assert_eq!(error["error"]["code"], code);
        for warning in warnings {
            is_as_documented("Warnings", warning);
        }
        assert_eq!(
            warnings.is_empty(),
            words != ["token", "--json"],
            "{lines:?}"
        );
    }
}

#[test]
fn the_log_has_the_documented_fields() {
    let (portal, mut home) = signed_in();
    let log = home.path().join("log").display().to_string();
    home.set("AGE_OAUTH_LOG", &log);
    home.run(["token"]).done().ok();
    sign_in(&home, &portal, "prod").ok();
    home.run(["token", "--unknown"]).done().code(2);
    home.run(["token", "-c", "none"]).done().code(4);
    let text = fs::read_to_string(Path::new(&log)).unwrap();
    let all: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 4, "{text}");
    for line in &all {
        is_as_documented("The log", line);
    }
}
