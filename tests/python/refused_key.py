"""An API key that the portal refuses while a script runs: it is not sent again, and another one is used at once."""

import asyncio
import sys

import age_oauth
from age_oauth import _provider

# On a slow machine, too, the program is asked once until the test says otherwise. Seconds.
_provider.ASK_AGAIN = _provider.CHECK_AGAIN = 3600.0

way, address, label = sys.argv[1:]
connection = age_oauth.Connection(label)
is_printed = connection._facts["api_key_command"] is not None


def with_requests():
    session = connection.session()
    return lambda: session.get(address, params={"f": "json"}).json()


def with_httpx():
    client = connection.httpx_client()
    return lambda: client.get(address, params={"f": "json"}).json()


def with_httpx_async():
    loop = asyncio.new_event_loop()
    client = connection.httpx_async_client()
    return lambda: loop.run_until_complete(client.get(address, params={"f": "json"})).json()


def with_gis():
    gis = connection.get_gis()
    # What of Esri's code asks for JSON, and what returns the answer as it is.
    return lambda: gis._con.get(address, {"f": "json"})


def wait(word):
    print(word, flush=True)
    assert sys.stdin.readline() == "done\n"


def is_refused():
    try:
        ask()
    except age_oauth.SignInRequired as error:
        assert error.kind == "api_key", error.kind
        assert "not accepted by the portal" in error.message, error.message
        # Where a command prints the key, another one is put where the command finds it.
        how = "--expires DATE" if is_printed else "--expires DATE --api-key-stdin"
        assert error.hint.endswith(how), error.hint
    else:
        raise AssertionError("the request had an answer")


ask = {"requests": with_requests, "httpx": with_httpx, "async": with_httpx_async, "gis": with_gis}[way]()
# Before its end, the first request to a server may be the one that is refused.
if "/server/" not in address:
    assert "error" not in ask()
wait("refuse")
for _ in range(4):
    is_refused()
wait("replace")
connection._provider._next_key = 0.0
answer = ask()
assert "error" not in answer, answer
# A token that lives longer than the key is an error, also while the key is new in memory.
for _ in range(2):
    try:
        connection.token(min_ttl=300 * 86_400)
    except age_oauth.SignInRequired as error:
        assert error.kind == "api_key", error.kind
    else:
        raise AssertionError("a key that ends before that was handed out")
assert connection.token(min_ttl=3600) == connection.token()
print("done")
