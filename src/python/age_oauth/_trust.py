"""What a connection trusts, for ``ssl``: the system's certificate authorities and the file of the connection, or at the portal
exactly one certificate."""

from __future__ import annotations

import os

from . import _addresses as addresses
from . import _json_names as names
from .connections import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

#: The program's copy of the one certificate that a connection trusts at the portal
#: (``--verify-ssl pin:FILE``).
_PINNED = "pinned.pem"


def context(facts: "dict[str, Any]") -> ssl.SSLContext:
    """A new context for the settings of a connection."""
    import ssl

    verified, bundle = trust(facts[names.VERIFY_SSL])
    is_pin = is_pinned(bundle)
    made = pinning(facts, ssl.SSLContext) if is_pin else ssl.create_default_context()
    made.load_verify_locations(_certifi())
    if bundle is not None and not is_pin:
        made.load_verify_locations(bundle)
    if not verified:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def pinning(facts: "dict[str, Any]", kind: "type[ssl.SSLContext]") -> ssl.SSLContext:
    """A new context of this kind for a connection with a pinned certificate, with the system's authorities for other hosts."""
    import ssl

    from . import _pinned

    _, bundle = trust(facts[names.VERIFY_SSL])
    made = _pinned.context(str(bundle), addresses.origin(facts[names.API_URL])[1], kind)
    made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return made


def is_pinned(bundle: "str | None") -> bool:
    return bundle is not None and os.path.basename(bundle) == _PINNED


def for_requests(facts: "dict[str, Any]") -> "bool | str":
    """The value of ``verify`` that adds nothing to such a context. With ``True``, some versions of ``requests`` take a context
    of their own."""
    verified, bundle = trust(facts[names.VERIFY_SSL])
    if not verified:
        return False
    return bundle if bundle is not None and not is_pinned(bundle) else _certifi()


def _certifi() -> str:
    import certifi

    return certifi.where()
