"""Access tokens, kept in memory: which one, when the next, from where."""

from __future__ import annotations

import threading
import time
import warnings

from . import _program
from .errors import SignInEndsSoon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A token that lives shorter than this is asked for anew, in seconds.
MARGIN = 60.0

#: Of a token that never lived longer than that, the last quarter is left unused.
LAST = 0.25


class Token:
    """An access token and what came with it."""

    __slots__ = ("value", "expires_at", "facts", "_ends", "_granted")

    def __init__(self, answer: "dict[str, Any]") -> None:
        #: The token itself.
        self.value: str = answer["access_token"]
        #: When it ends, in seconds since 1970.
        self.expires_at: float = float(answer["expires_epoch"])
        #: Everything else that the program said.
        self.facts = {key: value for key, value in answer.items() if key != "access_token"}
        self._granted = float(answer["expires_in"])
        # Clocks are set, and stand still while a machine sleeps: whichever says that the token ended is believed.
        self._ends = time.monotonic() + self._granted

    def left(self) -> float:
        """Seconds until it ends; negative behind that."""
        return min(self._ends - time.monotonic(), self.expires_at - time.time())

    def is_good(self, min_ttl: float) -> bool:
        """Whether it lives long enough; the portal may grant less than anybody would wish for."""
        return self.left() > min(min_ttl, self._granted * LAST)

    def __repr__(self) -> str:
        return f"<Token, {self.left():.0f} s left>"


class Provider:
    """The tokens of one connection, for any number of threads: one process start per renewal, none per request."""

    def __init__(self, connection: "str | None", connection_id: "str | None") -> None:
        self._selector = _program.selector(connection, connection_id)
        self._lock = threading.RLock()
        self._tokens: dict[str, Token] = {}
        self._refused: dict[str, float] = {}
        self._warned = False

    def token(self, min_ttl: "float | None" = None, server: str = "") -> Token:
        """A token that lives long enough, for the portal or for a server that the portal vouches for.

        ``min_ttl`` in seconds; without it, a minute, or what a portal with shorter lives grants.
        """
        with self._lock:
            kept = self._tokens.get(server)
            if kept is not None and kept.is_good(MARGIN if min_ttl is None else min_ttl):
                return kept
            return self._ask(min_ttl, server)

    def instead_of(self, rejected: str, server: str = "") -> Token:
        """Another token than this one, which the portal has rejected. Of many threads one renews, the others take its token."""
        with self._lock:
            kept = self._tokens.get(server)
            if kept is not None and kept.value != rejected and kept.left() > 0:
                return kept
            # Another process may have renewed already.
            other = self._ask(None, server)
            if other.value != rejected:
                return other
            return self._ask(None, server, "--force")

    def forget(self) -> None:
        """Asks for each token anew, for instance after a sign-in."""
        with self._lock:
            self._tokens.clear()

    def _ask(self, min_ttl: "float | None", server: str, *flags: str) -> Token:
        words = ["token", *self._selector, *flags]
        if min_ttl is not None:
            words += ["--min-ttl", f"{max(0, int(min_ttl))}s"]
        if server:
            words += ["--for", server]
        token = Token(_program.ask(*words))
        # A connection that is renamed meanwhile stays the one that it was.
        self._selector = _program.selector(None, token.facts["id"])
        self._tokens[server] = token
        if token.facts.get("sign_in_ends_soon") and not self._warned:
            self._warned = True
            warnings.warn(
                f"the sign-in of `{token.facts['connection']}` ends at {token.facts['refresh_expires_at']} and cannot be "
                f"extended; sign in before: age-oauth login -c {token.facts['id']}",
                SignInEndsSoon,
                stacklevel=4,
            )
        return token
