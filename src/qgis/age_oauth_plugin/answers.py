"""What the program and the portal answer, and what is asked of them, without Qt and without QGIS.

What comes from a portal may be of any form, and its texts may be anyone's.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from urllib.parse import quote, urlsplit

from age_oauth import _json_names as names
from age_oauth import _find, _program
from age_oauth.errors import BY_CODE, AgeOAuthError, ProgramUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

#: The types of items whose services QGIS reads, and the providers that read them.
FEATURES, MAP, IMAGE = "Feature Service", "Map Service", "Image Service"
KINDS = (FEATURES, MAP, IMAGE)
PROVIDERS = {"featureserver": "arcgisfeatureserver", "mapserver": "arcgismapserver", "imageserver": "arcgismapserver"}

#: Whose items a search finds.
EVERYONE, MINE, MY_GROUPS, MY_ORGANIZATION = "everyone", "mine", "my groups", "my organization"

#: So many items are on one page of a search.
PAGE = 50

#: So many layers of a service are shown: each is a row.
_LAYERS = 1000

#: Of the groups of a user, so many are searched in at once: addresses have a limited length.
_GROUPS = 50

_LONGEST_TEXT = 200
_SERVICE = re.compile(r"(.+/(featureserver|mapserver|imageserver))(?:/(\d+))?", re.IGNORECASE | re.ASCII)

#: The kind of a connection with an API key.
KEY = "key"

#: States of a sign-in that a person must do something about, and those of a good one.
NEEDS_SIGN_IN = ("ended", "missing", "gone")
ENDS_SOON = "ends_soon"


def objects(out: bytes) -> "list[Any]":
    """The JSON values on the lines of an output. Other lines are left out."""
    found = []
    for line in out.decode("utf-8", "replace").splitlines():
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return found


def answer(out: bytes) -> "Any":
    """The one JSON value of an output, which may have many lines; ``None`` if it is not one."""
    try:
        return json.loads(out)
    except (ValueError, RecursionError):
        return None


def marked(text: str) -> str:
    """The text as it is. It is translated where it is used."""
    return text


def failure(code: int, err: bytes, tr: "Callable[[str], str]" = str) -> "AgeOAuthError":
    """The error that the program printed. ``tr`` translates what does not come from the program."""
    for one in reversed(objects(err)):
        error = one.get(names.ERROR) if isinstance(one, dict) else None
        if isinstance(error, dict) and isinstance(error.get(names.MESSAGE), str):
            # With the program's own advice, and not the calls of Python in its place.
            return BY_CODE.get(code, AgeOAuthError)(error[names.MESSAGE], error.get(names.HINT), error.get(names.KIND))
    if code == 2:
        # The program of age-oauth 0.2 does not have `--json`.
        return ProgramUnusable(
            tr("the age-oauth program on this machine is too old: this plugin needs {} or newer").format(_program._OLDEST_TEXT),
            tr("install the current version (README of age-oauth, section Install), then press Refresh"),
        )
    return _program._failure_of_text(code, err.decode("utf-8", "replace").strip().splitlines())


def missing(error: "ProgramUnusable", tr: "Callable[[str], str]" = str) -> "ProgramUnusable":
    """The error for a program that was not found. Its advice is about pip, which QGIS's Python may not have."""
    install = tr("install the age-oauth program (README of age-oauth, section Install), then press Refresh")
    return ProgramUnusable(error.message, _of_the_named(tr) or install)


def _of_the_named(tr: "Callable[[str], str]") -> "str | None":
    """The advice where a variable names the program: no other one is looked for."""
    if not os.environ.get(_find.NAMED):
        return None
    text = tr("put the current version at the path that {} names, then press Refresh; or change the variable, and start QGIS again")
    return text.format(_find.NAMED)


