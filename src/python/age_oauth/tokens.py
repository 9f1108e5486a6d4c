"""Extending a sign-in, with the names of version 0.2."""

from __future__ import annotations

import time
from typing import NamedTuple

from . import _json_names as names
from . import _program
from .connection import Connection
from .errors import UsageError

__all__ = ["RefreshTokenRotationResult", "maybe_rotate_refresh_token"]


class RefreshTokenRotationResult(NamedTuple):
    """The result of a rotation. Ages are in seconds, moments in seconds since 1970."""

    connection_id: str
    portal_url: str
    attempted: bool
    rotated: bool
    reason: str
    refresh_token_age_seconds: "float | None" = None
    rotated_at_epoch: "float | None" = None
    username: "str | None" = None


def maybe_rotate_refresh_token(
    *, connection: "str | None" = None, connection_id: "str | None" = None, max_age_days: int = 3
) -> RefreshTokenRotationResult:
    """Extends a sign-in that is older than ``max_age_days``, unless a running script could lose its token by that.

    Sign-ins are extended automatically; scripts do not need to call this.
    """
    one = Connection(connection, connection_id=connection_id)
    if one.auth_type != "user":
        kinds = {"app": "an application connection", "key": "a connection with an API key"}
        kind = kinds.get(one.auth_type, "a network connection")
        raise UsageError(f"`{one.label}` is {kind} and has no sign-in to extend")
    facts = _program.ask("connections", "show", *_program.selector(None, one.id))
    answer = _program.ask(
        "refresh", *_program.selector(None, one.id), "--older-than", f"{max(0, int(max_age_days * 86400))}s"
    )
    extended = answer[names.DECISION] == names.DECISION_EXTENDED
    return RefreshTokenRotationResult(
        connection_id=one.id,
        portal_url=one.portal_url,
        attempted=extended,
        rotated=extended,
        reason=_reason(extended, answer[names.EXTENSION_WAITS_UNTIL]),
        refresh_token_age_seconds=_age(facts),
        rotated_at_epoch=time.time() if extended else None,
        username=answer[names.USERNAME],
    )


def _reason(extended: bool, waits_until: "str | None") -> str:
    if extended:
        return "Refresh token rotated."
    if waits_until:
        return f"Rotation is due and waits until {waits_until}, when no access token is in use."
    return "Refresh token is fresh; rotation not needed."


def _age(facts: "dict[str, object]") -> "float | None":
    since = facts[names.REFRESH_ISSUED_AT]
    if not isinstance(since, str):
        return None
    from datetime import datetime

    return max(0.0, time.time() - datetime.fromisoformat(since.replace("Z", "+00:00")).timestamp())
