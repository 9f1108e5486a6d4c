"""The store of connections, as far as scripts of version 0.2 used it."""

from __future__ import annotations

from typing import NamedTuple

from . import _program
from .errors import AgeOAuthError, ConnectionNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ConnectionMeta", "ConnectionStore"]


def trust(verify_ssl: str) -> "tuple[bool, str | None]":
    """Whether certificates are verified, and the file of an authority of the portal's own, from the program's one word."""
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
    def _of(cls, facts: "dict[str, Any]") -> "ConnectionMeta":
        verify, bundle = trust(facts["verify_ssl"])
        return cls(
            id=facts["id"],
            label=facts["label"],
            portal_url=facts["portal_url"],
            created_at=facts["created_at"] or "",
            last_used_at=facts["last_used_at"],
            tags=list(facts["tags"]),
            verify_ssl=verify,
            ca_bundle=bundle,
            auth_type=facts["auth_type"],
            referer=facts["referer"],
        )


class ConnectionStore:
    """All connections of this user."""

    def __init__(self, base_dir: "Any" = None) -> None:
        if base_dir is not None:
            raise AgeOAuthError(
                "ConnectionStore takes no directory any more", "set AGE_OAUTH_HOME to the store's root instead"
            )

    def list(self) -> "list[ConnectionMeta]":
        """All connections."""
        return [ConnectionMeta._of(facts) for facts in _program.ask("connections", "list")]

    def resolve(self, *, connection: "str | None" = None, connection_id: "str | None" = None) -> str:
        """The id of the connection that these words choose; without any, of the one that is used then.

        Raises :class:`~age_oauth.errors.ConnectionNotFound`.
        """
        chosen = _program.selector(connection or None, connection_id or None)
        return _program.ask("connections", "show", *chosen)["id"]

    def load_meta(self, connection_id: str, *, allow_missing: bool = False) -> "ConnectionMeta | None":
        """What is stored about a connection; ``None`` where there is none and ``allow_missing``."""
        try:
            return ConnectionMeta._of(_program.ask("connections", "show", *_program.selector(None, connection_id)))
        except ConnectionNotFound:
            if allow_missing:
                return None
            raise

    def get_default(self) -> "str | None":
        """The id of the default."""
        return next((facts["id"] for facts in _program.ask("connections", "list") if facts["default"]), None)

    #: There is one default now, which is also the active one.
    get_active = get_default

    def set_active(self, connection_id: str) -> None:
        """Makes a connection the default."""
        _program.ask("connections", "use", connection_id)

    set_default = set_active

    def __getattr__(self, name: str) -> "Any":
        instead = _GONE.get(name)
        if instead is None:
            raise AttributeError(f"ConnectionStore has no attribute {name!r}")
        raise AgeOAuthError(f"ConnectionStore.{name} is no more: secrets are not kept in files", instead)


_GONE = {
    "create": "age-oauth connections add",
    "delete": "age-oauth connections remove NAME",
    "reset_all": "age-oauth connections remove --all",
    "save_meta": "age-oauth connections edit NAME",
    "touch": "it is done by itself when a token is used",
    "ensure_ready": "age-oauth doctor",
    "base_dir": "age-oauth connections info",
    "connections_dir": "age-oauth connections info",
    "index_path": "age-oauth connections info",
    "active_path": "age-oauth connections use NAME",
    "conn_dir": "age-oauth connections show NAME",
    "env_path": "age-oauth token --json",
    "meta_path": "age-oauth connections show NAME --json",
}