def unusable(path: str, version: "tuple[int, ...] | None", tr: "Callable[[str], str]" = str) -> "ProgramUnusable | None":
    """The error for a program of this version, or for another program, whose version is ``None``."""
    install = _of_the_named(tr) or tr("install the current version (README of age-oauth, section Install), then press Refresh")
    if version is None:
        return ProgramUnusable(tr("`{}` is not the age-oauth program").format(path), install)
    if version < _program.OLDEST:
        shown = ".".join(map(str, version))
        return ProgramUnusable(
            tr("`{}` is age-oauth {}; this plugin needs {} or newer").format(path, shown, _program._OLDEST_TEXT), install
        )
    return None


def rows(out: bytes, needed: "Iterable[str]") -> "list[dict[str, Any]] | None":
    """The objects of a list that the program printed; ``None`` if it is none, or an object lacks one of these members."""
    found = answer(out)
    needed = set(needed)
    if isinstance(found, list) and all(isinstance(one, dict) and needed <= one.keys() for one in found):
        return found
    return None


def warnings(err: bytes) -> "list[str]":
    """The warnings that the program printed."""
    found = [one.get(names.WARNING) for one in objects(err) if isinstance(one, dict)]
    return [one for one in found if isinstance(one, str)]


def plain(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Foreign text in one line, which no widget takes for HTML: without control characters and ``<``."""
    line = "".join(one if one.isprintable() else " " for one in str(text if text is not None else ""))
    line = " ".join(line.split()).replace("<", "\u2039")
    return line if len(line) <= longest else line[: longest - 1] + "\u2026"


_CONNECTION = r"(?: (?:-c|--connection|--connection-id)[ =](?:\"[^\"]*\"|'[^']*'|[^\s;,]+))?"

#: The program's advice, and what a person does here in its place: where the whole advice is a
#: command, and for parts of it.
_WHOLE = (
    (re.compile(rf"age-oauth login{_CONNECTION} --switch-user"), marked("choose \u201cSign in as another user\u201d")),
    (re.compile(rf"age-oauth login{_CONNECTION}"), marked("press \u201cSign in\u201d")),
)
_PARTS = (
    ("age-oauth connections add --no-check \u2026", marked("tick \u201cAdd it without asking the portal\u201d")),
    ("give --web-tier windows", marked("tick \u201cAnswer the Windows sign-in\u201d")),
    ("give --verify-ssl FILE.pem", marked("choose its file under \u201cCertificate authority\u201d")),
)


def advice(hint: str, translate: "Callable[[str], str]" = str) -> str:
    """The program's advice, for a person at the panel."""
    for pattern, instead in _WHOLE:
        if pattern.fullmatch(hint):
            return translate(instead)
    for part, instead in _PARTS:
        hint = hint.replace(part, translate(instead))
    return plain(hint, 1000)


def local_time(time: object) -> str:
    """A time of the program as this machine shows it; empty if there is none."""
    if not isinstance(time, str):
        return ""
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OSError, OverflowError, ValueError):
        return plain(time)


class Settings:
    """The settings of a new connection, as a person has given them. What is left out is empty."""

    #: The kinds of connections that have a client ID, and those that come with a secret.
    WITH_CLIENT_ID = ("user", "app")
    SECRETS = {"app": "--client-secret-stdin", KEY: "--api-key-stdin"}
    #: Those that the web server in front of the portal has to know.
    KNOWN_BY_WEB_SERVER = ("network",)

    def __init__(self, label: str, portal: str, kind: str) -> None:
        self.label, self.portal, self.kind = label, portal, kind
        self.client_id = ""
        self.secret = ""
        self.expires = ""
        self.redirect_uri = ""
        self.authority = ""
        self.answers_windows_sign_in = False
        self.is_checked = True

    def arguments(self) -> "list[str]":
        """The arguments of ``age-oauth``. The secret is not among them: it goes to standard input."""
        given = [("label", self.label), ("portal", self.portal), ("auth-type", self.kind)]
        if self.kind in self.WITH_CLIENT_ID:
            given.append(("client-id", self.client_id))
        if self.kind == "user":
            given.append(("redirect-uri", self.redirect_uri))
        if self.kind == KEY:
            given.append(("expires", self.expires))
        if self.answers_windows_sign_in or self.kind in self.KNOWN_BY_WEB_SERVER:
            given.append(("web-tier", "windows"))
        given.append(("verify-ssl", self.authority))
        # As one argument each, so that a value that begins with a hyphen is not read as an option.
        words = ["connections", "add", *(f"--{name}={text.strip()}" for name, text in given if text.strip())]
        if self.kind in self.SECRETS:
            words.append(self.SECRETS[self.kind])
        if not self.is_checked:
            words.append("--no-check")
        return words

    def authority_is_file(self) -> bool:
        """Whether the certificate authority is left out or a file with its whole path. The program also takes other values, such
        as one that turns the check of certificates off: those need a terminal."""
        path = self.authority.strip()
        return not path or (os.path.isabs(path) and os.path.isfile(path))

    def input(self) -> "str | None":
        """What standard input gets."""
        return self.secret if self.kind in self.SECRETS else None


