"""A ``requests`` session whose requests get through the web server in front of a portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from . import _json_names as names
from ._gis_options import prefixes
from ._http import TokenAuth
from ._presented import Presented, Sensitive
from .connections import trust

if TYPE_CHECKING:
    from .connection import Connection


class Presenting:
    """A part of a transport adapter of ``requests``, before ``HTTPAdapter`` in the list of base classes. It is mounted for the
    portal's own scheme, host and port."""

    #: ``None`` for other addresses than the portal's.
    presented: "Presented | None" = None

    #: The connection's certificate authority; ``None`` if the caller's settings decide that.
    bundle: "str | None" = None

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        sent = request
        if self.presented is not None and self.presented.belongs_to(request.url):
            self.presented.check(verify)
            if self.bundle is not None:
                # `REQUESTS_CA_BUNDLE` would take its place.
                verify = self.bundle
            value = self.presented.authorization(request.body is not None)
            if value is not None:
                sent = request.copy()
                sent.headers["Authorization"] = Sensitive(value)
        response = super().send(sent, stream, timeout, verify, cert, proxies)  # type: ignore[misc]
        response.request = request
        return response


class PortalAdapter(Presenting, HTTPAdapter):
    """For the portal's own scheme, host and port."""

    presented: Presented

    def __init__(self, presented: Presented, bundle: "str | None") -> None:
        self.presented, self.bundle = presented, bundle
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        from urllib3.util.ssl_ import create_urllib3_context

        context = create_urllib3_context()
        if self.presented.load_certificate(context):
            options["ssl_context"] = context
        super().init_poolmanager(*arguments, **options)

    def __reduce__(self) -> "tuple[Any, ...]":
        return PortalAdapter, (self.presented, self.bundle)


def session(connection: Connection) -> requests.Session:
    """A session with the settings of the connection."""
    made = requests.Session()
    made.auth = TokenAuth(connection)
    facts = connection._facts
    verified, bundle = trust(facts[names.VERIFY_SSL])
    made.verify = bundle if bundle is not None else verified
    proxy = facts[names.PROXY]
    if proxy != "system":
        made.trust_env = False
        if proxy != "none":
            made.proxies = {"http": proxy, "https": proxy}
    presented = Presented(connection)
    if presented:
        adapter = PortalAdapter(presented, bundle)
        for prefix in prefixes(connection.api_url):
            made.mount(prefix, adapter)
    return made
