//! Kills the program at random moments, one command after the other in the same home. Afterwards
//! every command works, and a sign-in is lost only if the portal no longer accepts it.
//!
//! `AGE_OAUTH_TEST_KILLS` is the number of kills, `AGE_OAUTH_TEST_PROGRAM` the program (the one of
//! the wheel, for instance), and `AGE_OAUTH_TEST_SEED` repeats the random choices of a run; the
//! exact moment of a kill depends on the machine.

#![allow(clippy::print_stdout)] // How to repeat a run, and what came of it.

use std::env::var;
use std::io::{BufRead, BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::home::Home;
use crate::support::invariants::{
    labels, no_secret_at_rest, sign_in_is_what_the_portal_honours, stored_tokens,
};
use crate::support::portal::{service_secret, Portal, PortalVersion, APP_ID, USER};
use crate::support::scenario::{add, add_application, age_sign_in, expire_token, sign_in};

/// The number of kills if the variable is not set.
const KILLS: usize = 60;

/// The commands that are killed. Each can be repeated, and none depends on the one before.
const COMMANDS: [&str; 10] = [
    "renewal", "exchange", "login", "logout", "edit", "secret", "add", "remove", "rename",
    "refresh",
];

struct KillTest {
    portal: Portal,
    home: Home,
    /// State of the random number generator.
    dice: u64,
    lost: usize,
    finished: usize,
}

impl KillTest {
    fn start() -> Self {
        let program = var("AGE_OAUTH_TEST_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_age-oauth").to_owned());
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = Home::new(program);
        add(&home, &portal, "prod");
        sign_in(&home, &portal, "prod").ok();
        add(&home, &portal, "other");
        sign_in(&home, &portal, "other").ok();
        add_application(&home, &portal, "service");
        let seed = var("AGE_OAUTH_TEST_SEED").ok();
        let dice = seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_nanosecond();
            u64::try_from(now).unwrap() | 1
        });
        println!("AGE_OAUTH_TEST_SEED={dice}");
        Self {
            portal,
            home,
            dice,
            lost: 0,
            finished: 0,
        }
    }

    /// Marsaglia's xorshift64, which is random enough here.
    fn below(&mut self, bound: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % bound
    }

    /// Prepares the home so that the command has something to do.
    fn prepare(&self, command: &str) {
        let (home, portal) = (&self.home, &self.portal);
        let is_there = |label: &str| labels(home).iter().any(|one| one == label);
        match command {
            "renewal" => expire_token(home, "prod"),
            "exchange" => {
                expire_token(home, "prod");
                age_sign_in(home, "prod", 6);
            }
            "refresh" => expire_token(home, "other"),
            "add" if is_there("new") => {
                home.run(["connections", "remove", "new", "--yes"])
                    .done()
                    .ok();
            }
            "remove" | "rename" if !is_there("new") => add(home, portal, "new"),
            _ => {}
        }
    }

    fn words(&self, command: &str) -> Vec<String> {
        let (url, ca) = (self.portal.url(), self.home.path().join("ca.pem"));
        let words: &[&str] = match command {
            "renewal" | "exchange" => &["token", "-c", "prod"],
            "login" => &["login", "-c", "prod"],
            "logout" => &["logout", "-c", "prod"],
            "edit" => &[
                "connections",
                "edit",
                "prod",
                "--referer",
                "https://example.org",
            ],
            "secret" => &["connections", "edit", "service", "--client-secret-stdin"],
            "add" => &[
                "connections",
                "add",
                "--label",
                "new",
                "--portal",
                &url,
                "--client-id",
                APP_ID,
                "--verify-ssl",
                ca.to_str().unwrap(),
            ],
            "remove" => &["connections", "remove", "new", "--yes"],
            "rename" => &["connections", "rename", "new", "newer"],
            _ => &["refresh", "--all"],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// Runs the command to its end, or kills it after `kill_after`. Returns how long it took and
    /// whether it ended by itself.
    fn run(&self, command: &str, kill_after: Option<Duration>) -> (Duration, bool) {
        let begun = Instant::now();
        let mut child = self.home.run(self.words(command)).spawn();
        let mut stdin = child.stdin.take().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let outcome = thread::scope(|scope| {
            scope.spawn(move || BufReader::new(out).lines().map_while(Result::ok).count());
            scope.spawn(move || {
                if command == "secret" {
                    let _ = stdin.write_all(service_secret().as_bytes());
                    drop(stdin);
                    return;
                }
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    if command == "login" && line.starts_with("https://") {
                        let code = self.portal.authorize(&line, USER).code();
                        let _ = writeln!(stdin, "{code}");
                    }
                }
            });
            let Some(kill_after) = kill_after else {
                return child.wait().unwrap();
            };
            thread::sleep(kill_after);
            let _ = child.kill();
            child.wait().unwrap()
        });
        (begun.elapsed(), outcome.code().is_some())
    }

    /// Checks what must hold after every kill.
    fn check(&mut self, command: &str) {
        let (home, portal) = (&self.home, &self.portal);
        portal.finish_requests();
        let all = labels(home);
        for label in ["other", "prod", "service"] {
            assert!(all.iter().any(|one| one == label), "{command}: {all:?}");
        }
        // Started by this command, or by a later one that found a sign-in which an earlier,
        // unfinished exchange left due.
        let exchange = stored_tokens(home, "prod").filter(|tokens| tokens.exchange_started);
        let exchanging = exchange.is_some();
        if let Some(spent) = exchange.and_then(|tokens| tokens.refresh) {
            // The portal cannot know that its response was lost.
            portal.allow_retry_of_spent(spent.secret.expose());
        }
        let good = sign_in_is_what_the_portal_honours(home, portal, "prod");
        match command {
            "logout" | "login" => {}
            _ if exchanging && !good => self.lost += 1,
            _ => assert!(good, "{command}"),
        }
        if !good {
            sign_in(home, portal, "prod").ok();
        }
        for label in ["other", "service"] {
            home.run(["token", "--force", "-c", label]).done().ok();
        }
        if all.iter().any(|one| one == "newer") {
            home.run(["connections", "remove", "newer", "--yes"])
                .done()
                .ok();
        }
    }
}

#[test]
fn after_a_kill_at_any_moment_the_next_command_works() {
    let count = var("AGE_OAUTH_TEST_KILLS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(KILLS);
    let mut test = KillTest::start();
    let lengths = COMMANDS.map(|command| {
        test.prepare(command);
        let (took, _) = test.run(command, None);
        test.check(command);
        took
    });
    for number in 0..count {
        let which = number % COMMANDS.len();
        let command = COMMANDS[which];
        test.prepare(command);
        let bound = u64::try_from(lengths[which].as_micros()).unwrap().max(1);
        let kill_after = Duration::from_micros(test.below(bound));
        let (_, finished) = test.run(command, Some(kill_after));
        test.finished += usize::from(finished);
        test.check(command);
    }
    no_secret_at_rest(&test.home, &test.portal, &[]);
    assert!(test.finished < count, "every kill came too late");
    println!(
        "{count} kills: {} had ended before, {} sign-ins were lost to an exchange that the portal had carried out",
        test.finished, test.lost
    );
}
