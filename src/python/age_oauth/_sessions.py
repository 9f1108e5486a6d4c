"""A ``requests`` session whose requests get through the web server in front of a portal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError, RequestException
from urllib3.exceptions import ProtocolError

from . import _json_names as names
from . import _proxies, _trust
from ._gis_options import prefixes
from ._http import TokenAuth, rewind
from ._presented import Presented, Sensitive
from .errors import UsageError

if TYPE_CHECKING:
    from urllib3.util import Retry

    from .connection import Connection


class Presenting:
    """A part of a transport adapter of ``requests``, before ``HTTPAdapter`` in the list of base classes. It is mounted for the
    portal's own scheme, host and port."""

    #: ``None`` for other addresses than the portal's.
    presented: "Presented | None" = None

    #: How requests are repeated. Each attempt needs an answer of its own; urllib3 sends one again.
    repeats: "Retry | None" = None

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        presented = self.presented
        if presented is None or not presented.belongs_to(request.url):
            return super().send(request, stream, timeout, verify, cert, proxies)  # type: ignore[misc]
        presented.check(verify)
        repeats, options = self.repeats, (stream, timeout, verify, cert, proxies)
        may_be_lost = repeats is not None and request.method in _IDEMPOTENT
        while True:
            value = presented.authorization(request.body is not None)
            try:
                response = self._sent(request, value, options)
            except ConnectionError as error:
                if value is None or not may_be_lost or not _was_lost(error) or not rewind(request):
                    raise
                may_be_lost = False
                continue
            if value is not None and response.status_code == 401:
                presented.was_refused()
            if value is None or repeats is None or not _may_repeat(repeats, response) or not rewind(request):
                return response
            repeats = repeats.increment(request.method, request.url, response.raw)
            repeats.sleep(response.raw)
            response.content
            response.close()

    def _sent(self, request: Any, value: "str | None", options: Any) -> Any:
        sent = request
        if value is not None:
            sent = request.copy()
            sent.headers["Authorization"] = Sensitive(value)
        try:
            response = super().send(sent, *options)  # type: ignore[misc]
        except RequestException as error:
            error.request = request
            raise
        response.request = request
        return response


#: What a server does once, if it gets the request twice.
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS")


def _was_lost(error: ConnectionError) -> bool:
    """Whether the server ended the connection without an answer, as it may with one that was not used for a while."""
    return any(isinstance(reason, ProtocolError) for reason in error.args)


def _may_repeat(repeats: "Retry", response: Any) -> bool:
    left = repeats.total
    has_time = "Retry-After" in response.headers
    return bool(left) and repeats.is_retry(response.request.method, response.status_code, has_time)


class Proxied:
    """A part of a transport adapter of ``requests``, before ``HTTPAdapter`` in the list of base classes. It reads the addresses
    of proxies, and which hosts need none, as the program does."""

    #: Whether the connection has no setting of its own about proxies.
    follows_environment = True

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        used = _proxies.chosen(request.url, proxies, follows_environment=self.follows_environment)
        return super().send(request, stream, timeout, verify, cert, used)  # type: ignore[misc]

    def proxy_headers(self, proxy: str) -> "dict[str, str]":
        return _proxies.authorization(proxy)


class ProxiedAdapter(Proxied, HTTPAdapter):
    """For addresses without TLS."""

    __attrs__ = [*HTTPAdapter.__attrs__, "follows_environment"]  # What a pickle holds.


class PortalAdapter(Presenting, Proxied, HTTPAdapter):
    """With the connection's certificate authorities, and for the portal itself with what the connection presents."""

    def __init__(self, facts: "dict[str, Any]", presented: "Presented | None" = None) -> None:
        self._facts, self.presented = facts, presented
        self.follows_environment = facts[names.PROXY] == "system"
        self._lock = threading.Lock()
        self._context: Any = None
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        # Called while a session is made or unpickled, which must not start the program.
        self._pools = (connections, maxsize, block)
        super().init_poolmanager(connections, maxsize, block, **options)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        is_verified = _trust.is_verified(self._facts)
        if is_verified and not _verifies(verify):
            raise UsageError(
                "the connection verifies certificates, and this request has verify=False: its token could be sent to any server",
                "trust the server's certificate authority: age-oauth connections edit NAME --verify-ssl FILE.pem",
            )
        if cert is not None:
            raise UsageError(
                "`cert` of one request would be presented in all others of this session, too",
                "give the certificate to the connection: age-oauth connections edit NAME --client-cert FILE.p12",
            )
        self._begin()
        return super().send(request, stream, timeout, _IN_THE_CONTEXT if is_verified else False, None, proxies)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> "tuple[Any, Any]":
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # urllib3 would add a bundle to the context.
        conn.cert_reqs, conn.ca_certs, conn.ca_cert_dir = "CERT_REQUIRED" if verify else "CERT_NONE", None, None

    def _begin(self) -> None:
        with self._lock:
            if self._context is None:
                context = _trust.context(self._facts)
                if self.presented is not None:
                    self.presented.load_certificate(context)
                super().init_poolmanager(*self._pools, ssl_context=context)
                self._context = context

    def __reduce__(self) -> "tuple[Any, ...]":
        return PortalAdapter, (self._facts, self.presented)


#: In place of the path of a bundle, of which there is none. With ``True``, some versions of
#: ``requests`` take a context of their own.
_IN_THE_CONTEXT = "the context"


def _verifies(verify: Any) -> bool:
    return verify is True or (isinstance(verify, str) and bool(verify))


def session(connection: Connection) -> requests.Session:
    """A session with the settings of the connection."""
    facts = connection._facts
    made = requests.Session()
    made.auth = TokenAuth(connection)
    if not _trust.is_verified(facts):
        made.verify = False
    proxy = facts[names.PROXY]
    if proxy != "system":
        made.trust_env = False
        if proxy != "none":
            made.proxies = {"http": proxy, "https": proxy}
    without_tls = ProxiedAdapter()
    without_tls.follows_environment = proxy == "system"
    made.mount("http://", without_tls)
    made.mount("https://", PortalAdapter(facts))
    presented = Presented(connection)
    if presented:
        adapter = PortalAdapter(facts, presented)
        for prefix in prefixes(connection.api_url):
            made.mount(prefix, adapter)
    return made
