//! Starting the command that gives a client secret: without a shell, without a terminal and without
//! input, for a limited time; and ending it with all that it started.

#[cfg(all(feature = "cli", unix))]
mod captured;
#[cfg(feature = "cli")]
mod find;

use std::io::{self, Read};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use process_wrap::std::ProcessSession;
use process_wrap::std::{ChildWrapper, CommandWrap};
#[cfg(windows)]
use process_wrap::std::{CreationFlags, JobObject};
use zeroize::Zeroizing;

use crate::connection::SecretCommand;
use crate::context::Context;
use crate::env;
use crate::error::SecretCommandFailure;
use crate::files;
use crate::policy::{MAX_SECRET_COMMAND_ERROR_BYTES, MAX_SECRET_COMMAND_OUTPUT_BYTES};
use crate::secret::Secret;
use crate::text::one_line;
use crate::util::lock;

#[cfg(all(feature = "cli", unix))]
pub(crate) use captured::{capture, Call, Captured};
#[cfg(feature = "cli")]
pub(crate) use find::find;
#[cfg(all(feature = "cli", windows))]
pub(crate) use find::{endings, search};

/// The pause between two looks at the process.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest first line of the error output that is shown, in characters.
const LONGEST_SAID: usize = 200;

type Ran<T> = Result<T, SecretCommandFailure>;

/// Runs the command, and returns the one line that it prints. Its program is examined first: who
/// can change it gets the secret, and can do everything that this user can.
pub(crate) fn run(command: &SecretCommand, limit: Duration, context: &Context) -> Ran<Secret> {
    check(command.program())?;
    let end = Instant::now() + limit;
    let timeout = SecretCommandFailure::Timeout(limit);
    // Between its start and its entry in the list, an interruption would leave it behind.
    let starting = context.interruptions.delay();
    let mut running = Running::start(command).map_err(SecretCommandFailure::NotStarted)?;
    drop(starting);
    let broken = SecretCommandFailure::NotStarted;
    let (output, errors) = (running.take_output(), running.take_errors());
    let output = read(output, MAX_SECRET_COMMAND_OUTPUT_BYTES, End::Stop).map_err(broken)?;
    let errors = read(errors, MAX_SECRET_COMMAND_ERROR_BYTES, End::Ignore).map_err(broken)?;
    let mut printed = None;
    let status = loop {
        if let Some(status) = running.ended().map_err(broken)? {
            break status;
        }
        match output.try_recv() {
            Ok(read) if read.is_cut => return Err(too_long()),
            Ok(read) => printed = Some(read),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        if Instant::now() >= end {
            return Err(timeout);
        }
        thread::sleep(PAUSE);
    };
    // What it started must not keep its output open.
    running.end();
    let left = || end.saturating_duration_since(Instant::now()).max(PAUSE);
    let printed = match printed.map_or_else(|| output.recv_timeout(left()), Ok) {
        Ok(printed) => printed,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(timeout),
    };
    // The rest was not read, which may be why it failed.
    if printed.is_cut {
        return Err(too_long());
    }
    if !status.success() {
        let errors = errors.recv_timeout(left()).ok();
        return Err(SecretCommandFailure::Failed {
            status: in_words(status),
            said: errors.and_then(|read| first_line(&read.bytes)),
        });
    }
    line(&printed)
}

/// Whether the program is there, and only this user and the administrator can change it.
pub(crate) fn check(program: &Path) -> Ran<()> {
    let missing = || SecretCommandFailure::NoProgram(program.to_owned());
    match files::changeable_by_others(program) {
        Ok(None) if program.is_file() => Ok(()),
        Ok(None) => Err(missing()),
        Ok(Some(found)) => Err(SecretCommandFailure::Unsafe {
            path: found.path,
            why: found.why,
        }),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Err(missing()),
        Err(why) => Err(SecretCommandFailure::Unsafe {
            path: program.to_owned(),
            why: format!("cannot be examined ({why})"),
        }),
    }
}

/// Ends all commands of this process, for a program that ends at once.
#[cfg(feature = "cli")]
pub(crate) fn end_all() {
    for child in lock(&RUNNING).drain(..) {
        let _ = lock(&child).start_kill();
    }
}

type Child = Arc<Mutex<Box<dyn ChildWrapper>>>;

/// The commands of this process that run now.
static RUNNING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A process in a session of its own (on Windows: in a job), which ends with this value, together
/// with all that it started and that stayed in it.
struct Running(Child);

impl Running {
    fn start(command: &SecretCommand) -> io::Result<Self> {
        let program = command.program();
        let mut wrap = CommandWrap::with_new(program, |std| {
            std.args(command.arguments())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            for name in env::secret_names() {
                std.env_remove(name);
            }
            // A folder that others cannot fill with what programs look for where they are started.
            if let Some(folder) = program.parent() {
                std.current_dir(folder);
            }
        });
        #[cfg(unix)]
        wrap.wrap(ProcessSession);
        #[cfg(windows)]
        wrap.wrap(CreationFlags(
            windows::Win32::System::Threading::CREATE_NO_WINDOW,
        ))
        .wrap(JobObject);
        let child = Arc::new(Mutex::new(wrap.spawn()?));
        lock(&RUNNING).push(Arc::clone(&child));
        Ok(Self(child))
    }

    fn take_output(&mut self) -> Option<impl Read + Send + 'static> {
        lock(&self.0).stdout().take()
    }

    fn take_errors(&mut self) -> Option<impl Read + Send + 'static> {
        lock(&self.0).stderr().take()
    }

    /// How the process itself has ended; `None` while it runs.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        lock(&self.0).inner_mut().try_wait()
    }

    /// Ends everything in its session. An error says that nothing is left.
    fn end(&mut self) {
        let _ = lock(&self.0).start_kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = lock(&self.0).inner_mut().wait();
        lock(&RUNNING).retain(|child| !Arc::ptr_eq(child, &self.0));
    }
}

