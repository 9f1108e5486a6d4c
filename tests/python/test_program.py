"""Finding and asking the program, with programs that misbehave. Only the standard library: runs on every Python from 3.9."""

import json
import os
import pathlib
import re
import signal
import stat
import sys
import tempfile
import threading
import unittest
import warnings
from unittest import mock

import age_oauth
from age_oauth import _adding, _find, _json_names, _policy, _program, _provider, _rejection, _session
from age_oauth.errors import BY_CODE, ProgramUnusable, SignInRequired

FACTS = {
    "id": "prod_1",
    "connection": "prod",
    "refresh_expires_at": "2030-01-01T00:00:00Z",
    "sign_in_ends_soon": False,
    "referer": None,
}


ANSWERS = "print(json.dumps({'a': 1}))"


class WithProgram(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()) if hasattr(self, "enterContext") else tempfile.mkdtemp())
        self.before = dict(os.environ)
        self.addCleanup(self.restore)
        _find._found = None

    def restore(self):
        os.environ.clear()
        os.environ.update(self.before)
        _find._found = None

    def program(self, body, version="age-oauth 0.3.0"):
        """A program with this body, in Python; it says this version."""
        path = self.folder / "age-oauth"
        path.write_text(
            f"#!{sys.executable}\nimport json, os, signal, sys\n"
            f"if sys.argv[1:] == ['--version']:\n    print({version!r}); raise SystemExit\n{body}\n",
            encoding="utf-8",
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        os.environ["AGE_OAUTH_BIN"] = str(path)
        _find._found = None
        return path

    def refused(self, kind, *words):
        with self.assertRaises(kind) as caught:
            _program.ask("token")
        for word in words:
            self.assertIn(word, str(caught.exception))
        return caught.exception


class Windows(unittest.TestCase):
    """On Windows, a program in the background shows no console window; one that a person talks to has that of its caller."""

    def options(self, module, call):
        import subprocess

        with mock.patch.object(subprocess, "CREATE_NO_WINDOW", 0x08000000, create=True), mock.patch.object(
            subprocess, module
        ) as started, mock.patch.object(_program, "find", return_value="age-oauth"), mock.patch.object(os, "name", "nt"):
            started.return_value.stdout = b"age-oauth 0.3.0"
            call()
        return started.call_args[1]

    def test_only_a_program_with_the_callers_input_may_show_a_window(self):
        import subprocess

        for module, call in (
            ("run", lambda: _program.version("age-oauth")),
            ("Popen", lambda: _program.start(["token"], stdin=subprocess.DEVNULL)),
            ("Popen", lambda: _program.start(["token"], stdin=subprocess.PIPE)),
        ):
            self.assertEqual(self.options(module, call).get("creationflags"), 0x08000000)
        self.assertNotIn("creationflags", self.options("Popen", lambda: _program.start(["login"])))


class Finding(WithProgram):
    def test_a_variable_that_names_nothing_or_a_directory_is_named(self):
        os.environ["AGE_OAUTH_BIN"] = str(self.folder)
        self.refused(ProgramUnusable, str(self.folder), "directory")
        os.environ["AGE_OAUTH_BIN"] = str(self.folder / "none")
        self.refused(ProgramUnusable, "AGE_OAUTH_BIN", "does not exist")

    def test_another_program_is_found_after_forgetting(self):
        os.environ.pop("AGE_OAUTH_BIN", None)
        first, second = (self.folder / name for name in ("first", "second"))
        for folder in (first, second):
            folder.mkdir()
        os.environ["PATH"] = os.pathsep.join(map(str, (first, second)))

        def install(folder):
            program = folder / _find.NAME
            program.write_bytes(b"\x7fELF")
            program.chmod(0o755)
            return str(program)

        with mock.patch.object(_find, "_recorded", return_value=()), mock.patch.object(_find, "_beside", return_value=()), mock.patch(
            "sysconfig.get_path", return_value=str(self.folder)
        ), mock.patch.object(_find, "_found", None):
            late = install(second)
            self.assertEqual(_find.find(), late)
            early = install(first)
            self.assertEqual(_find.find(), late)
            _find.forget()
            self.assertEqual(_find.find(), early)

    @unittest.skipIf(os.name == "nt", "permissions of files")
    def test_a_program_that_cannot_be_started_is_not_another_program(self):
        program = self.folder / "blocked"
        program.write_text("")
        program.chmod(0o644)
        with self.assertRaises(ProgramUnusable) as caught:
            _program.version(str(program))
        self.assertIn("cannot be started", caught.exception.message)
        import subprocess

        with mock.patch.object(subprocess, "run", side_effect=subprocess.TimeoutExpired("age-oauth", 30)):
            with self.assertRaises(ProgramUnusable) as caught:
                _program.version(str(program))
        self.assertIn("did not answer within 30 seconds", caught.exception.message)

    def test_without_any_the_way_to_one_is_told(self):
        os.environ.pop("AGE_OAUTH_BIN", None)
        os.environ["PATH"] = str(self.folder)
        with mock.patch.object(_find, "_usual", return_value=()):
            self.refused(ProgramUnusable, "pip install")

    @unittest.skipIf(os.name == "nt", "the folders of other systems")
    def test_after_the_path_it_is_looked_for_where_it_is_usually_installed(self):
        folder = self.folder / ".cargo" / "bin"
        folder.mkdir(parents=True)
        wrapper = folder / _find.NAME
        wrapper.write_text(f"#!/bin/sh\nexec {self.program(ANSWERS)} \"$@\"\n")
        wrapper.chmod(0o755)
        del os.environ["AGE_OAUTH_BIN"]
        os.environ.update(PATH=str(self.folder / "none"), HOME=str(self.folder))
        found = [one for one in _find._usual() if one.startswith(str(self.folder))]
        self.assertIn(str(wrapper), found)
        with mock.patch.object(_find, "_usual", return_value=found):
            self.assertEqual(_program.ask("token"), {"a": 1})

    def test_windows_registry_names_it(self):
        values = {1: '"C:\\a b\\age-oauth.exe"', 2: None}

        def query(root, key):
            self.assertTrue(key.endswith(_find.NAME))
            if values[root] is None:
                raise OSError
            return values[root]

        registry = mock.Mock(HKEY_CURRENT_USER=2, HKEY_LOCAL_MACHINE=1, QueryValue=query)
        with mock.patch.dict(sys.modules, winreg=registry):
            self.assertEqual(list(_find._registered()), ["C:\\a b\\age-oauth.exe"])

    def test_the_first_on_the_path_is_found(self):
        folder = self.folder / "bin"
        folder.mkdir()
        wrapper = folder / _find.NAME
        wrapper.write_text(f"#!/bin/sh\nexec {self.program(ANSWERS)} \"$@\"\n")
        wrapper.chmod(0o755)
        del os.environ["AGE_OAUTH_BIN"]
        os.environ["PATH"] = str(folder)
        self.assertEqual(_program.ask("token"), {"a": 1})

    def test_what_cannot_be_started_is_named(self):
        path = self.folder / "age-oauth"
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o700)
        os.environ["AGE_OAUTH_BIN"] = str(path)
        self.refused(ProgramUnusable, str(path), "not a program")
        path.chmod(0o600)
        self.refused(ProgramUnusable, str(path))

    def test_windows_reasons_are_sentences_that_name_the_file(self):
        for code, word in ((1260, "policy"), (5, "denied"), (193, "not a program")):
            error = OSError()
            error.winerror = code
            told = str(_program.unusable("C:\\x\\age-oauth.exe", error))
            self.assertIn("C:\\x\\age-oauth.exe", told)
            self.assertIn(word, told)


