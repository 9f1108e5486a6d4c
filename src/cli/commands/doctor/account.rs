//! `doctor --as-task --account`: what a task of another account of this machine will find. This
//! program becomes that account and starts itself again, so that the checks meet the permissions,
//! the folders and the environment of the task.

#[cfg(unix)]
use super::machine;
#[cfg(windows)]
use super::task;
use super::{DoctorArgs, DoctorContext, Finding};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::CommandContext;

#[cfg(unix)]
pub(super) use unix::{checks, ensure_entered, foreign_owner, run_as};

#[cfg(windows)]
pub(super) use windows::{checks, ensure_entered, foreign_owner, run_as};

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::io;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use nix::unistd::{Group, Uid, User};

    use super::{machine, CommandContext, DoctorArgs, DoctorContext, Failure, Finding, Outcome};
    use crate::cli::exit_code::ExitCode;
    use crate::cli::format::{argument, escape};
    use crate::context::Environment;
    use crate::env;
    use crate::policy::command_line::{
        DOCTOR_ACCOUNT_GRACE, DOCTOR_TIMEOUT, MAX_DOCTOR_ACCOUNT_BYTES,
    };
    use crate::program::{capture, Call, Captured};
    use crate::store::Selector;

    /// What cron gives to every job besides what depends on the account. systemd's `PATH` has more
    /// folders.
    const TASK_VARIABLES: [(&str, &str); 2] =
        [(env::PATH, "/usr/bin:/bin"), (env::SHELL, "/bin/sh")];

    /// What the caller may set for the checks, as the definition of the task will: none of these
    /// holds a secret.
    const PASSED: [&str; 4] = [
        env::AGE_OAUTH_HOME,
        env::AGE_OAUTH_KEYCHAIN,
        env::AGE_OAUTH_VAULT_KEY_FILE,
        env::SSL_CERT_FILE,
    ];

    /// Shells that end at once.
    const NO_SHELLS: [&str; 2] = ["nologin", "false"];

    /// Makes the checks in a process of the account, and prints what that prints.
    pub(crate) fn run_as(ctx: &mut CommandContext, args: &DoctorArgs, name: &str) -> Outcome {
        if args.fix && !args.yes {
            return Err(Failure::usage_hint(
                "--fix cannot ask you with --account: the process of the account has no terminal",
                "give --yes, or run the command without --fix",
            ));
        }
        let account = find(name)?;
        let own = machine::own_path();
        let (own_user, may_become) = (Uid::effective(), Uid::effective().is_root());
        if !may_become && own_user != account.uid {
            return Err(Failure::usage_hint(
                format!("only root can make the checks as the account `{name}`"),
                as_root(ctx, args, &own, name),
            ));
        }
        let limit = ctx
            .context
            .deadline
            .bound(DOCTOR_TIMEOUT + DOCTOR_ACCOUNT_GRACE);
        let call = Call {
            program: &own,
            arguments: arguments(ctx, args, name, limit),
            variables: variables(ctx, &account),
            folder: Path::new("/"),
            #[cfg(target_os = "macos")]
            runs_as: may_become.then(|| (account.uid.as_raw(), account.gid.as_raw())),
        };
        #[cfg(not(target_os = "macos"))]
        if may_become {
            enter(&account).map_err(|why| {
                Failure::failed_hint(
                    format!("this process cannot become the account `{name}`: {why}"),
                    "run the command without --account as that account",
                )
            })?;
            // It is a file of root, and the process of the account has a log of its own.
            ctx.event_log = crate::cli::event_log::EventLog::off();
        }
        let captured = capture(&call, limit, MAX_DOCTOR_ACCOUNT_BYTES, &ctx.context)
            .map_err(|why| not_checked(name, &own, &why))?;
        relay(ctx, name, &captured)
    }

    fn find(name: &str) -> Result<User, Failure> {
        match User::from_name(name) {
            Ok(Some(account)) => Ok(account),
            Ok(None) => Err(Failure::usage_hint(
                format!("this machine has no account `{name}`"),
                "give the name that the task runs as; `getent passwd` lists the accounts",
            )),
            Err(why) => Err(Failure::failed(format!(
                "the account `{name}` could not be looked up: {why}"
            ))),
        }
    }

    /// Gives all rights of this process up for those of the account, its groups included. There is
    /// no way back.
    #[cfg(not(target_os = "macos"))]
    fn enter(account: &User) -> nix::Result<()> {
        use nix::unistd::{initgroups, setgid, setuid};
        let name =
            std::ffi::CString::new(account.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
        initgroups(&name, account.gid)?;
        setgid(account.gid)?;
        setuid(account.uid)?;
        #[cfg(target_os = "linux")]
        {
            crate::cli::system::make_unreadable();
            leave_session_keyring()?;
        }
        Ok(())
    }

    /// Gives this thread an empty session keyring of the account, which its processes inherit in
    /// place of the caller's.
    #[cfg(target_os = "linux")]
    fn leave_session_keyring() -> nix::Result<()> {
        use nix::errno::Errno;
        match keyutils_raw::keyctl_join_session_keyring(None) {
            Ok(_) => Ok(()),
            Err(why) => match Errno::from_raw(why.0) {
                // The kernel has no keyrings, or a container keeps all of its processes from them.
                Errno::ENOSYS | Errno::EPERM => Ok(()),
                why => Err(why),
            },
        }
    }

    /// The same command, for the process of the account, which ends a little earlier than this one.
    fn arguments(
        ctx: &CommandContext,
        args: &DoctorArgs,
        name: &str,
        limit: Duration,
    ) -> Vec<OsString> {
        let limit = limit.saturating_sub(DOCTOR_ACCOUNT_GRACE.min(limit / 2));
        let mut words = ["doctor", "--as-task", "--entered"]
            .map(String::from)
            .to_vec();
        words.push(format!("--account={name}"));
        words.extend(options(ctx, args));
        words.push(format!("--timeout={}ms", limit.as_millis()));
        words.into_iter().map(Into::into).collect()
    }

    /// The same command, for a person who can become root.
    fn as_root(ctx: &CommandContext, args: &DoctorArgs, own: &Path, name: &str) -> String {
        let mut words = vec!["sudo".to_owned()];
        words.extend(
            passed(&ctx.context.environment)
                .map(|(name, value)| format!("{name}={}", argument(&value.to_string_lossy()))),
        );
        words.push(argument(&own.to_string_lossy()));
        words.push(format!("doctor --as-task --account {}", argument(name)));
        for word in options(ctx, args) {
            words.push(match word.split_once('=') {
                Some((option, value)) => format!("{option}={}", argument(value)),
                None => word,
            });
        }
        let left = ctx.context.deadline.bound(Duration::MAX);
        if left < Duration::MAX {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            words.push(format!("--timeout={seconds}s"));
        }
        words.join(" ")
    }

    /// The options of this command that the process of the account gets, too.
    fn options(ctx: &CommandContext, args: &DoctorArgs) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        match &ctx.selector {
            Some(Selector::Name(text)) => words.push(format!("--connection={text}")),
            Some(Selector::Id(text)) => words.push(format!("--connection-id={text}")),
            None => {}
        }
        for (flag, given) in [
            ("--fix", args.fix),
            ("--yes", args.yes),
            ("--offline", args.offline),
            ("--json", args.json),
        ] {
            words.extend(given.then(|| flag.into()));
        }
        words.extend(ctx.console.amount().into_iter().map(Into::into));
        words
    }

    /// The environment of a task of the account, and what names the places of its files. Nothing
    /// that may hold a secret of this user goes to another account.
    fn variables(ctx: &CommandContext, account: &User) -> Vec<(String, OsString)> {
        let environment = &ctx.context.environment;
        let mut all: Vec<(String, OsString)> = TASK_VARIABLES
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into();
        all.extend([
            (env::HOME.to_owned(), account.dir.clone().into()),
            ("LOGNAME".to_owned(), account.name.clone().into()),
            ("USER".to_owned(), account.name.clone().into()),
        ]);
        all.extend(passed(environment).map(|(name, value)| (name.to_owned(), value.into())));
        all
    }

    /// The variables that the process of the account gets.
    fn passed(environment: &Environment) -> impl Iterator<Item = (&'static str, PathBuf)> + '_ {
        PASSED.into_iter().filter_map(|name| {
            // A keychain is a word, the others are paths, and the process starts in another folder.
            Some(match environment.path(name)? {
                word if name == env::AGE_OAUTH_KEYCHAIN => (name, word),
                path => (name, std::path::absolute(&path).unwrap_or(path)),
            })
        })
    }

    fn not_checked(name: &str, own: &Path, why: &io::Error) -> Failure {
        let own = own.display();
        match why.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => Failure::failed_hint(
                format!("the account `{name}` cannot run {own}, and neither can its tasks: {why}"),
                "install the program where every account can run it, such as /usr/local/bin",
            ),
            io::ErrorKind::TimedOut => Failure::failed_hint(
                format!("the checks as `{name}` did not end in time"),
                "give more time with --timeout",
            ),
            _ => Failure::failed(format!("the checks as `{name}` failed: {why}")),
        }
    }

    /// Prints what the checks printed. It comes from another account, so that nothing in it may
    /// control this terminal.
    fn relay(ctx: &mut CommandContext, name: &str, captured: &Captured) -> Outcome {
        for line in captured.errors.lines() {
            ctx.console.error_lines(&escape(line));
        }
        for line in captured.output.lines() {
            ctx.answer(&escape(line))?;
        }
        let code = captured.status.code();
        let known = |one: &&ExitCode| code == Some(i32::from(one.number()));
        match ExitCode::ALL.iter().find(known) {
            Some(ExitCode::Done) => Ok(()),
            Some(worst) => Err(Failure::Multiple { worst: *worst }),
            None => Err(Failure::failed(match captured.status.signal() {
                Some(signal) => format!("the checks as `{name}` were ended by signal {signal}"),
                None => format!("the checks as `{name}` ended with an unknown exit code"),
            })),
        }
    }

    /// In the process of the account: checks that it is one.
    pub(crate) fn ensure_entered(name: &str) -> Outcome {
        if find(name)?.uid == Uid::effective() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "this process does not run as the account `{name}`"
        )))
    }

    /// What of the account itself decides whether its tasks work.
    pub(crate) fn checks(doctor: &DoctorContext, name: &str) -> Vec<Finding> {
        let account = match find(name) {
            Ok(account) => account,
            Err(failure) => {
                let message = failure.text().map(|text| text.message);
                return vec![Finding::fail(
                    "task",
                    message.unwrap_or_default(),
                    "give the name that the task runs as",
                )];
            }
        };
        let mut findings = vec![Finding::ok(
            "task",
            format!(
                "checked as the account `{name}` (user ID {}, groups {}) in the environment of a task",
                account.uid,
                groups().join(", ")
            ),
        )
        .hint(format!(
            "run the commands of the hints as this account: {} COMMAND",
            as_account(doctor, name)
        ))];
        findings.extend(home(doctor, &account));
        let shell = account.shell.file_name().unwrap_or_default();
        if NO_SHELLS.iter().any(|one| shell == *one) {
            findings.push(Finding::ok(
                "task",
                format!(
                    "its shell, {}, ends at once; systemd and cron run its tasks nevertheless",
                    account.shell.display()
                ),
            ));
        }
        findings
    }

    /// The names of the groups of this process, or their numbers.
    fn groups() -> Vec<String> {
        let own = rustix::process::getegid();
        let mut all = vec![own];
        all.extend(rustix::process::getgroups().unwrap_or_default());
        let mut names = Vec::new();
        for group in all {
            let found = Group::from_gid(group.as_raw().into()).ok().flatten();
            let name = found.map_or_else(|| group.as_raw().to_string(), |group| group.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What runs a command as the account, with the variables that these checks had.
    fn as_account(doctor: &DoctorContext, name: &str) -> String {
        let mut words = vec![format!("sudo -H -u {}", argument(name))];
        for (variable, value) in passed(&doctor.context.environment) {
            if words.len() == 1 {
                words.push("env".into());
            }
            words.push(format!("{variable}={}", argument(&value.to_string_lossy())));
        }
        words.join(" ")
    }

    /// Checks the home directory, where the store is unless a variable says otherwise.
    fn home(doctor: &DoctorContext, account: &User) -> Option<Finding> {
        let home = &account.dir;
        let exists = doctor.store.root().exists();
        let why = match home.metadata() {
            Ok(found) if !found.is_dir() => "is not a folder".to_owned(),
            Ok(found) if found.uid() != account.uid.as_raw() && !exists => {
                format!("belongs to {}", owner(found.uid()))
            }
            Ok(_) => return None,
            Err(why) if why.kind() == io::ErrorKind::NotFound => "does not exist".to_owned(),
            Err(why) => format!("cannot be used: {why}"),
        };
        let message = format!("its home directory {} {why}", home.display());
        if doctor.store.is_custom() {
            return Some(Finding::ok(
                "task",
                format!("{message}; {} names another place", env::AGE_OAUTH_HOME),
            ));
        }
        Some(Finding::fail(
            "task",
            format!("{message}, so that it can have no connections there"),
            format!(
                "as root: install -d -o {0} -m 700 /var/lib/{0}; and in the definition of the task: {1}=/var/lib/{0}/age_oauth",
                account.name, env::AGE_OAUTH_HOME
            ),
        ))
    }

    /// A store that does not belong to this account, or whose vault or connections do not.
    pub(crate) fn foreign_owner(root: &Path, name: &str) -> Option<Finding> {
        let own = Uid::effective().as_raw();
        let places = [
            root.to_owned(),
            root.join("vault"),
            root.join("connections"),
        ];
        let (path, owner) = places.iter().find_map(|path| {
            let found = path.metadata().ok()?;
            (found.uid() != own).then(|| (path, owner(found.uid())))
        })?;
        // Root would give away what is behind the link, which this account may have made.
        if let Some(link) = places.iter().find_map(|path| link_on_the_way(path)) {
            let target = std::fs::read_link(&link).unwrap_or_default();
            return Some(Finding::fail(
                "store",
                format!(
                    "{} is a link to {}; {} belongs to {owner}, not to `{name}`",
                    link.display(),
                    target.display(),
                    path.display()
                ),
                "find out who made the link before you change the owner of what is behind it",
            ));
        }
        Some(Finding::fail(
            "store",
            format!("{} belongs to {owner}, not to `{name}`", path.display()),
            format!(
                "as root: chown -R {} {}",
                argument(&format!("{name}:")),
                argument(&root.to_string_lossy())
            ),
        ))
    }

    /// The first link in a path that others than root can replace.
    fn link_on_the_way(path: &Path) -> Option<PathBuf> {
        let mut folders: Vec<&Path> = path.ancestors().collect();
        folders.reverse();
        folders.into_iter().find_map(|one| {
            let found = one.symlink_metadata().ok()?;
            (found.is_symlink() && !is_roots(one)).then(|| one.to_owned())
        })
    }

    /// Whether a link is root's, in a folder that root alone can write to: `/var` on macOS.
    fn is_roots(link: &Path) -> bool {
        let folder = link.parent().and_then(|folder| folder.metadata().ok());
        link.symlink_metadata().is_ok_and(|link| link.uid() == 0)
            && folder.is_some_and(|folder| folder.uid() == 0 && folder.mode() & 0o022 == 0)
    }

    fn owner(user: u32) -> String {
        let found = User::from_uid(Uid::from_raw(user)).ok().flatten();
        found.map_or_else(
            || format!("user {user}"),
            |found| format!("`{}`", found.name),
        )
    }
}

/// Windows lets no account read what Credential Manager and the data protection of another one
/// hold, whatever its rights are.
#[cfg(windows)]
mod windows {
    use std::path::Path;

    use super::{task, CommandContext, DoctorArgs, DoctorContext, Failure, Finding, Outcome};

    fn refused(name: &str) -> Failure {
        Failure::usage_hint(
            format!(
                "on Windows, no account can read the secrets of another one, so that only `{name}` itself can make these checks"
            ),
            // Only PowerShell registers a task of an account whose password no person knows.
            if name.ends_with('$') {
                "register a task of that account that runs `age-oauth doctor --as-task`".to_owned()
            } else {
                format!("let a task of that account make them: {}", task::schtasks(name))
            },
        )
    }

    pub(crate) fn run_as(_: &mut CommandContext, _: &DoctorArgs, name: &str) -> Outcome {
        Err(refused(name))
    }

    pub(crate) fn ensure_entered(name: &str) -> Outcome {
        Err(refused(name))
    }

    pub(crate) fn checks(_: &DoctorContext, _: &str) -> Vec<Finding> {
        Vec::new()
    }

    pub(crate) fn foreign_owner(_: &Path, _: &str) -> Option<Finding> {
        None
    }
}
