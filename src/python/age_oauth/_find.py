"""Where the ``age-oauth`` program is: the one that was installed with this package, and never a script that leads back to it.

This module does not print and does not ask questions.
"""

from __future__ import annotations

import os

from . import _session
from .errors import ProgramUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: The oldest program that this package works with.
OLDEST = (0, 3, 0)
OLDEST_TEXT = ".".join(map(str, OLDEST))

NAME = "age-oauth.exe" if os.name == "nt" else "age-oauth"

#: Names the program that this package starts. The program removes it from its own environment;
#: only a script that leads back to Python still has it when it imports this package.
GUARD = "AGE_OAUTH_STARTED_BY_PYTHON"

#: Names the program in place of all that are looked for.
NAMED = "AGE_OAUTH_BIN"
_SET_IT = f"set {NAMED} to the path of the age-oauth program"

#: The folder that holds this package, ``site-packages`` as a rule.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_found: "str | None" = None


def find() -> str:
    """The program's path: what ``AGE_OAUTH_BIN`` names, else the program that was installed with this package, else the
    first in a folder of ``PATH`` that is a whole path, else one where it is usually installed: programs with windows may have a
    shorter ``PATH`` than a shell.

    Raises :class:`~age_oauth.errors.ProgramUnusable` if there is none, or if it leads back to this package.
    """
    global _found
    started = os.environ.get(GUARD)
    if started:
        raise ProgramUnusable(
            f"`{started}` is not the age-oauth program, but a script that leads back to Python",
            f"remove it, or {_SET_IT}",
        )
    if _found is None or not os.path.isfile(_found):
        _found = _search()
    return _found


def forget() -> None:
    """Looks again at the next :func:`find`: another program may have been installed where it is looked for first."""
    global _found
    _found = None


def guarded(path: str) -> "dict[str, str]":
    """The environment in which the program at ``path`` is started."""
    return {**os.environ, GUARD: path}


def _search() -> str:
    named = os.environ.get(NAMED)
    if named:
        return _checked(named)
    if not os.path.isdir(_ROOT):
        raise ProgramUnusable(
            f"this package runs from the file `{_ROOT}`, which cannot hold a program",
            f'install it: {_session.python_command()} -m pip install "age-oauth>={OLDEST_TEXT}"; or {_SET_IT}',
        )
    for candidate in _candidates():
        if os.path.isfile(candidate) and not leads_to_python(candidate):
            return candidate
    raise ProgramUnusable(
        "the age-oauth program was found neither in this Python environment nor on PATH nor where it is usually installed",
        f'install it here: {_session.python_command()} -m pip install "age-oauth>={OLDEST_TEXT}"; or {_SET_IT}',
    )


def _checked(named: str) -> str:
    """What the variable names. If it is set, no other program is used."""
    if not os.path.isabs(named):
        raise ProgramUnusable(f"{NAMED} is `{named}`, which is not a whole path", f"{_SET_IT}, or unset it")
    if not os.path.isfile(named):
        what = "is a directory" if os.path.isdir(named) else "does not exist"
        raise ProgramUnusable(f"{NAMED} names `{named}`, which {what}", f"{_SET_IT}, or unset it")
    return named


def _candidates() -> "Iterator[str]":
    yield from _recorded()
    yield from _beside()
    import sysconfig

    # A package that runs from its sources has no scheme.
    yield os.path.join(sysconfig.get_path("scripts"), NAME)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.path.isabs(folder):
            candidate = os.path.join(folder, NAME)
            if os.access(candidate, os.X_OK):
                yield candidate
    for candidate in _usual():
        if os.path.isabs(candidate) and os.access(candidate, os.X_OK):
            yield candidate


def _usual() -> "Iterator[str]":
    """Where installers of this system and ``cargo install`` put the program."""
    if os.name == "nt":
        yield from _registered()
        yield os.path.join(os.environ.get("LOCALAPPDATA", ""), "Programs", "age-oauth", NAME)
    else:
        yield os.path.join("/usr/local/bin", NAME)
        yield os.path.join("/opt/homebrew/bin", NAME)
        yield os.path.join(os.path.expanduser("~"), ".local", "bin", NAME)
    yield os.path.join(os.path.expanduser("~"), ".cargo", "bin", NAME)


def _registered() -> "Iterator[str]":
    """What Windows starts by the program's name, from its registry (*App Paths*)."""
    import winreg

    for root in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):
        try:
            path = winreg.QueryValue(root, rf"SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\{NAME}")
        except OSError:
            continue
        yield os.path.expandvars(path.strip('"'))


def _recorded() -> "Iterator[str]":
    """The program in the ``RECORD`` of the distribution that this file belongs to."""
    import csv

    for entry in sorted(os.listdir(_ROOT), reverse=True):
        if not (entry.lower().startswith("age_oauth-") and entry.endswith(".dist-info")):
            continue
        try:
            with open(os.path.join(_ROOT, entry, "RECORD"), encoding="utf-8", newline="") as record:
                for row in csv.reader(record):
                    if row and row[0].replace("\\", "/").rpartition("/")[2] == NAME:
                        yield os.path.normpath(os.path.join(_ROOT, row[0]))
        except (OSError, ValueError, csv.Error):
            continue


def _beside() -> "Iterator[str]":
    """The folder for programs of each installation scheme that puts packages where this file is."""
    import sysconfig

    root = _same(_ROOT)
    for scheme in sysconfig.get_scheme_names():
        try:
            paths = sysconfig.get_paths(scheme)
        except (AttributeError, KeyError):  # A scheme of another system.
            continue
        if root in (_same(paths["purelib"]), _same(paths["platlib"])):
            yield os.path.join(paths["scripts"], NAME)
    # `pip install --target FOLDER` puts programs into FOLDER/bin.
    yield os.path.join(_ROOT, "bin", NAME)


def _same(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def leads_to_python(path: str) -> bool:
    """Whether a file is a script of Python, or what pip, uv or conda put in place of one on Windows."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(b"#!"):
        return b"python" in head.lower()
    if not head.startswith(b"MZ"):
        return False
    import zipfile

    beside = os.path.splitext(path)[0] + "-script.py"
    return tail.endswith((b"UVSC", b"UVPY")) or os.path.isfile(beside) or zipfile.is_zipfile(path)
