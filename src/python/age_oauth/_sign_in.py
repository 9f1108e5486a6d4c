"""A sign-in on behalf of a script, where a person is there to do it."""

from __future__ import annotations

import json
import sys

from . import _program
from .errors import AgeOAuthError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def in_notebook() -> bool:
    """Whether this runs in a notebook, where a person can be asked without a terminal."""
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    running = get() if get else None
    return running is not None and getattr(running, "kernel", None) is not None


def at_terminal() -> bool:
    """Whether a person can read what is said and answer."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # Without a console there are none; or they were closed.
        return False


def sign_in(selector: "Sequence[str]") -> bool:
    """Lets the person who is there sign in. ``False`` where nobody is; an error where it failed."""
    if in_notebook():
        return _by_notebook(selector)
    if at_terminal():
        return _by_terminal(selector)
    return False


def _by_terminal(selector: "Sequence[str]") -> bool:
    # What the program says to a person belongs to stderr; stdout is the script's own.
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
            begun = json.loads(first)
        except ValueError:
            begun = {}
        if "authorize_url" in begun:
            sys.stderr.write(f"Sign in at:\n{begun['authorize_url']}\n")
            sys.stderr.flush()
            code = None
            if begun.get("expects") == "code":
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
        # A notebook that nobody watches, as under nbconvert.
        return None
