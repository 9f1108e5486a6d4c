"""A web server that asks for a client certificate: Esri's package presents it to the portal, and to no other host."""

import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import requests

import age_oauth

username, ca, cert, key, folder = sys.argv[1:]
# Not an argument: every user of the machine can read those.
password = sys.stdin.readline().rstrip("\n")
folder = Path(folder)
temporary = folder / "temporary"
temporary.mkdir()
os.environ["TMPDIR"] = os.environ["TEMP"] = str(temporary)


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        return error
    raise AssertionError("nothing was raised")


# The certificate of the connection is presented without being named.
assert age_oauth.get_gis("prod").users.me.username == username
# A certificate of a server that is not trusted is another error.
untrusted = {"cert_file": cert, "key_file": key, "ca_bundles": certifi.where()}
raises(lambda: age_oauth.get_gis("prod", **untrusted), age_oauth.PortalUnreachable, "could not be verified")


def refused(words, **options):
    raises(lambda: age_oauth.get_gis("prod", **options), age_oauth.UsageError, *words)


encrypted = str(folder / "encrypted.key")
stranger = {"cert_file": str(folder / "stranger.pem"), "key_file": str(folder / "stranger.key")}
refused(("PKCS#12", "openssl pkcs12"), cert_file="ana.P12", password="x")
refused(("cannot be read", "missing.pem"), cert_file=str(folder / "missing.pem"), key_file=key)
refused(("does not belong to the certificate",), cert_file=cert, key_file=stranger["key_file"])
refused(("protected by a password", "password="), cert_file=cert, key_file=encrypted)
refused(("the password is wrong",), cert_file=cert, key_file=encrypted, password="wrong")
refused(("could be read as PEM",), cert_file=ca)
refused(("no `cert_file`",), key_file=key)
refused(("`cert_file` is the path of a file",), cert_file=5)
for name in ("username", "password", "token", "api_key", "session", "profile", "url", "adapter", "custom_auth"):
    refused((f"`{name}` cannot be passed",), **{name: "x"})
error = raises(lambda: age_oauth.get_gis("prod", **stranger), age_oauth.PortalUnreachable, "no usable response")
assert "verified" not in str(error), error

# The key may be encrypted, and both may be in one file.
gis = age_oauth.get_gis("prod", cert_file=cert, key_file=encrypted, password=password)
assert gis.users.me.username == username
both = folder / "both.pem"
both.write_text(Path(cert).read_text() + Path(key).read_text())
gis = age_oauth.Connection("prod").get_gis(cert_file=both, username=None)
assert gis.users.me.username == username


class Asks(BaseHTTPRequestHandler):
    """Another server that asks for a certificate, and takes a request without one, too."""

    presented = []

    def do_GET(self):
        self.presented.append(self.connection.getpeercert())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem", folder / "server.key")
context.load_verify_locations(folder / "clients.pem")
context.verify_mode = ssl.CERT_OPTIONAL
other = ThreadingHTTPServer(("127.0.0.1", 0), Asks)
other.socket = context.wrap_socket(other.socket, server_side=True)
threading.Thread(target=other.serve_forever, daemon=True).start()
url = f"https://localhost:{other.server_address[1]}/arcgis/rest/info"
gis.session.get(url, params={"f": "json"})
gis._con.post(url, {"f": "json"})
assert Asks.presented == [None, None] or Asks.presented == [{}, {}], Asks.presented
requests.get(url, cert=(cert, key), verify=ca)
assert Asks.presented[2], "the server does not ask"

# Neither one request nor the session takes another one, and the session stays as it is.
here = f"{gis.url}/sharing/rest/community/self?f=json"
adapters = dict(gis.session.adapters)
raises(lambda: gis.session.get(here, cert=(cert, key)), age_oauth.UsageError, "every host", "cert_file=")
raises(lambda: gis._con.get(here, {"f": "json"}) and gis.session.post(url, cert=cert), age_oauth.UsageError, "every host")
raises(lambda: setattr(gis.session, "cert", (cert, key)), age_oauth.UsageError, "cannot be changed")
raises(lambda: setattr(gis.session, "verify", False), age_oauth.UsageError, "cannot be changed")
# What an unverified server would get: neither by Esri's session nor by that of requests below it.
for unverified in (False, 0, ""):
    raises(lambda: gis.session._session.get(here, verify=unverified), age_oauth.UsageError, "verify=False")
assert gis.session.verify is True and dict(gis.session.adapters) == adapters
for address in (here, here.replace("https://localhost", "HTTPS://LOCALHOST")):
    assert gis.session.get(address).json()["username"] == username
# No private key stays behind.
assert not list(temporary.iterdir()), list(temporary.iterdir())
print("done")
