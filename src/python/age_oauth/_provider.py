"""Access tokens in memory: when a token is good enough, and when the program is asked for another one.

How much of a life is not used: the last minute, or the last quarter of a life of less than four minutes
(:func:`unused`). A new token is fetched when half as much again is left, by a thread of its own, while requests
go on with the token that they have. Only if there is no good token do requests wait, each for what it needs
itself: the portal's token, or that of one server.

An API key is never renewed. One that the portal refused is neither handed out nor sent again, until the program has
another one, or has asked the portal again after a minute.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque

from . import _json_names as names
from . import _program, _session
from .errors import AgeOAuthError, SignInEndsSoon, SignInRequired, UsageError, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A token with less than this left is not used, in seconds.
MARGIN = 60.0

#: If the portal issues tokens that live shorter than four times that, the last quarter of their
#: life is not used.
UNUSED_SHARE = 0.25

#: A new token is fetched when so many times the unused part is left.
AHEAD = 1.5

#: After a renewal ahead of time that failed, the next attempt starts after so many seconds.
PAUSE = 10.0

#: So many renewals are forced in so many seconds, because a token was rejected.
FORCED = 2
FORCED_IN = 60.0

#: While no renewal may be forced, the program is asked this often whether it has another token.
ASK_AGAIN = 5.0

#: So long after a portal has refused an API key, the program asks it about the same key again: a
#: portal that starts may have refused every key. In seconds.
CHECK_AGAIN = 60.0

#: From so many seconds on, a life is a mistake.
_ENDLESS = 1e12

#: So many rejected tokens are remembered.
_REJECTED = 8

#: The ``auth_type`` of a connection with an API key, and the kind of its errors.
_KEY = "key"
_KEY_ERROR = "api_key"


def unused(life: float) -> float:
    """The part at the end of a life that is not used, in seconds."""
    return min(MARGIN, life * UNUSED_SHARE)


class Token:
    """An access token and what came with it."""

    __slots__ = ("value", "expires_at", "facts", "_asked", "_began", "_ends", "_life")

    def __init__(self, answer: "dict[str, Any]") -> None:
        #: The token itself.
        self.value: str = answer[names.ACCESS_TOKEN]
        #: When it expires, in seconds since 1970.
        self.expires_at: float = float(answer[names.EXPIRES_EPOCH])
        #: Everything else in the answer.
        self.facts = {key: value for key, value in answer.items() if key != names.ACCESS_TOKEN}
        self._life = float(answer[names.EXPIRES_IN])
        #: The life that a caller asked for, in seconds; ``None`` for the default.
        self._asked: "float | None" = None
        # The wall clock may be set, and the monotonic clock may stop while the machine sleeps: the
        # token has expired as soon as one of them says so.
        self._began = time.monotonic()
        self._ends = self._began + self._life

    def left(self) -> float:
        """Seconds until it expires; negative after that."""
        return min(self._ends - time.monotonic(), self.expires_at - time.time())

    def is_good(self, min_ttl: "float | None" = None) -> bool:
        """Whether it lives long enough, as far as the portal issues tokens that do."""
        left = self.left()
        if min_ttl is None:
            # Who asked for less may have got the end of a long life.
            is_end = self._asked is not None and self._asked < MARGIN
            return left > (MARGIN if is_end else unused(self._life))
        if self._asked is None or not self._life < min_ttl <= self._asked:
            return left > max(0.0, min_ttl)
        # It was asked for, and the portal issues none that lives so long: a new one is the best.
        return left > 0 and time.monotonic() - self._began < unused(self._life)

    def is_due(self) -> bool:
        """Whether it is time to fetch a new one, while this one is still used."""
        return self.left() <= unused(self._life) * AHEAD

    def __repr__(self) -> str:
        return f"<Token, {self.left():.0f} s left>"


class _Slot:
    """The token for the portal or for one server, and what is known of its renewals."""

    def __init__(self, token: "Token | None" = None) -> None:
        self.lock = threading.Lock()
        self.token = token
        #: The longest life that was seen, in seconds.
        self.life = token._life if token else 0.0
        self.next_ahead = 0.0
        self.next_question = 0.0
        self.forced: "deque[float]" = deque(maxlen=FORCED)
        self.rejected: "deque[str]" = deque(maxlen=_REJECTED)

    def may_force(self) -> bool:
        return len(self.forced) < FORCED or time.monotonic() - self.forced[0] >= FORCED_IN


class Provider:
    """The tokens of one connection, for any number of threads: one process start per renewal, none per request."""

    def __init__(self, connection: "str | None", connection_id: "str | None") -> None:
        self._selector = _program.selector(connection, connection_id)
        self._slots: "dict[str, _Slot]" = {}
        self._warned = False
        #: The portal, as programs reach it, and the user of the first token.
        self.began: "tuple[str, str | None] | None" = None
        #: Whether the tokens are API keys.
        self.has_keys = False
        #: API keys that the portal refused. The lock of the portal's slot guards what follows.
        self._refused_keys: "tuple[str, ...]" = ()
        #: When the program may ask the portal about such a key again.
        self._next_check = 0.0
        #: The last error about the key, and when the program is asked again: it may send a key
        #: that a command prints to the portal.
        self._key_error: "SignInRequired | None" = None
        self._next_key = 0.0
        _providers.add(self)

    def token(self, min_ttl: "float | None" = None, server: str = "") -> Token:
        """A token that lives long enough, for the portal or for a server that the portal issues tokens for.

        ``min_ttl`` in seconds; the default is a minute, or less if the portal issues tokens with a shorter life.
        """
        if min_ttl is not None:
            min_ttl = _seconds(min_ttl)
        kept = self.kept(server, min_ttl)
        if kept is not None:
            return kept
        slot = self._slot(server)
        with slot.lock:
            if slot.token is not None and slot.token.is_good(min_ttl):
                return slot.token
            return self._ask(slot, server, *_life_to_ask(slot, min_ttl), min_ttl=min_ttl)

    def kept(self, server: str = "", min_ttl: "float | None" = None) -> "Token | None":
        """The token in memory, if it is good. Does not wait: if the token is due, a thread of its own fetches the next."""
        slot = self._slots.get(server)
        token = slot.token if slot is not None else None
        if slot is None or token is None or not token.is_good(min_ttl):
            return None
        if token.is_due():
            self._renew_ahead(slot, server)
        return token

    def instead_of(self, rejected: str, server: str = "", *, by_portal: bool = False) -> Token:
        """Another token than this one, which the portal rejected. Of many threads one renews, the others get its token.

        The first answer may be a token that another process has got already. If that one is rejected, too, the next
        is a token that the portal issues after the rejection. Returns the rejected token if no more renewals may be
        forced for now.

        ``by_portal``: the portal itself rejected it, and not a server. It is not asked again about an API key then.
        """
        slot = self._slot(server)
        with slot.lock:
            if rejected not in slot.rejected:
                slot.rejected.append(rejected)
            if by_portal and self.has_keys:
                self._refuse_key(slot, rejected)
            kept = slot.token
            if kept is not None and kept.value not in slot.rejected and kept.left() > 0:
                return kept
            if kept is None and self.has_keys and not server:
                return self._ask(slot, server)
            may_force = slot.may_force()
            if kept is not None and not may_force and time.monotonic() < slot.next_question:
                return kept
            slot.next_question = time.monotonic() + ASK_AGAIN
            try:
                # Another process may have renewed the token already.
                other = self._ask(slot, server)
                if other.value not in slot.rejected or not may_force:
                    return other
                slot.forced.append(time.monotonic())
                return self._ask(slot, server, "--force")
            except SignInRequired as error:
                # From now on, no request is sent with the rejected token.
                slot.token = None
                if error.kind == _KEY_ERROR and not server:
                    self._refuse_key(slot, rejected)
                raise

    def forget(self, *, new_key: bool = False) -> None:
        """Forgets all tokens, for example after a sign-in. ``new_key``: a person gave an API key, which the portal accepted."""
        self.began = None
        self._slots = {}
        self._key_error = None
        if new_key:
            self._refused_keys = ()

    def _slot(self, server: str) -> _Slot:
        # Setting a default is one step, also for several threads.
        return self._slots.setdefault(server, _Slot())

    def _renew_ahead(self, slot: _Slot, server: str) -> None:
        now = time.monotonic()
        if now < slot.next_ahead or not slot.lock.acquire(blocking=False):
            return
        slot.next_ahead = now + PAUSE
        try:
            threading.Thread(target=self._ahead, args=(slot, server), name="age-oauth renewal", daemon=True).start()
        except RuntimeError:  # The interpreter ends, or has no thread left.
            slot.lock.release()

    def _ahead(self, slot: _Slot, server: str) -> None:
        try:
            wanted = unused(slot.life) * AHEAD
            self._ask(slot, server, *_min_ttl(wanted, slot.life))
            slot.next_ahead = 0.0
        except Exception:
            # The token in memory is still good. What is wrong is reported when it no longer is.
            pass
        finally:
            slot.lock.release()

    def _ask(self, slot: _Slot, server: str, *flags: str, min_ttl: "float | None" = None) -> Token:
        """Asks the program. The caller holds the slot's lock."""
        if server and (self._refused_keys or self._key_error is not None):
            # For a server's token, the program sends the key: it must be another one than those.
            self.token()
        arguments = ["token", *self._selector, *flags]
        if server:
            arguments += ["--for", server]
        slots = self._slots
        token = Token(self._answer(arguments, server, flags))
        token._asked = min_ttl
        facts = token.facts
        self.has_keys = facts.get(names.AUTH_TYPE) == _KEY
        now = (str(facts.get(names.API_URL) or facts.get(names.PORTAL_URL, "")), facts.get(names.USERNAME))
        if slots is not self._slots:
            return token  # There was a sign-in meanwhile; the next question gets its token.
        if self.began is None:
            self.began = now
        else:
            compare(self.began, now, f"the script's use of `{facts[names.CONNECTION]}`", has_keys=self.has_keys)
        # Use the ID from now on: the connection may be renamed.
        self._selector = _program.selector(None, facts[names.ID])
        is_whole = min_ttl is None or min_ttl >= MARGIN
        if is_whole and (slot.token is None or slot.token.value != token.value):
            slot.life = token._life if token._life >= slot.life * 0.9 else max(token._life, slot.life)
        slot.token = token
        if facts[names.SIGN_IN_ENDS_SOON] and not self._warned:
            self._warned = True
            warn(
                f"the sign-in of `{facts[names.CONNECTION]}` expires at {facts[names.REFRESH_EXPIRES_AT]} and "
                f"cannot be extended; sign in before: age-oauth login -c {facts[names.ID]}",
                SignInEndsSoon,
            )
        return token

    def _answer(self, arguments: "list[str]", server: str, flags: "tuple[str, ...]") -> "dict[str, Any]":
        # A key that ends too soon for the default may be good for a caller that wants less.
        is_default = not server and "--min-ttl" not in flags
        if is_default and self._key_error is not None and time.monotonic() < self._next_key:
            raise SignInRequired(self._key_error.message, self._key_error.hint, self._key_error.kind)
        try:
            answer = _program.ask(*arguments)
        except SignInRequired as error:
            if error.kind == _KEY_ERROR:
                self._key_failed(error, server, flags)
            raise
        if not server:
            self._key_error = None
            if answer[names.ACCESS_TOKEN] in self._refused_keys:
                return self._checked_again(answer)
        return answer

    def _checked_again(self, answer: "dict[str, Any]") -> "dict[str, Any]":
        """The answer with a refused key that the portal accepts again."""
        if time.monotonic() < self._next_check:
            raise _refused_key(answer)
        self._next_check = time.monotonic() + CHECK_AGAIN
        # The program sends the key to the portal, and records a refusal.
        accepted = _program.ask("token", *self._selector, "--force")
        key = accepted[names.ACCESS_TOKEN]
        self._refused_keys = tuple(one for one in self._refused_keys if one != key)
        return accepted

    def _key_failed(self, error: SignInRequired, server: str, flags: "tuple[str, ...]") -> None:
        """The program cannot use the key."""
        if not server:
            if "--min-ttl" not in flags:
                self._key_error, self._next_key = error, time.monotonic() + ASK_AGAIN
            return
        # If the program still hands the key out, it is the portal that refused it.
        slot = self._slot("")
        with slot.lock:
            sent = slot.token
            try:
                now = self._ask(slot, "", *(one for one in flags if one != "--force"))
            except AgeOAuthError:
                return
            if sent is None or sent.value == now.value:
                self._refuse_key(slot, now.value)

    def _refuse_key(self, slot: _Slot, key: str) -> None:
        """Takes a key out of use. The caller holds the lock of the portal's slot."""
        self._next_check = time.monotonic() + CHECK_AGAIN
        if key not in self._refused_keys:
            self._refused_keys = (*self._refused_keys, key)[-_REJECTED:]
        if slot.token is not None and slot.token.value == key:
            slot.token = None


