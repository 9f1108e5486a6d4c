"""When a token is used, renewed ahead, forced, or refused. The clock and the program are stand-ins."""

import os
import threading
import time as real_time
import unittest
import warnings
from unittest import mock

import age_oauth
from age_oauth import _json_names as names
from age_oauth import _policy, _provider

FACTS = {
    names.ID: "1",
    names.CONNECTION: "prod",
    names.PORTAL_URL: "https://gis.example.com/portal",
    names.USERNAME: "anna",
    names.SIGN_IN_ENDS_SOON: False,
    names.REFRESH_EXPIRES_AT: None,
}

#: A bound for waits that end at once if the code is right, in seconds.
LONG = 30


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    time = monotonic


class Program:
    """Issues tokens of one life, keeps the last one, and renews it as the program does."""

    def __init__(self, clock, life):
        self.clock, self.life = clock, life
        self.asked, self.number, self.issued = [], 0, None
        self.facts = dict(FACTS)
        self.gate = None

    def ask(self, *words):
        self.asked.append(words)
        if self.gate is not None:
            assert self.gate.wait(LONG)
        wanted = int(words[words.index("--min-ttl") + 1][:-1]) if "--min-ttl" in words else 60
        left = 0 if self.issued is None else int(self.issued + self.life - self.clock.now)
        if "--force" in words or left < min(wanted, self.life):
            self.number, self.issued = self.number + 1, self.clock.now
            left = int(self.life)
        return {
            **self.facts,
            names.ACCESS_TOKEN: f"token{self.number}",
            names.EXPIRES_IN: left,
            names.EXPIRES_EPOCH: self.clock.now + left,
        }


class WithProgram(unittest.TestCase):
    def begin(self, life=1800):
        clock = Clock()
        program = Program(clock, life)
        for target, attribute, value in (
            (_provider, "time", clock),
            (_provider._program, "ask", program.ask),
        ):
            patch = mock.patch.object(target, attribute, value)
            patch.start()
            self.addCleanup(patch.stop)
        return clock, program, _provider.Provider("prod", None)

    def settle(self, provider):
        """Waits until no renewal runs."""
        for slot in provider._slots.values():
            self.assertTrue(slot.lock.acquire(timeout=LONG))
            slot.lock.release()


