"""What QGIS's requests carry, without QGIS: addresses, servers, waits, and what is loaded again."""

import threading
import time
import unittest
from unittest import mock

import age_oauth
from age_oauth import _background, _program, _rejection, _servers, _signer
from age_oauth import _json_names as names
from age_oauth.connection import Connection

#: A wait that takes longer is a failure, in seconds.
LONG = 60

PORTAL = "https://gis.example.com/portal"
SERVER = "https://gis.example.com/server"
OTHER = "https://maps.example.com/arcgis"


def layer(server):
    return f"{server}/rest/services/Roads/FeatureServer/0"


def connection(label="prod", portal=PORTAL, **facts):
    usual = {
        names.ID: f"id-{label}",
        names.CONNECTION: label,
        names.PORTAL_URL: portal,
        names.API_URL: portal,
        names.REFERER: None,
        names.WEB_TIER: "none",
        names.CLIENT_CERTIFICATE: None,
        names.VERIFY_SSL: "true",
    }
    return Connection._of({**usual, **facts})


class Program:
    """In place of the program: counts what it is asked."""

    def __init__(self):
        self.asked = []
        self.servers = {"servers": [{"url": SERVER, "adminUrl": "https://gis.example.com:6443/arcgis"}, {"url": OTHER}]}
        self.user = "ana"
        self.fails = None
        #: Closed, it lets questions for tokens wait.
        self.gate = threading.Event()
        self.gate.set()
        self.number = 0

    def ask(self, *arguments, stdin=None):
        self.asked.append(arguments)
        assert self.gate.wait(LONG)
        if self.fails is not None:
            raise self.fails
        self.number += 1
        return {
            names.ACCESS_TOKEN: f"token{self.number}",
            names.EXPIRES_EPOCH: time.time() + 1800,
            names.EXPIRES_IN: 1800,
            names.CONNECTION: "prod",
            names.ID: "id-prod",
            names.SIGN_IN_ENDS_SOON: False,
            names.PORTAL_URL: PORTAL,
            names.USERNAME: self.user,
        }

    def portal_answer(self, _id, _path):
        self.asked.append(("servers",))
        if isinstance(self.servers, Exception):
            raise self.servers
        return self.servers

    def asked_for(self, server):
        return [one for one in self.asked if server in one]


class WithSigner(unittest.TestCase):
    def setUp(self):
        self.program = Program()
        for name in ("ask", "portal_answer"):
            patch = mock.patch.object(_program, name, getattr(self.program, name))
            patch.start()
            self.addCleanup(patch.stop)
        self.told, self.came = [], threading.Event()
        self.signer = _signer.Signer(lambda about, text: self.told.append(text), self.came.set)
        self.addCleanup(self.signer.remove)

    def enable(self, *connections, **options):
        for one in connections or [connection()]:
            self.signer.add(one, **options)
            for question in self.signer.portals[-1].questions():
                question._run.wait(LONG)

    def until(self, condition):
        end = time.monotonic() + LONG
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.001)

    def token(self, url):
        answer = self.signer.answer(url, _signer.WAIT)
        return answer and answer.token


