//! Runs programs and measures them.

use std::fs;
use std::io::{pipe, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program that takes longer is assumed to hang.
const HANGS: Duration = Duration::from_secs(60);

/// What a program answers. It must succeed.
pub(crate) fn answer(command: &mut Command) -> String {
    let out = command
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}

/// How long a program takes from start to end.
pub(crate) fn timed(command: &mut Command) -> Duration {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let took = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

/// The median times of two programs that run in turn.
pub(crate) fn alternate(
    rounds: usize,
    first: impl Fn() -> Command,
    second: impl Fn() -> Command,
) -> (Duration, Duration) {
    // The first runs fill the caches of the system.
    timed(&mut first());
    timed(&mut second());
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(timed(&mut first()));
        two.push(timed(&mut second()));
    }
    (median(one), median(two))
}

fn median<T: Copy + Ord>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}

/// What programs that start at the same time answer.
pub(crate) struct Answers {
    /// From the first start to the last end.
    pub(crate) took: Duration,
    pub(crate) answers: Vec<String>,
}

pub(crate) fn all_at_once(commands: Vec<Command>) -> Answers {
    let start = Instant::now();
    let children: Vec<Child> = commands
        .into_iter()
        .map(|mut command| {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts")
        })
        .collect();
    let answers = children
        .into_iter()
        .map(|child| {
            let out = child.wait_with_output().expect("an end");
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{}: {said}", out.status);
            String::from_utf8(out.stdout).expect("text")
        })
        .collect();
    Answers {
        took: start.elapsed(),
        answers,
    }
}

/// The median of the most memory, in bytes, that several runs of the program have used. A single
/// run varies by some hundred kilobytes, because the kernel maps a file in pieces of different
/// sizes and counts pages for each processor.
pub(crate) fn peak_memory(runs: usize, mut command: impl FnMut() -> Command) -> u64 {
    median((0..runs).map(|_| peak_of_one_run(&mut command())).collect())
}

/// The most memory, in bytes, that the program has used when it writes its answer.
///
/// Its standard output is a pipe that is already full, so that it waits there while its memory is
/// read.
fn peak_of_one_run(command: &mut Command) -> u64 {
    let (mut reader, mut writer) = pipe().expect("a pipe");
    fill(&mut writer);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    // The command keeps its own copy of the pipe's end, which would keep the reader waiting.
    command.stdout(Stdio::null());
    let process = format!("/proc/{}", child.id());
    let end = Instant::now() + HANGS;
    while !is_writing(&process) {
        assert!(Instant::now() < end, "the program does not answer");
        assert!(
            child.try_wait().expect("a child").is_none(),
            "the program has ended"
        );
        thread::sleep(Duration::from_millis(1));
    }
    let status = fs::read_to_string(format!("{process}/status")).expect("its status");
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok())
        .expect("its memory");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("its answer");
    assert!(child.wait().expect("an end").success());
    kilobytes * 1024
}

/// A pipe of Linux holds 64 KiB by default.
fn fill(writer: &mut impl Write) {
    writer.write_all(&vec![b'.'; 64 * 1024]).expect("a pipe");
}

/// Whether the program's first thread waits in the kernel for room in a pipe.
fn is_writing(process: &str) -> bool {
    fs::read_to_string(format!("{process}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
}
