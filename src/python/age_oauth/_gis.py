"""Esri's ``GIS`` with tokens that renew themselves. Only this module imports ``arcgis``. It does not use the OAuth classes of
``arcgis``, which switch the verification of certificates off."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import _by_id, _gis_by_id, _program
from . import _json_names as names
from ._exchange import PLACEHOLDER
from ._http import TokenAuth
from ._session import quoted
from .connections import trust
from .errors import AgeOAuthError, PortalRefused, PortalUnreachable, UsageError

if TYPE_CHECKING:
    from .connection import Connection


def connect(connection: "Connection", options: dict[str, Any]):
    """A ``GIS`` for this connection."""
    try:
        from arcgis.auth import EsriAPIKeyAuth
        from arcgis.auth.tools import EsriTrustStoreAdapter
        from arcgis.gis import GIS
    except ImportError as error:
        raise AgeOAuthError(
            "the arcgis package, which brings GIS, is not installed in this Python environment",
            'python -m pip install "age-oauth[arcgis]"',
        ) from error

    from ._wire import PatientRetry, Wire

    class GisAuth(TokenAuth, EsriAPIKeyAuth):
        """Some modules of ``arcgis`` read the token from the session's auth handler if it is one of their own classes, and
        put it into requests to any host. They get a placeholder, which the adapter exchanges."""

        _own_proxies = True
        verify_cert = True
        auth = None

        def __init__(self) -> None:
            TokenAuth.__init__(self, connection)
            self._no_go_token = set()
            self.referer = self._referer or ""

        @property
        def api_key(self) -> str:
            return PLACEHOLDER

        @property
        def token(self) -> str:
            return PLACEHOLDER

        __str__ = TokenAuth.__repr__

        def __reduce__(self) -> "tuple[Any, ...]":  # This class exists in this function only.
            return _by_id.restore, (TokenAuth, self.connection.id)

    class GisAdapter(Wire, EsriTrustStoreAdapter):
        """Esri's adapter, which decides about certificates, behind ours."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options, **_certificates_read_once())

    facts = connection._provider.token().facts
    if facts[names.WEB_TIER] != "none":
        raise _behind_windows_sign_in(connection)
    auth = GisAuth()
    arguments: dict[str, Any] = {"custom_auth": auth}
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
    if "adapter" in options or "custom_auth" in options:
        raise UsageError("`adapter` and `custom_auth` cannot be passed to `get_gis`, which sets them itself")
    arguments.update(options)
    adapter = GisAdapter(
        max_retries=PatientRetry(total=5, status_forcelist=_REPEATED, allowed_methods=None),
        assert_hostname=True,
        verify=arguments["verify_cert"],
        additional_certs=[arguments["ca_bundles"]] if isinstance(arguments.get("ca_bundles"), str) else arguments.get("ca_bundles"),
    )
    adapter.policy = auth._policy
    arguments["adapter"] = {"https://": adapter, "http://": adapter}
    adapter.begin()
    try:
        gis = GIS(connection.api_url, **arguments)
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
    finally:
        adapter.end()
    if not known:
        raise PortalRefused(
            f"the portal did not recognize the token of `{connection.label}`: GIS is anonymous",
            f"age-oauth doctor -c {connection.id}",
        )
    _unwrap(gis, connection)
    _gis_by_id.register()
    return gis


def _certificates_read_once() -> dict[str, Any]:
    """The option with which Esri's adapter reads the system's file of trusted certificates once. By itself, it does so for
    every connection, some 25 ms each, if Python has such a file: on Linux, ``truststore`` has nothing else to ask."""
    import ssl
    import sys

    if sys.platform in ("win32", "darwin") or ssl.get_default_verify_paths().cafile is None:
        return {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    return {"ssl_context": context}


def _behind_windows_sign_in(connection: "Connection") -> UsageError:
    return UsageError(
        f"the web server in front of the portal of `{connection.label}` asks for Windows sign-in, which the requests of Esri's "
        "package cannot carry with these tokens",
        "for single requests: age-oauth api; for `get_gis`, an address for programs without that sign-in: "
        f"age_oauth.Connection({quoted(connection.label)}).edit(api_url=\"URL\", web_tier=\"none\")",
    )


#: The program says within this time why the portal cannot be reached.
_DIAGNOSIS = "20s"


def _unreachable(connection: "Connection", reason: BaseException) -> PortalUnreachable:
    from requests.exceptions import SSLError

    try:
        # The program says what is wrong with a certificate, and how to trust it.
        _program.ask("whoami", *_program.selector(None, connection.id), "--timeout", _DIAGNOSIS)
    except PortalUnreachable as error:
        return error
    except AgeOAuthError:
        pass  # It can reach the portal; what is wrong is between Esri's package and the portal.
    hint = f"age-oauth doctor -c {connection.id}"
    if isinstance(reason, SSLError):
        return PortalUnreachable(
            f"the certificate of {connection.api_url} could not be verified while signing in to `{connection.label}`",
            f"to see the certificate, and how to trust it: {hint}",
        )
    return PortalUnreachable(
        f"the portal {connection.api_url} sent no usable response while signing in to `{connection.label}`: {reason}",
        hint,
    )


#: The states that Esri's own sessions repeat.
_REPEATED = (413, 429, 500, 502, 503, 504)


def _unwrap(gis: Any, connection: "Connection") -> None:
    """Lets our errors out of ``arcgis`` as they are. It wraps every error in a bare ``Exception``, and takes any error of
    asking for the user for an anonymous session."""
    for name in ("get", "post", "put", "delete"):
        method = getattr(gis._con, name, None)
        if method is not None:
            setattr(gis._con, name, functools.partial(_unwrapped, method))
    gis._portal.logged_in_user = functools.partial(_user, gis._portal.logged_in_user, connection)


def _user(logged_in_user: Any, connection: "Connection") -> Any:
    user = logged_in_user()
    if user is None:
        connection._provider.token()  # Raises an error if the sign-in has ended.
    return user


def _unwrapped(method: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return method(*arguments, **options)
    except Exception as error:
        ours = _behind(error, AgeOAuthError)
        if ours is None or ours is error:
            raise
        raise ours from None


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

