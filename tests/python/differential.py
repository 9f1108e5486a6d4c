"""Every way of reading a body gives with the handler what it gives without: with requests and with httpx.

    differential.py            a cut, in seconds
    differential.py --all      everything, with bodies of 40 MB, in minutes; prints how many readings were compared
"""

import asyncio
import collections
import csv
import gzip
import hashlib
import http.server
import io
import pickle
import shutil
import sys
import threading
import zlib

import backports.zstd
import brotli
import httpx
import requests

from age_oauth import HttpxTokenAuth
from age_oauth._http import TokenAuth
from age_oauth._policy import Policy

ALL = "--all" in sys.argv
LARGE = 40_000_000
LENGTHS = [0, 1, 64, 65, 20_000] + ([LARGE] if ALL else [])
PACKINGS = ["", "gzip", "deflate", "bare-deflate", "br", "zstd"]
FRAMINGS = ["length", "chunked", "small-chunks", "close"]
KINDS = {
    "json": "application/json",
    "error": "application/json; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "csv": "text/csv",
    "binary": "application/octet-stream",
}


def body(kind, length):
    if kind == "json":
        start = b'{"features": ['
    elif kind == "error":
        # An error that is not about the token, and whose beginning is looked at longest.
        start = b'{ "error": {"message": "'
    elif kind == "binary":
        start = bytes(range(256))
    else:
        start = b"00000,first\r\n"
    line = b"%05d,line of text\r\n"
    whole = bytearray(start)
    number = 0
    while len(whole) < min(length, 100_000):
        whole += bytes([number % 256]) * 7 if kind == "binary" else line % (number % 100_000)
        number += 1
    whole *= 1 + length // len(whole)
    return bytes(whole[:length])


def packed(content, packing):
    if packing == "gzip":
        return gzip.compress(content, 1, mtime=0)
    if packing == "deflate":
        return zlib.compress(content, 1)
    if packing == "bare-deflate":
        return zlib.compress(content, 1)[2:-4]
    if packing == "br":
        return brotli.compress(content, quality=1)
    if packing == "zstd":
        return backports.zstd.compress(content, 1)
    return content


BODIES = {}


