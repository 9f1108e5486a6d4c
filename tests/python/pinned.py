"""A pinned certificate: every way in which Python sends requests accepts it at the portal, and nothing else because of it."""

import asyncio
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import age_oauth

username, folder, refused, trusted = sys.argv[1:]
prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"
form = {"f": "json"}


class Other(BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def server(name):
    """The port of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key"))
    made = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    made.handle_error = lambda *_: None
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made.server_port


def with_httpx(url):
    with prod.httpx_client() as client:
        return client.get(url, params=form)


def with_httpx_in_a_loop(url):
    async def get():
        async with prod.httpx_async_client() as client:
            return await client.get(url, params=form)

    return asyncio.run(get())


session = prod.session()
gis = prod.get_gis()
assert gis.users.me.username == username
ways = {
    "requests": lambda url: session.get(url, params=form),
    "httpx": with_httpx,
    "httpx, asynchronous": with_httpx_in_a_loop,
    "arcgis": lambda url: gis.session.get(url, params=form),
}
port = server(refused)
# At the host of the portal, and at another one.
addresses = [f"https://{host}:{port}/" for host in ("localhost", "127.0.0.1")]
for way, get in ways.items():
    assert get(here).json()["username"] == username, way
    for url in addresses:
        try:
            get(url)
        except Exception as error:
            assert "certificate" in str(error), (way, url, error)
        else:
            raise AssertionError(f"{way}: {url} was accepted")
assert Other.seen == [], Other.seen
if trusted != "none":
    url = f"https://127.0.0.1:{server(trusted)}/"
    for way, get in ways.items():
        assert get(url).status_code == 200, way
    assert len(Other.seen) == len(ways)
print("done")
