"""Whether an answer says that the token was rejected, by its first bytes. Only the standard library."""

from __future__ import annotations

import importlib
import io
import json
import zlib
from typing import Any

#: The codes by which ArcGIS rejects a token: invalid token, and token required.
CODES = (498, 499)

#: So many times a request is sent again because its token was rejected: with a token that the
#: program has, and with one that the portal issues after the rejection.
STEPS = 2

#: Errors of ArcGIS are not longer than this, in bytes.
LONGEST = 16 * 1024

#: In an error of ArcGIS, the word is among so many first bytes.
_WORD_WITHIN = 64


def error_code(start: bytes) -> int | None:
    """The code of an error of ArcGIS, where these are the first bytes of one."""
    if not start.lstrip().startswith(b"{") or b'"error"' not in start[:_WORD_WITHIN]:
        return None
    try:
        answer = json.loads(start.decode("utf-8", "replace"))
        # The administrator's directory of a server has the flat form.
        error = answer if answer.get("status") == "error" else answer["error"]
        return int(error["code"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # ArcGIS nests no error so deeply that the parser gives up.
        return None


def is_error(whole: bytes) -> bool:
    """Whether this whole answer is an error of ArcGIS, also one without a code."""
    try:
        answer = json.loads(whole.decode("utf-8", "replace"))
        return answer.get("status") == "error" or bool(answer.get("error"))
    except (ValueError, AttributeError, RecursionError):
        return False


def may_go_on(start: bytes) -> bool:
    """Whether these bytes may be the beginning of an error that is not complete yet."""
    text = start.lstrip()
    if len(start) >= LONGEST or (text and not text.startswith(b"{")):
        return False
    if b'"error"' not in start[:_WORD_WITHIN]:
        return len(start) < _WORD_WITHIN
    return error_code(start) is None


def may_be_error(content_type: str) -> bool:
    """Whether ArcGIS sends errors with this type."""
    kind = content_type.lower()
    return "json" in kind or kind.startswith("text/plain")


def plain(encoding: str, start: bytes) -> bytes | None:
    """The first bytes of a body, decompressed; ``None`` if the compression is not known here."""
    packed = encoding.strip().lower()
    if packed in ("", "identity"):
        return start
    if packed in ("gzip", "x-gzip"):
        return _inflate(start, 31)
    if packed == "deflate":
        # Some servers send the bare format without the header that the standard asks for.
        with_header = _inflate(start, zlib.MAX_WBITS)
        return _inflate(start, -zlib.MAX_WBITS) if with_header is None else with_header
    if packed == "br":
        return _brotli(start)
    if packed == "zstd":
        return _zstd(start)
    return None


def _inflate(start: bytes, wbits: int) -> bytes | None:
    try:
        return zlib.decompressobj(wbits=wbits).decompress(start, LONGEST)
    except zlib.error:
        return None


def _brotli(start: bytes) -> bytes | None:
    # Servers use it only if the script's environment has one of these packages.
    for name in ("brotlicffi", "brotli"):
        try:
            decompressor = importlib.import_module(name).Decompressor()
            return decompressor.process(start, output_buffer_limit=LONGEST)
        except Exception:  # Not installed, without a limit, or not brotli.
            continue
    return None


def _zstd(start: bytes) -> bytes | None:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name).ZstdDecompressor().decompress(start, LONGEST)
        except Exception:  # Not installed, or not zstd.
            continue
    try:
        decompressor = importlib.import_module("zstandard").ZstdDecompressor()
        return decompressor.stream_reader(io.BytesIO(start)).read(LONGEST)
    except Exception:
        return None


def beginning(raw: Any, encoding: str) -> bytes:
    """The first bytes of a body that urllib3 has not begun to read. Every way of reading finds them untouched: the bytes are
    looked at in the buffer below, and what has to be taken from there is put back there."""
    # Only here: QGIS starts faster without it.
    import http.client

    response = getattr(raw, "_fp", None)
    if not isinstance(response, http.client.HTTPResponse):
        return b""
    source, length = response.fp, response.length
    if source is None or not hasattr(source, "peek") or (length is not None and not 0 < length <= LONGEST):
        return b""
    taken = b""
    try:
        while True:
            buffered = source.peek(1)
            seen = taken + buffered if length is None else (taken + buffered)[:length]
            body, complete = _without_chunks(seen) if response.chunked else (seen, len(seen) == length)
            start = plain(encoding, body)
            if start is None:
                return b""
            if complete or not buffered or len(seen) >= LONGEST or not may_go_on(start):
                return start
            taken += source.read1(len(buffered))
    except OSError:
        # The reader gets the same error.
        return b""
    finally:
        if taken:
            response.fp = io.BufferedReader(_Returned(taken, source))


def _without_chunks(seen: bytes) -> tuple[bytes, bool]:
    """The data in the first bytes of a chunked body, and whether it is complete."""
    data, at = b"", 0
    while True:
        end = seen.find(b"\r\n", at)
        if end < 0:
            return data, False
        try:
            size = int(seen[at:end].partition(b";")[0], 16)
        except ValueError:
            return data, True
        if size <= 0:
            return data, True
        data += seen[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


class _Returned(io.RawIOBase):
    """Bytes that were taken from a stream, followed by the rest of it."""

    def __init__(self, taken: bytes, source: Any) -> None:
        self._taken = taken
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._taken:
            part, self._taken = self._taken[: len(buffer)], self._taken[len(buffer) :]
        else:
            part = self._source.read1(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
