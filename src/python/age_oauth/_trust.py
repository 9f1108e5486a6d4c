"""What a connection trusts, for ``ssl``: the system's certificate authorities and the file of the connection, or at the portal
exactly one certificate."""

from __future__ import annotations

import os

from . import _addresses as addresses
from . import _json_names as names
from .connections import trust
from .errors import UsageError

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

    from . import _authorities

    verified, bundle = trust(facts[names.VERIFY_SSL])
    is_pin = is_pinned(bundle)
    made = pinning(facts, ssl.SSLContext) if is_pin else system()
    if bundle is not None and not is_pin:
        _authorities.add(made, _of_the_connection(bundle, facts))
    if not verified:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def system() -> ssl.SSLContext:
    """A new context that trusts the authorities of the system and of the environment."""
    import ssl
    import sys

    from . import _authorities

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # As `ssl.create_default_context`.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    _authorities.add_to(made)
    return made


def pinning(facts: "dict[str, Any]", kind: "type[ssl.SSLContext]") -> ssl.SSLContext:
    """A new context of this kind for a connection with a pinned certificate, with the system's authorities for other hosts."""
    from . import _authorities, _pinned

    _, bundle = trust(facts[names.VERIFY_SSL])
    made = _pinned.context(str(bundle), addresses.origin(facts[names.API_URL])[1], kind)
    _authorities.add_to(made)
    return made


def _of_the_connection(bundle: str, facts: "dict[str, Any]") -> "list[bytes]":
    """The authorities in the program's copy of the file of ``--verify-ssl``."""
    from . import _authorities

    try:
        return _authorities.read(bundle)
    except OSError as error:
        raise unreadable(bundle, facts[names.CONNECTION], facts[names.ID], error).caused_by(error) from None


def unreadable(bundle: str, label: str, connection_id: str, error: OSError) -> UsageError:
    """The error for such a file that cannot be read."""
    return UsageError(
        f"the certificates that `{label}` trusts cannot be read: {bundle}: {error.strerror or error}",
        f"age-oauth connections edit {connection_id} --verify-ssl FILE",
    )


def is_pinned(bundle: "str | None") -> bool:
    return bundle is not None and os.path.basename(bundle) == _PINNED


def is_verified(facts: "dict[str, Any]") -> bool:
    """Whether certificates are verified."""
    return trust(facts[names.VERIFY_SSL])[0]