class NeverAScript(WithProgram):
    def test_scripts_of_python_and_their_windows_forms_are_recognized(self):
        shown = {
            b"#!/usr/bin/python3\n": True,
            b"#!/bin/sh\n'''exec' /a long path/python3 \"$0\" \"$@\"\n": True,
            b"#!/bin/sh\nexec /opt/age-oauth\n": False,
            b"\x7fELF" + bytes(600): False,
            b"MZ" + bytes(600): False,
            b"MZ" + bytes(600) + b"PK\x05\x06" + bytes(18): True,
            b"MZ" + bytes(600) + b"UVSC": True,
        }
        for content, expected in shown.items():
            path = self.folder / "some.exe"
            path.write_bytes(content)
            self.assertEqual(_find.leads_to_python(str(path)), expected, content[:40])

    def test_a_script_on_the_path_and_relative_folders_are_passed_over(self):
        path = self.program(ANSWERS)
        del os.environ["AGE_OAUTH_BIN"]
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        path.write_text("#!/bin/sh\n")
        for folders in ("", ".", os.pathsep, "bin" + os.pathsep):
            os.environ["PATH"] = folders
            self.refused(ProgramUnusable, "pip install")
        path.write_text(f"#!{sys.executable}\n")
        os.environ["PATH"] = str(self.folder)
        self.refused(ProgramUnusable, "pip install")

    def test_a_relative_path_in_the_variable_is_refused(self):
        self.program(ANSWERS)
        os.chdir(self.folder)
        self.addCleanup(os.chdir, "/")
        os.environ["AGE_OAUTH_BIN"] = "./age-oauth"
        self.refused(ProgramUnusable, "./age-oauth", "not a whole path")

    def test_a_circle_ends_at_its_second_turn(self):
        root = os.path.dirname(os.path.dirname(_find.__file__))
        self.program(f"sys.path.insert(0, {root!r}); from age_oauth.cli import main; raise SystemExit(main())")
        import subprocess

        done = subprocess.run(
            [sys.executable, "-c", "from age_oauth.cli import main; raise SystemExit(main(['token']))"],
            env={**os.environ, "PYTHONPATH": root},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"leads back to Python", done.stderr)

    def test_the_program_of_its_own_distribution_is_found(self):
        """A package in one folder, its program in another, as RECORD says; an older distribution is elsewhere."""
        import shutil
        import subprocess

        site = self.folder / "lib" / "site-packages"
        shutil.copytree(os.path.dirname(_find.__file__), site / "age_oauth", ignore=shutil.ignore_patterns("__pycache__"))
        own = self.folder / "Scripts" / _find.NAME
        own.parent.mkdir()
        own.write_text("#!/bin/sh\n")
        record = site / "age_oauth-0.3.0.dist-info" / "RECORD"
        record.parent.mkdir()
        record.write_text(f"../../Scripts/{_find.NAME},sha256=x,1\n")
        os.environ.pop("AGE_OAUTH_BIN", None)
        asks = [sys.executable, "-c", "from age_oauth import _find; print(_find.find())"]
        env = {**os.environ, "PYTHONPATH": str(site), "PATH": ""}
        self.assertEqual(subprocess.check_output(asks, env=env, text=True).strip(), os.path.realpath(own))
        # `--target`: RECORD names a folder that does not exist.
        target = site / "bin" / _find.NAME
        target.parent.mkdir()
        own.rename(target)
        self.assertEqual(subprocess.check_output(asks, env=env, text=True).strip(), os.path.realpath(target))

    def test_a_zipapp_is_refused_with_words(self):
        import subprocess
        import zipfile

        packed = self.folder / "app.pyz"
        folder = os.path.dirname(_find.__file__)
        with zipfile.ZipFile(packed, "w") as archive:
            for name in os.listdir(folder):
                if name.endswith(".py"):
                    archive.write(os.path.join(folder, name), f"age_oauth/{name}")
        os.environ.pop("AGE_OAUTH_BIN", None)
        asks = "import age_oauth\ntry: age_oauth.get_token()\nexcept age_oauth.ProgramUnusable as e: print(e)"
        said = subprocess.check_output([sys.executable, "-c", asks], env={**os.environ, "PYTHONPATH": str(packed)}, text=True)
        self.assertIn("app.pyz", said)
        self.assertIn("AGE_OAUTH_BIN", said)


