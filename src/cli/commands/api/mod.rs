//! `api`: calls the portal, or a server that the portal grants a token for. The token is sent in a
//! header. An ArcGIS error in a response with HTTP status 200 is an error here, too.

mod pages;

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::de::IgnoredAny;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::json_for_terminal;
use crate::cli::shared::help::examples;
use crate::cli::terminal::with_cleanup;
use crate::cli::CommandContext;
use crate::error::{Error, FileAction, Refusal, Unreachable};
use crate::federation::{is_secret_parameter, Target};
use crate::files::{self, UserOutput};
use crate::http::{ApiCall, Destination};
use crate::policy::command_line::{leaves_reserve, SPACE_CHECK_BYTES};
use crate::policy::MAX_ANSWER_BYTES;
use crate::session::Session;

const SAVE_IT: &str = "save it to a file: age-oauth api … -o FILE";

type Fields = Vec<(String, String)>;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth api community/self", "who you are"),
    ("age-oauth api search -f q=roads --paginate", "every page of a search, as one array"),
    ("age-oauth api content/items/ID/data -o data.zip", "download a file"),
]))]
pub(in crate::cli) struct ApiArgs {
    /// A path below `/sharing/rest/`, or a whole address on the portal or one of its servers
    path: String,
    /// A parameter (repeatable)
    #[arg(short = 'f', long = "field", value_name = "KEY=VALUE")]
    fields: Vec<String>,
    /// The method [default: post if a file is sent, else get]
    #[arg(
        short = 'X',
        long,
        value_name = "get|post",
        hide_possible_values = true
    )]
    method: Option<Method>,
    /// Send this file, as the part `file` of a form
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paginate", "output"])]
    input: Option<PathBuf>,
    /// Fetch all pages and print their results as one JSON array
    #[arg(long, conflicts_with = "output")]
    paginate: bool,
    /// Write the response to this file, however large it is; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Parameters in the address
    #[value(alias = "GET")]
    Get,
    /// Parameters in a form
    #[value(alias = "POST")]
    Post,
}

pub(in crate::cli) fn api(ctx: &mut CommandContext, args: &ApiArgs) -> Outcome {
    let session = ctx.session()?;
    let target = Target::parse(&session.connection().urls, &args.path)?;
    let mut fields = target.query().to_vec();
    fields.extend(parse_fields(&args.fields)?);
    if let Some(path) = &args.input {
        check_readable(path)?;
    }
    let post = match (args.method, &args.input) {
        (Some(Method::Get), Some(_)) => {
            return Err(Failure::usage(
                "a file can only be sent by POST; leave out -X get",
            ))
        }
        (Some(Method::Post), _) | (None, Some(_)) => true,
        _ => false,
    };
    if args.paginate {
        let all = pages::join(&session, &target, fields, post)?;
        return print(ctx, all.as_bytes());
    }
    let call = ApiCall {
        address: target.address(),
        post,
        fields: &fields,
        file: args.input.as_deref(),
    };
    if let Some(path) = &args.output {
        return download(ctx, &session, &target, &call, path);
    }
    let response = session
        .call(&target, |http, token| http.api(&call, token))
        .map_err(about_path)?;
    print(ctx, response.bytes())
}

