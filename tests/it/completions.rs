//! Completion scripts in their real shells, and manual pages.

use crate::home;
use crate::support::home::Home;
use crate::support::pty::Terminal;
use crate::support::scenario::add_labels;

fn set_up() -> Home {
    let home = home();
    add_labels(&home, &["prod", "preview", "My Portal"]);
    home
}

/// Adds a connection with this label where there is none.
fn add_labels_once(home: &Home, label: &str) {
    if home.run(["connections", "show", label]).done().code == 4 {
        add_labels(home, &[label]);
    }
}

/// A shell on a terminal, in which the documented line has loaded the completions.
fn interactive(home: &Home, shell: &str) -> Terminal {
    let folder = home.program().parent().unwrap().display();
    let path = format!(
        "PATH={folder}:{}",
        std::env::var("PATH").unwrap_or_default()
    );
    // elvish puts its socket there, which is otherwise in a folder that all homes share.
    let own = format!("XDG_RUNTIME_DIR={}", home.path().display());
    let (start, load): (&[&str], _) = match shell {
        "bash" => (&["--norc", "-i"], "source <(age-oauth completions bash)"),
        // With its usual key, zsh runs commands that are in the word, for every program.
        "zsh" => (&["-f", "-i"], "autoload -U compinit && compinit -u -D && source <(age-oauth completions zsh); bindkey '^I' complete-word"),
        "fish" => (&["--no-config"], "age-oauth completions fish | source"),
        "elvish" => (&["-norc"], "eval (age-oauth completions elvish | slurp)"),
        other => panic!("{other}"),
    };
    let arguments = [&[path.as_str(), own.as_str(), shell], start].concat();
    let mut terminal = Terminal::start_program(home, "env", &arguments);
    terminal
        .line(&format!("{load}; echo set''up"))
        .expect("setup");
    terminal
}

/// Runs a script in a shell that finds the program by its name.
fn shell(home: &Home, program: &str, script: &str) -> Vec<String> {
    let folder = home.program().parent().unwrap().display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let out = std::process::Command::new(program)
        .args(["-c", script])
        .env_clear()
        .envs(home.environment())
        .env("PATH", path)
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{program} (tests/run installs it): {why}"));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{program}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// What bash offers for the last of these words.
fn bash(home: &Home, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source <(age-oauth completions bash)\nCOMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9\n_clap_complete_age_oauth age-oauth \"${{COMP_WORDS[-1]}}\" x\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
    );
    shell(home, "bash", &script)
}

#[test]
fn bash_completes_labels_commands_and_flags() {
    let home = set_up();
    assert_eq!(
        bash(&home, &["age-oauth", "token", "-c", "pr"]),
        ["preview", "prod"]
    );
    assert_eq!(
        bash(&home, &["age-oauth", "connections", "show", "pro"]),
        ["prod"]
    );
    assert_eq!(bash(&home, &["age-oauth", "expo"]), ["export-env"]);
    assert_eq!(bash(&home, &["age-oauth", "token", "--min"]), ["--min-ttl"]);
    // A label of several words is one word for the shell, however its beginning is written.
    for typed in ["my", "My"] {
        assert_eq!(
            bash(&home, &["age-oauth", "token", "-c", typed]),
            ["'My Portal'"]
        );
    }
}

