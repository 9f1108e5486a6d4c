"""An event loop neither starts the program nor lends its own threads to requests that wait for it."""

import asyncio
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

try:
    import httpx
except ImportError:
    raise unittest.SkipTest("httpx is not installed") from None

import age_oauth
from age_oauth import _by_id, _httpx, _program
from age_oauth._http import TokenAuth
from age_oauth._policy import Policy

PORTAL = "https://gis.example.com/portal"

#: A bound for waits that end at once if the code is right, in seconds.
LONG = 60


def transport():
    return httpx.MockTransport(lambda _: httpx.Response(200, json={}))


class Gate:
    """A provider whose tokens come when the gate is open."""

    def __init__(self):
        self.open, self.arrived = threading.Event(), threading.Semaphore(0)

    def kept(self, server=""):
        return None

    def token(self, min_ttl=None, server=""):
        self.arrived.release()
        assert self.open.wait(LONG)
        return type("Token", (), {"value": "a-token"})


def handler(provider):
    auth = TokenAuth.__new__(TokenAuth)
    auth._policy, auth._referer = Policy(provider, PORTAL), None
    made = age_oauth.HttpxTokenAuth.__new__(age_oauth.HttpxTokenAuth)
    made._auth = auth
    return made


class Threads(unittest.TestCase):
    def test_what_was_unpickled_starts_the_program_in_another_thread(self):
        started = []

        def ask(*_, **__):
            started.append(threading.current_thread())
            raise age_oauth.KeychainUnavailable("locked")

        async def get():
            restored = _by_id.restore(age_oauth.HttpxTokenAuth, "prod_1")
            async with httpx.AsyncClient(auth=restored, transport=transport()) as client:
                with self.assertRaises(age_oauth.KeychainUnavailable):
                    await client.get(PORTAL)
            return threading.current_thread()

        with mock.patch.dict(_by_id._connections, clear=True), mock.patch.object(_program, "ask", ask):
            loops = asyncio.run(get())
        self.assertEqual(len(started), 1)
        self.assertIsNot(started[0], loops)

    def test_unpickling_does_not_wait_for_one_that_starts_the_program(self):
        done = threading.Event()

        def restore():
            _by_id.restore(age_oauth.Connection, "prod_2")
            done.set()

        with mock.patch.dict(_by_id._connections, clear=True), _by_id._lock:
            threading.Thread(target=restore, daemon=True).start()
            self.assertTrue(done.wait(LONG))

    def test_requests_that_wait_leave_the_threads_of_the_loop_alone(self):
        gate = Gate()

        async def get():
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(2))
            async with httpx.AsyncClient(auth=handler(gate), transport=transport()) as client:
                waiting = [asyncio.create_task(client.get(PORTAL)) for _ in range(_httpx.THREADS + 8)]
                try:
                    # Two wait where there are no more threads than those of the loop.
                    for _ in range(2):
                        while not gate.arrived.acquire(blocking=False):
                            await asyncio.sleep(0.001)
                    others = [loop.run_in_executor(None, threading.get_ident) for _ in range(6)]
                    await asyncio.wait_for(asyncio.gather(*others), LONG)
                    self.assertFalse(any(one.done() for one in waiting))
                finally:
                    gate.open.set()
                return [one.status_code for one in await asyncio.gather(*waiting)]

        self.assertEqual(asyncio.run(get()), [200] * (_httpx.THREADS + 8))

    def test_a_forked_process_has_threads_of_its_own(self):
        before = _httpx._executor("tokens", _httpx.THREADS)
        for forget in _by_id.at_fork:
            if forget == _httpx._executors.clear:
                forget()
        self.assertIsNot(_httpx._executor("tokens", _httpx.THREADS), before)


if __name__ == "__main__":
    unittest.main()
