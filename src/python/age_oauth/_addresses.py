"""Addresses: what every program reads in one alike, and which ArcGIS Server one is on. Only the standard library."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes, urlsplit

_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


def is_http_within_this_machine(url: str) -> bool:
    """Whether the address is on this machine, without TLS."""
    scheme, host, _ = origin(url)
    return scheme == "http" and host in ("localhost", "127.0.0.1", "::1")


def may_carry(url: str) -> bool:
    """Whether a token may travel to this address at all: by TLS, or within this machine."""
    return origin(url)[0] == "https" or is_http_within_this_machine(url)


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


def decoded(path: str) -> str:
    """A path that does not climb, as the server reads it that decodes the most."""
    for _ in range(_DECODINGS):
        path = unquote(path)
    return path


def is_plain(url: str) -> bool:
    """Whether every program reads the same host and path in this address, and it holds no user name or password."""
    parts = urlsplit(url)
    return not (climbs(parts.path) or "@" in parts.netloc or "\\" in parts.netloc + parts.path)


#: Hosts of ArcGIS Online: what stands before ``arcgis.com``.
_BELOW_ARCGIS = re.compile(r"((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)\.arcgis\.com")

#: The hosts of ArcGIS Online that are portals.
ONLINE_PORTAL = re.compile(r"www|(dev|devext|qa|qaext)|.+\.maps(|dev|devext|qa|qaext)")


def online(url: str) -> "tuple[str, str] | None":
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
    return _root(url)[0]


def is_of_a_server(url: str) -> bool:
    """Whether the path has the form of an address of an ArcGIS Server."""
    return _root(url)[1]


def _root(url: str) -> tuple[str, bool]:
    scheme, host, port = origin(url)
    host = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{host}" + ("" if port == _PORTS.get(scheme) else f":{port}")
    segments = urlsplit(url).path.rstrip("/").split("/")[1:]
    lower = [segment.lower() for segment in segments]
    pairs = zip(lower, lower[1:])
    end = next((at for at, (one, two) in enumerate(pairs) if one == "rest" and two in _BELOW_REST), None)
    if end is None:
        end = next((at for at, one in enumerate(lower) if one in _BELOW_ROOT), len(lower))
    return "/".join([base, *segments[:end]]), end < len(lower)
