"""Esri's ``GIS`` with tokens that renew themselves. Only this module imports ``arcgis``. It does not use the OAuth classes of
``arcgis``, which switch the verification of certificates off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _json_names as names
from ._http import TokenAuth
from .connections import trust
from .errors import AgeOAuthError, PortalRefused, PortalUnreachable

if TYPE_CHECKING:
    from .connection import Connection


def connect(connection: "Connection", options: dict[str, Any]):
    """A ``GIS`` for this connection."""
    try:
        from arcgis.auth import EsriAPIKeyAuth
        from arcgis.gis import GIS
    except ImportError as error:
        raise AgeOAuthError(
            "the arcgis package, which brings GIS, is not installed in this Python environment",
            'python -m pip install "age-oauth[arcgis]"',
        ) from error

    class GisAuth(TokenAuth, EsriAPIKeyAuth):
        """Some modules of ``arcgis`` read the token from the session's auth handler if it is one of their own classes."""

        verify_cert = True
        auth = None

        def __init__(self) -> None:
            TokenAuth.__init__(self, connection)
            self._no_go_token = set()
            self.referer = self._referer or ""

        @property
        def api_key(self) -> str:
            return self.connection.token()

        @property
        def token(self) -> str:
            return self.connection.token()

        __str__ = TokenAuth.__repr__

    facts = connection._provider.token().facts
    arguments: dict[str, Any] = {"custom_auth": GisAuth()}
    if facts[names.REFERER]:
        arguments["referer"] = facts[names.REFERER]
    arguments["verify_cert"], bundle = trust(facts[names.VERIFY_SSL])
    if bundle is not None:
        arguments["ca_bundles"] = bundle
    proxy = facts[names.PROXY]
    # By default, GIS ignores the system's proxy.
    arguments["trust_env"] = proxy == "system"
    if proxy not in ("system", "none"):
        arguments["proxy"] = {"http": proxy, "https": proxy}
    arguments.update(options)
    try:
        gis = GIS(connection.portal_url, **arguments)
        known = _is_known(gis)
    except Exception as error:
        # `arcgis` wraps the errors of its auth handlers.
        ours = _behind(error, AgeOAuthError)
        if ours is not None:
            raise ours.caused_by(error) from None
        reason = _network(error)
        if reason is None:
            raise
        raise _unreachable(connection, reason).caused_by(error) from None
    if not known:
        raise PortalRefused(
            f"the portal did not recognize the token of `{connection.label}`: GIS is anonymous",
            f"age-oauth doctor -c {connection.id}",
        )
    return gis


def _unreachable(connection: "Connection", reason: BaseException) -> PortalUnreachable:
    from requests.exceptions import SSLError

    hint = f"age-oauth doctor -c {connection.id}"
    if isinstance(reason, SSLError):
        return PortalUnreachable(
            f"the certificate of {connection.portal_url} could not be verified while signing in to `{connection.label}`",
            f"to see the certificate, and how to trust it: {hint}",
        )
    return PortalUnreachable(
        f"the portal {connection.portal_url} sent no usable response while signing in to `{connection.label}`: {reason}",
        hint,
    )


def _is_known(gis: Any) -> bool:
    properties = gis.properties
    return bool(properties.get("user") or properties.get("appInfo"))


def _network(error: BaseException) -> "BaseException | None":
    """The network error that caused an error, if there is one."""
    from requests.exceptions import RequestException

    return _behind(error, RequestException)


def _behind(error: "BaseException | None", kind: type) -> "BaseException | None":
    """The first error of a kind among an error and its causes."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, kind):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None

