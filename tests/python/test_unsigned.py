"""Requests to a server whose token could not be asked for: a rejection tells why, without a network."""

import asyncio
import unittest

try:
    import httpx
    import requests
except ImportError:
    raise unittest.SkipTest("requests or httpx is not installed") from None
from requests.adapters import BaseAdapter

import age_oauth
from age_oauth._http import HEADER, TokenAuth
from age_oauth._policy import Policy

PORTAL = "https://gis.example.com/portal"
URL = "https://gis.example.com/server/rest/services/A"
REJECTION = b'{"error": {"code": 499, "message": "Token Required"}}'
PUBLIC = b'{"features": []}'


class Adapter(BaseAdapter):
    """Gives one answer to every request."""

    def __init__(self, content):
        super().__init__()
        self.content, self.sent = content, []

    def send(self, request, **_):
        self.sent.append(request.headers.get(HEADER))
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response._content, response._content_consumed = self.content, True
        response.connection = self
        return response

    def close(self):
        pass


def auth(error):
    class Provider:
        def token(self, min_ttl=None, server=""):
            raise error

        def kept(self, server=""):
            return None

    made = TokenAuth.__new__(TokenAuth)
    made._policy, made._referer = Policy(Provider(), PORTAL), None
    return made


def by_requests(error, content):
    session = requests.Session()
    session.auth = auth(error)
    adapter = Adapter(content)
    session.mount("https://", adapter)
    answer = session.get(URL)
    assert adapter.sent == [None]
    return answer.content


def _handler(error):
    made = age_oauth.HttpxTokenAuth.__new__(age_oauth.HttpxTokenAuth)
    made._auth = auth(error)
    return made


def _transport(content):
    def answer(request):
        assert HEADER not in request.headers
        return httpx.Response(200, content=content, headers={"Content-Type": "application/json"})

    return httpx.MockTransport(answer)


def by_httpx(error, content):
    with httpx.Client(auth=_handler(error), transport=_transport(content)) as client:
        return client.get(URL).content


def by_async_httpx(error, content):
    async def get():
        async with httpx.AsyncClient(auth=_handler(error), transport=_transport(content)) as client:
            return (await client.get(URL)).content

    return asyncio.run(get())


WAYS = (by_requests, by_httpx, by_async_httpx)


class Unsigned(unittest.TestCase):
    def test_a_rejection_raises_what_went_wrong(self):
        for way in WAYS:
            for error in (age_oauth.PortalUnreachable, age_oauth.Busy):
                with self.subTest(way=way.__name__, error=error.__name__), self.assertLogs("age_oauth", "WARNING"):
                    with self.assertRaises(error) as raised:
                        way(error("what", "do"), REJECTION)
                    self.assertEqual((raised.exception.message, raised.exception.hint), ("what", "do"))
                    # What anonymous users get is an answer, too.
                    self.assertEqual(way(error("what"), PUBLIC), PUBLIC)

    def test_a_failure_of_this_machine_is_raised_before_anything_is_sent(self):
        for way in WAYS:
            for error in (age_oauth.KeychainUnavailable, age_oauth.ProgramUnusable):
                with self.subTest(way=way.__name__, error=error.__name__), self.assertLogs("age_oauth", "WARNING"):
                    with self.assertRaises(error):
                        way(error("what"), PUBLIC)

    def test_a_server_that_the_portal_issues_no_token_for_answers_itself(self):
        for way in WAYS:
            self.assertEqual(way(age_oauth.PortalRefused("no"), REJECTION), REJECTION)


if __name__ == "__main__":
    unittest.main()
