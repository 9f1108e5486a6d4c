"""The ``age-oauth`` program: where it is, and how it is called.

This module does not print and does not ask questions.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from . import _json_names as names
from .errors import BY_CODE, AgeOAuthError, ProgramUnusable

#: The oldest program that this package works with.
OLDEST = (0, 3, 0)
_OLDEST_TEXT = ".".join(map(str, OLDEST))

#: The program limits each of its own waits; this limit is for a program that hangs nevertheless.
#: Seconds.
TIMEOUT = 300

_NAME = "age-oauth.exe" if os.name == "nt" else "age-oauth"

# Error codes of Windows if a policy, a virus scanner or the wrong processor prevents the start.
_BLOCKED = {
    1260: "a policy of this machine (group policy, AppLocker) blocks it; ask its administrator to allow this file",
    5: "access to it is denied, perhaps by a policy of this machine; ask its administrator to allow this file",
    193: "it is not a program for this machine; install the package again",
}

_found: "str | None" = None


def find() -> str:
    """The program's path: the one in this Python environment, else what ``AGE_OAUTH_BIN`` names, else the first on ``PATH``.

    Raises :class:`~age_oauth.errors.ProgramUnusable` if there is none.
    """
    global _found
    if _found is not None and os.path.isfile(_found):
        return _found
    for candidate in _candidates():
        if os.path.isfile(candidate):
            _found = candidate
            return candidate
    named = os.environ.get("AGE_OAUTH_BIN")
    if named:
        what = "is a directory" if os.path.isdir(named) else "does not exist"
        raise ProgramUnusable(
            f"AGE_OAUTH_BIN names `{named}`, which {what}",
            "set it to the path of the age-oauth program, or unset it",
        )
    raise ProgramUnusable(
        "the age-oauth program was found neither in this Python environment nor on PATH",
        f'install it here: "{sys.executable}" -m pip install "age-oauth>={_OLDEST_TEXT}"; or set AGE_OAUTH_BIN to its path',
    )


def _candidates() -> "Iterator[str]":
    import sysconfig

    yield os.path.join(sysconfig.get_path("scripts"), _NAME)
    try:
        yield os.path.join(sysconfig.get_path("scripts", f"{os.name}_user"), _NAME)
    except KeyError:  # A Python without a user scheme.
        pass
    # `pip install --target DIR` puts programs into DIR/bin.
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", _NAME)
    named = os.environ.get("AGE_OAUTH_BIN")
    if named:
        # If the variable is set, no other program is used.
        yield named
        return
    import shutil

    found = shutil.which("age-oauth")
    if found:
        yield found


def selector(connection: "str | None", connection_id: "str | None") -> "list[str]":
    """The flags that choose a connection."""
    if connection_id is not None:
        return ["--connection-id", connection_id]
    if connection is not None:
        # As one argument, so that a label that begins with a hyphen is not read as an option.
        return [f"--connection={connection}"]
    return []


def start(arguments: "Sequence[str]", **options: "Any"):
    """Starts the program, as :class:`subprocess.Popen` does."""
    import subprocess

    path = find()
    if os.name == "nt" and options.get("stdin") is not None:
        # Under ArcGIS Pro a console window would flash up.
        options.setdefault("creationflags", subprocess.CREATE_NO_WINDOW)
    try:
        return subprocess.Popen([path, *arguments], **options)
    except ValueError as error:
        raise AgeOAuthError("a name contains a NUL character, which cannot be passed to a program") from error
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: str, error: OSError) -> ProgramUnusable:
    """The error for a program that could not be started."""
    why = _BLOCKED.get(getattr(error, "winerror", None) or 0)
    if why is None:
        why = "it is not a program for this machine" if error.errno == 8 else (error.strerror or str(error))
    return ProgramUnusable(f"`{path}` cannot be started: {why}", "if the program runs elsewhere: age-oauth doctor")


def ask(*arguments: str, stdin: "str | None" = None) -> "Any":
    """Runs a command with ``--json`` and returns its answer. Warnings of the program become Python warnings."""
    import subprocess

    process = start(
        [*arguments, "--json"],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AgeOAuthError(
            f"`age-oauth {arguments[0]}` did not finish within {TIMEOUT} seconds and was stopped",
            "age-oauth doctor",
        ) from None
    except BaseException:
        # Ctrl-C in a script: do not leave the program running.
        process.kill()
        process.wait()
        raise
    messages = list(_lines(err))
    for message in messages:
        if isinstance(message.get(names.WARNING), str):
            warnings.warn(message[names.WARNING], stacklevel=3)
    if process.returncode != 0:
        raise failure(process.returncode, messages, err)
    try:
        return json.loads(out)
    except ValueError:
        raise misunderstood(process.args[0]) from None


def _lines(err: bytes) -> "Iterator[dict[str, Any]]":
    for line in err.decode("utf-8", "replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def failure(code: int, messages: "Sequence[dict[str, Any]]", err: bytes = b"") -> AgeOAuthError:
    """The error that the program printed on stderr, as the class of its exit code."""
    for message in reversed(messages):
        error = message.get(names.ERROR)
        if isinstance(error, dict) and isinstance(error.get(names.MESSAGE), str):
            error_class = BY_CODE.get(code, AgeOAuthError)
            return error_class(error[names.MESSAGE], error.get(names.HINT), error.get(names.KIND))
    if code < 0:
        return AgeOAuthError(f"age-oauth was stopped by signal {-code} before it answered")
    if code == 2:
        # The program of age-oauth 0.2 does not have `--json`.
        return misunderstood(find())
    text = err.decode("utf-8", "replace").strip().splitlines()
    return BY_CODE.get(code, AgeOAuthError)(text[-1] if text else f"age-oauth ended with code {code}")


def misunderstood(path: str) -> ProgramUnusable:
    """The error for a program with an unexpected answer: usually it is too old."""
    found = version(path)
    if found is None:
        return ProgramUnusable(
            f"`{path}` is not the age-oauth program, or was stopped before it answered",
            "set AGE_OAUTH_BIN to the path of the age-oauth program",
        )
    if found < OLDEST:
        shown = ".".join(map(str, found))
        return ProgramUnusable(
            f"`{path}` is age-oauth {shown}; this package needs {_OLDEST_TEXT} or newer",
            f'"{sys.executable}" -m pip install --upgrade "age-oauth>={_OLDEST_TEXT}"',
        )
    return ProgramUnusable(f"`{path}` printed something that is not JSON", "age-oauth doctor")


def version(path: str) -> "tuple[int, ...] | None":
    """The version of the program at ``path``, or ``None`` if it is another program."""
    import re
    import subprocess

    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(rb"age-oauth (\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else None


def become(arguments: "Sequence[str]") -> int:
    """Runs the program in place of this process, or, on Windows, waits for its end. Returns its exit code."""
    path = find()
    if os.name != "nt":
        try:
            os.execv(path, [path, *arguments])
        except OSError as error:
            raise unusable(path, error) from error
    process = start(arguments)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The program received the signal, too, and decides how it ends.
            continue
