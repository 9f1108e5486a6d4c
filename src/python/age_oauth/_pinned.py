"""The TLS context of a connection with a pinned certificate. At the host that it was pinned for, exactly this certificate is
accepted; it is an authority nowhere."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import Any

from . import _files
from .errors import AgeOAuthError

#: A flag of OpenSSL: a certificate that is trusted ends a chain, also if it is not an authority.
_PARTIAL_CHAIN = 0x80000


def context(path: str, host: str, kind: "type[ssl.SSLContext]") -> ssl.SSLContext:
    """A new context of this kind, without authorities, which decides about all hosts but this one."""
    own = _of_the_pin(_certificate(path))

    class Pinning(kind):  # type: ignore[misc, valid-type]
        """Has a context of its own for the host of the pin. What is set here for other hosts has no influence on that."""

        def wrap_socket(
            self,
            sock: Any,
            server_side: bool = False,
            do_handshake_on_connect: bool = True,
            suppress_ragged_eofs: bool = True,
            server_hostname: Any = None,
            session: Any = None,
        ) -> Any:
            wrap = own.wrap_socket if _is_same(server_hostname, host) else super().wrap_socket
            return wrap(sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname, session)

        def wrap_bio(
            self, incoming: Any, outgoing: Any, server_side: bool = False, server_hostname: Any = None, session: Any = None
        ) -> Any:
            wrap = own.wrap_bio if _is_same(server_hostname, host) else super().wrap_bio
            return wrap(incoming, outgoing, server_side, server_hostname, session)

        def set_alpn_protocols(self, *arguments: Any, **options: Any) -> None:
            own.set_alpn_protocols(*arguments, **options)
            super().set_alpn_protocols(*arguments, **options)

        def load_cert_chain(self, *arguments: Any, **options: Any) -> None:
            own.load_cert_chain(*arguments, **options)
            super().load_cert_chain(*arguments, **options)

    return Pinning(ssl.PROTOCOL_TLS_CLIENT)


def _of_the_pin(certificate: bytes) -> ssl.SSLContext:
    """A context that accepts this certificate alone, whatever names it has. OpenSSL verifies its dates, and that the server
    has its key."""
    # `truststore` may have taken the place of `ssl.SSLContext`. It would ask the system, and ignore
    # the classes below.
    original = next(one for one in ssl.SSLContext.__mro__ if one.__module__ == "ssl")
    made = original(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    of_openssl: Any = original.__mro__[1]
    of_openssl.verify_flags.__set__(made, int(made.verify_flags) | _PARTIAL_CHAIN)
    made.load_verify_locations(cadata=certificate)

    def check(tls: Any) -> None:
        if tls.getpeercert(True) != certificate:
            raise ssl.SSLCertVerificationError(1, "the server shows another certificate than the one that is pinned")

    class Socket(ssl.SSLSocket):
        def do_handshake(self, *arguments: Any, **options: Any) -> None:
            super().do_handshake(*arguments, **options)
            check(self)

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self)

    made.sslsocket_class, made.sslobject_class = Socket, Object
    return made


def _certificate(path: str) -> bytes:
    """The first certificate of the file, which is the pinned one."""
    try:
        text = _files.read(path).decode("ascii", "replace")
        found = re.search("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
        return ssl.PEM_cert_to_DER_cert(found.group() if found else "")
    except (OSError, ValueError) as error:
        raise AgeOAuthError(f"the pinned certificate {path} cannot be read: {error}", "age-oauth doctor").caused_by(error) from None


def _is_same(name: "str | bytes | None", host: str) -> bool:
    """Whether both are the same host, which may be an IP address."""
    if isinstance(name, (bytes, bytearray)):
        name = name.decode("ascii", "replace")
    if not name:
        return False
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        return name.lower() == host.lower()
