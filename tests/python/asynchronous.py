"""The loop never waits for a token; rejections in every form are noticed; a body that cannot be repeated is sent once; what
a foreign host redirects to is not signed."""

import asyncio
import gzip
import http.server
import io
import json
import threading
import zlib

import backports.zstd
import brotli
import httpx
import requests

from age_oauth import HttpxTokenAuth
from age_oauth._http import HEADER, TokenAuth
from age_oauth._policy import Policy

#: A bound for waits that end at once if the code is right, in seconds.
LONG = 30

FLAT = {"status": "error", "messages": ["Invalid Token."], "code": 498}
NESTED = {"error": {"code": 498, "message": "Invalid token.", "details": []}}
#: The forms of a rejection: type, packing, content.
FORMS = {
    "json": ("application/json", "", NESTED),
    "text": ("text/plain;charset=utf-8", "", NESTED),
    "gzip": ("application/json", "gzip", NESTED),
    "deflate": ("application/json", "deflate", NESTED),
    "bare": ("text/plain", "deflate", NESTED),
    "br": ("application/json", "br", NESTED),
    "zstd": ("application/json", "zstd", NESTED),
    "flat": ("application/json", "", FLAT),
    "flat-text": ("text/plain", "gzip", FLAT),
}
PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": backports.zstd.compress}
seen = []


