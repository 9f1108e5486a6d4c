//! A real pseudo-terminal with the real program in it, and a reader of its screen.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{native_pty_system, Child, CommandBuilder, MasterPty, PtySize};

use super::home::Home;
use super::secret_scan::{self, SecretKind};
use super::TIMEOUT;

const ROWS: u16 = 60;
const COLUMNS: u16 = 132;

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).expect("more than nothing")
}

/// The program in a terminal of its own. It is killed when this is dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    master: Box<dyn MasterPty + Send>,
    /// How many questions for the cursor's place were answered.
    answered: usize,
}

struct Seen {
    screen: vt100::Parser,
    raw: Vec<u8>,
    /// How much of `raw` earlier expectations have consumed.
    read: usize,
    ended: bool,
}

impl Terminal {
    /// Starts the program of this home with these arguments.
    pub fn start(home: &Home, arguments: &[&str]) -> Self {
        let program = home.program().display().to_string();
        Self::start_program(home, &program, arguments)
    }

    /// Starts another program, as a shell that runs ours.
    pub fn start_program(home: &Home, program: &str, arguments: &[&str]) -> Self {
        Self::start_sized(home, program, arguments, COLUMNS)
    }

    /// In a terminal with this many columns, where a console that paints wraps its lines.
    pub fn start_sized(home: &Home, program: &str, arguments: &[&str], columns: u16) -> Self {
        let pair = native_pty_system()
            .openpty(PtySize {
                rows: ROWS,
                cols: columns,
                ..PtySize::default()
            })
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env_clear();
        for (name, value) in home.environment() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command.cwd(home.path());
        let child = pair.slave.spawn_command(command).expect("the program");
        drop(pair.slave);
        let reader = pair.master.try_clone_reader().expect("a reader");
        let writer = pair.master.take_writer().expect("a writer");
        let seen = Arc::new(Mutex::new(Seen {
            screen: vt100::Parser::new(size(ROWS), size(columns), 0),
            raw: Vec::new(),
            read: 0,
            ended: false,
        }));
        collect(reader, Arc::clone(&seen));
        Self {
            child,
            writer,
            seen,
            master: pair.master,
            answered: 0,
        }
    }

    /// Answers as a terminal does when a program (PowerShell) asks where the cursor is.
    fn answer(&mut self) {
        let (asked, (row, column)) = {
            let seen = self.seen.lock().unwrap();
            let asked = seen.raw.windows(4).filter(|four| four == b"\x1b[6n");
            (asked.count(), seen.screen.screen().cursor_position())
        };
        for _ in self.answered..asked {
            self.send(&format!("\u{1b}[{};{}R", row + 1, column + 1));
        }
        self.answered = asked;
    }

    /// Waits until this text appears after everything that was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + TIMEOUT;
        while !self.find(text) {
            let ended = self.seen.lock().unwrap().ended;
            // The last output may have come between the check and the end.
            let over = (ended || Instant::now() > end) && !self.find(text);
            assert!(!over, "no `{text}` in:\n{}", self.screen());
            self.answer();
            thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// Waits until this text is on the screen, however the program painted it.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + TIMEOUT;
        while !self.screen().contains(text) {
            assert!(Instant::now() < end, "no `{text}` in:\n{}", self.screen());
            thread::sleep(Duration::from_millis(10));
        }
        self
    }

    fn find(&self, text: &str) -> bool {
        let mut seen = self.seen.lock().unwrap();
        let plain = plain(&seen.raw[seen.read..]);
        let Some(at) = plain.text.find(text) else {
            return false;
        };
        seen.read += plain.origin[at + text.len() - 1] + 1;
        true
    }

