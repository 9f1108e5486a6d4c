"""A placeholder in place of a token, for code that puts tokens into addresses and bodies by itself, whatever the host.

The placeholder is exchanged when a request leaves: for the token of the host that the request goes to, or for
nothing. What leaves in another way, or is kept in a notebook, carries nothing valid.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

if TYPE_CHECKING:
    from ._policy import Policy

_BEGINNING = "age-oauth-placeholder-"

#: What stands in place of a token in this process. Another process cannot know it, so a web map or
#: an item of a stranger cannot hold it.
PLACEHOLDER = _BEGINNING + secrets.token_hex(16)

#: A placeholder of this or of an earlier process.
_ANY = re.compile(re.escape(_BEGINNING) + "[0-9a-f]{32}")

#: How often the text before a placeholder is decoded in search of the address that it belongs to.
_DECODINGS = 4

#: The part of a text that may be an address with this end.
_ADDRESS = re.compile(r"""[^\s"'<>^`{}]*$""")

_FORM = "application/x-www-form-urlencoded"


def outgoing(request: Any, policy: Policy, header: str) -> Any:
    """The request as it leaves, for a prepared request of ``requests``: itself if it holds no placeholder, else a copy in
    which each is exchanged."""
    if not _mentions(request):
        return request
    exchange = _Exchange(request.url, policy)
    sent = request.copy()
    # `copy` encodes nothing again, as assigning to `url` does.
    sent.url = exchange.address(request.url)
    for name, value in list(sent.headers.items()):
        if isinstance(value, str) and _BEGINNING in value:
            del sent.headers[name]
            if exchange.own is not None:
                sent.headers[name] = exchange.text(value)
    body = exchange.body(request)
    if body is not request.body:
        if isinstance(body, str) and not body.isascii():
            # As urllib3 would send it. The length counts bytes.
            body = body.encode("utf-8")
        sent.body = body
        size = getattr(body, "len", None)
        sent.headers["Content-Length"] = str(size if isinstance(size, int) else len(body))
    if exchange.own is not None and header not in sent.headers:
        sent.headers[header] = f"Bearer {exchange.own}"
    return sent


def returned(response: Any, request: Any, sent: Any, header: str) -> None:
    """Puts the placeholder back into what the caller of a request sees of it."""
    if sent is request:
        return
    response.request = request
    response.url = request.url
    location = response.headers.get("Location")
    token = sent.headers.get(header, "").partition(" ")[2]
    if not location or not token or token not in unquote(location):
        return
    # What else is encoded in the address stays so.
    for form in (token, quote(token, safe="")):
        location = location.replace(form, PLACEHOLDER)
    hidden = token in unquote(location)
    response.headers["Location"] = unquote(location).replace(token, PLACEHOLDER) if hidden else location


def _mentions(request: Any) -> bool:
    if _BEGINNING in request.url:
        return True
    if any(isinstance(value, str) and _BEGINNING in value for value in request.headers.values()):
        return True
    body = request.body
    if isinstance(body, str):
        return _BEGINNING in body
    if isinstance(body, bytes):
        return _BEGINNING.encode() in body
    return any(_BEGINNING in value for _, value in _encoder_fields(body) if isinstance(value, str))


def _encoder_fields(body: Any) -> list[tuple[str, Any]]:
    """The fields of a form that `requests_toolbelt` encodes while it is sent."""
    fields = getattr(body, "fields", None)
    if fields is None or not hasattr(body, "boundary_value"):
        return []
    return list(fields.items()) if hasattr(fields, "items") else list(fields)


