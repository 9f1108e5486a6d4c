"""`tests/run --partial` on a bare machine: each missing thing is one line, a failed step does not end the run."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# What every system has.
TOOLS = "awk basename bash cat cp cut dirname env grep id mkdir rm sed sort tail tee uname".split()
CARGO = """#!/bin/sh
case "$*" in
  *"--test it"*) echo "test result: FAILED. 3 passed; 1 failed; 0 ignored"; exit 101 ;;
  *--os-keychain*) echo "Without --os-keychain, it needs none."; exit 5 ;;
  test*) echo "test result: ok. 2 passed; 0 failed; 0 ignored" ;;
esac
"""


@unittest.skipUnless(os.uname().sysname == "Linux" if hasattr(os, "uname") else False, "for Linux")
class PartialTest(unittest.TestCase):
    def test_the_rest_runs_and_the_summary_comes(self):
        with tempfile.TemporaryDirectory() as folder:
            (root, programs) = (Path(folder, "age-oauth"), Path(folder, "bin"))
            (root / "tests").mkdir(parents=True)
            programs.mkdir()
            shutil.copy(ROOT / "tests/run", root / "tests/run")
            for tool in TOOLS:
                (programs / tool).symlink_to(shutil.which(tool))
            (programs / "cargo").write_text(CARGO)
            (programs / "cargo").chmod(0o755)
            done = subprocess.run(
                ["bash", str(root / "tests/run"), "--partial", "--quick"],
                env={"PATH": str(programs), "HOME": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
            )
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("Linux: 11 tests passed", lines)
        self.assertEqual(lines[-1], "FAILED: tests", done.stdout)
        # Steps after the one that failed.
        self.assertTrue(any(line.startswith("==> tour") for line in lines), done.stdout)
        for program in ("fish", "zsh", "curl", "python3", "keepassxc", "c++"):
            listed = [line for line in lines if line.startswith("not run: ") and f"(no {program} here" in line]
            self.assertEqual(len(listed), 1, f"{program}: {done.stdout}")


if __name__ == "__main__":
    unittest.main()
