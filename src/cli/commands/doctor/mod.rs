//! `doctor`: looks at everything that a sign-in rests on, and says of each thing what mends it. It works where the store or
//! the keychain does not, since that is when it is needed.

mod connection;
mod machine;
mod task;

use std::time::Duration;

use serde_json::{json, Value};

use crate::cli::args::DoctorArgs;
use crate::cli::report::{causes, hint, Failure, Outcome};
use crate::cli::words::escape;
use crate::cli::{Desk, Zone};
use crate::connection::{Connection, KeychainKind};
use crate::context::{Context, Deadline};
use crate::error::Error;
use crate::keychain::{Item, ItemKind, Keychains};
use crate::manage;
use crate::store::{Connections, Selector};

/// The whole examination takes no longer, unless `--timeout` says less.
const PATIENCE: Duration = Duration::from_secs(14);

/// How long one call of the keychain may take, unless the environment says otherwise.
const KEYCHAIN: &str = "4s";

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    check: &'static str,
    connection: Option<String>,
    verdict: Verdict,
    message: String,
    /// The very thing to do.
    mend: Option<String>,
    /// What `--fix` can do about it.
    fix: Option<Fix>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            check,
            connection: None,
            verdict,
            message: message.into(),
            mend: None,
            fix: None,
        }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    fn warn(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, message).mend(mend)
    }

    fn fail(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, message).mend(mend)
    }

    /// What the library says went wrong, with the hint that the command itself would give.
    fn error(check: &'static str, error: &Error) -> Self {
        let mut message = error.to_string();
        for cause in causes(error) {
            message.push_str("; ");
            message.push_str(&cause);
        }
        Self {
            mend: hint(error),
            ..Self::new(check, Verdict::Fail, message)
        }
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    fn as_json(&self) -> Value {
        json!({
            "check": self.check,
            "connection": self.connection,
            "verdict": self.verdict.as_str(),
            "message": self.message,
            "mend": self.mend,
            "fixable": self.fix.is_some(),
        })
    }
}

/// What can be mended from here.
#[derive(Clone)]
enum Fix {
    /// Files and folders that others may see.
    Private,
    /// The index of labels.
    Labels,
    /// A default that leads nowhere.
    Default,
    /// Items that belong to no connection of this store.
    Orphans(KeychainKind, Vec<Item>),
    /// An item that cannot be read, or of which there are several.
    Item(Box<Connection>, ItemKind),
}

impl Fix {
    fn question(&self) -> String {
        match self {
            Self::Private => "Take other users' access to the store away?".into(),
            Self::Labels => "Write the index of labels anew?".into(),
            Self::Default => "Forget the default?".into(),
            Self::Orphans(_, items) => format!(
                "Delete {} from the keychain? Another store (AGE_OAUTH_HOME) may need them",
                items
                    .iter()
                    .map(Item::account)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::Item(connection, kind) => format!(
                "Delete what cannot be used of the item {}? The newest that can be stays",
                Item::of(connection, *kind).account()
            ),
        }
    }
}

/// What the examination works with.
struct Patient {
    zone: Zone,
    selector: Option<Selector>,
    logon_groups: String,
    store: Connections,
    context: Context,
    keychains: Keychains,
    offline: bool,
    as_task: bool,
}

pub(in crate::cli) fn doctor(desk: &mut Desk, args: &DoctorArgs) -> Outcome {
    let store = desk.store()?;
    let context = surroundings(desk, args.as_task);
    let keychains = match &desk.host.keychain {
        Some(keychain) => Keychains::fixed(std::sync::Arc::clone(keychain)),
        None => Keychains::new(
            store.root().to_owned(),
            store.is_custom(),
            desk.may_prompt() && !args.as_task,
            &context,
        ),
    };
    let findings = examine(&Patient {
        zone: desk.host.zone.clone(),
        selector: desk.selector.clone(),
        logon_groups: (desk.host.logon_groups)(),
        store: store.clone(),
        context,
        keychains,
        offline: args.offline,
        as_task: args.as_task,
    });
    tell(desk, &findings, args.json)?;
    let mut failed = findings.iter().any(|one| one.verdict == Verdict::Fail);
    if args.fix {
        let mended = mend(desk, &store, &findings, args)?;
        let left = |one: &&Finding| one.verdict == Verdict::Fail && one.fix.is_none();
        failed = findings.iter().filter(left).count() > 0 || (failed && !mended);
    }
    if failed {
        return Err(Failure::Several(1));
    }
    Ok(())
}

/// Bounded in time; with `--as-task` without what a desktop session brings.
fn surroundings(desk: &Desk, as_task: bool) -> Context {
    let mut overrides = Vec::new();
    if desk
        .context
        .environment
        .var("AGE_OAUTH_KEYCHAIN_TIMEOUT")
        .is_none()
    {
        overrides.push(("AGE_OAUTH_KEYCHAIN_TIMEOUT".to_owned(), KEYCHAIN.into()));
    }
    if as_task {
        overrides.extend(task::bus());
    }
    Context {
        deadline: Deadline::after(desk.context.deadline.bound(PATIENCE)),
        environment: desk.context.environment.with(overrides),
        ..desk.context.clone()
    }
}

fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    if patient.as_task {
        findings.extend(task::look(patient));
    }
    findings.extend(machine::program(patient));
    findings.extend(machine::store(patient));
    let listing = match patient.store.list(None) {
        Ok(listing) => listing,
        Err(error) => {
            findings.push(Finding::error("store", &error));
            return findings;
        }
    };
    findings.extend(machine::index(patient, &listing));
    let (keychains, usable) = machine::keychains(patient, &listing);
    findings.extend(keychains);
    let chosen: Vec<Connection> = match &patient.selector {
        None => listing.connections,
        Some(selector) => match patient.store.find(selector) {
            Ok(connection) => vec![connection],
            Err(error) => {
                findings.push(Finding::error("connection", &error));
                Vec::new()
            }
        },
    };
    findings.extend(connection::look_at_all(patient, &chosen, &usable));
    findings
}