class Sessions(WithProgram):
    def streams(self, stdin, stderr):
        before = sys.stdin, sys.stderr
        self.addCleanup(lambda: (setattr(sys, "stdin", before[0]), setattr(sys, "stderr", before[1])))
        sys.stdin, sys.stderr = stdin, stderr

    class Window:
        """As the streams of IDLE: a person types, and there is no file descriptor."""

        def isatty(self):
            return True

        def fileno(self):
            import io

            raise io.UnsupportedOperation("fileno")

    def test_a_window_is_asked_by_a_field_and_no_console_is_not_asked(self):
        self.streams(self.Window(), self.Window())
        way = _session.way_to_ask()
        self.streams(None, None)
        nowhere = _session.way_to_ask(), _session.prefers_python()
        self.streams(sys.__stdin__, sys.__stderr__)
        self.assertEqual(way, _session.FIELD)
        self.assertEqual(nowhere, (None, True))

    def test_a_field_takes_the_address_where_a_browser_cannot_reach_this_machine(self):
        import builtins
        import io

        from age_oauth import _sign_in

        self.program(
            "print(json.dumps({'authorize_url': 'https://h/authorize', 'expects': 'callback'})); sys.stdout.flush()\n"
            "typed = sys.stdin.read()\n"
            "print(json.dumps({'connection': 'prod', 'username': 'u' + repr(typed), 'refresh_expires_at': '2030-01-02T12:00:00Z'}))"
        )
        self.addCleanup(setattr, builtins, "input", builtins.input)
        for typed, read in ((" http://127.0.0.1/?code=x ", "http://127.0.0.1/?code=x\n"), ("", "")):
            cell = self.Window()
            cell.text = io.StringIO()
            cell.write, cell.flush = cell.text.write, cell.text.flush
            builtins.input = lambda prompt, typed=typed: typed
            self.streams(self.Window(), cell)
            done = _sign_in.sign_in(["--connection=prod"])
            sys.stdin, sys.stderr = sys.__stdin__, sys.__stderr__
            self.assertTrue(done)
            self.assertIn("https://h/authorize", cell.text.getvalue())
            self.assertIn(f"Signed in to `prod` as `u{read!r}` until 2030-01-0", cell.text.getvalue())

    def test_inside_of_pro_nothing_is_asked_and_no_hint_starts_pro(self):
        before = sys.executable
        self.addCleanup(setattr, sys, "executable", before)
        sys.executable = "/opt/Pro/bin/ArcGISPro.exe"
        self.assertIsNone(_session.way_to_ask())
        self.assertNotIn("ArcGISPro", _session.python_command())

    def test_hints_name_calls_where_python_is_typed(self):
        self.assertEqual(_session.hint("age-oauth login -c prod"), "age-oauth login -c prod")
        sys.ps1 = ">>> "
        self.addCleanup(delattr, sys, "ps1")
        for command, call in {
            "age-oauth login -c prod": 'age_oauth.Connection("prod").login()',
            'age-oauth login -c "My Portal"': 'age_oauth.Connection("My Portal").login()',
            "age-oauth login --connection-id prod_1": 'age_oauth.Connection(connection_id="prod_1").login()',
            "to change the user: age-oauth login -c prod --switch-user": "to change the user: "
            'age_oauth.Connection("prod").login(switch_user=True)',
            "age-oauth doctor": "age-oauth doctor",
            "age-oauth connections add": 'age_oauth.add_connection("NAME", portal="URL", client_id="ID")',
            "trust it: age-oauth connections edit prod --verify-ssl FILE.pem; or, ask": "trust it: "
            'age_oauth.Connection("prod").edit(verify_ssl="FILE.pem"); or, ask',
            "age-oauth connections edit 'My Portal' --verify-ssl true --client-secret-stdin": "age_oauth.Connection("
            '"My Portal").edit(verify_ssl=True, client_secret="…")',
            "age-oauth connections edit prod --client-secret-command COMMAND": 'age_oauth.Connection("prod").edit('
            'client_secret_command="COMMAND")',
            "age-oauth connections edit prod --expires DATE --api-key-stdin": 'age_oauth.Connection("prod").edit('
            'expires="DATE", api_key="…")',
            "update it: age-oauth connections add --label prod --replace …": "update it: "
            'age_oauth.add_connection("prod", …, replace=True)',
        }.items():
            self.assertEqual(_session.hint(command), call)

    def test_hints_of_a_call_name_its_arguments(self):
        self.assertEqual(
            _session.with_arguments("give --verify-ssl pin:FILE.pem, --portal URL; or, --no-check"),
            'give verify_ssl="pin:FILE.pem", portal="URL"; or, check=False',
        )

    def test_a_connection_is_equal_to_itself_and_refuses_to_stop_verifying(self):
        shown = {"id": "prod_1", "connection": "prod", "verify_ssl": "true"}
        connection = age_oauth.Connection._of(shown)
        self.assertEqual(connection, age_oauth.Connection._of(dict(shown, connection="renamed")))
        self.assertEqual(len({connection, age_oauth.Connection._of(shown)}), 1)
        self.assertNotEqual(connection, age_oauth.Connection._of(dict(shown, id="other")))
        for off in (False, None, 0):
            with self.assertRaises(age_oauth.UsageError) as caught:
                age_oauth.get_gis(connection, verify_cert=off)
            self.assertIn("--verify-ssl", caught.exception.hint)

    def test_what_is_not_an_address_is_an_error_without_the_frames_of_its_parser(self):
        portal = "https://gis.example.com/portal"
        shown = {"id": "prod_1", "connection": "prod", "portal_url": portal, "api_url": portal}
        connection = age_oauth.Connection._of(shown)
        for address in ("http://[", "https://h:99999/", "https://h:x/"):
            with self.assertRaises(age_oauth.UsageError):
                connection.headers(address)

    def test_the_portal_of_a_connection_is_compared_as_an_address(self):
        from age_oauth import _adding

        def one(url, client_id="app"):
            return {"connection": url, "portal_url": url, "client_id": client_id}

        root, other, host = one("https://h/portal"), one("https://h/portal-test"), one("https://h.evil.example/portal")
        listed = [root, other, host]
        for typed, found in {
            "https://h/portal": [root],
            "H/portal/": [root],
            "https://h:443/portal/home/item.html?id=1": [root],
            "https://h/portal-test": [other],
            "https://h": [root, other],
            "https://h/portals": [],
            "http://h/portal": [],
            "https://h:8443/portal": [],
            "https://h:x/portal": [],
        }.items():
            self.assertEqual(_adding.of_portal(listed, typed, "app"), found, typed)
        self.assertEqual(_adding.of_portal(listed, "https://h/portal", "another"), [])
        self.assertEqual(_adding.of_portal([root, one("https://h")], "https://h", None), [one("https://h")])
        with self.assertRaises(age_oauth.ConnectionNotFound) as caught:
            _adding.chosen([root, other], "https://h")
        self.assertEqual(caught.exception.kind, "ambiguous")

    def test_only_one_function_reads_what_starts_python(self):
        # In ArcGIS Pro it is `ArcGISPro.exe`, which no hint may name.
        folder = os.path.dirname(_session.__file__)
        reading = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    if "sys.executable" in file.read():
                        reading.append(name)
        self.assertEqual(reading, ["_session.py"])

    def test_all_public_names_are_listed(self):
        self.assertLessEqual({*age_oauth.__all__, "__version__"}, set(dir(age_oauth)))

    def test_a_notebook_shows_two_lines(self):
        self.assertEqual(
            SignInRequired("ended", "sign in")._render_traceback_(), ["SignInRequired: ended", "hint: sign in"]
        )
        self.assertEqual(SignInRequired("ended")._render_traceback_(), ["SignInRequired: ended"])


