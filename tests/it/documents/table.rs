//! How each block of the documentation is run, or why it is not.

/// How a block is run.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// In bash, from the page, by [`super::blocks`]; in a home that looks like this before.
    Bash(Before),
    /// In bash, from the page, where this text is part of the output.
    Prints(Before, &'static str),
    /// What this command prints, where `…` on the page stands for anything.
    Shows(Before, &'static str),
    /// In bash, the commands of these lines for cron.
    Cron(Before),
    /// In bash, each line alone, because the lines are alternatives.
    Lines(Before),
    /// In bash at a terminal, by a person who signs in.
    Terminal(Before),
    /// In bash at a terminal, where a person answers these questions. `{portal}`, `{key}` and
    /// `{end}` stand for the address, a new API key and its date.
    Asks(Before, &'static [(&'static str, &'static str)]),
    /// In Python, from the page, behind this line.
    Python(&'static str),
    /// From the page, by this test.
    Test(&'static str),
    /// By a step of this script, which has this text.
    Script(&'static str, &'static str),
    /// Not from the page. This test runs the same commands in its own words.
    Like(&'static str),
    /// Not at all, for this reason.
    Not(&'static str),
}

/// What a home has before a block is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Before {
    Nothing,
    /// The connection `prod`, signed in.
    SignedIn,
    /// The connection `prod`, whose sign-in the portal no longer accepts.
    Revoked,
    /// The connection `prod`, without a sign-in.
    Added,
    /// The connection `tiles` with an API key.
    Key,
    /// The connections `tiles` and `tiles-oauth`.
    Both,
    /// Nothing, and a portal that requires a client certificate, which `ana.p12` has.
    Certificate,
    /// Nothing, and a portal whose own address lets no program through.
    Guarded,
    /// A log with a failure.
    Failed,
    /// The connection card `prod.json` of a colleague.
    Card,
}

use Before::{Added, Both, Card, Certificate, Failed, Guarded, Key, Nothing, Revoked, SignedIn};
use Way::{Asks, Bash, Cron, Like, Lines, Not, Prints, Python, Script, Shows, Terminal, Test};

const POWERSHELL: Way =
    Test("powershell::pages::rule_31_every_block_works_and_no_log_or_transcript_has_the_token");
const WINDOWS: &str = "for a program of Windows that Wine does not have";
const EXAMPLE: &str = "output or text, not a command";
const INSTALLS: &str = "installs from a registry, where version 0.3 is not published";
const KUBERNETES: &str = "part of a manifest for a cluster";

/// The first lines of all blocks of the pages, in their order, with how each is run.
pub const PAGES: &[(&str, &[(&str, Way)])] = &[
    (
        "README.md",
        &[
            ("cargo run --example tour", Script("tests/run", "cargo run --locked --quiet --example tour")),
            ("age-oauth connections add", Terminal(Nothing)),
            ("from age_oauth import get_gis", Test("python::the_lines_of_the_readme_run")),
            ("age-oauth exec -- python nightly.py", Bash(SignedIn)),
            ("age-oauth token --header | curl -H @- \"https://gis.example.com/portal/sharing/rest/community/self?f=json\"", Prints(SignedIn, "\"your.username\"")),
            ("age-oauth refresh --all", Bash(SignedIn)),
            ("tests/run", Script(".ci/run", "tests/run")),
        ],
    ),
    (
        "docs/CONTRIBUTING.md",
        &[
            ("cargo build --locked                              # the program: target/debug/age-oauth", Not("builds the program that runs the tests; tests/run runs clippy on the same targets")),
            ("cargo clippy --lib --bins --test it --example tour --locked -- -D warnings", Script(".github/workflows/test.yml", "clippy --lib --bins --test it --example tour --locked -- -D warnings")),
            (".ci/release --only site", Not("builds the site with mdBook, which a release installs; tests/python/test_site.py runs its parts")),
            ("// Bad: repeats the code.", Not(EXAMPLE)),
            ("// Bad: the caller can only compare the text.", Not(EXAMPLE)),
            ("Take the exit code of `refresh --all` from the worst failure", Not(EXAMPLE)),
        ],
    ),
    (
        "docs/api-keys.md",
        &[
            ("age-oauth connections add", Asks(Nothing, &[("Connection label", "tiles\r"), ("Portal URL", "{portal}\r"), ("Authentication type", "\u{1b}[B\u{1b}[B\r"), ("Expires on", "{end}\r"), ("API key (not shown", "{key}\r")])),
            ("pass show arcgis/key | age-oauth connections add --label tiles --portal URL --auth-type key --expires 2027-06-30 --api-key-stdin", Lines(Nothing)),
            ("Get-Clipboard | age-oauth connections edit tiles --expires 2028-06-30 --api-key-stdin", Not("PowerShell on Linux has no clipboard without a desktop; the next block does the same in bash")),
            ("read -rs key && printf %s \"$key\" | age-oauth connections edit tiles --expires 2028-06-30 --api-key-stdin", Bash(Key)),
            ("age-oauth connections rename tiles tiles-key", Bash(Both)),
        ],
    ),
    (
        "docs/api.md",
        &[
            ("age-oauth api community/self", Prints(SignedIn, "\"your.username\"")),
            ("age-oauth api search -f 'q=roads AND type:\"Feature Service\"' -f num=5 -f sortField=modified -f sortOrder=desc", Prints(SignedIn, "\"results\"")),
            ("age-oauth api search -f q=owner:your.username --paginate | jq -r '.[] | [.id, .type, .title] | @tsv'", Prints(SignedIn, "\tWeb Map\tA public map\n")),
            ("age-oauth api portals/self/users --paginate | jq -r '.[] | [.username, .fullName, .role] | @tsv'", Prints(SignedIn, "other.user\t")),
            ("(age-oauth api -c prod search -f q=owner:your.username --paginate | ConvertFrom-Json) | Format-Table id, type, owner, title", POWERSHELL),
            ("set -eu", Prints(SignedIn, "\"NAME\":\"Ginkgo Street\"")),
            ("$layer = 'https://gis.example.com/server/rest/services/Roads/FeatureServer/0'", POWERSHELL),
            ("layer=https://gis.example.com/server/rest/services/Roads/FeatureServer/0", Prints(SignedIn, "{\"count\":7}\n")),
            ("set -o pipefail", Prints(SignedIn, "true\n")),
            ("age-oauth api \"content/users/$(age-oauth whoami)/addItem\" --input roads.csv -f type=CSV -f \"title=Roads of the city\" -f tags=roads", Prints(SignedIn, "\"success\":true")),
            ("age-oauth api content/items/0123456789abcdef0123456789abcdef/data -o roads.zip", Bash(SignedIn)),
            ("code=0", Prints(SignedIn, "failed with exit code 7\n")),
        ],
    ),
    (
        "docs/architecture.md",
        &[
            ("cli                                 prints, asks, opens a browser; one file per command", Test("architecture::the_map_shows_the_layers_and_every_file")),
            ("AGE_OAUTH_UPDATE_DOCS=1 cargo test --locked --lib -- env:: json::generate", Not("writes files of the repository; without the variable, the same tests compare them")),
        ],
    ),
    (
        "docs/arcgis-pro.md",
        &[
            ("python -m age_oauth --version", Prints(Nothing, "age-oauth 0.")),
            ("age-oauth connections add --login", Terminal(Nothing)),
            ("\"\"\"Copies a layer of a portal to a geodatabase.\"\"\"", Test("python::pro::the_blocks_of_the_page_run_and_show_an_error_as_a_message")),
            ("import age_oauth", Test("python::pro::the_blocks_of_the_page_run_and_show_an_error_as_a_message")),
            ("schtasks /Create /TN \"GIS nightly\" /SC DAILY /ST 05:30 /RU \"%USERDOMAIN%\\%USERNAME%\" /RP * /TR \"\\\"C:\\Program Files\\ArcGIS\\Pro\\bin\\Python\\Scripts\\propy.bat\\\" C:\\Jobs\\nightly.py\"", Not(WINDOWS)),
        ],
    ),
    (
        "docs/certificates.md",
        &[("age-oauth connections edit prod --verify-ssl <(ssh server cat /etc/ssl/city-ca.pem)", Bash(Added))],
    ),
    (
        "docs/ci.md",
        &[
            ("age-oauth connections add --label ci --portal https://gis.example.com/portal --client-id ID --auth-type app", Test("documents::the_commands_for_ci_work_with_three_variables")),
            ("env:",
                Test("documents::the_commands_for_ci_work_with_three_variables")),
            (
                "publish:",
                Test("documents::the_commands_for_ci_work_with_three_variables"),
            ),
            (
                "variables:",
                Test("documents::the_commands_for_ci_work_with_three_variables"),
            ),
            ("#!/bin/sh", Test("service_accounts::the_image_of_the_page_is_built_and_its_container_gets_a_token")),
            ("FROM debian:12-slim", Test("service_accounts::the_image_of_the_page_is_built_and_its_container_gets_a_token")),
            ("client-secret.txt", Test("service_accounts::the_image_of_the_page_is_built_and_its_container_gets_a_token")),
            ("PORTAL=https://gis.example.com/portal", Test("service_accounts::the_image_of_the_page_is_built_and_its_container_gets_a_token")),
            ("chown 10001:10001 client-secret.txt", Test("service_accounts::the_image_of_the_page_is_built_and_its_container_gets_a_token")),
            ("services:", Test("service_accounts::a_container_of_compose_reads_its_secrets_from_files")),
            ("(umask 077; openssl rand -hex 32 >vault.key)", Test("service_accounts::a_container_of_compose_reads_its_secrets_from_files")),
            ("age-oauth api -c prod content/items/0123456789abcdef0123456789abcdef/data -o roads.zip", Bash(SignedIn)),
            ("age-oauth exec -c prod -- docker build --secret id=arcgis-token,env=ARCGIS_TOKEN --tag gis/data .", Prints(SignedIn, "build --secret id=arcgis-token,env=ARCGIS_TOKEN --tag gis/data .\n")),
        ],
    ),
    (
        "docs/connections.md",
        &[
            ("age-oauth connections add", Like("quick_start::the_walk_of_the_page_is_what_one_sees")),
            ("age-oauth connections add --from prod.json --login", Like("share::the_user_sees_the_content_of_the_card_and_decides")),
            ("age-oauth connections use prod", Bash(SignedIn)),
            ("age-oauth connections show prod", Bash(SignedIn)),
            ("age-oauth connections add --label prod-admin --portal https://gis.example.com/portal --client-id ID", Terminal(SignedIn)),
        ],
    ),
    (
        "docs/deployment.md",
        &[
            ("msiexec /i age-oauth-VERSION-x86_64-pc-windows-gnu.msi /qn /norestart", Script("tests/artefacts/run", "wine msiexec /x")),
            ("age-oauth connections remove --all --yes", Bash(SignedIn)),
            ("age-oauth connections add --from C:\\ProgramData\\GIS\\prod.json --yes", Like("share::a_card_can_come_through_a_pipe_and_update_a_connection")),
        ],
    ),
    (
        "docs/doctor.md",
        &[
            ("sudo /usr/local/bin/age-oauth doctor --as-task --account gis", Test("service_accounts::the_lines_for_doctor_make_the_checks_as_the_account")),
            ("sudo AGE_OAUTH_HOME=/var/lib/gis/age_oauth AGE_OAUTH_VAULT_KEY_FILE=/etc/age-oauth/vault.key \\", Test("service_accounts::the_lines_for_doctor_make_the_checks_as_the_account")),
        ],
    ),
    (
        "docs/exit-codes.md",
        &[
            ("error: sign-in needed for connection `prod`: the portal no longer accepts the sign-in", Shows(Revoked, "age-oauth token --force")),
            ("{\"error\":{\"kind\":\"sign_in_needed\",\"message\":\"…\",\"hint\":\"age-oauth login -c prod\",\"code\":3,\"reason\":null},\"format_version\":1}", Shows(Revoked, "age-oauth token --force --json")),
        ],
    ),
    (
        "docs/getting-started.md",
        &[
            ("python -m pip install .", Script("tests/run", "installed .")),
            ("cargo install --path . --locked", Not("a release build of minutes; the wheel has the same program")),
            ("$ age-oauth connections add", Test("quick_start::the_walk_of_the_page_is_what_one_sees")),
            ("age-oauth connections add --label prod --portal https://gis.example.com/portal --client-id ID", Bash(Nothing)),
        ],
    ),
    (
        "docs/headless.md",
        &[
            ("age-oauth login --no-browser", Terminal(Added)),
            ("age-oauth connections add --keychain vault …", Not("left open by the page; the next tests add connections to the vault")),
            ("icacls D:\\Keys\\vault.key /reset", Not(WINDOWS)),
            ("age-oauth vault rekey --key-file ~/age-oauth.key --forget-old", Test("service_accounts::the_key_of_a_vault_is_sealed_and_shredded")),
            ("mkdir -p /etc/age-oauth", Test("service_accounts::the_key_of_a_vault_is_sealed_and_shredded")),
            ("[Unit]", Test("service_accounts::units_of_a_person_and_of_the_page_about_the_vault_are_valid")),
            ("systemd-run --pty --uid=gis -p LoadCredentialEncrypted=age-oauth.key:/etc/age-oauth/age-oauth.key.cred \\", Not("needs a running systemd")),
        ],
    ),
    (
        "docs/import.md",
        &[
            ("$ age-oauth connections import --dry-run", Like("import::a_dry_run_reports_everything_and_changes_nothing")),
            ("age-oauth connections import --from-arcgis-profile [FILE]", Like("import::profiles_become_connections_without_a_sign_in")),
        ],
    ),
    (
        "docs/macos.md",
        &[("codesign --force --sign \"My Code Signing\" --identifier age-oauth \"$(which age-oauth)\"", Not("needs macOS and a certificate for signing"))],
    ),
    (
        "docs/nightly.md",
        &[
            ("age-oauth refresh --all", Bash(SignedIn)),
            ("[OK] prod: extended; signed in until 2027-02-21 02:00 CET (in 90d)", Test("refresh::the_output_on_the_page_is_that_of_three_connections")),
            ("0 2 * * *  /usr/local/bin/age-oauth refresh --all --wait 45m --timeout 2h >/dev/null", Cron(SignedIn)),
            ("age-oauth status", Bash(SignedIn)),
            ("age-oauth status --check --within 5d", Bash(SignedIn)),
            ("export AGE_OAUTH_LOG=$HOME/age-oauth.log            # cron: a line AGE_OAUTH_LOG=… in the crontab", Like("event_log::each_decision_is_one_line_of_the_log")),
            ("setx AGE_OAUTH_LOG \"%USERPROFILE%\\age-oauth.log\"", Not(WINDOWS)),
            ("{\"time\":\"2026-11-24T01:00:05Z\",\"pid\":29180,\"parent\":\"python3\",\"command\":\"token\",\"connection\":\"prod\",\"id\":\"prod_fa8f…\",\"decision\":\"unreachable\",\"code\":6,\"duration_ms\":10213,\"message\":\"cannot connect (…) at https://gis.example.com/…\",\"hint\":\"…\"}", Test("event_log::the_line_of_the_page_has_the_fields_of_a_real_one")),
            ("jq -r 'select(.code != 0) | [.time, .connection, .message, .hint] | @tsv' ~/age-oauth.log", Prints(Failed, "age-oauth login -c prod")),
            ("Get-Content $env:AGE_OAUTH_LOG | ConvertFrom-Json | Where-Object code | Format-Table time, connection, message", POWERSHELL),
        ],
    ),
    (
        "docs/notebooks.md",
        &[
            ("from age_oauth import get_gis", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("from age_oauth import get_gis", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("SignInRequired: sign-in needed for connection `prod`: the portal no longer accepts the sign-in", Test("python::notebooks::a_sign_in_that_has_ended_is_two_lines_with_the_call_that_signs_in")),
            ("import age_oauth", Test("python::notebooks::a_sign_in_that_has_ended_is_two_lines_with_the_call_that_signs_in")),
            ("!age-oauth exec -c prod -- python nightly.py", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("import sys", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("%env AGE_OAUTH_CONNECTION=prod", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("import age_oauth", Test("python::notebooks::the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret")),
            ("from getpass import getpass", Test("python::notebooks::a_token_that_is_typed_into_a_field_of_getpass_is_not_saved")),
        ],
    ),
    (
        "docs/policy.md",
        &[
            ("{", Test("machine_policy::tests::the_page_and_the_template_have_each_member")),
            ("install -d -m 755 /var/lib/age-oauth-log", Test("service_accounts::lines_for_an_administrator_make_files_of_root")),
            ("error: the policy of this machine does not allow the portal https://other.example.com/portal; it is set by `portals` in /etc/age-oauth/policy.json, line 9 and overrides --portal", Test("machine_policy::the_error_of_the_page_is_that_of_its_policy")),
            ("volumeMounts:", Not(KUBERNETES)),
        ],
    ),
    (
        "docs/portal-setup.md",
        &[
            ("Hello,", Not(EXAMPLE)),
            ("age-oauth connections add --label prod --portal https://gis.example.com/portal --client-id ID", Terminal(Nothing)),
        ],
    ),
    (
        "docs/powershell.md",
        &[
            ("age-oauth export-env -c prod | Out-String | Invoke-Expression", POWERSHELL),
            ("age-oauth exec -c prod -- python nightly.py", POWERSHELL),
            ("(age-oauth api -c prod community/self | ConvertFrom-Json).username", POWERSHELL),
            ("$token = age-oauth token -c prod", POWERSHELL),
            ("$env:AGE_OAUTH_CONNECTION = 'prod'", POWERSHELL),
            ("$token = age-oauth token -c prod", POWERSHELL),
            ("$ErrorActionPreference = 'Stop'", POWERSHELL),
            ("'prod', 'test' | ForEach-Object -Parallel {", POWERSHELL),
            ("$portals = @{ prod = 'https://gis.example.com/portal'; test = 'https://test.example.com/portal' }", POWERSHELL),
            ("age-oauth exec -c prod -- python -c \"import os; print(os.environ['ARCGIS_USERNAME'])\"", POWERSHELL),
        ],
    ),
    (
        "docs/python.md",
        &[
            ("python -m pip install \"age-oauth>=0.3\"", Not(INSTALLS)),
            ("from age_oauth import get_gis", Python("")),
            ("import age_oauth", Python("")),
            ("import sys", Python("")),
        ],
    ),
    (
        "docs/qgis.md",
        &[
            ("python -m pip install \"age-oauth>=0.3\"", Not(INSTALLS)),
            ("import age_oauth.qgis", Like("qgis::rule_24h_layers_open_that_were_refused_before_and_no_file_holds_a_token")),
            ("from qgis.core import QgsApplication, QgsVectorLayer", Like("qgis::rule_24h_layers_open_that_were_refused_before_and_no_file_holds_a_token")),
            ("# startup.py", Test("qgis::a_job_of_qgis_process_reads_a_secured_layer_with_an_application")),
            ("[Unit]", Test("qgis::a_job_of_qgis_process_reads_a_secured_layer_with_an_application")),
            ("layer=https://gis.example.com/server/rest/services/Roads/FeatureServer/0", Test("recipes::ogr2ogr_reads_all_pages_of_a_layer")),
            ("layer=https://gis.example.com/server/rest/services/Roads/FeatureServer/0", Test("recipes::ogr2ogr_reads_all_pages_of_a_layer")),
        ],
    ),
    (
        "docs/recipes.md",
        &[
            ("age-oauth token -c prod --header | curl -sS -H @- \"https://gis.example.com/portal/sharing/rest/community/self?f=json\"", Test("recipes::curl_gets_its_header_through_a_pipe")),
            ("import { execFileSync } from \"node:child_process\";", Test("recipes::node_gets_the_token_for_a_url")),
            ("import age_oauth", Test("python::data::geopandas_reads_all_pages_of_a_layer")),
            ("layer=https://gis.example.com/server/rest/services/Roads/FeatureServer/0", Test("python::data::gdal_takes_the_token_from_the_environment_of_one_command")),
            ("import asyncio", Test("python::data::aiohttp_and_fsspec_sign_each_request_by_its_address")),
            ("answer <- jsonlite::fromJSON(system2(\"age-oauth\", c(\"token\", \"--json\", \"-c\", \"prod\"), stdout = TRUE))", Not("needs R and Esri's arcgisutils; the page says that it was not run")),
        ],
    ),
    (
        "docs/rehearsal.md",
        &[("tests/rehearsal/run                                    # 40 accounts, 60 jobs, 30 days", Script(".ci/full", "tests/rehearsal/run"))],
    ),
    (
        "docs/releasing.md",
        &[(".ci/release", Not("makes all artefacts, which takes an hour"))],
    ),
    (
        "docs/scheduled-tasks.md",
        &[
            ("age-oauth refresh --all", Bash(SignedIn)),
            ("schtasks /Create /TN \"age-oauth refresh\" /SC DAILY /ST 05:30 /RU \"%USERDOMAIN%\\%USERNAME%\" /RP * /TR \"\\\"C:\\Tools\\age-oauth.exe\\\" refresh --all --no-input\"", Not(WINDOWS)),
            ("age-oauth connections edit prod --keychain vault", Bash(SignedIn)),
            ("set TOKEN=", Not("a batch file, for the cmd.exe of Windows")),
            ("# ~/.config/systemd/user/age-oauth-refresh.service", Test("service_accounts::units_of_a_person_and_of_the_page_about_the_vault_are_valid")),
            ("30 5 * * * /usr/local/bin/age-oauth refresh --all && /usr/local/bin/age-oauth status --check --within 3d", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("PATH=/usr/local/bin:/usr/bin:/bin", Test("documents::lines_for_cron_find_the_program")),
        ],
    ),
    (
        "docs/secret-managers.md",
        &[
            ("age-oauth connections add --label nightly --portal URL --client-id ID --auth-type app --client-secret-command \"pass show arcgis/prod\"", Bash(Nothing)),
            ("[Service]", Test("service_accounts::units_of_a_person_and_of_the_page_about_the_vault_are_valid")),
            ("sudo install -d -m 755 /opt/age-oauth", Test("service_accounts::lines_for_an_administrator_make_files_of_root")),
        ],
    ),
    (
        "docs/service-accounts.md",
        &[
            ("(umask 077; cat >client-secret.txt)", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("useradd --system --create-home --home-dir /var/lib/gis --shell /usr/sbin/nologin gis", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("groupadd --system age-oauth", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("openssl rand -hex 32 | systemd-creds encrypt --name=age-oauth.key - /etc/age-oauth/age-oauth.key.cred", Test("service_accounts::systemd_units_open_the_vault_with_a_sealed_key_and_nothing_else_does")),
            ("[Unit]", Test("service_accounts::systemd_units_open_the_vault_with_a_sealed_key_and_nothing_else_does")),
            ("[Unit]", Test("service_accounts::systemd_units_open_the_vault_with_a_sealed_key_and_nothing_else_does")),
            ("[Unit]", Test("service_accounts::systemd_units_open_the_vault_with_a_sealed_key_and_nothing_else_does")),
            ("systemd-run --pipe --wait --uid=gis -p Environment=AGE_OAUTH_HOME=/var/lib/gis/age_oauth \\", Not("needs a running systemd")),
            ("sudo -H -u gis env AGE_OAUTH_VAULT_KEY_FILE=/etc/age-oauth/vault.key \\", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("sudo env AGE_OAUTH_VAULT_KEY_FILE=/etc/age-oauth/vault.key /usr/local/bin/age-oauth doctor --as-task --account gis", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("AGE_OAUTH_VAULT_KEY_FILE=/etc/age-oauth/vault.key", Test("service_accounts::a_line_of_cron_runs_with_a_key_that_root_gives_to_a_group")),
            ("kubectl create secret generic age-oauth --from-file=client-secret=client-secret.txt --from-file=vault-key=vault.key", Not("needs a cluster")),
            ("apiVersion: batch/v1", Test("service_accounts::a_job_of_kubernetes_reads_its_secrets_through_links")),
            ("New-ADServiceAccount -Name gis-jobs -DNSHostName gis-jobs.example.com -PrincipalsAllowedToRetrieveManagedPassword 'GIS-SERVER$'", Not("needs a domain of Active Directory")),
            ("$action = New-ScheduledTaskAction -Execute 'C:\\Program Files\\age-oauth\\age-oauth.exe' -Argument 'exec -c jobs -- C:\\Jobs\\publish.cmd'", Not(WINDOWS)),
            ("connections add --replace --label jobs --portal https://gis.example.com/portal --client-id ID --auth-type app --keychain vault --client-secret-file C:\\ProgramData\\GIS\\client-secret.txt", Not("arguments of a scheduled task of Windows")),
        ],
    ),
    (
        "docs/sharing.md",
        &[
            ("age-oauth connections share prod > prod.json", Bash(SignedIn)),
            ("age-oauth connections add --from prod.json --login", Terminal(Card)),
        ],
    ),
    (
        "docs/shells.md",
        &[("age-oauth exec -- python nightly.py", Bash(SignedIn))],
    ),
    (
        "docs/sign-in.md",
        &[
            ("age-oauth login", Terminal(Added)),
            ("age-oauth logout", Bash(SignedIn)),
            ("age-oauth login --switch-user", Terminal(SignedIn)),
        ],
    ),
    (
        "docs/storage.md",
        &[("age_oauth/", Not(EXAMPLE))],
    ),
    (
        "docs/troubleshooting.md",
        &[("age-oauth doctor", Bash(SignedIn))],
    ),
    (
        "docs/web-server.md",
        &[
            ("age-oauth connections add --portal https://gis.example.com/portal --label prod --auth-type network --web-tier windows", Like("network::a_person_works_behind_nginx_without_browser_and_client_id")),
            ("age-oauth connections add --label prod --portal https://gis.example.com/portal --api-url https://portal01:7443/arcgis --client-id ID", Bash(Guarded)),
        ],
    ),
    (
        "docs/client-certificates.md",
        &[
            ("age-oauth connections add --portal https://gis.example.com/portal --client-id ID --label prod --client-cert ana.p12", Bash(Certificate)),
            ("age-oauth connections edit prod --client-cert \"pkcs11:token=Ana%20Rossi;object=Certificate%20for%20PIV%20Authentication\"", Like("pkcs11::a_person_works_behind_nginx_with_a_key_that_stays_on_its_token")),
            ("age-oauth connections edit prod --client-cert store:", Like("wine::certificate_store::a_person_works_with_a_certificate_of_the_windows_store")),
        ],
    ),
    (
        "docs/windows-sign-in.md",
        &[("age-oauth connections add --portal https://gis.example.com/portal --client-id ID --label prod --web-tier windows", Test("windows_sign_in::the_lines_of_the_page_add_and_edit_a_connection"))],
    ),
];