fn tell(desk: &mut Desk, findings: &[Finding], json: bool) -> Outcome {
    let count = |verdict| findings.iter().filter(|one| one.verdict == verdict).count();
    let (ok, warn, fail) = (
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail),
    );
    if json {
        return desk.answer_json(&json!({
            "checks": findings.iter().map(Finding::as_json).collect::<Vec<_>>(),
            "ok": ok,
            "warn": warn,
            "fail": fail,
            "format_version": 1,
        }));
    }
    for one in findings {
        let about = match &one.connection {
            Some(label) => format!("{} {}", one.check, escape(label)),
            None => one.check.to_owned(),
        };
        let word = desk.verdict(one.verdict);
        desk.answer(&format!("{word} {about}: {}", escape(&one.message)))?;
        if let Some(mend) = &one.mend {
            desk.answer(&format!("     mend: {}", escape(mend)))?;
        }
    }
    desk.answer(&format!("{ok} ok, {warn} to look at, {fail} failed"))
}

impl Desk {
    fn verdict(&self, verdict: Verdict) -> String {
        use console::Style;
        let style = match verdict {
            Verdict::Ok => Style::new().green(),
            Verdict::Warn => Style::new().yellow(),
            Verdict::Fail => Style::new().red(),
        };
        let word = format!("{:<4}", verdict.as_str());
        if self.host.terminal.stdout {
            self.talk.paint(&word, &style)
        } else {
            word
        }
    }
}

/// Mends what was found, each after a yes; whether all that failed and can be mended was.
fn mend(
    desk: &mut Desk,
    store: &Connections,
    findings: &[Finding],
    args: &DoctorArgs,
) -> Result<bool, Failure> {
    if !args.yes && !desk.person() {
        return Err(Failure::usage_hint(
            "mending must be confirmed, and nobody can be asked",
            "give --yes",
        ));
    }
    let mut all = true;
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        // Another store may need what this one does not know: that is never done without a person.
        let theirs = matches!(fix, Fix::Orphans(..));
        let confirmed = if args.yes && !theirs {
            true
        } else {
            desk.person() && desk.host.ask.confirm(&fix.question(), !theirs)?
        };
        if !confirmed {
            all &= finding.verdict != Verdict::Fail;
            continue;
        }
        if apply(desk, store, fix)? {
            desk.talk.remark(&format!("[OK] mended: {}", finding.check));
        } else {
            all = false;
            let mend = finding.mend.as_deref().unwrap_or_default();
            desk.talk.remark(&format!(
                "Deleted, since nothing of it could be used; next: {}",
                escape(mend)
            ));
        }
    }
    Ok(all)
}

/// Whether nothing is left to do.
fn apply(desk: &Desk, store: &Connections, fix: &Fix) -> Result<bool, Failure> {
    match fix {
        Fix::Private => store.take_access_from_others()?,
        Fix::Labels => store.rebuild_labels()?,
        Fix::Default => store.set_default(None)?,
        Fix::Orphans(kind, items) => {
            for item in items {
                desk.keychains(store)
                    .of(*kind)
                    .delete(item)
                    .map_err(Error::from)?;
            }
        }
        Fix::Item(connection, kind) => {
            let keychain = desk.keychains(store).of(connection.keychain);
            let stayed = manage::mend_item(keychain.as_ref(), connection, *kind)?;
            return Ok(stayed);
        }
    }
    Ok(true)
}
