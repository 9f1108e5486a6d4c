//! Compares the public interface of the library with the list in
//! `tests/public_interface/list.txt`.
//!
//! ```text
//! cargo run --example public-interface              compares; ends with 1 where they differ
//! cargo run --example public-interface -- --update  writes the list
//! ```
//!
//! Reads the JSON of rustdoc. Its format changes with the version of Rust; where this program does
//! not know it, it ends with 75. For Unix, because it starts rustdoc by a shell script.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

const LIST: &str = "tests/public_interface/list.txt";

/// The exit code where the format of the JSON is not known (`EX_TEMPFAIL`).
const UNKNOWN_FORMAT: u8 = 75;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let update = match &*arguments {
        [] => false,
        [one] if one == "--update" => true,
        _ => return say("the only argument is --update", 2),
    };
    match compare(Path::new(env!("CARGO_MANIFEST_DIR")), update) {
        Ok(code) => code,
        Err(why) => say(&why.to_string(), 1),
    }
}

fn compare(top: &Path, update: bool) -> Result<ExitCode, Box<dyn Error>> {
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(top)
        .env("RUSTDOC", top.join("tests/public_interface/rustdoc"))
        .args(["rustdoc", "--lib", "--locked", "--quiet"])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .status()?;
    if !built.success() {
        return Err("cargo rustdoc failed".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let json = top.join(target).join("doc/age_oauth.json");
    let interface = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build();
    let interface = match interface {
        Ok(interface) => interface,
        Err(why) => {
            let text = format!(
                "this version of Rust describes interfaces in a form that is not known here: {why}"
            );
            return Ok(say(&text, UNKNOWN_FORMAT));
        }
    };
    let items = interface.items().map(ToString::to_string);
    let found: Vec<String> = items.filter(|item| !is_of_a_derived_trait(item)).collect();
    let list = top.join(LIST);
    if update {
        std::fs::write(list, found.join("\n") + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let listed = std::fs::read_to_string(list)?;
    let differences = differences(&listed, &found);
    if differences.is_empty() {
        return Ok(say(&format!("{} items, as in {LIST}", found.len()), 0));
    }
    let text = format!(
        "the public interface is not the one in {LIST}:\n{differences}\nto write the list: cargo run --example public-interface -- --update"
    );
    Ok(say(&text, 1))
}

/// Whether the item only repeats what the line `impl Clone for …` says.
fn is_of_a_derived_trait(item: &str) -> bool {
    const METHODS: [&str; 6] = [
        "::clone(&self) -> ",
        "::cmp(&self, ",
        "::eq(&self, ",
        "::fmt(&self, ",
        "::hash<",
        "::partial_cmp(&self, ",
    ];
    item.starts_with("impl core::marker::StructuralPartialEq")
        || METHODS.iter().any(|method| item.contains(method))
}

/// One line for each item that only one of both has.
fn differences(listed: &str, found: &[String]) -> String {
    let listed: BTreeSet<_> = listed.lines().collect();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let gone = listed.difference(&found).map(|item| format!("- {item}"));
    let new = found.difference(&listed).map(|item| format!("+ {item}"));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

fn say(text: &str, code: u8) -> ExitCode {
    // If stderr is closed, the exit code says it.
    let _ = writeln!(io::stderr(), "public-interface: {text}");
    ExitCode::from(code)
}
