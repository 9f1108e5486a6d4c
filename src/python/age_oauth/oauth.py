"""Signing in to a ``GIS``, with the names of version 0.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import _json_names as names
from .connection import Connection
from .errors import AgeOAuthError, SignInRequired, UsageError

if TYPE_CHECKING:
    from arcgis.gis import GIS

    from .connection import CertificateFile, VerifySsl
else:
    # For `typing.get_type_hints`, because this import is slow.
    GIS = CertificateFile = VerifySsl = Any

__all__ = ["AGEOAuth", "OAuthConfig", "OAuthIdentity", "get_gis", "resolve_identity"]


def get_gis(
    connection: "str | Connection | None" = None,
    *,
    connection_id: "str | None" = None,
    portal: "str | None" = None,
    client_id: "str | None" = None,
    verify_ssl: "VerifySsl | None" = None,
    api_url: "str | None" = None,
    client_cert: "CertificateFile | None" = None,
    client_cert_password: "str | None" = None,
    prompt_if_missing: bool = True,
    **gis_options: Any,
) -> "GIS":
    """An ``arcgis.gis.GIS``, signed in, whose requests renew their token automatically.

    ``connection`` and ``connection_id`` choose as in :class:`~age_oauth.Connection`. If there is no sign-in and the script
    runs in a terminal or notebook, it asks to sign in, unless ``prompt_if_missing`` is ``False``. All other arguments are
    passed to ``GIS``, except a client certificate: see :meth:`age_oauth.Connection.get_gis`.

    With ``portal`` and ``client_id``, it uses the connection to this portal, and adds it if there is none, with
    ``connection`` or else the portal's host as its label. ``verify_ssl``, ``api_url``, ``client_cert`` and
    ``client_cert_password`` are for a new connection, as in :func:`age_oauth.add_connection`, which takes more settings.

    Raises :class:`~age_oauth.errors.SignInRequired`, every other error of getting a token, and
    :class:`~age_oauth.errors.PortalRefused` if the portal did not recognize the token.
    """
    from . import _gis_options

    _gis_options.refuse(gis_options)
    settings = {"verify_ssl": verify_ssl, "api_url": api_url, "client_cert": client_cert}
    for_new = {"client_id": client_id, **settings, "client_cert_password": client_cert_password}
    if isinstance(connection, Connection):
        _refuse_second(portal or client_id, "a Connection")
        _refuse_settings(for_new, "a Connection is given", "change the connection: Connection.edit(…)")
        return connection.get_gis(prompt_if_missing=prompt_if_missing, **gis_options)
    if portal is not None:
        _refuse_second(connection_id, "portal")
        from . import _adding

        facts = _adding.find_or_add(connection, portal, client_id, settings, client_cert_password)
        return Connection._of(facts).get_gis(prompt_if_missing=prompt_if_missing, **gis_options)
    _refuse_settings(for_new, "no portal is given", 'give it, too: portal="URL"')
    try:
        one = Connection._with_token(connection, connection_id)
    except SignInRequired as error:
        # No sign-in replaces an API key.
        if error.kind == "api_key" or not prompt_if_missing:
            raise
        one = Connection(connection, connection_id=connection_id)
    return one.get_gis(prompt_if_missing=prompt_if_missing, **gis_options)


def _refuse_second(given: "str | None", chosen_by: str) -> None:
    if given is not None:
        raise UsageError(f"get_gis has {chosen_by}, and something else that chooses a connection", "give one of them")


def _refuse_settings(for_new: "dict[str, Any]", why: str, hint: str) -> None:
    for name, value in for_new.items():
        if value is not None:
            raise UsageError(f"`{name}` is for a new connection, and {why}", hint)


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
    gis: Any = None, *, connection: "str | None" = None, connection_id: "str | None" = None
) -> OAuthIdentity:
    """Asks the portal who the connection's token belongs to. ``gis`` is ignored."""
    one = Connection(connection, connection_id=connection_id)
    facts = one.whoami()
    if one.auth_type not in ("app", "key") or facts[names.USERNAME] is not None:
        return OAuthIdentity(one.auth_type, username=facts[names.USERNAME], source="community/self")
    return OAuthIdentity(
        one.auth_type,
        app_id=facts[names.APP_ID],
        app_item_id=facts[names.ITEM_ID],
        app_title=facts[names.APPLICATION],
        app_owner=facts[names.OWNER],
        source="portals/self",
    )


def resolve_live_username(gis: Any = None, **chosen: Any) -> "str | None":
    """The signed-in user, according to the portal."""
    return resolve_identity(gis, **chosen).username


class _Gone:
    _instead = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise AgeOAuthError(f"{type(self).__name__} was removed: scripts do not hold client secrets any more", self._instead)


class OAuthConfig(_Gone):
    """Held the client secret in version 0.2; raises :class:`~age_oauth.errors.AgeOAuthError` when used."""

    _instead = "age-oauth connections add; then age_oauth.Connection(label)"


class AGEOAuth(_Gone):
    """Held tokens in version 0.2; raises :class:`~age_oauth.errors.AgeOAuthError` when used."""

    _instead = "age_oauth.Connection(label).token(), or .get_gis()"
