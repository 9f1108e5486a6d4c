//! What the simulation counted, and its table.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::support::portal::Endpoint;

use super::Settings;

/// An event that explains why a command failed, or a sign-in was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The portal carried out an exchange or a renewal, and its answer did not arrive.
    LostAnswer,
    /// The machine restarted while the command ran.
    Restart,
    /// The tasks of the account did not run for longer than a sign-in lives.
    Absence,
    /// The portal cannot extend sign-ins.
    OldPortal,
    /// The portal has a new client secret, which a person has not stored yet.
    ReplacedSecret,
}

impl Cause {
    pub const ALL: [Self; 5] = [
        Self::LostAnswer,
        Self::Restart,
        Self::Absence,
        Self::OldPortal,
        Self::ReplacedSecret,
    ];

    pub fn words(self) -> &'static str {
        match self {
            Self::LostAnswer => "the answer of the portal was lost",
            Self::Restart => "the machine restarted",
            Self::Absence => "no nightly run for longer than a sign-in lives",
            Self::OldPortal => "the portal cannot extend sign-ins",
            Self::ReplacedSecret => "the client secret was replaced, and not stored yet",
        }
    }
}

/// In which situation `token` was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timed {
    /// One process, with a cached token.
    Alone,
    /// All jobs at once, with cached tokens.
    Cached,
    /// All jobs at once, after the tokens have expired.
    Expired,
}

impl Timed {
    const ALL: [Self; 3] = [Self::Alone, Self::Cached, Self::Expired];

    fn words(self) -> &'static str {
        match self {
            Self::Alone => "one process at a time, cached token",
            Self::Cached => "all jobs at once, cached tokens",
            Self::Expired => "all jobs at once, expired tokens",
        }
    }
}

/// What a request at the portal was for.
pub fn request_kind(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Refresh => "renewal (`refresh_token`)",
        Endpoint::Exchange => "extension (`exchange_refresh_token`)",
        Endpoint::AppToken => "application (`client_credentials`)",
        Endpoint::Code => "sign-in (`authorization_code`)",
        Endpoint::Revoke => "end of an old sign-in (`revokeToken`)",
        _ => "other",
    }
}

/// One night.
#[derive(Default)]
pub struct Night {
    /// Requests for tokens.
    pub renewals: usize,
    pub extensions: usize,
    pub applications: usize,
    pub killed: usize,
    pub lost: BTreeMap<Cause, usize>,
}

/// A percentile of durations, by the nearest rank.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

