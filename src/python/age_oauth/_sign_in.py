"""Lets the person who runs a script sign in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from . import _json_names as names
from . import _program, _session
from .errors import AgeOAuthError


def sign_in(selector: "Sequence[str]", *options: str) -> bool:
    """Lets a person sign in. ``False`` if no person can be asked here; an error if the sign-in failed."""
    way = _session.way_to_ask()
    if way == _session.TERMINAL:
        return _by_terminal(selector, options)
    if way == _session.FIELD:
        return _by_field(selector, options)
    return False


def _by_terminal(selector: "Sequence[str]", options: "Sequence[str]") -> bool:
    # The answer of the program goes to stderr, because stdout belongs to the script.
    code = _program.wait(_program.start(["login", *selector, *options], stdout=sys.stderr))
    if code != 0:
        command = " ".join(["age-oauth login", *selector])
        raise _program.BY_CODE.get(code, AgeOAuthError)("the sign-in was not completed", _session.hint(command))
    return True


def _by_field(selector: "Sequence[str]", options: "Sequence[str]") -> bool:
    import subprocess

    process = _program.start(
        ["login", *selector, *options, "--no-browser", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        first = process.stdout.readline()
        started = _object(first)
        typed: "bytes | None" = None
        if names.AUTHORIZE_URL in started:
            say(f"Sign in at:\n{started[names.AUTHORIZE_URL]}")
            answer = _typed(started.get(names.EXPECTS) == "callback")
            if answer is None:
                return False
            # After an empty line the program waits for the browser to come to its port.
            typed = f"{answer}\n".encode() if answer else None
        out, err = process.communicate(typed)
    finally:
        if process.poll() is None:
            _program.end(process, waits_for_browser=True)
    if process.returncode != 0:
        raise _program.failure(process.returncode, list(_program._lines(err)), err)
    # For an application, the first line is the only one.
    last = out.splitlines()[-1:] or [first]
    _say_who(_object(last[0]))
    return True


def _object(line: bytes) -> "dict[str, Any]":
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def say(text: str) -> None:
    """Says something to the person who runs the script, if there is a stream for that: ``pythonw`` and programs with windows
    have none, and a script may have closed its own."""
    # stdout belongs to the script.
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def _say_who(answer: "dict[str, Any]") -> None:
    who = answer.get(names.USERNAME) or answer.get(names.APPLICATION)
    if who is None:
        return
    until = answer.get(names.REFRESH_EXPIRES_AT)
    ends = f" until {_local(until)}" if isinstance(until, str) else ""
    say(f"Signed in to `{answer.get(names.CONNECTION)}` as `{who}`{ends}.")


def _local(time: str) -> str:
    from datetime import datetime

    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OSError, OverflowError, ValueError):
        return time


def _typed(callback: bool) -> "str | None":
    prompt = (
        "Address that the browser shows at the end (nothing, if it already says that you are signed in): "
        if callback
        else "Code that the portal shows: "
    )
    try:
        return input(prompt).strip()
    except (EOFError, OSError, RuntimeError, NotImplementedError):
        # A notebook that runs unattended, for example under nbconvert.
        return None
