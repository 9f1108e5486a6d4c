"""Which addresses get the client certificate of a session; what is said if `arcgis` cannot be imported."""

import pathlib
import re
import unittest
from unittest import mock

from age_oauth import UsageError, _gis_options, _session


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
    def failure(self, error, version, has_arcpy=False):
        with mock.patch.object(_gis_options, "_arcgis_version", return_value=version), mock.patch.object(
            _session, "has_arcpy", return_value=has_arcpy
        ):
            return _gis_options.import_failure(error)

    def test_only_a_missing_package_is_called_missing_and_only_an_old_one_old(self):
        adapter = ImportError("cannot import name 'EsriTrustStoreAdapter' from 'arcgis.auth.tools'", name="arcgis.auth.tools")
        for error, version, expected in (
            (ModuleNotFoundError("No module named 'arcgis'", name="arcgis"), None, "is not installed"),
            (adapter, "2.3.1", "arcgis 2.3.1 is too old: get_gis needs 2.4 or newer"),
            (adapter, "2.3.0rc1", "arcgis 2.3.0rc1 is too old"),
            (adapter, None, "GIS, is too old: get_gis needs 2.4 or newer"),
            (ModuleNotFoundError("No module named 'arcgis.auth'", name="arcgis.auth"), "1.9.1", "arcgis 1.9.1 is too old"),
            (ModuleNotFoundError("No module named 'ntlm'", name="ntlm"), "2.1.0.3", "arcgis 2.1.0.3 is too old"),
            (adapter, "2.4.0", "cannot be imported"),
            (adapter, "10.0", "cannot be imported"),
            (adapter, "unknown", "cannot be imported"),
            (ModuleNotFoundError("No module named 'six'", name="six"), "2.4.4", "cannot be imported"),
            (ModuleNotFoundError("Required arcpy not found."), None, "cannot be imported"),
            (ModuleNotFoundError("No module named 'arcgis_mapping'", name="arcgis_mapping"), None, "cannot be imported"),
            (AttributeError("`np.float_` was removed"), "2.4.0", "cannot be imported"),
        ):
            failure = self.failure(error, version)
            self.assertIn(expected, failure.message)
            self.assertEqual(str(error) in failure.message, expected == "cannot be imported", failure)
            self.assertEqual("-m pip install" in failure.hint, expected != "cannot be imported", failure)
            # What pip would call satisfied already is a dead end.
            self.assertEqual('-U "arcgis>=2.4"' in failure.hint, "too old" in expected, failure)

    def test_a_missing_package_is_installed_here_and_beside_this_version(self):
        hint = self.failure(ModuleNotFoundError("No module named 'arcgis'", name="arcgis"), None).hint
        self.assertEqual(hint, f'{_session.python_command()} -m pip install "age-oauth[arcgis]>=0.3.0"')

    def test_packages_of_arcgis_pro_are_not_upgraded(self):
        error = ImportError("cannot import name 'EsriTrustStoreAdapter'", name="arcgis.auth.tools")
        failure = self.failure(error, "2.3.0", has_arcpy=True)
        self.assertIn("arcgis 2.3.0 is too old", failure.message)
        self.assertIn("ArcGIS Pro 3.4 or newer", failure.hint)
        self.assertNotIn("pip", failure.hint)

    def test_the_extras_ask_for_a_version_that_works(self):
        lines = (pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        extras = [line for line in lines if re.match("(arcgis|full) = ", line)]
        self.assertEqual(len(extras), 2)
        for line in extras:
            self.assertIn(f'["arcgis>={_gis_options.OLDEST_ARCGIS}",', line)


if __name__ == "__main__":
    unittest.main()