class Addresses(WithSigner):
    def test_the_portal_and_its_listed_servers_get_tokens(self):
        self.enable()
        for url in (f"{PORTAL}/sharing/rest/community/self?f=json", layer(SERVER), layer(OTHER), layer("https://gis.example.com:6443/arcgis")):
            self.assertTrue(self.token(url), url)

    def test_no_other_address_gets_one_or_leads_to_a_question(self):
        self.enable()
        before = len(self.program.asked)
        for url in (
            layer("https://foreign.example/arcgis"),
            layer("https://gis.example.com.foreign.example/portal"),
            layer("https://gis.example.com:444/server"),
            layer("https://gis.example.com/another"),
            layer("http://gis.example.com/server"),
            layer("https://gis.example.com@foreign.example/server"),
            layer("https://ana@gis.example.com/server"),
            f"{SERVER}/../other/rest/services/Roads/FeatureServer",
            f"{SERVER}/%2e%2e/rest/services/Roads/FeatureServer",
            "https://gis.example.com:port/server/rest/services",
            "https://gis.example.com/server.png",
            "https://maps.example.com/picture.png",
        ):
            self.assertIsNone(self.signer.answer(url, _signer.WAIT), url)
        self.assertEqual(len(self.program.asked), before)

    def test_only_services_and_what_the_browser_panel_reads_are_signed(self):
        online, other, root = "https://ana.maps.arcgis.com", "https://services1.arcgis.com/Ab12", "https://root.example"
        read = (
            f"{PORTAL}/sharing/rest/portals/self?f=json",
            f"{PORTAL}/Sharing/REST/community/self",
            f"{PORTAL}/sharing/rest/community/users/ana",
            f"{PORTAL}/sharing/rest/content/groups/0a1b?f=json&start=1&num=100",
            f"{PORTAL}/sharing/rest/content/items/0a1b/data",
            f"{PORTAL}/sharing/servers/0a1b/rest/services/Roads/FeatureServer/0/query",
            f"{SERVER}/rest/services",
            f"{SERVER}/rest/services/Folder",
            f"{SERVER}/rest/services/Folder/Roads/MapServer/tile/1/2/3",
            f"{SERVER}/rest/services/Folder/Roads/MapServer/export?bbox=1,2,3,4&f=image",
            f"{SERVER}/rest/services/Roads/MapServer/legend",
            f"{SERVER}/rest/services/Roads/MapServer/layers",
            f"{SERVER}/rest/services/Roads/FeatureServer/0/",
            f"{SERVER}/rest/services/Main%20roads/FeatureServer/0/7/attachments/3",
            f"{SERVER}/rest/services/Roads/FeatureServer/0/addFeatures",
            f"{SERVER}/rest/services/Roads/FeatureServer/0/queryRelatedRecords",
            f"{SERVER}/rest/services/Heights/ImageServer/exportImage?f=image",
            f"{SERVER}/rest/services/Heights/VectorTileServer",
            f"{SERVER}/rest/info?f=json",
            f"{online}/sharing/rest/community/self",
            f"{other}/arcgis/rest/services/Roads/FeatureServer/0",
            "https://www.arcgis.com/sharing/rest/content/items/0a1b",
            f"{root}/server/rest/services/Roads/FeatureServer/0",
        )
        not_read = (
            PORTAL,
            f"{PORTAL}/sharing/rest",
            f"{PORTAL}/sharing/rest/generateToken",
            f"{PORTAL}/sharing/rest/oauth2/revokeToken",
            f"{PORTAL}/sharing/rest/content/users/ana",
            f"{PORTAL}/sharing/rest/content/users/ana/items/0a1b/delete?f=json",
            f"{PORTAL}/sharing/rest/content/users/ana/rest/services/delete",
            f"{PORTAL}/sharing/rest/content/items/0a1b/share",
            f"{PORTAL}/sharing/rest/community/groups/0a1b/delete",
            f"{PORTAL}/sharing/rest/community/users/ana/update",
            f"{PORTAL}/sharing/rest/portals/self/update",
            f"{PORTAL}/sharing/rest/portals/self/users/rest/services",
            f"{PORTAL}/portaladmin/federation/servers?f=json",
            f"{PORTAL}/portaladmin/rest/services",
            f"{PORTAL}/home/webmap/viewer.html",
            f"{SERVER}/admin/services/Roads.MapServer/stop?f=json",
            f"{SERVER}/admin/rest/services",
            f"{SERVER}/rest/admin/services/Roads/FeatureServer",
            f"{SERVER}/rest/generateToken",
            f"{SERVER}/rest/servicesx",
            f"{SERVER}/rest/services/Tools/GPServer/Buffer/submitJob?Distance=1&f=json",
            f"{SERVER}/rest/services/Folder/Tools/GPServer/Buffer/execute",
            f"{SERVER}/rest/services/Tools%2FGPServer%2FBuffer%2FsubmitJob",
            f"{SERVER}/rest/services/Tools%252FGPServer%252FBuffer%252FsubmitJob",
            f"{PORTAL}/sharing/servers/0a1b/rest/services/Tools/GPServer/Buffer/submitJob",
            f"{SERVER}/rest/services/Roads/MapServer/exts/Audit/purge",
            f"{SERVER}/rest/services/Roads/MapServer/exportTiles",
            *(
                f"{SERVER}/rest/services/Roads/FeatureServer/{operation}"
                for operation in (
                    "createReplica",
                    "CREATEREPLICA",
                    "create%52eplica",
                    "synchronizeReplica",
                    "unRegisterReplica",
                    "extractChanges",
                    "0/append",
                    "0/calculate",
                    "0/truncate",
                )
            ),
            f"{SERVER}/tokens/generateToken",
            f"{SERVER}/manager",
            f"{SERVER}/sharing/rest/community/self",
            f"{other}/arcgis/admin/services",
            f"{root}/server/admin/services",
            "https://www.arcgis.com/sharing/rest/content/items/0a1b/delete",
        )
        for portal, hosts in ((PORTAL, (PORTAL, SERVER)), (online, (online, other, "https://www.arcgis.com")), (root, (root,))):
            self.enable(connection(portal=portal))
            for url in read:
                if url.startswith(hosts):
                    self.assertTrue(self.token(url), url)
            before = len(self.program.asked)
            for url in not_read:
                answer = self.signer.answer(url, _signer.WAIT)
                self.assertTrue(answer is None or answer.token is answer.certificate is None and not answer.is_late, url)
            self.assertEqual(len(self.program.asked), before)
            self.signer.remove()

    def test_without_tls_nothing_is_enabled(self):
        with self.assertRaises(age_oauth.UsageError):
            self.signer.add(connection(portal="http://localhost/portal"))

    def test_windows_sign_in_at_the_portal_is_told_and_not_signed(self):
        self.enable(connection(**{names.WEB_TIER: "windows"}))
        self.assertIsNone(self.signer.answer(f"{PORTAL}/sharing/rest/portals/self", _signer.WAIT))
        self.assertTrue(self.token(layer(OTHER)))
        self.assertEqual(sum("Windows sign-in" in one for one in self.told), 1)