/// bash replaces only the part after `=` or `:`, and only what is in the quotes that a person
/// began.
#[test]
fn bash_completes_in_quotes_and_after_an_equals_sign_and_a_colon() {
    let home = set_up();
    for label in ["gis:test", "live:a::x"] {
        add_labels_once(&home, label);
    }
    let mut terminal = interactive(&home, "bash");
    for (typed, completed) in [
        ("--connection=pro", "--connection=prod"),
        ("-c=pro", "-c=prod"),
        ("--connection=My", "--connection='My Portal'"),
        ("--connection=gis:t", "--connection=gis:test"),
        ("--connection=gis:", "--connection=gis:test"),
        ("-c gis:", "-c gis:test"),
        ("-c gis:t", "-c gis:test"),
        ("-c g", "-c gis:test"),
        ("-c \"gis:t", "-c \"gis:test\""),
        ("-c live:a:", "-c live:a::x"),
        ("-c live:a::", "-c live:a::x"),
        ("-c liv", "-c live:a::x"),
    ] {
        // It takes a connection by its option only.
        terminal.send(&format!("age-oauth status {typed}\t"));
        terminal.shows(&format!("age-oauth status {completed}"));
        terminal.send("\r").expect("is not signed in");
    }
    for (typed, label) in [
        ("\"my", "My Portal"),
        ("'My", "My Portal"),
        ("My\\ P", "My Portal"),
        ("\"$(", "$(touch ran) \"x\" `touch ran` \\"),
        ("'$(", "$(touch ran) \"x\" `touch ran` \\"),
    ] {
        add_labels_once(&home, label);
        terminal.send(&format!("age-oauth connections show {typed}\t\r"));
        terminal
            .expect("Label:")
            .expect(label)
            .expect("https://h/p");
    }
    // In double quotes, bash would replace the `!` of a label by an earlier command.
    add_labels_once(&home, "hey !x");
    terminal.send("age-oauth connections show \"hey\t\u{15}");
    terminal.line("echo do''ne").expect("done");
    assert!(!terminal.screen().contains("\"hey !x"));
    assert!(!home.path().join("ran").exists());
    terminal.line("exit");
    terminal.end();
}

#[test]
fn fish_completes_labels() {
    let home = set_up();
    let script = "age-oauth completions fish | source; complete -C 'age-oauth token -c pro'; complete -C 'age-oauth expo'";
    let offered = shell(&home, "fish", script);
    assert!(offered[0].starts_with("prod\t"), "{offered:?}");
    assert!(offered[1].starts_with("export-env"), "{offered:?}");
    let script =
        "age-oauth completions fish | source; complete --escape -C 'age-oauth token -c My'";
    let offered = shell(&home, "fish", script);
    assert!(offered[0].starts_with("My\\ Portal\t"), "{offered:?}");
}

#[test]
fn zsh_completes_labels() {
    let home = set_up();
    let folder = home.program().parent().unwrap().display().to_string();
    let mut terminal = Terminal::start_program(&home, "zsh", &["-f", "-i"]);
    let setup = format!(
        "PS1='ready> '; path=({folder} $path); autoload -U compinit && compinit -u -D && source <(age-oauth completions zsh) && echo set''up"
    );
    terminal.line(&setup).expect("setup").expect("ready> ");
    terminal.send("echo age-oauth token -c none; age-oauth connections show pro\t");
    terminal.expect("show prod").send("\r");
    terminal
        .expect("https://h/p")
        .expect("ready> ")
        .send("age-oauth connections show My\t")
        .expect("show My\\ Portal")
        .send("\r")
        .expect("My Portal")
        .expect("ready> ")
        .line("exit");
    terminal.end();
}

#[test]
fn elvish_completes_labels() {
    let mut home = set_up();
    let folder = home.program().parent().unwrap().display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    home.set("PATH", &path);
    // Its socket would otherwise be in a folder that all homes share.
    let own = home.path().display().to_string();
    home.set("XDG_RUNTIME_DIR", &own);
    let mut terminal = Terminal::start_program(&home, "elvish", &["-norc"]);
    terminal
        .expect("~")
        .line("eval (age-oauth completions elvish | slurp); echo set'up'")
        .expect("setup")
        .send("age-oauth connections show pro\t\r")
        .expect("Label:")
        .expect("prod");
    let screen = terminal.screen();
    assert!(screen.contains("connections show prod"), "{screen}");
    // elvish quotes what it inserts. The first Enter selects the word, the second runs the line.
    terminal
        .send("age-oauth connections show My\t")
        .expect("'My Portal'")
        .expect("COMPLETING")
        .send("\r\r")
        .expect("Label:")
        .expect("My Portal");
    terminal.line("exit");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
}