/// What happens to output beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is not read.
    Stop,
    /// It is read and forgotten, so that the program does not wait.
    Ignore,
}

/// What a program wrote, up to the limit.
struct Written {
    bytes: Zeroizing<Vec<u8>>,
    is_cut: bool,
}

/// Reads on another thread, because a program may write to two pipes in any order.
fn read(
    from: Option<impl Read + Send + 'static>,
    limit: usize,
    end: End,
) -> io::Result<Receiver<Written>> {
    let (send, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().spawn(move || {
        // Large enough from the start: memory that grows leaves its old place behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        if let Some(mut from) = from {
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            // An error ends the output.
            let _ = from.by_ref().take(most).read_to_end(&mut bytes);
            if end == End::Ignore {
                let _ = io::copy(&mut from, &mut io::sink());
            }
        }
        let is_cut = bytes.len() > limit;
        // The receiver is gone where the time is up.
        let _ = send.send(Written { bytes, is_cut });
    })?;
    Ok(receiver)
}

fn too_long() -> SecretCommandFailure {
    let limit = MAX_SECRET_COMMAND_OUTPUT_BYTES / 1024;
    SecretCommandFailure::Output(format!("its output is longer than {limit} KiB"))
}

/// The one line of the output, without its end.
fn line(output: &Written) -> Ran<Secret> {
    let bad = |why: &str| Err(SecretCommandFailure::Output(why.into()));
    let Ok(text) = std::str::from_utf8(&output.bytes) else {
        return bad("its output is not UTF-8");
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return bad("its output is empty");
    }
    if line.contains(['\n', '\r']) {
        return bad("its output has several lines");
    }
    Ok(Secret::new(line.to_owned()))
}

fn in_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return format!("ended by signal {signal}");
        }
    }
    status
        .code()
        .map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"))
}

