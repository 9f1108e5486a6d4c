//! The recipes of `docs/service-accounts.md` for Linux, and of `docs/ci.md` for Docker: their
//! commands and files as they are printed there, in a mount namespace in which `/etc`, `/run` and
//! the folders of the accounts are their own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};

use crate::home;
use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID};

const PAGE: &str = include_str!("../../docs/service-accounts.md");
const CI: &str = include_str!("../../docs/ci.md");

/// A machine of its own, whose sealed credentials are those of this one: systemd keeps their key
/// on no temporary file system. `$1` is a folder with the program, the portal's authority and what
/// else the recipe needs; standard input is the client secret.
const MACHINE: &str = r#"given=$1; shift
mkdir "$given/etc"; mount -t tmpfs -o mode=755 none "$given/etc"
cp -r --preserve=mode,links /etc/. "$given/etc" 2>/dev/null || :
cat "$given/ca.pem" >>"$given/etc/ssl/certs/ca-certificates.crt"
mount --bind "$given/etc" /etc
mkdir "$given/systemd"; mount --bind /var/lib/systemd "$given/systemd"
for folder in /run /opt /var/lib /var/log /usr/local/bin; do
  mount -t tmpfs -o mode=755 none "$folder"
done
mkdir /var/lib/systemd; mount --bind "$given/systemd" /var/lib/systemd
cp "$given/age-oauth" "$given/sudo" /usr/local/bin/
mkdir /opt/gis; cp "$given/publish.py" /opt/gis/
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -m 700 /run/work; cd /run/work
"#;

/// `sudo -H -u ACCOUNT COMMAND`, which starts with a new environment.
const SUDO: &str = r#"#!/bin/sh
user=$3; shift 3
home=$(getent passwd "$user" | cut -d: -f6)
exec setpriv --reuid "$user" --regid "$user" --init-groups env -i \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME="$home" USER="$user" LOGNAME="$user" "$@"
"#;

/// The command that adds the connection, with the client secret on standard input.
const ADD: &str = "/usr/local/bin/age-oauth connections add --replace --label jobs \
     --portal https://gis.example.com/portal --client-id ID --auth-type app --keychain vault \
     --client-secret-stdin <client-secret.txt";

/// What systemd does for the settings in these units.
const START: &str = r#"start() {
  unit=/etc/systemd/system/$1; user=$(sed -n 's/^User=//p' "$unit")
  credentials=/run/credentials/$1; mkdir -p "$credentials"
  sed -n 's/^LoadCredentialEncrypted=//p' "$unit" | while IFS=: read -r name path; do
    systemd-creds decrypt --name="$name" "$path" "$credentials/$name" 2>/dev/null
    chmod 400 "$credentials/$name"
  done
  chown -R "$user" "$credentials"; chmod 500 "$credentials"
  (cd / && sudo -H -u "$user" env "$(sed -n 's/^Environment=//p' "$unit")" \
    CREDENTIALS_DIRECTORY="$credentials" sh -c "$(sed -n 's/^ExecStart=//p' "$unit")")
  rm -r "$credentials"
}
"#;

/// Without root, there are no other accounts.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// The text below this heading.
fn section(heading: &str) -> &'static str {
    below(PAGE, heading)
}

fn docker() -> &'static str {
    below(CI, "Docker")
}

