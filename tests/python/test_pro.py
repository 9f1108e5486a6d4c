"""How often ``sign_in_pro`` renews ArcGIS Pro's sign-in, by clocks and waits that are stand-ins. Only the standard library."""

import threading
import types
import unittest
from unittest import mock

from age_oauth import AgeOAuthError, _pro, _provider

OURS, OTHER = "https://gis.example.com/portal", "https://other.example.com/portal"


class Clock:
    """The two clocks; of these, the wall clock goes on while the machine sleeps."""

    wall, running = 1_000_000.0, 5_000.0

    def time(self):
        return self.wall

    def monotonic(self):
        return self.running

    def pass_by(self, seconds):
        self.wall += seconds
        self.running += seconds


class Pro:
    """As much of arcpy as is called after the beginning. It counts."""

    def __init__(self):
        self.url, self.asked, self.tokens, self.fails = OURS, 0, [], False

    def GetActivePortalURL(self):
        self.asked += 1
        if self.url is None:
            raise RuntimeError("there is no answer")
        return self.url

    def SignInToPortal(self, url, *, token, token_referer, token_expiry):
        if self.fails:
            self.fails = False
            raise RuntimeError("it cannot be reached")
        self.tokens.append(token)


class Stop:
    """In place of the event: a wait takes no time, and the last one ends the thread."""

    def __init__(self, clock, seconds, during=lambda number: None):
        self.clock, self.until, self.during, self.waits = clock, clock.wall + seconds, during, []

    def wait(self, seconds):
        self.waits.append(seconds)
        self.clock.pass_by(seconds)
        self.during(len(self.waits))
        return self.clock.wall > self.until

    def is_set(self):
        return False


class SignIn(_pro.ProSignIn):
    portal_url, label, id = OURS, "prod", "prod_1"

    def __init__(self, provider, arcpy, stop):
        self._provider, self._arcpy, self._stop = provider, arcpy, stop
        self._lock, self._failure = threading.Lock(), None
        self._sign_in_pro(provider.token(_pro.MIN_LEFT))


class Provider:
    """Issues tokens; each is another one, and lives as long."""

    def __init__(self, clock, life, is_same=False):
        self.clock, self.life, self.is_same, self.issued, self.errors, self.asked = clock, life, is_same, [], 0, 0

    def token(self, min_left):
        self.asked += 1
        if self.errors:
            self.errors -= 1
            raise AgeOAuthError("there is no token")
        last = self.issued[-1] if self.issued else None
        if last is None or (last.left() <= min_left and not self.is_same):
            last = _provider.Token(
                {
                    "access_token": f"t{len(self.issued)}",
                    "expires_epoch": self.clock.wall + self.life,
                    "expires_in": self.life,
                    "referer": None,
                }
            )
            self.issued.append(last)
        return last


class Renewals(unittest.TestCase):
    def setUp(self):
        self.clock, self.arcpy = Clock(), Pro()
        patched = mock.patch.object(_provider, "time", types.SimpleNamespace(time=self.clock.time, monotonic=self.clock.monotonic))
        patched.start()
        self.addCleanup(patched.stop)

    def begin(self, hours, life=1800.0, during=lambda number: None, **options):
        provider = Provider(self.clock, life, **options)
        return SignIn(provider, self.arcpy, Stop(self.clock, hours * 3600, during)), provider

    def test_each_token_is_given_before_the_last_one_expires(self):
        for life, expected in ((1800.0, 20), (8.0, 6 * 900)):
            self.setUp()
            one, provider = self.begin(6, life)
            ends = []
            sign_in = one._sign_in_pro
            with mock.patch.object(one, "_sign_in_pro", lambda token: (ends.append(one._given.left()), sign_in(token))):
                one._keep()
            self.assertAlmostEqual(len(self.arcpy.tokens), expected, delta=expected * 0.25)
            self.assertGreater(min(ends), 0)
            self.assertLessEqual(max(one._stop.waits), _pro.PAUSE)

    def test_another_portal_is_not_asked_for_without_end(self):
        one, provider = self.begin(8)
        self.arcpy.url = OTHER
        one._keep()
        self.assertEqual(self.arcpy.tokens, ["t0"])
        self.assertLess(self.arcpy.asked, 30)
        # Back at ours, Pro gets the next one.
        self.arcpy.url, one._stop = OURS, Stop(self.clock, 3600)
        one._keep()
        self.assertGreater(len(self.arcpy.tokens), 1)

    def test_after_sleep_the_token_is_renewed_soon(self):
        def sleeps(number):
            if number == 3:
                self.clock.wall += 4 * 3600
                seen.append(len(self.arcpy.tokens))

        seen = []
        one, provider = self.begin(4.1, during=sleeps)
        one._stop.until += 60
        one._keep()
        self.assertEqual(seen, [1])
        self.assertGreater(len(self.arcpy.tokens), 1)
        # What is asleep does not wait: no wait may be long.
        self.assertLessEqual(max(one._stop.waits), 30)

    def test_a_failure_is_tried_again_twice_a_minute(self):
        def fails(number):
            if number == 1:
                provider.errors = 5

        one, provider = self.begin(1, during=fails)
        one._keep()
        self.assertEqual(provider.errors, 0)
        self.assertIsNone(one._failure)
        self.assertEqual(self.arcpy.tokens, ["t0", "t1", "t2"])
        self.assertLess(provider.asked, 1 + 5 + 4)

    def test_a_sign_in_that_failed_is_tried_again(self):
        one, provider = self.begin(0.4)
        self.arcpy.fails = True
        one._keep()
        self.assertFalse(self.arcpy.fails)
        self.assertEqual(self.arcpy.tokens, ["t0", "t1"])
        self.assertIsNone(one._failure)

    def test_what_gives_nothing_new_is_not_repeated_at_once(self):
        for is_same, url in ((True, OURS), (False, None)):
            self.setUp()
            one, provider = self.begin(1, is_same=is_same)
            self.arcpy.url = url
            one._keep()
            self.assertLess(self.arcpy.asked, 100, url)
            self.assertEqual(self.arcpy.tokens, ["t0"])


if __name__ == "__main__":
    unittest.main()
