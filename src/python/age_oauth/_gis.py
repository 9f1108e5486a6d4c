"""Esri's ``GIS`` with tokens that renew themselves. Only this module imports ``arcgis``. It does not use the OAuth classes of
``arcgis``, which switch the verification of certificates off."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import _by_id, _gis_by_id, _gis_errors, _gis_options, _program, _trust
from . import _json_names as names
from ._exchange import PLACEHOLDER
from ._http import TokenAuth
from ._presented import Presented
from .connections import trust
from .errors import AgeOAuthError, PortalRefused, PortalUnreachable, SignInRequired, UsageError

if TYPE_CHECKING:
    from .connection import Connection


def connect(connection: "Connection", options: dict[str, Any]):
    """A ``GIS`` for this connection."""
    try:
        from arcgis.auth import EsriAPIKeyAuth
        from arcgis.auth.tools import EsriTrustStoreAdapter
        from arcgis.gis import GIS
    except Exception as error:  # A package that does not fit to another one also raises other errors than an `ImportError`.
        raise _gis_options.import_failure(error) from error

    from urllib3.util import Retry

    from ._sessions import Presenting, Proxied
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

    class GisAdapter(Wire, Presenting, Proxied, EsriTrustStoreAdapter):
        """Esri's adapter, which decides about certificates, behind ours."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options, **(_pin(facts, options["verify"]) or _certificates_read_once()))
            self.follows_environment = bool(arguments["trust_env"])

    options = dict(options)
    certificate = _gis_options.take_certificate(options)
    facts = connection._provider.token().facts
    presented = Presented(connection, facts, has_own_certificate=certificate is not None)
    auth = GisAuth()
    arguments = {"custom_auth": auth, **_settings(facts)}
    arguments.update((name, value) for name, value in options.items() if name not in _gis_options.DECIDED)

    def adapter() -> GisAdapter:
        bundles = arguments.get("ca_bundles")
        try:
            one = GisAdapter(
                max_retries=PatientRetry(total=5, status_forcelist=_REPEATED, allowed_methods=None),
                assert_hostname=True,
                verify=arguments["verify_cert"],
                additional_certs=[bundles] if isinstance(bundles, str) else bundles,
            )
        except (OSError, TypeError, ValueError) as error:
            if not bundles:
                raise
            said = _gis_errors.said(error)
            raise UsageError(f"the certificates in `{bundles}` cannot be read: {said}").caused_by(error) from None
        one.policy = auth._policy
        return one

    adapters = dict.fromkeys(("https://", "http://"), adapter())
    if presented:
        presented.check(arguments["verify_cert"])
        # A TLS context presents its certificate to every host that asks: the portal has its own.
        own = adapter()
        own.presented = presented
        if presented.answers_windows_sign_in():
            own.repeats, own.max_retries = own.max_retries, Retry(0, read=False)
        if certificate is not None:
            certificate.load_into(own.ssl_context)
        else:
            presented.load_certificate(own.ssl_context)
        adapters.update(dict.fromkeys(_gis_options.prefixes(connection.api_url), own))
    arguments["adapter"] = adapters
    for one in adapters.values():
        one.begin()
    try:
        gis = GIS(connection.api_url, **arguments)
        known = _is_known(gis)
    except Exception as error:
        answered = any(one.was_answered for one in adapters.values())
        raise _failure(connection, error, answered).caused_by(error) from None
    finally:
        for one in adapters.values():
            one.end()
    if not known:
        raise PortalRefused(
            f"the portal did not recognize the token of `{connection.label}`: GIS is anonymous",
            f"age-oauth doctor -c {connection.id}",
        )
    _unwrap(gis, connection)
    _keep_adapters(gis.session, connection)
    _gis_by_id.register()
    return gis


def _settings(facts: dict[str, Any]) -> dict[str, Any]:
    """The settings of a connection, as ``GIS`` takes them."""
    arguments: dict[str, Any] = {}
    if facts[names.REFERER]:
        arguments["referer"] = facts[names.REFERER]
    arguments["verify_cert"], bundle = trust(facts[names.VERIFY_SSL])
    if bundle is not None and not _trust.is_pinned(bundle):
        arguments["ca_bundles"] = bundle
    proxy = facts[names.PROXY]
    # By default, GIS ignores the system's proxy.
    arguments["trust_env"] = proxy == "system"
    if proxy not in ("system", "none"):
        arguments["proxy"] = {"http": proxy, "https": proxy}
    return arguments