fn below(page: &'static str, heading: &str) -> &'static str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// The blocks of this kind, each with the text before it.
fn blocks(section: &'static str, kind: &str) -> Vec<(&'static str, &'static str)> {
    let fence = format!("```{kind}\n");
    let starts = section.match_indices(&fence);
    starts
        .filter(|(at, _)| *at == 0 || section[..*at].ends_with('\n'))
        // The end of another block looks like the beginning of one without a kind.
        .filter(|(at, _)| section[..*at].matches("```").count().is_multiple_of(2))
        .map(|(at, fence)| {
            let (before, after) = section.split_at(at);
            (before, after[fence.len()..].split("```").next().unwrap())
        })
        .collect()
}

fn only(section: &'static str, kind: &str) -> &'static str {
    let found = blocks(section, kind);
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found[0].1
}

/// A portal, and a folder for [`MACHINE`].
struct Place {
    portal: Portal,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let (portal, folder) = (
            Portal::start(PortalVersion::Enterprise114),
            tempfile::tempdir().unwrap(),
        );
        portal.ca_file(folder.path());
        fs::copy(home().program(), folder.path().join("age-oauth")).unwrap();
        let place = Self { portal, folder };
        place.write("sudo", SUDO, 0o755);
        let publish = "import os\nprint(os.environ['ARCGIS_TOKEN'])\n";
        place.write("publish.py", publish, 0o644);
        place
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// A text of the page, with the practice portal in place of the example.
    fn filled(&self, text: &str) -> String {
        text.replace("https://gis.example.com/portal", &self.portal.url())
            .replace("--client-id ID", &format!("--client-id {SERVICE_ID}"))
    }

    /// Runs a script on the machine, and returns what it printed.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let (_, page) = PAGE.split_once("```\n(umask").unwrap();
        let stores = page.split("```").next().unwrap();
        let script = format!("set -eu\n{MACHINE}(umask{stores}{script}");
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-ec", &script, "sh"])
            .arg(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(service_secret().as_bytes()).unwrap();
        drop(input);
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let said = String::from_utf8(stdout).unwrap();
        let errors = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{status}\n{said}\n{errors}");
        said
    }

    /// The last lines of the output are tokens.
    #[track_caller]
    fn prints_tokens(&self, said: &str, count: usize) {
        let lines: Vec<_> = said.lines().rev().take(count).collect();
        assert_eq!(lines.len(), count, "{said}");
        for line in lines {
            assert!(self.portal.accepts_access_token(line), "{said}");
        }
    }
}

#[test]
fn systemd_units_open_the_vault_with_a_sealed_key_and_nothing_else_does() {
    if !is_root() {
        return;
    }
    let (place, section_of) = (Place::new(), section("systemd"));
    let account = blocks(section("The account"), "sh")[0].1;
    let seal = only(section_of, "sh");
    let mut script = vec![format!(
        "{account}\n{seal}\ntest ! -e client-secret.txt\nmkdir -p /etc/systemd/system\n"
    )];
    let mut names = Vec::new();
    for (before, unit) in blocks(section_of, "ini") {
        let path = before.rsplit("`/etc/systemd/system/").next().unwrap();
        let name = path.split('`').next().unwrap();
        place.write(name, &place.filled(unit), 0o644);
        script.push(format!("cp \"$given/{name}\" /etc/systemd/system/\n"));
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "age-oauth-add.service",
            "gis-nightly.service",
            "gis-nightly.timer"
        ]
    );
    script.push(
        r"(cd /etc/systemd/system && systemd-analyze verify --man=no ./age-oauth-add.service ./gis-nightly.service ./gis-nightly.timer) >verified 2>&1
test ! -s verified || { cat verified; exit 1; }
".to_owned()
    );
    script.push(START.to_owned());
    script.push(
        r#"start age-oauth-add.service
start age-oauth-add.service
code=0
sudo -H -u gis env AGE_OAUTH_HOME=/var/lib/gis/age_oauth age-oauth token -c jobs 2>refused || code=$?
test "$code" = 5 || { cat refused; exit 1; }
start gis-nightly.service
"#.to_owned()
    );
    let said = place.run(&script.concat());
    place.prints_tokens(&said, 1);
}

/// The units on the other pages, which need no more than systemd's own check.
#[test]
fn units_of_a_person_and_of_the_page_about_the_vault_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join(".cargo/bin");
    fs::create_dir_all(&programs).unwrap();
    let program = programs.join("age-oauth");
    fs::copy(home().program(), &program).unwrap();
    let valid = |how: &[&str], units: &[&str]| {
        let out = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(how)
            .args(units.iter().map(|name| folder.path().join(name)))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{units:?}: {said}");
    };
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();

    let page = include_str!("../../docs/scheduled-tasks.md");
    let (_, section) = page.split_once("\n## systemd\n").unwrap();
    let block = section.split("```").nth(1).unwrap();
    let mut names = Vec::new();
    for part in block.split("# ~/.config/systemd/user/").skip(1) {
        let (name, text) = part.split_once('\n').unwrap();
        write(name, text);
        names.push(name);
    }
    assert_eq!(
        names,
        ["age-oauth-refresh.service", "age-oauth-refresh.timer"]
    );
    valid(&["--user"], &names);

    let page = include_str!("../../docs/headless.md");
    let [(_, unit)] = blocks(page, "ini")[..] else {
        panic!("another number of units");
    };
    let place = "/usr/local/bin/age-oauth";
    assert_eq!(unit.matches(place).count(), 1);
    let unit = unit.replace(place, program.to_str().unwrap());
    write("sealed.service", &unit);
    valid(&[], &["sealed.service"]);

    let page = include_str!("../../docs/secret-managers.md");
    let (_, block) = page.split_once("\n```\n[Service]\n").unwrap();
    let block = block.split("```").next().unwrap();
    let command = format!("Type=oneshot\nExecStart={}\n", program.display());
    write("secret.service", &format!("[Service]\n{block}{command}"));
    valid(&[], &["secret.service"]);

    let [(_, unit)] = blocks(include_str!("../../docs/qgis.md"), "ini")[..] else {
        panic!("another number of units");
    };
    let unit = unit.replace("/usr/bin/qgis_process", program.to_str().unwrap());
    write("gis-roads.service", &unit);
    valid(&[], &["gis-roads.service"]);
}