class Answers(WithProgram):
    def test_each_class_has_the_code_of_its_kind(self):
        for code, error_class in BY_CODE.items():
            self.assertEqual(error_class.code, code)
            self.assertEqual(_json_names.KINDS[error_class.kind], code)
        self.assertEqual(set(BY_CODE), set(_json_names.KINDS.values()))

    def test_each_code_has_its_class_with_message_and_hint(self):
        for code, kind in BY_CODE.items():
            self.program(
                f"print(json.dumps({{'error': {{'kind': 'k', 'message': 'what', 'hint': 'do', 'code': {code}}}}}), file=sys.stderr)\n"
                f"raise SystemExit({code})"
            )
            error = self.refused(kind, "what", "hint: do")
            self.assertIs(type(error), kind)
            self.assertEqual((error.message, error.hint, error.kind), ("what", "do", "k"))
            self.assertIsInstance(error, RuntimeError)

    def test_an_older_program_is_told_as_that(self):
        self.program("sys.exit(2)", version="age-oauth 0.2.1")
        self.refused(ProgramUnusable, "0.2.1", "0.3.0", "--upgrade")
        self.program("print('Prod')", version="age-oauth 0.2.1")
        self.refused(ProgramUnusable, "0.2.1")

    def test_garbage_and_other_programs_are_told(self):
        for body in ("print('{')", "print('<html>')", "sys.stdout.buffer.write(bytes(range(256)))"):
            self.program(body)
            self.refused(ProgramUnusable, "age-oauth")
        self.program("print('hello')", version="something else")
        self.refused(ProgramUnusable, "AGE_OAUTH_BIN")

    def test_killed_in_the_middle_of_an_answer(self):
        self.program("sys.stdout.write('{\"access'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)")
        self.refused(age_oauth.AgeOAuthError, "signal 9")

    def test_warnings_become_pythons(self):
        self.program("print(json.dumps({'warning': 'careful'}), file=sys.stderr); print('{}')")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _program.ask("token")
        self.assertEqual([str(one.message) for one in caught], ["careful"])
        self.assertEqual([one.category for one in caught], [age_oauth.AgeOAuthWarning])
        self.assertEqual([one.filename for one in caught], [__file__])

    def test_the_log_has_decisions_and_no_token(self):
        self.program("print(json.dumps({'access_token': 'tok' + 'en-value', 'connection': 'prod', 'expires_at': 'then'}))")
        with self.assertLogs("age_oauth", "DEBUG") as logged:
            _program.ask("token")
        text = "\n".join(logged.output)
        self.assertIn("access token for `prod` until then", text)
        self.assertNotIn("token-value", text)

    def test_names_that_no_command_line_carries(self):
        self.program("print('{}')")
        with self.assertRaises(age_oauth.AgeOAuthError):
            _program.ask("token", *_program.selector("a\0b", None))

        with self.assertRaises(age_oauth.AgeOAuthError):
            _program.ask("token", *_program.selector("a\ud800b", None))

    def test_a_name_is_text(self):
        self.program("print('{}')")
        for name in (b"prod", 1, ["prod"], object()):
            for call in (age_oauth.Connection, age_oauth.get_token, age_oauth.get_gis, age_oauth.TokenAuth):
                with self.assertRaises(age_oauth.UsageError) as caught:
                    call(name)
                self.assertIn(type(name).__name__, str(caught.exception))

    def test_a_tag_as_text_is_one_tag(self):
        self.assertEqual(list(_adding._options({"tag": "nightly"})), ["--tag=nightly"])
        self.assertEqual(list(_adding._options({"tag": ["a", "b"]})), ["--tag=a", "--tag=b"])

    def test_a_label_that_looks_like_a_flag_stays_one(self):
        self.assertEqual(_program.selector("--all", None), ["--connection=--all"])


