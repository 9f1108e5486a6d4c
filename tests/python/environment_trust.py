"""What every way to send requests trusts: authorities of variables are added to those of the system, within limits."""

import asyncio
import os
import pathlib
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi

username, folder = sys.argv[1:]
folder = pathlib.Path(folder)
# Whatever `certifi` has does not count where the system has authorities.
certifi.where = lambda: str(folder / "added.pem")

import age_oauth

prod = age_oauth.Connection("prod")
here = f"{prod.api_url}/sharing/rest/community/self"
form = {"f": "json"}


class Other(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "other.pem", folder / "other.key")
server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
server.handle_error = lambda *_: None
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
elsewhere = f"https://localhost:{server.server_port}/"


def with_httpx(url):
    with prod.httpx_client() as client:
        return client.get(url, params=form)


def with_httpx_in_a_loop(url):
    async def get():
        async with prod.httpx_async_client() as client:
            return await client.get(url, params=form)

    return asyncio.run(get())


ways = {
    "requests": lambda url: prod.session().get(url, params=form),
    "httpx": with_httpx,
    "httpx, asynchronous": with_httpx_in_a_loop,
}
with_gis = {**ways, "arcgis": lambda url: prod.get_gis().session.get(url, params=form)}


def refuses(way, get):
    try:
        get(elsewhere)
    except Exception as error:
        assert "certificate" in str(error), (way, error)
    else:
        raise AssertionError(f"{way}: {elsewhere} was accepted")


for way, get in ways.items():
    assert get(here).json()["username"] == username, way
    refuses(way, get)
certifi.where = lambda: str(folder / "own.pem")

# A FIFO is not waited for, and a device is not read to its end.
bundles = folder / "bundles"
bundles.mkdir()
fifo = bundles / "fifo.pem"
os.mkfifo(fifo)
large = folder / "large"
with open(large, "wb") as file:
    file.truncate(17 * 1024 * 1024)
for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
    for path in (fifo, "/dev/zero", large, bundles):
        os.environ[variable] = str(path)
        for way, get in with_gis.items() if path == fifo else ways.items():
            assert get(here).json()["username"] == username, (way, variable, path)
        del os.environ[variable]

# In addition to the connection's own.
added = folder / "folder"
added.mkdir()
(added / "any-name").write_bytes((folder / "added.pem").read_bytes())
for variable, path in (
    ("SSL_CERT_FILE", folder / "added.pem"),
    ("REQUESTS_CA_BUNDLE", folder / "added.pem"),
    ("CURL_CA_BUNDLE", folder / "added.pem"),
    ("SSL_CERT_DIR", added),
):
    os.environ[variable] = str(path)
    for way, get in with_gis.items():
        assert get(here).json()["username"] == username, (way, variable)
        assert get(elsewhere).status_code == 200, (way, variable)
    del os.environ[variable]
print("done")