def _refused_key(facts: "dict[str, Any]") -> SignInRequired:
    """The error for a key that the portal refused, in the words of the program."""
    return SignInRequired(
        f"the API key of connection `{facts[names.CONNECTION]}` is not accepted by the portal",
        _session.hint(
            "look at its page at the portal; if it has ended there, make another key, then: "
            f"age-oauth connections edit {facts[names.ID]} --expires DATE --api-key-stdin"
        ),
        _KEY_ERROR,
    )


def _seconds(min_ttl: "float | str") -> float:
    try:
        seconds = float(min_ttl)
    except (TypeError, ValueError):
        seconds = _ENDLESS
    # What is not a number is less than nothing.
    if not abs(seconds) < _ENDLESS:
        raise UsageError(f"`min_ttl` is a number of seconds, not `{min_ttl}`")
    return seconds


def _life_to_ask(slot: _Slot, min_ttl: "float | None") -> "tuple[str, ...]":
    """The flags for a token that lives long enough."""
    if min_ttl is not None:
        return "--min-ttl", f"{max(0, int(min_ttl))}s"
    if slot.life and unused(slot.life) < MARGIN:
        return _min_ttl(unused(slot.life), slot.life)
    # The default of the program, with which it may also return the token that it has while the
    # portal cannot be reached.
    return ()


