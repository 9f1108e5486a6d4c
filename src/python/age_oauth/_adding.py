"""Adding and changing connections from Python, by ``age-oauth connections add`` and ``edit`` and with their checks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from . import _addresses as addresses
from . import _json_names as names
from . import _program, _session, _sign_in
from .errors import AgeOAuthError, ConnectionNotFound, UsageError

#: The variable that the program reads where no client secret is given.
_SECRET_VARIABLE = "AGE_OAUTH_CLIENT_SECRET"


def add(
    given: "dict[str, Any]",
    client_secret: "str | None",
    flags: "Iterable[str]",
    password: "str | None" = None,
    api_key: "str | None" = None,
) -> "dict[str, Any]":
    """Adds a connection, and returns its facts. ``given`` has the program's options by their names in Python; ``password`` is
    that of the client certificate.
    """
    _check_certificate(given, password)
    given = _with_commands(given, client_secret, api_key)
    has_secret = client_secret is not None or given.get("client_secret_command") or os.environ.get(_SECRET_VARIABLE)
    if given.get("auth_type") == "app" and not has_secret and password is None:
        client_secret = _asked_secret("Client secret: ")
    has_key = api_key is not None or given.get("api_key_command")
    if given.get("auth_type") == "key" and not has_key and password is None:
        api_key = _asked_secret("API key: ")
    return _asked(["connections", "add", *_options(given), *flags], client_secret, password, api_key)


def edit(
    connection_id: str,
    given: "dict[str, Any]",
    client_secret: "str | None",
    flags: "Iterable[str]",
    password: "str | None" = None,
    api_key: "str | None" = None,
) -> None:
    """Changes a connection."""
    _check_certificate(given, password)
    given = _with_commands(given, client_secret, api_key)
    _asked(["connections", "edit", connection_id, *_options(given), *flags], client_secret, password, api_key)


def _asked(
    arguments: "list[str]", client_secret: "str | None", password: "str | None", api_key: "str | None"
) -> "dict[str, Any]":
    secrets = {"client_secret": client_secret, "client_cert_password": password, "api_key": api_key}
    given = {name: secret for name, secret in secrets.items() if secret is not None}
    for name, secret in given.items():
        _check_secret(name, secret)
    if len(given) > 1:
        instead = "give one of them in another call: Connection.edit(…)"
        if "client_secret" in given:
            instead = f"set {_SECRET_VARIABLE} in place of client_secret, or {instead}"
        raise UsageError(f"{' and '.join(given)} cannot be given in one call", instead)
    arguments.extend(f"--{name.replace('_', '-')}-stdin" for name in given)
    try:
        return _program.ask(*arguments, stdin=next(iter(given.values()), None))
    except AgeOAuthError as error:
        # The person has called Python, also where hints name commands elsewhere.
        hint = error.hint and _session.with_arguments(_session.hint(error.hint, python=True) or "")
        raise type(error)(error.message, hint, error.kind).caused_by(error) from None


def _check_secret(name: str, secret: Any) -> None:
    if secret is None:
        return
    if not isinstance(secret, str):
        raise UsageError(f"{name} is text, not an object of the type `{type(secret).__name__}`")
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} contains half of a character (a surrogate), which cannot be passed to a program") from None


def _with_commands(
    given: "dict[str, Any]", client_secret: "str | None", api_key: "str | None"
) -> "dict[str, Any]":
    """The same options; a command that is given as a list of words is the JSON array that the program reads."""
    for what, name, secret in (("client secret", "client_secret", client_secret), ("API key", "api_key", api_key)):
        command = given.get(f"{name}_command")
        if command is None:
            continue
        if secret is not None:
            raise UsageError(
                f"{name} and {name}_command cannot be given in one call",
                f"give the one that the connection gets its {what} from",
            )
        if isinstance(command, (list, tuple)):
            words = [_text(f"{name}_command", word) for word in command]
            given = {**given, f"{name}_command": json.dumps(words)}
    return given


def _check_certificate(given: "dict[str, Any]", password: "str | None") -> None:
    file = given.get("client_cert")
    if password is not None and file is None:
        raise UsageError(
            "client_cert_password opens the file of a client certificate, and no client_cert is given",
            'give it, too: client_cert="FILE.p12"',
        )
    if isinstance(file, (tuple, list)):
        raise UsageError(
            "client_cert is one file with the certificate and its private key",
            'put both into one: cat CERT.pem KEY.pem > FILE.pem; then client_cert="FILE.pem"',
        )


def _options(given: "dict[str, Any]") -> "Iterable[str]":
    for name, value in given.items():
        if value is None:
            continue
        flag = "--" + name.replace("_", "-")
        # One tag as text is not one tag for each letter.
        several = name == "tag" and isinstance(value, Iterable) and not isinstance(value, (str, bytes))
        for each in value if several else [value]:
            # As one argument, so that a value that begins with a hyphen is not read as an option.
            yield f"{flag}={_text(name, each)}"


#: The options that are `true` or `false` in the program.
_SWITCHES = ("verify_ssl", "pkce")


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) and name in _SWITCHES:
        return str(value).lower()
    try:
        return os.fsdecode(value)
    except TypeError:
        name = "tags" if name == "tag" else name
        raise UsageError(f"{name} is text or a path, not an object of the type `{type(value).__name__}`") from None


def _asked_secret(question: str) -> "str | None":
    if _session.way_to_ask() is None:
        return None
    import getpass

    try:
        return getpass.getpass(question).strip() or None
    except (EOFError, OSError, RuntimeError, NotImplementedError):
        # A notebook that runs unattended.
        return None


def of_portal(listed: "list[dict[str, Any]]", portal: str, client_id: "str | None") -> "list[dict[str, Any]]":
    """The connections to a portal, as its address is typed, with this client ID. Those to exactly this address go first."""
    of_client = [one for one in listed if client_id in (None, one[names.CLIENT_ID])]
    exact = [one for one in of_client if _is_portal(one[names.PORTAL_URL], portal, exactly=True)]
    return exact or [one for one in of_client if _is_portal(one[names.PORTAL_URL], portal, exactly=False)]


def _is_portal(stored: str, typed: str, exactly: bool) -> bool:
    """Whether an address is a portal's root or, if not ``exactly``, a page of the portal, or the host that it is at."""
    typed = _with_scheme(typed)
    try:
        if addresses.origin(stored) != addresses.origin(typed):
            return False
    except ValueError:  # A port that is not a number.
        return False
    root, path = (urlsplit(one).path.rstrip("/") for one in (stored, typed))
    return path == root or (not exactly and (path == "" or path.startswith(f"{root}/")))


