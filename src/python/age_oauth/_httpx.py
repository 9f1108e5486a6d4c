"""Tokens for ``httpx``. Only this module imports it."""

from __future__ import annotations

from typing import Any

import httpx

from . import _by_id, _rejection
from ._by_id import ById
from ._http import HEADER, TokenAuth


class HttpxTokenAuth(ById, httpx.Auth):
    """Signs the requests of an ``httpx`` client, as :class:`TokenAuth` does for ``requests``.

    An asynchronous client never waits for the program: a thread does.
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
            headers = _OnTheWire(headers, token)
        request.headers = headers

    def sync_auth_flow(self, request: Any) -> Any:
        policy = self._auth._policy
        token = policy.token(str(request.url))
        self._sign(request, token)
        failure = policy.failure(str(request.url)) if token is None else None
        response = yield request
        for _ in range(_rejection.STEPS):
            start = _beginning(response) if (token or failure) and _may_be_rejection(response) else b""
            if not _is_rejection(response, start):
                return
            if failure is not None:
                raise failure
            if token is None or not _is_repeatable(request):
                return
            was, token = token, policy.instead_of(str(request.url), token)
            if token is None or token == was:
                return
            self._sign(request, token)
            response = yield request

    async def async_auth_flow(self, request: Any) -> Any:
        if "_auth" not in self.__dict__:
            # It was unpickled or copied: its first use starts the program.
            await _in_thread(getattr, self, "_auth")
        policy, url = self._auth._policy, str(request.url)
        known, token = policy.at_once(url)
        if not known:
            token = await _in_thread(policy.token, url)
        self._sign(request, token)
        failure = policy.failure(url) if token is None else None
        response = yield request
        for _ in range(_rejection.STEPS):
            start = await _async_beginning(response) if (token or failure) and _may_be_rejection(response) else b""
            if not _is_rejection(response, start):
                return
            if failure is not None:
                raise failure
            if token is None or not _is_repeatable(request):
                return
            was, token = token, await _in_thread(policy.instead_of, url, token)
            if token is None or token == was:
                return
            self._sign(request, token)
            response = yield request


# The name under which users and pickles know it.
HttpxTokenAuth.__module__ = "age_oauth"


#: So many requests wait for the program at a time; others wait for these.
THREADS = 32

#: Threads of our own: the loop's also look up names, for every client of the process.
_executors: dict[str, Any] = {}
_by_id.at_fork.append(_executors.clear)


def _executor(name: str, threads: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    # Setting a default is one step, also for several threads.
    return _executors.get(name) or _executors.setdefault(name, ThreadPoolExecutor(threads, f"age-oauth {name}"))


async def _in_thread(call: Any, *arguments: Any, name: str = "tokens", threads: int = THREADS) -> Any:
    import asyncio
    from contextvars import copy_context

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # Another loop, such as trio's.
        import anyio.to_thread

        return await anyio.to_thread.run_sync(call, *arguments)
    return await loop.run_in_executor(_executor(name, threads), copy_context().run, call, *arguments)


class _OnTheWire(httpx.Headers):
    """Headers whose token is sent, because transports read `raw`, but not copied to the target of a redirect."""

    def __init__(self, headers: Any, token: str) -> None:
        super().__init__(headers)
        self._signature = (HEADER.encode(), f"Bearer {token}".encode())

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return [*super().raw, self._signature]

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle of a request or response holds no token.
        return httpx.Headers, (super().raw,)


def _may_be_rejection(response: Any) -> bool:
    return not _was_redirected(response) and _rejection.may_be_error(response.headers.get("Content-Type", ""))


def _was_redirected(response: Any) -> bool:
    """Whether the response is from another address. The history also holds rejections by the same one."""
    return any(one.has_redirect_location for one in response.history)


def _is_rejection(response: Any, start: bytes) -> bool:
    if _was_redirected(response):
        return False
    return response.status_code in _rejection.CODES or _rejection.error_code(start) in _rejection.CODES


def _is_repeatable(request: Any) -> bool:
    """Whether the body can be sent a second time as it was the first time."""
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        return True
    fields = getattr(stream, "fields", None)
    if fields is None:
        return False
    # A form with files: `httpx` reads each from its beginning, if that is possible.
    return all(_is_text(one) or _is_seekable(one) for one in (getattr(field, "file", b"") for field in fields))


def _is_text(value: Any) -> bool:
    return isinstance(value, (bytes, str))


def _is_seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, OSError, ValueError):
        return False


class _Seen:
    """The chunks of a body that were looked at."""

    def __init__(self, response: Any) -> None:
        self.chunks: list[bytes] = []
        self.start = b""
        self._encoding = response.headers.get("Content-Encoding", "")

    def add(self, chunk: bytes) -> bool:
        """Whether the next one is needed, too."""
        self.chunks.append(chunk)
        start = _rejection.plain(self._encoding, b"".join(self.chunks))
        self.start = start or b""
        return start is not None and _rejection.may_go_on(start)


def _beginning(response: Any) -> bytes:
    """The first bytes of a body. The caller still gets the whole body."""
    stream, seen = response.stream, _Seen(response)
    chunks = iter(stream)
    for chunk in chunks:
        if not seen.add(chunk):
            break
    response.stream = _Replayed(seen.chunks, chunks, stream)
    return seen.start


async def _async_beginning(response: Any) -> bytes:
    stream, seen = response.stream, _Seen(response)
    chunks = stream.__aiter__()
    async for chunk in chunks:
        if not seen.add(chunk):
            break
    response.stream = _AsyncReplayed(seen.chunks, chunks, stream)
    return seen.start


class _Replayed(httpx.SyncByteStream):
    """A body whose first chunks were read, and are returned again."""

    def __init__(self, taken: list[bytes], rest: Any, stream: Any) -> None:
        self._parts = (taken, rest)
        self._stream = stream

    def __iter__(self) -> Any:
        for part in self._parts:
            yield from part

    def close(self) -> None:
        self._stream.close()


class _AsyncReplayed(httpx.AsyncByteStream):
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
