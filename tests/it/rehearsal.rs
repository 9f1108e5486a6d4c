//! A small rehearsal: three accounts and four nights of what `tests/rehearsal/run` does with many.

use std::path::Path;

use crate::simulation::{draw, faketime, rehearse, Cause, Results, Settings, MAX_DAYS};

fn run(settings: Settings) -> Results {
    let program = Path::new(env!("CARGO_BIN_EXE_age-oauth"));
    let faketime = faketime().expect("libfaketime (Debian's package faketime)");
    assert!(settings.days <= MAX_DAYS);
    rehearse(program, &faketime, settings, &mut |_| ())
}

#[test]
fn every_lost_sign_in_of_four_nights_has_an_event_that_explains_it() {
    let results = run(Settings {
        seed: 1,
        days: 4,
        accounts: 3,
        jobs: 9,
        all_end_on: None,
    });
    assert!(results.unexplained.is_empty(), "{:#?}", results.unexplained);
    // The account whose tasks did not run, an exchange that a restart ended, and one whose answer
    // was lost.
    for cause in [Cause::Absence, Cause::Restart, Cause::LostAnswer] {
        assert!(results.lost.contains_key(&cause), "{:?}", results.lost);
    }
    assert!(results.extensions > 0);
    // However many jobs ask at the same time.
    assert_eq!(results.most_at_once, 1);
    let picture = draw(&results);
    for words in ["renewals", "sign-ins lost: the machine restarted"] {
        assert!(picture.contains(words), "{words}");
    }
    assert!(results.events().contains("3 accounts, 4 nights"));
    let tables = results.tables();
    assert!(tables.contains("| `token` | 0 |"), "{tables}");
}

#[test]
fn a_sign_in_that_is_lost_without_such_an_event_is_reported() {
    let results = run(Settings {
        seed: 1,
        days: 2,
        accounts: 1,
        jobs: 1,
        all_end_on: Some(1),
    });
    let reported = results.unexplained.join("\n");
    assert!(reported.contains("night 2, account 0, prod"), "{reported}");
    assert!(results.lost.is_empty(), "{:?}", results.lost);
}
