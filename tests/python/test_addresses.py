"""Which token belongs to an address: the table that the program is tested with, too. Only the standard library."""

import json
import pathlib
import unittest

from age_oauth import _policy

TABLES = json.loads((pathlib.Path(__file__).parent.parent / "addresses.json").read_text(encoding="utf-8"))["tables"]


class Provider:
    """Says for which server it was asked."""

    def token(self, min_ttl, server=""):
        return type("Token", (), {"value": f"for {server}"})


class Addresses(unittest.TestCase):
    def test_the_table_of_addresses_says_which_token_belongs_where(self):
        count = 0
        for table in TABLES:
            policy = _policy.Policy(Provider(), table["portal"], table.get("api_url"))
            for url, expected in table["cases"]:
                with self.subTest(portal=table["portal"], url=url):
                    token = policy.token(url)
                    if expected == "none":
                        self.assertIsNone(token)
                    elif expected == "elsewhere":
                        self.assertNotIn(token, (None, "for "))
                    else:
                        self.assertEqual(token, "for " + ("" if expected == "portal" else expected))
                count += 1
        self.assertGreater(count, 90)


if __name__ == "__main__":
    unittest.main()
