//! The command line of the rehearsal, and the page that shows its results.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use crate::simulation::{draw, faketime, rehearse, Results, Settings, MAX_DAYS};

const USAGE: &str =
    "usage: tests/rehearsal/run [--seed N] [--days N] [--accounts N] [--jobs N] [--update-docs]";
const PAGE: &str = "docs/rehearsal.md";
const PICTURE: &str = "docs/images/rehearsal.svg";
/// The results are between these lines of the page.
const BEGIN: &str = "<!-- results: written by tests/rehearsal/run --update-docs -->\n";
const END: &str = "<!-- end of results -->";

/// What the tests are expected to find is 0; what no event explains is 1; what cannot be run is 2.
pub fn run() -> ExitCode {
    let (program, settings, update) = match read_arguments() {
        Ok(read) => read,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Some(faketime) = faketime() else {
        eprintln!("the rehearsal needs libfaketime (Debian's package faketime), or its path in AGE_OAUTH_TEST_FAKETIME");
        return ExitCode::from(2);
    };
    let Some(program) = program else {
        return ExitCode::SUCCESS;
    };
    let Settings { seed, .. } = settings;
    println!("seed {seed}");
    let before = load();
    let results = rehearse(&program, &faketime, settings, &mut |line| {
        println!("{line}");
    });
    let text = describe(&results, &before);
    println!("\n{text}");
    for one in &results.unexplained {
        eprintln!("no event explains: {one}");
    }
    if update {
        write_page(&text);
        fs::write(PICTURE, draw(&results)).unwrap();
    }
    ExitCode::from(u8::from(!results.unexplained.is_empty()))
}

/// The program, or `None` for `--check`, which only checks what follows: building takes longer.
fn read_arguments() -> Result<(Option<PathBuf>, Settings, bool), String> {
    let mut settings = Settings {
        seed: 2,
        days: 30,
        accounts: 40,
        jobs: 60,
        all_end_on: None,
    };
    let mut update = false;
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("the program is missing")?;
    while let Some(word) = words.next() {
        if word == "--update-docs" {
            update = true;
            continue;
        }
        let value = words.next().unwrap_or_default();
        let number: u64 = value
            .parse()
            .map_err(|_| format!("{word} needs a number, not `{value}`"))?;
        let count =
            usize::try_from(number).map_err(|_| format!("{word}: {number} is too large"))?;
        match &*word {
            "--seed" => settings.seed = number,
            "--days" if (1..=MAX_DAYS).contains(&count) => settings.days = count,
            "--days" => return Err(format!("--days takes 1 to {MAX_DAYS}")),
            "--accounts" if count > 0 => settings.accounts = count,
            "--accounts" => return Err("--accounts takes 1 or more".to_owned()),
            "--jobs" => settings.jobs = count,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if program == "--check" {
        return Ok((None, settings, update));
    }
    let program = fs::canonicalize(&program).map_err(|why| format!("{program}: {why}"))?;
    Ok((Some(program), settings, update))
}

/// What was simulated, where, and the tables.
fn describe(results: &Results, load_before: &str) -> String {
    let Settings {
        seed,
        days,
        accounts,
        jobs,
        ..
    } = results.settings;
    let mut text = results.events();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    write!(
        text,
        "\n\nMeasured with `--seed {seed} --days {days} --accounts {accounts} --jobs {jobs}` in {} minutes on a \
         machine with {processors} processors. The load was {load_before} before and {} at the end, so that times \
         in milliseconds say less than their ratios.\n\n{}",
        results.took.as_secs().div_ceil(60),
        load(),
        results.tables()
    )
    .expect("a String takes all");
    text
}

/// The average number of processes that wanted to run during the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn write_page(text: &str) {
    let page = fs::read_to_string(PAGE).expect("the page");
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the line where results begin");
    let (_, after) = rest.split_once(END).expect("the line where results end");
    fs::write(
        Path::new(PAGE),
        format!("{before}{BEGIN}{text}{END}{after}"),
    )
    .unwrap();
}
