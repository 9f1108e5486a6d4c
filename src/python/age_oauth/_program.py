"""The ``age-oauth`` program: how it is called, and what its answers mean.

This module does not print and does not ask questions.
"""

from __future__ import annotations

import os
import time

from . import _find, _session
from . import _json_names as names
from ._find import find
from .errors import BY_CODE, AgeOAuthError, AgeOAuthWarning, ProgramUnusable, UsageError, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

OLDEST = _find.OLDEST
_OLDEST_TEXT = _find.OLDEST_TEXT

#: The program limits each of its own waits; this limit is for a program that hangs nevertheless.
#: Seconds.
TIMEOUT = 300

#: How long the program may take to end. It may have asked the portal for something that must not
#: be lost: then it waits for the answer and stores it first (60 seconds at most,
#: ``DELAYED_INTERRUPTION_TIMEOUT`` in ``src/policy.rs``), and removes what must not stay. Seconds.
_END = 90

#: The same on Windows for a program that may wait for a browser: it cannot be asked to end there.
#: Seconds.
_END_OF_SIGN_IN = 10

#: The same as ``TIMEOUT`` for ``--version``, which waits for nothing. Seconds.
_VERSION_TIMEOUT = 30

# Error codes of Windows if a policy, a virus scanner or the wrong processor prevents the start.
_BLOCKED = {
    1260: "a policy of this machine (group policy, AppLocker) blocks it; ask its administrator to allow this file",
    5: "access to it is denied, perhaps by a policy of this machine; ask its administrator to allow this file",
    193: "it is not a program for this machine; install the package again",
}


def selector(connection: "str | None", connection_id: "str | None") -> "list[str]":
    """The flags that choose a connection."""
    for name in (connection, connection_id):
        if name is not None and not isinstance(name, str):
            raise UsageError(f"the name of a connection is text, not an object of the type `{type(name).__name__}`")
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
    if options.get("stdin") is not None:
        options = {**_without_window(), **options}
    if any("\0" in argument for argument in arguments):
        raise AgeOAuthError("a name contains a NUL character, which cannot be passed to a program")
    if any(_is_broken(argument) for argument in arguments):
        raise AgeOAuthError("a name contains half of a character (a surrogate), which cannot be passed to a program")
    # Secrets are never arguments.
    log().debug("starting %s %s", path, " ".join(arguments))
    try:
        return subprocess.Popen([path, *arguments], env=_find.guarded(path), **options)
    except OSError as error:
        raise unusable(path, error) from error


def _without_window() -> "dict[str, Any]":
    """Options of :mod:`subprocess`: under a program with windows, such as ArcGIS Pro and QGIS, a console window would flash up."""
    import subprocess

    return {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}