    /// Waits until the program reads single keys; before that, the terminal would translate Enter.
    #[track_caller]
    pub fn ready(&mut self) -> &mut Self {
        let end = Instant::now() + TIMEOUT;
        let by_line = |flags: libc::tcflag_t| flags & libc::ICANON != 0;
        while self
            .master
            .get_termios()
            .is_none_or(|modes| by_line(modes.local_flags.bits()))
        {
            assert!(Instant::now() < end, "no keys are read:\n{}", self.screen());
            thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// Waits until the terminal reads whole lines and shows them, or does not show them.
    #[track_caller]
    pub fn echo(&mut self, shown: bool) -> &mut Self {
        let end = Instant::now() + TIMEOUT;
        let wanted =
            |flags: libc::tcflag_t| flags & libc::ICANON != 0 && (flags & libc::ECHO != 0) == shown;
        while !self
            .master
            .get_termios()
            .is_some_and(|modes| wanted(modes.local_flags.bits()))
        {
            assert!(
                Instant::now() < end,
                "echo is not {shown}:\n{}",
                self.screen()
            );
            thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// Sends this signal (`TERM`) to the program.
    pub fn signal(&mut self, name: &str) -> &mut Self {
        super::send_signal(name, self.child.process_id().expect("a process"));
        self
    }

    /// Types text and Enter.
    pub fn line(&mut self, text: &str) -> &mut Self {
        self.send(&format!("{text}\r"))
    }

    /// Types this text.
    pub fn send(&mut self, text: &str) -> &mut Self {
        self.writer.write_all(text.as_bytes()).expect("a terminal");
        self.writer.flush().expect("a terminal");
        self
    }

    /// Presses the arrow key down this many times.
    pub fn down(&mut self, times: usize) -> &mut Self {
        self.send(&"\u{1b}[B".repeat(times))
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) -> &mut Self {
        self.send("\u{3}")
    }

    /// What is on the screen now.
    pub fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// Every byte that the program wrote.
    pub fn raw(&self) -> Vec<u8> {
        self.seen.lock().unwrap().raw.clone()
    }

    /// The screen's cells, for a picture.
    pub fn cells(&self) -> vt100::Screen {
        self.seen.lock().unwrap().screen.screen().clone()
    }

    /// The first word on the screen that begins like this, joined across line ends.
    #[track_caller]
    pub fn word(&self, start: &str) -> String {
        let raw = self.raw();
        let text = plain(&raw).text;
        let at = text
            .rfind(start)
            .unwrap_or_else(|| panic!("no {start} in {text}"));
        text[at..]
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits for the end and returns the exit code.
    #[track_caller]
    pub fn end(&mut self) -> u32 {
        let end = Instant::now() + TIMEOUT;
        loop {
            let ended = self.seen.lock().unwrap().ended;
            if let (true, Some(status)) = (ended, self.child.try_wait().expect("a child")) {
                return status.exit_code();
            }
            assert!(
                Instant::now() < end,
                "the program does not end:\n{}",
                self.screen()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            // The terminal echoes what is typed, which is the code.
            let shown = [SecretKind::Access, SecretKind::Code];
            secret_scan::assert_no_secret_but(&shown, "the terminal", &self.raw());
        }
    }
}

fn collect(mut reader: Box<dyn Read + Send>, seen: Arc<Mutex<Seen>>) {
    thread::spawn(move || {
        let mut piece = [0_u8; 4096];
        while let Ok(count) = reader.read(&mut piece) {
            if count == 0 {
                break;
            }
            let mut seen = seen.lock().unwrap();
            seen.raw.extend_from_slice(&piece[..count]);
            seen.screen.process(&piece[..count]);
        }
        seen.lock().unwrap().ended = true;
    });
}

/// Text without escape sequences, and where each of its bytes came from.
struct Plain {
    text: String,
    origin: Vec<usize>,
}

fn plain(raw: &[u8]) -> Plain {
    let (mut bytes, mut origin) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == 0x1b {
            at += 1;
            if raw.get(at) == Some(&b'[') {
                at += 1;
                while at < raw.len() && !(0x40..=0x7e).contains(&raw[at]) {
                    at += 1;
                }
            }
        } else {
            bytes.push(raw[at]);
            origin.push(at);
        }
        at += 1;
    }
    // An incomplete character at the end of the output so far is left for later.
    let valid = match std::str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        Err(why) => why.valid_up_to(),
    };
    bytes.truncate(valid);
    Plain {
        text: String::from_utf8(bytes).unwrap_or_default(),
        origin,
    }
}