class Portal(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: A foreign host redirects to this address.
    away = None

    def answer(self, status, kind, packing, content, **headers):
        if packing:
            bare = self.path.endswith("bare")
            content = PACK[packing](content)[2:-4] if bare else PACK[packing](content)
            headers["Content-Encoding"] = packing
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get(HEADER)
        seen.append((self.path, token, body))
        if self.away and "/498" not in self.path:
            return self.answer(302, "text/plain", "", b"", Location=self.away)
        if "/away" in self.path:
            return self.answer(302, "text/plain", "", b"", Location=f"{foreign_root}/498")
        kind, packing, rejection = FORMS.get(self.path.strip("/"), FORMS["json"])
        content = {"ok": True} if token == "Bearer good" else rejection
        self.answer(200, kind, packing, json.dumps(content).encode())

    do_GET = do_POST

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


class Provider:
    """Has a token that the portal rejects, then one that is rejected, too, then a good one."""

    def __init__(self, *values, gate=None):
        self.values, self.gate = list(values), gate

    def kept(self, server=""):
        return None

    def token(self, min_ttl=None, server=""):
        if self.gate is not None:
            assert self.gate.wait(LONG), "the loop waits for the token"
        self.value = self.values[0]
        return self

    def instead_of(self, rejected, server="", **_):
        self.values = [one for one in self.values if one != rejected]
        return self.token(None, server)


def handlers(root, *values, gate=None):
    class Ours(Provider):
        def token(self, min_ttl=None, server=""):
            if server:
                from age_oauth import PortalRefused

                raise PortalRefused("no")
            return super().token(min_ttl, server)

    auth = TokenAuth.__new__(TokenAuth)
    auth._policy, auth._referer = Policy(Ours(*values, gate=gate), root, own_proxies=True), None
    other = HttpxTokenAuth.__new__(HttpxTokenAuth)
    other._auth = auth
    return auth, other


server, root = serve(Portal)
session = requests.Session()
session.trust_env = False

for form in FORMS:
    for stream in (False, True):
        seen.clear()
        auth, other = handlers(root, "old", "newer", "good")
        answer = session.get(f"{root}/{form}", auth=auth, stream=stream)
        assert answer.json() == {"ok": True}, (form, stream)
        assert [len(seen), len(answer.history)] == [3, 2], (form, seen)
    auth, other = handlers(root, "old", "newer", "good")
    with httpx.Client(trust_env=False, auth=other) as client:
        assert client.get(f"{root}/{form}").json() == {"ok": True}, form
    # Two steps are the most, and the answer stays as it was.
    seen.clear()
    auth, other = handlers(root, "1", "2", "3", "4", "5")
    assert session.get(f"{root}/{form}", auth=auth).json() == FORMS[form][2]
    assert len(seen) == 3
    seen.clear()
    auth, other = handlers(root, "1", "2", "3", "4", "5")
    with httpx.Client(trust_env=False, auth=other) as client:
        assert client.get(f"{root}/{form}").json() == FORMS[form][2]
    assert len(seen) == 3


def parts():
    yield b"first"
    yield b"second"


async def async_parts():
    yield b"first"
    yield b"second"


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


async def posts_once():
    async with httpx.AsyncClient(trust_env=False, auth=handlers(root, "old", "good")[1]) as client:
        return (await client.post(f"{root}/json", content=async_parts())).json()


# A body that can be read once is sent once.
with httpx.Client(trust_env=False, auth=handlers(root, "old", "good")[1]) as client:
    for post in (
        lambda: session.post(f"{root}/json", data=parts(), auth=handlers(root, "old", "good")[0]).json(),
        lambda: session.post(f"{root}/json", data=Unseekable(b"firstsecond"), auth=handlers(root, "old", "good")[0]).json(),
        lambda: client.post(f"{root}/json", content=parts(), auth=handlers(root, "old", "good")[1]).json(),
        lambda: client.post(f"{root}/json", content=io.BytesIO(b"firstsecond"), auth=handlers(root, "old", "good")[1]).json(),
        lambda: asyncio.run(posts_once()),
    ):
        seen.clear()
        assert post() == NESTED
        assert [body for _, _, body in seen] == [b"firstsecond"], seen
    # Others are sent as they were.
    for post in (
        lambda: session.post(f"{root}/json", data=io.BytesIO(b"ab"), auth=handlers(root, "old", "good")[0]).json(),
        lambda: session.post(f"{root}/json", files={"a": b"ab"}, auth=handlers(root, "old", "good")[0]).json(),
        lambda: client.post(f"{root}/json", data={"a": "ab"}, auth=handlers(root, "old", "good")[1]).json(),
        lambda: client.post(f"{root}/json", files={"a": io.BytesIO(b"ab")}, auth=handlers(root, "old", "good")[1]).json(),
    ):
        seen.clear()
        assert post() == {"ok": True}
        assert len(seen) == 2 and seen[0][2] == seen[1][2] and b"ab" in seen[1][2], seen


async def the_loop_goes_on():
    gate = threading.Event()
    async with httpx.AsyncClient(trust_env=False, auth=handlers(root, "old", "good", gate=gate)[1]) as client:
        requests = [asyncio.create_task(client.get(f"{root}/json")) for _ in range(3)]
        await asyncio.sleep(0)
        # Reached only if the loop does not wait for the token; each token waits for this.
        await asyncio.sleep(0.01)
        gate.set()
        for answer in await asyncio.gather(*requests):
            assert answer.json() == {"ok": True}


asyncio.run(the_loop_goes_on())

# A foreign host redirects to the portal: the request is the foreign host's.
foreign, foreign_root = serve(type("Foreign", (Portal,), {"away": f"{root}/json"}))
seen.clear()
auth, other = handlers(root, "good")
assert session.get(f"{foreign_root}/x", auth=auth).json() == NESTED
with httpx.Client(trust_env=False, auth=other, follow_redirects=True) as client:
    assert client.get(f"{foreign_root}/x").json() == NESTED
assert len(seen) == 4 and all(token is None for _, token, _ in seen), seen
# The portal redirects to a foreign host, which says that the token is invalid: it causes no
# renewal.
seen.clear()
auth, other = handlers(root, "old", "good")
assert session.get(f"{root}/away", auth=auth).json() == NESTED
with httpx.Client(trust_env=False, auth=other, follow_redirects=True) as client:
    assert client.get(f"{root}/away").json() == NESTED
assert [token for _, token, _ in seen] == ["Bearer old", None] * 2, seen
server.shutdown()
foreign.shutdown()
print("done")
