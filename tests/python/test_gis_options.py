"""Which addresses get the client certificate of a session."""

import unittest

from age_oauth import UsageError, _gis_options


def gets_it(api_url, address):
    """As ``requests.Session.get_adapter`` compares the addresses of prepared requests, whose path is never empty."""
    return any(address.lower().startswith(prefix.lower()) for prefix in _gis_options.prefixes(api_url))


class Prefixes(unittest.TestCase):
    def test_scheme_host_and_port_decide(self):
        for api_url, address, expected in (
            ("https://gis.example.com/portal", "https://gis.example.com/portal/x", True),
            ("https://gis.example.com/portal", "https://gis.example.com:443/server", True),
            ("https://gis.example.com:443/portal", "https://gis.example.com/", True),
            ("https://GIS.example.com/portal", "HTTPS://gis.EXAMPLE.com/?f=json", True),
            ("https://gis.example.com:7443/arcgis", "https://gis.example.com:7443/x", True),
            ("https://[::1]:7443/arcgis", "https://[::1]:7443/x", True),
            ("https://gis.example.com:7443/arcgis", "https://gis.example.com/x", False),
            ("https://gis.example.com:744/arcgis", "https://gis.example.com:7443/x", False),
            ("https://gis.example.com:7443/arcgis", "https://gis.example.com:744/x", False),
            ("https://gis.example.com/portal", "https://gis.example.com:7443/x", False),
            ("https://gis.example.com/portal", "https://gis.example.com.other.org/x", False),
            ("https://gis.example.com/portal", "https://gis.example.com@other.org/x", False),
            ("https://gis.example.com/portal", "https://gis.example.com:443@other.org/x", False),
            ("https://gis.example.com/portal", "https://other.org/https://gis.example.com/", False),
            ("https://gis.example.com/portal", "http://gis.example.com/portal", False),
        ):
            self.assertEqual(gets_it(api_url, address), expected, (api_url, address))

    def test_a_portal_without_tls_gets_none(self):
        with self.assertRaises(UsageError):
            _gis_options.prefixes("http://localhost:8080/portal")


class Imports(unittest.TestCase):
    def test_only_a_missing_package_is_called_missing(self):
        for error, missing in (
            (ModuleNotFoundError("No module named 'arcgis'", name="arcgis"), True),
            (ModuleNotFoundError("No module named 'arcgis.auth'", name="arcgis.auth"), True),
            (ImportError("cannot import name 'EsriAPIKeyAuth'", name="arcgis.auth"), True),
            (ModuleNotFoundError("No module named 'six'", name="six"), False),
            (ModuleNotFoundError("Required arcpy not found."), False),
            (ModuleNotFoundError("No module named 'arcgis_mapping'", name="arcgis_mapping"), False),
        ):
            failure = _gis_options.import_failure(error)
            self.assertEqual("is not installed" in failure.message, missing, failure)
            self.assertEqual("pip install" in failure.hint, missing, failure)
            self.assertEqual(str(error) in failure.message, not missing, failure)


if __name__ == "__main__":
    unittest.main()