class Connections(WithSigner):
    def test_two_connections_to_one_server_are_an_error_with_both_names(self):
        self.enable()
        with self.assertRaises(age_oauth.UsageError) as raised:
            self.signer.add(connection("test", "https://GIS.example.com:443/other"))
        self.assertIn("`prod`", raised.exception.message)
        self.assertIn("`test`", raised.exception.message)
        self.assertEqual([one.label for one in self.signer.portals], ["prod"])

    def test_of_several_connections_all_are_enabled_or_none(self):
        for second in (connection("test", "https://gis.example.com/other"), connection("plain", "http://test.example.com/portal")):
            with self.assertRaises(age_oauth.UsageError):
                self.signer.add(connection(), second)
            self.assertEqual(self.signer.portals, ())
            self.assertEqual(self.program.asked, [])
        self.signer.add(connection(), connection("test", "https://test.example.com/portal"))
        self.assertEqual([one.label for one in self.signer.portals], ["prod", "test"])
        before = self.signer.portals
        with self.assertRaises(age_oauth.UsageError):
            self.signer.add(connection("test", "https://test.example.com/portal"), connection("third"))
        self.assertEqual(self.signer.portals, before)
        self.assertFalse(any(question._is_closed for portal in before for question in portal.questions()))

    def test_which_service_belongs_to_a_connection(self):
        self.assertFalse(self.signer.belongs("id-prod", layer(SERVER)))
        self.enable()
        for url, expected in (
            (layer(SERVER), True),
            (f"{PORTAL}/sharing/servers/0a1b/rest/services/Roads/FeatureServer/0", True),
            (layer("https://foreign.example/arcgis"), False),
            (layer("http://gis.example.com/server"), False),
            (f"{SERVER}/rest/services/Roads/GPServer", False),
            ("https://gis.example.com:port/server/rest/services", False),
            ("", False),
        ):
            self.assertEqual(self.signer.belongs("id-prod", url), expected, url)
        self.assertFalse(self.signer.belongs("id-other", layer(SERVER)))
        self.signer.portals[0].servers._listed = None
        self.program.servers = age_oauth.PortalUnreachable("no")
        self.assertIsNone(self.signer.belongs("id-prod", layer(SERVER)))

    def test_what_failed_before_is_loaded_again_when_there_is_a_token(self):
        self.program.gate.clear()
        self.signer.remember_late(layer(SERVER))
        self.signer.remember_late("https://gis.example.com:x/")
        self.signer.add(connection(), servers=[SERVER])
        self.program.gate.set()
        self.assertTrue(self.came.wait(LONG))
        self.assertTrue(_signer.concerns(layer(SERVER), self.signer.take_late()))

    def test_a_server_that_two_portals_list_gets_nothing(self):
        self.enable(connection(), connection("test", "https://test.example.com/portal"))
        self.assertIsNone(self.signer.answer(layer(OTHER), _signer.WAIT))
        self.assertTrue(any("`prod` and `test`" in one for one in self.told), self.told)
        # What is below a portal's own address is that portal's.
        self.assertTrue(self.token(f"{PORTAL}/sharing/servers/1/rest/services/Roads/FeatureServer"))

    def test_another_user_gets_nothing_and_both_are_named(self):
        self.enable()
        self.assertTrue(self.token(layer(SERVER)))
        self.program.user = "bob"
        self.assertIsNone(self.token(layer(OTHER)))
        self.until(lambda: any("`ana`" in one and "`bob`" in one for one in self.told))

    def test_a_disabled_connection_signs_nothing(self):
        self.enable(connection(), connection("test", "https://test.example.com/portal"))
        self.signer.remove("id-prod")
        self.assertIsNone(self.signer.answer(f"{PORTAL}/sharing/rest/portals/self", _signer.WAIT))
        self.assertTrue(self.token("https://test.example.com/portal/sharing/rest/portals/self"))


