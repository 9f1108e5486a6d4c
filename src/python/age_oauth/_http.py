"""Which request gets which token, and what happens if the portal rejects it. For ``requests`` and libraries built on it."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from . import _json_names as names
from ._by_id import ById
from .errors import AgeOAuthError, PortalRefused, UsageError

if TYPE_CHECKING:
    from ._provider import Provider

HEADER = "X-Esri-Authorization"

#: The codes by which ArcGIS rejects a token: invalid token, and token required.
_REJECTED_TOKEN = (498, 499)

#: Errors of ArcGIS are not longer than this, in bytes.
_ERROR = 16 * 1024

#: How long a refusal of the portal to issue a token for a server is remembered, in seconds.
_MEMORY = 600

_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


def may_carry(url: str) -> bool:
    """Whether a token may travel to this address at all: by TLS, or within this machine."""
    scheme, host, _ = origin(url)
    return scheme == "https" or (scheme == "http" and host in ("localhost", "127.0.0.1", "::1"))


#: How often a path is decoded before it is refused: no honest path is encoded more than twice.
_DECODINGS = 4


def climbs(path: str) -> bool:
    """Whether a path may lead above its beginning, as any web server may decode it. The program has the same rule, in
    ``src/federation.rs``; ``tests/addresses.json`` is the test of both."""
    for _ in range(_DECODINGS):
        plain = path.replace("\uff0e", ".")
        for slash in ("\\", "\uff0f", "\uff3c"):
            plain = plain.replace(slash, "/")
        if "%u" in path.lower() or re.search("[\x00-\x1f\x7f-\x9f]", plain):
            return True
        if any(segment.partition(";")[0].strip() == ".." for segment in plain.split("/")):
            return True
        try:
            decoded = unquote_to_bytes(path).decode("utf-8")
        except UnicodeDecodeError:
            return True
        if decoded == path:
            return False
        path = decoded
    return True


def is_plain(url: str) -> bool:
    """Whether every program reads the same host and path in this address, and it holds no user name or password."""
    parts = urlsplit(url)
    return not (climbs(parts.path) or "@" in parts.netloc or "\\" in parts.netloc + parts.path)


#: Hosts of ArcGIS Online: what stands before ``arcgis.com``.
_BELOW_ARCGIS = re.compile(r"((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)\.arcgis\.com")

#: The hosts of ArcGIS Online that are portals.
_ONLINE_PORTAL = re.compile(r"www|(dev|devext|qa|qaext)|.+\.maps(|dev|devext|qa|qaext)")


def _online(url: str) -> "tuple[str, str] | None":
    """What stands before ``arcgis.com`` in an address of ArcGIS Online, and the environment there."""
    scheme, host, port = origin(url)
    found = _BELOW_ARCGIS.fullmatch(host)
    if scheme != "https" or port != 443 or found is None:
        return None
    last = found[1].rpartition(".")[2]
    return found[1], "dev" if "dev" in last else "qa" if "qa" in last else "www"


#: Below the root of an ArcGIS Server.
_BELOW_REST = ("services", "admin", "info", "login", "self", "generatetoken", "directories")
_BELOW_ROOT = ("rest", "admin", "services", "tokens", "manager", "sharing")


def root(url: str) -> str:
    """The root of the ArcGIS Server that serves the address, as the program finds it."""
    scheme, host, port = origin(url)
    host = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{host}" + ("" if port == _PORTS.get(scheme) else f":{port}")
    segments = urlsplit(url).path.rstrip("/").split("/")[1:]
    lower = [segment.lower() for segment in segments]
    pairs = zip(lower, lower[1:])
    end = next((at for at, (one, two) in enumerate(pairs) if one == "rest" and two in _BELOW_REST), None)
    if end is None:
        end = next((at for at, one in enumerate(lower) if one in _BELOW_ROOT), len(lower))
    return "/".join([base, *segments[:end]])


class Policy:
    """The token that belongs to an address: the portal's own token for the portal, a server token for a server that the
    portal issues tokens for, and none for any other address."""

    def __init__(self, provider: Provider, portal_url: str) -> None:
        self._provider = provider
        self._origin = origin(portal_url)
        self._path = urlsplit(portal_url).path.rstrip("/")
        online = _online(portal_url)
        is_organization = online and not self._path and _ONLINE_PORTAL.fullmatch(online[0])
        self._environment = online[1] if online and is_organization else None
        self._foreign: dict[str, float] = {}

    def server(self, url: str) -> str:
        """The root of the server that the address is on; empty for the portal, and for hosts of the same ArcGIS Online."""
        path = urlsplit(url).path
        if origin(url) == self._origin and (path == self._path or path.startswith(f"{self._path}/")):
            return ""
        online = _online(url)
        if online and online[1] == self._environment:
            return ""
        return root(url)

    def may_carry(self, url: str) -> bool:
        """Whether a token may travel to this address at all."""
        return may_carry(url) and is_plain(url)

    def token(self, url: str) -> str | None:
        """The token for this address, or ``None`` where none may be sent."""
        if not self.may_carry(url):
            return None
        return self._for(self.server(url), None)

    def instead_of(self, url: str, rejected: str) -> str | None:
        """Another one, because the server rejected this."""
        return self._for(self.server(url), rejected) if self.may_carry(url) else None

    def _for(self, server: str, rejected: str | None) -> str | None:
        if self._foreign.get(server, 0) > time.monotonic():
            return None
        try:
            if rejected is not None:
                return self._provider.instead_of(rejected, server).value
            return self._provider.token(None, server).value
        except (PortalRefused, UsageError):
            if not server:
                raise
            # The portal issues no token for this server: it is public, or not federated with the
            # portal.
            self._foreign[server] = time.monotonic() + _MEMORY
            return None


class TokenAuth(ById):
    """Signs the requests of a ``requests`` session: ``requests.get(url, auth=TokenAuth("prod"))``.

    The portal's own token goes only to the portal. A server that the portal issues tokens for gets a server token, every other
    host gets none. A token is renewed before it expires; if the portal rejects it nevertheless, it is renewed and the request is
    sent once more. Bodies are not read, except the first bytes of a JSON response, which the caller still gets.

    May be used by many threads. ``connection`` is a label, an id or a :class:`~age_oauth.Connection`.
    """

    def __init__(self, connection: Any = None, *, connection_id: str | None = None) -> None:
        from .connection import Connection

        if not isinstance(connection, Connection):
            connection = Connection(connection, connection_id=connection_id)
        self.connection = connection
        self._policy = Policy(connection._provider, connection.portal_url)
        self._referer = connection._facts[names.REFERER]

    def _sign(self, request: Any, token: str | None) -> None:
        request.headers.pop(HEADER, None)
        if token is not None:
            request.headers[HEADER] = f"Bearer {token}"
            if self._referer:
                request.headers["Referer"] = self._referer

    def __call__(self, request: Any) -> Any:
        self._sign(request, self._policy.token(request.url))

        def look(response: Any, **options: Any) -> Any:
            return self._look(request, response, options)

        request.register_hook("response", look)
        return request

    def _look(self, request: Any, response: Any, options: dict[str, Any]) -> Any:
        if response.is_redirect:
            # On a redirect, `requests` copies every header except `Authorization` to the new host.
            for one in (request, response.request):
                one.headers.pop(HEADER, None)
            return response
        sent = response.request
        if getattr(sent, "_age_oauth_again", False) or not _is_rejection(response):
            return response
        was = sent.headers.get(HEADER, "").partition(" ")[2]
        url = sent.url
        token = self._policy.instead_of(url, was) if was else self._policy.token(url)
        if token is None or token == was or not _rewind(sent):
            return response
        # As in the digest authentication of requests: release the connection before it is used
        # again.
        response.content
        response.close()
        again = sent.copy()
        again._age_oauth_again = True
        self._sign(again, token)
        answer = response.connection.send(again, **options)
        answer.history.append(response)
        answer.request = again
        return answer

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection.label!r}>"


def _rewind(request: Any) -> bool:
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


def _is_rejection(response: Any) -> bool:
    """Whether the portal rejects the token, mostly inside an HTTP 200."""
    if response.status_code in _REJECTED_TOKEN:
        return True
    kind = response.headers.get("Content-Type", "").lower()
    if "json" not in kind and not kind.startswith("text/plain"):
        return False
    return error_code(_start(response)) in _REJECTED_TOKEN


def error_code(start: bytes) -> int | None:
    """The code of an error of ArcGIS, where these are the first bytes of one."""
    if not start.lstrip().startswith(b"{") or b'"error"' not in start[:64]:
        return None
    try:
        error = json.loads(start.decode("utf-8", "replace"))["error"]
        return int(error["code"])
    except (ValueError, KeyError, TypeError):
        return None


def _start(response: Any) -> bytes:
    """The first bytes of a body. The caller still gets the whole body."""
    if response._content_consumed:
        return response.content[:_ERROR] if isinstance(response._content, bytes) else b""
    raw = response.raw
    if not hasattr(raw, "stream"):
        return b""
    start = raw.read(64, decode_content=True) or b""
    if b'"error"' in start:
        start += raw.read(_ERROR, decode_content=True) or b""
    response.raw = _Whole(start, raw)
    return start


class _Whole:
    """A body whose first bytes were read, and are returned again."""

    def __init__(self, start: bytes, raw: Any) -> None:
        self._start = start
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, amt: int | None = None, decode_content: bool | None = None, **options: Any) -> bytes:
        start = self._start
        if amt is None:
            self._start = b""
            return start + self._raw.read(decode_content=decode_content, **options)
        if start:
            self._start = start[amt:]
            return start[:amt]
        return self._raw.read(amt, decode_content=decode_content, **options)

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Any:
        start, self._start = self._start, b""
        if start:
            yield start
        yield from self._raw.stream(amt, decode_content=decode_content)

    def __iter__(self) -> Any:
        return self.stream()


def httpx_auth() -> Any:
    """The same for ``httpx``, which is imported only here."""
    try:
        import httpx
    except ImportError as error:
        raise AgeOAuthError("the httpx package is not installed", "python -m pip install httpx") from error

    class OnTheWire(httpx.Headers):
        """Headers whose token is sent, because transports read `raw`, but not copied to the target of a redirect."""

        def __init__(self, headers: Any, token: str) -> None:
            super().__init__(headers)
            self._signature = (HEADER.encode(), f"Bearer {token}".encode())

        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            return [*super().raw, self._signature]

    class HttpxTokenAuth(ById, httpx.Auth):
        """Signs the requests of an ``httpx`` client, as :class:`TokenAuth` does for ``requests``.

        An asynchronous client is blocked while the program runs: some milliseconds every half hour.
        """

        def __init__(self, connection: Any = None, *, connection_id: str | None = None) -> None:
            self._auth = TokenAuth(connection, connection_id=connection_id)

        def _connection_id(self) -> str:
            return self._auth.connection.id

        def _sign(self, request: Any, token: str | None) -> None:
            headers = httpx.Headers(request.headers)
            headers.pop(HEADER, None)
            if token is not None:
                if self._auth._referer:
                    headers["Referer"] = self._auth._referer
                headers = OnTheWire(headers, token)
            request.headers = headers

        def _begin(self, request: Any) -> str | None:
            token = self._auth._policy.token(str(request.url))
            self._sign(request, token)
            return token

        def _again(self, request: Any, response: Any, token: str | None, start: bytes) -> bool:
            """Whether the request, now with another token, is to be sent again."""
            rejected = response.status_code in _REJECTED_TOKEN or error_code(start) in _REJECTED_TOKEN
            # After a redirect, the response is from another host.
            if token is None or not rejected or response.history:
                return False
            self._sign(request, self._auth._policy.instead_of(str(request.url), token))
            return True

        def sync_auth_flow(self, request: Any) -> Any:
            token = self._begin(request)
            response = yield request
            start = b""
            if _is_json(response.headers):
                stream, taken = response.stream, []
                chunks = iter(stream)
                for chunk in chunks:
                    taken.append(chunk)
                    start = _plain(response.headers, b"".join(taken))
                    if not _may_go_on(start):
                        break
                response.stream = Replayed(taken, chunks, stream)
            if self._again(request, response, token, start):
                yield request

        async def async_auth_flow(self, request: Any) -> Any:
            token = self._begin(request)
            response = yield request
            start = b""
            if _is_json(response.headers):
                stream, taken = response.stream, []
                chunks = stream.__aiter__()
                async for chunk in chunks:
                    taken.append(chunk)
                    start = _plain(response.headers, b"".join(taken))
                    if not _may_go_on(start):
                        break
                response.stream = AsyncReplayed(taken, chunks, stream)
            if self._again(request, response, token, start):
                yield request

    class Replayed(httpx.SyncByteStream):
        """A body whose first chunks were read, and are returned again."""

        def __init__(self, taken: list[bytes], rest: Any, stream: Any) -> None:
            self._parts = (taken, rest)
            self._stream = stream

        def __iter__(self) -> Any:
            for part in self._parts:
                yield from part

        def close(self) -> None:
            self._stream.close()

    class AsyncReplayed(httpx.AsyncByteStream):
        """The same."""

        def __init__(self, taken: list[bytes], rest: Any, stream: Any) -> None:
            self._taken, self._rest = taken, rest
            self._stream = stream

        async def __aiter__(self) -> Any:
            for chunk in self._taken:
                yield chunk
            async for chunk in self._rest:
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    # The name under which pickles find it.
    HttpxTokenAuth.__module__, HttpxTokenAuth.__qualname__ = "age_oauth", "HttpxTokenAuth"
    return HttpxTokenAuth


def _is_json(headers: Any) -> bool:
    return "json" in headers.get("Content-Type", "").lower()


def _plain(headers: Any, start: bytes) -> bytes:
    """The first bytes of a body, decompressed; empty if the compression is not known here."""
    packed = headers.get("Content-Encoding", "identity").lower()
    if packed == "identity":
        return start
    if packed != "gzip":
        return b""
    import zlib

    try:
        return zlib.decompressobj(wbits=31).decompress(start, _ERROR)
    except zlib.error:
        return b""


def _may_go_on(start: bytes) -> bool:
    """Whether these bytes are the beginning of an error that is not complete yet."""
    return b'"error"' in start[:64] and len(start) < _ERROR and error_code(start) is None
