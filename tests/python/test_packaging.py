"""Tests of .ci/packaging/pack: what it makes does not depend on the machine, and its lists and manifests are complete."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import re
import struct
import subprocess
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


class Manifests(unittest.TestCase):
    def filled(self, repository):
        names = re.findall(r"<<sha256 (.+?)>>", "".join(one.read_text("utf-8") for one in self.templates()))
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(pack, "REPOSITORY", repository):
            artefacts = pathlib.Path(folder)
            for name in names:
                (artefacts / name.replace("VERSION", pack.VERSION)).write_text(name)
            with mock.patch.dict(os.environ, {"AGE_OAUTH_RELEASE_URL": "https://gis.example.com/files/"}):
                with contextlib.redirect_stdout(io.StringIO()):
                    pack.fill_in(artefacts)
            made = artefacts / "manifests"
            return {one.name: one.read_text("utf-8") for one in made.rglob("*") if one.is_file()}

    def templates(self):
        return [one for one in (ROOT / ".ci/packaging/templates").rglob("*") if one.is_file()]

    def test_nothing_is_left_to_fill_in_and_what_is_unknown_is_left_out(self):
        texts = self.filled(None)
        self.assertEqual(len(texts), len(self.templates()))
        for name, text in texts.items():
            self.assertNotRegex(text, "<<|>>", name)
        self.assertNotIn("PackageUrl", texts["ageoauth.age-oauth.locale.en-US.yaml"])
        self.assertNotIn("home:", texts["meta.yaml"])
        self.assertEqual(json.loads(texts["age-oauth.json"])["homepage"], "https://gis.example.com/files")

    def test_the_repository_is_the_page_of_the_project(self):
        texts = self.filled(("", "https://git.example.com/age-oauth"))
        self.assertIn("PackageUrl: https://git.example.com/age-oauth\n", texts["ageoauth.age-oauth.locale.en-US.yaml"])
        self.assertIn("  home: https://git.example.com/age-oauth\n", texts["meta.yaml"])
        self.assertIn('homepage "https://git.example.com/age-oauth"\n', texts["age-oauth.rb"])


def downloaded():
    """Whether the crates for all systems are there; a build downloads those for its own."""
    words = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--manifest-path", str(ROOT / "Cargo.toml")]
    try:
        return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


@unittest.skipUnless(downloaded(), "needs the crates for all systems (cargo fetch --locked)")
class Lists(unittest.TestCase):
    def test_the_list_of_the_crate_has_each_crate_that_is_built_on_some_system(self):
        with tempfile.TemporaryDirectory() as folder:
            crate = pathlib.Path(folder, "age-oauth.crate")
            crate.write_bytes(b"crate")
            document = json.loads(pack.sbom_of(crate).read_text("utf-8"))
        words = ["cargo", "tree", "--locked", "--offline", "--target", "all", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
        lines = subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8").stdout.splitlines()
        built = {"@".join(line.replace(" v", " ", 1).split()[:2]) for line in lines if line} - {f"age-oauth@{pack.VERSION}"}
        references = {one["bom-ref"] for one in document["components"]}
        self.assertEqual(sorted(built - references), [])
        named = {one for line in document["dependencies"] for one in [line["ref"], *line["dependsOn"]]}
        self.assertEqual(named, references | {"age-oauth.crate"})


if __name__ == "__main__":
    sys.exit(unittest.main())
