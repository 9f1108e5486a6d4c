"""Lets the person who runs a script sign in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from . import _json_names as names
from . import _program
from .errors import AgeOAuthError


def in_notebook() -> bool:
    """Whether this runs in a notebook, where a person can be asked without a terminal."""
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    running = get() if get else None
    return running is not None and getattr(running, "kernel", None) is not None


def at_terminal() -> bool:
    """Whether a person can read questions and answer them."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # The streams do not exist (no console), or are closed.
        return False


def sign_in(selector: "Sequence[str]") -> bool:
    """Lets a person sign in. ``False`` if there is neither a terminal nor a notebook; an error if the sign-in failed."""
    if in_notebook():
        return _by_notebook(selector)
    if at_terminal():
        return _by_terminal(selector)
    return False


def _by_terminal(selector: "Sequence[str]") -> bool:
    # The answer of the program goes to stderr, because stdout belongs to the script.
    code = _program.start(["login", *selector], stdout=sys.stderr).wait()
    if code != 0:
        raise _program.BY_CODE.get(code, AgeOAuthError)("the sign-in was not completed", "age-oauth login")
    return True


def _by_notebook(selector: "Sequence[str]") -> bool:
    import subprocess

    process = _program.start(
        ["login", *selector, "--no-browser", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        first = process.stdout.readline()
        try:
            started = json.loads(first)
        except ValueError:
            started = {}
        if names.AUTHORIZE_URL in started:
            sys.stderr.write(f"Sign in at:\n{started[names.AUTHORIZE_URL]}\n")
            sys.stderr.flush()
            code = None
            if started.get(names.EXPECTS) == "code":
                code = _typed_code()
                if code is None:
                    return False
            _, err = process.communicate(None if code is None else f"{code}\n".encode())
        else:
            _, err = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise _program.failure(process.returncode, list(_program._lines(err)), err)
    return True


def _typed_code() -> "str | None":
    try:
        return input("Code that the portal shows: ").strip()
    except (EOFError, OSError, RuntimeError, NotImplementedError):
        # A notebook that runs unattended, for example under nbconvert.
        return None
