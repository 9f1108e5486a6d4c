//! Hidden answers stay hidden, and the terminal is left as it was, whatever ends or stops the
//! program.

use crate::home;
use crate::support::home::Home;
use crate::support::pty::Terminal;
use crate::support::scenario::nothing_was_created;

const ADD: [&str; 10] = [
    "connections",
    "add",
    "--no-check",
    "--label=x",
    "--portal=https://h/p",
    "--auth-type=app",
    "--client-id=abc",
    "--no-default",
    "--keychain=vault",
    "--color=never",
];

const SECRET: &str = "hidden-answer-0815";

const QUESTION: &str = "OAuth Client Secret (not shown while you type)";

fn typed_after_a_stop(shell: &str, flags: &[&str]) {
    let mut home = home();
    home.set("PS1", "ready> ");
    let mut terminal = Terminal::start_program(&home, shell, flags);
    let program = home.program().display().to_string();
    terminal.line(&format!("'{program}' {}", ADD.join(" ")));
    for _ in 0..2 {
        terminal.expect(QUESTION).echo(false).send("half-a-sec");
        terminal.send("\u{1a}");
        terminal.expect(if shell == "zsh" {
            "suspended"
        } else {
            "Stopped"
        });
        // A command of the shell finds the modes that it expects.
        terminal
            .line("stty -a | tr ' ' '\\n' | grep -x -e echo -e -echo | sed 's/^/found:/'")
            .expect("found:echo");
        terminal.line("fg");
    }
    terminal.expect(QUESTION).echo(false).line(SECRET);
    terminal.expect("captured").expect("Sign in now?").send("n");
    terminal.expect("ready> ").line("exit").end();
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(!raw.contains(SECRET), "{shell}: {raw}");
    home.run(["connections", "show", "x"]).done().ok();
}

#[test]
fn after_ctrl_z_and_fg_a_secret_is_hidden_in_bash() {
    typed_after_a_stop("bash", &["--norc", "--noprofile", "-i"]);
}

#[test]
fn after_ctrl_z_and_fg_a_secret_is_hidden_in_zsh() {
    typed_after_a_stop("zsh", &["-f", "-i"]);
}

#[test]
fn after_ctrl_z_and_fg_a_secret_is_hidden_in_dash() {
    typed_after_a_stop("dash", &["-i"]);
}

fn at_the_question(home: &Home) -> Terminal {
    let mut terminal = Terminal::start(home, &ADD);
    terminal.expect(QUESTION).echo(false);
    terminal
}

#[test]
fn every_signal_that_ends_the_program_restores_the_echo() {
    for name in ["INT", "TERM", "HUP", "QUIT"] {
        let home = home();
        let mut terminal = at_the_question(&home);
        terminal.signal(name);
        assert_ne!(terminal.end(), 0, "{name}");
        terminal.echo(true);
        assert!(!terminal.cells().hide_cursor(), "{name}");
        nothing_was_created(&home);
    }
}

#[test]
fn a_stop_from_outside_does_not_show_the_secret_either() {
    let home = home();
    let mut terminal = at_the_question(&home);
    // Without job control, Ctrl-Z would stop the program for ever.
    terminal.send("\u{1a}").signal("STOP").signal("CONT");
    terminal.expect(QUESTION).echo(false).line(SECRET);
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.screen().contains(SECRET));
}

/// In a container, the process group and the session may have begun outside its PID namespace.
#[cfg(target_os = "linux")]
#[test]
fn in_a_pid_namespace_signals_leave_the_terminal_as_it_was() {
    let home = home();
    let program = home.program().display().to_string();
    // Ctrl-C ends `unshare` as well; the outer shell keeps the terminal open.
    let script = r#"
        trap : INT
        unshare -rpf sh -c 'trap : INT; "$0" "$@"; echo "code:$?"' "$@"
        read line"#;
    let words = [&["-c", script, "sh", &program][..], &ADD].concat();
    let mut terminal = Terminal::start_program(&home, "sh", &words);
    terminal.expect(QUESTION).echo(false).send("\u{1a}");
    terminal.interrupt().expect("code:130").echo(true);
    terminal.line("").end();
    assert!(!terminal.cells().hide_cursor());
    nothing_was_created(&home);
}

#[test]
fn the_time_limit_of_the_command_ends_every_kind_of_question() {
    let secret = &ADD[..];
    let text: Vec<_> = ADD
        .iter()
        .filter(|word| !word.contains("label"))
        .copied()
        .collect();
    let menu = [
        "connections",
        "add",
        "--no-check",
        "--label=x",
        "--portal=https://h/p",
    ];
    for words in [secret, &text, &menu] {
        let home = home();
        let mut terminal = Terminal::start(&home, &[words, &["--timeout", "1s"]].concat());
        terminal.expect("was not answered in the time that --timeout allows");
        assert_eq!(terminal.end(), 2);
        terminal.echo(true);
        assert!(!terminal.cells().hide_cursor());
        nothing_was_created(&home);
    }
}
