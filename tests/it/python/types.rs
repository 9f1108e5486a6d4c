//! The types of the package, as pyright and editors see them, and as they are at run time.

use std::path::Path;
use std::process::Command;

use super::{interpreter, script, succeeds};
use crate::home;

/// Runs pyright on the package, with Esri's package in reach.
fn pyright(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // It takes the packages of the first `python` on PATH.
    let mut path = interpreter().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("node")
        .arg(root.join("target/node/node_modules/pyright/index.js"))
        .args(arguments)
        .env("PATH", path)
        .env("PYTHONPATH", root.join("src/python"))
        .current_dir(folder.path())
        .output()
        .expect("node; tests/run installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn pyright_knows_the_type_of_every_name() {
    let said = pyright(&["--verifytypes", "age_oauth", "--ignoreexternal"]);
    assert!(said.contains("Type completeness score: 100%"), "{said}");
}

#[test]
fn pyright_checks_a_script() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/typed.py");
    let said = pyright(&[script.to_str().unwrap()]);
    assert!(said.starts_with("0 errors"), "{said}");
}

#[test]
fn type_hints_and_names_are_there_at_run_time() {
    succeeds(&script(&home(), "hints.py", &[]));
}
