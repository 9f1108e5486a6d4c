//! What happens when: events of the simulated weeks, drawn from the seed before they begin.

use super::Settings;

/// Labels of an account's connections, in the order of their numbers.
pub const LABELS: [&str; 5] = ["prod", "test", "plan", "service", "robot"];
/// The connections of people among them; the others are of applications.
pub const USER_CONNECTIONS: usize = 3;
/// Every tenth account has its `plan` connection at an old portal.
pub const OLD_PORTAL_EVERY: usize = 10;
/// A machine restarts once a week.
const NIGHTS_BETWEEN_RESTARTS: usize = 7;
/// The usual life of a sign-in, in hours.
const USUAL_LIFE_HOURS: usize = 14 * 24;

/// Marsaglia's xorshift64, which is random enough here.
pub struct Dice(u64);

impl Dice {
    /// Zero would stay zero.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// A nightly job: it asks for tokens of one connection of one account.
#[derive(Clone, Copy)]
pub struct Job {
    pub account: usize,
    pub connection: usize,
}

/// An account whose tasks do not run for some nights.
#[derive(Clone, Copy)]
pub struct Absence {
    pub account: usize,
    pub first: usize,
    /// The first night on which its tasks run again.
    pub back: usize,
}

/// Answers that are lost in one night.
#[derive(Clone, Copy, Default)]
pub struct LostAnswers {
    pub exchanges: usize,
    pub refreshes: usize,
    pub applications: usize,
    /// Of plain renewals while all jobs start.
    pub of_jobs: usize,
}

/// Everything that is decided before the first day.
pub struct Plan {
    pub jobs: Vec<Job>,
    pub absences: Vec<Absence>,
    /// Days between two replacements of a client secret.
    rotation_days: usize,
    accounts: usize,
}

impl Settings {
    /// How long a sign-in lives, in hours: two weeks, or less in a short simulation, so that each
    /// one has to be extended. Between its half and its end there are two nights.
    pub fn life_hours(&self) -> usize {
        (self.days * 18).clamp(72, USUAL_LIFE_HOURS)
    }

    /// Whole days of that, rounded up.
    fn life_days(&self) -> usize {
        self.life_hours().div_ceil(24)
    }

    /// Accounts are set up on this many days, so that their sign-ins are not all due at once.
    pub fn days_of_set_up(&self) -> usize {
        (self.life_hours() / 48).max(1)
    }
}

impl Plan {
    pub fn draw(settings: &Settings, dice: &mut Dice) -> Self {
        Self {
            jobs: jobs(settings, dice),
            absences: absences(settings, dice),
            rotation_days: (settings.days / 3).clamp(2, 10),
            accounts: settings.accounts,
        }
    }

    /// The day in whose morning an account is set up.
    pub fn set_up_day(settings: &Settings, account: usize) -> usize {
        account % settings.days_of_set_up()
    }

    /// Whether the tasks of the account do not run in that night.
    pub fn is_absent(&self, account: usize, night: usize) -> bool {
        let mut all = self.absences.iter();
        all.any(|one| one.account == account && (one.first..one.back).contains(&night))
    }

    /// Whether the account was absent until that night or an earlier one.
    pub fn has_been_absent(&self, account: usize, night: usize) -> bool {
        let mut all = self.absences.iter();
        all.any(|one| one.account == account && one.back <= night)
    }

    /// How many commands the restart of the machine kills in that night.
    pub fn killed_in(&self, night: usize) -> usize {
        if night % NIGHTS_BETWEEN_RESTARTS == 2 {
            (self.accounts / 10).max(1)
        } else {
            0
        }
    }

    pub fn lost_answers(&self, night: usize) -> LostAnswers {
        let some = (self.accounts / 20).max(1);
        LostAnswers {
            exchanges: usize::from(night % 3 == 2),
            refreshes: some,
            applications: usize::from(night % 2 == 1),
            of_jobs: usize::from(night.is_multiple_of(4)),
        }
    }

    /// Whether the client secret of this connection is replaced in the evening of that day.
    pub fn is_rotated(&self, account: usize, connection: usize, day: usize) -> bool {
        connection >= USER_CONNECTIONS
            && (day + account + connection * 5).is_multiple_of(self.rotation_days)
    }
}

/// A third of the jobs belongs to one connection; the others are anywhere.
fn jobs(settings: &Settings, dice: &mut Dice) -> Vec<Job> {
    let anywhere = |dice: &mut Dice| Job {
        account: dice.below(settings.accounts),
        connection: dice.below(LABELS.len()),
    };
    let busy = Job {
        account: 0,
        connection: 0,
    };
    (0..settings.jobs)
        .map(|number| {
            if number < settings.jobs / 3 {
                busy
            } else {
                anywhere(dice)
            }
        })
        .collect()
}

/// One account in twenty is absent for longer than a sign-in lives. The first account, which has
/// the most jobs, never is.
fn absences(settings: &Settings, dice: &mut Dice) -> Vec<Absence> {
    let nights = settings.life_days();
    let latest = settings.days.saturating_sub(nights);
    let mut found = Vec::<Absence>::new();
    while settings.accounts > 1 && latest > 0 && found.len() < (settings.accounts / 20).max(1) {
        let account = 1 + dice.below(settings.accounts - 1);
        let earliest = Plan::set_up_day(settings, account) + 1;
        let first = earliest.min(latest) + dice.below((latest + 1).saturating_sub(earliest));
        if found.iter().all(|one| one.account != account) {
            found.push(Absence {
                account,
                first,
                back: first + nights,
            });
        }
    }
    found
}
