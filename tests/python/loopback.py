"""A portal at a loopback address is reached past all proxies, or the request is refused: no proxy sees its token."""

import http.server
import os
import socket
import threading

import httpx
import requests
from requests.adapters import HTTPAdapter

from age_oauth import HttpxTokenAuth, UsageError
from age_oauth._http import HEADER, TokenAuth
from age_oauth._policy import Policy
from age_oauth._wire import Wire


class Recorder(http.server.BaseHTTPRequestHandler):
    """Notes each request with its token; as a portal and as a proxy."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get(HEADER)))
        self.send_response(302 if self.path.endswith("/away") else 200)
        if self.path.endswith("/away"):
            self.send_header("Location", f"{root}/back")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, host):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.seen = []
        super().__init__((host, 0), Recorder)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Provider:
    value = "a-token"

    def token(self, min_ttl=None, server=""):
        return self

    kept = token


def auth(own_proxies):
    one = TokenAuth.__new__(TokenAuth)
    one._policy, one._referer = Policy(Provider(), root, own_proxies=own_proxies), None
    return one


class Adapter(Wire, HTTPAdapter):
    """As `get_gis` puts it into a session, without Esri's part."""


portal, proxy = Server("127.0.0.1"), Server("127.0.0.1")
root, proxy_root = (f"http://127.0.0.1:{one.server_port}" for one in (portal, proxy))
os.environ.update({"http_proxy": proxy_root, "HTTP_PROXY": proxy_root, "ALL_PROXY": proxy_root, "no_proxy": "", "NO_PROXY": ""})

# The proxy is in use: a request to another host reaches it.
assert requests.get("http://elsewhere.example/").ok
assert [path for path, _ in proxy.seen] == ["http://elsewhere.example/"], proxy.seen
proxy.seen.clear()

# A session of `get_gis`: the environment's proxy, and one that the caller sets.
for proxies in (None, {"http": proxy_root, "all": proxy_root}):
    for host in ("127.0.0.1", "localhost", "LOCALHOST"):
        root = f"http://{host}:{portal.server_port}"
        session = requests.Session()
        adapter = Adapter()
        session.auth = auth(own_proxies=True)
        adapter.policy = session.auth._policy
        session.mount("http://", adapter)
        if proxies:
            session.proxies = proxies
        portal.seen.clear()
        assert session.get(f"{root}/portal").ok and session.get(f"{root}/away").ok
        paths = [path for path, _ in portal.seen]
        assert paths == ["/portal", "/away", "/back"] and portal.seen[0][1] == "Bearer a-token", portal.seen
        # Other hosts are still reached through it.
        assert session.get("http://elsewhere.example/", auth=lambda request: request).ok
        assert proxy.seen.pop()[0] == "http://elsewhere.example/"
        assert not proxy.seen, proxy.seen
try:
    other = Server("::1")
except OSError:  # This system has no IPv6.
    other = None
if other is not None:
    root = f"http://[::1]:{other.server_port}"
    adapter.policy = Policy(Provider(), root, own_proxies=True)
    assert session.get(f"{root}/portal", auth=auth(own_proxies=True)).ok and other.seen and not proxy.seen, proxy.seen

# A session of a script, whose adapter is not ours: refused, with words, before anything is sent.
root = f"http://127.0.0.1:{portal.server_port}"
portal.seen.clear()
handler = HttpxTokenAuth.__new__(HttpxTokenAuth)
handler._auth = auth(own_proxies=False)
for get in (requests.get, httpx.get):
    try:
        get(f"{root}/portal", auth=handler._auth if get is requests.get else handler)
    except UsageError as error:
        assert "NO_PROXY" in error.hint, error
    else:
        raise AssertionError(f"{get} sent a token through a proxy")
assert not proxy.seen and not portal.seen, (proxy.seen, portal.seen)
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
for get in (requests.get, httpx.get):
    answer = get(f"{root}/portal", auth=handler._auth if get is requests.get else handler)
    assert answer.status_code == 200
assert [token for _, token in portal.seen] == ["Bearer a-token"] * 2 and not proxy.seen, portal.seen
print("done")
