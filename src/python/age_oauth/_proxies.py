"""Proxies of the environment, and the login that their address holds, as the program reads it. Other packages read a part of
some passwords as the host."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from . import _addresses as addresses
from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What an address that cannot be read is answered with. It never repeats the address, which may
#: hold a password.
_UNREADABLE = "the address of a proxy cannot be read"
_HOW_TO_WRITE = (
    "write http://USER:PASSWORD@HOST:PORT, for example in HTTPS_PROXY, with special characters of the user name and the "
    "password percent-encoded, for example %40 for @ and %5C for \\"
)

#: What no host and port have. They are the rest of a password, or of a ``DOMAIN\\user`` whose
#: ``@`` is missing.
_NO_ADDRESS = re.compile(r"[\\?#\s]")


def of_the_environment(url: str) -> "str | None":
    """The proxy that the environment, or the system's settings, name for this address, as :func:`readable` writes it."""
    from urllib.request import getproxies, proxy_bypass

    scheme, host, port = addresses.origin(url)
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or is_excepted(url) or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    return readable(proxy)


def is_excepted(url: str) -> bool:
    """Whether ``NO_PROXY`` names the host. ``urllib`` and ``requests`` do not know all forms, such as ``*.example.org``.
    ``tests/proxies.json`` is the test of this and of the program's ``src/http/proxy.rs``."""
    import os

    _, host, port = addresses.origin(url)
    entries = re.split("[, ]+", os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")
    return any(one == "*" or _names(one, host.rstrip("."), port) for one in entries if one)


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` names this host: a network, or a domain or an address with or without a port."""
    import ipaddress

    address = _address(host)
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    found = re.fullmatch(r"(\[.*\]|[^:]*):([0-9]+)", entry)
    name, only = (found[1], int(found[2])) if found else (entry, port)
    if only != port:
        return False
    if address is not None:
        return _address(name.strip("[]")) == address
    name = name.lstrip("*").strip(".").lower()
    return name != "" and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> "Any":
    """The IP address that this is, if it is one."""
    import ipaddress

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def readable(proxy: str) -> str:
    """The same address, with its login percent-encoded, so that every package reads it as the program does.

    It is ``[http://][user[:password]@]host[:port]``. The user name and the password may contain any character, also ``@``,
    ``/`` and ``\\``; both may be percent-encoded. ``tests/proxies.json`` is the test of this and of the program's
    ``src/http/proxy.rs``.
    """
    proxy = proxy.strip()
    scheme, rest = _without_scheme(proxy)
    if scheme not in ("http", "https"):
        return proxy  # Such as `socks5`, whose logins are not decoded.
    login, at, address = rest.rpartition("@")
    try:
        parts = urlsplit(f"http://{address}")
        host, _ = parts.hostname, parts.port
        proxy.encode("utf-8")
    except ValueError:
        host = None
    if not host or parts.path not in ("", "/") or _NO_ADDRESS.search(address):
        raise UsageError(_UNREADABLE, _HOW_TO_WRITE)
    return f"{scheme}://{_encoded(login)}{at if login else ''}{address.rstrip('/')}"


def chosen(url: str, proxies: "Any", *, follows_environment: bool = False) -> "Any":
    """The proxies of a request of ``requests``, without those that it does not use. If it follows the environment, that is
    none for a host that ``NO_PROXY`` names, also in a form that ``requests`` does not know."""
    from urllib.request import getproxies

    from requests.utils import select_proxy

    proxy = select_proxy(url, proxies)
    if not proxy:
        return {}
    # A proxy that the caller named for this request is used, whatever the environment says.
    if follows_environment and is_excepted(url) and proxy in getproxies().values():
        return {}
    return {"all": readable(proxy)}


def authorization(proxy: str) -> "dict[str, str]":
    """The header with the login of a readable address. ``requests`` encodes it as Latin-1, and only one with a password."""
    import base64

    login = urlsplit(proxy).netloc.rpartition("@")[0]
    if not login:
        return {}
    return {"Proxy-Authorization": "Basic " + base64.b64encode(unquote_to_bytes(login)).decode("ascii")}


def _without_scheme(proxy: str) -> "tuple[str, str]":
    """The scheme, ``http`` where there is none, and what follows it. A password may contain ``://``."""
    scheme, separator, rest = proxy.partition("://")
    if separator and re.fullmatch("[A-Za-z0-9]+", scheme):
        return scheme.lower(), rest
    return "http", proxy


def _encoded(login: str) -> str:
    if not login:
        return ""
    user, _, password = login.partition(":")
    return ":".join(quote(unquote_to_bytes(one), safe="") for one in (user, password))
