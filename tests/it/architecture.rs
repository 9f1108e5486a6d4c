//! Who may import whom. The modules of the crate form layers, drawn in docs/architecture.md; this
//! reads the sources and fails where an import points upwards, or where modules import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A module may import modules of lower layers, and no module of its own layer.
const LAYERS: [&[&str]; 16] = [
    &["duration", "env", "policy", "secret", "util"],
    &["bound_setting", "crash", "item_kind"],
    &["error", "trusted"],
    &["connection"],
    &["machine_policy"],
    &["binding", "event", "text"],
    &["certificate_record", "context", "token"],
    &["files"],
    &["keychain", "program", "store"],
    &["http"],
    &["oauth"],
    &["federation", "loopback", "portal"],
    &["session"],
    &["manage"],
    &["card", "migrate"],
    &["cli"],
];

/// Modules that only these may import, whatever their layer.
const ONLY_FROM: [(&str, &[&str]); 3] = [
    ("session", &["cli", "manage", "migrate"]),
    ("migrate", &["cli"]),
    ("cli", &[]),
];

/// Public structs that callers make with their fields, so that they cannot be `non_exhaustive`. A
/// new field needs a new major version, or a default for callers with `..Default::default()`.
const MADE_BY_CALLERS: [&str; 4] = ["AccessToken", "Context", "SignInOptions", "TokenRequest"];

/// One import: the module that has it, the one that it names, and where.
type Import = (String, String, String);

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The path below `src`, with slashes.
fn name(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let below = path.strip_prefix(src).unwrap();
    below.to_string_lossy().replace('\\', "/")
}

/// The lines of a source without comments and without its test module, each with its number.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_test_module = |at: usize| {
        lines[at].starts_with("#[cfg(test)]")
            && lines[at + 1..]
                .iter()
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    let end = (0..lines.len())
        .find(|at| is_test_module(*at))
        .unwrap_or(lines.len());
    let code = lines[..end].iter().enumerate();
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, (*line).to_owned()))
        .collect()
}

