"""What QGIS's plugin makes of answers, without QGIS: they may be of any form, and their texts may be anyone's."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src/qgis"))

from age_oauth import _session  # noqa: E402
from age_oauth.errors import AgeOAuthError, ProgramUnusable, SignInRequired  # noqa: E402
from age_oauth_plugin import answers  # noqa: E402

SERVER = "https://gis.example.com/server/rest/services"
STRANGE = (None, 5, "x", [], {}, [None], {"results": 5}, True)


def item(url, kind=answers.FEATURES, title="Roads"):
    return {"title": title, "type": kind, "url": url}


class Programs(unittest.TestCase):
    def test_errors_and_warnings_are_what_the_program_printed(self):
        err = b'Open this address\n{"warning":"careful"}\n{"error":{"kind":"sign_in_needed","message":"no","hint":"h","code":3,"reason":null}}\n'
        error = answers.failure(3, err)
        self.assertIsInstance(error, SignInRequired)
        self.assertEqual((error.message, error.kind), ("no", "sign_in_needed"))
        self.assertEqual(answers.warnings(err), ["careful"])
        self.assertIsInstance(answers.failure(9, b"a text"), AgeOAuthError)

    def test_a_program_without_json_is_too_old(self):
        for err in (b"error: unexpected argument '--json'", b"", b'{"warning":"x"}'):
            self.assertIsInstance(answers.failure(2, err), ProgramUnusable)

    def test_the_advice_for_a_missing_program_is_not_about_pip(self):
        missing = ProgramUnusable("not found", "python3 -m pip install x; or set AGE_OAUTH_BIN")
        with mock.patch.dict(os.environ):
            os.environ.pop("AGE_OAUTH_BIN", None)
            self.assertNotIn("pip", answers.missing(missing).hint)
            self.assertIn("Install", answers.missing(missing).hint)
            self.assertEqual(answers.missing(missing).message, "not found")
            # Where a variable names the program, no other one is looked for.
            os.environ["AGE_OAUTH_BIN"] = "/nowhere"
            for error in (answers.missing(missing), answers.unusable("/nowhere", None), answers.unusable("/nowhere", (0, 2, 1))):
                self.assertIn("AGE_OAUTH_BIN", error.hint)
                self.assertNotIn("Install", error.hint)

    def test_the_advice_is_the_programs_own_also_where_a_person_types_python(self):
        err = b'{"error":{"kind":"sign_in_needed","message":"no","hint":"age-oauth login -c x","code":3,"reason":null}}'
        with mock.patch.object(_session, "prefers_python", return_value=True):
            self.assertEqual(answers.failure(3, err).hint, "age-oauth login -c x")

    def test_a_sign_in_that_is_extended_by_itself_is_not_told(self):
        for state, extendable, told in (
            ("good", None, None),
            ("ends_soon", None, "ends_soon"),
            ("ends_soon", False, "ends_soon"),
            ("ends_soon", True, None),
            ("ended", True, "ended"),
            ("missing", None, "missing"),
            ("application", None, None),
        ):
            self.assertEqual(answers.notice({"sign_in": state, "extendable": extendable}), told)

    def test_other_lines_are_left_out(self):
        self.assertEqual(answers.objects(b'x\n{"a":1}\n\xff\n[2]\n'), [{"a": 1}, [2]])
        self.assertIsNone(answers.answer(b"[" * 100000))
        self.assertEqual(answers.answer(b'{\n"a":\n1}'), {"a": 1})

    def test_advice_names_what_the_panel_has(self):
        self.assertEqual(answers.advice("age-oauth login -c 'my prod'"), "press “Sign in”")
        self.assertEqual(answers.advice("age-oauth login -c x --switch-user"), "choose “Sign in as another user”")
        text = "if it is yours: give --verify-ssl FILE.pem; or age-oauth connections add --no-check …"
        self.assertNotIn("--", answers.advice(text))
        text = "so can this program, with your Kerberos ticket: give --web-tier windows; or ask for another address: give --api-url URL"
        self.assertNotIn("--web-tier", answers.advice(text))
        # What has to be done at a terminal stays.
        for text in ("age-oauth doctor", "at a terminal: age-oauth login -c x"):
            self.assertEqual(answers.advice(text), text)


class Texts(unittest.TestCase):
    def test_foreign_text_is_one_line_that_is_not_html(self):
        self.assertEqual(answers.plain("<img src='x'>\n\x1b[31m a\u202e"), "‹img src='x'> [31m a")
        self.assertEqual(len(answers.plain("x" * 5000)), 200)
        self.assertEqual(answers.plain(None), "")

    def test_times_are_local_and_what_is_not_a_time_stays(self):
        self.assertRegex(answers.local_time("2026-12-07T15:20:00Z"), r"^2026-12-0[678] \d\d:\d\d$")
        self.assertEqual(answers.local_time(None), "")
        self.assertEqual(answers.local_time("<soon>"), "‹soon>")


class NewConnections(unittest.TestCase):
    def test_only_what_a_kind_has_is_given_and_no_secret_is_an_argument(self):
        made = answers.Settings(" prod ", "https://gis.example.com/portal", "user")
        made.client_id, made.secret, made.redirect_uri = "-id", "secret", ""
        self.assertEqual(
            made.arguments(),
            ["connections", "add", "--label=prod", "--portal=https://gis.example.com/portal", "--auth-type=user", "--client-id=-id"],
        )
        self.assertIsNone(made.input())
        for kind, option in (("app", "--client-secret-stdin"), ("key", "--api-key-stdin")):
            made.kind, made.is_checked = kind, False
            self.assertEqual(made.arguments()[-2:], [option, "--no-check"])
            self.assertFalse(any("secret" == one.partition("=")[2] for one in made.arguments()))
            self.assertEqual(made.input(), "secret")
        self.assertFalse(any(one.startswith("--client-id") for one in made.arguments()))

    def test_a_key_has_an_end_and_the_web_server_knows_who_you_are(self):
        made = answers.Settings("prod", "https://gis.example.com/portal", "key")
        made.expires = " 2027-06-30 "
        self.assertIn("--expires=2027-06-30", made.arguments())
        self.assertNotIn("--web-tier=windows", made.arguments())
        made.kind = "network"
        self.assertNotIn("--expires=2027-06-30", made.arguments())
        self.assertIn("--web-tier=windows", made.arguments())
        made.kind = "user"
        self.assertNotIn("--web-tier=windows", made.arguments())
        made.answers_windows_sign_in = True
        self.assertIn("--web-tier=windows", made.arguments())

    def test_a_certificate_authority_is_a_file_and_turns_no_check_off(self):
        made = answers.Settings("prod", "https://gis.example.com/portal", "user")
        here = Path(__file__).resolve()
        for text in ("", "  ", str(here), f" {here} "):
            made.authority = text
            self.assertTrue(made.authority_is_file(), text)
        for text in ("false", "true", "pin:00", here.name, os.path.relpath(here), str(here.parent), f"{here}.missing"):
            made.authority = text
            self.assertFalse(made.authority_is_file(), text)


class Queries(unittest.TestCase):
    def test_text_type_and_owner_become_one_query(self):
        user = {"username": "a\"na", "orgId": "0A", "groups": [{"id": "g1"}, {"id": 5}, None, {"id": "g2"}]}
        ask = answers.query
        self.assertEqual(ask("", [answers.MAP], answers.EVERYONE, None), '(type:"Map Service")')
        self.assertEqual(ask(" a b ", [answers.MAP], answers.MINE, user), '"a" AND "b" AND (type:"Map Service") AND owner:"ana"')
        self.assertIn('AND orgid:"0A"', ask("", answers.KINDS, answers.MY_ORGANIZATION, user))
        self.assertIn('(group:"g1" OR group:"g2")', ask("", answers.KINDS, answers.MY_GROUPS, user))
        for whose in (answers.MINE, answers.MY_ORGANIZATION, answers.MY_GROUPS):
            self.assertTrue(answers.knows_owner(whose, user))
            for strange in (*STRANGE, {"username": None, "orgId": ""}, {"username": "", "orgId": 5}):
                self.assertFalse(answers.knows_owner(whose, strange))
        self.assertTrue(answers.knows_owner(answers.EVERYONE, None))
        for strange in STRANGE:
            self.assertIsNone(ask("", answers.KINDS, answers.MY_GROUPS, strange))
            ask("", answers.KINDS, answers.MINE, strange)


    def test_what_a_person_types_is_searched_as_words(self):
        for text, expected in (
            ("Roads OR NOT owner:ana", ['"Roads"', '"OR"', '"NOT"', '"owner:ana"']),
            ('"main street" (2020) road*', ['"main"', '"street"', '"(2020)"', '"road*"']),
            ('a" OR type:"Web Map', ['"a"', '"OR"', '"type:"', '"Web"', '"Map"']),
            ("back\\slash", ['"back"', '"slash"']),
            ("Straße 5 道路", ['"Straße"', '"5"', '"道路"']),
            ('* : " ( ) \\ && || !', []),
        ):
            self.assertEqual(answers.words(text), expected)
        self.assertEqual(answers.query("*", [answers.MAP], answers.EVERYONE, None), '(type:"Map Service")')


class Services(unittest.TestCase):
    def test_the_service_and_the_layer_of_an_address(self):
        whole = answers.service(item(f"{SERVER}/Roads/FeatureServer/"))
        self.assertEqual((whole.url, whole.layer, whole.has_layers), (f"{SERVER}/Roads/FeatureServer", None, True))
        layer = answers.service(item(f"{SERVER}/Roads/FeatureServer/3"))
        self.assertEqual((layer.layer, layer.has_layers, layer.layer_url), ("3", False, f"{SERVER}/Roads/FeatureServer/3"))
        self.assertEqual(layer.source("EPSG:1"), {"crs": "EPSG:1", "url": f"{SERVER}/Roads/FeatureServer/3"})
        land = answers.service(item(f"{SERVER}/Land/MapServer/2", answers.MAP))
        self.assertEqual((land.source("EPSG:1")["layer"], land.source("EPSG:1")["url"]), ("2", f"{SERVER}/Land/MapServer"))
        image = answers.service(item(f"{SERVER}/Hills/ImageServer", answers.IMAGE))
        self.assertEqual((image.provider, image.has_layers), ("arcgismapserver", False))

    def test_addresses_with_anything_else_in_them_are_not_used(self):
        for url in (
            f"{SERVER}/Roads/FeatureServer/0' authcfg='abc1234",
            f"{SERVER}/Roads/FeatureServer?token=x",
            f"{SERVER}/Roads/FeatureServer#x",
            "http://gis.example.com/server/rest/services/Roads/FeatureServer",
            "https://ana@gis.example.com/server/rest/services/Roads/FeatureServer",
            "https://gis.example.com:x/server/rest/services/Roads/FeatureServer",
            "https://[a/Roads/FeatureServer",
            "https:///Roads/FeatureServer",
            "file:///etc/FeatureServer",
            f"{SERVER}/Roads/GPServer",
            "",
            None,
        ):
            self.assertIsNone(answers.service(item(url)), url)
        self.assertIsNone(answers.service(item(f"{SERVER}/Roads/FeatureServer", "Web Map")))
        for strange in STRANGE:
            self.assertIsNone(answers.service(strange))

    def test_a_title_cannot_be_html_and_is_never_empty(self):
        self.assertEqual(answers.service(item(f"{SERVER}/Roads/FeatureServer", title="<b>")).title, "‹b>")
        self.assertTrue(answers.service(item(f"{SERVER}/Roads/FeatureServer", title={})).title)

    def test_layers_and_tables_of_a_service(self):
        service = answers.service(item(f"{SERVER}/Roads/FeatureServer"))
        about = {
            "layers": [{"id": 0, "name": "<i>"}, {"id": 1, "type": "Group Layer"}, {"id": "2"}, None, {"id": -1}],
            "tables": [{"id": 7}],
        }
        found, are_all = answers.layers(service, about)
        self.assertEqual([(one.title, one.layer) for one in found], [("‹i>", "0"), ("Roads 7", "7")])
        self.assertTrue(are_all)
        land = answers.service(item(f"{SERVER}/Land/MapServer", answers.MAP))
        self.assertEqual([one.layer for one in answers.layers(land, about)[0]], ["0", "1"])
        for count in (1000, 1001):
            found, are_all = answers.layers(service, {"layers": [{"id": number} for number in range(count)]})
            self.assertEqual((len(found), are_all), (1000, count == 1000))
        for strange in (*STRANGE, {"layers": 5, "tables": {}}):
            self.assertEqual(answers.layers(service, strange), ([], True))

    def test_coordinate_systems(self):
        for about, expected in (
            ({"extent": {"spatialReference": {"wkid": 102100, "latestWkid": 3857}}}, "EPSG:3857"),
            ({"fullExtent": {"spatialReference": {"wkid": 25832}}}, "EPSG:25832"),
            ({"spatialReference": {"wkid": 102100}}, "EPSG:3857"),
            ({"spatialReference": {"wkid": 54009}}, "ESRI:54009"),
            ({"spatialReference": {"wkid": 102003}}, "ESRI:102003"),
            ({"spatialReference": {"wkt": "X"}}, "EPSG:4326"),
        ):
            self.assertEqual(answers.crs(about), expected)
        for strange in STRANGE:
            self.assertEqual(answers.crs(strange), "EPSG:4326")


class BrowserPanel(unittest.TestCase):
    def test_services_are_read_at_the_hosting_server(self):
        portal = "https://gis.example.com/portal"
        servers = {"servers": [{"url": "https://a.example/arcgis"}, {"url": "https://b.example/server/", "isHosted": True}]}
        self.assertEqual(answers.services_directory(servers, portal), "https://b.example/server/rest/services")
        for strange in (*STRANGE, {"servers": [{"url": "http://a.example/x"}, {"url": 5}, None]}):
            self.assertEqual(answers.services_directory(strange, portal), f"{portal}/rest/services")

    def test_names_are_one_part_of_a_path_and_no_other_has_them(self):
        self.assertEqual(answers.browser_name("prod", ()), "prod (age-oauth)")
        self.assertEqual(answers.browser_name("prod", {"prod (age-oauth)"}), "prod (age-oauth) 2")
        self.assertEqual(answers.browser_name("prod", {"prod (age-oauth)", "prod (age-oauth) 2"}), "prod (age-oauth) 3")
        self.assertEqual(answers.browser_name("a/b\\c", ()), "a%2Fb%5Cc (age-oauth)")
        self.assertEqual(answers.browser_name("", ()), "age-oauth (age-oauth)")


class Qt6(unittest.TestCase):
    """PyQt 6 has the members of an enum in it alone, and QGIS 4 has no PyQt 5."""

    FILES = [
        *sorted((ROOT / "src/qgis/age_oauth_plugin").glob("*.py")),
        ROOT / "src/python/age_oauth/qgis.py",
        *sorted((ROOT / "tests/python").glob("qgis_*.py")),
    ]

    #: What looks like the member of an enum, and is not one.
    OTHERS = {"Qgis.QGIS_VERSION_INT"}

    def faults(self, text):
        """Imports of one Qt, and short names of members, such as ``Qt.PlainText``: a class of Qt or QGIS with one capital name."""
        tree = ast.parse(text)
        inner = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
        called = {id(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)}
        for one in ast.walk(tree):
            modules = [one.module or ""] if isinstance(one, ast.ImportFrom) else []
            modules += [name.name for name in one.names] if isinstance(one, ast.Import) else []
            yield from (name for name in modules if name.startswith(("PyQt", "PySide", "sip")))
            if not (isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)) or id(one) in inner | called:
                continue
            name = f"{one.value.id}.{one.attr}"
            if re.match(r"(Q[A-Zg]\w*|Qt)\.[A-Z]", name) and name not in self.OTHERS:
                yield name

    def test_enums_are_written_in_full_and_qt_is_qgiss_own(self):
        self.assertEqual(list(self.faults("from PyQt5.QtCore import Qt\nx = Qt.PlainText")), ["PyQt5.QtCore", "Qt.PlainText"])
        self.assertEqual(list(self.faults("x = Qt.TextFormat.PlainText; QSize.Type(1)")), [])
        for file in self.FILES:
            self.assertEqual(list(self.faults(file.read_text("utf-8"))), [], file.name)

    def test_the_metadata_says_so(self):
        lines = (ROOT / "src/qgis/age_oauth_plugin/metadata.txt").read_text("utf-8").splitlines()
        for one in ("supportsQt6=True", "qgisMinimumVersion=3.22", "qgisMaximumVersion=4.99"):
            self.assertIn(one, lines)


GERMAN = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" sourcelanguage="en" language="de"><context><name>AgeOAuth</name>
<message><source>{}</source><translation>{}</translation></message>
</context></TS>
"""


