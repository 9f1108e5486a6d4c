"""A host that accepts a request and never answers: a session waits once, for so long, and not again."""

import socket
import threading
import time

import requests
from requests.adapters import HTTPAdapter

from age_oauth import _wire
from age_oauth._policy import Policy


class Silent:
    """Accepts connections, reads, and answers nothing."""

    def __init__(self):
        self.accepted = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/portal"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, peer = self._listener.accept()
            self.accepted.append((connection, peer[1]))

    def count(self):
        """How many connections there have been until now."""
        with socket.create_connection(self._listener.getsockname()) as last:
            port = last.getsockname()[1]
            while port not in (number for _, number in list(self.accepted)):
                time.sleep(0.001)
        self.accepted.pop()
        return len(self.accepted)


class Adapter(_wire.Wire, HTTPAdapter):
    """As `get_gis` puts it into a session, without Esri's part."""

    limits = []

    def _limit(self, timeout):
        limit = super()._limit(timeout)
        self.limits.append(limit)
        # The wait itself is as short as possible.
        return 30, 0.1


silent = Silent()
adapter = Adapter(max_retries=_wire.PatientRetry(total=5, status_forcelist=(503,), allowed_methods=None))
adapter.policy = Policy(None, "https://gis.example.com/portal")
session = requests.Session()
session.trust_env = False
session.mount("http://", adapter)


def waits(**options):
    """The limits of one request that waits for too long, in seconds."""
    before = silent.count()
    adapter.limits.clear()
    try:
        session.get(silent.url, **options)
    except requests.exceptions.ReadTimeout:
        # Waited once, not six times.
        assert silent.count() - before == len(adapter.limits) <= 1, silent.accepted
    else:
        raise AssertionError("an answer")
    return adapter.limits[:]


# The limits of the module without any from the caller; those of the caller where there are some.
assert waits() == [(_wire.CONNECT_SECONDS, _wire.SILENT_SECONDS)]
assert waits(timeout=(3, 4)) == [(3, 4)]
assert waits(timeout=7) == [7]
# While a session begins, Esri's code tries several addresses: the first wait is the last.
adapter.begin()
assert waits(timeout=600) == [(_wire.CONNECT_SECONDS, _wire.BEGIN_SECONDS)]
assert waits() == waits() == []
adapter.end()
assert waits() == [(_wire.CONNECT_SECONDS, _wire.SILENT_SECONDS)]
# What cannot be reached is not tried again, either.
retry = _wire.PatientRetry(total=5)
unreachable = _wire.ConnectTimeoutError(None, "no")
try:
    retry.increment("GET", "/", error=unreachable)
except _wire.MaxRetryError as error:
    assert error.reason is unreachable
else:
    raise AssertionError("tried again")
print("done")
