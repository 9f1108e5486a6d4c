"""How the address of a proxy is read: the table that the program is tested with, too. Only the standard library."""

import base64
import json
import os
import pathlib
import unittest
from unittest import mock
from urllib.parse import urlsplit

from age_oauth import UsageError, _proxies

TABLE = json.loads((pathlib.Path(__file__).parent.parent / "proxies.json").read_text(encoding="utf-8"))


class Proxies(unittest.TestCase):
    def test_the_table_of_proxies_says_how_each_is_read(self):
        for text, login, proxy in TABLE["read"]:
            with self.subTest(text):
                read = _proxies.readable(text)
                parts = urlsplit(read)
                host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
                self.assertEqual(f"{parts.scheme}://{host}:{parts.port or 80}", proxy)
                header = _proxies.authorization(read).get("Proxy-Authorization")
                sent = header and base64.b64decode(header.partition(" ")[2]).decode()
                self.assertEqual(sent, login)
                self.assertEqual(_proxies.readable(read), read)

    def test_what_cannot_be_read_is_an_error_without_the_password(self):
        for text in TABLE["refused"]:
            with self.subTest(text):
                with self.assertRaises(UsageError) as raised:
                    _proxies.readable(text)
                self.assertNotIn("canary", str(raised.exception))

    def test_the_environment_names_it_in_either_case(self):
        named = "http://DOMAIN\\me:p@w@proxy:3128"
        for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            with self.subTest(variable), mock.patch.dict(os.environ, {variable: named, "NO_PROXY": "other"}, clear=True):
                found = _proxies.of_the_environment("https://gis.example.com/portal")
                self.assertEqual(found, "http://DOMAIN%5Cme:p%40w@proxy:3128")
                self.assertIsNone(_proxies.of_the_environment("https://other/portal"))

    def test_the_table_of_proxies_says_which_hosts_need_none(self):
        for listed, url, excepted in TABLE["excepted"]:
            for variable in ("NO_PROXY", "no_proxy"):
                environment = {"HTTPS_PROXY": "http://proxy:3128", variable: listed}
                with self.subTest(listed, url=url), mock.patch.dict(os.environ, environment, clear=True):
                    self.assertEqual(_proxies.of_the_environment(url) is None, excepted)
                    self.assertEqual(_proxies.is_excepted(url), excepted)

    def test_a_proxy_of_another_kind_stays_as_it_is(self):
        self.assertEqual(_proxies.readable("socks5h://me:a/b@p:1"), "socks5h://me:a/b@p:1")


if __name__ == "__main__":
    unittest.main()
