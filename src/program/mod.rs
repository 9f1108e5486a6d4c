//! Starting the command that gives a client secret: without a shell, without a terminal and without
//! input, for a limited time; and ending it with all that it started.

#[cfg(all(feature = "cli", unix))]
mod captured;
mod environment;
mod examine;
#[cfg(feature = "cli")]
mod find;

use std::io::{self, Read};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
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
use crate::error::SecretCommandFailure;
use crate::policy::{
    MAX_SECRET_COMMAND_ERROR_BYTES, MAX_SECRET_COMMAND_OUTPUT_BYTES, SECRET_COMMAND_PIPE_TIMEOUT,
};
use crate::secret::Secret;
use crate::text::one_line;
use crate::util::lock;

#[cfg(all(feature = "cli", unix))]
pub(crate) use captured::{capture, Call, Captured};
pub(crate) use examine::check;
#[cfg(feature = "cli")]
pub(crate) use find::find;
#[cfg(all(feature = "cli", windows))]
pub(crate) use find::{endings, search};

/// The pause between two looks at the process.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest first line of the error output that is shown, in characters.
const LONGEST_SAID: usize = 200;

type Ran<T> = Result<T, SecretCommandFailure>;

/// Runs the command, and returns the one line that it prints. What it runs is examined first: who
/// can change that gets the secret, and can do everything that this user can.
pub(crate) fn run(command: &SecretCommand, limit: Duration, context: &Context) -> Ran<Secret> {
    check(command)?;
    let end = Instant::now() + limit;
    // Between its start and its entry in the list, an interruption would leave it behind.
    let starting = context.interruptions.delay();
    let running = in_time(prepared(command), end);
    drop(starting);
    let running = running.map_err(|why| match why.kind() {
        io::ErrorKind::TimedOut => SecretCommandFailure::Timeout(limit),
        _ => SecretCommandFailure::NotStarted(why),
    })?;
    let broken = SecretCommandFailure::NotStarted;
    let output = Reader::start(
        running.take_output(),
        MAX_SECRET_COMMAND_OUTPUT_BYTES,
        Beyond::Stop,
    );
    let errors = Reader::start(
        running.take_errors(),
        MAX_SECRET_COMMAND_ERROR_BYTES,
        Beyond::Ignore,
    );
    let (output, errors) = (output.map_err(broken)?, errors.map_err(broken)?);
    let status = loop {
        if let Some(status) = running.ended().map_err(broken)? {
            break status;
        }
        if output.is_cut() {
            return Err(too_long());
        }
        if Instant::now() >= end {
            return Err(SecretCommandFailure::Timeout(limit));
        }
        thread::sleep(PAUSE);
    };
    // A process that left its session may hold the pipes open for as long as it likes.
    let end = Instant::now() + SECRET_COMMAND_PIPE_TIMEOUT;
    let printed = output.written(end);
    // The rest was not read, which may be why it failed.
    if printed.is_cut {
        return Err(too_long());
    }
    if !status.success() {
        // Where an interruption ends this process and has ended the command, nothing more begins:
        // that is not a failure of the command, and would count for the processes that wait.
        drop(context.interruptions.delay());
        return Err(SecretCommandFailure::Failed {
            status: in_words(status),
            said: first_line(&errors.written(end).bytes),
        });
    }
    line(&printed)
}

/// Ends all commands of this process, for a program that ends at once.
#[cfg(feature = "cli")]
pub(crate) fn end_all() {
    for child in lock(&RUNNING).drain(..) {
        lock(&child).kill();
    }
}

/// A process in a session of its own (on Windows: in a job).
struct Child {
    process: Box<dyn ChildWrapper>,
    /// How it ended; from then on, its number may belong to another process.
    status: Option<ExitStatus>,
}

impl Child {
    /// Ends everything in its session. An error says that nothing is left.
    fn kill(&mut self) {
        if self.status.is_none() {
            let _ = self.process.start_kill();
        }
    }

