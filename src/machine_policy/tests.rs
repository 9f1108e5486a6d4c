//! Parsing a policy, its lines, and each limit by itself. That the program obeys the file at its
//! place is tried in `tests/it/machine_policy.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::document::{parse, read_nothing};
use super::*;
use crate::connection::{Grant, Label};

/// A whole path on the system of the tests.
#[cfg(not(windows))]
macro_rules! log_folder {
    () => {
        "/var/log/age-oauth"
    };
}

#[cfg(windows)]
macro_rules! log_folder {
    () => {
        "C:/ProgramData/age-oauth/log"
    };
}

const COMPLETE: &str = concat!(
    r#"{
  "defaults": {
    "proxy": "http://proxy.example.com:8080",
    "certificate_authorities": ["/etc/age-oauth/authority.pem"],
    "keychain": "os",
    "event_log": ""#,
    log_folder!(),
    r#""
  },
  "limits": {
    "portals": ["https://gis.example.com/portal"],
    "unverified_tls": false,
    "secrets_on_command_line": false,
    "secret_commands": false,
    "api_keys": false,
    "keychains": ["os"],
    "longest_sign_in": "14d"
  }
}"#
);

fn refusal(error: Error) -> PolicyRefusal {
    match error {
        Error::Forbidden(refusal) => *refusal,
        other => panic!("{other}"),
    }
}

fn connection(portal: &str) -> Connection {
    let label: Label = "prod".parse().unwrap();
    Connection::new(
        label,
        portal.parse().unwrap(),
        Grant::Application,
        "c".into(),
    )
}

#[test]
fn each_member_is_read_and_shown_with_its_line() {
    let policy = parse(COMPLETE, "p.json", read_nothing).unwrap();
    let shown: Vec<_> = policy
        .in_force()
        .into_iter()
        .map(|one| (one.value, one.rule.to_string()))
        .collect();
    let expected = [
        ("http://proxy.example.com:8080", "`proxy` in p.json, line 3"),
        (
            "/etc/age-oauth/authority.pem",
            "`certificate_authorities` in p.json, line 4",
        ),
        ("os", "`keychain` in p.json, line 5"),
        (log_folder!(), "`event_log` in p.json, line 6"),
        (
            "https://gis.example.com/portal",
            "`portals` in p.json, line 9",
        ),
        ("not allowed", "`unverified_tls` in p.json, line 10"),
        (
            "not allowed",
            "`secrets_on_command_line` in p.json, line 11",
        ),
        ("not allowed", "`secret_commands` in p.json, line 12"),
        ("not allowed", "`api_keys` in p.json, line 13"),
        ("os", "`keychains` in p.json, line 14"),
        ("14 days", "`longest_sign_in` in p.json, line 15"),
    ];
    let expected = expected.map(|(value, rule)| (value.to_owned(), rule.to_owned()));
    assert_eq!(shown, expected);
    assert!(parse("{}", "p.json", read_nothing)
        .unwrap()
        .in_force()
        .is_empty());
}

/// The page describes each member, and its example has all of them.
#[test]
fn the_page_and_the_template_have_each_member() {
    let page = include_str!("../../docs/policy.md").replace("\r\n", "\n");
    let example = page.split("```json\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let example = if cfg!(windows) {
        example.replace("\"/", "\"C:/")
    } else {
        example.to_owned()
    };
    let policy = parse(&example, "p.json", read_nothing).unwrap();
    let shown: Vec<_> = policy.in_force().iter().map(|one| one.member).collect();
    assert_eq!(shown, Member::ALL);
    let line = policy.rule(Member::Portals).line.unwrap();
    assert!(page.contains(&format!("policy.json, line {line} and overrides --portal")));
    let template = include_str!("../../docs/policy/age-oauth.admx");
    let texts = include_str!("../../docs/policy/en-US/age-oauth.adml");
    for member in Member::ALL {
        let word = member.as_str();
        assert!(page.contains(&format!("| `{word}` |")), "{word}");
        let written = template.split("valueName=\"").skip(1);
        let name = written
            .filter_map(|rest| rest.split('"').next())
            .find(|name| name.eq_ignore_ascii_case(&word.replace('_', "")));
        match member {
            Member::CertificateAuthorities | Member::EventLog => assert_eq!(name, None),
            Member::Proxy
            | Member::Keychain
            | Member::Portals
            | Member::UnverifiedTls
            | Member::SecretsOnCommandLine
            | Member::SecretCommands
            | Member::ApiKeys
            | Member::Keychains
            | Member::LongestSignIn => {
                let name = name.unwrap();
                assert!(page.contains(&format!("`{name}`")), "{name}");
                assert!(texts.contains(&format!("<string id=\"{name}_Explain\">")));
            }
        }
    }
}

