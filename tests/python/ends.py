"""How an interpreter ends that has asked the process of the program: without a message, and the process ends, too."""

import atexit
import os
import signal
import sys
import threading

import age_oauth
from age_oauth import _presented

label, way = sys.argv[1:]
prod = age_oauth.Connection(label)
here = f"{prod.api_url}/sharing/rest/community/self"


def request():
    with prod.session() as session:
        assert session.get(here, params={"f": "json"}).status_code == 200


def ask():
    while True:
        _presented.Presented(prod)._ask("refused")


if way == "last":
    # It runs after what the package has registered.
    def last():
        request()
        print(_presented._helper._process.pid, flush=True)

    atexit.register(last)
request()
print(_presented._helper._process.pid, flush=True)
if way == "thread":
    threading.Thread(target=ask, daemon=True).start()
if way == "exit":
    os._exit(0)
if way == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if way == "fork" and os.fork() == 0:
    request()
    print(_presented._helper._process.pid, flush=True)
