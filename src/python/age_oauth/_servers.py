"""The ArcGIS Servers that a portal lists as its own. No other host leads to a request at the portal."""

from __future__ import annotations

import time

from . import _addresses as addresses
from . import _program
from ._background import Question, Run
from .errors import AgeOAuthError, PortalRefused, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .connection import Connection

#: The list is read again after so many seconds.
AGE = 3600.0

#: The first list is waited for until so many seconds after the connection was enabled.
FIRST_WAIT = 10.0

#: The fields of a server that hold its addresses: for everybody, and for its administrators.
_FIELDS = ("url", "adminUrl")


class Servers:
    """The roots of the servers of one connection: those that are named, and those that the portal lists."""

    def __init__(self, connection: Connection, named: "Iterable[str]", ended: "Callable[[Run], None]") -> None:
        self._connection = connection
        self._named = frozenset(_named_root(one) for one in named)
        self._listed: "frozenset[str] | None" = None
        self._read_at = 0.0
        self._begun = time.monotonic()
        self.question = Question(self._read, ended, retries=True)

    def covers(self, server: str, longest_wait: float) -> "bool | None":
        """Whether this is the root of one of the portal's servers; ``None`` if the portal has not answered yet.

        The first list is waited for, and no other: requests to hosts that have nothing to do with the portal wait, too.
        """
        if server in self._named:
            return True
        listed = self._listed
        if listed is None:
            run = self.question.run()
            run.wait(self._begun + min(longest_wait, FIRST_WAIT) - time.monotonic())
            listed = self._listed
        elif time.monotonic() - self._read_at > AGE:
            self.question.run()
        return None if listed is None else server in listed

    def _read(self) -> "AgeOAuthError | None":
        """Reads the list. Returns what a person should know about it."""
        notice = None
        try:
            listed = roots(_program.portal_answer(self._connection.id, "portals/self/servers"))
        except PortalRefused:
            # It will refuse the next time, too: the list is empty until it is old.
            listed = frozenset()
            if not self._named:
                notice = PortalRefused(
                    f"the portal of `{self._connection.label}` does not list its servers for this user, so layers on federated "
                    "servers are not signed",
                    'name the servers: age_oauth.qgis.enable("NAME", servers=["https://HOST/SERVER"])',
                )
        self._listed, self._read_at = listed, time.monotonic()
        return notice


def roots(answer: "Any") -> "frozenset[str]":
    """The roots of the servers in an answer of the portal. Only those that a token may travel to count."""
    servers = answer.get("servers") if isinstance(answer, dict) else None
    if not isinstance(servers, list):
        raise AgeOAuthError("the portal's list of servers cannot be read")
    found = set()
    for server in servers:
        for field in _FIELDS:
            url = server.get(field) if isinstance(server, dict) else None
            root = _root(url) if isinstance(url, str) else None
            if root is not None:
                found.add(root)
    return frozenset(found)


def _root(url: str) -> "str | None":
    """The root of a server, in the form that :func:`_addresses.root` gives for every address on it."""
    try:
        if addresses.origin(url)[0] != "https" or not addresses.origin(url)[1] or not addresses.is_plain(url):
            return None
        return addresses.root(url.rstrip("/") + "/rest/services")
    except ValueError:
        return None


def _named_root(url: str) -> str:
    root = _root(url) if isinstance(url, str) else None
    if root is None:
        raise UsageError("`servers` is a list of https addresses, such as https://gis.example.com/server")
    return root