class Servers(WithSigner):
    def test_a_list_that_is_refused_is_told_and_not_asked_for_again(self):
        self.program.servers = age_oauth.PortalRefused("no")
        self.enable()
        for _ in range(5):
            self.assertIsNone(self.signer.answer(layer(SERVER), _signer.WAIT))
        self.assertEqual(len(self.program.asked_for("servers")), 1)
        self.until(lambda: self.told)
        self.assertEqual(sum("does not list its servers" in one for one in self.told), 1)

    def test_named_servers_need_no_list(self):
        self.program.servers = age_oauth.PortalRefused("no")
        self.enable(servers=["https://GIS.example.com:443/server/"])
        self.assertTrue(self.token(layer(SERVER)))
        self.assertIsNone(self.signer.answer(layer(OTHER), _signer.WAIT))
        self.assertEqual(self.told, [])
        for wrong in ("server", "http://gis.example.com/server", 5, "https://ana@gis.example.com/server"):
            with self.assertRaises(age_oauth.UsageError):
                self.enable(servers=[wrong])

    def test_while_the_list_is_not_there_nothing_is_signed_but_loaded_again_later(self):
        self.program.servers = age_oauth.PortalUnreachable("no")
        self.enable()
        with mock.patch.object(_servers, "FIRST_WAIT", 0):
            for url in (layer(SERVER), layer("https://foreign.example/arcgis")):
                answer = self.signer.answer(url, _signer.WAIT)
                self.assertEqual((answer.portal, answer.token, answer.is_late), (None, None, True))
        self.assertEqual(self.signer.take_late(), [])
        servers = self.signer.portals[0].servers
        self.program.servers = {"servers": [{"url": SERVER}]}
        self.assertTrue(servers.question.again().wait(LONG))
        self.assertEqual(self.signer.take_late(), [_signer.address(layer(SERVER))])

    def test_an_old_list_is_used_while_the_next_one_is_read(self):
        self.enable()
        servers = self.signer.portals[0].servers
        servers._read_at -= _servers.AGE + 1
        self.assertTrue(servers.covers(SERVER, 0))
        servers.question.run().wait(LONG)
        self.assertGreaterEqual(len(self.program.asked_for("servers")), 2)

    def test_a_list_of_another_form_is_an_error_and_no_server(self):
        for wrong in (None, [], {}, {"servers": None}, {"servers": "x"}):
            with self.assertRaises(age_oauth.AgeOAuthError):
                _servers.roots(wrong)
        strange = [None, 5, {}, {"url": 5}, {"url": "http://a.example/x"}, {"url": "https://[a/x"}, {"url": "https://a.example:x/y"}]
        self.assertEqual(_servers.roots({"servers": strange}), frozenset())


