"""The command line, which is the ``age-oauth`` program."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: "Sequence[str] | None" = None) -> int:
    """Runs the program with these arguments (default: this process's own) and returns its exit code.

    Without arguments, the program replaces this process, if the system supports that.
    """
    from . import _program
    from .errors import AgeOAuthError

    try:
        if argv is None:
            return _program.become(sys.argv[1:])
        return _program.wait(_program.start(list(argv)))
    except AgeOAuthError as error:
        from ._sign_in import say

        say(f"error: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
        return 1