    /// How the process itself has ended, with which everything in its session is ended; `None`
    /// while it runs.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() && self.has_exited()? {
            // The session is known by the number of the process, which is free for another one
            // once the system has handed over its status.
            self.kill();
            self.status = self.process.inner_mut().try_wait()?;
        }
        Ok(self.status)
    }

    #[cfg(unix)]
    fn has_exited(&mut self) -> io::Result<bool> {
        use rustix::process::{waitid, Pid, WaitId, WaitIdOptions};
        let id = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let id = id.ok_or(io::ErrorKind::InvalidData)?;
        // It leaves the status with the system.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(id), options) {
            Ok(status) => Ok(status.is_some()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// A handle keeps the job, whatever becomes of the process.
    #[cfg(windows)]
    fn has_exited(&mut self) -> io::Result<bool> {
        Ok(self.process.inner_mut().try_wait()?.is_some())
    }
}

/// The commands of this process that run now.
static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// A command that runs. It ends with this value, together with all that it started and that stayed
/// in its session.
struct Running(Arc<Mutex<Child>>);

impl Running {
    fn of(process: Box<dyn ChildWrapper>) -> Self {
        let child = Arc::new(Mutex::new(Child {
            process,
            status: None,
        }));
        lock(&RUNNING).push(Arc::clone(&child));
        Self(child)
    }

    fn take_output(&self) -> Option<impl Read + Send + 'static> {
        lock(&self.0).process.stdout().take()
    }

    fn take_errors(&self) -> Option<impl Read + Send + 'static> {
        lock(&self.0).process.stderr().take()
    }

    fn ended(&self) -> io::Result<Option<ExitStatus>> {
        lock(&self.0).ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = lock(&self.0);
        if child.status.is_none() {
            child.kill();
            child.status = child.process.inner_mut().wait().ok();
        }
        drop(child);
        lock(&RUNNING).retain(|child| !Arc::ptr_eq(child, &self.0));
    }
}

/// Starts what was prepared. On Unix, that waits until the new process runs its program, and so for
/// as long as something stops it before: a debugger, a scanner, a file system that does not answer.
/// One that starts after `end` is ended at once.
fn in_time(mut prepared: CommandWrap, end: Instant) -> io::Result<Running> {
    let (sender, started) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let _ = sender.send(prepared.spawn().map(Running::of));
    })?;
    // Without any time left, it is started nevertheless, so that nothing of it is left behind.
    let left = end.saturating_duration_since(Instant::now());
    let left = left.max(SECRET_COMMAND_PIPE_TIMEOUT);
    match started.recv_timeout(left) {
        Ok(running) => running,
        Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::Other.into()),
    }
}

