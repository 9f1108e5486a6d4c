//! The documentation of the JSON types, generated from them: `docs/json.md`, the tables of exit
//! codes, and the names that the Python package uses. The test at the end compares the generated
//! text with the files; run it with `AGE_OAUTH_UPDATE_DOCS=1` to write them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Only tests use this module.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

#[cfg(feature = "migrate")]
use super::ImportAnswer;
use super::{
    CheckAnswer, ConnectionAnswer, DoctorAnswer, ErrorBody, ErrorLine, InfoAnswer, LogLine,
    LoginAnswer, LoginStarted, LogoutAnswer, PresentedAnswer, RefreshAnswer, ShowAnswer,
    StatusAnswer, Time, TokenAnswer, WarningLine, WhoamiAnswer, Word, Words, FORMAT_VERSION,
};
use crate::cli::exit_code::documentation::reason;
use crate::cli::exit_code::{ExitCode, FailureKind};
use crate::error::KeychainReason;
use crate::event::Decision;
use crate::policy;

/// How a Rust type appears in JSON.
pub(crate) trait JsonType {
    /// `string`, `number`, `array of string` …
    fn name() -> String;

    /// What an object is about; empty for other types.
    fn about() -> String {
        String::new()
    }

    /// The fields of an object; empty for other types.
    fn fields() -> Vec<Field> {
        Vec::new()
    }

