"""Certificate authorities for ``ssl``, from the same places as the program's: the system's, and those that variables of the
environment add. OpenSSL would take what the variables name in place of the system's, and wait for a FIFO there."""

from __future__ import annotations

import base64
import os
import re
import ssl
import sys

from . import _files
from .errors import AgeOAuthWarning, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Where Linux distributions and BSDs keep their own bundle. The program has the same list.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)

#: Variables that name a file of certificates to trust; the first that can be read applies.
_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

#: A variable that names folders of them, separated as in ``PATH``.
_FOLDERS = "SSL_CERT_DIR"

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def add_to(context: ssl.SSLContext) -> None:
    """Lets a context trust the authorities of the system and of the environment."""
    add(context, [*_of_the_system(), *_of_the_environment()])


def add(context: ssl.SSLContext, certificates: "Iterable[bytes]") -> None:
    """Lets a context trust these. One that OpenSSL cannot read is left out, as by the program."""
    certificates = list(dict.fromkeys(certificates))
    try:
        context.load_verify_locations(cadata=b"".join(certificates))
    except (ssl.SSLError, ValueError):
        for one in certificates:
            try:
                context.load_verify_locations(cadata=one)
            except (ssl.SSLError, ValueError):
                continue


def read(path: str) -> "list[bytes]":
    """The certificates of a file, which is PEM or one certificate in DER. Without one, it is an :class:`OSError`."""
    data = _as_text_of_pem(_files.read(path))
    if b"-----BEGIN " not in data:
        found = [data] if _is_certificate(data) else []
    else:
        found = list(filter(None, map(_decoded, _PEM.findall(data))))
    if not found:
        raise OSError(0, "it does not contain a certificate")
    return found


def _as_text_of_pem(data: bytes) -> bytes:
    """UTF-16, as editors of Windows write it, and the characters ``\\n`` in place of line ends: as the program reads them."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode("utf-8")
    if b"-----\\n" in data or b"-----\\r\\n" in data:
        data = data.replace(b"\\r\\n", b"\n").replace(b"\\n", b"\n")
    return data


def _is_certificate(data: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _of_the_system() -> "list[bytes]":
    if sys.platform == "win32":
        return _of_windows()
    defaults = ssl.get_default_verify_paths()
    # That file is Apple's own, which no administrator changes.
    bundles = () if sys.platform == "darwin" else _SYSTEM_BUNDLES
    for path in (*bundles, defaults.openssl_cafile):
        found = _readable(path)
        if found:
            return found
    # Python for macOS from python.org has none.
    return _in_folder(defaults.openssl_capath) or read(_certifi())


def _of_windows() -> "list[bytes]":
    """The authorities in the stores of Windows. It gets most of its own when a program of the system needs them first: in
    place of those, what ``certifi`` has, except what an administrator distrusts."""
    trusted = [*_of_store("ROOT"), *_of_store("CA")]
    distrusted = {one for one, _ in _entries("Disallowed")}
    return [one for one in (*trusted, *read(_certifi())) if one not in distrusted]


def _of_store(name: str) -> "list[bytes]":
    purpose = ssl.Purpose.SERVER_AUTH.oid
    return [one for one, purposes in _entries(name) if purposes is True or purpose in purposes]


def _entries(store: str) -> "list[tuple[bytes, bool | frozenset[str]]]":
    """The certificates of a store of Windows, and what each is trusted for: ``True`` is everything."""
    enumerate_store = getattr(ssl, "enum_certificates", None)
    if enumerate_store is None:
        return []
    try:
        return [(one, purposes) for one, form, purposes in enumerate_store(store) if form == "x509_asn"]
    except OSError:
        return []


def _of_the_environment() -> "list[bytes]":
    found: "list[bytes]" = []
    for variable in _FILES:
        path = os.environ.get(variable)
        if not path:
            continue
        try:
            found = read(path)
            break
        except OSError as error:
            warn(f"{variable} names {path}, which was not read: {error.strerror or error}", AgeOAuthWarning)
    for folder in filter(None, os.environ.get(_FOLDERS, "").split(os.pathsep)):
        found += _in_folder(folder)
    return found


def _readable(path: "str | None") -> "list[bytes]":
    """The certificates of a file; empty where it cannot be used."""
    if not path:
        return []
    try:
        return read(path)
    except OSError:
        return []


def _in_folder(folder: "str | None") -> "list[bytes]":
    """The certificates in all files of a folder, which together are not larger than one bundle may be."""
    found: "dict[bytes, None]" = {}
    left = _files.LARGEST
    try:
        names = sorted(os.listdir(folder)) if folder else []
    except OSError:
        return []
    for name in names:
        more = _readable(os.path.join(folder or "", name))
        left -= sum(map(len, more))
        if left < 0:
            break
        found.update(dict.fromkeys(more))
    return list(found)


def _certifi() -> str:
    import certifi

    return certifi.where()