/// The command, for a session of its own (on Windows: a job).
fn prepared(command: &SecretCommand) -> CommandWrap {
    let program = command.program();
    let mut wrap = CommandWrap::with_new(program, |std| {
        std.args(command.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in environment::withheld(std::env::vars_os()) {
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
    wrap
}

/// What happens to output beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// It is not read.
    Stop,
    /// It is read and forgotten, so that the program does not wait.
    Ignore,
}

/// What a program wrote, up to the limit.
#[derive(Default)]
struct Written {
    bytes: Zeroizing<Vec<u8>>,
    is_cut: bool,
}

/// Reads on another thread, because a program may write to two pipes in any order.
struct Reader {
    /// `None` once it was taken: what comes later is of no use.
    written: Arc<Mutex<Option<Written>>>,
    /// Nothing is sent: it is closed at the end of the output.
    end: Receiver<()>,
}

impl Reader {
    fn start(
        from: Option<impl Read + Send + 'static>,
        limit: usize,
        beyond: Beyond,
    ) -> io::Result<Self> {
        let (open, end) = mpsc::channel();
        let written = Arc::new(Mutex::new(Some(Written {
            // Large enough from the start: memory that grows leaves its old place behind.
            bytes: Zeroizing::new(Vec::with_capacity(limit)),
            is_cut: false,
        })));
        let kept = Arc::clone(&written);
        thread::Builder::new().spawn(move || {
            if let Some(from) = from {
                read(from, limit, beyond, &kept);
            }
            drop(open);
        })?;
        Ok(Self { written, end })
    }

    fn is_cut(&self) -> bool {
        lock(&self.written).as_ref().is_some_and(|it| it.is_cut)
    }

    /// What was written until the end of the output, or until `end`.
    fn written(&self, end: Instant) -> Written {
        let left = end.saturating_duration_since(Instant::now());
        let _ = self.end.recv_timeout(left);
        lock(&self.written).take().unwrap_or_default()
    }
}

fn read(mut from: impl Read, limit: usize, beyond: Beyond, kept: &Mutex<Option<Written>>) {
    let mut chunk = Zeroizing::new([0_u8; 4096]);
    loop {
        let length = match from.read(&mut chunk[..]) {
            Ok(length) => length,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            // An error ends the output.
            Err(_) => 0,
        };
        let mut kept = lock(kept);
        let (Some(read), Some(kept)) = (chunk.get(..length), kept.as_mut()) else {
            return;
        };
        let room = limit - kept.bytes.len();
        kept.is_cut |= length > room;
        kept.bytes.extend(read.iter().take(room));
        if length == 0 || (kept.is_cut && beyond == Beyond::Stop) {
            return;
        }
    }
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
    use std::path::Path;
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use process_wrap::std::CommandWrapper;

    use super::*;
    use crate::context::{Environment, Interruptions};

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

    /// What delays interruptions does not return where the program is to end, so that nothing is
    /// made of a command that was ended for that.
    #[test]
    fn a_command_that_failed_may_have_been_ended_by_an_interruption() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let context = Context {
            interruptions: Interruptions::new(move || counted.fetch_add(1, Ordering::Relaxed)),
            ..context()
        };
        let limit = Duration::from_secs(60);
        run(&command("echo ok"), limit, &context).unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        run(&command("kill -s KILL $$"), limit, &context).unwrap_err();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
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
            .all(|child| lock(child).ended().is_ok()));
    }

    /// Keeps the process from being started until the other end of the channel is dropped, as what
    /// stops it between fork and exec does. Says when it is dropped itself.
    #[derive(Debug)]
    struct Stopped(Mutex<Receiver<()>>, #[allow(dead_code)] mpsc::Sender<()>);

    impl CommandWrapper for Stopped {
        fn pre_spawn(&mut self, _: &mut Command, _: &CommandWrap) -> io::Result<()> {
            let _ = lock(&self.0).recv();
            Ok(())
        }
    }

    #[test]
    fn a_process_that_is_stopped_at_its_start_is_not_waited_for_and_ends_when_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        std::fs::write(&path, "").unwrap();
        let script = format!("exec 9<'{}'; flock 9; sleep 1000", path.display());
        let ((release, stopped), (ended, end)) = (mpsc::channel(), mpsc::channel());
        let mut prepared = prepared(&command(&script));
        prepared.wrap(Stopped(Mutex::new(stopped), ended));
        let why = in_time(prepared, Instant::now()).err().unwrap();
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        drop(release);
        assert_eq!(end.recv(), Err(mpsc::RecvError));
        assert!(is_free(&path));
    }

    #[test]
    fn a_process_that_left_the_session_cannot_keep_the_command_from_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lives");
        let stays = path.display();
        // It lives while the file is there, and holds both pipes.
        for (status, end) in [("0", "echo s3cret"), ("3", "echo why >&2; exit 3")] {
            std::fs::write(&path, "").unwrap();
            let script = format!("setsid sh -c 'while [ -e {stays} ]; do sleep 0.1; done' & {end}");
            let ran = run(&command(&script), Duration::from_secs(600), &context());
            std::fs::remove_file(&path).unwrap();
            match ran {
                Ok(secret) => assert_eq!((status, secret.expose()), ("0", "s3cret")),
                Err(SecretCommandFailure::Failed { said, .. }) => {
                    assert_eq!((status, said.unwrap().expose()), ("3", "why"));
                }
                Err(other) => assert_eq!(other.to_string(), ""),
            }
        }
    }

    /// Says of each signal to the session whether the process still had its number.
    #[derive(Debug)]
    struct Recorded {
        inner: Box<dyn ChildWrapper>,
        had_number: Arc<Mutex<Vec<bool>>>,
    }

    impl ChildWrapper for Recorded {
        fn inner(&self) -> &dyn ChildWrapper {
            self.inner.inner()
        }

        fn inner_mut(&mut self) -> &mut dyn ChildWrapper {
            self.inner.inner_mut()
        }

        fn into_inner(self: Box<Self>) -> Box<dyn ChildWrapper> {
            self.inner
        }

        fn start_kill(&mut self) -> io::Result<()> {
            let folder = format!("/proc/{}", self.inner.id());
            lock(&self.had_number).push(Path::new(&folder).exists());
            self.inner.start_kill()
        }
    }

    #[test]
    fn rule_32_no_other_process_gets_the_signal_once_the_number_is_free() {
        for (script, ends_by_itself) in [("sleep 1000 & exit 3", true), ("sleep 1000", false)] {
            let had_number = Arc::new(Mutex::new(Vec::new()));
            let running = Running::of(Box::new(Recorded {
                inner: prepared(&command(script)).spawn().unwrap(),
                had_number: Arc::clone(&had_number),
            }));
            if ends_by_itself {
                wait_until(|| running.ended().unwrap().is_some());
                assert_eq!(running.ended().unwrap().unwrap().code(), Some(3));
                lock(&running.0).kill();
            }
            drop(running);
            assert_eq!(*lock(&had_number), [true], "{script}");
        }
    }

    #[test]
    fn a_program_that_nobody_may_execute_is_named_as_such() {
        use std::os::unix::fs::PermissionsExt as _;
        let program = |path: &Path| {
            let words = vec![path.to_str().unwrap().to_owned()];
            SecretCommand::from_words(words).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "").unwrap();
        for (mode, is_good) in [(0o644, false), (0o755, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = check(&program(&path));
            assert_eq!(checked.is_ok(), is_good, "{checked:?}");
            let found = checked.err().is_none_or(|why| {
                matches!(&why, SecretCommandFailure::NotStarted(why) if why.kind() == io::ErrorKind::PermissionDenied)
            });
            assert!(found);
        }
        let error = check(&program(folder.path())).unwrap_err();
        assert!(
            matches!(error, SecretCommandFailure::NoProgram(_)),
            "{error}"
        );
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
