"""One connection: a portal, a registered application, and who is signed in."""

from __future__ import annotations

from . import _program, _sign_in
from ._provider import Provider
from .errors import SignInRequired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .connections import ConnectionMeta

__all__ = ["Connection", "list_connections"]


class Connection:
    """A connection that was made by ``age-oauth connections add``.

    ``connection`` is its label, its id or the beginning of its id, ``connection_id`` the whole id. Without either it is
    the one that ``AGE_OAUTH_CONNECTION`` names, else the default, else the only one there is.

    Tokens are kept in memory and asked for again when they are about to end. An object may be used by many threads.

    Raises :class:`~age_oauth.errors.ConnectionNotFound`.
    """

    def __init__(self, connection: "str | None" = None, *, connection_id: "str | None" = None) -> None:
        chosen = _program.selector(connection or None, connection_id or None)
        self._take(_program.ask("connections", "show", *chosen))

    def _take(self, facts: "dict[str, Any]") -> None:
        self._facts = facts
        self._provider = Provider(None, facts["id"])

    @classmethod
    def _of(cls, facts: "dict[str, Any]") -> "Connection":
        connection = cls.__new__(cls)
        connection._take(facts)
        return connection

    @classmethod
    def _with_token(cls, connection: "str | None", connection_id: "str | None") -> "Connection":
        """The same as the constructor, for a connection that is signed in: its token tells all that is needed."""
        one = cls.__new__(cls)
        one._provider = Provider(connection or None, connection_id or None)
        facts = one._provider.token().facts
        one._facts = {**facts, "label": facts["connection"]}
        return one

    @property
    def id(self) -> str:
        """Its id, which never changes."""
        return self._facts["id"]

    @property
    def label(self) -> str:
        """What people call it."""
        return self._facts["label"]

    @property
    def portal_url(self) -> str:
        """The portal's root, without a slash at its end."""
        return self._facts["portal_url"]

    @property
    def auth_type(self) -> str:
        """``"user"`` or ``"app"``."""
        return self._facts["auth_type"]

    @property
    def username(self) -> "str | None":
        """Who is signed in, as far as it is known here; ``None`` for applications. :meth:`whoami` asks the portal."""
        return self._facts["username"]

    @property
    def meta(self) -> "ConnectionMeta":
        """What is stored about it now, as version 0.2 gave it."""
        from .connections import ConnectionMeta

        return ConnectionMeta._of(_program.ask("connections", "show", *_program.selector(None, self.id)))

    def token(self, min_ttl: "float | None" = None) -> str:
        """An access token that lives at least ``min_ttl`` seconds (default: a minute), as far as the portal grants so much.

        Raises :class:`~age_oauth.errors.SignInRequired` and every other error of getting one.
        """
        return self._provider.token(min_ttl).value

    def headers(self) -> "dict[str, str]":
        """The headers that a request to the portal needs: the token, and the ``Referer`` where it is bound to one."""
        token = self._provider.token()
        headers = {"X-Esri-Authorization": f"Bearer {token.value}"}
        if token.facts.get("referer"):
            headers["Referer"] = token.facts["referer"]
        return headers

    def whoami(self) -> "dict[str, Any]":
        """Who the token belongs to, by the portal's own word: ``username``, or ``title``, ``app_id``, ``item_id``, ``owner``."""
        return _program.ask("whoami", *_program.selector(None, self.id))

    def login(self) -> None:
        """Lets the person at the terminal or notebook sign in.

        Raises :class:`~age_oauth.errors.SignInRequired` where nobody is there.
        """
        if not self._sign_in():
            raise SignInRequired(
                f"nobody is here who could sign in to `{self.label}`", f"age-oauth login --connection-id {self.id}"
            )

    def _sign_in(self) -> bool:
        selector = _program.selector(None, self.id)
        done = _sign_in.sign_in(selector)
        if done:
            # Somebody else may be signed in now.
            self._provider.forget()
            self._facts = _program.ask("connections", "show", *selector)
        return done

    def ensure_signed_in(self, prompt_if_missing: bool = True) -> None:
        """Gets a token, and lets a person sign in where that needs one, if ``prompt_if_missing`` and one is there."""
        try:
            self._provider.token()
        except SignInRequired:
            if not (prompt_if_missing and self._sign_in()):
                raise
            self._provider.token()

    def get_gis(self, *, prompt_if_missing: bool = True, **gis_options: "Any"):
        """An ``arcgis.gis.GIS``, signed in, whose requests renew their token by themselves.

        ``gis_options`` go to ``GIS``. See :func:`age_oauth.get_gis`.
        """
        from ._gis import connect

        self.ensure_signed_in(prompt_if_missing)
        return connect(self, gis_options)

    def get_identity(self, gis: "Any" = None):
        """Who is signed in, as version 0.2 gave it."""
        from .oauth import resolve_identity

        return resolve_identity(gis, connection_id=self.id)

    def __repr__(self) -> str:
        return (
            f"Connection(label={self.label!r}, id={self.id!r}, portal_url={self.portal_url!r}, "
            f"auth_type={self.auth_type!r})"
        )


def list_connections() -> "list[Connection]":
    """All connections, in the order of their labels."""
    return [Connection._of(facts) for facts in _program.ask("connections", "list")]
