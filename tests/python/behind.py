"""Behind a web server that asks for Windows sign-in or a client certificate: every way in which Python sends requests gets
through, and another host gets nothing of it."""

import asyncio
import os
import pickle
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import age_oauth
from age_oauth import _presented

front, label, username, cert, key, clients, temporary = sys.argv[1:]
os.environ["TMPDIR"] = os.environ["TEMP"] = temporary
prod = age_oauth.Connection(label)
here = f"{prod.api_url}/sharing/rest/community/self"
form = {"f": "json"}


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        return
    raise AssertionError("nothing was raised")


def through(response):
    assert response.status_code == 200, (response.status_code, response.text)
    assert response.json()["username"] == username, response.text
    assert "Authorization" not in response.request.headers
    return True


class Asks(BaseHTTPRequestHandler):
    """Another server that asks for both."""

    seen = []

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.headers.get("Authorization"), self.connection.getpeercert() or None))
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Negotiate")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
if clients:
    context.load_verify_locations(clients)
    context.verify_mode = ssl.CERT_OPTIONAL
other = ThreadingHTTPServer(("127.0.0.1", 0), Asks)
other.socket = context.wrap_socket(other.socket, server_side=True)
threading.Thread(target=other.serve_forever, daemon=True).start()
elsewhere = f"https://localhost:{other.server_address[1]}/picture"

# requests.
session = prod.session()
through(session.get(here, params=form))
through(session.post(here, data=form))
os.environ["REQUESTS_CA_BUNDLE"] = os.devnull
through(session.get(here, params=form))
del os.environ["REQUESTS_CA_BUNDLE"]
session.get(elsewhere)
session.post(elsewhere, data=form)
raises(lambda: session.get(here, verify=False), age_oauth.UsageError, "verify=False", "--verify-ssl")
through(pickle.loads(pickle.dumps(session)).get(here, params=form))

# httpx.
with prod.httpx_client() as client:
    through(client.get(here, params=form))
    through(client.post(here, data=form))
    client.get(elsewhere)
raises(lambda: prod.httpx_client(verify=False), age_oauth.UsageError, "`verify` is decided by the connection")


async def asynchronous():
    async with prod.httpx_async_client() as client:
        for response in await asyncio.gather(client.get(here, params=form), client.post(here, data=form)):
            through(response)
        await client.get(elsewhere)


asyncio.run(asynchronous())

# Esri's package.
gis = prod.get_gis()
assert gis.users.me.username == username
gis.session.get(elsewhere)
assert gis._con.post("community/self", form)["username"] == username

assert Asks.seen and not any(any(one) for one in Asks.seen), Asks.seen

# One process answered all of it. If it ends, another one does.
first = _presented._helper._process
first.kill()
first.wait()
through(prod.session().get(here, params=form))
through(prod.session().post(here, data=form))
if hasattr(os, "fork"):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if through(prod.session().get(here, params=form)) else 1
        finally:
            _presented._helper.end()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    through(prod.session().get(here, params=form))

if front == "windows":
    # Another program takes the setting away: what runs presents nothing from then on.
    age_oauth._program.ask("connections", "edit", prod.id, "--web-tier", "none", "--no-check")
    assert session.get(here, params=form).status_code == 401
assert not list(Path(temporary).iterdir()), list(Path(temporary).iterdir())
print("done")