class Translations(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name, "qgis")
        shutil.copytree(ROOT / "src/qgis", self.copy)

    def run_in(self, folder, *arguments):
        return subprocess.run([sys.executable, folder / "texts", *arguments], capture_output=True, text=True)

    def translation(self, source, text):
        file = self.copy / "age_oauth_plugin/i18n/age_oauth_de.ts"
        file.write_text(GERMAN.format(source, text), "utf-8")
        return file

    def test_the_list_for_translators_has_each_text(self):
        done = self.run_in(ROOT / "src/qgis", "--check")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_text_that_is_not_listed_is_noticed(self):
        with open(self.copy / "age_oauth_plugin/panel.py", "a", encoding="utf-8") as file:
            file.write('tr("A new text")\n')
        self.assertEqual(self.run_in(self.copy, "--check").returncode, 1)
        self.assertEqual(self.run_in(self.copy).returncode, 0)
        self.assertIn("A new text", (self.copy / "age_oauth_plugin/i18n/age_oauth.ts").read_text("utf-8"))
        self.assertEqual(self.run_in(self.copy, "--check").returncode, 0)

    def test_translations_are_kept_and_texts_that_are_gone_are_left_out(self):
        file = self.translation("Signed in", "Angemeldet")
        self.assertEqual(self.run_in(self.copy).returncode, 0)
        made = file.read_text("utf-8")
        self.assertIn("<translation>Angemeldet</translation>", made)
        self.assertIn("<source>Sign out</source>", made)
        self.translation("Not there any more", "Weg")
        self.assertEqual(self.run_in(self.copy).returncode, 0)
        self.assertNotIn("Weg", file.read_text("utf-8"))

    def test_a_translation_has_the_places_for_values_of_its_text(self):
        for text in ("Test", "Test von {name}", "Test von {} {}", "Test {"):
            self.translation("Test of {}", text)
            self.assertNotEqual(self.run_in(self.copy, "--check").returncode, 0, text)


class Zip(unittest.TestCase):
    def test_the_same_sources_make_the_same_bytes_with_the_package_inside(self):
        with tempfile.TemporaryDirectory() as folder:
            made = [os.path.join(folder, name) for name in ("a.zip", "b.zip")]
            for one in made:
                subprocess.run([sys.executable, ROOT / "src/qgis/pack", one], check=True)
            first, second = (Path(one).read_bytes() for one in made)
            self.assertEqual(first, second)
            with zipfile.ZipFile(made[0]) as archive:
                names = archive.namelist()
                metadata = archive.read("age_oauth_plugin/metadata.txt").decode()
        version = next(line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
        self.assertIn("version=" + version.partition('"')[2].rstrip('"'), metadata)
        self.assertEqual({one.partition("/")[0] for one in names}, {"age_oauth_plugin"})
        for one in ("__init__.py", "icon.svg", "LICENSE-MIT", "packages/age_oauth/qgis.py"):
            self.assertIn(f"age_oauth_plugin/{one}", names)
        self.assertFalse([one for one in names if "i18n" in one])
        self.assertFalse([one for one in names if "__pycache__" in one or one.endswith(".pyc")])