fn parse_fields(fields: &[String]) -> Result<Fields, Failure> {
    fields
        .iter()
        .map(|field| {
            let (name, value) = field
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`{field}` is not in the form KEY=VALUE")))?;
            if is_secret_parameter(name) {
                return Err(Failure::usage(format!(
                    "leave the parameter `{name}` out; the token is sent in a header"
                )));
            }
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Reports a file that cannot be read before anything is sent.
fn check_readable(path: &Path) -> Outcome {
    files::open_user_file(path).map_err(Error::file(FileAction::Read, path))?;
    Ok(())
}

/// On a terminal, indents JSON, and shows the control characters of anything else. Prints the bytes
/// unchanged elsewhere.
fn print(ctx: &mut CommandContext, bytes: &[u8]) -> Outcome {
    if ctx.system.terminal.stdout {
        return ctx.answer(&for_terminal(bytes));
    }
    ctx.system.out.write_all(bytes)?;
    if !bytes.ends_with(b"\n") {
        ctx.system.out.write_all(b"\n")?;
    }
    Ok(())
}

/// JSON that nests more deeply than this is not indented: the white space would outgrow it.
const DEEPEST_INDENT: usize = 128;

/// What is not JSON, or nests deeply, is text like any other, and may hold the same control
/// characters.
fn for_terminal(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // Skips the values, because a number may be too large for any type, and half a surrogate pair
    // is not a string.
    let indented = serde_json::from_str::<IgnoredAny>(&text)
        .ok()
        .and_then(|_| indented(&text));
    json_for_terminal(indented.as_deref().unwrap_or_else(|| text.trim_end()))
}

/// Valid JSON with other white space; nothing where it nests too deeply. Written again from its
/// values, it would have other numbers: 64-bit floats do not hold every identifier.
fn indented(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => copy_string(&mut rest, &mut out),
            '{' | '[' => {
                out.push(c);
                depth += 1;
                if depth > DEEPEST_INDENT {
                    return None;
                }
                begin_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                // An empty one stays on its line.
                let content = out.trim_end().len();
                if out[..content].ends_with(['{', '[']) {
                    out.truncate(content);
                } else {
                    begin_line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                begin_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(c),
        }
    }
    Some(out)
}

fn begin_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Copies the string whose first quotation mark was just read, as it is.
fn copy_string(rest: &mut impl Iterator<Item = char>, out: &mut String) {
    out.push('"');
    while let Some(c) = rest.next() {
        out.push(c);
        match c {
            '"' => return,
            '\\' => out.extend(rest.next()),
            _ => {}
        }
    }
}

/// Writes the response to a file as [`files::UserOutput`] does, or to standard output for `-`.
/// Nothing is written unless the whole response arrives.
fn download(
    ctx: &mut CommandContext,
    session: &Session,
    target: &Target,
    call: &ApiCall<'_>,
    path: &Path,
) -> Outcome {
    let failed = |source| Error::File {
        action: FileAction::WriteOutput,
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let mut file = tempfile::tempfile().map_err(failed)?;
        let folder = tempfile::env::temp_dir();
        fetch(ctx, session, target, call, (&mut file, path, &folder))?;
        std::io::Seek::rewind(&mut file)?;
        return print_file(ctx, &mut file);
    }
    if path.is_dir() {
        return Err(Failure::usage(format!(
            "`{}` is a folder; give the name of a file",
            path.display()
        )));
    }
    let mut output = UserOutput::create(path, ctx.context.deadline).map_err(failed)?;
    let folder = output.folder();
    let unfinished = output.unfinished();
    // An interrupted download leaves nothing of what may be gigabytes.
    let remove = move || {
        if let Some(unfinished) = unfinished {
            let _ = files::remove(&unfinished);
        }
    };
    with_cleanup(remove, || -> Outcome {
        fetch(ctx, session, target, call, (output.file(), path, &folder))?;
        output.finish().map_err(failed)?;
        Ok(())
    })?;
    ctx.console.info(&format!("[OK] Wrote {}", path.display()));
    Ok(())
}

/// A terminal gets text only, with its control characters visible. Anything else gets the bytes.
fn print_file(ctx: &mut CommandContext, file: &mut File) -> Outcome {
    if !ctx.system.terminal.stdout {
        std::io::copy(file, &mut ctx.system.out)?;
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.take(MAX_ANSWER_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    match String::from_utf8(bytes) {
        Ok(text) if text.len() <= MAX_ANSWER_BYTES => ctx.answer(&for_terminal(text.as_bytes())),
        _ => Err(Failure::usage_hint(
            "the answer is too large for a terminal, or not text",
            SAVE_IT,
        )),
    }
}

/// Writes the response to a file, and names it by the path. If a second attempt follows a rejected
/// token, it overwrites what the first one wrote.
fn fetch(
    ctx: &CommandContext,
    session: &Session,
    target: &Target,
    call: &ApiCall<'_>,
    (file, path, folder): (&mut File, &Path, &Path),
) -> Outcome {
    let bar = ctx.console.download();
    let answer = session.call(target, |http, token| {
        let rewound = std::io::Seek::rewind(file).and_then(|()| file.set_len(0));
        rewound.map_err(|source| crate::http::CallError::Failed {
            error: Error::file(FileAction::WriteOutput, path)(source),
            sent: false,
        })?;
        let mut next_check = 0;
        let mut progress = |received, total| {
            bar.set(received, total);
            if received < next_check {
                return Ok(());
            }
            next_check = received + SPACE_CHECK_BYTES;
            check_space(folder, received, total)
        };
        http.download(
            call,
            token,
            &mut Destination::new(file, path, &mut progress),
        )
    });
    answer.map_err(about_path)
}

/// Refuses to fill the disk.
fn check_space(folder: &Path, received: u64, total: Option<u64>) -> std::io::Result<()> {
    let Some(space) = files::disk_space(folder) else {
        return Ok(());
    };
    let missing = total.map_or(0, |total| total.saturating_sub(received));
    if leaves_reserve(missing, space.available, space.total) {
        return Ok(());
    }
    let free = space.available / 1_000_000;
    Err(std::io::Error::new(
        std::io::ErrorKind::StorageFull,
        match total {
            Some(total) => format!(
                "the answer has {} MB, and the disk has {free} MB left",
                total / 1_000_000
            ),
            None => format!("the disk has {free} MB left, and the answer goes on"),
        },
    ))
}

/// The portal's own refusal of a call may be about the path or the parameters.
fn about_path(error: Error) -> Failure {
    match &error {
        Error::Refused {
            why: Refusal::Other { .. },
            ..
        } => Failure::Hinted {
            error,
            hint: "check the path and the parameters (-f KEY=VALUE)".into(),
        },
        // The same answer is as large the next time.
        Error::Unreachable {
            why: Unreachable::TooLarge,
            ..
        } => Failure::Failed {
            message: error.to_string(),
            hint: Some(SAVE_IT.into()),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_the_numbers_and_strings_that_the_portal_sent() {
        let sent = r#" {"id":12345678901234567890123,"b":0.1000000000000000055, "c":1.50E2,
            "d":[ ],"e":{},"f":["a,{\"","\\",{"g":null}],"b":"twice"}"#;
        let shown = r#"{
  "id": 12345678901234567890123,
  "b": 0.1000000000000000055,
  "c": 1.50E2,
  "d": [],
  "e": {},
  "f": [
    "a,{\"",
    "\\",
    {
      "g": null
    }
  ],
  "b": "twice"
}"#;
        assert_eq!(for_terminal(sent.as_bytes()), shown);
    }

    #[test]
    fn indenting_changes_no_value() {
        let value = serde_json::json!({"a": [[], {}, [1, -2.5, "x: {y}", "\\"]], "b": {"c": {}}});
        assert_eq!(
            indented(&value.to_string()),
            serde_json::to_string_pretty(&value).ok()
        );
    }

    #[test]
    fn a_number_that_no_type_holds_and_half_a_pair_are_indented_as_they_are() {
        let shown = for_terminal(br#"{"a":[1e400,"\ud800",1.0]}"#);
        let expected = "{\n  \"a\": [\n    1e400,\n    \"\\ud800\",\n    1.0\n  ]\n}";
        assert_eq!(shown, expected);
    }

    #[test]
    fn white_space_does_not_outgrow_json_that_nests_deeply() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert_eq!(for_terminal(deep.as_bytes()), deep);
    }
}