def _with_scheme(typed: str) -> str:
    typed = typed.strip()
    return typed if "://" in typed else f"https://{typed}"


def label_for(portal: str) -> str:
    """The label of a connection for which no label was chosen: the portal's host."""
    try:
        return urlsplit(_with_scheme(portal)).hostname or portal
    except ValueError:
        return portal


def chosen(matching: "list[dict[str, Any]]", portal: str) -> "dict[str, Any] | None":
    """The one of these connections; ``None`` if there is none, an error if several match."""
    if len(matching) < 2:
        return matching[0] if matching else None
    labels = [one[names.CONNECTION] for one in matching]
    raise ConnectionNotFound(
        f"{len(labels)} connections belong to the portal {portal}: {', '.join(f'`{label}`' for label in labels)}",
        f"choose one: age_oauth.get_gis({_session.quoted(labels[0])})",
        "ambiguous",
    )


def find_or_add(
    connection: "str | None",
    portal: str,
    client_id: "str | None",
    settings: "dict[str, Any]",
    password: "str | None" = None,
) -> "dict[str, Any]":
    """The connection with this label, or to this portal; if there is none, it is added with these settings."""
    listed = _program.ask("connections", "list")
    matching = of_portal(listed, portal, client_id)
    if connection:
        named = _named(connection)
        if named is not None and all(one[names.ID] != named[names.ID] for one in matching):
            raise _of_another_portal(named, portal, client_id)
        found = named
    else:
        found = chosen(matching, portal)
    if found is not None:
        return found
    label = connection or label_for(portal)
    if client_id is None:
        raise UsageError(
            f"there is no connection to the portal {portal}, and a new one needs a client ID",
            f"ask the portal's administrator for it, then: age_oauth.get_gis({_session.quoted(label)}, "
            f'portal={_session.quoted(portal)}, client_id="ID")',
        )
    facts = add({"label": label, "portal": portal, "client_id": client_id, **settings}, None, (), password)
    _sign_in.say(f"Added the connection `{facts[names.CONNECTION]}` to {facts[names.PORTAL_URL]}.")
    return facts


def _named(connection: str) -> "dict[str, Any] | None":
    try:
        return _program.ask("connections", "show", *_program.selector(connection, None))
    except ConnectionNotFound as error:
        if error.kind != "no_connection":
            raise
        return None


def _of_another_portal(named: "dict[str, Any]", portal: str, client_id: "str | None") -> UsageError:
    of_client = "" if client_id is None else f" with the client ID {client_id}"
    has_client = "without a client ID" if named[names.CLIENT_ID] is None else f"with the client ID {named[names.CLIENT_ID]}"
    return UsageError(
        f"`{named[names.CONNECTION]}` is the connection to {named[names.PORTAL_URL]} {has_client}, "
        f"not to {portal}{of_client}",
        f'choose another name: age_oauth.get_gis("NAME", portal={_session.quoted(portal)}, …)',
    )