/// The names that follow `prefix` (`crate::`), one or several in braces; each with its line.
fn named(code: &[(usize, String)], prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, (number, line)) in code.iter().enumerate() {
        for (start, _) in line.match_indices(prefix) {
            let before = line[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
                continue;
            }
            let rest = &line[start + prefix.len()..];
            if let Some(first) = rest.strip_prefix('{') {
                let lines = code[at + 1..].iter().map(|(_, line)| line.as_str());
                let list: String = std::iter::once(first)
                    .chain(lines)
                    .collect::<Vec<_>>()
                    .join("\n");
                found.extend(top_level(&list).into_iter().map(|name| (*number, name)));
            } else {
                found.push((*number, identifier(rest)));
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

/// The first names of a list `a::b, c::{d, e}}`, up to the brace that closes it.
fn top_level(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(std::mem::take(&mut item)),
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names.push(item);
    names.iter().map(|item| identifier(item.trim())).collect()
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// What lib.rs re-exports: `crate::Secret` is an import of `secret`.
fn exports() -> BTreeMap<String, String> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(lib).unwrap();
    let mut exports = BTreeMap::new();
    for part in text.split("\npub use ").skip(1) {
        let (module, rest) = part.split_once("::").unwrap();
        let names = match rest.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![identifier(rest)],
        };
        exports.extend(names.into_iter().map(|name| (name, module.to_owned())));
    }
    exports
}

/// The top-level module that a file belongs to.
fn module(file: &str) -> String {
    // A part of the command line, kept with the rest of the import.
    if file.starts_with("migrate/command/") {
        return "cli".into();
    }
    let first = file.split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Every import between top-level modules. Tests, and what is compiled for them alone, may import
/// all.
fn imports() -> BTreeSet<Import> {
    let exports = exports();
    let mut imports = BTreeSet::new();
    for path in sources() {
        let file = name(&path);
        let from = module(&file);
        let is_test = file.ends_with("tests.rs") || file.contains("/tests/");
        if is_test || ["lib", "main", "testing"].contains(&from.as_str()) {
            continue;
        }
        let code = code(&path);
        let mut names = named(&code, "crate::");
        if file == format!("{from}.rs") || file == format!("{from}/mod.rs") {
            names.extend(named(&code, "super::"));
        }
        for (number, to) in names {
            let to = exports.get(&to).cloned().unwrap_or(to);
            if to != from && to != "testing" {
                imports.insert((from.clone(), to, format!("src/{file}:{number}")));
            }
        }
    }
    imports
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn imports_point_down() {
    let mut wrong = String::new();
    for (from, to, place) in imports() {
        let problem = match (layer(&from), layer(&to)) {
            (None, _) => format!("`{from}` is in no layer"),
            (_, None) => format!("`{to}` is in no layer"),
            (Some(above), Some(below)) if above > below => continue,
            _ => format!("`{from}` may not import `{to}`"),
        };
        let _ = writeln!(wrong, "{place}: {problem}");
    }
    assert!(
        wrong.is_empty(),
        "against LAYERS in tests/it/architecture.rs:\n{wrong}"
    );
}

#[test]
fn no_modules_import_each_other() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to, _) in imports() {
        graph.entry(to.clone()).or_default();
        graph.entry(from).or_default().insert(to);
    }
    // What imports nothing that is left is not part of a circle.
    while let Some(free) = graph
        .iter()
        .find(|(_, imports)| imports.is_empty())
        .map(|(module, _)| module.clone())
    {
        graph.remove(&free);
        for imports in graph.values_mut() {
            imports.remove(&free);
        }
    }
    assert!(
        graph.is_empty(),
        "a circle, and what imports it: {graph:#?}"
    );
}

#[test]
fn upper_modules_are_imported_by_few() {
    for (from, to, place) in imports() {
        let allowed = ONLY_FROM.iter().find(|(module, _)| *module == to);
        if let Some((_, allowed)) = allowed {
            assert!(
                allowed.contains(&from.as_str()),
                "{place}: `{from}` may not import `{to}`"
            );
        }
    }
}

/// What several commands use is in `cli/shared`. Only the two `mod.rs` know all commands, to start
/// them.
#[test]
fn commands_do_not_import_each_other() {
    let mut commands = 0;
    for path in sources() {
        let file = name(&path);
        let parts: Vec<_> = match file
            .strip_prefix("cli/commands/connections/")
            .or_else(|| file.strip_prefix("cli/commands/"))
            .or_else(|| file.strip_prefix("migrate/"))
        {
            Some(_) if file.starts_with("migrate/") && !file.starts_with("migrate/command/") => {
                continue
            }
            Some("mod.rs") | None => continue,
            Some(below) => below.split('/').collect(),
        };
        commands += 1;
        let code = code(&path);
        let mut wrong = named(&code, "crate::cli::commands::");
        // From the first file of a command, `super` is where all commands are.
        let is_first = parts.len() == 1 || parts.len() == 2 && parts[1] == "mod.rs";
        wrong.extend(named(
            &code,
            if is_first {
                "super::"
            } else {
                "super::super::"
            },
        ));
        assert!(
            wrong.is_empty(),
            "src/{file} imports from other commands: {wrong:?}"
        );
    }
    assert!(commands > 15, "{commands} files of commands");
}

#[test]
fn only_the_program_uses_the_command_line() {
    for path in sources() {
        let file = name(&path);
        if file != "main.rs" {
            let uses = named(&code(&path), "age_oauth::");
            assert!(uses.is_empty(), "src/{file}: {uses:?}");
        }
    }
}

/// Types of the public interface can grow without breaking callers: enums get variants, and what
/// the library returns gets fields. In this crate, to which the command line belongs, the attribute
/// has no effect: a `match` without `_` still has to decide about each variant.
#[test]
fn public_types_may_grow() {
    let exports = exports();
    let (mut closed, mut made) = (String::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    for path in sources() {
        let file = name(&path);
        let code = code(&path);
        for (at, (number, line)) in code.iter().enumerate() {
            let line = line.trim_start();
            let Some((kind, rest)) = ["enum", "struct"].iter().find_map(|kind| {
                let rest = line.strip_prefix(&format!("pub {kind} "))?;
                Some((*kind, rest))
            }) else {
                continue;
            };
            let item = identifier(rest);
            if exports.get(&item) != Some(&module(&file)) {
                continue;
            }
            seen.insert(item.clone());
            let attributes = code[..at].iter().rev().map(|(_, line)| line.trim());
            let may_grow = attributes
                .take_while(|line| !line.is_empty() && !line.ends_with(['}', ';', '{']))
                .any(|line| line == "#[non_exhaustive]");
            let mut body = code[at + 1..].iter().map(|(_, line)| line.trim());
            let has_fields = rest.contains("(pub ")
                || (rest.ends_with('{')
                    && body
                        .by_ref()
                        .take_while(|line| *line != "}")
                        .any(|line| line.starts_with("pub ")));
            if kind == "struct" && !has_fields {
                continue;
            }
            if kind == "struct" && MADE_BY_CALLERS.contains(&item.as_str()) {
                assert!(!may_grow, "{file}:{number}: callers cannot make {item}");
                made.insert(item);
            } else if !may_grow {
                writeln!(
                    closed,
                    "{file}:{number}: {kind} {item} is not #[non_exhaustive]"
                )
                .unwrap();
            }
        }
    }
    assert!(closed.is_empty(), "{closed}");
    assert_eq!(made, MADE_BY_CALLERS.map(str::to_owned).into());
    // The parser must see the types that are made by a macro, and those of folders.
    for item in [
        "PrintedSecret",
        "TlsFailure",
        "Connection",
        "Selector",
        "OldKey",
    ] {
        assert!(seen.contains(item), "{item} was not found");
    }
}

/// The page has the layers as they are here, and every source file, tests aside.
#[test]
fn the_map_shows_the_layers_and_every_file() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let map = fs::read_to_string(map).unwrap().replace("\r\n", "\n");
    let drawn = map.split_once("## Layers").unwrap().1;
    let drawn = drawn.split("```").nth(1).unwrap();
    let drawn: Vec<BTreeSet<&str>> = drawn
        .lines()
        .filter(|line| !line.is_empty())
        // Between the modules and their description are many blanks, between modules some.
        .map(|line| line[..36].split_whitespace().collect())
        .collect();
    let layers = LAYERS.iter().rev();
    let layers: Vec<BTreeSet<&str>> = layers
        .map(|layer| layer.iter().copied().collect())
        .collect();
    assert_eq!(drawn, layers, "docs/architecture.md, Layers");

    let listed = map.split_once("## Files").unwrap().1;
    let listed = listed.split("\n## ").next().unwrap();
    let listed: BTreeSet<String> = listed
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "rs"))
        .map(str::to_owned)
        .collect();
    let files: BTreeSet<String> = sources()
        .iter()
        .map(|path| name(path))
        .filter(|file| !file.ends_with("tests.rs") && !file.contains("/tests/"))
        .collect();
    let missing: Vec<_> = files.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&files).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/architecture.md, Files: missing {missing:?}, gone {gone:?}"
    );
}