class Waits(WithSigner):
    def test_the_main_thread_goes_without_and_the_layer_is_loaded_again(self):
        self.program.gate.clear()
        self.signer.add(connection(), servers=[SERVER])
        answer = self.signer.answer(layer(SERVER) + "?f=json", 0)
        self.assertIsNone(answer.token)
        self.assertTrue(answer.is_late)
        self.program.gate.set()
        self.assertTrue(self.came.wait(LONG))
        self.signer.portals[0].token(layer(SERVER)).run().wait(LONG)
        late = self.signer.take_late()
        self.assertTrue(_signer.concerns(layer(SERVER), late))
        self.assertFalse(_signer.concerns(layer(OTHER), late))
        self.assertEqual(self.signer.take_late(), [])
        self.assertTrue(self.signer.answer(layer(SERVER), 0).token)

    def test_other_threads_wait_for_one_question(self):
        self.enable()
        self.program.gate.clear()
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.token(layer(SERVER)))) for _ in range(20)]
        for one in threads:
            one.start()
        self.program.gate.set()
        for one in threads:
            one.join(LONG)
        self.assertEqual(len(got), 20)
        self.assertEqual(len(set(got)), 1)
        self.assertEqual(len(self.program.asked_for(SERVER)), 1)

    def test_a_wait_has_an_end(self):
        self.enable()
        self.program.gate.clear()
        self.addCleanup(self.program.gate.set)
        with mock.patch.object(_signer, "WAIT", 0.01):
            answer = self.signer.answer(layer(SERVER), _signer.WAIT)
        self.assertTrue(answer.is_late)

    def test_while_nothing_is_answered_requests_do_not_wait_again_for_the_same_question(self):
        self.enable()
        self.program.gate.clear()
        self.addCleanup(self.program.gate.set)
        run = self.signer.portals[0].token(layer(SERVER)).run()
        run.began -= LONG
        with mock.patch.object(_background.Run, "wait", side_effect=lambda seconds: self.assertLessEqual(seconds, 0)):
            self.assertTrue(self.signer.answer(layer(SERVER), LONG).is_late)

    def test_a_wait_ends_when_the_connection_is_disabled(self):
        self.enable()
        self.program.gate.clear()
        self.addCleanup(self.program.gate.set)
        ended = threading.Event()
        threading.Thread(target=lambda: (self.signer.answer(layer(SERVER), 2 * LONG), ended.set())).start()
        self.until(lambda: self.program.asked_for(SERVER))
        self.signer.remove()
        self.assertTrue(ended.wait(LONG))
        self.assertEqual(self.signer.take_late(), [])

    def test_a_certificate_that_the_connection_has_no_more_is_not_waited_for(self):
        with mock.patch.object(_signer.Presented, "certificate", return_value=None):
            self.enable(connection(**{names.CLIENT_CERTIFICATE: "CN=ana"}))
            self.until(lambda: not self.signer.answer(f"{PORTAL}/sharing/rest/portals/self", _signer.WAIT).is_late)
        answer = self.signer.answer(f"{PORTAL}/sharing/rest/portals/self", _signer.WAIT)
        self.assertEqual((bool(answer.token), answer.certificate, answer.is_late), (True, None, False))

    def test_a_token_that_comes_right_after_the_wait_is_used_or_loads_the_layer_again(self):
        self.enable()
        run, is_done = _background.Run(), _background.Run.is_done

        def asked(this):
            known = is_done(this)
            this.end("token")
            return known

        with mock.patch.object(_background.Run, "is_done", asked):
            with mock.patch.object(_background.Question, "run", return_value=run):
                answer = self.signer.answer(layer(SERVER), 0)
        self.assertTrue(answer.token or answer.is_late)

    def test_a_wait_that_disabling_ends_is_not_told(self):
        self.enable()
        run = _background.Run()
        run.end(error=_background.Closed())
        self.signer._has_ended(self.signer.portals[0], run)
        self.assertEqual(self.told, [])

    def test_a_failure_is_told_once_and_not_asked_about_at_once(self):
        self.program.fails = age_oauth.SignInRequired("no sign-in", "age-oauth login")
        self.enable()
        before = len(self.program.asked)
        for _ in range(30):
            self.assertTrue(self.signer.answer(f"{PORTAL}/sharing/rest/portals/self", _signer.WAIT).is_late)
        self.assertLessEqual(len(self.program.asked), before + 1)
        self.assertTrue(all("no sign-in" in one and "age-oauth login" in one for one in self.told), self.told)