class _Exchange:
    """What placeholders in one request are exchanged for."""

    def __init__(self, url: str, policy: Policy) -> None:
        self._policy = policy
        self._server = policy.server(url)
        path = urlsplit(url).path.lower()
        #: Content that is stored keeps the placeholder: a token in it would be readable for others.
        self._stores = "/content/" in path
        self._keeps_query_token = path.rstrip("/").endswith("generatetoken")
        #: The token for the host that the request goes to; ``None`` if it gets none.
        self.own = policy.token(url)

    def address(self, url: str) -> str:
        """An address without a token in its query as far as possible, because addresses are logged."""
        parts = urlsplit(url)
        if _BEGINNING in parts.query and re.match("https?:", parts.query, re.IGNORECASE):
            # The whole query is an address, as for the proxy of a portal.
            return urlunsplit(parts._replace(query=self.text(parts.query)))
        query = self._form(parts.query, in_address=True)
        path = _ANY.sub("", parts.path) if _BEGINNING in parts.path else parts.path
        return urlunsplit(parts._replace(path=path, query=query, fragment=_ANY.sub("", parts.fragment)))

    def body(self, request: Any) -> Any:
        body = request.body
        kind = str(request.headers.get("Content-Type", "")).lower()
        if isinstance(body, bytes):
            if _BEGINNING.encode() not in body:
                return body
            # Each byte is one character, and stays one.
            return self._text_body(body.decode("latin-1"), kind, request).encode("latin-1")
        if isinstance(body, str):
            return self._text_body(body, kind, request) if _BEGINNING in body else body
        fields = _encoder_fields(body)
        if not any(isinstance(value, str) and _BEGINNING in value for _, value in fields):
            return body
        values = ((name, self._value(value) if isinstance(value, str) else value) for name, value in fields)
        return type(body)(fields=[one for one in values if one[1] is not None], boundary=body.boundary_value)

    def _text_body(self, text: str, kind: str, request: Any) -> str:
        if kind.startswith("multipart/"):
            found = re.search(r'boundary="?([^";]+)', str(request.headers["Content-Type"]))
            return self._multipart(text, found[1]) if found else text
        if kind.startswith(_FORM) or not kind:
            return self._form(text, in_address=False)
        if "json" in kind or kind.startswith("text/"):
            return self.text(text)
        return text

    def _form(self, text: str, *, in_address: bool) -> str:
        pieces = []
        for piece in text.split("&"):
            if _BEGINNING in piece:
                name, _, value = piece.partition("=")
                drop = in_address and name.lower() == "token" and not self._keeps_query_token
                exchanged = None if drop or _BEGINNING in name else self._value(unquote_plus(value))
                if exchanged is None:
                    continue
                piece = f"{name}={quote(exchanged, safe='') if in_address else quote_plus(exchanged)}"
            pieces.append(piece)
        return "&".join(pieces)

    def _multipart(self, text: str, boundary: str) -> str:
        parts = []
        for part in text.split(f"--{boundary}"):
            head, gap, value = part.partition("\r\n\r\n")
            # A file is content, whatever it holds.
            if _BEGINNING in value and "filename" not in head.lower():
                exchanged = self._value(value[:-2])
                if exchanged is None:
                    continue
                part = f"{head}{gap}{exchanged}\r\n"
            parts.append(part)
        return f"--{boundary}".join(parts)

    def _value(self, value: str) -> str | None:
        """A parameter's value; ``None`` if the whole parameter is left out."""
        if _ANY.fullmatch(value):
            return self.own if value == PLACEHOLDER else None
        return self.text(value) if _BEGINNING in value else value

    def text(self, text: str) -> str:
        """A text with placeholders at any place."""

        def exchanged(found: re.Match[str]) -> str:
            if self.own is None or found[0] != PLACEHOLDER:
                return ""
            if self._stores:
                return found[0]
            return self._nested(text[: found.start()])

        return _ANY.sub(exchanged, text)

    def _nested(self, before: str) -> str:
        """The token for a placeholder inside a value: for the address that it belongs to, or for the receiver."""
        tail = before.replace("\\", "")
        for _ in range(_DECODINGS):
            tail = unquote(tail)
        address = tail[_ADDRESS.search(tail).start() :]  # type: ignore[union-attr]  # It always matches.
        urls = [address[one.start() :] for one in re.finditer("https?://", address, re.IGNORECASE)]
        if not urls:
            return self.own or ""
        servers = {self._policy.server(url) for url in urls}
        # A server gets no token but its own.
        if len(servers) != 1 or self._server not in ("", *servers):
            return ""
        return self._policy.token(urls[-1]) or ""
