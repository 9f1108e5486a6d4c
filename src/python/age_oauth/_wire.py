"""The last step before a request leaves a session: what it carries, how long it may take, and that a request to this
machine stays on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from requests.exceptions import ConnectTimeout, ReadTimeout, RequestException
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, ReadTimeoutError
from urllib3.util import Retry

from . import _addresses as addresses
from . import _exchange, _files
from ._http import HEADER
from .errors import UsageError

if TYPE_CHECKING:
    from ._policy import Policy

#: How long a host may take to accept a connection, and how long it may be silent, in seconds, where
#: the caller sets no limit.
CONNECT_SECONDS = 10
SILENT_SECONDS = 300

#: How long a portal may be silent while a session begins, in seconds.
BEGIN_SECONDS = 20


class PatientRetry(Retry):
    """Repeats as Esri's own sessions do, except what took too long: waiting again would take as long again."""

    def increment(self, method: Any = None, url: Any = None, response: Any = None, error: Any = None, *more: Any, **options: Any) -> Any:
        if isinstance(error, ReadTimeoutError):
            raise error
        if isinstance(error, ConnectTimeoutError):
            raise MaxRetryError(more[0] if more else options.get("_pool"), url or "", error)
        return super().increment(method, url, response, error, *more, **options)


class Wire:
    """A part of a transport adapter of ``requests``, before ``HTTPAdapter`` in the list of base classes."""

    policy: Policy

    #: The first error of a session that begins, and whether it still does.
    _begins = False
    _too_slow: Exception | None = None

    #: Whether an answer has come since :meth:`begin`.
    was_answered = False

    def begin(self) -> None:
        """From now until :meth:`end`, waits are short, and one that was too long is the last."""
        self._begins, self._too_slow, self.was_answered = True, None, False

    def end(self) -> None:
        self._begins, self._too_slow = False, None

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        if self._too_slow is not None:
            raise self._too_slow
        if cert is not None:
            # urllib3 would load it into the TLS context of all hosts.
            raise UsageError(
                "`cert` of one request would be presented to every host that asks for a client certificate",
                'give it for the whole session: get_gis(…, cert_file="CERT.pem", key_file="KEY.pem")',
            )
        if addresses.is_http_within_this_machine(request.url):
            proxies = {}
        sent = _exchange.outgoing(request, self.policy, HEADER)
        try:
            response = super().send(  # type: ignore[misc]
                sent, stream, self._limit(timeout), _usable(verify), cert, proxies
            )
        except RequestException as error:
            # What was sent may hold a token where the caller sees the placeholder.
            error.request = request
            if self._begins and isinstance(error, (ConnectTimeout, ReadTimeout)):
                self._too_slow = error
            raise
        self.was_answered = True
        _exchange.returned(response, request, sent, HEADER)
        return response

    def _limit(self, timeout: Any) -> Any:
        if self._begins:
            return CONNECT_SECONDS, BEGIN_SECONDS
        return (CONNECT_SECONDS, SILENT_SECONDS) if timeout is None else timeout


def _usable(verify: Any) -> Any:
    """What is verified with. OpenSSL would wait for a FIFO."""
    if not isinstance(verify, str) or not verify or os.path.isdir(verify):
        return verify
    try:
        _files.check(verify)
    except OSError as error:
        # `requests` puts these in place of `True`. They add authorities, and take none away.
        if verify in map(os.environ.get, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
            return True
        raise UsageError(f"`verify` names `{verify}`, which cannot be read: {error.strerror or error}").caused_by(error) from None
    return verify
