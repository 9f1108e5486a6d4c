//! Prints the table and knows whether every bound holds.

use std::process::ExitCode;
use std::time::Duration;

/// What a measurement may be, inclusive; a goal is better than what is required.
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) at_most: Option<f64>,
    pub(crate) goal: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Ratio,
    Count,
    Milliseconds,
    /// 1024 × 1024 bytes, printed as MB.
    Mebibytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Count => format!("{value:.0}"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Mebibytes => format!("{value:.2} MB"),
        }
    }

    fn limit(self, value: Option<f64>) -> String {
        let Some(value) = value else {
            return String::new();
        };
        match self {
            Self::Ratio => format!("{value}"),
            Self::Count => format!("{value:.0}"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Mebibytes => format!("{value:.1} MB"),
        }
    }
}

pub(crate) struct Report {
    missed: usize,
    not_run: usize,
}

impl Report {
    pub(crate) fn begin() -> Self {
        print_row(["what", "measured", "bound", "goal", "result"]);
        Self {
            missed: 0,
            not_run: 0,
        }
    }

    /// Prints a measurement beside its bound.
    pub(crate) fn check(&mut self, bound: &Bound, measured: f64) {
        let exceeds = |limit: Option<f64>| limit.is_some_and(|limit| measured > limit);
        let result = if exceeds(bound.at_most) {
            self.missed += 1;
            "MISSED"
        } else if exceeds(bound.goal) {
            "goal not reached"
        } else {
            "holds"
        };
        print_row([
            bound.what,
            &bound.unit.show(measured),
            &bound.unit.limit(bound.at_most),
            &bound.unit.limit(bound.goal),
            result,
        ]);
    }

    /// Prints a figure that explains the row above it.
    #[allow(clippy::unused_self)] // Rows belong to a report that has begun.
    pub(crate) fn detail(&self, what: &str, figure: &str) {
        print_row([&format!("  {what}"), figure, "", "", ""]);
    }

    /// Prints a time that explains the row above it.
    pub(crate) fn time(&self, what: &str, time: Duration) {
        self.detail(what, &format!("{:.2} ms", milliseconds(time)));
    }

    /// Says which rows are missing, and why.
    pub(crate) fn not_run(&mut self, rows: &str, reason: &str) {
        self.not_run += 1;
        println!("not run: {rows}: {reason}");
    }

    /// 0 where every measured bound holds, 1 where one is missed.
    pub(crate) fn end(self) -> ExitCode {
        let incomplete = if self.not_run > 0 {
            "; some rows were not run"
        } else {
            ""
        };
        if self.missed > 0 {
            let bounds = if self.missed == 1 { "bound" } else { "bounds" };
            println!("{} {bounds} missed{incomplete}", self.missed);
            return ExitCode::FAILURE;
        }
        println!("every bound holds{incomplete}");
        ExitCode::SUCCESS
    }
}

fn print_row([what, measured, bound, goal, result]: [&str; 5]) {
    let line = format!("{what:<50} {measured:>11} {bound:>9} {goal:>9}  {result}");
    println!("{}", line.trim_end());
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn ratio(first: Duration, second: Duration) -> f64 {
    first.as_secs_f64() / second.as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // Far below 2^52.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[allow(clippy::cast_precision_loss)] // Far below 2^52.
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
