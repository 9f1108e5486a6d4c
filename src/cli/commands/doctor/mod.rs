//! `doctor`: checks everything that a sign-in depends on, and shows for each problem how to fix it.
//! It also works if the store or the keychain does not, because that is when it is needed.

mod account;
mod connection;
mod machine;
mod machine_policy;
mod powershell;
mod task;

use clap::Args;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{causes, Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::hints::hint;
use crate::cli::json::{CheckAnswer, DoctorAnswer, Severity, Word, Words};
use crate::cli::shared::duration::words;
use crate::cli::shared::help::examples;
use crate::cli::shared::logon::Logon;
use crate::cli::{CommandContext, Zone};
use crate::connection::{Connection, KeychainKind};
use crate::context::{Attended, Context, Deadline};
use crate::env;
use crate::error::Error;
use crate::keychain::{Item, ItemKind, Keychains};
use crate::manage;
use crate::policy::command_line::{DOCTOR_KEYCHAIN_TIMEOUT, DOCTOR_TIMEOUT};
use crate::store::{ConnectionStore, Selector};

/// The result of one check.
struct Finding {
    check: &'static str,
    connection: Option<String>,
    severity: Severity,
    message: String,
    /// What to run or do next.
    hint: Option<String>,
    /// What `--fix` can do about it; `None` if a person must fix it.
    fix: Option<Fix>,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            check,
            connection: None,
            severity,
            message: message.into(),
            hint: None,
            fix: None,
        }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, message)
    }

    fn warn(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Severity::Warn, message).hint(hint)
    }

    fn fail(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Severity::Fail, message).hint(hint)
    }

    /// A check that failed with an error of the library. Has the same hint as a command that fails
    /// with this error.
    fn error(check: &'static str, error: &Error) -> Self {
        let mut message = error.to_string();
        for cause in causes(error) {
            message.push_str("; ");
            message.push_str(&cause);
        }
        Self {
            hint: hint(error),
            ..Self::new(check, Severity::Fail, message)
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    fn as_json(&self) -> CheckAnswer {
        CheckAnswer {
            check: self.check,
            connection: self.connection.clone(),
            severity: Word(self.severity),
            message: self.message.clone(),
            hint: self.hint.clone(),
            fixable: self.fix.is_some(),
        }
    }
}

/// What `--fix` can do.
#[derive(Clone)]
enum Fix {
    /// Restrict files and folders that other users can read to the owner.
    Private,
    /// Rebuild the index of labels.
    Labels,
    /// Unset a default connection that does not exist.
    Default,
    /// Delete keychain items that do not belong to a connection of this store.
    Orphans(KeychainKind, Vec<Item>),
    /// Delete a damaged keychain item, or all but the newest usable one of several.
    Item(Box<Connection>, ItemKind),
}

impl Fix {
    fn question(&self) -> String {
        match self {
            Self::Private => "Remove other users' access to the connection store?".into(),
            Self::Labels => "Rebuild the index of labels?".into(),
            Self::Default => "Unset the default connection?".into(),
            Self::Orphans(_, items) => format!(
                "Another connection store ({}) may need these keychain items. Delete them: {}?",
                env::AGE_OAUTH_HOME,
                items
                    .iter()
                    .map(Item::account)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::Item(connection, kind) => format!(
                "Delete the damaged keychain item {}, and keep the newest one that can be used?",
                Item::of(connection, *kind).account()
            ),
        }
    }
}

/// What every check works with.
struct DoctorContext {
    zone: Zone,
    selector: Option<Selector>,
    logon: Option<Logon>,
    store: ConnectionStore,
    context: Context,
    keychains: Keychains,
    offline: bool,
    as_task: bool,
    /// The account whose tasks the checks are about, and as which this process runs; `None` for the
    /// user's own.
    account: Option<String>,
}

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth doctor", "check everything"),
    ("age-oauth doctor --fix", "also fix what can be fixed, after asking"),
    ("age-oauth doctor --as-task", "check what tonight's scheduled task will find"),
    ("age-oauth doctor --as-task --account gis", "as root: what a task of gis will find"),
]))]
pub(in crate::cli) struct DoctorArgs {
    /// Fix what can be fixed, after asking
    #[arg(long)]
    fix: bool,
    /// Fix without asking
    #[arg(short, long, requires = "fix")]
    yes: bool,
    /// Check as a scheduled task does: no terminal, no desktop session, no prompt
    #[arg(long)]
    as_task: bool,
    /// With --as-task: check as this account of the machine, which root can
    #[arg(long, value_name = "NAME", requires = "as_task")]
    account: Option<String>,
    /// Set by --account for the process that makes the checks as the account
    #[arg(long, hide = true, requires = "account")]
    entered: bool,
    /// Do not ask any portal
    #[arg(long)]
    offline: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn doctor(ctx: &mut CommandContext, args: &DoctorArgs) -> Outcome {
    if let Some(name) = &args.account {
        if !args.entered {
            return account::run_as(ctx, args, name);
        }
        account::ensure_entered(name)?;
    }
    let store = ctx.store()?;
    let findings = run_checks(&doctor_context(ctx, &store, args));
    print_findings(ctx, &findings, args)?;
    let mut failed = findings.iter().any(|one| one.severity == Severity::Fail);
    if args.fix {
        let all_fixed = fix_findings(ctx, &store, &findings, args)?;
        let unfixable = |one: &Finding| one.severity == Severity::Fail && one.fix.is_none();
        failed = findings.iter().any(unfixable) || (failed && !all_fixed);
    }
    if failed {
        return Err(Failure::Multiple {
            worst: ExitCode::Failed,
        });
    }
    Ok(())
}

fn doctor_context(
    ctx: &CommandContext,
    store: &ConnectionStore,
    args: &DoctorArgs,
) -> DoctorContext {
    let context = check_context(ctx, args.as_task);
    let keychains = match &ctx.system.keychain {
        Some(keychain) => Keychains::fixed(std::sync::Arc::clone(keychain)),
        None => Keychains::new(
            store.root().to_owned(),
            store.is_custom(),
            ctx.may_prompt() && !args.as_task,
            &context,
        ),
    };
    DoctorContext {
        zone: ctx.system.zone.clone(),
        selector: ctx.selector.clone(),
        logon: Logon::of(&(ctx.system.logon_groups)()),
        store: store.clone(),
        context,
        keychains,
        offline: args.offline,
        as_task: args.as_task,
        account: args.account.clone(),
    }
}

/// The context of the command with a time limit, and with `--as-task` without the desktop session's
/// D-Bus address.
fn check_context(ctx: &CommandContext, as_task: bool) -> Context {
    let mut overrides = Vec::new();
    if !ctx
        .context
        .environment
        .is_set(env::AGE_OAUTH_KEYCHAIN_TIMEOUT)
    {
        overrides.push((
            env::AGE_OAUTH_KEYCHAIN_TIMEOUT.to_owned(),
            words(DOCTOR_KEYCHAIN_TIMEOUT).into(),
        ));
    }
    if as_task {
        overrides.extend(task::dbus_address());
    }
    Context {
        deadline: Deadline::after(ctx.context.deadline.bound(DOCTOR_TIMEOUT)),
        environment: ctx.context.environment.with(overrides),
        attended: if as_task {
            Attended::No
        } else {
            ctx.attended()
        },
        ..ctx.context.clone()
    }
}

fn run_checks(doctor: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    if doctor.as_task {
        findings.extend(task::checks(doctor));
    }
    findings.extend(machine_policy::in_force(
        doctor,
        doctor.store.list(None).ok().as_ref(),
    ));
    findings.extend(machine::program(doctor));
    findings.extend(powershell::records(&doctor.context.environment));
    findings.extend(machine::store(doctor));
    let listing = match doctor.store.list(None) {
        Ok(listing) => listing,
        Err(error) => {
            findings.push(Finding::error("store", &error));
            return findings;
        }
    };
    findings.extend(machine::index(doctor, &listing));
    let (keychains, usable) = machine::keychains(doctor, &listing);
    findings.extend(keychains);
    let connections: Vec<Connection> = match &doctor.selector {
        None => listing.connections,
        Some(selector) => match doctor.store.find(selector) {
            Ok(connection) => vec![connection],
            Err(error) => {
                findings.push(Finding::error("connection", &error));
                Vec::new()
            }
        },
    };
    findings.extend(connection::check_all(doctor, &connections, &usable));
    findings
}

fn print_findings(ctx: &mut CommandContext, findings: &[Finding], args: &DoctorArgs) -> Outcome {
    let count = |severity| {
        findings
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let (ok, warn, fail) = (
        count(Severity::Ok),
        count(Severity::Warn),
        count(Severity::Fail),
    );
    if args.json {
        return ctx.answer_json(&DoctorAnswer {
            account: args.account.clone(),
            checks: findings.iter().map(Finding::as_json).collect(),
            ok,
            warn,
            fail,
        });
    }
    for one in findings {
        let about = match &one.connection {
            Some(label) => format!("{} {}", one.check, escape(label)),
            None => one.check.to_owned(),
        };
        let word = ctx.severity(one.severity);
        ctx.answer(&format!("{word} {about}: {}", escape(&one.message)))?;
        if let Some(hint) = &one.hint {
            ctx.answer(&format!("     hint: {}", escape(hint)))?;
        }
    }
    ctx.answer(&format!("{ok} ok, {warn} with warnings, {fail} failed"))
}

impl CommandContext {
    fn severity(&self, severity: Severity) -> String {
        use console::Style;
        let style = match severity {
            Severity::Ok => Style::new().green(),
            Severity::Warn => Style::new().yellow(),
            Severity::Fail => Style::new().red(),
        };
        let word = format!("{:<4}", severity.word());
        if self.system.terminal.stdout {
            self.console.paint(&word, &style)
        } else {
            word
        }
    }
}

/// Fixes what can be fixed, each after a confirmation. Returns whether everything that failed and
/// can be fixed is fixed now.
fn fix_findings(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    findings: &[Finding],
    args: &DoctorArgs,
) -> Result<bool, Failure> {
    if !args.yes && !ctx.can_ask() {
        return Err(Failure::usage_hint(
            "--fix must be confirmed, and there is no terminal for a prompt",
            "give --yes",
        ));
    }
    let mut all = true;
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        // Another connection store may need these items, so --yes is not enough to delete them.
        let may_be_needed = matches!(fix, Fix::Orphans(..));
        let confirmed = if args.yes && !may_be_needed {
            true
        } else {
            ctx.can_ask() && ctx.system.ask.confirm(&fix.question(), !may_be_needed)?
        };
        if !confirmed {
            all &= finding.severity != Severity::Fail;
            continue;
        }
        if apply(ctx, store, fix)? {
            ctx.console.info(&format!("[OK] Fixed: {}", finding.check));
        } else {
            all = false;
            let hint = finding.hint.as_deref().unwrap_or_default();
            ctx.console.info(&format!(
                "Deleted, because it could not be used. Next: {}",
                escape(hint)
            ));
        }
    }
    Ok(all)
}

/// Returns whether the problem is fixed; `false` if a person must do the rest.
fn apply(ctx: &CommandContext, store: &ConnectionStore, fix: &Fix) -> Result<bool, Failure> {
    match fix {
        Fix::Private => store.restrict_to_owner()?,
        Fix::Labels => store.rebuild_labels()?,
        Fix::Default => store.set_default(None)?,
        Fix::Orphans(kind, items) => {
            for item in items {
                ctx.keychains(store)
                    .of(*kind)
                    .delete(item)
                    .map_err(Error::from)?;
            }
        }
        Fix::Item(connection, kind) => {
            let keychain = ctx.keychains(store).of(connection.keychain);
            return Ok(manage::repair_item(keychain.as_ref(), connection, *kind)?);
        }
    }
    Ok(true)
}
