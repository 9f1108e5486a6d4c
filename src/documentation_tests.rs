//! The numbers that pages for users repeat are those of the policy.

use std::time::Duration;

use jiff::SignedDuration;

use crate::policy;

/// `minute`, `15 seconds`, `three days`, `two weeks`: as the pages write it.
fn in_words(life: SignedDuration) -> String {
    const NUMBERS: [&str; 11] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    const UNITS: [(i64, &str); 5] = [
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = life.as_secs();
    if seconds == 1800 {
        return "half an hour".into();
    }
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds % unit == 0)
        .unwrap_or((1, "second"));
    let count = seconds / unit;
    match usize::try_from(count).ok().and_then(|at| NUMBERS.get(at)) {
        Some(&"one") => name.to_owned(),
        Some(number) => format!("{number} {name}s"),
        None => format!("{count} {name}s"),
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The text of a page, with single blanks between its words.
fn words(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn in_days(life: SignedDuration) -> String {
    format!("{} days", life.as_hours() / 24)
}

#[test]
fn durations_are_written_as_the_pages_do() {
    for (seconds, text) in [
        (60, "minute"),
        (15, "15 seconds"),
        (3 * 86_400, "three days"),
        (14 * 86_400, "two weeks"),
        (1800, "half an hour"),
        (7 * 86_400, "week"),
    ] {
        assert_eq!(in_words(SignedDuration::from_secs(seconds)), text);
    }
}

#[test]
fn pages_repeat_the_numbers_of_the_policy() {
    let (sign_in, nightly, tasks, headless, python, reference, recipes) = (
        words(include_str!("../docs/sign-in.md")),
        words(include_str!("../docs/nightly.md")),
        words(include_str!("../docs/scheduled-tasks.md")),
        words(include_str!("../docs/headless.md")),
        words(include_str!("../docs/python.md")),
        words(include_str!("../docs/python-reference.md")),
        words(include_str!("../docs/recipes.md")),
    );
    let soon = in_words(policy::EXPIRES_SOON);
    let soon_in_digits = in_days(policy::EXPIRES_SOON);
    let access_life = in_words(policy::ASSUMED_ACCESS_LIFE);
    let default = policy::DEFAULT_MIN_TTL.as_secs();
    for (page, text) in [
        (
            &sign_in,
            format!("An access token lives about {access_life}."),
        ),
        (
            &recipes,
            format!("An access token lives about {access_life},"),
        ),
        (
            &reference,
            format!("once per {}", access_life.replace("half an", "half")),
        ),
        (
            &sign_in,
            format!("from {} to 90 days", in_words(policy::ASSUMED_REFRESH_LIFE)),
        ),
        (&sign_in, format!("warns you {soon} before the end")),
        (&nightly, format!("warns from {soon} before the end")),
        (&nightly, format!("| a sign-in | {soon_in_digits}, or")),
        (&tasks, format!("expires within {soon}, or")),
        (
            &tasks,
            format!("--within {}d", policy::EXPIRES_SOON.as_hours() / 24),
        ),
        (&python, format!("within {soon_in_digits}.")),
        (
            &nightly,
            format!(
                "valid for more than another {}.",
                in_words(policy::MIN_USABLE_TTL)
            ),
        ),
        (
            &headless,
            format!(
                "valid for another {} and",
                in_words(policy::MIN_FALLBACK_TTL)
            ),
        ),
        (&python, format!("min_ttl={default}")),
    ] {
        assert!(page.contains(&text), "no page says `{text}`");
    }
}

#[test]
fn the_page_about_secret_managers_repeats_the_limits_of_commands() {
    let page = words(include_str!("../docs/secret-managers.md"));
    let limit = in_words(signed(policy::SECRET_COMMAND_TIMEOUT));
    let size = policy::MAX_SECRET_COMMAND_OUTPUT_BYTES / 1024;
    let life = in_words(policy::APPLICATION_DEFAULT_LIFE);
    let rest = in_words(signed(policy::SECRET_COMMAND_PIPE_TIMEOUT));
    let least = in_words(policy::MIN_FALLBACK_TTL);
    for text in [
        format!("for one {rest} at most"),
        format!("lives for another {least}, a command that fails"),
        format!("{limit}, or less with `--timeout`"),
        format!("at most {size} KiB"),
        format!("({life}, unless the portal"),
    ] {
        assert!(page.contains(&text), "the page does not say `{text}`");
    }
}

#[cfg(feature = "cli")]
#[test]
fn pages_repeat_the_numbers_of_the_command_line() {
    use policy::command_line as numbers;
    let nightly = words(include_str!("../docs/nightly.md"));
    let doctor = words(include_str!("../docs/doctor.md"));
    let tasks = words(include_str!("../docs/scheduled-tasks.md"));
    let sign_in = words(include_str!("../docs/sign-in.md"));
    let minutes = numbers::SIGN_IN_TIMEOUT.as_secs() / 60;
    assert!(sign_in.contains(&format!("You have {minutes} minutes.")));
    let key = in_days(numbers::API_KEY_EXPIRES_SOON);
    assert!(nightly.contains(&format!("| {key}, or as long")), "{key}");
    let certificate = in_days(numbers::CLIENT_CERTIFICATE_EXPIRES_SOON);
    assert!(tasks.contains(&format!("certificate expires within {certificate}.")));
    let shown = in_words(numbers::PAST_FAILURE_SHOWN);
    assert!(nightly.contains(&format!("or for a {shown} if")), "{shown}");
    let megabytes = numbers::MAX_LOG_BYTES / 1_000_000;
    assert!(nightly.contains(&format!("At {megabytes} MB it is renamed")));
    // A second for what surrounds the checks.
    let limit = numbers::DOCTOR_TIMEOUT + Duration::from_secs(1);
    let limit = in_words(signed(limit));
    assert!(doctor.contains(&format!("at most {limit}")), "{limit}");
}

#[test]
fn the_way_to_report_a_vulnerability_exists() {
    let page = words(include_str!("../docs/security.md"));
    let unnamed = page.contains("The package metadata names neither a repository nor an address");
    assert_eq!(unnamed, env!("CARGO_PKG_REPOSITORY").is_empty());
}
