"""Builds the Python package from its sources with maturin, and says before the build what it needs.

Without this, a machine without Rust gets a download of a compiler, or sixty lines of traceback.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from maturin import (  # noqa: F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

ROOT = Path(__file__).resolve().parent.parent.parent


def get_requires_for_build_wheel(config_settings=None):
    _check()
    # The build requirements of pyproject.toml are enough.
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def _check():
    wanted = re.search(r'^rust-version = "([0-9.]+)"', (ROOT / "Cargo.toml").read_text("utf-8"), re.M).group(1)
    missing = list(_missing(wanted))
    if missing:
        lines = [
            "age-oauth is built from its Rust sources here. " + " ".join(missing),
            f"Install Rust {wanted} or later from https://rustup.rs"
            + ("" if os.name == "nt" else " and a C compiler (on Debian: apt-get install gcc)")
            + ", open a new shell, and run this command again. Or install a wheel that was built on another machine:"
            + " it needs neither.",
        ]
        sys.exit("\n".join(lines))


def _which(name):
    """The program in the first absolute folder of ``PATH`` that has it; its path if ``name`` is one already.

    ``shutil.which`` and ``subprocess`` also look in the current folder, on Windows always and elsewhere where ``PATH`` has
    an empty or a relative entry. There is the source of a project, and not the compiler.
    """
    if os.path.dirname(name):
        return shutil.which(name)
    endings = os.environ.get("PATHEXT", ".EXE").split(os.pathsep) if os.name == "nt" else [""]
    names = [name + ending for ending in endings if ending or os.name != "nt"]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for candidate in names:
            path = os.path.join(folder, candidate)
            if os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def _missing(wanted):
    rustc = _which("rustc")
    if not _which("cargo"):
        yield "`cargo` was not found on PATH."
    elif not rustc:
        yield "`rustc` was not found on PATH."
    else:
        try:
            said = subprocess.run([rustc, "--version"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            yield "`rustc` does not run."
        else:
            found = re.search(r"(\d+)\.(\d+)", said)
            if found and tuple(map(int, found.groups())) < tuple(map(int, wanted.split(".")[:2])):
                yield f"`rustc` is version {found.group()}, which is too old."
    if os.name != "nt" and not any(_which(name) for name in (os.environ.get("CC", "cc").split(" ")[0], "gcc", "clang")):
        yield "No C compiler was found."