def knows_owner(whose: str, user: "Any") -> bool:
    """Whether ``community/self`` says what a search for these items needs. It names no user to an application."""
    user = user if isinstance(user, dict) else {}
    needed = {MINE: "username", MY_ORGANIZATION: "orgId", MY_GROUPS: "username"}.get(whose)
    return needed is None or (isinstance(user.get(needed), str) and bool(user[needed].replace('"', "").strip()))


def words(text: str) -> "list[str]":
    """What a person searches for, as words of the portal's search language. In quotes, its signs mean nothing: ``AND``, ``OR``,
    ``NOT``, ``*``, ``?``, ``:``, parentheses and the like. A word of signs alone would find nothing."""
    found = re.split(r'[\s"\\]+', text)
    return [f'"{one}"' for one in found if any(sign.isalnum() for sign in one)]


def query(text: str, kinds: "Iterable[str]", whose: str, user: "Any") -> "str | None":
    """The portal's search for services. ``user`` is what ``community/self`` answers. ``None`` if there is nothing to find,
    because the user is in no group."""
    parts = words(text)
    parts.append("(" + " OR ".join(f'type:"{kind}"' for kind in kinds) + ")")
    user = user if isinstance(user, dict) else {}
    if whose == MINE:
        parts.append(f"owner:{_quoted(user.get('username'))}")
    elif whose == MY_ORGANIZATION:
        parts.append(f"orgid:{_quoted(user.get('orgId'))}")
    elif whose == MY_GROUPS:
        groups = user.get("groups") if isinstance(user.get("groups"), list) else []
        ids = [one.get("id") for one in groups if isinstance(one, dict) and isinstance(one.get("id"), str)]
        if not ids:
            return None
        parts.append("(" + " OR ".join(f"group:{_quoted(one)}" for one in ids[:_GROUPS]) + ")")
    return " AND ".join(parts)


def _quoted(value: object) -> str:
    return '"' + str(value or "").replace('"', "") + '"'


class Service:
    """A service that an item leads to, or one layer of it."""

    def __init__(self, title: str, url: str, layer: "str | None" = None) -> None:
        #: Safe to show.
        self.title = plain(title) or plain(url)
        #: Without the number of a layer.
        self.url = url
        self.layer = layer

    @property
    def kind(self) -> str:
        """``featureserver``, ``mapserver`` or ``imageserver``."""
        return self.url.rpartition("/")[2].lower()

    @property
    def provider(self) -> str:
        """The key of QGIS's provider."""
        return PROVIDERS[self.kind]

    @property
    def has_layers(self) -> bool:
        """Whether its layers have to be read before one is added."""
        return self.layer is None and self.kind != "imageserver"

    @property
    def layer_url(self) -> str:
        """The address of the layer, or of a service without layers."""
        return self.url if self.layer is None else f"{self.url}/{self.layer}"

    def source(self, crs: str) -> "dict[str, str]":
        """The parameters of the layer's source. An address is never put into a text by hand, because it could hold further
        parameters, such as a stored sign-in of QGIS (``authcfg``)."""
        if self.provider == "arcgisfeatureserver":
            return {"crs": crs, "url": self.layer_url}
        return {"crs": crs, "format": "PNG32", "layer": self.layer or "", "url": self.url}