@unittest.skipIf(os.name == "nt", "signals")
class Ending(WithProgram):
    """The program may be about to store what the portal issues: it is asked to end, and is waited for."""

    #: Interrupts Python, and stores something after it was asked to end.
    STORES = (
        "import pathlib, time\nfolder = pathlib.Path(sys.argv[0]).parent\n"
        "(folder / 'pid').write_text(str(os.getpid()))\n"
        "def store(*_):\n    {before}\n    (folder / 'stored').write_text('')\n    raise SystemExit(1)\n"
        "signal.signal(signal.SIGTERM, store)\n"
        "{first}os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(60)"
    )

    def setUp(self):
        super().setUp()
        # A shell starts what runs in the background with this signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def stores(self, before="pass", first=""):
        self.program(self.STORES.format(before=before, first=first))
        return self.folder / "stored"

    def has_gone(self):
        with self.assertRaises(ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), 0)

    def test_after_ctrl_c_it_stores_what_the_portal_has_issued(self):
        stored = self.stores()
        with self.assertRaises(KeyboardInterrupt):
            _program.ask("token")
        self.assertTrue(stored.exists())
        self.has_gone()

    def test_the_same_for_a_program_that_talks_to_a_person(self):
        from age_oauth import _sign_in, cli

        stored = self.stores()
        for call in (lambda: _sign_in._by_terminal(["-c", "prod"], ()), lambda: cli.main(["login"])):
            with mock.patch.object(sys, "stderr", sys.__stderr__), self.assertRaises(KeyboardInterrupt):
                call()
            stored.unlink()
            self.has_gone()

    def test_the_same_where_the_answer_is_typed_into_a_field(self):
        from age_oauth import _sign_in

        shows = "print(json.dumps({'authorize_url': 'https://h/authorize', 'expects': 'code'}), flush=True)\n"
        stored = self.stores(first=shows)
        with mock.patch.object(_sign_in, "say"), mock.patch("builtins.input", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                _sign_in._by_field(["--connection=prod"], ())
        self.assertTrue(stored.exists())
        self.has_gone()

    def test_a_second_ctrl_c_ends_the_wait_and_not_the_program(self):
        again = "os.kill(os.getppid(), signal.SIGINT)\n    while not (folder / 'go').exists(): time.sleep(0.01)"
        stored = self.stores(before=again)
        with self.assertRaises(KeyboardInterrupt):
            _program.ask("token")
        self.assertFalse(stored.exists())
        (self.folder / "go").write_text("")
        for thread in threading.enumerate():
            if thread.name == "age-oauth end":
                thread.join(60)
        self.assertTrue(stored.exists())
        self.has_gone()

    def ended(self, *answers, system="posix", waits_for_browser=False):
        """What is called in a process that gives these answers to ``communicate``."""
        process = mock.Mock()
        process.communicate.side_effect = answers
        stdin = process.stdin
        with mock.patch.object(os, "name", system):
            _program.end(process, waits_for_browser=waits_for_browser)
        called = [name for name in ("terminate", "kill") if getattr(process, name).called]
        self.assertTrue(stdin.close.called)
        # A program that waits for a browser, and cannot be told to end, is not waited for long.
        is_short = waits_for_browser and system == "nt"
        self.assertEqual(process.communicate.call_args[1]["timeout"] > 60 + 10, not is_short)
        return called

    def test_it_is_killed_only_if_it_does_not_end(self):
        import subprocess

        late = subprocess.TimeoutExpired("age-oauth", 1)
        self.assertEqual(self.ended((b"", b"")), ["terminate"])
        self.assertEqual(self.ended(late), ["terminate", "kill"])
        # Windows has no signal for it; it ends with its input, or its work.
        self.assertEqual(self.ended((b"", b""), system="nt"), [])
        self.assertEqual(self.ended(late, system="nt"), ["kill"])
        self.assertEqual(self.ended(late, system="nt", waits_for_browser=True), ["kill"])
        self.assertEqual(self.ended((b"", b""), waits_for_browser=True), ["terminate"])

    def test_one_that_takes_too_long_is_ended_in_the_same_way(self):
        import subprocess

        process = mock.Mock()
        process.communicate.side_effect = [subprocess.TimeoutExpired("age-oauth", 1), (b"", b"")]
        with mock.patch.object(_program, "start", return_value=process):
            self.refused(age_oauth.AgeOAuthError, "did not finish")
        self.assertTrue(process.terminate.called)
        self.assertFalse(process.kill.called)


class Tokens(WithProgram):
    def provider(self, seconds, more=""):
        """A program that counts its starts and hands out numbered tokens of this life."""
        count = self.folder / "count"
        self.program(
            f"import time\npath = {str(count)!r}\n"
            "with open(path, 'a') as f: f.write(' '.join(sys.argv[1:]) + '\\n')\n"
            "number = len(open(path).readlines())\n"
            f"{more}\n"
            f"answer = dict({FACTS!r}, access_token=f'token{{number}}', expires_in={seconds}, expires_epoch=time.time() + {seconds})\n"
            "print(json.dumps(answer))"
        )
        return _provider.Provider("prod", None), count

    def starts(self, count):
        return count.read_text().splitlines()

    def test_one_process_for_many_requests_and_threads(self):
        provider, count = self.provider(1800)
        values = []
        threads = [threading.Thread(target=lambda: values.append(provider.token().value)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(values), {"token1"})
        self.assertEqual(len(self.starts(count)), 1)

    def test_a_longer_life_is_asked_for_when_it_is_needed(self):
        provider, count = self.provider(1800)
        provider.token()
        provider.token(min_ttl=300)
        self.assertEqual(len(self.starts(count)), 1)

    def test_short_lives_start_no_process_per_request(self):
        provider, count = self.provider(30)
        for _ in range(50):
            provider.token()
        self.assertEqual(len(self.starts(count)), 1)

    def test_a_rejected_token_is_replaced_once_for_all_threads(self):
        provider, count = self.provider(1800)
        first = provider.token().value
        others = []
        threads = [threading.Thread(target=lambda: others.append(provider.instead_of(first).value)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(others), {"token2"})
        self.assertEqual(len(self.starts(count)), 2)

    def test_where_the_program_still_holds_the_rejected_one_it_is_forced(self):
        provider, count = self.provider(1800, "number = 1 if '--force' not in sys.argv else 9")
        first = provider.token().value
        self.assertEqual(provider.instead_of(first).value, "token9")
        self.assertIn("--force", self.starts(count)[-1])

    def test_a_sign_in_that_ends_soon_is_warned_of_once(self):
        provider, _ = self.provider(1800)
        path = pathlib.Path(os.environ["AGE_OAUTH_BIN"])
        path.write_text(path.read_text().replace("'sign_in_ends_soon': False", "'sign_in_ends_soon': True"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            provider.token()
            provider.forget()
            provider.token()
        self.assertEqual([one.category for one in caught], [age_oauth.SignInEndsSoon])


class Addresses(unittest.TestCase):
    class Granting:
        """Knows one federated server."""

        def token(self, min_ttl=None, server=""):
            if server not in ("", "https://gis.example.com/server"):
                raise age_oauth.PortalRefused("no")
            return type("T", (), {"value": f"for {server}"})()

        def instead_of(self, rejected, server="", **_):
            return self.token(None, server)

    def test_each_address_gets_what_belongs_to_it(self):
        policy = _policy.Policy(self.Granting(), "https://gis.example.com/portal")
        for url, token in {
            "https://gis.example.com/portal/sharing/rest/x": "for ",
            "https://GIS.example.com:443/portal": "for ",
            "https://gis.example.com/server/rest/services": "for https://gis.example.com/server",
            "https://gis.example.com/portalx/y": None,
            "https://gis.example.com.evil.example/portal/x": None,
            "https://me@evil.example/portal": None,
            "http://gis.example.com/portal/x": None,
            "https://gis.example.com:8443/portal/x": None,
        }.items():
            self.assertEqual(policy.token(url), token, url)

    def test_errors_are_recognised_by_their_first_bytes(self):
        for text, code in {
            b'{"error":{"code":498,"message":"Invalid token.","details":[]}}': 498,
            b'{\n "error": {"code": 499}}': 499,
            b'{"results": [], "error": {"code": 498}}': 498,
            b'{"status":"error","messages":["Invalid token."],"code":498}': 498,
            b'{"status":"error","messages":["Not found."],"code":404}': 404,
            b'{"status":"success","code":498}': None,
            b'{"error": "no"}': None,
            b'{"error": [': None,
            b'{"error": ' + b"[" * 15_000: None,
            b"<html>": None,
            b"": None,
        }.items():
            self.assertEqual(_rejection.error_code(text), code, text)

    def test_a_sign_in_that_is_needed_is_never_swallowed(self):
        class Dead:
            def token(self, min_ttl=None, server=""):
                raise SignInRequired("ended", "age-oauth login")

        with self.assertRaises(SignInRequired):
            _policy.Policy(Dead(), "https://h/p").token("https://other/x")


class Syntax(unittest.TestCase):
    def test_every_file_is_python_3_9(self):
        import ast

        root = pathlib.Path(_program.__file__).parent
        files = sorted(root.glob("*.py"))
        self.assertGreater(len(files), 10)
        for path in files:
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))


class Hints(unittest.TestCase):
    def test_pip_is_told_the_version(self):
        # Without a version, pip takes the predecessor where it is the newest.
        seen = []
        for path in pathlib.Path(_program.__file__).parent.glob("*.py"):
            seen += re.findall(r"pip install (.*age-oauth.*)", path.read_text(encoding="utf-8"))
        self.assertGreaterEqual(len(seen), 4)
        for rest in seen:
            self.assertRegex(rest, r'^(--upgrade )?"age-oauth(\[\w+\])?>=')


if __name__ == "__main__":
    unittest.main()
