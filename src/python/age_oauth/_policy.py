"""Which request gets which token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import _addresses as addresses
from . import _program, _proxies
from .errors import AgeOAuthError, KeychainUnavailable, PortalRefused, ProgramUnusable, SignInRequired, UsageError

if TYPE_CHECKING:
    from ._provider import Provider, Token

#: How long a refusal of the portal to issue a token for a server is remembered, in seconds.
_MEMORY = 600

#: How long it is remembered that the portal could not be asked, in seconds.
_PAUSE = 30

#: Failures that say nothing about the host that a token is needed for.
_OF_THIS_MACHINE = (KeychainUnavailable, ProgramUnusable)

#: What the portal answers itself.
_SHARING = "/sharing/rest"

#: After so many refused addresses of one form on one host, the portal is not asked about further
#: ones there.
_REFUSALS = 3


class Policy:
    """The token that belongs to an address: the portal's own token for the portal, at its URL and at its API URL, a server
    token for a server that the portal issues tokens for, and none for any other address."""

    def __init__(
        self, provider: Provider, portal_url: str, api_url: "str | None" = None, *, own_proxies: bool = False
    ) -> None:
        self._provider = provider
        self._roots = {_root(url) for url in (portal_url, api_url or portal_url)}
        online = addresses.online(portal_url)
        is_organization = online and not _root(portal_url)[1] and addresses.ONLINE_PORTAL.fullmatch(online[0])
        self._environment = online[1] if online and is_organization else None
        #: Whether the caller decides by itself which requests go through a proxy.
        self._own_proxies = own_proxies
        self._began: "tuple[str, str | None] | None" = None
        #: Servers that the portal issued a token for.
        self._granted: set[str] = set()
        #: Until when the portal is not asked about a server again.
        self._refused: dict[str, float] = {}
        #: Why it could not be asked about a server.
        self._failed: dict[str, AgeOAuthError] = {}
        self._groups: dict[str, set[str]] = {}

    def server(self, url: str) -> str:
        """The root of the server that the address is on; empty for the portal, and for hosts of the same ArcGIS Online."""
        if self._is_below(url, ""):
            return ""
        online = addresses.online(url)
        if online and online[1] == self._environment:
            return ""
        return addresses.root(url)

    def _is_below(self, url: str, folder: str) -> bool:
        """Whether the address is that of this folder of the portal, or below it."""
        path = urlsplit(url).path
        return any(
            addresses.origin(url) == origin and (path == root + folder or path.startswith(f"{root}{folder}/"))
            for origin, root in self._roots
        )

    def may_carry(self, url: str) -> bool:
        """Whether a token may travel to this address at all."""
        return addresses.may_carry(url) and addresses.is_plain(url)

    def token(self, url: str) -> str | None:
        """The token for this address, or ``None`` where none may be sent."""
        if not self.may_carry(url):
            return None
        return self._for(url, None)

    def at_once(self, url: str) -> tuple[bool, str | None]:
        """Whether the answer of :meth:`token` is known without a wait, and the answer."""
        if not self.may_carry(url):
            return True, None
        server = self.server(url)
        if self._is_refused(url, server):
            return True, None
        kept = self._provider.kept(server)
        return (False, None) if kept is None else (True, self._value(url, kept))

    def instead_of(self, url: str, rejected: str) -> str | None:
        """Another one, because the server rejected this."""
        return self._for(url, rejected) if self.may_carry(url) else None

    def _for(self, url: str, rejected: str | None) -> str | None:
        server = self.server(url)
        if self._is_refused(url, server):
            return None
        try:
            if rejected is not None:
                # Below `/sharing/servers`, the portal passes on what a server answers.
                token = self._provider.instead_of(rejected, server, by_portal=self._is_below(url, _SHARING))
            else:
                token = self._provider.token(None, server)
        except SignInRequired:
            raise
        except AgeOAuthError as error:
            if not server or server in self._granted:
                raise
            if isinstance(error, (PortalRefused, UsageError)):
                # The portal issues no token for this server: it is public, or not federated with
                # the portal.
                self._failed.pop(server, None)
                self._remember(url, server)
                return None
            # The question could not be asked. A host that is none of the portal's must not wait
            # for that.
            self._failed[server] = error
            self._refused[server] = time.monotonic() + _PAUSE
            _program.log().warning("requests to `%s` carry no token: %s", addresses.origin(url)[1], error.message)
            if _must_be_told(url, error):
                raise
            return None
        if server:
            self._failed.pop(server, None)
            self._granted.add(server)
        return self._value(url, token)

    def failure(self, url: str) -> AgeOAuthError | None:
        """Why requests to this address carry no token, if it has the form of a server's and the portal could not be asked:
        the error to raise if the server wants a token."""
        if not self.may_carry(url) or not addresses.is_of_a_server(url):
            return None
        error = self._failed.get(self.server(url))
        # Another one for each request, because each gets a traceback.
        return error and type(error)(error.message, error.hint, error.kind)

    def _value(self, url: str, token: Token) -> str:
        self._stays_with_its_user()
        if not self._own_proxies and addresses.is_http_within_this_machine(url) and _proxies.of_the_environment(url) is not None:
            raise UsageError(
                f"the environment sends requests to {url} through a proxy, which would get the token",
                "set NO_PROXY to localhost,127.0.0.1",
            )
        return token.value

    def _stays_with_its_user(self) -> None:
        """Raises an error if the tokens are now for another user or portal than those of the first request."""
        now = getattr(self._provider, "began", None)
        if self._began is None:
            self._began = now
        elif now is not None:
            from ._provider import compare

            compare(self._began, now, "the session", has_keys=self._provider.has_keys)

    def _is_refused(self, url: str, server: str) -> bool:
        if not server:
            return False
        now = time.monotonic()
        if self._refused.get(_group(url), 0) > now:
            return True
        return self._refused.get(server, 0) > now and not _must_be_told(url, self._failed.get(server))

    def _remember(self, url: str, server: str) -> None:
        """Remembers a refusal. A host that has many addresses, none of a server of the portal, costs few questions."""
        until = time.monotonic() + _MEMORY
        self._refused[server] = until
        group = _group(url)
        same = self._groups.setdefault(group, set())
        same.add(server)
        host = addresses.origin(url)
        has_servers = any(host == origin for origin, _ in self._roots) or any(
addresses.origin(one) == host for one in self._granted
        )
        if len(same) >= _REFUSALS and not (has_servers and addresses.is_of_a_server(url)):
            self._refused[group] = until
            same.clear()


def _root(portal_url: str) -> "tuple[tuple[str, str, int], str]":
    return addresses.origin(portal_url), urlsplit(portal_url).path.rstrip("/")


def _must_be_told(url: str, error: "AgeOAuthError | None") -> bool:
    """Whether a request to this address fails with the error. Without a token it might get another answer than with one."""
    return isinstance(error, _OF_THIS_MACHINE) and addresses.is_of_a_server(url)


def _group(url: str) -> str:
    """The host, and whether the address has the form of a server's. A picture there says nothing about a server there."""
    scheme, host, port = addresses.origin(url)
    return f"{'server' if addresses.is_of_a_server(url) else 'other'} {scheme} {host} {port}"