class Lives(WithProgram):
    def test_the_last_quarter_of_a_life_but_at_most_a_minute_is_not_used(self):
        for life, unused in ((3, 0.75), (30, 7.5), (240, 60), (1800, 60), (7200, 60)):
            with self.subTest(life=life):
                self.assertEqual(_provider.unused(life), unused)
                clock, program, provider = self.begin(life)
                # No thread renews ahead of time.
                with mock.patch.object(provider, "_renew_ahead"):
                    provider.token()
                    clock.now += life - unused - 0.01
                    self.assertEqual(provider.token().value, "token1")
                    clock.now += 0.02
                    self.assertEqual(provider.token().value, "token2")
                self.assertEqual(len(program.asked), 2)

    def test_a_new_token_is_fetched_ahead_once(self):
        for life, ahead in ((3, 1.125), (30, 11.25), (1800, 90)):
            with self.subTest(life=life):
                clock, program, provider = self.begin(life)
                provider.token()
                clock.now += life - ahead - 0.01
                for _ in range(5):
                    self.assertEqual(provider.token().value, "token1")
                self.assertEqual(len(program.asked), 1)
                clock.now += 0.02
                provider.token()
                self.settle(provider)
                for _ in range(5):
                    self.assertEqual(provider.token().value, "token2")
                self.assertEqual(len(program.asked), 2)

    def test_a_long_job_costs_one_start_for_each_token(self):
        for life in (3, 30, 1800):
            with self.subTest(life=life):
                clock, program, provider = self.begin(life)
                for _ in range(1000):
                    provider.token()
                    self.settle(provider)
                    self.assertGreater(provider.token().left(), 0)
                    clock.now += life / 100
                self.assertLessEqual(len(program.asked), 22)

    def test_a_life_that_is_not_a_number_of_seconds_is_an_error_at_each_call(self):
        _, program, provider = self.begin()
        for again in range(2):
            for wrong in ("soon", float("nan"), float("inf"), 1e30, []):
                with self.subTest(wrong=wrong, again=again), self.assertRaises(age_oauth.UsageError):
                    provider.token(wrong)
            self.assertEqual(provider.token("60").value, "token1")
        self.assertEqual(len(program.asked), 1)

    def test_a_caller_that_wants_more_gets_more(self):
        clock, program, provider = self.begin()
        provider.token()
        clock.now += 1300
        self.assertEqual(provider.token(600).value, "token2")
        # The portal issues none that lives for a day: a new one is the best.
        for _ in range(5):
            provider.token(86_400)
        self.assertLessEqual(len(program.asked), 3)

    def test_a_token_that_the_program_had_is_not_taken_for_the_best_of_the_portal(self):
        clock, program, provider = self.begin()
        program.ask("token")
        clock.now += 1700
        self.assertEqual(provider.token().value, "token1")
        # It lives for 100 seconds more, the portal's tokens for 1800.
        self.assertEqual(provider.token(600).value, "token2")

    def test_a_caller_that_wants_less_does_not_decide_for_those_after_it(self):
        clock, program, provider = self.begin()
        program.ask("token")
        clock.now += 1770
        self.assertEqual(provider.token(0).value, "token1")
        self.assertEqual(provider.token(10).value, "token1")
        self.assertEqual(len(program.asked), 2)
        # The default is a minute.
        self.assertEqual(provider.token().value, "token2")
        self.assertEqual(provider.token(0).value, "token2")

    def test_a_key_that_ends_too_soon_is_an_error_at_each_call(self):
        clock, program, provider = self.begin()
        program.facts[names.AUTH_TYPE] = "key"
        provider.token()
        ends = age_oauth.SignInRequired("ends", None, "api_key")
        with mock.patch.object(_provider._program, "ask", side_effect=ends):
            for _ in range(3):
                with self.assertRaises(age_oauth.SignInRequired):
                    provider.token(86_400)
        # What lives long enough for others stays in use.
        self.assertEqual(provider.token(600).value, "token1")
        self.assertEqual(len(program.asked), 1)