def service(item: object) -> "Service | None":
    """The service of an item of the portal; ``None`` if it is of another type, or its address cannot be used."""
    if not isinstance(item, dict):
        return None
    url, kind = item.get("url"), item.get("type")
    if kind not in KINDS or not isinstance(url, str) or not _is_plain(url):
        return None
    found = _SERVICE.fullmatch(url.strip().rstrip("/"))
    return Service(item.get("title") or "", found[1], found[3]) if found else None


def _is_plain(url: str) -> bool:
    """Whether the address is an https one without a query, quotes and what else an address does not need."""
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = not (parts.query or parts.fragment or "@" in parts.netloc)
    return port_is_valid and parts.scheme == "https" and bool(parts.hostname) and is_bare and not re.search(r"[\s'\"<>\\]", url.strip())


def layers(of: Service, about: object) -> "tuple[list[Service], bool]":
    """The layers and tables of a service, from what it says about itself, and whether these are all."""
    found = []
    about = about if isinstance(about, dict) else {}
    for name in ("layers", "tables"):
        # A map service has no picture of a table.
        if name == "tables" and of.kind != "featureserver":
            continue
        for one in about.get(name) if isinstance(about.get(name), list) else []:
            number = one.get("id") if isinstance(one, dict) else None
            # A group of layers has none of its own.
            is_group = isinstance(one, dict) and (one.get("subLayerIds") or one.get("type") == "Group Layer")
            if isinstance(number, int) and number >= 0 and not (is_group and of.kind == "featureserver"):
                found.append(Service(one.get("name") or f"{of.title} {number}", of.url, str(number)))
    return found[:_LAYERS], len(found) <= _LAYERS


def crs(about: object) -> str:
    """The coordinate system of a service, from what it says about itself."""
    found = about if isinstance(about, dict) else {}
    for name in ("extent", "fullExtent"):
        if isinstance(found.get(name), dict) and isinstance(found[name].get("spatialReference"), dict):
            found = {"spatialReference": found[name]["spatialReference"]}
            break
    reference = found.get("spatialReference")
    reference = reference if isinstance(reference, dict) else {}
    number = reference.get("latestWkid") or reference.get("wkid")
    # Numbers from 32768 on that are not EPSG's are Esri's own.
    if not isinstance(number, int) or number <= 0:
        return "EPSG:4326"
    number = 3857 if number == 102100 else number
    return f"ESRI:{number}" if 37001 <= number <= 37299 or 53001 <= number <= 54099 or number >= 102001 else f"EPSG:{number}"


def services_directory(servers: object, api_url: str) -> str:
    """Where QGIS's browser panel reads services: at the hosting server, else at the first one that the portal lists."""
    listed = servers.get("servers") if isinstance(servers, dict) else None
    listed = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for one in sorted(listed, key=lambda one: one.get("isHosted") is not True):
        url = one.get("url")
        if isinstance(url, str) and _is_plain(url):
            return url.strip().rstrip("/") + "/rest/services"
    return f"{api_url}/rest/services"


def browser_name(label: str, taken: "Iterable[str]") -> str:
    """The name of a connection in QGIS's browser panel: one that no other has, and that is one part of a path."""
    # A slash would make a folder of settings, and QGIS uses a backslash for the same.
    name = "".join(quote(one, safe="") if one in "/\\%" else one for one in plain(label)) or "age-oauth"
    name = f"{name} (age-oauth)"
    found, number = name, 2
    taken = set(taken)
    while found in taken:
        found, number = f"{name} {number}", number + 1
    return found


def notice(status: "dict[str, Any]") -> "str | None":
    """The state of a sign-in that a person should be told of once; ``None`` if all is well, or if the sign-in ends soon and is
    extended with the next token."""
    state = status.get(names.SIGN_IN)
    if state == ENDS_SOON and status.get(names.EXTENDABLE) is True:
        return None
    return state if state in NEEDS_SIGN_IN or state == ENDS_SOON else None
