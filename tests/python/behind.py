"""Behind a web server that asks for Windows sign-in or a client certificate: every way in which Python sends requests gets
through, and another host gets nothing of it."""

import asyncio
import importlib.util
import os
import pickle
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import requests
from network_support import Tunnel, proxy, server

import age_oauth
from age_oauth import _presented

front, label, username, cert, key, clients, temporary, other_pem = sys.argv[1:]
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


port = server(cert, key, Asks, clients)
elsewhere = f"https://localhost:{port}/picture"

# requests.
session = prod.session()
through(session.get(here, params=form))
through(session.post(here, data=form))
os.environ["REQUESTS_CA_BUNDLE"] = os.devnull
through(session.get(here, params=form))
del os.environ["REQUESTS_CA_BUNDLE"]
session.get(elsewhere)
session.post(elsewhere, data=form)
for nothing in (False, 0, ""):
    raises(lambda: session.get(here, verify=nothing), age_oauth.UsageError, "verify=False", "--verify-ssl")
    raises(lambda: session.get(elsewhere, verify=nothing), age_oauth.UsageError, "verify=False", "--verify-ssl")
raises(lambda: session.get(here, cert=(cert, key)), age_oauth.UsageError, "`cert` of one request", "--client-cert")
with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
try:
    session.get(here, params=form, proxies={"https": closed})
except requests.exceptions.RequestException as error:
    assert "Authorization" not in error.request.headers
else:
    raise AssertionError("nothing was raised")
through(pickle.loads(pickle.dumps(session)).get(here, params=form))

# httpx.
with prod.httpx_client() as client:
    through(client.get(here, params=form))
    through(client.post(here, data=form))
    client.get(elsewhere)
version = httpx.__version__
for old in ("0.25.2", "0.9", "0"):
    httpx.__version__ = old
    for make in (prod.httpx_client, prod.httpx_async_client):
        raises(make, age_oauth.AgeOAuthError, f"httpx {old} is too old", "0.26 or newer")
for new in ("1.0rc1", "0.26b0", version):
    httpx.__version__ = new
    prod.httpx_client().close()
for name in ("verify", "proxy", "transport", "cert"):
    raises(lambda: prod.httpx_client(**{name: None}), age_oauth.UsageError, f"`{name}` is decided by the connection")


async def asynchronous():
    async with prod.httpx_async_client() as client:
        for response in await asyncio.gather(client.get(here, params=form), client.post(here, data=form)):
            through(response)
        await client.get(elsewhere)


asyncio.run(asynchronous())


async def made_in_a_thread():
    """While a client is made, which waits for the program, the loop goes on."""
    turns, making = 0, asyncio.create_task(asyncio.to_thread(prod.httpx_async_client))
    while not making.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > 1, turns
    async with making.result() as client:
        through(await client.get(here, params=form))


asyncio.run(made_in_a_thread())

# Esri's package, which a Python with older versions of `requests` and `httpx` may lack.
if importlib.util.find_spec("arcgis"):
    gis = prod.get_gis()
    assert gis.users.me.username == username
    gis.session.get(elsewhere)
    assert gis._con.post("community/self", form)["username"] == username

# Through a proxy.
address = proxy()
for shown in (f"http://{address}", address):
    os.environ["HTTPS_PROXY"] = shown
    through(prod.session().post(here, data=form))
    with prod.httpx_client() as client:
        through(client.get(here, params=form))

    async def through_a_proxy():
        async with prod.httpx_async_client() as client:
            through(await client.get(here, params=form))

    asyncio.run(through_a_proxy())
del os.environ["HTTPS_PROXY"]
assert len(Tunnel.seen) == 6, Tunnel.seen

assert Asks.seen and not any(any(one) for one in Asks.seen), Asks.seen

# One process answered all of it. If it ends, another one does.
first = _presented._helper._process
first.terminate()
first.wait()
through(prod.session().get(here, params=form))
through(prod.session().post(here, data=form))
def in_child():
    """What a process does that was forked while other threads wait for answers."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 1
        try:
            code = 0 if through(prod.session().get(here, params=form)) else 1
        finally:
            _presented._helper.end()
            os._exit(code)
    return os.waitpid(child, 0)[1]


if hasattr(os, "fork"):
    ended = threading.Event()

    def ask():
        while not ended.is_set():
            _presented.Presented(prod)._ask("certificate")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        assert [in_child() for _ in range(5)] == [0] * 5
    finally:
        ended.set()
        for one in threads:
            one.join()
    through(prod.session().get(here, params=form))

# The process of another environment answers for another home, and with other tickets.
first = _presented._helper._process
os.environ["AGE_OAUTH_KEYCHAIN_TIMEOUT"] = "30s"
through(prod.session().get(here, params=form))
assert front == "certificate" or _presented._helper._process is not first

if front == "certificate":
    # Another certificate counts from the next session on.
    before = _presented.Presented(prod)._ask("certificate")["certificate"]
    age_oauth._program.ask("connections", "edit", prod.id, "--client-cert", other_pem, "--no-check")
    after = _presented.Presented(prod)._ask("certificate")["certificate"]
    assert before != after
    assert prod.session().get(here, params=form).status_code == 400
if front == "windows":
    # Another program takes the setting away: what runs presents nothing from then on.
    age_oauth._program.ask("connections", "edit", prod.id, "--web-tier", "none", "--no-check")
    assert session.get(here, params=form).status_code == 401
assert not list(Path(temporary).iterdir()), list(Path(temporary).iterdir())
print("done")