#[test]
fn the_line_is_that_of_the_member_and_of_nothing_that_looks_like_it() {
    let text = "{\"limits\": {\"portals\": [\"https://portals\",\n\"https://keychains\"], \"unverified_tls\":\n\
                true,\n\n \"\\u006beychains\"\n:[\"os\", \"vault\"]}, \"defaults\":\n{\"keychain\" : \"vault\"}}";
    let policy = parse(text, "p.json", read_nothing).unwrap();
    let line = |member| policy.rule(member).line;
    assert_eq!(line(Member::Portals), Some(1));
    assert_eq!(line(Member::UnverifiedTls), Some(2));
    assert_eq!(line(Member::Keychains), Some(5));
    assert_eq!(line(Member::Keychain), Some(7));
    assert_eq!(line(Member::Proxy), None);
}

#[test]
fn rule_34_what_is_not_understood_is_an_error_with_its_line() {
    for (text, place, why) in [
        ("", "p.json, line 1", "EOF"),
        ("[]", "p.json", "not an object"),
        ("{\n\"limits\": []}", "p.json", "limits is not an object"),
        (
            "{\n\"limit\": {}}",
            "p.json, line 2",
            "unknown field `limit`",
        ),
        (
            "{\"limits\": {\n\"portal\": []}}",
            "p.json, line 2",
            "unknown field `portal`",
        ),
        (
            "{\"limits\": {\n\"proxy\": \"none\"}}",
            "p.json, line 2",
            "unknown field `proxy`",
        ),
        (
            "{\"limits\": {\"portals\": [],\n\"portals\": []}}",
            "p.json, line 2",
            "duplicate field",
        ),
        (
            "{\"limits\": {\n\"portals\": null}}",
            "p.json, line 2",
            "invalid type: null",
        ),
        (
            "{\"limits\": {\n\"unverified_tls\": \"no\"}}",
            "p.json, line 2",
            "expected a boolean",
        ),
        (
            "{\"limits\": {\n\"portals\": [\"http://gis.example.com\"]}}",
            "p.json, line 2",
            "`portals`: portal URL: http is not allowed",
        ),
        (
            "{\"limits\": {\n\"portals\": [\"https://*.maps.arcgis.com\"]}}",
            "p.json, line 2",
            "`portals`: `https://*.maps.arcgis.com`: there are no wildcards",
        ),
        (
            "{\"defaults\": {\n\"event_log\": \"log\"}}",
            "p.json, line 2",
            "`event_log`: it is not a whole path",
        ),
        (
            "{\"limits\": {\n\"longest_sign_in\": \"14\"}}",
            "p.json, line 2",
            "`longest_sign_in`: it has no unit",
        ),
        (
            "{\"limits\": {\n\"longest_sign_in\": \"59s\"}}",
            "p.json, line 2",
            "a minute or more",
        ),
        (
            "{\"limits\": {\n\"keychains\": [\"cloud\"]}}",
            "p.json, line 2",
            "`keychains`: ",
        ),
        (
            "{\"defaults\": {\n\"proxy\": \"system\"}}",
            "p.json, line 2",
            "`proxy`: it must be http://HOST:PORT, or none",
        ),
        (
            "{\"defaults\": {\n\"keychain\": \"os\"},\n\"limits\": {\"keychains\": [\"vault\"]}}",
            "p.json, line 2",
            "`keychains` does not allow it",
        ),
        ("{} {}", "p.json, line 1", "trailing characters"),
    ] {
        let error = parse(text, "p.json", read_nothing).unwrap_err();
        assert_eq!(error.place, place, "{text}: {}", error.why);
        assert!(error.why.contains(why), "{text}: {}", error.why);
    }
}

