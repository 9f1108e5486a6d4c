"""Of a body nothing is read but the first bytes of JSON: what a server sends bit by bit arrives bit by bit."""

import asyncio
import gzip
import http.server
import threading

import httpx
import requests

from age_oauth import HttpxTokenAuth
from age_oauth._http import TokenAuth
from age_oauth._policy import Policy

arrived = threading.Event()


class Drip(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/packed":
            return self.packed()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if "tile" in self.path else "application/json")
        self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(b"[" + b" " * 99)
        self.wfile.flush()
        # The rest comes when the client has seen the beginning.
        assert arrived.wait(60)
        self.wfile.write(b" " * 1899 + b"]")

    def packed(self):
        """An error in chunks, packed, as Tomcat sends it; whole where the token is another one."""
        good = self.headers["X-Esri-Authorization"] == "Bearer another-token"
        body = gzip.compress(b'{"ok": true}' if good else b'{"error": {"code": 498, "message": "Invalid token."}}')
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (body[:20], body[20:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class One:
    def token(self, min_ttl=None, server=""):
        return self

    def kept(self, server=""):
        return self

    def instead_of(self, rejected, server="", **_):
        assert rejected == "a-token"
        other = One()
        other.value = "another-token"
        return other

    value = "a-token"


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip)
threading.Thread(target=server.serve_forever, daemon=True).start()
root = f"http://127.0.0.1:{server.server_port}"
auth = TokenAuth.__new__(TokenAuth)
auth._policy = Policy(One(), root)
auth._referer = None
session = requests.Session()
session.trust_env = False
httpx_auth = HttpxTokenAuth.__new__(HttpxTokenAuth)
httpx_auth._auth = auth
client = httpx.Client(auth=httpx_auth, trust_env=False)
for path in ("tile", "json"):
    arrived.clear()
    with session.get(f"{root}/{path}", auth=auth, stream=True) as answer:
        arrived.set()
        assert answer.request.headers["X-Esri-Authorization"] == "Bearer a-token"
        whole = answer.content
        assert len(whole) == 2000 and whole.endswith(b"]"), (path, len(whole))
    arrived.clear()
    with client.stream("GET", f"{root}/{path}") as answer:
        first = next(answer.iter_raw())
        arrived.set()
        assert first.startswith(b"["), first

assert session.get(f"{root}/packed", auth=auth).json() == {"ok": True}
assert client.get(f"{root}/packed").json() == {"ok": True}


async def drips():
    async with httpx.AsyncClient(auth=httpx_auth, trust_env=False) as one:
        assert (await one.get(f"{root}/packed")).json() == {"ok": True}
        arrived.clear()
        async with one.stream("GET", f"{root}/json") as answer:
            arrived.set()
            assert len(await answer.aread()) == 2000


asyncio.run(drips())
server.shutdown()
print("done")