class Portal(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536

    def do_GET(self):
        kind, packing, framing, length = self.path[1:].split("/")
        content = BODIES[kind, packing, int(length)]
        self.send_response(200)
        self.send_header("Content-Type", KINDS[kind])
        if packing:
            self.send_header("Content-Encoding", packing.replace("bare-", ""))
        if framing == "length":
            self.send_header("Content-Length", str(len(content)))
        elif framing == "close":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # The body does not come with the headers.
        self.wfile.flush()
        if framing in ("length", "close"):
            self.wfile.write(content)
            return
        size = 7 if framing == "small-chunks" and len(content) < 100_000 else 65_536
        for at in range(0, len(content), size):
            part = content[at : at + size]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class Provider:
    value = "a-token"

    def token(self, min_ttl=None, server=""):
        return self

    def kept(self, server=""):
        return self

    def instead_of(self, rejected, server="", **_):
        raise AssertionError("no answer here rejects a token")


def loops(read, piece):
    parts = []
    while part := read(piece):
        parts.append(part)
    return b"".join(parts)


def filled(raw, size=1000):
    parts, buffer = [], bytearray(size)
    while True:
        count = raw.readinto(buffer)
        if not count:
            return b"".join(parts)
        parts.append(bytes(buffer[:count]))


def copied(response):
    out = io.BytesIO()
    shutil.copyfileobj(response.raw, out)
    return out.getvalue()


def decoded(response):
    response.raw.decode_content = True
    return copied(response)


def closed_early(response):
    start = response.raw.read(10)
    response.close()
    return start


#: Each gets an unread response. The sizes are so that 40 MB take seconds.
STREAMED = {
    "content": lambda r: r.content,
    "text": lambda r: r.text,
    "json": lambda r: r.json(),
    "iter_content": lambda r: b"".join(r.iter_content(4096)),
    "iter_content of single bytes": lambda r: b"".join(r.iter_content(1 if int(r.url.split("/")[-1]) < 1000 else 999)),
    "iter_content as it comes": lambda r: b"".join(r.iter_content(None)),
    "iter_lines": lambda r: list(r.iter_lines(100_000)),
    "for": lambda r: b"".join(r),
    "raw.read": lambda r: r.raw.read(),
    "raw.read, decoded": lambda r: r.raw.read(decode_content=True),
    "raw.read in parts": lambda r: loops(r.raw.read, 4096),
    "raw.read1": lambda r: loops(r.raw.read1, 4096),
    "raw.readline": lambda r: [r.raw.readline(), r.raw.readline(50), r.raw.read()],
    "raw.readlines": lambda r: r.raw.readlines(),
    "raw.readinto": lambda r: filled(r.raw, 4096),
    "raw.stream": lambda r: b"".join(r.raw.stream(4096)),
    "raw.stream, decoded": lambda r: b"".join(r.raw.stream(4096, decode_content=True)),
    "raw.data": lambda r: r.raw.data,
    "for raw": lambda r: b"".join(r.raw),
    "copyfileobj": copied,
    "copyfileobj, decoded": decoded,
    "csv": lambda r: list(csv.reader(io.TextIOWrapper(r.raw, encoding="latin-1"))),
    "BufferedReader": lambda r: io.BufferedReader(r.raw).read(),
    "read and closed": closed_early,
    "tell": lambda r: [r.raw.read(10), r.raw.tell(), r.raw.read()],
    "type of raw": lambda r: type(r.raw).__name__,
}

#: Ways that take minutes for 40 MB, with the handler and without: they make many small objects, or
#: guess the encoding.
SLOW = {"csv", "for", "iter_lines", "json", "raw.readlines", "text"}

#: How many readings were compared, by client, kind and packing.
COMPARED = collections.Counter()


def is_large(path):
    return path.endswith(f"/{LARGE}")


def same(client, path, name, expected, got):
    assert got == expected, (client, path, name, expected, got)
    kind, packing, *_ = path[1:].split("/")
    COMPARED[client, kind, packing] += 1


def outcome(read, response):
    """What came of it, errors included, in few bytes."""
    try:
        value = read(response)
    except Exception as error:
        return type(error).__name__
    return hashlib.sha256(value if isinstance(value, bytes) else pickle.dumps(value, 4)).hexdigest()


def compare_requests(root, cases):
    auth = TokenAuth.__new__(TokenAuth)
    auth._policy, auth._referer = Policy(Provider(), root, own_proxies=True), None
    plain, signed = requests.Session(), requests.Session()
    plain.trust_env = signed.trust_env = False
    signed.auth = auth
    for path in cases:
        for name, read in STREAMED.items():
            if is_large(path) and name in SLOW:
                continue
            same("requests", path, name, *(outcome(read, one.get(root + path, stream=True)) for one in (plain, signed)))
        for read in (lambda r: r.content, lambda r: r.raw.read(), lambda r: b"".join(r.iter_content(100))):
            same("requests", path, "not streamed", *(outcome(read, one.get(root + path)) for one in (plain, signed)))


HTTPX = {
    "read": lambda r: r.read(),
    "text": lambda r: (r.read(), r.text),
    "iter_bytes": lambda r: b"".join(r.iter_bytes(100)),
    "iter_raw": lambda r: b"".join(r.iter_raw()),
    "iter_text": lambda r: "".join(r.iter_text()),
    "iter_lines": lambda r: list(r.iter_lines()),
    "size": lambda r: (len(b"".join(r.iter_raw(10_000))), r.num_bytes_downloaded),
}


def httpx_auth(root):
    auth = HttpxTokenAuth.__new__(HttpxTokenAuth)
    auth._auth = TokenAuth.__new__(TokenAuth)
    auth._auth._policy, auth._auth._referer = Policy(Provider(), root, own_proxies=True), None
    return auth


def compare_httpx(root, cases):
    with httpx.Client(trust_env=False) as plain, httpx.Client(trust_env=False, auth=httpx_auth(root)) as signed:
        for path in cases:
            for name, read in HTTPX.items():
                if is_large(path) and name in SLOW:
                    continue
                results = []
                for one in (plain, signed):
                    with one.stream("GET", root + path) as response:
                        results.append(outcome(read, response))
                same("httpx", path, name, *results)
            same("httpx", path, "not streamed", *(outcome(lambda r: r.content, one.get(root + path)) for one in (plain, signed)))


async def _gathered(chunks):
    return [chunk async for chunk in chunks]


async def compare_async_httpx(root, cases):
    clients = httpx.AsyncClient(trust_env=False), httpx.AsyncClient(trust_env=False, auth=httpx_auth(root))
    ways = {
        "aread": lambda r: r.aread(),
        "aiter_bytes": lambda r: _gathered(r.aiter_bytes(1000)),
        "aiter_raw": lambda r: _gathered(r.aiter_raw(1000)),
        "iter_lines": lambda r: _gathered(r.aiter_lines()),
    }
    for path in cases:
        for name, way in ways.items():
            if is_large(path) and name in SLOW:
                continue
            results = []
            for one in clients:
                async with one.stream("GET", root + path) as response:
                    try:
                        results.append(await way(response))
                    except Exception as error:
                        results.append(type(error).__name__)
            same("httpx, async", path, name, *results)
    for one in clients:
        await one.aclose()


def cases():
    """Kind, packing, framing and length, as the path that the portal serves."""
    # Of the large bodies each framing once for each kind and each packing, because each takes
    # seconds.
    for kind, packing, length in BODIES:
        for number, framing in enumerate(FRAMINGS):
            turn = list(KINDS).index(kind) + PACKINGS.index(packing)
            if length != LARGE or (kind != "error" and turn % len(FRAMINGS) == number):
                yield f"/{kind}/{packing}/{framing}/{length}"


for kind in KINDS:
    for length in LENGTHS:
        whole = body(kind, length)
        for packing in PACKINGS:
            BODIES[kind, packing, length] = packed(whole, packing)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
# Some ways of reading close the connection early.
server.handle_error = lambda *_: None
threading.Thread(target=server.serve_forever, daemon=True).start()
root = f"http://127.0.0.1:{server.server_port}"
paths = list(cases())
if not ALL:
    # A cut through all lengths, packings, framings and kinds: each value of each, not each with
    # each.
    paths = [path for number, path in enumerate(paths) if number % 11 == 0]
compare_requests(root, paths)
compare_httpx(root, paths)
asyncio.run(compare_async_httpx(root, paths))
server.shutdown()
clients = sorted({client for client, _, _ in COMPARED})
for client in clients:
    assert sum(count for (one, _, _), count in COMPARED.items() if one == client) > 100, COMPARED
    sys.stderr.write(f"\n{client:14}" + "".join(f"{packing or 'plain':>14}" for packing in PACKINGS) + "\n")
    for kind in KINDS:
        sys.stderr.write(f"{kind:14}" + "".join(f"{COMPARED[client, kind, packing]:14}" for packing in PACKINGS) + "\n")
sys.stderr.write(f"\n{len(paths)} bodies, {sum(COMPARED.values())} readings compared\n")
print("done")
