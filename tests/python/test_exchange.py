"""What goes out in place of the placeholder, by kind of place and by host. Only the standard library."""

import copy
import json
import os
import pathlib
import subprocess
import sys
import unittest
from urllib.parse import parse_qsl, quote, urlsplit

from age_oauth import PortalRefused, _exchange
from age_oauth._exchange import PLACEHOLDER, outgoing, returned
from age_oauth._policy import Policy

PORTAL = "https://gis.example.com/portal"
SERVER = "https://gis.example.com/server"
FOREIGN = "https://tiles.stranger.example/arcgis"
HEADER = "X-Esri-Authorization"

#: What belongs to each host.
TOKENS = {PORTAL: "portal-token", SERVER: "server-token", FOREIGN: None}

#: A placeholder that another process made.
OLD = "age-oauth-placeholder-" + "0" * 32

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


class Provider:
    def token(self, min_ttl=None, server=""):
        if server not in ("", SERVER):
            raise PortalRefused("no")
        return type("Token", (), {"value": TOKENS[server or PORTAL]})


class Request:
    def __init__(self, url, body=None, headers=None):
        self.url, self.body, self.headers = url, body, dict(headers or {})

    def copy(self):
        return copy.deepcopy(self)


class Encoder:
    """As `MultipartEncoder` of requests_toolbelt."""

    boundary_value = "b"

    def __init__(self, fields, boundary):
        self.fields, self.len = fields, 1


def sent(url, body=None, headers=None):
    return outgoing(Request(url, body, headers), Policy(Provider(), PORTAL), HEADER)


def query(url):
    return dict(parse_qsl(urlsplit(url).query))


class PlaceByHost(unittest.TestCase):
    """The kinds of places in which Esri's code puts `gis._con.token`, each for each host."""

    def for_each_host(self, check):
        for base, token in TOKENS.items():
            with self.subTest(host=base):
                check(base, token)

    def test_the_query(self):
        def check(base, token):
            out = sent(f"{base}/rest/services/A/FeatureServer/0/query?f=json&token={PLACEHOLDER}&where=1%3D1")
            # Addresses are logged: the header carries the token.
            self.assertEqual(query(out.url), {"f": "json", "where": "1=1"})
            self.assertEqual(out.headers.get(HEADER), token and f"Bearer {token}")

        self.for_each_host(check)

    def test_a_form(self):
        def check(base, token):
            out = sent(f"{base}/rest/x", f"f=json&token={PLACEHOLDER}&csrfPreventToken={PLACEHOLDER}", _FORM)
            expected = {"f": "json", **({"token": token, "csrfPreventToken": token} if token else {})}
            self.assertEqual(dict(parse_qsl(out.body)), expected)
            self.assertEqual(out.headers["Content-Length"], str(len(out.body)))

        self.for_each_host(check)

    def test_json(self):
        def check(base, token):
            out = sent(f"{base}/rest/x", json.dumps({"inputTable": {"serviceToken": PLACEHOLDER}}).encode(), _JSON)
            self.assertEqual(json.loads(out.body), {"inputTable": {"serviceToken": token or ""}})

        self.for_each_host(check)

    def test_json_within_a_form(self):
        def check(base, token):
            value = json.dumps({"url": f"{SERVER}/rest/services/A/FeatureServer/0?token={PLACEHOLDER}"})
            out = sent(f"{base}/rest/x", f"inputLayer={quote(value)}", _FORM)
            expected = "server-token" if token else ""
            self.assertEqual(json.loads(dict(parse_qsl(out.body))["inputLayer"])["url"].rpartition("=")[2], expected)

        self.for_each_host(check)

    def test_a_multipart_form(self):
        def check(base, token):
            part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
            file = part.format("file", '; filename="notebook.ipynb"', f"kept {PLACEHOLDER}")
            body = part.format("token", "", PLACEHOLDER) + file + "--b--\r\n"
            out = sent(f"{base}/rest/x", body.encode(), _MULTIPART)
            expected = (part.format("token", "", token) if token else "") + file + "--b--\r\n"
            self.assertEqual(out.body.decode(), expected)

        self.for_each_host(check)

    def test_a_multipart_form_that_is_encoded_while_it_is_sent(self):
        def check(base, token):
            encoder = Encoder([("token", PLACEHOLDER), ("f", "json"), ("file", ("a.zip", b"..", "application/zip"))], "b")
            out = sent(f"{base}/rest/x", encoder, _MULTIPART)
            expected = ([("token", token)] if token else []) + [("f", "json"), ("file", ("a.zip", b"..", "application/zip"))]
            self.assertEqual(out.body.fields, expected)

        self.for_each_host(check)

    def test_a_header(self):
        def check(base, token):
            out = sent(f"{base}/rest/x", None, {"authorization": f"token={PLACEHOLDER}"})
            self.assertEqual(out.headers.get("authorization"), token and f"token={token}")

        self.for_each_host(check)

    def test_the_placeholder_of_another_process(self):
        def check(base, token):
            out = sent(f"{base}/x?token={OLD}&f=json&u={OLD}", f"token={OLD}&a=1&b=x{OLD}", _FORM)
            self.assertEqual((query(out.url), out.body), ({"f": "json"}, "a=1&b=x"))

        self.for_each_host(check)


    def test_the_placeholders_of_two_processes_differ(self):
        root = str(pathlib.Path(_exchange.__file__).parent.parent)
        asks = [sys.executable, "-c", "from age_oauth import _exchange; print(_exchange.PLACEHOLDER)"]
        other = subprocess.check_output(asks, env={**os.environ, "PYTHONPATH": root}, universal_newlines=True).strip()
        self.assertEqual(len(other), len(PLACEHOLDER))
        self.assertNotEqual(other, PLACEHOLDER)