#[test]
fn a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group() {
    if !is_root() {
        return;
    }
    let (place, section_of) = (Place::new(), section("cron"));
    let mut script = Vec::new();
    for (_, block) in blocks(section("The account"), "sh") {
        script.push(block.to_owned());
    }
    let [(_, add), (_, check)] = blocks(section_of, "sh")[..] else {
        panic!("the connection, and the check");
    };
    script.push(place.filled(add));
    script.push("test ! -e client-secret.txt\n".to_owned());
    let table = only(section_of, "");
    let mut variables = String::new();
    let mut jobs = 0;
    for line in table.lines() {
        let fields: Vec<_> = line.splitn(7, ' ').collect();
        let [_, _, _, _, _, account, command] = fields[..] else {
            variables.push_str(line);
            variables.push(' ');
            continue;
        };
        assert_eq!(account, "gis");
        let command = command.replace('\'', r"'\''");
        script.push(format!(
            "sudo -H -u gis env PATH=/usr/bin:/bin SHELL=/bin/sh {variables} /bin/sh -c '{command}'\n"
        ));
        jobs += 1;
    }
    assert_eq!((jobs, variables.matches('=').count()), (2, 1));
    // The line that keeps sign-ins alive, on another page.
    let page = include_str!("../../docs/scheduled-tasks.md");
    let (_, other) = page.split_once("\n## cron\n").unwrap();
    let line = other.split("```").nth(1).unwrap().trim();
    let command = line.strip_prefix("30 5 * * * ").unwrap();
    assert!(command.contains("refresh --all && "), "{command}");
    script.push(format!(
        "sudo -H -u gis env PATH=/usr/bin:/bin SHELL=/bin/sh {variables} /bin/sh -c '{command}' >kept\n\
         grep -q '1 of 1 renewed' kept || {{ cat kept; exit 1; }}\n"
    ));
    // The check before the first run, by root, with what the lines set.
    let check = check.trim().strip_prefix("sudo env ").unwrap();
    assert!(check.starts_with(variables.trim()), "{check}");
    script.push(format!(
        "env {check} --json >checked || {{ cat checked; exit 1; }}\n"
    ));
    script.push(
        "grep -Eq '\"account\": ?\"gis\"' checked; grep -Eq '\"fail\": ?0' checked\n".to_owned(),
    );
    let said = place.run(&script.concat());
    place.prints_tokens(&said, 1);
}