class Rejections(WithSigner):
    def test_a_rejected_token_is_replaced_and_its_layer_loaded_again(self):
        self.enable()
        token = self.token(layer(SERVER))
        self.signer.rejected(layer(SERVER) + "/query?f=json", token)
        self.assertTrue(self.came.wait(LONG))
        self.assertTrue(_signer.concerns(layer(SERVER), self.signer.take_late()))
        self.assertNotEqual(self.token(layer(SERVER)), token)

    def test_tokens_that_are_always_rejected_are_not_replaced_for_ever(self):
        self.enable()
        before = self.program.number
        for _ in range(30):
            token = self.token(layer(SERVER))
            self.signer.rejected(layer(SERVER), token)
            for question in list(self.signer.portals[0]._replacements.values()):
                question._run.wait(LONG)
        self.assertLessEqual(self.program.number - before, 4)

    def test_of_very_many_addresses_only_so_many_have_their_tokens_replaced(self):
        self.enable()
        token = self.token(layer(SERVER))
        with mock.patch.object(_signer, "_ADDRESSES", 3), mock.patch.object(_signer.Portal, "replacement") as replacement:
            for number in range(10):
                self.signer.rejected(f"{SERVER}/rest/services/Roads/FeatureServer/{number}", token)
            self.assertEqual(replacement.call_count, 3)
            # They are forgotten in time.
            for tokens in self.signer._rejected.values():
                tokens.update((one, when - _signer.MEMORY) for one, when in tokens.items())
            self.signer.rejected(layer(OTHER), token)
            self.assertEqual(replacement.call_count, 4)
            self.assertEqual(len(self.signer._rejected), 1)

    def test_a_token_of_before_the_second_enable_is_replaced(self):
        self.enable()
        token = self.token(layer(SERVER))
        before = self.signer.portals[0]
        self.signer.add(Connection._of(before.facts))
        self.assertFalse(self.signer.is_ours(token))
        # A request that began before ends now.
        self.signer._remember(token, before)
        self.assertFalse(self.signer.is_ours(token))
        again = self.signer.portals[0]
        self.signer._remember(token, again)
        self.signer.rejected(layer(SERVER), token)
        (question,) = again._replacements.values()
        self.assertTrue(question._run.wait(LONG))
        self.assertIsNone(question._run.error)

    def test_replacements_that_are_dropped_are_closed(self):
        self.enable()
        portal = self.signer.portals[0]
        with mock.patch.object(_signer, "_TOKENS", 2):
            made = [portal.replacement(layer(SERVER), f"rejected{number}") for number in range(5)]
        self.assertEqual([one._is_closed for one in made], [True, True, True, False, False])

    def test_a_token_of_someone_else_changes_nothing(self):
        self.enable()
        before = len(self.program.asked)
        self.signer.rejected(layer(SERVER), "foreign")
        self.assertFalse(self.signer.is_ours("foreign"))
        self.assertEqual(len(self.program.asked), before)


