"""``httpx`` clients whose requests get through the web server in front of a portal. Imported only where one is made."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx

from . import _json_names as names
from ._gis_options import prefixes
from ._httpx import HttpxTokenAuth, _in_thread
from ._policy import proxy_of_the_environment
from ._presented import Presented
from .connections import trust
from .errors import UsageError

if TYPE_CHECKING:
    from .connection import Connection


def client(connection: Connection, options: dict[str, Any]) -> httpx.Client:
    return httpx.Client(**_settings(connection, options, PortalTransport))


def async_client(connection: Connection, options: dict[str, Any]) -> httpx.AsyncClient:
    return httpx.AsyncClient(**_settings(connection, options, AsyncPortalTransport))


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
        value = await _in_thread(_authorization, self.presented, request)
        return await super().handle_async_request(_with(request, value))


def _settings(connection: Connection, options: dict[str, Any], transport: Any) -> dict[str, Any]:
    for name in ("auth", "verify", "cert"):
        if name in options:
            raise UsageError(f"`{name}` is decided by the connection `{connection.label}`")
    proxy = connection._facts[names.PROXY]
    settings: dict[str, Any] = {"auth": HttpxTokenAuth(connection), "verify": _context(connection), "trust_env": proxy == "system"}
    if proxy not in ("system", "none"):
        settings["proxy"] = proxy
    presented = Presented(connection)
    if presented:
        own = transport(verify=_context(connection, presented), proxy=_proxy(connection.api_url, proxy))
        own.presented = presented
        mounts = dict.fromkeys((prefix.rstrip("/") for prefix in prefixes(connection.api_url)), own)
        settings["mounts"] = {**mounts, **options.pop("mounts", {})}
    return {**settings, **options}


def _context(connection: Connection, presented: "Presented | None" = None) -> ssl.SSLContext:
    verified, bundle = trust(connection._facts[names.VERIFY_SSL])
    if bundle is not None:
        context = ssl.create_default_context(cafile=bundle)
    else:
        context = httpx.create_ssl_context(verified)
    if presented is not None:
        presented.check(verified)
        presented.load_certificate(context)
    return context


def _proxy(url: str, proxy: str) -> "str | None":
    if proxy == "system":
        return proxy_of_the_environment(url)
    return None if proxy == "none" else proxy


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