def _min_ttl(seconds: float, life: float) -> "tuple[str, str]":
    # The program counts whole seconds, rounded down; never more than the portal grants.
    return "--min-ttl", f"{max(1, min(int(seconds) + 2, int(life)))}s"


def compare(
    began: "tuple[str, str | None]", now: "tuple[str, str | None]", what: str, *, has_keys: bool = False
) -> None:
    """Raises an error if the tokens are for another user or another portal than at the beginning."""
    if _address(began[0]) != _address(now[0]):
        raise UsageError(
            f"the portal of the connection has changed: {what} began with {began[0]}, and it is {now[0]} now",
            "start the script again to use the changed connection",
        )
    if began[1] is None or now[1] is None or began[1] == now[1]:
        return
    then = f"{what} began as `{began[1]}`, and it is `{now[1]}` now"
    again = f"to go on as `{now[1]}`, start the script again"
    if has_keys:
        raise SignInRequired(
            f"the API key of the connection belongs to another user: {then}",
            f"{again}; or give the connection an API key of `{began[1]}` again",
            _KEY_ERROR,
        )
    raise SignInRequired(
        f"another user has signed in to the connection: {then}",
        f"{again}; or sign in to the connection as `{began[1]}` again",
    )


def _address(portal_url: str) -> "tuple[Any, str]":
    from urllib.parse import urlsplit

    from . import _addresses as addresses

    return addresses.origin(portal_url), urlsplit(portal_url).path.rstrip("/")


_providers: "weakref.WeakSet[Provider]" = weakref.WeakSet()


def _after_fork() -> None:
    """A thread that held a lock does not exist in the child process. The tokens are good there, too."""
    for one in list(_providers):
        one._slots = {server: _Slot(slot.token) for server, slot in one._slots.items()}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