/// The variables of a container.
fn run_as(user: &str, variables: &BTreeMap<String, String>) -> String {
    let words: Vec<_> = variables
        .iter()
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    format!(
        "setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all env -i PATH=\"$PATH\" HOME=/ {}",
        words.join(" ")
    )
}

/// The script of the image, and a root file system that cannot be written.
fn container(place: &Place) -> &'static str {
    let script = blocks(docker(), "sh")[0].1;
    place.write("with-token", script, 0o755);
    r#"cp "$given/with-token" /usr/local/bin/
mkdir -p /run/secrets
mount --bind / /; mount -o remount,bind,ro /
! touch /tmp/written-by-a-test 2>/dev/null
"#
}

/// The words of `command: [ … ]` as a line for a shell.
fn command(manifest: &str) -> String {
    let (_, rest) = manifest.split_once("command: [").unwrap();
    let words = rest.split(']').next().unwrap().replace(',', " ");
    let words = words.replace("/app/", "/opt/gis/");
    assert!(words.contains("\"with-token\""), "{words}");
    words
}

fn fill(place: &Place, variables: &mut BTreeMap<String, String>) {
    variables.insert("PORTAL".into(), place.portal.url());
    assert_eq!(
        variables
            .insert("CLIENT_ID".into(), SERVICE_ID.into())
            .unwrap(),
        "ID"
    );
}

#[test]
fn a_container_of_compose_reads_its_secrets_from_files() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let manifest = only(docker(), "yaml");
    let (_, rest) = manifest.split_once("    environment:\n").unwrap();
    let mut variables: BTreeMap<String, String> = rest
        .lines()
        .map_while(|line| line.strip_prefix("      ")?.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    fill(&place, &mut variables);
    assert!(manifest.contains("user: \"10001:10001\""));
    let (user, command) = (run_as("10001", &variables), command(manifest));
    let files = blocks(docker(), "sh");
    let files = files.iter().find(|(_, block)| block.contains("openssl"));
    let files = files.unwrap().1;
    let check = "with-token age-oauth doctor --as-task";
    let line = format!("docker compose run --rm nightly {check}`");
    assert!(docker().contains(&line));
    let said = place.run(&format!(
        r"{}{files}
cp --preserve=mode,ownership vault.key /run/secrets/vault-key
cp --preserve=mode,ownership client-secret.txt /run/secrets/client-secret; rm client-secret.txt
install -d -o 10001 -g 10001 -m 700 /var/lib/age-oauth
cd /
{user} {check} >/run/work/checked 2>&1 || {{ cat /run/work/checked; exit 1; }}
{user} {command}
{user} {command}
find /var/lib/age-oauth -name vault.key | grep -q . && exit 1
cd /var/lib/age-oauth; rm -r store
{user} AGE_OAUTH_VAULT_KEY_FILE= {command}
",
        container(&place)
    ));
    place.prints_tokens(&said, 3);
}

/// The page about `doctor`: the account has its connection in its home, then where a task sets it.
#[test]
fn the_lines_for_doctor_make_the_checks_as_the_account() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let page = include_str!("../../docs/doctor.md");
    let (_, task) = page.split_once("\n```\nsudo ").unwrap();
    let first = task.split("\n```").next().unwrap();
    let (_, task) = task.split_once("\n```\nsudo ").unwrap();
    let second = task.split("\n```").next().unwrap();
    let set = second.split("\\\n").next().unwrap();
    let [(_, account), (_, key), ..] = blocks(section("The account"), "sh")[..] else {
        panic!("the account, and the key");
    };
    let add = place.filled(ADD);
    let all_good = ">checked 2>&1 || { cat checked; exit 1; }; grep -q gis checked";
    place.run(&format!(
        "{account}{key}\
         sudo -H -u gis env {add}\n\
         env {first} {all_good}\n\
         sudo -H -u gis env {set} {add}\n\
         env {second} {all_good}\n"
    ));
}

