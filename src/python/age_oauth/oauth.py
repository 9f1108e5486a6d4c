"""Signing in to a ``GIS``, under the names of version 0.2."""

from __future__ import annotations

from typing import NamedTuple

from .connection import Connection
from .errors import AgeOAuthError, SignInRequired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["AGEOAuth", "OAuthConfig", "OAuthIdentity", "get_gis", "resolve_identity"]


def get_gis(
    connection: "str | None" = None,
    *,
    connection_id: "str | None" = None,
    prompt_if_missing: bool = True,
    **gis_options: "Any",
):
    """An ``arcgis.gis.GIS``, signed in, whose requests renew their token by themselves.

    ``connection`` and ``connection_id`` choose as :class:`~age_oauth.Connection` does. Where nobody is signed in and a person
    sits at the terminal or notebook, that person is asked to sign in, unless ``prompt_if_missing`` is ``False``. Everything
    else is handed to ``GIS``.

    Raises :class:`~age_oauth.errors.SignInRequired`, every other error of getting a token, and
    :class:`~age_oauth.errors.PortalRefused` where the portal took the token for nobody's.
    """
    try:
        one = Connection._with_token(connection, connection_id)
    except SignInRequired:
        if not prompt_if_missing:
            raise
        one = Connection(connection, connection_id=connection_id)
    return one.get_gis(prompt_if_missing=prompt_if_missing, **gis_options)


class OAuthIdentity(NamedTuple):
    """Who a token belongs to."""

    auth_type: str
    username: "str | None" = None
    app_id: "str | None" = None
    app_item_id: "str | None" = None
    app_title: "str | None" = None
    app_owner: "str | None" = None
    source: "str | None" = None
    warning: "str | None" = None


def resolve_identity(
    gis: "Any" = None, *, connection: "str | None" = None, connection_id: "str | None" = None
) -> OAuthIdentity:
    """Asks the portal who the connection's token belongs to. ``gis`` is not needed any more."""
    one = Connection(connection, connection_id=connection_id)
    facts = one.whoami()
    if one.auth_type == "user":
        return OAuthIdentity("user", username=facts["username"], source="community/self")
    return OAuthIdentity(
        "app",
        app_id=facts["app_id"],
        app_item_id=facts["item_id"],
        app_title=facts["title"],
        app_owner=facts["owner"],
        source="portals/self",
    )


def resolve_live_username(gis: "Any" = None, **chosen: "Any") -> "str | None":
    """The name of who is signed in, by the portal's word."""
    return resolve_identity(gis, **chosen).username


class _Gone:
    _instead = ""

    def __init__(self, *_: "Any", **__: "Any") -> None:
        raise AgeOAuthError(f"{type(self).__name__} is no more: scripts hold no client secret", self._instead)


class OAuthConfig(_Gone):
    """Held the client secret in version 0.2; raises :class:`~age_oauth.errors.AgeOAuthError` when used."""

    _instead = "age-oauth connections add; then age_oauth.Connection(label)"


class AGEOAuth(_Gone):
    """Held tokens in version 0.2; raises :class:`~age_oauth.errors.AgeOAuthError` when used."""

    _instead = "age_oauth.Connection(label).token(), or .get_gis()"
