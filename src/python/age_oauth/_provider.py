"""Access tokens in memory: when a token is good enough, and when the program is asked for another one."""

from __future__ import annotations

import threading
import time
from typing import Any

from . import _json_names as names
from . import _program
from .errors import SignInEndsSoon, warn

#: A token with less than this left is renewed, in seconds.
MARGIN = 60.0

#: If the portal issues tokens that live shorter than that, the last quarter of their life is not
#: used.
UNUSED_SHARE = 0.25


class Token:
    """An access token and what came with it."""

    __slots__ = ("value", "expires_at", "facts", "_ends", "_granted")

    def __init__(self, answer: "dict[str, Any]") -> None:
        #: The token itself.
        self.value: str = answer[names.ACCESS_TOKEN]
        #: When it expires, in seconds since 1970.
        self.expires_at: float = float(answer[names.EXPIRES_EPOCH])
        #: Everything else in the answer.
        self.facts = {key: value for key, value in answer.items() if key != names.ACCESS_TOKEN}
        self._granted = float(answer[names.EXPIRES_IN])
        # The wall clock may be set, and the monotonic clock may stop while the machine sleeps: the
        # token has expired as soon as one of them says so.
        self._ends = time.monotonic() + self._granted

    def left(self) -> float:
        """Seconds until it expires; negative after that."""
        return min(self._ends - time.monotonic(), self.expires_at - time.time())

    def is_good(self, min_ttl: float) -> bool:
        """Whether it lives long enough, as far as the portal issues tokens that do."""
        return self.left() > min(min_ttl, self._granted * UNUSED_SHARE)

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
        """A token that lives long enough, for the portal or for a server that the portal issues tokens for.

        ``min_ttl`` in seconds; the default is a minute, or less if the portal issues tokens with a shorter life.
        """
        with self._lock:
            kept = self._tokens.get(server)
            if kept is not None and kept.is_good(MARGIN if min_ttl is None else min_ttl):
                return kept
            return self._ask(min_ttl, server)

    def instead_of(self, rejected: str, server: str = "") -> Token:
        """Another token than this one, which the portal rejected. Of many threads one renews, the others get its token."""
        with self._lock:
            kept = self._tokens.get(server)
            if kept is not None and kept.value != rejected and kept.left() > 0:
                return kept
            # Another process may have renewed the token already.
            other = self._ask(None, server)
            if other.value != rejected:
                return other
            return self._ask(None, server, "--force")

    def forget(self) -> None:
        """Forgets all tokens, for example after a sign-in."""
        with self._lock:
            self._tokens.clear()

    def _ask(self, min_ttl: "float | None", server: str, *flags: str) -> Token:
        arguments = ["token", *self._selector, *flags]
        if min_ttl is not None:
            arguments += ["--min-ttl", f"{max(0, int(min_ttl))}s"]
        if server:
            arguments += ["--for", server]
        token = Token(_program.ask(*arguments))
        # Use the ID from now on: the connection may be renamed.
        self._selector = _program.selector(None, token.facts[names.ID])
        self._tokens[server] = token
        if token.facts[names.SIGN_IN_ENDS_SOON] and not self._warned:
            self._warned = True
            warn(
                f"the sign-in of `{token.facts[names.CONNECTION]}` expires at {token.facts[names.REFRESH_EXPIRES_AT]} and "
                f"cannot be extended; sign in before: age-oauth login -c {token.facts[names.ID]}",
                SignInEndsSoon,
            )
        return token
