"""What `pip install .` says before it builds: all that is missing, and how to get it."""

import importlib.util
import os
import stat
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

SOURCE = Path(__file__).resolve().parent.parent.parent / "src/python_build/age_oauth_build.py"
HOOKS = (
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_sdist",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
)


def backend():
    """The backend without maturin, which only pip's environment for builds has."""
    maturin = types.SimpleNamespace(**{name: None for name in HOOKS})
    with mock.patch.dict(sys.modules, maturin=maturin):
        spec = importlib.util.spec_from_file_location("age_oauth_build", SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@unittest.skipIf(os.name == "nt", "the programs here are shell scripts")
class BuildTest(unittest.TestCase):
    def with_programs(self, **programs):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, prints in programs.items():
            path = Path(folder.name, name)
            path.write_text(f"#!/bin/sh\necho '{prints}'\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return mock.patch.dict(os.environ, {"PATH": folder.name, "CC": "cc"})

    def refusal(self, **programs):
        with self.with_programs(**programs), self.assertRaises(SystemExit) as ended:
            backend().get_requires_for_build_wheel()
        return str(ended.exception.code)

    def test_a_machine_that_can_build_needs_nothing_more(self):
        with self.with_programs(cargo="", rustc="rustc 1.95.0 (abc 2026-01-01)", cc=""):
            self.assertEqual(backend().get_requires_for_build_wheel(), [])
            self.assertEqual(backend().get_requires_for_build_editable(), [])

    def test_what_is_missing_is_said_with_the_way_to_get_it(self):
        said = self.refusal()
        for words in ("`cargo` was not found", "No C compiler", "https://rustup.rs", "1.89"):
            self.assertIn(words, said)
        said = self.refusal(cargo="", rustc="rustc 1.63.0 (Debian)", cc="")
        self.assertIn("version 1.63, which is too old", said)
        self.assertNotIn("C compiler was", said)
        said = self.refusal(cargo="", rustc="rustc 1.95.0", gc="")
        self.assertIn("No C compiler was found", said)
        self.assertNotIn("too old", said)

    def test_programs_of_the_current_folder_are_not_run(self):
        with tempfile.TemporaryDirectory() as project, tempfile.TemporaryDirectory() as tools:
            for name in ("cargo", "rustc", "cc", "gcc", "clang"):
                for ending in ("", ".exe", ".bat"):
                    path = Path(project, name + ending)
                    path.write_text("#!/bin/sh\ntouch was-run\necho 'rustc 1.99.0'\n")
                    path.chmod(path.stat().st_mode | stat.S_IXUSR)
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(project)
            for folders in (("", tools), (".", tools), (tools, "")):
                path = os.pathsep.join(folders)
                variables = mock.patch.dict(os.environ, {"PATH": path, "CC": "cc"})
                with variables, self.assertRaises(SystemExit) as ended:
                    backend().get_requires_for_build_wheel()
                for words in ("`cargo` was not found", "No C compiler was found"):
                    self.assertIn(words, str(ended.exception.code))
            self.assertFalse(Path(project, "was-run").exists())

            # As on Windows, where the current folder comes first, and names have endings.
            Path(tools, "cargo.EXE").write_text("")
            Path(tools, "cargo.EXE").chmod(0o700)
            build = backend()
            windows = mock.patch.multiple(build.os, name="nt", pathsep=";")
            with windows, mock.patch.dict(os.environ, {"PATH": tools, "PATHEXT": ".COM;.EXE"}):
                self.assertEqual(build._which("cargo"), os.path.join(tools, "cargo.EXE"))
                self.assertIsNone(build._which("rustc"))
            os.chdir("/")


if __name__ == "__main__":
    unittest.main()
