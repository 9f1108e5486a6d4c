"""The options of ``get_gis`` that do not go to Esri's ``GIS``: those that ``get_gis`` decides itself, and the client
certificate for the web server in front of the portal."""

from __future__ import annotations

import os

from . import _addresses as addresses
from . import _files, _find, _session
from .errors import AgeOAuthError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

#: What the connection decides. ``GIS`` ignores these options, or uses them in its place.
DECIDED = (
    "url",
    "username",
    "password",
    "token",
    "api_key",
    "client_id",
    "client_secret",
    "profile",
    "session",
    "custom_auth",
    "adapter",
)

#: The oldest ``arcgis`` whose sessions can be signed in; also in ``pyproject.toml``.
OLDEST_ARCGIS = "2.4"

#: How the message about a PEM file in place of PKCS#12 names the result.
_CONVERTED = "openssl pkcs12 -in FILE.p12 -out FILE.pem"


def refuse(options: "dict[str, Any]") -> None:
    """Refuses what the connection decides."""
    has_certificate = options.get("cert_file") is not None or options.get("key_file") is not None
    for name in DECIDED:
        if options.get(name) is None or (name == "password" and has_certificate):
            continue
        raise UsageError(
            f"`{name}` cannot be passed to `get_gis`, which signs in with the connection",
            "leave it out; a person or application of its own is a connection of its own: age_oauth.add_connection(…)",
        )


def import_failure(error: Exception) -> AgeOAuthError:
    """Why ``arcgis`` cannot be imported: it is missing or too old, or something that it needs itself is missing."""
    name = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError) and name == "arcgis":
        return AgeOAuthError(
            "the arcgis package, which brings GIS, is not installed in this Python environment",
            f'{_session.python_command()} -m pip install "age-oauth[arcgis]>={_find.OLDEST_TEXT}"',
        )
    version = _arcgis_version()
    # An old package has other modules, and other names in them.
    is_old = _is_old(version) if version else name.partition(".")[0] == "arcgis"
    if is_old:
        # Esri's release notes: 2.4 and ArcGIS Pro before 3.4 are incompatible.
        hint = "ArcGIS Pro 3.4 or newer has it; age_oauth.TokenAuth and age_oauth.Connection work with this version, too"
        if not _session.has_arcpy():
            hint = f'{_session.python_command()} -m pip install -U "arcgis>={OLDEST_ARCGIS}"'
        found = f"arcgis {version}" if version else "the arcgis package, which brings GIS,"
        return AgeOAuthError(f"{found} is too old: get_gis needs {OLDEST_ARCGIS} or newer", hint)
    return AgeOAuthError(
        f"the arcgis package, which brings GIS, cannot be imported in this Python environment: {error}",
        f'{_session.python_command()} -c "import arcgis.gis"',
    )


def _arcgis_version() -> "str | None":
    import importlib.metadata

    try:
        return importlib.metadata.version("arcgis")
    except Exception:  # It is not there, or cannot be read: conda and ArcGIS Pro install in their own ways.
        return None


def _is_old(version: str) -> bool:
    """Whether a version, which may go on with letters, is before the oldest."""
    import re

    found, oldest = (re.match(r"(\d+)\.(\d+)", one) for one in (version, OLDEST_ARCGIS))
    return found is not None and oldest is not None and tuple(map(int, found.groups())) < tuple(map(int, oldest.groups()))


class ClientCertificate:
    """A client certificate with its private key, in PEM files.

    Esri's package would present it to every host that asks, and leave the unencrypted private key in the temporary folder.
    """

    def __init__(self, cert_file: "Any", key_file: "Any", password: "str | None") -> None:
        if cert_file is None:
            raise UsageError("`key_file` is the private key of a client certificate, and no `cert_file` is given")
        self._cert_file = _path("cert_file", cert_file)
        self._key_file = self._cert_file if key_file is None else _path("key_file", key_file)
        if password is not None and not isinstance(password, str):
            raise UsageError(f"`password` is text, not an object of the type `{type(password).__name__}`")
        self._password = password
        for name, file in (("cert_file", self._cert_file), ("key_file", self._key_file)):
            if file.lower().endswith((".p12", ".pfx")):
                raise UsageError(
                    f"`{name}` is read as PEM, and `{file}` is PKCS#12",
                    f'convert it: {_CONVERTED}; then cert_file="FILE.pem", password="…"',
                )
            try:
                _files.read(file)
            except OSError as error:
                raise UsageError(f"`{name}` cannot be read: `{file}`: {error.strerror or error}").caused_by(error) from None

    def load_into(self, context: "ssl.SSLContext") -> None:
        """Lets all connections of this context present it."""
        asked = []

        def password() -> str:
            # Without this function, OpenSSL asks at the terminal.
            asked.append(True)
            return self._password or ""

        try:
            context.load_cert_chain(self._cert_file, self._key_file, password)
        except (OSError, ValueError) as error:  # Errors of `ssl` are an OSError.
            raise self._unusable(error, bool(asked)).caused_by(error) from None

    def _unusable(self, error: Exception, asked: bool) -> UsageError:
        if asked and not self._password:
            return UsageError(
                f"the private key in `{self._key_file}` is protected by a password",
                "give it, too: password=getpass.getpass()",
            )
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return UsageError(
                f"the private key in `{self._key_file}` does not belong to the certificate in `{self._cert_file}`"
            )
        if asked:
            return UsageError(f"the private key in `{self._key_file}` cannot be read: the password is wrong")
        files = f"`{self._cert_file}`" + (f" and `{self._key_file}`" if self._key_file != self._cert_file else "")
        return UsageError(
            f"no certificate with its private key could be read as PEM from {files}",
            f"PKCS#12 is converted by: {_CONVERTED}",
        )


def take_certificate(options: "dict[str, Any]") -> "ClientCertificate | None":
    """The client certificate among the options of ``GIS``, which are left without it."""
    cert_file, key_file = options.pop("cert_file", None), options.pop("key_file", None)
    if cert_file is None and key_file is None:
        return None
    return ClientCertificate(cert_file, key_file, options.pop("password", None))


def prefixes(api_url: str) -> "list[str]":
    """The beginnings of all addresses at the origin of the portal, as a ``requests`` session compares them."""
    scheme, host, port = addresses.origin(api_url)
    if scheme != "https":
        raise UsageError(
            f"a client certificate or Windows sign-in is presented over https only, and the portal is at {api_url}"
        )
    shown = f"[{host}]" if ":" in host else host
    # The default port may be written.
    return [f"https://{shown}:{port}/"] + ([f"https://{shown}/"] if port == 443 else [])


def example(label: str) -> str:
    """The call that gives a client certificate."""
    return f'get_gis({_session.quoted(label)}, cert_file="CERT.pem", key_file="KEY.pem")'


def _path(name: str, value: "Any") -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        raise UsageError(f"`{name}` is the path of a file, not an object of the type `{type(value).__name__}`") from None
