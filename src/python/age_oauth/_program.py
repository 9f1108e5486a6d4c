"""The ``age-oauth`` program: where it is, and how it is asked.

Every effect outside of this process goes through here. Nothing is printed, and no question is asked.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

from .errors import BY_CODE, AgeOAuthError, ProgramUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

#: The oldest program that this package works with.
OLDEST = (0, 3, 0)

#: The program bounds each of its own waits; this is for one that hangs all the same. Seconds.
PATIENCE = 300

_NAME = "age-oauth.exe" if os.name == "nt" else "age-oauth"

# What Windows answers where a policy, a scanner or the wrong processor is in the way.
_BLOCKED = {
    1260: "a policy of this machine (group policy, AppLocker) blocks it; ask its administrator to allow this file",
    5: "access to it is denied, perhaps by a policy of this machine; ask its administrator to allow this file",
    193: "it is no program for this machine; install the package again",
}

_found: "str | None" = None


def find() -> str:
    """The program's path: the one in this Python environment, else what ``AGE_OAUTH_BIN`` names, else the first on ``PATH``.

    Raises :class:`~age_oauth.errors.ProgramUnusable` where there is none.
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
        what = "is a directory" if os.path.isdir(named) else "is not there"
        raise ProgramUnusable(
            f"AGE_OAUTH_BIN names `{named}`, which {what}",
            "set it to the path of the age-oauth program, or unset it",
        )
    raise ProgramUnusable(
        "the age-oauth program was found neither in this Python environment nor on PATH",
        f'install it here: "{sys.executable}" -m pip install age-oauth; or set AGE_OAUTH_BIN to its path',
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
        # Whoever names one means that one: no other is looked for.
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
        # One word, so that a label that begins with a hyphen stays a label.
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
        raise AgeOAuthError("a name holds a NUL character, which no command line can carry") from error
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: str, error: OSError) -> ProgramUnusable:
    """Why a program could not be started, in words that name it."""
    why = _BLOCKED.get(getattr(error, "winerror", None) or 0)
    if why is None:
        why = "it is no program for this machine" if error.errno == 8 else (error.strerror or str(error))
    return ProgramUnusable(f"`{path}` cannot be started: {why}", "age-oauth doctor tells more where it can be started")


def ask(*arguments: str, stdin: "str | None" = None) -> "Any":
    """Runs a command with ``--json`` and returns its answer. Warnings of the program become Python's."""
    import subprocess

    process = start(
        [*arguments, "--json"],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AgeOAuthError(
            f"`age-oauth {arguments[0]}` did not end within {PATIENCE} seconds and was ended",
            "age-oauth doctor",
        ) from None
    except BaseException:
        # Ctrl-C in a script: nothing of ours stays behind.
        process.kill()
        process.wait()
        raise
    said = list(_lines(err))
    for line in said:
        if isinstance(line.get("warning"), str):
            warnings.warn(line["warning"], stacklevel=3)
    if process.returncode != 0:
        raise failure(process.returncode, said, err)
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


def failure(code: int, said: "Sequence[dict[str, Any]]", err: bytes = b"") -> AgeOAuthError:
    """The error that the program told on stderr, as the class of its exit code."""
    for line in reversed(said):
        error = line.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            one = BY_CODE.get(code, AgeOAuthError)
            return one(error["message"], error.get("hint"), error.get("kind"))
    if code < 0:
        return AgeOAuthError(f"age-oauth was ended by signal {-code} before it had answered")
    if code == 2:
        # The Python package of old knows neither `--json` nor most commands.
        return misunderstood(find())
    text = err.decode("utf-8", "replace").strip().splitlines()
    return BY_CODE.get(code, AgeOAuthError)(text[-1] if text else f"age-oauth ended with code {code}")


def misunderstood(path: str) -> ProgramUnusable:
    """What is wrong with a program that answers something else: usually its age."""
    found = version(path)
    oldest = ".".join(map(str, OLDEST))
    if found is None:
        return ProgramUnusable(
            f"`{path}` is not the age-oauth program, or was ended before it had answered",
            "set AGE_OAUTH_BIN to the path of the age-oauth program",
        )
    if found < OLDEST:
        shown = ".".join(map(str, found))
        return ProgramUnusable(
            f"`{path}` is age-oauth {shown}; this package needs {oldest} or newer",
            f'"{sys.executable}" -m pip install --upgrade age-oauth',
        )
    return ProgramUnusable(f"`{path}` gave an answer that is none", "age-oauth doctor")


def version(path: str) -> "tuple[int, ...] | None":
    """The version of the program at ``path``, or ``None`` where it is something else."""
    import re
    import subprocess

    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = re.match(rb"age-oauth (\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, said.groups())) if said else None


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
            # The program got it as well, and says what becomes of it.
            continue