/// The page about the vault: the account chooses a key file, and root seals it.
#[test]
fn the_key_of_a_vault_is_sealed_and_shredded() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let page = include_str!("../../docs/headless.md");
    let block = |first: &str| {
        let (_, rest) = page.split_once(&format!("\n```\n{first}")).unwrap();
        format!("{first}{}", rest.split("```").next().unwrap())
    };
    let rekey = block("age-oauth vault rekey ").replace('~', "~gis");
    place.run(&format!(
        r"{}{}
sudo -H -u gis {rekey}
cp ~gis/age-oauth.key kept
{}
test ! -e ~gis/age-oauth.key
systemd-creds decrypt --name=age-oauth.key /etc/age-oauth/age-oauth.key.cred - 2>/dev/null | cmp - kept
",
        blocks(section("The account"), "sh")[0].1,
        place.filled(&format!("sudo -H -u gis env {ADD}\n")),
        block("mkdir -p /etc/age-oauth")
    ));
}

/// Lines of the pages about secret managers and about the policy, which root runs.
#[test]
fn lines_for_an_administrator_make_files_of_root() {
    if !is_root() {
        return;
    }
    let block = |page: &'static str, first: &str| {
        let (_, rest) = page.split_once(&format!("\n```\n{first}")).unwrap();
        format!("{first}{}", rest.split("```").next().unwrap())
    };
    let tool = block(
        include_str!("../../docs/secret-managers.md"),
        "sudo install ",
    );
    let log = block(
        include_str!("../../docs/policy.md"),
        "install -d -m 755 /var/lib/",
    );
    let said = Place::new().run(&format!(
        r"printf '#!/bin/sh\n' >/usr/local/bin/op
{}{log}
stat -c '%U %a %n' /opt/age-oauth /opt/age-oauth/op /var/lib/age-oauth-log
stat -c '%u %a' /var/lib/age-oauth-log/1000.jsonl
",
        tool.replace("sudo ", "")
    ));
    assert_eq!(
        said,
        "root 755 /opt/age-oauth\nroot 755 /opt/age-oauth/op\nroot 755 /var/lib/age-oauth-log\n1000 600\n"
    );
}