pub struct Results {
    pub settings: Settings,
    pub nights: Vec<Night>,
    pub sign_ins: usize,
    pub sign_ins_again: usize,
    pub extensions: usize,
    pub restarts: usize,
    pub killed: usize,
    pub absences: usize,
    pub rotations: usize,
    /// Answers of the portal that did not arrive, by kind of request.
    pub lost_answers: BTreeMap<&'static str, usize>,
    pub lost: BTreeMap<Cause, usize>,
    /// Command, exit code, cause.
    pub ended: BTreeMap<(&'static str, i32, Option<Cause>), usize>,
    /// What no event explains. Must be empty.
    pub unexplained: Vec<String>,
    pub requests: BTreeMap<&'static str, usize>,
    /// Tokens that the portals issued to commands of the nights, and the lives of tokens that these
    /// needed.
    pub tokens: usize,
    /// Those whose answer did not arrive.
    pub lost_tokens: usize,
    pub token_lives: usize,
    /// The most requests for tokens of one connection in one step, without and with a lost answer.
    pub most_at_once: usize,
    pub most_after_loss: usize,
    pub times: BTreeMap<Timed, Vec<Duration>>,
    pub processes: usize,
    pub took: Duration,
}

impl Results {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            nights: Vec::new(),
            sign_ins: 0,
            sign_ins_again: 0,
            extensions: 0,
            restarts: 0,
            killed: 0,
            absences: 0,
            rotations: 0,
            lost_answers: BTreeMap::new(),
            lost: BTreeMap::new(),
            ended: BTreeMap::new(),
            unexplained: Vec::new(),
            requests: BTreeMap::new(),
            tokens: 0,
            lost_tokens: 0,
            token_lives: 0,
            most_at_once: 0,
            most_after_loss: 0,
            times: BTreeMap::new(),
            processes: 0,
            took: Duration::ZERO,
        }
    }

    pub fn count_end(&mut self, command: &'static str, code: i32, cause: Option<Cause>) {
        *self.ended.entry((command, code, cause)).or_default() += 1;
    }

    /// The tables, in Markdown.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        self.write_tables(&mut text).expect("a String takes all");
        text
    }

    fn write_tables(&self, text: &mut String) -> fmt::Result {
        self.write_sign_ins(text)?;
        writeln!(text, "\n| renewals | |\n|---|---|")?;
        let (all, useful) = (self.tokens, self.tokens - self.lost_tokens);
        for (what, count) in [("", all), (", without those whose answer was lost", useful)] {
            let ratio = as_f64(count) / as_f64(self.token_lives.max(1));
            writeln!(
                text,
                "| renewals for each life of a token that was needed{what} | {ratio:.3} |"
            )?;
        }
        let (usual, after) = (self.most_at_once, self.most_after_loss);
        writeln!(
            text,
            "| most requests of one connection at once, however many jobs asked | {usual} |"
        )?;
        writeln!(
            text,
            "| the same where an answer was lost, or a command was killed | {after} |"
        )?;
        writeln!(text, "\n| requests at the portals | |\n|---|---|")?;
        for (kind, count) in &self.requests {
            writeln!(text, "| {kind} | {} |", thousands(*count))?;
        }
        self.write_times(text)?;
        writeln!(
            text,
            "\n| command | exit code | times | because |\n|---|---|---|---|"
        )?;
        for ((command, code, cause), count) in &self.ended {
            let (count, because) = (thousands(*count), cause.map_or("", Cause::words));
            let code = if *code == -1 {
                "killed".to_owned()
            } else {
                code.to_string()
            };
            writeln!(text, "| `{command}` | {code} | {count} | {because} |")?;
        }
        Ok(())
    }

    fn write_sign_ins(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "| sign-ins | |\n|---|---|")?;
        writeln!(text, "| made at the beginning | {} |", self.sign_ins)?;
        writeln!(text, "| extended | {} times |", self.extensions)?;
        for cause in Cause::ALL.into_iter().filter(|one| one.ends_sign_ins()) {
            let count = self.lost.get(&cause).copied().unwrap_or_default();
            writeln!(text, "| lost: {} | {count} |", cause.words())?;
        }
        let without = self.unexplained.len();
        writeln!(
            text,
            "| **lost, or a command failed, without such a reason** | **{without}** |"
        )
    }

    fn write_times(&self, text: &mut String) -> fmt::Result {
        let alone = self.times.get(&Timed::Alone);
        let unit = percentile(alone.map_or(&[], Vec::as_slice), 50).as_secs_f64();
        writeln!(
            text,
            "\n| `token` | processes | p50 | p99 | p50 : alone | p99 : alone |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for timed in Timed::ALL {
            let Some(times) = self.times.get(&timed) else {
                continue;
            };
            let [half, most] = [50, 99].map(|percent| percentile(times, percent).as_secs_f64());
            writeln!(
                text,
                "| {} | {} | {:.0} ms | {:.0} ms | {:.1} | {:.1} |",
                timed.words(),
                thousands(times.len()),
                half * 1000.0,
                most * 1000.0,
                half / unit,
                most / unit,
            )?;
        }
        Ok(())
    }

    /// What happened, in one sentence for each kind of event.
    pub fn events(&self) -> String {
        let Settings { accounts, days, .. } = self.settings;
        let lost: usize = self.lost_answers.values().sum();
        let exchanges = request_kind(Endpoint::Exchange);
        let exchanges = self
            .lost_answers
            .get(exchanges)
            .copied()
            .unwrap_or_default();
        format!(
            "{accounts} accounts, {days} nights, {} runs of the program: {} restarts killed {} of them; \
             {} client secrets were replaced; the answers to {lost} requests for tokens were lost, \
             {exchanges} of them extensions; the tasks of {} accounts did not run for longer than a sign-in lives.",
            thousands(self.processes),
            self.restarts,
            self.killed,
            self.rotations,
            self.absences,
        )
    }
}

impl Cause {
    fn ends_sign_ins(self) -> bool {
        match self {
            Self::LostAnswer | Self::Restart | Self::Absence | Self::OldPortal => true,
            Self::ReplacedSecret => false,
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Counts of some thousands.
fn as_f64(count: usize) -> f64 {
    count as f64
}

fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