/// TAB after words that would run a command if anything evaluated them. Each leaves a line to be
/// removed by Ctrl-U; what the next line prints shows that the shell is done with the completion.
fn evaluates_nothing(shell: &str, words: &[&str]) {
    let home = set_up();
    let mut terminal = interactive(&home, shell);
    for option in ["-c ", "--connection="] {
        for (number, word) in words.iter().enumerate() {
            let word = word.replace("RUN", "touch ran");
            terminal.send(&format!("age-oauth token {option}{word}\t\u{15}"));
            let done = format!("{}{number}", option.len());
            terminal.line(&format!("echo do''ne{done}"));
            terminal.expect(&format!("done{done}"));
        }
    }
    // It completes after such a word, so that the words do reach the program. elvish asks nothing
    // about a line with a command in it.
    let (typed, offered) = match shell {
        "bash" | "zsh" => ("--color $(touch ran) pro", "prod"),
        "fish" => ("--color (touch ran) pro", "prod"),
        _ => ("'(touch ran)' --quie", "--quiet"),
    };
    terminal.send(&format!("age-oauth connections show {typed}\t"));
    terminal.shows(offered);
    assert!(!home.path().join("ran").exists(), "{}", terminal.screen());
}

const OF_POSIX_SHELLS: [&str; 14] = [
    "$(RUN)",
    "`RUN`",
    ";RUN;",
    "\"$(RUN)",
    "\"`RUN`\"",
    "<(RUN)",
    "=(RUN)",
    "x$(RUN)/",
    "~$(RUN)/",
    "${x:=$(RUN)}",
    "$((a[$(RUN)]))",
    "{a,$(RUN)}",
    "$'x'$(RUN)",
    "$(RUN) --min-t",
];

#[test]
fn bash_evaluates_nothing_of_what_is_typed() {
    evaluates_nothing("bash", &OF_POSIX_SHELLS);
}

#[test]
fn zsh_evaluates_nothing_of_what_is_typed() {
    evaluates_nothing("zsh", &OF_POSIX_SHELLS);
}

#[test]
fn fish_evaluates_nothing_of_what_is_typed() {
    let own = [
        "(RUN)",
        "(RUN)/",
        "x(RUN)",
        "$x[(RUN)]",
        "{a,(RUN)}",
        "(RUN) --min-t",
    ];
    evaluates_nothing("fish", &[&OF_POSIX_SHELLS[..], &own].concat());
}

#[test]
fn elvish_evaluates_nothing_of_what_is_typed() {
    evaluates_nothing(
        "elvish",
        &[
            "\"(RUN)",
            "x(RUN)/",
            "`RUN`",
            "(RUN) --min-t",
            "[(RUN)] --min-t",
            "{ RUN } --min-t",
            "$x[(RUN)]",
        ],
    );
}

#[test]
fn completion_prints_no_errors_and_creates_nothing() {
    let home = set_up();
    let asked = |variables: &[(&str, &str)]| {
        let mut run = home
            .run(["--", "age-oauth", "token", "-c", ""])
            .env("AGE_OAUTH_COMPLETE", "fish");
        for (name, value) in variables {
            run = run.env(name, value);
        }
        run.done().ok()
    };
    assert!(asked(&[]).stdout.contains("prod"));
    let nowhere = home.path().join("nowhere").display().to_string();
    let out = asked(&[("AGE_OAUTH_HOME", &nowhere)]);
    assert_eq!(
        (out.stderr.as_str(), home.path().join("nowhere").exists()),
        ("", false)
    );
    std::fs::write(home.store().join("default"), "\u{0}").unwrap();
    assert_eq!(asked(&[]).stderr, "");
}

#[test]
fn every_shell_has_a_script() {
    let home = home();
    for shell in [
        "bash",
        "zsh",
        "fish",
        "powershell",
        "elvish",
        "nushell",
        "nu",
    ] {
        let out = home.run(["completions", shell]).done().ok();
        assert!(out.stdout.contains("age-oauth"), "{shell}");
    }
    home.run(["completions", "tcsh"]).done().code(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = home();
    let dir = home.path().join("man/man1");
    home.run(["man", "--dir", dir.to_str().unwrap()])
        .done()
        .ok()
        .out("");
    for name in [
        "age-oauth",
        "age-oauth-token",
        "age-oauth-connections-add",
        "age-oauth-exec",
    ] {
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".TH ") && page.contains(".SH NAME"), "{name}");
    }
    let names = std::fs::read_dir(&dir).unwrap().flatten();
    assert!(!names
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().contains("help")));
    let page = home.run(["man", "connections", "add"]).done().ok().stdout;
    assert!(
        page.contains("age\\-oauth\\-connections\\-add") || page.contains("connections-add"),
        "{page}"
    );
    assert!(home.run(["man"]).done().ok().stdout.contains(".SH NAME"));
    home.run(["man", "no-such"]).done().code(2);
}