class Layers(unittest.TestCase):
    def test_which_addresses_edit_a_layer(self):
        for operation, expected in (("addFeatures", True), ("applyEdits/?f=json", True), ("query", False), ("addFeatures/x", False), ("", False)):
            self.assertEqual(_signer.is_edit(f"{layer(SERVER)}/{operation}"), expected, operation)

    def test_an_error_without_a_code_is_one(self):
        for text in (b'{"error":{"message":"no"}}', b' {"error":"no"}', b'{"status":"error","messages":["no"]}', b'{"error":{"code":500}}'):
            self.assertTrue(_rejection.is_error(text), text)
        for text in (b'{"addResults":[{"success":false,"error":{"code":1000}}]}', b'{"error":null}', b"", b"[]", b"<html>", b"[" * 9999):
            self.assertFalse(_rejection.is_error(text), text)

    def test_which_layers_need_an_address(self):
        late = [_signer.address("https://GIS.example.com/server/rest/services/Roads/FeatureServer/0/query?f=json")]
        for url, expected in (
            (layer(SERVER), True),
            (layer(SERVER) + "/", True),
            ("https://gis.example.com:443/server/rest/services/Roads/FeatureServer/0", True),
            ("https://gis.example.com/server/rest/services/Roads/FeatureServer/01", False),
            (layer(OTHER), False),
            ("", False),
            ("https://gis.example.com:x/", False),
        ):
            self.assertEqual(_signer.concerns(url, late), expected, url)
        self.assertTrue(_signer.concerns(layer(SERVER), [_signer.address(f"{SERVER}/rest/services/Roads/FeatureServer?f=json")]))


class Questions(unittest.TestCase):
    def test_a_question_that_failed_is_asked_again_by_itself(self):
        answers = [age_oauth.PortalUnreachable("no"), "yes"]
        ended = threading.Event()

        def ask():
            one = answers.pop(0)
            if isinstance(one, Exception):
                raise one
            return one

        with mock.patch.object(_background, "FIRST_RETRY", 0.01):
            question = _background.Question(ask, lambda run: run.error is None and ended.set(), retries=True)
            self.addCleanup(question.close)
            self.assertTrue(question.run().wait(LONG))
            self.assertTrue(ended.wait(LONG))
        self.assertEqual(answers, [])

    def test_a_closed_question_is_not_asked_again(self):
        gate, ended = threading.Event(), threading.Event()
        self.addCleanup(gate.set)
        asked = []

        def ask():
            asked.append(1)
            gate.wait(LONG)
            raise age_oauth.PortalUnreachable("no")

        question = _background.Question(ask, lambda run: ended.set(), retries=True)
        open_run = question.run()
        question.close()
        self.assertIsInstance(open_run.error, _background.Closed)
        gate.set()
        self.assertTrue(ended.wait(LONG))
        self.assertIsNone(question._timer)
        for run in (question.run(), question.again()):
            self.assertIsInstance(run.error, _background.Closed)
        self.assertEqual(asked, [1])
