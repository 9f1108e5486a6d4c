"""Tests of .ci/packaging/pack: what it makes does not depend on the machine."""

import importlib.machinery
import importlib.util
import io
import os
import pathlib
import re
import struct
import sys
import tarfile
import tempfile
import unittest
import zipfile
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load():
    loader = importlib.machinery.SourceFileLoader("age_oauth_pack", str(ROOT / ".ci/packaging/pack"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


pack = load()


def summary(code, created, saved, kind=64):
    """The bytes of an MSI around its summary, with three properties as wixl writes them."""
    properties = {
        9: struct.pack("<II", 30, 39) + f"{{{code}}}".encode() + b"\0\0",
        12: struct.pack("<IQ", kind, created),
        13: struct.pack("<IQ", 64, saved),
    }
    offset, table, values = 8 + 8 * len(properties), b"", b""
    for name, value in properties.items():
        table += struct.pack("<II", name, offset + len(values))
        values += value
    section = struct.pack("<II", offset + len(values), len(properties)) + table + values
    header = bytes(28) + bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9") + struct.pack("<I", 48)
    return b"before" * 20 + header + section + b"after"


class Installers(unittest.TestCase):
    def settled(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "one.msi")
            path.write_bytes(data)
            pack.settle_summary(path)
            return path.read_bytes()

    def test_random_codes_and_times_do_not_matter_but_contents_do(self):
        one = self.settled(summary("11111111-2222-3333-4444-555555555555", 1, 2))
        two = self.settled(summary("AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE", 3, 4))
        self.assertEqual(one, two)
        [code] = re.findall(rb"\{(.{36})\}\0", one)
        other = self.settled(summary("11111111-2222-3333-4444-555555555555", 1, 2).replace(b"after", b"other"))
        self.assertNotIn(code, other)
        # 2000-01-01 in units of 100 ns since 1601.
        with mock.patch.object(pack, "EPOCH", 946684800):
            self.assertIn(struct.pack("<IQ", 64, 125911584000000000), self.settled(summary("1" * 36, 1, 2)))

    def test_another_form_of_summary_is_an_error(self):
        with self.assertRaises(SystemExit):
            self.settled(summary("11111111-2222-3333-4444-555555555555", 1, 2, kind=31))


class Paths(unittest.TestCase):
    def test_a_path_of_this_machine_is_found_in_each_kind_of_artefact(self):
        cases = (str(ROOT).encode(), b"/somewhere/cargo/registry/src/index/one.rs", b"/somewhere/lab/root"), (b"/age-oauth", b"/crates")
        with tempfile.TemporaryDirectory() as folder:
            for found, texts in zip((True, False), cases):
                for text in texts:
                    wheel, archive, plain = (pathlib.Path(folder, name) for name in ("one.whl", "one.tar.gz", "one.json"))
                    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
                        file.writestr("program", b"\0" + text + b"\0")
                    with tarfile.open(archive, "w:gz") as file:
                        entry = tarfile.TarInfo("program")
                        entry.size = len(text)
                        file.addfile(entry, io.BytesIO(text))
                    plain.write_bytes(text)
                    variables = {"CARGO_HOME": "/somewhere/cargo", "AGE_OAUTH_RELEASE_LAB": "/somewhere/lab"}
                    for path in (wheel, archive, plain):
                        with self.subTest(text=text, path=path.name), mock.patch.dict(os.environ, variables):
                            self.assertEqual(bool(list(pack.machine_paths(path))), found)


if __name__ == "__main__":
    sys.exit(unittest.main())