class Threads(WithProgram):
    def test_requests_go_on_while_a_token_is_renewed(self):
        clock, program, provider = self.begin()
        provider.token()
        clock.now += 1720
        program.gate = threading.Event()
        # Would wait for ever if one of them waited for the renewal.
        for _ in range(100):
            self.assertEqual(provider.token().value, "token1")
        # Neither does one for which the next attempt would be due.
        clock.now += _provider.PAUSE
        goes_on = threading.Thread(target=provider.token, daemon=True)
        goes_on.start()
        goes_on.join(LONG / 2)
        self.assertFalse(goes_on.is_alive())
        program.gate.set()
        self.settle(provider)
        self.assertEqual(provider.token().value, "token2")
        self.assertEqual(len(program.asked), 2)

    def test_a_question_about_one_server_stops_no_request_to_another(self):
        clock, program, provider = self.begin()
        provider.token()
        program.gate = threading.Event()
        asks = threading.Thread(target=provider.token, args=(None, "https://foreign.example/arcgis"))
        asks.start()
        while len(program.asked) < 2:
            real_time.sleep(0.001)
        self.assertEqual(provider.token().value, "token1")
        program.gate.set()
        asks.join(LONG)

    def test_a_renewal_ahead_that_fails_is_not_repeated_at_each_request(self):
        clock, program, provider = self.begin()
        provider.token()
        clock.now += 1720
        with mock.patch.object(_provider._program, "ask", side_effect=age_oauth.PortalUnreachable("no")) as ask:
            for _ in range(20):
                self.assertEqual(provider.token().value, "token1")
                self.settle(provider)
            self.assertEqual(ask.call_count, 1)
            clock.now += _provider.PAUSE
            provider.token()
            self.settle(provider)
            self.assertEqual(ask.call_count, 2)
            clock.now += 60
            with self.assertRaises(age_oauth.PortalUnreachable):
                provider.token()

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork")
    def test_a_fork_while_a_thread_renews_leaves_the_child_able_to(self):
        clock, program, provider = self.begin()
        provider.token()
        clock.now += 1720
        program.gate = threading.Event()
        provider.token()
        while len(program.asked) < 2:
            real_time.sleep(0.001)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of a fork with threads.
            child = os.fork()
        if child == 0:
            clock.now += 60
            program.gate = None
            ended = threading.Timer(LONG, os._exit, (1,))
            ended.daemon = True
            ended.start()
            os._exit(0 if provider.token().value == "token2" else 2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        program.gate.set()
        self.settle(provider)


class Rejections(WithProgram):
    def test_thirty_rejections_force_two_renewals(self):
        clock, program, provider = self.begin()
        used = provider.token().value
        for _ in range(30):
            used = provider.instead_of(used).value
            clock.now += 1
        self.assertEqual(sum("--force" in words for words in program.asked), 2)
        self.assertLessEqual(len(program.asked), 12)

    def test_after_a_minute_another_renewal_may_be_forced(self):
        clock, program, provider = self.begin()
        used = provider.token().value
        for _ in range(3):
            used = provider.instead_of(used).value
        self.assertEqual(used, "token3")
        clock.now += 61
        self.assertEqual(provider.instead_of(used).value, "token4")

    def test_the_second_step_insists_on_a_token_issued_after_the_rejection(self):
        clock, program, provider = self.begin()
        old = provider.token().value
        # Another process renewed. Then the portal forgot all tokens.
        program.ask("token", "--force")
        newer = provider.instead_of(old).value
        self.assertEqual(newer, "token2")
        self.assertEqual(provider.instead_of(newer).value, "token3")
        self.assertIn("--force", program.asked[-1])

    def test_a_token_that_was_rejected_is_not_taken_again(self):
        clock, program, provider = self.begin()
        first = provider.token().value
        second = provider.instead_of(first).value
        self.assertEqual(provider.instead_of(first).value, second)
        third = provider.instead_of(second).value
        self.assertNotIn(third, (first, second))


    def test_after_the_sign_in_has_ended_no_request_gets_the_rejected_token(self):
        clock, program, provider = self.begin()
        used = provider.token().value
        with mock.patch.object(_provider._program, "ask", side_effect=age_oauth.SignInRequired("ended")):
            with self.assertRaises(age_oauth.SignInRequired):
                provider.instead_of(used)
            with self.assertRaises(age_oauth.SignInRequired):
                provider.token()


class Keys(WithProgram):
    def begin(self, life=8_000_000):
        clock, program, provider = super().begin(life)
        program.facts[names.AUTH_TYPE] = "key"
        return clock, program, provider

    def test_a_refused_key_is_an_error_until_there_is_another(self):
        clock, program, provider = self.begin()
        key = provider.token().value
        for act in (lambda: provider.instead_of(key, by_portal=True), provider.token, provider.token):
            with self.assertRaises(age_oauth.SignInRequired) as raised:
                act()
            self.assertEqual(raised.exception.kind, "api_key")
            self.assertNotIn(key, str(raised.exception))
        self.assertFalse(any("--force" in words for words in program.asked))
        program.issued = None
        self.assertEqual(provider.token().value, "token2")
        # A request that began before is repeated with it.
        self.assertEqual(provider.instead_of(key, by_portal=True).value, "token2")

    def test_a_key_that_was_refused_for_a_moment_is_used_again(self):
        clock, program, provider = self.begin()
        key = provider.token().value
        with self.assertRaises(age_oauth.SignInRequired):
            provider.instead_of(key, by_portal=True)
        issue = program.ask

        def ask(*words):
            return {**issue(*(one for one in words if one != "--force")), names.ACCESS_TOKEN: key}

        def refuse(*words):
            if "--force" in words:
                raise age_oauth.SignInRequired("not accepted", None, "api_key")
            return ask(*words)

        asked = []
        for program_says, seconds, is_used in ((ask, 59, False), (refuse, 2, False), (ask, 59, False), (ask, 2, True)):
            clock.now += seconds
            with mock.patch.object(_provider._program, "ask", lambda *words: (asked.append(words), program_says(*words))[1]):
                if is_used:
                    self.assertEqual(provider.token().value, key)
                    self.assertEqual(provider.token("0").value, key)
                else:
                    for _ in range(3):
                        with self.assertRaises(age_oauth.SignInRequired) as raised:
                            provider.token()
                        self.assertEqual(raised.exception.kind, "api_key")
        self.assertEqual(sum("--force" in words for words in asked), 2)

    def test_a_person_may_give_a_refused_key_again(self):
        clock, program, provider = self.begin()
        key = provider.token().value
        with self.assertRaises(age_oauth.SignInRequired):
            provider.instead_of(key, by_portal=True)
        provider.forget()
        with self.assertRaises(age_oauth.SignInRequired):
            provider.token()
        provider.forget(new_key=True)
        self.assertEqual(provider.token().value, key)

    def test_a_key_that_only_a_server_rejects_stays_in_use(self):
        clock, program, provider = self.begin()
        key = provider.token().value
        # The program asks the portal, which accepts the key.
        program.number = 0
        with mock.patch.object(_provider._program, "ask", lambda *words: {**program.ask("token"), names.ACCESS_TOKEN: key}):
            self.assertEqual(provider.instead_of(key).value, key)
        self.assertEqual(provider.token().value, key)

    def test_a_key_in_its_last_minute_is_there_for_who_wants_less(self):
        clock, program, provider = self.begin()
        key = program.ask("token")

        def ask(*words):
            if "--min-ttl" in words:
                return key
            raise age_oauth.SignInRequired("ends", None, "api_key")

        with mock.patch.object(_provider._program, "ask", ask):
            with self.assertRaises(age_oauth.SignInRequired):
                provider.token()
            self.assertEqual(provider.token(10).value, "token1")

    def test_the_key_of_another_user_is_not_called_a_sign_in(self):
        clock, program, provider = self.begin()
        provider.token()
        program.facts[names.USERNAME] = "bert"
        clock.now += 8_000_000
        with self.assertRaises(age_oauth.SignInRequired) as raised:
            provider.token()
        self.assertIn("API key", raised.exception.message)
        self.assertNotIn("sign", str(raised.exception))


class Identity(WithProgram):
    def test_another_user_is_an_error_with_both_names(self):
        clock, program, provider = self.begin()
        provider.token()
        program.facts[names.USERNAME] = "bert"
        clock.now += 1800
        for _ in range(2):
            with self.assertRaises(age_oauth.SignInRequired) as raised:
                provider.token()
            self.assertIn("`anna`", raised.exception.message)
            self.assertIn("`bert`", raised.exception.message)

    def test_a_sign_in_by_the_connection_does_not_change_a_session_that_began(self):
        clock, program, provider = self.begin()
        policy = _policy.Policy(provider, FACTS[names.PORTAL_URL])
        url = f"{FACTS[names.PORTAL_URL]}/sharing/rest"
        self.assertEqual(policy.token(url), "token1")
        program.facts[names.USERNAME] = "bert"
        provider.forget()
        self.assertEqual(provider.token().value, "token1")
        with self.assertRaises(age_oauth.SignInRequired):
            policy.token(url)
        with self.assertRaises(age_oauth.SignInRequired):
            policy.at_once(url)

    def test_another_portal_gets_nothing(self):
        for portal in ("https://gis.example.com.evil.net/portal", "https://gis.example.com/portal2"):
            clock, program, provider = self.begin()
            provider.token()
            program.facts[names.PORTAL_URL] = portal
            clock.now += 1800
            with self.assertRaises(age_oauth.UsageError):
                provider.token()
        # The same address in another form is the same portal.
        clock, program, provider = self.begin()
        provider.token()
        program.facts[names.PORTAL_URL] = "https://GIS.example.com:443/portal/"
        clock.now += 1800
        self.assertEqual(provider.token().value, "token2")


class Foreign(unittest.TestCase):
    PORTAL = "https://gis.example.com/portal"

    def policy(self, error):
        asked = []

        class Provider:
            def token(self, min_ttl=None, server=""):
                asked.append(server)
                if server.startswith("https://server.example/"):
                    return type("Token", (), {"value": "server-token"})
                raise error

            def kept(self, server=""):
                return None

        return _policy.Policy(Provider(), self.PORTAL), asked

    def test_a_host_with_many_addresses_costs_few_questions(self):
        policy, asked = self.policy(age_oauth.PortalRefused("no"))
        for number in range(50):
            self.assertIsNone(policy.token(f"https://tiles.example/{number}/rest/services/A"))
            self.assertIsNone(policy.token(f"https://images.example/{number}.png"))
        self.assertEqual(len(asked), 6)
        # Several hosts do not share their answers, nor do a portal's own servers.
        for number in range(5):
            policy.token(f"https://gis.example.com/{number}/rest/services")
        self.assertEqual(len(asked), 11)
        # Pictures on a host do not hide a server there.
        before = len(asked)
        for number in range(9):
            policy.token(f"https://server.example.net/{number}.png")
            policy.token(f"https://gis.example.com/{number}.png")
        self.assertEqual(len(asked), before + 6)
        policy.token("https://server.example.net/arcgis/rest/services")
        self.assertEqual(asked[-1], "https://server.example.net/arcgis")
        self.assertEqual(policy.token("https://server.example/arcgis/rest/services/A"), "server-token")

    def test_a_foreign_address_passes_where_the_question_cannot_be_asked(self):
        for error in (age_oauth.PortalUnreachable, age_oauth.Busy, age_oauth.KeychainUnavailable, age_oauth.ProgramUnusable):
            policy, asked = self.policy(error("no"))
            with self.assertLogs("age_oauth", "WARNING") as logged:
                for _ in range(5):
                    self.assertIsNone(policy.token("https://images.example/a.png"))
            self.assertEqual(len(asked), 1)
            self.assertEqual(len(logged.output), 1)
            self.assertIn("images.example", logged.output[0])
            self.assertIsNone(policy.failure("https://images.example/a.png"))
            with self.assertRaises(error):
                policy.token(self.PORTAL)

    def test_a_failure_that_says_nothing_about_a_server_is_raised_for_it(self):
        for error in (age_oauth.KeychainUnavailable, age_oauth.ProgramUnusable):
            policy, _ = self.policy(error("no", "do"))
            # In the pause after it, too, also where it began with another address below the same
            # root.
            with self.assertLogs("age_oauth", "WARNING") as logged:
                policy.token("https://tiles.example/arcgis")
                for _ in range(3):
                    self.assertFalse(policy.at_once("https://tiles.example/arcgis/rest/services")[0])
                    with self.assertRaises(error):
                        policy.token("https://tiles.example/arcgis/rest/services")
            self.assertEqual(len(logged.output), 4)

    def test_a_failure_is_kept_until_there_is_an_answer(self):
        url = "https://tiles.example/arcgis/rest/services"
        for error in (age_oauth.PortalUnreachable, age_oauth.Busy):
            policy, asked = self.policy(error("no", "do", "k"))
            with self.assertLogs("age_oauth", "WARNING"):
                for _ in range(5):
                    self.assertIsNone(policy.token(url))
            self.assertEqual(len(asked), 1)
            kept = policy.failure(url)
            self.assertEqual((type(kept), kept.message, kept.hint, kept.kind), (error, "no", "do", "k"))
            self.assertIsNot(policy.failure(url), kept)
            with mock.patch.object(policy._provider, "token", side_effect=age_oauth.PortalRefused("no")):
                policy._refused.clear()
                self.assertIsNone(policy.token(url))
            self.assertIsNone(policy.failure(url))

    def test_within_this_machine_no_proxy_gets_a_token(self):
        class Provider:
            def token(self, min_ttl=None, server=""):
                return type("Token", (), {"value": "a-token"})

        portal = "http://127.0.0.1:7080/portal"
        policy = _policy.Policy(Provider(), portal)
        with mock.patch.dict(os.environ, {"http_proxy": "http://proxy.example:3128", "no_proxy": ""}):
            with self.assertRaises(age_oauth.UsageError) as raised:
                policy.token(portal)
            self.assertIn("NO_PROXY", raised.exception.hint)
            self.assertEqual(_policy.Policy(Provider(), portal, own_proxies=True).token(portal), "a-token")
            with mock.patch.dict(os.environ, {"no_proxy": "127.0.0.1"}):
                self.assertEqual(policy.token(portal), "a-token")


if __name__ == "__main__":
    unittest.main()