#[test]
fn rule_34_a_connection_needs_an_allowed_portal_verification_and_keychain() {
    let policy = MachinePolicy::given(COMPLETE);
    let allowed = connection("https://gis.example.com/portal");
    policy.check_connection(&allowed).unwrap();
    let forbidden = |change: &dyn Fn(&mut Connection)| {
        let mut changed = allowed.clone();
        change(&mut changed);
        refusal(policy.check_connection(&changed).unwrap_err())
    };
    let other = |text: &str| Forbidden::Portal(text.to_owned());
    let portal = "https://gis.example.com.evil.net/portal";
    let found = forbidden(&|one| one.urls = portal.parse::<PortalUrl>().unwrap().into());
    assert_eq!(found.what, other(portal));
    assert_eq!(found.connection.as_deref(), Some("prod"));
    assert_eq!(found.overridden, Overridden::Connection);
    assert_eq!(found.rule.member, "portals");
    let api = "https://other.example.com/portal";
    let found = forbidden(&|one| {
        let browser = one.browser_url().clone();
        one.urls = PortalUrls::new(browser, Some(api.parse().unwrap())).unwrap();
    });
    assert_eq!(found.what, other(api));
    let found = forbidden(&|one| one.tls = Tls::Unverified);
    assert_eq!(found.what, Forbidden::UnverifiedTls);
    let found = forbidden(&|one| one.keychain = KeychainKind::Vault);
    assert_eq!(found.what, Forbidden::Keychain("vault"));
    // Requests are refused as well.
    let to = |text: &str| text.parse::<PortalUrl>().unwrap();
    assert!(policy.check_requests(&to(portal), &Tls::System).is_err());
    assert!(policy
        .check_requests(allowed.api_url(), &Tls::Unverified)
        .is_err());
    policy
        .check_requests(allowed.api_url(), &Tls::System)
        .unwrap();
}

#[test]
fn rule_34_a_longer_sign_in_is_refused_and_none_is_asked_for_without_a_bound() {
    const DAYS: i64 = 24 * 60;
    let policy = MachinePolicy::given(COMPLETE);
    let minutes = |asked| policy.sign_in_minutes(asked, Overridden::Option("--expiration"));
    assert_eq!(minutes(None).unwrap(), Some(14 * DAYS));
    assert_eq!(minutes(Some(DAYS)).unwrap(), Some(DAYS));
    assert_eq!(minutes(Some(14 * DAYS)).unwrap(), Some(14 * DAYS));
    for too_long in [14 * DAYS + 1, i64::MAX, -1] {
        let found = refusal(minutes(Some(too_long)).unwrap_err());
        assert_eq!(found.rule.line, Some(15), "{too_long}");
    }
    let none = MachinePolicy::given("{}");
    assert_eq!(
        none.sign_in_minutes(None, Overridden::Answer).unwrap(),
        None
    );
}

#[test]
fn rule_34_options_against_a_default_are_refused() {
    let policy = MachinePolicy::given(COMPLETE);
    let option = Overridden::Option("--proxy");
    policy
        .check_proxy(&"http://proxy.example.com:8080".parse().unwrap(), option)
        .unwrap();
    for other in ["http://other.example.com:8080", "none", "system"] {
        assert!(policy.check_proxy(&other.parse().unwrap(), option).is_err());
    }
    assert!(policy.new_keychain(Some(KeychainKind::Vault)).is_err());
    assert_eq!(policy.new_keychain(None).unwrap(), Some(KeychainKind::Os));
    assert!(policy.check_secret_argument("--client-secret").is_err());
    let default_alone = MachinePolicy::given(r#"{"defaults": {"keychain": "os"}}"#);
    let found = refusal(
        default_alone
            .new_keychain(Some(KeychainKind::Vault))
            .unwrap_err(),
    );
    assert_eq!(found.rule.member, "keychain");
    assert_eq!(found.overridden, Overridden::Option("--keychain"));
}

#[test]
fn rule_34_a_policy_that_cannot_be_used_is_an_error_of_everything() {
    let policy = MachinePolicy::given("{\"limits\": {\"portal\": []}}");
    let one = connection("https://gis.example.com/portal");
    for failed in [
        policy.check(),
        policy.check_connection(&one),
        policy.check_requests(one.api_url(), &one.tls),
        policy.proxy().map(drop),
        policy.certificate_authorities().map(drop),
        policy.event_log().map(drop),
        policy.longest_sign_in().map(drop),
        policy.new_keychain(None).map(drop),
        policy.check_secret_argument("--client-secret"),
        policy.sign_in_minutes(None, Overridden::Answer).map(drop),
    ] {
        assert!(matches!(failed, Err(Error::UnusablePolicy { .. })));
    }
}

#[test]
fn a_duration_is_shown_in_days_and_what_is_left_of_them() {
    const HOUR: u64 = 60 * 60;
    for (seconds, shown) in [
        (60, "1 minute"),
        (12 * HOUR, "12 hours"),
        (24 * HOUR, "1 day"),
        (36 * HOUR, "1 day 12 hours"),
        (14 * 24 * HOUR, "14 days"),
        (45 * 24 * HOUR + 61, "45 days 1 minute 1 second"),
        (u64::MAX, "18446744073709551615 seconds"),
    ] {
        assert_eq!(duration(Duration::from_secs(seconds)), shown);
    }
}
