"""``httpx`` clients whose requests get through the web server in front of a portal. Imported only where one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from . import _proxies, _trust
from . import _addresses as addresses
from . import _json_names as names
from ._gis_options import prefixes
from ._httpx import HttpxTokenAuth, _in_thread
from ._presented import Presented
from ._session import python_command
from .errors import AgeOAuthError, UsageError

if TYPE_CHECKING:
    from .connection import Connection


def client(connection: Connection, options: dict[str, Any]) -> httpx.Client:
    return httpx.Client(**_settings(connection, options, PortalTransport, SystemTransport))


def async_client(connection: Connection, options: dict[str, Any]) -> httpx.AsyncClient:
    return httpx.AsyncClient(**_settings(connection, options, AsyncPortalTransport, AsyncSystemTransport))


class PortalTransport(httpx.HTTPTransport):
    """For the portal's own scheme, host and port."""

    presented: Presented

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        value = _authorization(self.presented, request)
        return super().handle_request(_with(request, value))


class AsyncPortalTransport(httpx.AsyncHTTPTransport):
    """The same. The program is waited for by a thread."""

    presented: Presented

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        value = await _answered(self.presented, request)
        return await super().handle_async_request(_with(request, value))


class SystemTransport(httpx.BaseTransport):
    """Through the proxy that the environment, or the system's settings, name for an address."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._by_proxy: dict[str | None, httpx.HTTPTransport] = {}
        #: The proxies of origins. On Windows each question may wait for DNS.
        self._chosen: dict[tuple[str, str, int], str | None] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        origin = addresses.origin(url)
        if origin not in self._chosen:
            self._chosen[origin] = _proxies.of_the_environment(url)
        proxy = self._chosen[origin]
        if proxy not in self._by_proxy:
            self._by_proxy.setdefault(proxy, httpx.HTTPTransport(proxy=proxy, **self._options))
        return self._by_proxy[proxy].handle_request(request)

    def close(self) -> None:
        for one in self._by_proxy.values():
            one.close()


class AsyncSystemTransport(httpx.AsyncBaseTransport):
    """The same."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._by_proxy: dict[str | None, httpx.AsyncHTTPTransport] = {}
        self._chosen: dict[tuple[str, str, int], str | None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        origin = addresses.origin(url)
        if origin not in self._chosen:
            self._chosen[origin] = await _in_thread(_proxies.of_the_environment, url)
        proxy = self._chosen[origin]
        if proxy not in self._by_proxy:
            self._by_proxy[proxy] = httpx.AsyncHTTPTransport(proxy=proxy, **self._options)
        return await self._by_proxy[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        for one in self._by_proxy.values():
            await one.aclose()


#: What the connection decides.
_DECIDED = ("auth", "verify", "cert", "proxy", "proxies", "transport", "trust_env")

#: Options of a client that its transports have, too.
_SHARED = ("http1", "http2", "limits")


def _settings(connection: Connection, options: dict[str, Any], transport: Any, by_system: Any) -> dict[str, Any]:
    if _version(httpx.__version__) < (0, 26):
        raise AgeOAuthError(
            f"httpx {httpx.__version__} is too old: 0.26 or newer is needed", f"{python_command()} -m pip install -U httpx"
        )
    for name in _DECIDED:
        if name in options:
            raise UsageError(f"`{name}` is decided by the connection `{connection.label}`")
    facts = connection._facts
    proxy = facts[names.PROXY]
    context = _trust.context(facts)
    shared = {name: options[name] for name in _SHARED if name in options}
    settings: dict[str, Any] = {
        "auth": HttpxTokenAuth(connection),
        "verify": context,
        "trust_env": proxy == "system",
    }
    if proxy == "system":
        settings["transport"] = by_system(verify=context, trust_env=False, **shared)
    elif proxy != "none":
        settings["proxy"] = proxy
    presented = Presented(connection)
    if presented:
        presented.check(_trust.is_verified(facts))
        context = _trust.context(facts)
        presented.load_certificate(context)
        own = transport(verify=context, proxy=_proxy(connection.api_url, proxy), **shared)
        own.presented = presented
        mounts = dict.fromkeys((prefix.rstrip("/") for prefix in prefixes(connection.api_url)), own)
        settings["mounts"] = {**mounts, **(options.pop("mounts", None) or {})}
    return {**settings, **options}


def _version(text: str) -> "tuple[int, ...]":
    """The first two numbers of a version, which may go on with letters: ``1.0rc1``."""
    import re

    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _proxy(url: str, proxy: str) -> "str | None":
    if proxy == "system":
        return _proxies.of_the_environment(url)
    return None if proxy == "none" else proxy


async def _answered(presented: Presented, request: httpx.Request) -> "str | None":
    # The answers come one after the other, so one thread is enough.
    return await _in_thread(_authorization, presented, request, name="web-tier", threads=1)


def _authorization(presented: Presented, request: httpx.Request) -> "str | None":
    if not presented.belongs_to(str(request.url)):
        return None
    return presented.authorization(_has_body(request))


def _has_body(request: httpx.Request) -> bool:
    return request.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in request.headers


def _with(request: httpx.Request, authorization: "str | None") -> httpx.Request:
    """The request as it leaves. What the caller sees of it has no answer to a sign-in."""
    if authorization is None:
        return request
    headers = httpx.Headers(request.headers.raw)
    headers["Authorization"] = authorization
    return httpx.Request(request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions)
