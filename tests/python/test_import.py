"""What an import of the package costs: the modules that it loads. Only the standard library."""

import os
import pathlib
import subprocess
import sys
import unittest

import age_oauth

#: Modules that take longer than the whole package, or lead to such.
HEAVY = {
    "argparse",
    "arcgis",
    "asyncio",
    "csv",
    "ctypes",
    "datetime",
    "email",
    "enum",
    "http",
    "httpx",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "re",
    "requests",
    "shlex",
    "socket",
    "ssl",
    "subprocess",
    "sysconfig",
    "typing",
    "urllib",
    "urllib3",
    "zipfile",
}


def python(code):
    """What these lines print in a Python without any packages."""
    root = str(pathlib.Path(age_oauth.__file__).parent.parent)
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"]
    return subprocess.check_output(words, cwd=os.sep, universal_newlines=True)


def loads(statement):
    """The modules that a statement loads."""
    code = f"before = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - before))"
    return set(python(code).split())


class Import(unittest.TestCase):
    def test_an_import_loads_no_heavy_module(self):
        loaded = loads("import age_oauth")
        self.assertIn("age_oauth.connection", loaded)
        self.assertEqual(loaded & HEAVY, set())

    def test_every_name_is_there_without_other_packages(self):
        loaded = loads("from age_oauth import *; import age_oauth; age_oauth.oauth.get_gis; age_oauth.connections.ConnectionStore")
        self.assertLessEqual({"age_oauth.oauth", "age_oauth._http", "age_oauth.connections"}, loaded)
        self.assertEqual(loaded & {"httpx", "requests", "arcgis"}, set())

    def test_without_httpx_its_handler_says_so(self):
        said = python(
            "import age_oauth\n"
            "try: age_oauth.HttpxTokenAuth('prod')\n"
            "except age_oauth.AgeOAuthError as error: print(error)"
        )
        self.assertIn("pip install httpx", said)


if __name__ == "__main__":
    unittest.main()
