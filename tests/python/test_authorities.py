"""Where the authorities come from that Python trusts. Only the standard library."""

import contextlib
import os
import pathlib
import ssl
import sys
import tempfile
import types
import unittest
import warnings
from unittest import mock

from age_oauth import AgeOAuthWarning, _authorities, _files

#: An authority; of its certificates, only the bytes count here.
SEQUENCE = b"\x30\x03\x02\x01"


def pem(number):
    return ssl.DER_cert_to_PEM_cert(SEQUENCE + bytes([number]))


class Authorities(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, *numbers):
        path = self.folder / name
        path.write_text("# a comment\n" + "".join(map(pem, numbers)), encoding="ascii")
        return str(path)

    def of_the_environment(self, **variables):
        with mock.patch.dict(os.environ, variables), warnings.catch_warnings(record=True) as warned:
            for name in {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"} - set(variables):
                os.environ.pop(name, None)
            warnings.simplefilter("always")
            found = _authorities._of_the_environment()
        self.assertTrue(all(one.category is AgeOAuthWarning for one in warned), warned)
        return [one[-1] for one in found], [str(one.message) for one in warned]

    def test_the_first_file_that_can_be_read_applies(self):
        first, second = self.file("first.pem", 1, 2), self.file("second.pem", 3)
        self.assertEqual(self.of_the_environment(SSL_CERT_FILE=first, CURL_CA_BUNDLE=second), ([1, 2], []))
        found, warned = self.of_the_environment(SSL_CERT_FILE=os.devnull, REQUESTS_CA_BUNDLE=first, CURL_CA_BUNDLE=second)
        self.assertEqual(found, [1, 2])
        self.assertEqual(warned, [f"SSL_CERT_FILE names {os.devnull}, which was not read: it is not a regular file"])

    def test_files_of_folders_are_added(self):
        self.file("a.0", 4)
        self.file("b.0", 4, 5)
        self.assertEqual(self.of_the_environment(SSL_CERT_DIR=f"{self.folder}{os.pathsep}missing"), ([4, 5], []))

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no FIFO here")
    def test_a_fifo_a_device_and_a_large_file_are_not_read(self):
        fifo, large = self.folder / "fifo", self.folder / "large"
        os.mkfifo(fifo)
        with open(large, "wb") as file:
            file.truncate(_files.LARGEST + 1)
        for path, why in ((fifo, "not a regular file"), ("/dev/zero", "not a regular file"), (large, "larger than")):
            for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                with self.subTest(path=path, variable=variable):
                    found, warned = self.of_the_environment(**{variable: str(path)})
                    self.assertEqual(found, [])
                    self.assertRegex("".join(warned), f"^{variable} names .*{why}")
        self.assertEqual(self.of_the_environment(SSL_CERT_DIR=str(self.folder)), ([], []))

    def test_certifi_counts_where_the_system_has_no_authorities(self):
        theirs = types.SimpleNamespace(where=lambda: self.file("certifi.pem", 9))
        nothing = types.SimpleNamespace(openssl_cafile=str(self.folder / "none"), openssl_capath=str(self.folder / "none"))
        ours = self.file("ours.pem", 1)
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.dict(sys.modules, certifi=theirs))
            stack.enter_context(mock.patch.object(ssl, "get_default_verify_paths", lambda: nothing))
            for platform, bundles, expected in (("linux", (ours,), [1]), ("linux", (), [9]), ("darwin", (ours,), [9])):
                with mock.patch.object(sys, "platform", platform), mock.patch.object(_authorities, "_SYSTEM_BUNDLES", bundles):
                    self.assertEqual([one[-1] for one in _authorities._of_the_system()], expected)

    def test_what_windows_distrusts_is_not_taken_from_certifi(self):
        theirs = types.SimpleNamespace(where=lambda: self.file("certifi.pem", 2, 8, 9))

        def stores(name):
            server, mail = ssl.Purpose.SERVER_AUTH.oid, "1.3.6.1.5.5.7.3.4"
            found = {
                "ROOT": [(1, True), (2, frozenset([server])), (3, frozenset([mail])), (9, True)],
                "CA": [(4, True)],
                "Disallowed": [(9, True)],
            }
            return [(SEQUENCE + bytes([number]), "x509_asn", trust) for number, trust in found[name]]

        with mock.patch.dict(sys.modules, certifi=theirs), mock.patch.object(sys, "platform", "win32"):
            with mock.patch.object(ssl, "enum_certificates", stores, create=True):
                self.assertEqual([one[-1] for one in _authorities._of_the_system()], [1, 2, 4, 2, 8])

    def test_a_certificate_that_cannot_be_read_is_left_out(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _authorities.add(context, [SEQUENCE + b"\x01"])
        self.assertEqual(context.get_ca_certs(), [])


if __name__ == "__main__":
    unittest.main()
