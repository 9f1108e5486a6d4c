"""Tokens for ``requests`` and libraries built on it, and what happens if the portal rejects one."""

from __future__ import annotations

from typing import Any

from . import _json_names as names
from . import _rejection
from ._by_id import ById
from ._policy import Policy
from ._session import python_command
from .errors import AgeOAuthError

HEADER = "X-Esri-Authorization"


class TokenAuth(ById):
    """Signs the requests of a ``requests`` session: ``requests.get(url, auth=TokenAuth("prod"))``.

    The portal's own token goes only to the portal. A server that the portal issues tokens for gets a server token, every other
    host gets none. A token is renewed before it expires; if the portal rejects it nevertheless, it is renewed and the request is
    sent once more. Of a streamed body, nothing is taken.

    May be used by many threads. ``connection`` is a label, an id or a :class:`~age_oauth.Connection`.
    """

    #: Whether the session sends requests to this machine past all proxies.
    _own_proxies = False

    def __init__(self, connection: Any = None, *, connection_id: str | None = None) -> None:
        from .connection import Connection

        if not isinstance(connection, Connection):
            connection = Connection(connection, connection_id=connection_id)
        self.connection = connection
        self._policy = Policy(
            connection._provider, connection.portal_url, connection.api_url, own_proxies=self._own_proxies
        )
        self._referer = connection._facts[names.REFERER]

    def _sign(self, request: Any, token: str | None) -> None:
        request.headers.pop(HEADER, None)
        if token is not None:
            request.headers[HEADER] = Bearer(f"Bearer {token}")
            if self._referer:
                request.headers["Referer"] = self._referer

    def __call__(self, request: Any) -> Any:
        self._sign(request, self._policy.token(request.url))
        request.register_hook("response", _Look(self, request))
        return request

    def _settled(self, response: Any, options: dict[str, Any], redirected: _Redirected) -> Any:
        """The answer, or the answer to the request with another token if this one was rejected."""
        for _ in range(_rejection.STEPS):
            if not _is_rejection(response, options):
                return response
            sent = response.request
            was = sent.headers.get(HEADER, "").partition(" ")[2]
            token = self._another(sent.url, was, redirected)
            failure = None if token or redirected.by_another_host else self._policy.failure(sent.url)
            if failure is not None:
                raise failure
            if token is None or token == was or not rewind(sent):
                return response
            response = self._again(response, sent, token, options)
        return response

    def _another(self, url: str, was: str, redirected: _Redirected) -> str | None:
        if was:
            return self._policy.instead_of(url, was)
        # What another host redirects to is its request, not the script's.
        return None if redirected.by_another_host else self._policy.token(url)

    def _again(self, response: Any, sent: Any, token: str, options: dict[str, Any]) -> Any:
        # As in the digest authentication of requests: release the connection before it is used
        # again.
        response.content
        response.close()
        again = sent.copy()
        self._sign(again, token)
        answer = response.connection.send(again, **options)
        answer.history = [*response.history, response]
        answer.request = again
        return answer

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection.label!r}>"


class Bearer(str):
    """The value of the header that holds a token. A pickle of a request or response does not hold it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("",)

    def __copy__(self) -> Bearer:
        return self

    def __deepcopy__(self, memo: Any) -> Bearer:
        return self


class _Look:
    """The hook that looks at each response to a request, and renews a token that was rejected."""

    def __init__(self, auth: TokenAuth, request: Any) -> None:
        self._auth = auth
        self._request = request
        self._redirected = _Redirected()

    def __call__(self, response: Any, **options: Any) -> Any:
        answer = response if response.is_redirect else self._auth._settled(response, options, self._redirected)
        if answer.is_redirect:
            self._redirected.by(answer)
            # On a redirect, `requests` copies every header except `Authorization` to the new
            # host: from the request that it sent itself, also if the answer is to one that was
            # sent in its place.
            for one in (self._request, response.request, answer.request):
                one.headers.pop(HEADER, None)
        return answer

    def __reduce__(self) -> tuple[Any, ...]:
        # What is unpickled carries no token, and belongs to no session.
        return no_hook, ()

    def __copy__(self) -> _Look:
        return self

    def __deepcopy__(self, memo: Any) -> _Look:
        return self


def no_hook() -> Any:
    """The hook of an unpickled request, which leaves each response as it is."""
    return _unchanged


def _unchanged(response: Any, **_: Any) -> Any:
    return response


class _Redirected:
    """Whether another host than the portal and its servers redirected a request."""

    by_another_host = False

    def by(self, response: Any) -> None:
        if HEADER not in response.request.headers:
            self.by_another_host = True


def rewind(request: Any) -> bool:
    """Whether the body can be sent again, and is at its beginning."""
    body = request.body
    if body is None or isinstance(body, (bytes, str)):
        return True
    position = getattr(request, "_body_position", None)
    if not isinstance(position, int):
        return False
    try:
        body.seek(position)
    except (AttributeError, OSError):
        return False
    return True


def _is_rejection(response: Any, options: dict[str, Any]) -> bool:
    """Whether the portal rejects the token, mostly inside an HTTP 200."""
    if response.status_code in _rejection.CODES:
        return True
    return _rejection.error_code(_start(response, options)) in _rejection.CODES


def _start(response: Any, options: dict[str, Any]) -> bytes:
    """The first bytes of a body. The caller still gets the whole body."""
    if response._content_consumed or not options.get("stream"):
        # `requests` reads the whole body next, or has read it.
        content = response.content
        return content[: _rejection.LONGEST] if isinstance(content, bytes) else b""
    if not _rejection.may_be_error(response.headers.get("Content-Type", "")):
        return b""
    return _rejection.beginning(response.raw, response.headers.get("Content-Encoding", ""))


def httpx_auth() -> Any:
    """The same for ``httpx``, which is imported only here."""
    try:
        from ._httpx import HttpxTokenAuth
    except ImportError:
        return _WithoutHttpx
    return HttpxTokenAuth


class _WithoutHttpx:
    """In place of ``HttpxTokenAuth`` where there is no ``httpx``, so that ``from age_oauth import *`` works."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise AgeOAuthError("the httpx package is not installed", f"{python_command()} -m pip install httpx")
