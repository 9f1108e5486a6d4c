"""What is repeated of the errors of Esri's package. Only the standard library."""

import unittest

from age_oauth import _gis_errors


class Said(unittest.TestCase):
    def test_one_line_without_the_advice_to_verify_nothing(self):
        for error, expected in (
            (Exception("x\n(Error Code: 500)"), "x (Error Code: 500)"),
            (KeyError("portalName"), "KeyError: 'portalName'"),
            (AttributeError("'str' object has no attribute 'get'"), "AttributeError: 'str' object has no attribute 'get'"),
            (Exception(), "Exception"),
            (Exception("a\x1b[2J\x07\u202eb"), "a [2J b"),
            (OSError("Please set verify_cert=False due to encountered SSL error: EOF"), "OSError: EOF"),
            (
                Exception(
                    "An untrusted SSL error occurred when attempting to connect to the provided GIS.\n"
                    "If you trust this server and want to proceed, add 'verify_cert=False' as an "
                    "argument when connecting to the GIS."
                ),
                "An untrusted SSL error occurred when attempting to connect to the provided GIS.",
            ),
        ):
            self.assertEqual(_gis_errors.said(error), expected)

    def test_only_what_the_portal_refuses_is_a_refusal(self):
        for text, expected in (
            ("x (Error Code: 403)", True),
            ("x (Error Code: 498)", True),
            ("x (Error Code: 400)", True),
            ("x (Error Code: 408)", False),
            ("x (Error Code: 429)", False),
            ("x (Error Code: 500)", False),
            ("x (Error Code: 0)", False),
            ("KeyError: 'portalName'", False),
            ("the page (Error Code: 403) was seen", False),
        ):
            self.assertEqual(_gis_errors.is_refusal(text), expected, text)


if __name__ == "__main__":
    unittest.main()