/// The first line that is not empty, without control characters.
fn first_line(bytes: &[u8]) -> Option<Secret> {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let line = one_line(line, LONGEST_SAID);
    (!line.is_empty()).then(|| Secret::new(line))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context::Environment;

    fn command(script: &str) -> SecretCommand {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        SecretCommand::from_words(words.to_vec()).unwrap()
    }

    fn ran(script: &str) -> Ran<Secret> {
        run(&command(script), Duration::from_secs(60), &context())
    }

    fn context() -> Context {
        Context {
            environment: Environment::of(Vec::<(String, String)>::new()),
            ..Context::process()
        }
    }

    #[test]
    fn the_output_is_one_line_of_text() {
        for (script, expected) in [
            ("printf s3cret", "s3cret"),
            ("echo s3cret", "s3cret"),
            (r"printf 's3cret\r\n'", "s3cret"),
            (r"printf ' a \n'", " a "),
            ("echo noise >&2; echo ok", "ok"),
        ] {
            assert_eq!(ran(script).unwrap().expose(), expected, "{script}");
        }
        for (script, why) in [
            ("true", "empty"),
            ("echo", "empty"),
            (r"printf 'a\nb\n'", "several lines"),
            (r"printf 'a\n\n'", "several lines"),
            (r"printf 'a\rb'", "several lines"),
            (r"printf '\377'", "UTF-8"),
            ("head -c 16385 /dev/zero", "16 KiB"),
            ("cat /dev/zero", "16 KiB"),
        ] {
            let error = ran(script).unwrap_err();
            assert!(matches!(&error, SecretCommandFailure::Output(_)), "{error}");
            assert!(error.to_string().contains(why), "{script}: {error}");
        }
        let longest = ran("head -c 16384 /dev/zero | tr '\\0' x").unwrap();
        assert_eq!(longest.expose().len(), 16384);
    }

    #[test]
    fn rule_32_a_failure_tells_the_first_line_and_hides_it() {
        let script = r"printf '\n\033[1mcanary\033[0m two\nthree\n' >&2; exit 7";
        let error = ran(script).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("exit code 7") && !shown.contains("canary"),
            "{shown}"
        );
        match error {
            SecretCommandFailure::Failed { said, .. } => {
                assert_eq!(said.unwrap().expose(), "[1mcanary [0m two");
            }
            other => assert_eq!(other.to_string(), ""),
        }
        let error = ran("kill -TERM $$").unwrap_err().to_string();
        assert!(error.contains("signal 15"), "{error}");
        // However much it says, it does not wait for a reader.
        let error = ran("head -c 1000000 /dev/zero >&2; exit 1").unwrap_err();
        assert!(matches!(error, SecretCommandFailure::Failed { .. }));
    }

    /// A process that holds this lock lives.
    fn is_free(path: &Path) -> bool {
        std::fs::File::open(path).unwrap().try_lock().is_ok()
    }

    #[test]
    fn rule_32_the_command_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        std::fs::write(&path, "").unwrap();
        let held = path.display();
        // It ends, and what it left in the background would keep its output open.
        let script = format!("exec 9<'{held}'; flock 9; sleep 1000 & echo s3cret");
        assert_eq!(ran(&script).unwrap().expose(), "s3cret");
        wait_until(|| is_free(&path));
        // It does not end.
        let script = format!("exec 9<'{held}'; flock 9; sleep 1000 & sleep 1000");
        let limit = Duration::from_millis(300);
        let error = run(&command(&script), limit, &context()).unwrap_err();
        assert!(matches!(error, SecretCommandFailure::Timeout(_)), "{error}");
        wait_until(|| is_free(&path));
        assert!(lock(&RUNNING)
            .iter()
            .all(|child| lock(child).inner_mut().try_wait().is_ok()));
    }

    fn wait_until(mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "it still runs");
            thread::sleep(PAUSE);
        }
    }

    #[test]
    fn rule_32_the_command_has_neither_terminal_nor_input_nor_our_secrets() {
        let script = "(: </dev/tty) 2>/dev/null && echo terminal; cat; pwd";
        let folder = ran(script).unwrap();
        assert!(
            ["/bin", "/usr/bin"].contains(&folder.expose()),
            "{}",
            folder.expose()
        );
        // A session of its own, so that it can open no terminal at all.
        let own = ran("cut -d' ' -f6 /proc/$$/stat");
        if let Ok(session) = own {
            let mine = nix::unistd::getsid(None).unwrap();
            assert_ne!(session.expose(), mine.to_string());
        }
    }
}
