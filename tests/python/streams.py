"""Of a body nothing is read but the first bytes of JSON: what a server sends bit by bit arrives bit by bit."""

import http.server
import threading

import requests

from age_oauth._http import Policy, TokenAuth

arrived = threading.Event()


class Drip(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if "tile" in self.path else "application/json")
        self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(b"[" + b" " * 99)
        self.wfile.flush()
        # The rest comes when the client has seen the beginning.
        assert arrived.wait(60)
        self.wfile.write(b" " * 1899 + b"]")

    def log_message(self, *_):
        pass


class One:
    def token(self, min_ttl=None, server=""):
        return self

    value = "a-token"


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip)
threading.Thread(target=server.serve_forever, daemon=True).start()
root = f"http://127.0.0.1:{server.server_port}"
auth = TokenAuth.__new__(TokenAuth)
auth._policy = Policy(One(), root)
auth._referer = None
session = requests.Session()
session.trust_env = False
for path in ("tile", "json"):
    arrived.clear()
    with session.get(f"{root}/{path}", auth=auth, stream=True) as answer:
        arrived.set()
        assert answer.request.headers["X-Esri-Authorization"] == "Bearer a-token"
        whole = answer.content
        assert len(whole) == 2000 and whole.endswith(b"]"), (path, len(whole))
server.shutdown()
print("done")
