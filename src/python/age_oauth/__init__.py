"""ArcGIS portals without passwords in scripts.

``age-oauth connections add`` makes a connection and ``age-oauth login`` signs in; then::

    from age_oauth import get_gis

    gis = get_gis("prod")

This package needs only the standard library. Secrets stay in the keychain of the ``age-oauth`` program, which hands out
short-lived access tokens; this package keeps them in memory and renews them before they expire.
"""

from __future__ import annotations

from .connection import Connection, add_connection, list_connections
from .errors import (
    AgeOAuthError,
    AgeOAuthWarning,
    Busy,
    ConnectionNotFound,
    KeychainUnavailable,
    PortalRefused,
    PortalUnreachable,
    ProgramUnusable,
    SignInEndsSoon,
    SignInRequired,
    UsageError,
)

# For type checkers, which take it for true. To load `typing` takes longer than the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import httpx

    from ._http import TokenAuth
    from ._pro import ProSignIn
    from .connections import ConnectionStore
    from .oauth import AGEOAuth, OAuthConfig, get_gis

    class HttpxTokenAuth(httpx.Auth):
        """Signs the requests of an ``httpx`` client, as :class:`TokenAuth` does for ``requests``."""

        def __init__(
            self, connection: "str | Connection | None" = None, *, connection_id: "str | None" = None
        ) -> None: ...

else:
    # For `typing.get_type_hints`, because this import is needed in ArcGIS Pro only.
    ProSignIn = Connection

__all__ = [
    "AGEOAuth",
    "AgeOAuthError",
    "AgeOAuthWarning",
    "Busy",
    "Connection",
    "ConnectionNotFound",
    "ConnectionStore",
    "HttpxTokenAuth",
    "KeychainUnavailable",
    "OAuthConfig",
    "PortalRefused",
    "PortalUnreachable",
    "ProgramUnusable",
    "SignInEndsSoon",
    "SignInRequired",
    "TokenAuth",
    "UsageError",
    "add_connection",
    "get_gis",
    "get_token",
    "list_connections",
    "sign_in_pro",
]


def get_token(
    connection: "str | Connection | None" = None,
    *,
    connection_id: "str | None" = None,
    min_ttl: "float | None" = None,
) -> str:
    """An access token that lives at least ``min_ttl`` seconds (default: a minute).

    Each call with a name starts the program; a :class:`Connection` keeps the token between calls.
    """
    if isinstance(connection, Connection):
        return connection.token(min_ttl)
    from ._provider import Provider

    return Provider(connection or None, connection_id or None).token(min_ttl).value


def sign_in_pro(
    connection: "str | Connection | None" = None, *, connection_id: "str | None" = None
) -> "ProSignIn":
    """Signs in ArcGIS Pro with an access token (``arcpy.SignInToPortal``), for the tools and layers of this session.

    In a ``with`` statement, Pro's sign-in is renewed until its end, and what was signed in before is signed in again::

        with age_oauth.sign_in_pro("prod"):
            arcpy.management.CopyFeatures(layer, target)

    Called alone, the portal stays Pro's active portal, and the token expires after half an hour or so. Returns the
    connection.

    Raises :class:`~age_oauth.errors.AgeOAuthError` if there is no ``arcpy``, or no licence for it.
    """
    from ._pro import sign_in

    if not isinstance(connection, Connection):
        connection = Connection(connection, connection_id=connection_id)
    return sign_in(connection)


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__, "__version__"})


#: Where the names are that are imported when a script uses them, because their modules import more.
_LATER = {
    "AGEOAuth": "oauth",
    "ConnectionStore": "connections",
    "OAuthConfig": "oauth",
    "TokenAuth": "_http",
    "get_gis": "oauth",
}

#: Modules that scripts may use after `import age_oauth` alone.
_MODULES = ("connections", "oauth")


def __getattr__(name: str) -> Any:
    module = _LATER.get(name, name if name in _MODULES else None)
    if module is not None:
        from importlib import import_module

        imported = import_module(f"{__name__}.{module}")
        one = globals()[name] = imported if name in _MODULES else getattr(imported, name)
        return one
    if name == "HttpxTokenAuth":
        from ._http import httpx_auth

        one = globals()[name] = httpx_auth()
        return one
    if name == "__version__":
        from importlib.metadata import version

        return version("age-oauth")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
