//! For the tests alone: the fuzz targets of `tests/fuzz`, and what the integration tests reach that
//! is not public.
//!
//! Each fuzz target reads input from elsewhere, whatever it is, and asserts what must hold. The
//! unit tests run every target on its committed inputs and on random ones. Inputs are text where
//! that is possible, so that people can write and read them; a line `%%` separates their parts.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod files;
#[cfg(feature = "migrate")]
mod legacy;
mod portal;
mod secrets;
mod sign_in;

pub use crate::binding::Binding;
pub use crate::http::{fingerprint, to_pem, Http};
pub use crate::keychain::{Call, MemoryStore};
#[cfg(feature = "migrate")]
pub use crate::migrate::{Migrated, Migration, Options, PackageStore, Plan};
pub use crate::portal::{probe, PortalInfo};
pub use crate::token::{ApiKeyRecord, ClientSecret, RefreshToken, Tokens};

use crate::connection::is_control;
use crate::error::Error;

pub use files::{address, card, meta};
#[cfg(feature = "migrate")]
pub use legacy::legacy;
pub(crate) use portal::{next_answer, note_wait};
pub use portal::{portal, retry_after};
pub use secrets::{record, split, vault};
pub use sign_in::{callback, pasted};

type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its program and of its inputs' folder.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("callback", callback),
    ("card", card),
    #[cfg(feature = "migrate")]
    ("legacy", legacy),
    ("meta", meta),
    ("pasted", pasted),
    ("portal", portal),
    ("record", record),
    ("retry_after", retry_after),
    ("split", split),
    ("vault", vault),
];

/// In place of what must not be shown. Long enough that no match is an accident, and in lower case,
/// as host names become.
const CANARY: &str = "canary-0123456789abcdef";

/// The parts of an input.
fn parts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BETWEEN: &[u8] = b"\n%%\n";
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let input = rest?;
        let at = input
            .windows(BETWEEN.len())
            .position(|window| window == BETWEEN);
        let (part, more) = match at {
            Some(at) => (&input[..at], Some(&input[at + BETWEEN.len()..])),
            None => (input, None),
        };
        rest = more;
        Some(part)
    })
}

/// An error has no control characters and does not repeat what must not be shown.
fn check_error(error: Error) {
    for form in check_shown(error) {
        assert!(!form.contains(CANARY), "{form:?}");
    }
}

/// An error has no control characters, neither as text nor as JSON. Returns every form in which it
/// is shown.
fn check_shown(error: Error) -> Vec<String> {
    #[allow(unused_mut)] // Without the command line that is all.
    let mut shown = vec![error.to_string(), format!("{error:?}")];
    #[cfg(feature = "cli")]
    {
        let (text, json) = crate::cli::shown(error);
        for form in [&text, &json] {
            let control = form.chars().find(|c| is_control(*c) && *c != '\n');
            assert_eq!(control, None, "{form:?}");
        }
        shown.extend([text, json]);
    }
    shown
}

/// One line of at most so many characters.
fn check_line(text: &str, longest: usize) {
    assert!(text.chars().count() <= longest, "{text:?}");
    assert!(!text.contains(['\n', '\r']), "{text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use proptest::prelude::*;

    fn folder(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz")
            .join(name)
    }

    fn names(folder: &PathBuf) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.trim_end_matches(".rs").to_owned()
            })
            .collect()
    }

    fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
        let folder = folder("corpus").join(target);
        names(&folder)
            .into_iter()
            .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
            .collect()
    }

    /// The inputs of all targets, in their order.
    fn seeds() -> &'static [Vec<Vec<u8>>] {
        static SEEDS: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
        SEEDS.get_or_init(|| {
            let of = |target| inputs(target).into_iter().map(|(_, bytes)| bytes).collect();
            TARGETS.iter().map(|(target, _)| of(target)).collect()
        })
    }

    #[test]
    fn every_target_has_a_program_and_inputs_and_no_other_is_there() {
        let mut targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        if cfg!(not(feature = "migrate")) {
            targets.insert("legacy".to_owned());
        }
        assert_eq!(names(&folder("fuzz_targets")), targets);
        assert_eq!(names(&folder("corpus")), targets);
    }

    #[test]
    fn every_committed_input_holds() {
        for (target, run) in TARGETS.iter().copied() {
            let inputs = inputs(target);
            assert!(inputs.len() >= 5, "{target}");
            for (name, bytes) in inputs {
                let held = std::panic::catch_unwind(|| run(&bytes));
                assert!(held.is_ok(), "tests/fuzz/corpus/{target}/{name}");
            }
        }
    }

    /// Any bytes, and committed inputs with some bytes replaced by others.
    fn input(target: usize) -> impl Strategy<Value = Vec<u8>> {
        let seeds = &seeds()[target];
        let piece = prop::collection::vec(any::<u8>(), 0..6);
        let change = (any::<prop::sample::Index>(), 0_usize..6, piece);
        let changed = (
            prop::sample::select(seeds.clone()),
            prop::collection::vec(change, 0..4),
        )
            .prop_map(|(mut bytes, changes)| {
                for (at, removed, piece) in changes {
                    let start = at.index(bytes.len() + 1);
                    let end = (start + removed).min(bytes.len());
                    bytes.splice(start..end, piece);
                }
                bytes
            });
        prop_oneof![
            1 => prop::collection::vec(any::<u8>(), 0..200),
            3 => changed
        ]
    }

    #[test]
    fn random_inputs_hold() {
        for (index, (target, run)) in TARGETS.iter().copied().enumerate() {
            let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
                failure_persistence: None,
                ..ProptestConfig::with_cases(300)
            });
            let outcome = runner.run(&input(index), |bytes| {
                run(&bytes);
                Ok(())
            });
            if let Err(why) = outcome {
                panic!("{target}: {why}");
            }
        }
    }
}