/// What Docker does for the two commands of the page: it runs the scripts that [`scripts`] makes of
/// the Dockerfile, and copies the file that it would mount.
const DOCKER: &str = r#"#!/bin/sh
set -eu
case "$*" in
'build --tag gis/nightly .') . /run/work/build; exit ;;
'run --rm --env-file portal.env --mount type=bind,source='*',readonly gis/nightly') ;;
*) echo "docker: $*" >&2; exit 64 ;;
esac
mount=$6
source=${mount#*source=}; target=${mount#*target=}
mkdir -p /run/secrets
cp --preserve=mode,ownership "${source%%,*}" "${target%%,*}"
cd /
. /run/work/start
"#;

/// A Dockerfile as the two scripts that [`DOCKER`] runs: what builds the image, and what starts
/// the container.
fn scripts(dockerfile: &str) -> (String, String) {
    let mut build = vec!["set -eu\n".to_owned()];
    let (mut user, mut variables, mut start) = ("", "", String::new());
    let joined = dockerfile
        .replace("\\\n", " ")
        .replace("/app/", "/opt/gis/");
    for line in joined.lines() {
        let (instruction, rest) = line.split_once(' ').unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match instruction {
            "FROM" => assert_eq!(rest, "debian:12-slim"),
            "RUN" => build.push(format!("(cd /; {rest})\n")),
            "ADD" | "COPY" => build.push(match words[..] {
                ["ADD", from, to] => format!("tar -C {to} -xf \"$given/\"{from}\n"),
                ["COPY", from, to] => format!("mkdir -p {to}; cp \"$given/{from}\" {to}\n"),
                ["COPY", "--chmod=755", from, to] => {
                    format!("install -m 755 \"$given/{from}\" {to}\n")
                }
                _ => panic!("{line}"),
            }),
            "USER" => user = rest.split_once(':').unwrap().0,
            "ENV" => variables = rest,
            "CMD" => {
                let words = rest.trim_matches(['[', ']']).replace(',', " ");
                let run_as = run_as(user, &BTreeMap::new());
                start = format!("{run_as} {variables} $(cat /run/work/portal.env) {words}\n");
            }
            _ => panic!("{line}"),
        }
    }
    assert!(!start.is_empty());
    (build.concat(), start)
}

#[test]
fn the_image_of_the_page_is_built_and_its_container_gets_a_token() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let (build, start) = scripts(only(docker(), "dockerfile"));
    // Everything secret that the page puts beside the Dockerfile.
    for name in only(docker(), "text").lines() {
        assert!(!build.contains(name), "{build}");
        assert!(docker().contains(&format!("{{file: ./{name}}}")), "{name}");
    }
    let run = blocks(docker(), "sh");
    let run = run.iter().find(|(_, block)| block.contains("docker run"));
    let variables =
        only(docker(), "ini").replace("CLIENT_ID=ID", &format!("CLIENT_ID={SERVICE_ID}"));
    place.write("with-token", blocks(docker(), "sh")[0].1, 0o644);
    place.write("docker", DOCKER, 0o755);
    place.write("build", &build, 0o644);
    place.write("start", &start, 0o644);
    place.write("portal.env", &place.filled(&variables), 0o644);
    let said = place.run(&format!(
        r#"cd "$given"
name=age-oauth-0-x86_64-unknown-linux-musl
mkdir "$name"; cp age-oauth "$name"; tar -czf "$name.tar.gz" "$name"; rm -r "$name"
export given
mv build start portal.env /run/work; mv docker /usr/local/bin
# The image gets its own program. What it installs is here already.
rm /usr/local/bin/age-oauth
printf '#!/bin/sh\necho "$*" >>/run/work/installed\n' >/usr/local/bin/apt-get
chmod 755 /usr/local/bin/apt-get
cd /run/work
{}
grep -q '^install .* ca-certificates python3$' installed
"#,
        run.unwrap().1
    ));
    place.prints_tokens(&said, 1);
}

#[test]
fn a_job_of_kubernetes_reads_its_secrets_through_links() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let manifest = only(section("Kubernetes"), "yaml");
    let mut variables: BTreeMap<String, String> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- {name: ")?.strip_suffix('}'))
        .filter_map(|pair| pair.split_once(", value: "))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    fill(&place, &mut variables);
    for line in [
        "runAsUser: 10001",
        "fsGroup: 10001",
        "defaultMode: 0440",
        "mountPath: /run/secrets/age-oauth, readOnly: true",
        "mountPath: /var/lib/age-oauth}",
    ] {
        assert!(manifest.contains(line), "{line}");
    }
    let (user, command) = (run_as("10001", &variables), command(manifest));
    let said = place.run(&format!(
        r#"{}secrets=/run/secrets/age-oauth; data=$secrets/..2026_11_27; mkdir -p "$data"
openssl rand -hex 32 >"$data/vault-key"; mv client-secret.txt "$data/client-secret"
ln -s ..2026_11_27 "$secrets/..data"
for name in vault-key client-secret; do ln -s "..data/$name" "$secrets/$name"; done
chown -R 0:10001 "$secrets"; chmod 440 "$data"/*; chmod 3775 "$secrets" "$data"
mkdir -m 2777 /var/lib/age-oauth; chgrp 10001 /var/lib/age-oauth; chmod 2777 /var/lib/age-oauth
cd /
{user} {command}
"#,
        container(&place)
    ));
    place.prints_tokens(&said, 1);
}