def _pin(facts: "dict[str, Any]", verify: Any) -> "dict[str, Any]":
    """The option with which Esri's adapter accepts the pinned certificate of the connection at the portal."""
    import ssl
    import sys

    if not verify or not _trust.is_pinned(trust(facts[names.VERIFY_SSL])[1]):
        return {}
    kind = ssl.SSLContext
    if sys.platform in ("win32", "darwin"):
        import truststore

        kind = truststore.SSLContext
    return {"ssl_context": _trust.pinning(facts, kind)}


def _certificates_read_once() -> dict[str, Any]:
    """The option with which Esri's adapter reads the system's certificates once, and never a FIFO. By itself, it does so for
    every connection, some 25 ms each: on Linux, ``truststore`` has nothing else to ask."""
    import sys

    return {} if sys.platform in ("win32", "darwin") else {"ssl_context": _trust.system()}


#: The program says within this time why the portal cannot be reached.
_DIAGNOSIS = "20s"


def _failure(connection: "Connection", error: Exception, answered: bool) -> AgeOAuthError:
    """The error for any error with which Esri's package ends before there is a ``GIS``. It reads the portal's answers without
    a check of their form, so that a wrong one is a ``TypeError``, a ``KeyError`` or a bare ``Exception``."""
    # `arcgis` wraps the errors of its auth handlers.
    ours = _behind(error, AgeOAuthError)
    if ours is not None:
        return ours
    reason = _network(error)
    if reason is None and not answered:
        return AgeOAuthError(
            f"Esri's package could not make a GIS for `{connection.label}`, before the portal was asked: {_gis_errors.said(error)}",
            "check the options of get_gis: age_oauth passes them on to Esri's GIS",
        )
    return _failed(connection, reason or error)


def _failed(connection: "Connection", reason: BaseException) -> AgeOAuthError:
    """The error for a network error of Esri's package, or for an answer that it cannot use."""
    chosen = _program.selector(None, connection.id)
    try:
        # The program says what is wrong with a certificate, and how to trust it.
        _program.ask("whoami", *chosen, "--timeout", _DIAGNOSIS)
    except (PortalUnreachable, PortalRefused, SignInRequired) as error:
        return error
    except AgeOAuthError:
        pass  # It can reach the portal; what is wrong is between Esri's package and the portal.
    hint = f"age-oauth doctor -c {connection.id}"
    if _not_verified(reason):
        return PortalUnreachable(
            f"the certificate of {connection.api_url} could not be verified (connection `{connection.label}`)",
            f"to see the certificate, and how to trust it: {hint}",
        )
    said = _gis_errors.said(reason)
    if _gis_errors.is_refusal(said):
        return PortalRefused(f"the portal {connection.api_url} refused (connection `{connection.label}`): {said}", hint)
    return PortalUnreachable(
        f"the portal {connection.api_url} sent no usable response (connection `{connection.label}`): {said}", hint
    )


def _not_verified(reason: BaseException) -> bool:
    """Whether a certificate of a server was the reason. Alerts of a server are errors of TLS, too."""
    import ssl

    from urllib3.util.ssl_match_hostname import CertificateError

    # `arcgis` makes a new error with the text of the first.
    return (
        _behind(reason, ssl.SSLCertVerificationError) is not None
        or _behind(reason, CertificateError) is not None
        or "CERTIFICATE_VERIFY_FAILED" in str(reason)
    )


def _keep_adapters(session: Any, connection: "Connection") -> None:
    """Refuses what makes Esri's session replace the adapters by its own, which wait without end, exchange nothing, and
    present a client certificate to every host."""
    requests_session = session._session
    verify = requests_session.verify

    def refuse(**_: Any) -> None:
        requests_session.verify = verify
        raise UsageError(
            f"`verify` and `cert` of the session of `{connection.label}` cannot be changed after `get_gis`",
            f"for a client certificate: {_gis_options.example(connection.label)}; for an authority: "
            f"age-oauth connections edit {connection.id} --verify-ssl FILE.pem",
        )

    session._rebuild_adapter = refuse


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
        connection._provider.token()  # Raises an error if the sign-in or the API key has ended.
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