    /// The values of a field that has fixed words; empty for other types.
    fn words() -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// One field of an object.
pub(crate) struct Field {
    name: &'static str,
    json_type: String,
    description: String,
    words: Vec<(&'static str, &'static str)>,
    may_be_absent: bool,
}

impl Field {
    /// Adds a field, or the fields of a flattened object.
    pub(crate) fn add<T: JsonType>(
        fields: &mut Vec<Self>,
        name: &'static str,
        comment: &str,
        serde: &str,
    ) {
        if serde == "flatten" {
            fields.extend(T::fields());
            return;
        }
        fields.push(Self {
            name,
            json_type: T::name(),
            description: with_numbers(comment.trim()),
            words: T::words(),
            may_be_absent: serde.contains("skip_serializing_if"),
        });
    }
}

/// Puts numbers of the policy in place of their names in braces.
fn with_numbers(comment: &str) -> String {
    let numbers = [
        ("`{ASSUMED_REFRESH_LIFE}`", policy::ASSUMED_REFRESH_LIFE),
        ("`{EXPIRES_SOON}`", policy::EXPIRES_SOON),
    ];
    let mut text = comment.to_owned();
    for (name, duration) in numbers {
        text = text.replace(name, &in_days(duration));
    }
    assert!(!text.contains('{'), "a number without a value: {text}");
    text
}

/// `14 days`
fn in_days(duration: SignedDuration) -> String {
    let days = duration.as_hours() / 24;
    assert_eq!(SignedDuration::from_hours(days * 24), duration);
    format!("{days} days")
}

macro_rules! scalar {
    ($name:literal: $($type:ty),+) => {
        $(impl JsonType for $type {
            fn name() -> String {
                $name.into()
            }
        })+
    };
}

scalar!("string": String, &str);
scalar!("boolean": bool);
scalar!("number": u8, u32, u64, i64, usize);
scalar!("time": Time);

impl<T: Words> JsonType for Word<T> {
    fn name() -> String {
        "string".into()
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::all()
    }
}

impl<T: JsonType> JsonType for Option<T> {
    fn name() -> String {
        format!("{} or null", T::name())
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }
}

impl<T: JsonType> JsonType for Vec<T> {
    fn name() -> String {
        format!("array of {}", T::name())
    }
}

/// An object that has a section of its own in `docs/json.md`.
struct Section {
    title: &'static str,
    intro: String,
    fields: Vec<Field>,
    versioned: bool,
}

fn section<T: JsonType>(title: &'static str, intro: &str) -> Section {
    Section {
        title,
        intro: format!("{intro}{}", T::about()),
        fields: T::fields(),
        versioned: true,
    }
}

fn part<T: JsonType>(title: &'static str, intro: &str) -> Section {
    Section {
        versioned: false,
        ..section::<T>(title, intro)
    }
}

fn sections() -> Vec<Section> {
    let each = "One object per connection, each on a line of its own. ";
    let array = "An array of objects. ";
    vec![
        section::<TokenAnswer<'static>>("`token`", ""),
        section::<LoginStarted>("`login`, first line", ""),
        section::<LoginAnswer>(
            "`login`, last line",
            "For an application, and where a stored sign-in was renewed instead, this is the last line, too. ",
        ),
        section::<LogoutAnswer>("`logout`", each),
        section::<WhoamiAnswer>("`whoami`", ""),
        section::<StatusAnswer>("`status`", array),
        section::<RefreshAnswer>("`refresh`", each),
        section::<ConnectionAnswer>("`connections add`", "The new connection; with `--replace`, the changed one. "),
        section::<ConnectionAnswer>("`connections edit`", "The changed connection. "),
        section::<ConnectionAnswer>("`connections list`", array),
        section::<ConnectionAnswer>("`connections use`", "The new default. "),
        section::<ShowAnswer>("`connections show`", ""),
        section::<InfoAnswer>("`connections info`", ""),
        #[cfg(feature = "migrate")]
        section::<ImportAnswer>("`connections import`", array),
        section::<DoctorAnswer>("`doctor`", ""),
        part::<CheckAnswer>("`doctor`, each of `checks`", ""),
        section::<ErrorLine>("Errors", ""),
        part::<ErrorBody>("Errors, `error`", ""),
        part::<WarningLine<'static>>("Warnings", ""),
        part::<LogLine>(
            "The log",
            "A line of the file that `AGE_OAUTH_LOG` names. [nightly.md](nightly.md) says how to use it. ",
        ),
    ]
}

/// Answers to the Python package alone, which may change at any time.
fn internal_sections() -> Vec<Section> {
    vec![section::<PresentedAnswer<'static>>("`web-tier`", "")]
}

impl Section {
    /// The section, without the fields of `described`, to which it refers.
    fn render(&self, described: Option<&Section>) -> String {
        let mut text = format!("\n## {}\n\n{}", self.title, self.intro);
        let mut fields = &self.fields[..];
        if let Some(described) = described {
            fields = &fields[described.fields.len()..];
            let more = if fields.is_empty() { "." } else { ", and:" };
            let title = described.title.trim_matches('`');
            let anchor = title.replace(' ', "-");
            let _ = write!(text, " It has the fields of [`{title}`](#{anchor}){more}");
        }
        text.push_str("\n\n");
        if fields.is_empty() {
            text.pop();
            return text;
        }
        text.push_str("| field | type | meaning |\n|---|---|---|\n");
        for field in fields {
            let absent = if field.may_be_absent {
                " Absent if there is none."
            } else {
                ""
            };
            let description = format!("{}{absent}", field.description);
            let row = format!(
                "| `{}` | {} | {description} |\n",
                field.name, field.json_type
            );
            text.push_str(&row);
        }
        if self.versioned {
            let row = format!("| `format_version` | number | {FORMAT_VERSION} |\n");
            text.push_str(&row);
        }
        for field in fields.iter().filter(|field| !field.words.is_empty()) {
            let _ = write!(text, "\n| `{}` | |\n|---|---|\n", field.name);
            for (word, meaning) in &field.words {
                let _ = writeln!(text, "| `{word}` | {meaning} |");
            }
        }
        text
    }

    /// Whether this object has all fields of the other one, and has them first.
    fn extends(&self, other: &Self) -> bool {
        let names = |section: &Self| section.fields.iter().map(|field| field.name).collect();
        let (own, others): (Vec<_>, Vec<_>) = (names(self), names(other));
        self.versioned && other.versioned && own.starts_with(&others)
    }
}

/// `docs/json.md`.
fn json_page() -> String {
    let mut text = format!(
        "\
# JSON answers

<!-- Generated from src/cli/json by `AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib json::generate`. Do not edit. -->

Every command below has the option `--json`. The answer is on standard output, on one line. Warnings and errors are on
standard error, one object per line, the error last; the exit code is the same as without `--json`
([exit-codes.md](exit-codes.md)). Objects have all their fields in every case; what does not apply is `null`.

A field name means the same thing in every answer. New fields may be added at any time; `format_version` is {FORMAT_VERSION} until
a field is renamed or removed, or changes its meaning. A *time* is a string, RFC 3339 in UTC: `2026-12-07T15:20:00Z`.

`connections share` prints a connection card, which is a file format of its own: [sharing.md](sharing.md).
"
    );
    let sections = sections();
    for (index, section) in sections.iter().enumerate() {
        let described = sections[..index].iter().find(|one| section.extends(one));
        text.push_str(&section.render(described));
    }
    text
}

/// The table of exit codes in `docs/exit-codes.md`.
fn codes_table() -> String {
    let mut text =
        String::from("| code | `kind` | meaning | try again later? |\n|---|---|---|---|\n");
    for code in ExitCode::ALL {
        let kinds: Vec<String> = code
            .kinds()
            .iter()
            .map(|kind| format!("`{kind}`"))
            .collect();
        let (number, meaning, again) = (code.number(), code.meaning(), code.try_again());
        let _ = writeln!(
            text,
            "| {number} | {} | {meaning} | {again} |",
            kinds.join(", ")
        );
    }
    text
}

/// The table of the keychain's failures in `docs/exit-codes.md`.
fn reasons_table() -> String {
    let mut text = String::from("| `reason` | meaning | what to do |\n|---|---|---|\n");
    for one in KeychainReason::ALL {
        let (meaning, remedy) = reason(*one);
        let _ = writeln!(text, "| `{}` | {meaning} | {remedy} |", one.as_str());
    }
    text
}

/// The module of names in the Python package.
fn python_names() -> String {
    let mut text = String::from(
        "\"\"\"The names of JSON fields and words, as the program prints them.

Generated from src/cli/json by ``AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib json::generate``. Do not edit.
\"\"\"

# Fields.
",
    );
    let fields: BTreeSet<&str> = sections()
        .iter()
        .chain(&internal_sections())
        .flat_map(|section| section.fields.iter().map(|field| field.name))
        .collect();
    for field in fields {
        let _ = writeln!(text, "{} = \"{field}\"", field.to_uppercase());
    }
    text.push_str("\n# Words of `decision`.\n");
    for (word, _) in Decision::all() {
        let _ = writeln!(text, "DECISION_{} = \"{word}\"", word.to_uppercase());
    }
    text.push_str("\n#: The words of `kind`, and the exit code of each.\nKINDS = {\n");
    for kind in FailureKind::ALL {
        let (word, code) = (kind.as_str(), kind.exit_code().number());
        let _ = writeln!(text, "    \"{word}\": {code},");
    }
    text.push_str("}\n");
    text
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Replaces the part of a page between `<!-- NAME: …` and `<!-- end of NAME -->`.
fn with_part(page: &str, name: &str, part: &str) -> String {
    let begin = page.find(&format!("<!-- {name}: ")).expect("a begin mark");
    let begin = begin + page[begin..].find("-->\n").expect("its end") + 4;
    let end = page
        .find(&format!("<!-- end of {name} -->"))
        .expect("an end mark");
    format!("{}{part}{}", &page[..begin], &page[end..])
}

/// Every generated file: its name and the text that it should have.
fn generated() -> Vec<(&'static str, String)> {
    let read = |name: &str| {
        fs::read_to_string(path(name))
            .expect(name)
            .replace("\r\n", "\n")
    };
    let codes = with_part(&read("docs/exit-codes.md"), "codes", &codes_table());
    vec![
        ("docs/json.md", json_page()),
        (
            "docs/exit-codes.md",
            with_part(&codes, "reasons", &reasons_table()),
        ),
        ("src/python/age_oauth/_json_names.py", python_names()),
    ]
}

#[test]
#[cfg_attr(
    not(feature = "migrate"),
    ignore = "the files describe the whole program"
)]
fn the_documentation_and_the_python_package_have_the_names_of_the_types() {
    let update = std::env::var_os("AGE_OAUTH_UPDATE_DOCS").is_some();
    for (name, expected) in generated() {
        if update {
            fs::write(path(name), &expected).unwrap();
        }
        let actual = fs::read_to_string(path(name))
            .unwrap_or_default()
            .replace("\r\n", "\n");
        let different = expected
            .lines()
            .zip(actual.lines())
            .find(|(one, other)| one != other);
        assert!(
            expected == actual,
            "{name} is out of date (first difference: {different:?}); run: AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib json::generate"
        );
    }
}

#[test]
fn every_field_is_described_and_says_when_it_is_null() {
    for section in sections() {
        for field in &section.fields {
            let place = format!("{}: {}", section.title, field.name);
            assert!(!field.description.is_empty(), "{place}");
            if field.json_type.ends_with("or null") && !field.may_be_absent {
                assert!(field.description.contains("`null`"), "{place}");
            }
        }
    }
}

#[test]
fn no_object_has_two_fields_of_one_name_and_words_are_unique() {
    for section in sections() {
        let names: BTreeSet<&str> = section.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), section.fields.len(), "{}", section.title);
        for field in &section.fields {
            let words: BTreeSet<&str> = field.words.iter().map(|(word, _)| *word).collect();
            assert_eq!(words.len(), field.words.len(), "{}", field.name);
        }
    }
}

/// The name of a field has one type everywhere, but for `null`.
#[test]
fn a_field_has_the_same_type_in_every_answer() {
    let mut types = std::collections::BTreeMap::new();
    for section in sections() {
        for field in section.fields {
            let plain = field.json_type.trim_end_matches(" or null").to_owned();
            let known = types.entry(field.name).or_insert_with(|| plain.clone());
            assert_eq!(*known, plain, "{}: {}", section.title, field.name);
        }
    }
}
