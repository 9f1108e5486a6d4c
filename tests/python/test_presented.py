"""What the adapter of the portal sends, without a network."""

import unittest

try:
    import requests
except ImportError:
    raise unittest.SkipTest("requests is not installed") from None
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError, ConnectTimeout
from urllib3.exceptions import ProtocolError

from age_oauth._sessions import Presenting
from age_oauth._wire import PatientRetry


class Answers:
    """In place of a connection: answers by these states, and keeps what was sent."""

    def __init__(self, *states):
        self.states = list(states)
        self.sent = []

    def send(self, request, *_):
        self.sent.append(request.headers.get("Authorization"))
        state = self.states.pop(0)
        if state == "lost":
            raise ConnectionError(ProtocolError("Connection aborted."), request=request)
        if state == "late":
            raise ConnectTimeout(request=request)
        response = requests.Response()
        response.status_code, response.request = state, request
        response.raw = None
        return response


class Presented:
    """Answers Windows sign-in, each time with another value."""

    def __init__(self):
        self.made = self.refused = 0

    def belongs_to(self, url):
        return url.startswith("https://portal/")

    def check(self, verify):
        pass

    def authorization(self, has_body):
        self.made += 1
        return f"Negotiate {self.made}"

    def was_refused(self):
        self.refused += 1


def adapter(*states):
    class Adapter(Presenting, Answers, HTTPAdapter):
        pass

    one = Adapter.__new__(Adapter)
    Answers.__init__(one, *states)
    one.presented = Presented()
    one.repeats = PatientRetry(total=5, status_forcelist=(503,), allowed_methods=None)
    return one


def request(url="https://portal/x", method="POST", **options):
    return requests.Request(method, url, **options).prepare()


class Repeats(unittest.TestCase):
    def test_each_attempt_has_an_answer_of_its_own(self):
        one = adapter(503, 503, 200)
        self.assertEqual(one.send(request(data={"a": "b"})).status_code, 200)
        self.assertEqual(one.sent, ["Negotiate 1", "Negotiate 2", "Negotiate 3"])

    def test_a_body_that_is_gone_is_not_sent_again(self):
        one = adapter(503, 200)
        self.assertEqual(one.send(request(data=iter([b"a"]))).status_code, 503)

    def test_a_request_that_was_lost_is_sent_once_more_with_a_new_answer(self):
        one = adapter("lost", 200)
        self.assertEqual(one.send(request(method="GET")).status_code, 200)
        self.assertEqual(one.sent, ["Negotiate 1", "Negotiate 2"])
        for one, sent in (
            (adapter("lost", "lost", 200), request(method="GET")),
            (adapter("late", 200), request(method="GET")),
            # It may have had its effect.
            (adapter("lost", 200), request(data={"a": "b"})),
            (adapter("lost", 200), request(method="GET", data=iter([b"a"]))),
        ):
            with self.assertRaises(ConnectionError):
                one.send(sent)

    def test_a_refusal_is_remembered(self):
        one = adapter(401)
        self.assertEqual(one.send(request()).status_code, 401)
        self.assertEqual(one.presented.refused, 1)

    def test_an_error_shows_no_answer(self):
        one, sent = adapter("lost"), request()
        with self.assertRaises(ConnectionError) as raised:
            one.send(sent)
        self.assertIs(raised.exception.request, sent)
        self.assertNotIn("Authorization", sent.headers)

    def test_another_host_gets_none(self):
        one = adapter(200)
        one.send(request("https://elsewhere/x"))
        self.assertEqual(one.sent, [None])


if __name__ == "__main__":
    unittest.main()