class Exceptions(unittest.TestCase):
    def test_a_request_without_a_placeholder_is_untouched(self):
        request = Request(f"{PORTAL}/x", iter([b"1"]))
        self.assertIs(outgoing(request, Policy(Provider(), PORTAL), HEADER), request)

    def test_a_server_gets_no_token_of_the_portal_or_of_another_server(self):
        for nested in (PORTAL, FOREIGN):
            out = sent(f"{SERVER}/rest/x", json.dumps({"url": f"{nested}/x?token={PLACEHOLDER}"}), _JSON)
            self.assertTrue(json.loads(out.body)["url"].endswith("?token="), out.body)

    def test_the_portals_proxy_gets_the_token_for_the_address_behind_it(self):
        for base, token in TOKENS.items():
            out = sent(f"{PORTAL}/sharing/proxy?{base}/rest/x?a=b&token={PLACEHOLDER}")
            self.assertTrue(out.url.endswith(f"&token={token or ''}"), out.url)
            out = sent(f"{PORTAL}/sharing/proxy?u={quote(quote(f'{base}/rest/x?token={PLACEHOLDER}', ''), '')}")
            self.assertTrue(out.url.endswith(token or "token%253D"), out.url)

    def test_addresses_within_addresses_of_different_hosts_carry_nothing(self):
        out = sent(f"{PORTAL}/x", json.dumps({"url": f"{FOREIGN}/?u={PORTAL}/x?token={PLACEHOLDER}"}), _JSON)
        self.assertNotIn("portal-token", out.body)

    def test_content_that_is_stored_keeps_the_placeholder(self):
        text = json.dumps({"layers": [{"url": f"{SERVER}/rest/x?token={PLACEHOLDER}"}]})
        out = sent(f"{PORTAL}/sharing/rest/content/users/u/addItem", f"token={PLACEHOLDER}&text={quote(text)}", _FORM)
        self.assertEqual(dict(parse_qsl(out.body)), {"token": "portal-token", "text": text})

    def test_a_token_that_is_to_be_exchanged_stays_in_the_query(self):
        out = sent(f"{PORTAL}/sharing/rest/generateToken?token={PLACEHOLDER}&serverURL=x")
        self.assertEqual(query(out.url)["token"], "portal-token")

    def test_the_length_counts_bytes(self):
        out = sent(f"{PORTAL}/x", json.dumps({"q": "Größe", "token": PLACEHOLDER}, ensure_ascii=False), _JSON)
        self.assertEqual(json.loads(out.body), {"q": "Größe", "token": "portal-token"})
        self.assertEqual(out.headers["Content-Length"], str(len(out.body)))
        self.assertIsInstance(out.body, bytes)

    def test_a_redirect_keeps_its_encoding(self):
        request = Request(f"{PORTAL}/sharing/rest/generateToken?token={PLACEHOLDER}")
        out = outgoing(request, Policy(Provider(), PORTAL), HEADER)
        for token in ("portal-token", "portal%2dtoken"):
            response = type("Response", (), {"headers": {"Location": f"{FOREIGN}/?q=a%26b&token={token}"}})()
            returned(response, request, out, HEADER)
            self.assertEqual(query(response.headers["Location"])["token"], PLACEHOLDER)
        response.headers["Location"] = f"{FOREIGN}/?q=a%26b&token=portal-token"
        returned(response, request, out, HEADER)
        self.assertEqual(query(response.headers["Location"]), {"q": "a&b", "token": PLACEHOLDER})

    def test_the_caller_sees_the_placeholder(self):
        request = Request(f"{PORTAL}/sharing/rest/generateToken?token={PLACEHOLDER}")
        out = outgoing(request, Policy(Provider(), PORTAL), HEADER)
        response = type("Response", (), {"headers": {"Location": f"{FOREIGN}/?token=portal-token"}})()
        returned(response, request, out, HEADER)
        self.assertIs(response.request, request)
        self.assertEqual(response.url, request.url)
        self.assertNotIn("portal-token", response.headers["Location"])


if __name__ == "__main__":
    unittest.main()