def _is_broken(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return True
    return False


def log():
    """The logger of this package. It gets decisions, and never a secret."""
    import logging

    return logging.getLogger("age_oauth")


def unusable(path: str, error: OSError) -> ProgramUnusable:
    """The error for a program that could not be started."""
    why = _BLOCKED.get(getattr(error, "winerror", None) or 0)
    if why is None:
        why = "it is not a program for this machine" if error.errno == 8 else (error.strerror or str(error))
    return ProgramUnusable(f"`{path}` cannot be started: {why}", "if the program runs elsewhere: age-oauth doctor")


def ask(*arguments: str, stdin: "str | None" = None) -> "Any":
    """Runs a command with ``--json`` and returns its answer. Warnings of the program become Python warnings."""
    import json

    began = time.monotonic()
    path, out = _run([*arguments, "--json"], stdin)
    try:
        answer = json.loads(out)
    except ValueError:
        raise misunderstood(path) from None
    log().debug("`age-oauth %s` answered after %.2f s", arguments[0], time.monotonic() - began)
    if isinstance(answer, dict) and names.ACCESS_TOKEN in answer:
        log().info(
            "access token for `%s` until %s", answer.get(names.CONNECTION), answer.get(names.EXPIRES_AT)
        )
    return answer


def portal_answer(connection_id: str, path: str) -> "Any":
    """What the portal answers below ``/sharing/rest/``, from JSON. The program limits its length."""
    import json

    program, out = _run(["api", *selector(None, connection_id), path], None)
    try:
        return json.loads(out)
    except (ValueError, RecursionError):
        raise misunderstood(program) from None


def _run(arguments: "list[str]", stdin: "str | None") -> "tuple[str, bytes]":
    """The program's path, and what it printed."""
    import subprocess

    process = start(
        arguments,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        end(process)
        raise AgeOAuthError(
            f"`age-oauth {arguments[0]}` did not finish within {TIMEOUT} seconds and was stopped",
            "age-oauth doctor",
        ) from None
    except BaseException:
        # Ctrl-C in a script: do not leave the program running.
        end(process)
        raise
    messages = list(_lines(err))
    for message in messages:
        if isinstance(message.get(names.WARNING), str):
            warn(message[names.WARNING], AgeOAuthWarning)
    if process.returncode != 0:
        error = failure(process.returncode, messages, err)
        log().info("`age-oauth %s` failed: %s (%s)", arguments[0], error.message, error.kind)
        raise error
    return process.args[0], out


def wait(process: "Any") -> int:
    """Waits for a program that talks to a person, and returns its exit code."""
    try:
        return process.wait()
    except BaseException:
        end(process)
        raise


def end(process: "Any", *, waits_for_browser: bool = False) -> None:
    """Ends the program and waits for it. A program that is killed while the portal issues a sign-in would lose it.

    An exception meanwhile, such as from a second Ctrl-C, ends the wait, which goes on in a thread."""
    limit = _END_OF_SIGN_IN if waits_for_browser and os.name == "nt" else _END
    try:
        stdin, process.stdin = process.stdin, None
        if stdin is not None:
            try:
                stdin.close()
            except OSError:  # It reads no more.
                pass
        if os.name != "nt":
            process.terminate()
        _wait_for_end(process, limit)
    except BaseException:
        import threading

        try:
            threading.Thread(target=_wait_for_end, args=(process, limit), name="age-oauth end", daemon=True).start()
        except RuntimeError:  # The interpreter ends, or has no thread left. The program ends by itself.
            pass
        raise


def _wait_for_end(process: "Any", limit: float) -> None:
    import subprocess

    try:
        # What it still prints must not fill a pipe.
        process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _lines(err: bytes) -> "Iterator[dict[str, Any]]":
    import json

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
            return error_class(error[names.MESSAGE], _session.hint(error.get(names.HINT)), error.get(names.KIND))
    if code < 0:
        return AgeOAuthError(f"age-oauth was stopped by signal {-code} before it answered")
    if code == 2:
        # The program of age-oauth 0.2 does not have `--json`.
        return misunderstood(find())
    return _failure_of_text(code, err.decode("utf-8", "replace").strip().splitlines())


def _failure_of_text(code: int, lines: "list[str]") -> AgeOAuthError:
    """The error of a command without ``--json``, or of another program."""
    hint = None
    if len(lines) > 1 and lines[-1].startswith("hint: "):
        hint = _session.hint(lines.pop().partition(": ")[2])
    text = lines[-1] if lines else f"age-oauth ended with code {code}"
    return BY_CODE.get(code, AgeOAuthError)(text.partition("error: ")[2] or text, hint)


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
            f'{_session.python_command()} -m pip install --upgrade "age-oauth>={_OLDEST_TEXT}"',
        )
    return ProgramUnusable(f"`{path}` printed something that is not JSON", "age-oauth doctor")


def version(path: str) -> "tuple[int, ...] | None":
    """The version of the program at ``path``, or ``None`` if it is another program.

    Raises :class:`~age_oauth.errors.ProgramUnusable` if it cannot be started, or does not answer."""
    import re
    import subprocess

    try:
        done = subprocess.run(
            [path, "--version"],
            env=_find.guarded(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_VERSION_TIMEOUT,
            **_without_window(),
        )
    except OSError as error:
        raise unusable(path, error) from error
    except subprocess.TimeoutExpired:
        raise ProgramUnusable(
            f"`{path} --version` did not answer within {_VERSION_TIMEOUT} seconds",
            "try again; a virus scanner may have held it back",
        ) from None
    found = re.match(rb"age-oauth (\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else None


def become(arguments: "Sequence[str]") -> int:
    """Runs the program in place of this process, or, on Windows, waits for its end. Returns its exit code."""
    path = find()
    if os.name != "nt":
        try:
            os.execve(path, [path, *arguments], _find.guarded(path))
        except OSError as error:
            raise unusable(path, error) from error
    process = start(arguments)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The program received the signal, too, and decides how it ends.
            continue
