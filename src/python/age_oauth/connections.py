"""The connection store: the part that scripts of version 0.2 used."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _json_names as names
from . import _program
from .errors import AgeOAuthError, ConnectionNotFound

__all__ = ["ConnectionMeta", "ConnectionStore"]


def trust(verify_ssl: str) -> "tuple[bool, str | None]":
    """Whether certificates are verified, and the CA file if there is one, from the value in JSON."""
    return verify_ssl != "false", None if verify_ssl in ("true", "false") else verify_ssl


class ConnectionMeta(NamedTuple):
    """What is stored about a connection. Times are RFC 3339, UTC."""

    id: str
    label: str
    portal_url: str
    created_at: str
    last_used_at: "str | None" = None
    tags: "list[str]" = []
    verify_ssl: bool = True
    ca_bundle: "str | None" = None
    auth_type: str = "user"
    referer: "str | None" = None

    @classmethod
    def _of(cls, facts: dict[str, Any]) -> "ConnectionMeta":
        verify, bundle = trust(facts[names.VERIFY_SSL])
        return cls(
            id=facts[names.ID],
            label=facts[names.CONNECTION],
            portal_url=facts[names.PORTAL_URL],
            created_at=facts[names.CREATED_AT] or "",
            last_used_at=facts[names.LAST_USED_AT],
            tags=list(facts[names.TAGS]),
            verify_ssl=verify,
            ca_bundle=bundle,
            auth_type=facts[names.AUTH_TYPE],
            referer=facts[names.REFERER],
        )


class ConnectionStore:
    """All connections of this user."""

    def __init__(self, base_dir: Any = None) -> None:
        if base_dir is not None:
            raise AgeOAuthError(
                "ConnectionStore does not take a directory any more", "set AGE_OAUTH_HOME to the store's root instead"
            )

    def list(self) -> "list[ConnectionMeta]":
        """All connections."""
        return [ConnectionMeta._of(facts) for facts in _program.ask("connections", "list")]

    def resolve(self, *, connection: "str | None" = None, connection_id: "str | None" = None) -> str:
        """The ID of the connection that is chosen by label or ID; without either, of the one that would be used.

        Raises :class:`~age_oauth.errors.ConnectionNotFound`.
        """
        chosen = _program.selector(connection or None, connection_id or None)
        return _program.ask("connections", "show", *chosen)[names.ID]

    def load_meta(self, connection_id: str, *, allow_missing: bool = False) -> "ConnectionMeta | None":
        """What is stored about a connection; ``None`` if it does not exist and ``allow_missing`` is true."""
        try:
            return ConnectionMeta._of(_program.ask("connections", "show", *_program.selector(None, connection_id)))
        except ConnectionNotFound:
            if allow_missing:
                return None
            raise

    def get_default(self) -> "str | None":
        """The ID of the default connection; ``None`` if there is no default."""
        return next((facts[names.ID] for facts in _program.ask("connections", "list") if facts[names.DEFAULT]), None)

    #: Version 0.2 had a default and an active connection; there is only the default now.
    get_active = get_default

    def set_active(self, connection_id: str) -> None:
        """Makes a connection the default."""
        _program.ask("connections", "use", connection_id)

    set_default = set_active

    def __getattr__(self, name: str) -> Any:
        instead = _GONE.get(name)
        if instead is None:
            raise AttributeError(f"ConnectionStore has no attribute {name!r}")
        raise AgeOAuthError(f"ConnectionStore.{name} was removed: secrets are not kept in files any more", instead)


_GONE = {
    "create": "age-oauth connections add",
    "delete": "age-oauth connections remove NAME",
    "reset_all": "age-oauth connections remove --all",
    "save_meta": "age-oauth connections edit NAME",
    "touch": "this happens automatically when a token is used",
    "ensure_ready": "age-oauth doctor",
    "base_dir": "age-oauth connections info",
    "connections_dir": "age-oauth connections info",
    "index_path": "age-oauth connections info",
    "active_path": "age-oauth connections use NAME",
    "conn_dir": "age-oauth connections show NAME",
    "env_path": "age-oauth token --json",
    "meta_path": "age-oauth connections show NAME --json",
}
